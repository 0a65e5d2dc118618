"""The settings of a training, read and checked once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch

from semideep_ext.training.row_weights import RowWeighting
from semideep_ext.weighting.checks import check_number, check_whole


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """The options of `WeightedTrainer` beside rows, model and callbacks; see there.

    Raises
    ------
    ValueError
        For an option that is out of range, or two that contradict each other.
    """

    epochs: int
    learning_rate: float
    batch_size: int
    gradient_accumulation_steps: int
    clip_grad_norm: float | None
    scheduler_interval: str
    mixed_precision: str | None
    device: str | torch.device | None
    seed: int | None
    task: str | None
    unlabeled: Any
    class_weight: Any
    weighting: RowWeighting

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        check_whole("batch_size", self.batch_size, 1)
        check_whole("epochs", self.epochs, 0)
        check_whole("gradient_accumulation_steps", self.gradient_accumulation_steps, 1)
        if self.seed is not None:
            check_whole("seed", self.seed, 0)
        if self.clip_grad_norm is not None:
            check_number("clip_grad_norm", self.clip_grad_norm)
        if self.scheduler_interval not in ("epoch", "step"):
            raise ValueError(
                f"scheduler_interval={self.scheduler_interval!r}: choose 'epoch' or 'step'"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """Options that must be the same where training goes on from a checkpoint.

        Not so how many epochs are asked for. What the optimizer, the device and the rows became is
        compared as it is, not as it was asked for.
        """
        own = ("batch_size", "clip_grad_norm", "scheduler_interval", "unlabeled")
        weighting = {f.name: getattr(self.weighting, f.name) for f in fields(self.weighting)}
        return {**{name: getattr(self, name) for name in own}, **weighting}
