"""Optimizers and schedulers as given, or made for the model, and checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from semideep_ext.weighting.checks import check_number


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
