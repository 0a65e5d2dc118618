"""One epoch of training: batches, gradients, steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from semideep_ext.training.rows import Plan
from semideep_ext.weighting.checks import check_number


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


def train_epoch(trainer: Any, model: nn.Module, optimizer: Any, plan: Plan) -> float:
    """Train on each batch of the plan once; give the mean loss over rows."""
    accelerator = trainer.accelerator
    model.train()
    steps = share(plan, accelerator.process_index, accelerator.num_processes)
    rows = trainer.rows.batches(batch.index for step in steps for batch in step)
    total = torch.zeros((), device=trainer.device)  # read once per epoch: .item() waits for a GPU
    for batches in steps:
        optimizer.zero_grad()
        for batch in batches:
            last = batch is batches[-1]
            with nullcontext() if last else accelerator.no_sync(model):
                total += _backward(trainer, model, next(rows), batch)
        _step(trainer, model, optimizer)
    seen = sum(len(batch) for step in plan for batch in step)
    return float(accelerator.reduce(total, "sum").item()) / seen


def _backward(trainer: Any, model: nn.Module, x: Tensor, batch: Batch) -> Tensor:
    """Add to the gradients; give the sum of the losses of the rows."""
    index = batch.index.to(trainer.device)
    y, w = trainer.targets[index], trainer.row_weights
    trainer.notify("on_batch_begin", batch=(x, y), training=True)
    loss = trainer.loss_fn(trainer.outputs(model, x), y, None if w is None else w[index])
    if not loss.requires_grad:
        raise ValueError(
            "the loss does not depend on any parameter that is trained: the model detaches its "
            "output, or every parameter has requires_grad=False; set it to True on some"
        )
    factor = batch.factor
    if trainer.loss_fn.reduction == "sum":
        factor = trainer.accelerator.num_processes if batch.counted else 0
    # Accelerate divides by the number of accumulated batches, but a step may have fewer.
    accelerator = trainer.accelerator
    accelerator.backward(loss * (factor * accelerator.gradient_accumulation_steps))
    loss = loss.detach()
    trainer.notify("on_batch_end", batch=(x, y), loss=loss, training=True)
    total: Tensor = trainer.loss_fn.total(loss, batch.counted)
    return total if batch.counted else torch.zeros_like(total)


def _step(trainer: Any, model: nn.Module, optimizer: Any) -> None:
    accelerator = trainer.accelerator
    if trainer.clip_grad_norm is None:
        accelerator.unscale_gradients(optimizer)
    else:
        accelerator.clip_grad_norm_(model.parameters(), trainer.clip_grad_norm)
    trainer.notify(
        "on_grad_computed", named_parameters=list(trainer.model.named_parameters()), training=True
    )
    optimizer.step()
    every_step = trainer.scheduler is not None and trainer.scheduler_interval == "step"
    if every_step and not accelerator.optimizer_step_was_skipped:
        trainer.scheduler.step()


def end_epoch(scheduler: LRScheduler, score: float) -> None:
    """Step a scheduler; one that waits for a plateau gets the score."""
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(score)
    else:
        scheduler.step()


def make_optimizer(optimizer: Any, model: nn.Module, learning_rate: float) -> Any:
    """Optimizer as given, made by the callable given, or Adam."""
    if optimizer is None:
        optimizer = torch.optim.Adam
    if isinstance(optimizer, type):
        check_number("learning_rate", learning_rate, zero=True)
        optimizer = optimizer(model.parameters(), lr=learning_rate)
    elif not isinstance(optimizer, torch.optim.Optimizer) and callable(optimizer):
        optimizer = optimizer(model.parameters())
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(
            f"optimizer is a {type(optimizer).__name__}; give a torch.optim.Optimizer, or a "
            "function of the parameters that returns one"
        )
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    parameters = [id(p) for p in model.parameters()]
    if parameters and trained.isdisjoint(parameters):
        raise ValueError(
            "optimizer has none of the model's parameters, so the model would not be trained: make "
            "it of this model's, or pass a class or a function of the parameters"
        )
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{type(optimizer).__name__} evaluates the loss several times per step, which "
            "WeightedTrainer does not offer; choose another optimizer, such as torch.optim.Adam"
        )
    return optimizer


def make_scheduler(
    scheduler: LRScheduler | Callable[[Any], LRScheduler] | None, interval: str, optimizer: Any
) -> LRScheduler | None:
    """Scheduler as given, or made by the callable given."""
    if interval not in ("epoch", "step"):
        raise ValueError(f"scheduler_interval={interval!r}: choose 'epoch' or 'step'")
    if scheduler is None:
        return None
    if not isinstance(scheduler, LRScheduler) and callable(scheduler):
        scheduler = scheduler(optimizer)
    if not isinstance(scheduler, LRScheduler):
        raise ValueError(
            f"scheduler is a {type(scheduler).__name__}; give a torch.optim.lr_scheduler, or a "
            "function of the optimizer that returns one"
        )
    if scheduler.optimizer is not optimizer:
        raise ValueError(
            "scheduler belongs to another optimizer than the trainer's: pass that optimizer too, "
            "or a function of the optimizer, such as lambda o: StepLR(o, step_size=10)"
        )
    if interval == "step" and isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError("ReduceLROnPlateau follows a score per epoch: scheduler_interval='epoch'")
    return scheduler
