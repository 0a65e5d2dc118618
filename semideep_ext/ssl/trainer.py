"""A trainer for those who have two loaders of their own: `SemiSupervisedTrainer`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from semideep_ext._modules import evaluation_mode
from semideep_ext.ssl.averages import averaged_steps
from semideep_ext.ssl.method import Batch, Data, Means, Method
from semideep_ext.ssl.methods import make_method
from semideep_ext.ssl.outputs import class_logits
from semideep_ext.weighting.checks import check_number, check_whole


class SemiSupervisedTrainer:
    """Train a classifier on two loaders, by any method.

    Parameters
    ----------
    labeled_loader : DataLoader or iterable of (x, y) or (x, y, w)
        Rows, classes as numbers from 0, and weights of the rows, if there are any.
    unlabeled_loader : DataLoader or iterable of u, or tuples that begin with u
        What follows u is not read, so that a loader of pairs will do.
    model : nn.Module
        One output per class; or one for two classes.
    device : str or torch.device, default "cpu"
    epochs : int, default 100
        How many calls of `train_epoch` are planned: ramps and schedules of methods go by it.

    Attributes
    ----------
    method : Method or None
        The one in use.
    epoch : int
        Number of epochs trained.

    Notes
    -----
    The loaders are independent: an epoch has as many steps as the longer one has batches, and the
    shorter one begins again whenever it ends. The ratio of their batch sizes is yours (7 unlabelled
    rows a labelled one in FixMatch). `WeightedTrainer` does more: weights, tasks, checkpoints, the
    supervised twin, methods that remember rows.

    Examples
    --------
    >>> x, y, u = torch.randn(8, 2), torch.arange(8) % 2, torch.randn(20, 2)
    >>> model = nn.Linear(2, 2)
    >>> trainer = SemiSupervisedTrainer([(x, y)], u.split(10), model, epochs=1)
    >>> losses = trainer.train_epoch(torch.optim.SGD(model.parameters(), lr=0.1), "mean-teacher")
    >>> sorted(losses)
    ['labeled_loss', 'loss', 'unlabeled_loss']
    """

    def __init__(
        self,
        labeled_loader: Iterable[Any],
        unlabeled_loader: Iterable[Any],
        model: nn.Module,
        device: str | torch.device = "cpu",
        *,
        epochs: int = 100,
    ) -> None:
        check_whole("epochs", epochs, 1)
        self.labeled_loader, self.unlabeled_loader = labeled_loader, unlabeled_loader
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.epochs, self.epoch = epochs, 0
        self.method: Method | None = None
        self._asked: Any = None

    def train_epoch(
        self, optimizer: Any, ssl_method: str | Method = "fixmatch", ssl_weight: float = 1.0
    ) -> dict[str, float]:
        """Train for one epoch.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer
            Of the model's parameters. Those that a method brings along join it.
        ssl_method : str or Method, default "fixmatch"
            A name in `methods.METHODS`, or an object. It is started at the first call, and goes on
            while it is the same.
        ssl_weight : float, default 1.0
            Multiplies the method's own weight.

        Returns
        -------
        dict of float
            Means over the batches: loss, labeled_loss, unlabeled_loss (without weight); and what
            the method reports, such as pseudo_label_share.
        """
        check_number("ssl_weight", ssl_weight, zero=True)
        steps = max(map(self._length, (LABELED, UNLABELED)))
        if self.method is None or ssl_method != self._asked:
            self._asked, self.method = ssl_method, self._started(ssl_method, optimizer)
        method = self.method
        means, total, labeled_total = Means(), 0.0, 0.0
        self.model.train()
        labeled, unlabeled = (_endless(getattr(self, name)) for name in (LABELED, UNLABELED))
        for step in range(steps):
            x, y, *rest = self._moved(next(labeled))
            u, *_ = self._moved(next(unlabeled))
            w = rest[0] if rest else None
            losses = method(self.model, Batch(x, y, u, w, progress=self._progress(step / steps)))
            loss = losses.labeled + ssl_weight * (losses.total - losses.labeled)
            if not loss.isfinite():
                raise ValueError(
                    f"the loss of epoch {self.epoch + 1}, step {step + 1} is {loss.item()}: lower "
                    "the learning rate or ssl_weight, or scale the rows"
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            method.after_step(self.model, optimizer, self._progress((step + 1) / steps))
            means.add(losses)
            total, labeled_total = total + loss.item(), labeled_total + losses.labeled.item()
        self.epoch += 1
        return {"loss": total / steps, "labeled_loss": labeled_total / steps, **means.values()}

    def evaluate(self, loader: Iterable[Any]) -> float:
        """Accuracy on a loader of (x, y), by the model that the method evaluates (an average, say).

        Raises
        ------
        ValueError
            If the loader gives no rows.
        """
        model = self.model if self.method is None else self.method.evaluated(self.model)
        right, n = 0, 0
        with evaluation_mode(model):
            for batch in loader:
                x, y, *_ = self._moved(batch)
                right += int((class_logits(model(x)).argmax(1) == y).sum())
                n += len(y)
        if not n:
            raise ValueError("the loader gives no rows to score on")
        return right / n

    def _progress(self, share_of_epoch: float) -> float:
        return min(1.0, (self.epoch + share_of_epoch) / self.epochs)

    def _started(self, ssl_method: Any, optimizer: Any) -> Method:
        steps = self.epochs * max(map(self._length, (LABELED, UNLABELED)))
        method: Method = make_method(ssl_method, steps=averaged_steps(steps)).to(self.device)
        x, *_ = self._moved(next(iter(self.labeled_loader)))
        with evaluation_mode(self.model):
            classes = class_logits(self.model(x[:2])).shape[1]
        labeled, unlabeled = (self._rows(name) for name in (LABELED, UNLABELED))
        method.start(self.model, Data(labeled, unlabeled, classes, x[:2]))
        added = [p for p in method.parameters() if p.requires_grad]
        if added:
            optimizer.add_param_group({"params": added})
        return method

    def _length(self, name: str) -> int:
        loader = getattr(self, name)
        if not hasattr(loader, "__len__") or not len(loader):
            raise ValueError(
                f"{name} has no length, or gives no batch: give a DataLoader of a Dataset with "
                "rows by number, or a list of batches"
            )
        return len(loader)

    def _rows(self, name: str) -> int:
        loader = getattr(self, name)
        if hasattr(getattr(loader, "dataset", None), "__len__"):
            return len(loader.dataset)
        return sum(len(self._moved(batch)[0]) for batch in loader)

    def _moved(self, batch: Any) -> list[Tensor]:
        parts = batch if isinstance(batch, (tuple, list)) else [batch]
        return [torch.as_tensor(part).to(self.device) for part in parts]


LABELED, UNLABELED = "labeled_loader", "unlabeled_loader"


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    """Give the batches of a loader again and again, drawn anew each time."""
    while True:
        yield from loader
