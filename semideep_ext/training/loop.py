"""One epoch of training: batches, gradients, steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from semideep_ext.training.rows import Plan, Rows
from semideep_ext.training.semi_supervised import SemiSupervision
from semideep_ext.weighting.losses import WeightedLoss


@dataclass
class Batch:
    """The rows of a batch that this process takes."""

    index: Tensor
    factor: float  # of its mean loss in the loss of the step
    counted: int  # 0 for a row taken only because every process must take part


def share(plan: Plan, process: int, processes: int) -> list[list[Batch]]:
    """Share each batch among the processes, so that their mean gradient is that of one process."""
    steps = []
    for step in plan:
        size, batches = sum(map(len, step)), []
        for batch in step:
            own = batch[process::processes]
            index = own if len(own) else batch[:1]
            batches.append(Batch(index, processes * len(own) / size, len(own)))
        steps.append(batches)
    return steps


@dataclass
class TrainingData:
    """What a training step reads: rows, their targets and what they count."""

    rows: Rows
    targets: Tensor  # (N,) or (N, L), on the device
    class_factors: np.ndarray | None  # (N,)
    sample_weights: np.ndarray | None = None  # (N,)
    row_weights: Tensor | None = None  # (N,), sample weights times class factors, on the device

    def weigh(self, w: np.ndarray | None, dtype: torch.dtype) -> None:
        """Weigh the rows by w, (N,), and their classes; None weighs by the latter."""
        self.sample_weights = w
        factors = [part for part in (w, self.class_factors) if part is not None]
        product = torch.as_tensor(math.prod(factors)) if factors else None
        self.row_weights = product if product is None else product.to(self.targets.device, dtype)


@dataclass(frozen=True)
class Loop:
    """Takes the steps of an epoch, with model and optimizer as Accelerate prepared them."""

    accelerator: Any
    model: nn.Module
    optimizer: Any
    scheduler: LRScheduler | None  # stepped with the optimizer; None where epochs step it
    clip_grad_norm: float | None
    loss_fn: WeightedLoss
    outputs: Callable[[nn.Module, Tensor], Tensor]
    notify: Callable[..., None]
    semi: SemiSupervision | None = None

    def train_epoch(self, data: TrainingData, plan: Plan, epoch: int) -> float:
        """Train on each batch of the plan once; give the mean loss over rows.

        Raises
        ------
        ValueError
            At the first loss that is not finite. On a card, where reading a number waits for all
            that is queued, that is found after the epoch.
        """
        accelerator, device = self.accelerator, data.targets.device
        # Once an epoch: Accelerate then looks for every package that may have wrapped the model.
        model = accelerator.unwrap_model(self.model)
        self.model.train()
        steps = share(plan, accelerator.process_index, accelerator.num_processes)
        rows = data.rows.batches(batch.index for step in steps for batch in step)
        losses: list[Tensor] = []  # of each batch, 0-d, all that is minimised
        total = torch.zeros((), device=device)
        for batches in steps:
            self.optimizer.zero_grad()
            for batch in batches:
                last = batch is batches[-1]
                with nullcontext() if last else accelerator.no_sync(self.model):
                    loss, labeled = self._backward(data, next(rows), batch)
                losses.append(loss)
                total += self.loss_fn.total(labeled, batch.counted) if batch.counted else 0
                if device.type == "cpu":
                    self._check_finite(losses[-1:], len(losses), epoch)
            self._step(model)
        self._check_finite(losses, 1, epoch)
        seen = sum(len(batch) for step in plan for batch in step)
        return float(accelerator.reduce(total, "sum").item()) / seen

    def _backward(self, data: TrainingData, x: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Add to the gradients; give the loss, and the part of it that is of labelled rows."""
        index = batch.index.to(data.targets.device)
        y, w = data.targets[index], data.row_weights
        w = None if w is None else w[index]
        self.notify("on_batch_begin", batch=(x, y), training=True)
        if self.semi is None:
            loss = labeled = self.loss_fn(self.outputs(self.model, x), y, w)
        else:
            losses = self.semi.losses(self.model, x, y, w, index)
            loss, labeled = losses.total, losses.labeled
        if not loss.requires_grad:
            raise ValueError(
                "the loss does not depend on any parameter that is trained: the model detaches its "
                "output, or every parameter has requires_grad=False; set it to True on some"
            )
        factor = batch.factor
        if self.loss_fn.reduction == "sum":
            factor = self.accelerator.num_processes if batch.counted else 0
        # Accelerate divides by the number of accumulated batches, but a step may have fewer.
        self.accelerator.backward(loss * (factor * self.accelerator.gradient_accumulation_steps))
        loss = loss.detach()
        self.notify("on_batch_end", batch=(x, y), loss=loss, training=True)
        return loss, labeled.detach()

    def _step(self, model: nn.Module) -> None:
        if self.clip_grad_norm is None:
            self.accelerator.unscale_gradients(self.optimizer)
        else:
            own = [] if self.semi is None else self.semi.parameters
            trained = [*self.model.parameters(), *own]
            self.accelerator.clip_grad_norm_(trained, self.clip_grad_norm)
        named = list(model.named_parameters())
        self.notify("on_grad_computed", named_parameters=named, training=True)
        self.optimizer.step()
        if self.scheduler is not None and not self.accelerator.optimizer_step_was_skipped:
            self.scheduler.step()
        if self.semi is not None:
            self.semi.after_step(model, self.optimizer)

    def _check_finite(self, losses: list[Tensor], first: int, epoch: int) -> None:
        """Refuse a loss that is not finite; `first` is the number of the first of these batches."""
        bad = (~torch.stack(losses).isfinite()).nonzero()
        if len(bad):
            number = int(bad[0])
            raise ValueError(
                f"the loss of epoch {epoch}, batch {first + number} is {losses[number].item()}, so "
                "that training cannot go on. "
                + how_to_stay_finite(self.model, self.optimizer.param_groups[0]["lr"])
            )


def how_to_stay_finite(model: nn.Module, learning_rate: float) -> str:
    """Say what to change where numbers became too large."""
    halves = {p.dtype for p in model.parameters()} & {torch.float16, torch.bfloat16}
    if halves:
        return (
            f"The parameters are {halves.pop()}, in which an optimizer's steps overflow: keep them "
            "in float32 (model.float()) and say mixed_precision='bf16'"
        )
    return (
        f"Lower the learning rate, which is {learning_rate:g}, set clip_grad_norm=1.0, or scale "
        "the rows and targets"
    )
