"""The unlabelled side of a training: which rows take part, and what they add.

`WeightedTrainer` has one loop for all. With a method, each labelled batch is joined by one of
unlabelled rows, drawn independently; the shorter side begins again as often as the longer needs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semideep_ext.ssl.averages import averaged_steps
from semideep_ext.ssl.filters import Pool, apply_filters, make_filters
from semideep_ext.ssl.method import REPORTED, Batch, Data, Losses, Means, Method
from semideep_ext.ssl.methods import make_method
from semideep_ext.training.joined_rows import JoinedRows
from semideep_ext.training.rows import Plan
from semideep_ext.training.twin import Twin
from semideep_ext.weighting.checks import as_array


class SemiSupervision:
    """A method, its unlabelled rows, and what an epoch does with them.

    Parameters
    ----------
    trainer : WeightedTrainer
        Whose task, rows and options these are.
    method : Method
    rows : JoinedRows
        All unlabelled rows.
    truth : Tensor of int64, shape (U,), optional
        Their classes, -1 where unknown; for reports only.
    filters : list of callables
        See `ssl.filters`.
    """

    def __init__(
        self,
        trainer: Any,
        method: Method,
        rows: JoinedRows,
        truth: Tensor | None,
        filters: list[Any],
    ) -> None:
        self.method, self.filters, self.rows, self.truth = method, filters, rows, truth
        self._trainer = trainer
        self._batches: Iterator[tuple[Tensor, Tensor]] = iter(())
        self._means, self._step, self._steps = Means(), 0, 1
        self.counts: dict[str, float] = {}
        example = next(trainer.rows.batches([torch.arange(min(2, len(trainer.rows)))]))
        classes = None if trainer.classes_ is None else len(trainer.classes_)
        data = Data(len(trainer.rows), len(rows), classes, example, self._all, self._predict)
        self.method.start(trainer.model, data)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Parameters that the method brings along to be trained."""
        return [p for p in self.method.parameters() if p.requires_grad]

    def begin_epoch(self, draw: Callable[[], Plan], generator: torch.Generator) -> Plan:
        """Choose the unlabelled rows of an epoch, and plan it.

        Parameters
        ----------
        draw : callable
            Draws batches of all labelled rows, grouped by optimizer step.
        generator : torch.Generator
            Draws the unlabelled batches.

        Returns
        -------
        Plan
            Labelled batches, as many as the longer side needs.
        """
        mask, counts = apply_filters(self.filters, self._pool, len(self.rows))
        self.counts = {f"kept_by_{name}": float(n) for name, n in counts.items()}
        kept = torch.as_tensor(np.flatnonzero(mask))
        size = self.method.mu * self._trainer.options.batch_size
        plan = draw()
        needed = max(sum(map(len, plan)), math.ceil(len(kept) / size))
        while sum(map(len, plan)) < needed:
            plan += draw()
        reported = [name for name in REPORTED if name in self._trainer.history]
        self._means, self._step, self._steps = Means(reported), 0, len(plan)
        self._batches = iter(())
        if len(kept):
            indices = list(_endless(kept, size, sum(map(len, plan)), generator))
            self._batches = zip(indices, self.rows.batches(indices), strict=True)
        return plan

    def losses(
        self, model: nn.Module, x: Tensor, y: Tensor, w: Tensor | None, index: Tensor
    ) -> Losses:
        """Give the losses of a labelled batch of these row numbers, and the next unlabelled one."""
        trainer = self._trainer
        drawn = next(self._batches, None)
        if drawn is None:  # the filters kept no row
            labeled = trainer.loss_fn(trainer.outputs(model, x), y, w)
            return Losses(labeled, torch.zeros_like(labeled), 0.0)
        u_index, u = drawn
        u_index = u_index.to(y.device)
        batch = Batch(
            x,
            y,
            u,
            w,
            index,
            u_index,
            None if self.truth is None else self.truth[u_index],
            self._progress(),
            trainer.loss_fn,
            trainer.outputs,
            trainer.logits,
            trainer.predictions,
        )
        losses = self.method(model, batch)
        self._means.add(losses)
        return losses

    def after_step(self, model: nn.Module, optimizer: Any) -> None:
        """Tell the method that the optimizer has made a step."""
        self._step += 1
        self.method.after_step(model, optimizer, self._progress())

    def report(self) -> dict[str, float]:
        """Give what the epoch's history holds of the unlabelled rows."""
        return {**self._means.values(), **self.counts}

    def settings(self) -> dict[str, Any]:
        """Give what must be the same where training goes on from a checkpoint."""
        return {
            **self.method.settings(),
            "epochs": self._trainer.options.epochs,  # by which ramps go
            "unlabeled_filter": [type(f).__name__ for f in self.filters],
        }

    def _progress(self) -> float:
        trainer = self._trainer
        done = trainer.epoch + self._step / self._steps
        return float(min(1.0, done / max(1, trainer.options.epochs)))

    def _all(self) -> Iterator[Tensor]:
        index = torch.arange(len(self.rows)).split(self._trainer.options.batch_size)
        return self.rows.batches(index)

    def _predict(self, model: nn.Module, rows: Tensor) -> Tensor:
        predictions: Tensor = self._trainer.predictions(self._trainer.outputs(model, rows))
        return predictions

    @cached_property
    def _pool(self) -> Pool:
        trainer = self._trainer
        return Pool(
            lambda: np.concatenate(list(trainer.rows.blocks())),
            lambda: np.concatenate(list(self.rows.blocks())),
            lambda: trainer.predicted(self._all()),
        )


def supervise_half(
    trainer: Any, method: Any, rows: JoinedRows, given: dict[str, Any], twin: bool
) -> tuple[SemiSupervision | None, Twin | None]:
    """Make what a method needs, and the twin; None and None without a method.

    Parameters
    ----------
    trainer : WeightedTrainer
        With model, optimizer, scheduler and loss.
    method : str, Method or None
    rows : JoinedRows
        All unlabelled rows: those marked in y_train, then those of X_unlabeled.
    given : dict
        y_unlabeled and unlabeled_filter, as the user gave them.
    twin : bool
        Whether to train one.

    Raises
    ------
    ValueError
        For options that only a method uses, and for what no method can do.
    """
    filters = make_filters(given["unlabeled_filter"])
    if method is None:
        idle = "unlabeled_filter" if filters else "y_unlabeled"
        if filters or given["y_unlabeled"] is not None:
            raise ValueError(
                f"{idle} is for a semi-supervised method only: say method='fixmatch', or leave it "
                "out"
            )
        return None, None
    options = trainer.options
    batches = math.ceil(max(len(trainer.rows), len(rows)) / options.batch_size)
    made = make_method(method, steps=averaged_steps(options.epochs * batches))
    # A copy, so that one object can be given to several trainers.
    method = copy.deepcopy(made).to(trainer.device)
    if not len(rows):
        raise ValueError(
            f"method={method.name!r} needs unlabelled rows: give X_unlabeled (the test rows, for "
            "example), or mark rows of X_train in y_train as unlabelled (-1; NaN for regression)"
        )
    if trainer.classes_ is not None and trainer.targets.ndim != 1:
        raise ValueError(
            f"method={method.name!r} is for one class per row, or for numbers to predict; y_train "
            f"has {len(trainer.classes_)} labels per row"
        )
    processes, reduction = trainer.accelerator.num_processes, trainer.loss_fn.reduction
    if processes > 1:
        raise ValueError(
            f"method={method.name!r} trains in one process, not in {processes}: start it without "
            "the launcher"
        )
    base = trainer.loss_fn.base_loss
    plain = isinstance(base, nn.CrossEntropyLoss) and base.weight is None
    if method.own_labeled_loss and not (plain and base.label_smoothing == 0):
        raise ValueError(
            f"method={method.name!r} has a labelled loss of its own, so that loss_fn would not be "
            "used: leave loss_fn out"
        )
    if reduction != "mean":
        raise ValueError(
            f"loss_fn has reduction={reduction!r}; with a method it must be 'mean', as the "
            "unlabelled loss is"
        )
    copied = Twin(trainer.model, trainer.optimizer, trainer.scheduler) if twin else None
    truth = _truth(trainer, given["y_unlabeled"], rows)
    semi = SemiSupervision(trainer, method, rows, truth, filters)
    if semi.parameters:
        trainer.optimizer.add_param_group({"params": semi.parameters})
    return semi, copied


def _truth(trainer: Any, y: Any, rows: JoinedRows) -> Tensor | None:
    """Give the classes of the unlabelled rows, (U,), -1 where unknown; None where all are."""
    if y is None:
        return None
    labels, known = as_array(y, "y_unlabeled"), rows.parts[-1]
    if known.name != "X_unlabeled" or labels.shape != (len(known),) or trainer.classes_ is None:
        raise ValueError(
            f"y_unlabeled has shape {labels.shape}: give the class of each row of X_unlabeled, so "
            "that the accuracy of pseudo-labels can be told, or leave it out"
        )
    number = {label: i for i, label in enumerate(trainer.classes_.tolist())}
    classes = [number.get(label, -1) for label in labels.tolist()]
    if max(classes, default=0) < 0:
        raise ValueError(
            f"y_unlabeled holds none of the classes {trainer.classes_.tolist()[:20]}, but "
            f"{labels[0]!r}, say: give labels as in y_train, or leave it out"
        )
    truth = torch.full((len(rows),), -1, device=trainer.device)
    truth[len(rows) - len(classes) :] = torch.as_tensor(classes, device=trainer.device)
    return truth


def _endless(kept: Tensor, size: int, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Give `count` batches of row numbers, of equal size to within one row, pass after pass."""
    while count > 0:
        order = kept[torch.randperm(len(kept), generator=generator)]
        batches = order.tensor_split(math.ceil(len(kept) / size))[:count]
        yield from batches
        count -= len(batches)
