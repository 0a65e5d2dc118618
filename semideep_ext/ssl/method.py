"""What every semi-supervised method has in common: a loss of a labelled and an unlabelled batch.

    total = labelled loss + weight * ramp(progress) * unlabelled loss

A `Method` is a torch module: what it remembers (a teacher, counts, averages of outputs) stands in
its buffers and submodules, so that `state_dict`, `to` and checkpoints hold it. In a loop of your
own it is started once, called on each batch, and told of each step::

    method = FixMatch()
    method.start(model, Data(len(x), len(u), classes=10, example=x[:2]))
    for step in range(steps):
        losses = method(model, Batch(x_batch, y_batch, u_batch, progress=step / steps))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        method.after_step(model, optimizer, progress=(step + 1) / steps)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from semideep_ext.ssl.augment import Augmentation, default_augmentations
from semideep_ext.ssl.averages import WeightAverage
from semideep_ext.ssl.outputs import class_logits, probabilities
from semideep_ext.ssl.ramps import Constant, Ramp
from semideep_ext.weighting.checks import check_number, check_whole
from semideep_ext.weighting.losses import WeightedLoss

# By name, a sum and what it is a share of: those of batches are added before they are divided.
Facts = dict[str, tuple[Tensor, Tensor]]
REPORTED = ("unlabeled_loss", "pseudo_label_share", "pseudo_label_accuracy")


@dataclass(frozen=True)
class Data:
    """What a method may ask about the data before training.

    Attributes
    ----------
    labeled, unlabeled : int
        Numbers of rows.
    classes : int or None
        None where numbers are predicted.
    example : Tensor, shape (n, ...)
        Some rows, as the model takes them.
    pool : callable, optional
        Gives all unlabelled rows in order, batch by batch, for Noisy Student.
    predict : callable, optional
        Probabilities, (n, K), by a model for rows; by default those of its outputs.
    """

    labeled: int
    unlabeled: int
    classes: int | None
    example: Tensor
    pool: Callable[[], Iterable[Tensor]] | None = None
    predict: Callable[[nn.Module, Tensor], Tensor] = lambda model, rows: probabilities(model(rows))


@dataclass
class Batch:
    """One labelled and one unlabelled batch, drawn independently, of any two sizes.

    Attributes
    ----------
    x : Tensor, shape (B, ...)
        Labelled rows, as the model takes them.
    y : Tensor, shape (B,)
        Their classes as numbers, or the numbers to predict.
    u : Tensor, shape (U, ...)
        Unlabelled rows.
    w : Tensor, shape (B,), optional
        Weights of the labelled rows.
    x_index, u_index : Tensor of int64, shapes (B,) and (U,), optional
        Numbers of the rows, for methods that remember each row.
    truth : Tensor of int64, shape (U,), optional
        True classes of the unlabelled rows, for reports only; -1 where unknown.
    progress : float, default 1.0
        Share of the training that is done, by which ramps go.
    supervised : callable, optional
        Labelled loss of (outputs, y, w); by default weighted cross entropy.
    outputs : callable, optional
        Runs a model on rows; by default calls it.
    logits : callable, optional
        Turns outputs into one logit per class; by default `outputs.class_logits`.
    predict : callable, optional
        Turns outputs into what consistency compares: probabilities (the default), or for regression
        the numbers themselves.
    """

    x: Tensor
    y: Tensor
    u: Tensor
    w: Tensor | None = None
    x_index: Tensor | None = None
    u_index: Tensor | None = None
    truth: Tensor | None = None
    progress: float = 1.0
    supervised: Callable[[Tensor, Tensor, Tensor | None], Tensor] = field(
        default_factory=WeightedLoss
    )
    outputs: Callable[[nn.Module, Tensor], Tensor] = lambda model, rows: model(rows)
    logits: Callable[[Tensor], Tensor] = class_logits
    predict: Callable[[Tensor], Tensor] = probabilities

    def joint(self, model: nn.Module, *parts: Tensor) -> tuple[Tensor, ...]:
        """Give the outputs of groups of rows by one pass, whose batch norm sees all of them."""
        outputs = self.outputs(model, torch.cat(parts))
        return outputs.split([len(part) for part in parts])


@dataclass(frozen=True)
class Losses:
    """What a method gives for a batch.

    Attributes
    ----------
    labeled, unlabeled : Tensor, 0-d
        The two losses, before the weight.
    weight : float
        Of the unlabelled loss at this moment, ramp included.
    facts : dict
        By name (sum, count), such as of the pseudo-labels in use.
    """

    labeled: Tensor
    unlabeled: Tensor
    weight: float
    facts: Facts = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        """The loss to minimise, 0-d."""
        return self.labeled + self.weight * self.unlabeled if self.weight else self.labeled


class Method(nn.Module):
    """Base class of the methods. Every parameter is kept as an attribute of its name.

    Parameters
    ----------
    weight : float or None
        Of the unlabelled loss after its ramp. None, where a method allows it: 100 times the share
        of labelled rows, as Laine & Aila (2017) scale it; 1 where numbers are predicted.
    ramp : Ramp, optional
        Factor of the weight by the share of training that is done; by default 1 throughout.
    mu : int, default 1
        Unlabelled rows in a batch, per labelled one.
    ema : float, optional
        Largest decay of an average of the parameters, which predicts and is scored in place of the
        model; see `averages.WeightAverage`.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    own_labeled_loss: bool = False  # whether `Batch.supervised` is not used
    steps: Tensor  # how many the optimizer has made, 0-d

    def __init__(
        self,
        weight: float | None,
        ramp: Ramp | None = None,
        mu: int = 1,
        ema: float | None = None,
    ) -> None:
        super().__init__()
        if weight is not None:
            check_number("weight", weight, zero=True)
        check_whole("mu", mu, 1)
        self.weight, self.ramp, self.mu, self.ema = weight, ramp or Constant(), mu, ema
        self.average: WeightAverage | None = None
        self.data: Data | None = None
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @classmethod
    def preset(cls, data_set: str, **changes: Any) -> Any:
        """Make the method with its paper's settings for a data set, changed as given.

        Raises
        ------
        ValueError
            If the paper has none for it; those that it has are named.
        """
        if data_set not in cls.presets:
            known = ", ".join(map(repr, cls.presets)) or "none"
            raise ValueError(f"{cls.__name__} has no preset {data_set!r}; it has {known}")
        return cls(**{**cls.presets[data_set], **changes})

    def start(self, model: nn.Module, data: Data) -> None:
        """Make what depends on the model and the data; once, before the optimizer is made.

        Raises
        ------
        ValueError
            If the method has no definition for the task.
        """
        task = "regression" if data.classes is None else "classification"
        if task not in self.tasks:
            raise ValueError(
                f"{type(self).__name__} is defined for one class per row; where numbers are "
                "predicted choose PiModel, MeanTeacher or ICT"
            )
        self.data = data
        self.steps.zero_()
        if self.ema is not None:
            self.average = WeightAverage(model, self.ema).to(data.example.device)

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch; each method defines this."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(model, batch)")

    def weight_at(self, progress: float) -> float:
        """Weight of the unlabelled loss when this share of the training is done."""
        weight, data = self.weight, self.started()
        if weight is None:
            share = data.labeled / (data.labeled + data.unlabeled)
            weight = 1.0 if data.classes is None else 100 * share
        return weight * self.ramp(progress)

    def started(self) -> Data:
        """Give the data that the method was started with.

        Raises
        ------
        RuntimeError
            If it was not.
        """
        if self.data is None:
            raise RuntimeError(
                f"{type(self).__name__} is not started: call start(model, Data(...)) before the "
                "first batch"
            )
        return self.data

    def losses(
        self, batch: Batch, labeled: Tensor, unlabeled: Tensor, facts: Facts | None = None
    ) -> Losses:
        """Put the losses of a batch together, with the weight of this moment."""
        return Losses(labeled, unlabeled, self.weight_at(batch.progress), facts or {})

    def after_step(
        self, model: nn.Module, optimizer: Any = None, progress: float | None = None
    ) -> None:
        """Update what follows the model; after each step of the optimizer.

        Parameters
        ----------
        model : nn.Module
        optimizer : torch.optim.Optimizer, optional
            Noisy Student resets its state.
        progress : float, optional
            Share of the training that is done now; Noisy Student begins its rounds by it.
        """
        self.steps += 1
        if self.average is not None:
            self.average.update(model, int(self.steps))

    def evaluated(self, model: nn.Module) -> nn.Module:
        """Give the model that predicts: the average, where there is one."""
        return model if self.average is None else self.average.module

    def settings(self) -> dict[str, Any]:
        """Give what must be the same where training goes on from a checkpoint."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {"method": type(self).__name__, **{name: getattr(self, name) for name in names}}


class Noisy(Method):
    """A method that asks for noise on its rows: `augment`, or what suits the rows."""

    augment: Augmentation | None

    def start(self, model: nn.Module, data: Data) -> None:
        """Choose the noise, where none was given."""
        super().start(model, data)
        if self.augment is None:
            self._noise = default_augmentations(data.example)[0]

    def noisy(self, rows: Tensor) -> Tensor:
        """Give the rows with noise, drawn anew."""
        self.started()
        with torch.no_grad():
            return (self.augment or self._noise)(rows)


class Means:
    """Means over the batches of an epoch: sums and counts, added up on their device."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        nothing, names = torch.zeros(()), (REPORTED[0], *names)
        self._sums: dict[str, tuple[Tensor, Tensor]] = dict.fromkeys(names, (nothing, nothing))

    def add(self, losses: Losses) -> None:
        """Take a batch in: its unlabelled loss, and what the method reports."""
        loss = losses.unlabeled.detach()
        facts = {"unlabeled_loss": (loss, torch.ones_like(loss)), **losses.facts}
        for name, (value, count) in facts.items():
            before = self._sums.get(name, (0, 0))
            self._sums[name] = before[0] + value.detach(), before[1] + count

    def values(self) -> dict[str, float]:
        """Give the means; NaN of nothing, such as the accuracy of no pseudo-label."""
        return {name: float(total / count) for name, (total, count) in self._sums.items()}


def pseudo_label_facts(mask: Tensor, labels: Tensor, truth: Tensor | None) -> Facts:
    """Count the pseudo-labels in use and, where the truth is known, how many are right.

    Parameters
    ----------
    mask : Tensor, shape (U,)
        Weight of each pseudo-label, at most 1.
    labels, truth : Tensor of int64, shape (U,)
        Unknown truth is -1.
    """
    mask = mask.detach()
    facts = {"pseudo_label_share": (mask.sum(), mask.new_tensor(float(len(mask))))}
    if truth is not None:
        used = mask * (truth >= 0)
        facts["pseudo_label_accuracy"] = ((used * (labels == truth)).sum(), used.sum())
    return facts


def numbers_of(index: Tensor | None, name: str, method: str) -> Tensor:
    """Give the numbers of a batch's rows.

    Raises
    ------
    ValueError
        If the batch does not hold them.
    """
    if index is None:
        raise ValueError(f"{method} remembers each row: give Batch({name}=numbers of these rows)")
    return index
