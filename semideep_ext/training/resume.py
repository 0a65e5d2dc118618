"""All that a trainer must remember to go on as if it had never stopped.

Random states are no part of it: they follow from (seed, epoch), see `processes.seed_everything`.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import torch
from torch import nn


def state_of(trainer: Any) -> dict[str, Any]:
    """State of a trainer between two epochs."""
    scheduler, scaler = trainer.scheduler, trainer.accelerator.scaler
    return {
        "settings": _settings(trainer),
        "begun": trainer.epoch_range[0],
        "should_stop": trainer.should_stop,
        "history": trainer.history,
        "sample_weights": trainer.sample_weights,
        "model": trainer.model.state_dict(),
        "loss": trainer.loss_fn.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "scaler": None if scaler is None else scaler.state_dict(),
        "callbacks": [c.state_dict() for c in _with_state(trainer)],
    }


def restore(trainer: Any, state: dict[str, Any], path: str) -> None:
    """Put a state into a trainer of the same settings.

    Raises
    ------
    ValueError
        If the settings differ; each that does is named. Nothing is changed then.
    """
    mine, theirs = _settings(trainer), state["settings"]
    if trainer.seed_is_drawn:
        mine["seed"] = theirs["seed"]
    differing = [
        f"{name}: {_shown(theirs.get(name), mine.get(name))}"
        for name in {**theirs, **mine}
        if theirs.get(name) != mine.get(name)
    ]
    if differing:
        raise ValueError(
            f"{path} is a checkpoint of another training (there, here): {'; '.join(differing)}; "
            "build the trainer as it was, or choose another file"
        )
    trainer.seed = mine["seed"]
    trainer.model.load_state_dict(state["model"])
    trainer.loss_fn.load_state_dict(state["loss"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    if trainer.scheduler is not None:
        trainer.scheduler.load_state_dict(state["scheduler"])
    if trainer.accelerator.scaler is not None and state["scaler"] is not None:
        trainer.accelerator.scaler.load_state_dict(state["scaler"])
    trainer.set_weights(state["sample_weights"])
    trainer.history, trainer.should_stop = state["history"], state["should_stop"]
    for callback, own in zip(_with_state(trainer), state["callbacks"], strict=True):
        callback.load_state_dict(own)


def _with_state(trainer: Any) -> list[Any]:
    return [c for c in trainer.callbacks if hasattr(c, "state_dict")]


def _settings(trainer: Any) -> dict[str, Any]:
    """Give the settings that must be the same to go on; the number of epochs need not be."""
    return {
        "model": _shapes(trainer.model),
        "loss": _named(trainer.loss_fn.base_loss),
        "loss tensors": _shapes(trainer.loss_fn),
        "reduction": trainer.loss_fn.reduction,
        "optimizer": type(trainer.optimizer).__name__,
        "scheduler": type(trainer.scheduler).__name__,
        "callbacks": [type(c).__name__ for c in _with_state(trainer)],
        "scheduler_interval": trainer.scheduler_interval,
        "training rows": len(trainer.rows),
        "y_train": _digest(trainer.targets.cpu().numpy()),
        "class_weight": _digest(trainer.class_factors),
        **{name: _setting(value) for name, value in vars(trainer.weighting).items()},
        "batch_size": trainer.batch_size,
        "gradient_accumulation_steps": trainer.accelerator.gradient_accumulation_steps,
        "clip_grad_norm": trainer.clip_grad_norm,
        "mixed_precision": trainer.accelerator.mixed_precision,
        "seed": trainer.seed,
    }


def _shapes(module: nn.Module) -> dict[str, str]:
    return {
        name: f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}"
        for name, t in module.state_dict().items()
    }


def _setting(value: Any) -> Any:
    """Give JSON as it is, of a function its name, of an array enough to know it again."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(value):
        return _named(value)
    return _digest(np.asarray(value.detach().cpu() if torch.is_tensor(value) else value, float))


def _digest(values: np.ndarray | None) -> str | None:
    return None if values is None else hashlib.sha256(values.tobytes()).hexdigest()[:16]


def _named(value: Any) -> str:
    """Name it as another process does: without the address in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _shown(theirs: Any, mine: Any) -> str:
    """Both values; of dicts, the first entry that differs."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        name = next(n for n in {**theirs, **mine} if theirs.get(n) != mine.get(n))
        return f"{name} is {theirs.get(name)}, {mine.get(name)}"
    return f"{theirs}, {mine}"
