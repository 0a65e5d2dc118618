"""Accelerate (device, precision, processes), and random numbers that follow from the epoch."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch


def make_accelerator(device: Any, mixed_precision: str | None, accumulation: int) -> Any:
    """Accelerator on the device; the launcher's environment decides what is None or 1.

    Raises
    ------
    ImportError
        If the extra `train` is not installed.
    """
    try:
        import safetensors.torch  # noqa: F401  (missed now rather than at the first checkpoint)
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise ImportError(
            f"WeightedTrainer needs {error.name}: pip install 'semideep_ext[train]'"
        ) from error
    precision = mixed_precision or os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", "fp16", "bf16"):
        raise ValueError(f"mixed_precision={precision!r}: choose 'no', 'fp16' or 'bf16'")
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    environment = {}
    if int(os.environ.get("LOCAL_RANK", -1)) == -1:
        device = _usable(device)
        # Accelerate keeps device and precision per process, those of the first trainer for all.
        AcceleratorState._reset_state(reset_partial_state=True)
        environment = {"ACCELERATE_TORCH_DEVICE": str(device)}
    with mock.patch.dict(os.environ, environment):
        accelerator = Accelerator(
            cpu=torch.device(device).type == "cpu",
            mixed_precision=precision,
            gradient_accumulation_steps=accumulation,
        )
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("mixed_precision='fp16' needs a GPU; on the CPU choose 'bf16' or 'no'")
    return accelerator


def _usable(device: Any) -> torch.device:
    """Give the device, if numbers can be put on it and read."""
    try:
        usable = torch.device(device)
        torch.zeros(1, device=usable).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"device={device!r} cannot be used here ({reason}); give 'cpu', a device that this "
            "torch and this machine have, such as 'cuda', or None to choose"
        ) from error
    return usable


def from_main(accelerator: Any, value: Any) -> Any:
    """Give every process the value that the main one has: a number, a dict or a string."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def draw_seed() -> int:
    """Draw a seed from torch's global generator."""
    return int(torch.randint(2**31, ()))


def seed_everything(seed: int, *place: int) -> torch.Generator:
    """Seed Python, numpy and torch by seed and place; also give a generator so seeded."""
    words = np.random.SeedSequence([seed, *place]).generate_state(2)
    number = int(words[0]) << 32 | int(words[1])
    random.seed(number)
    np.random.seed(words[0])
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


@contextmanager
def random_state_kept(device: torch.device) -> Iterator[None]:
    """Put the global random states back, as if nothing had drawn from them."""
    states = random.getstate(), np.random.get_state()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


@contextmanager
def prepared(accelerator: Any, model: Any, optimizer: Any) -> Iterator[tuple[Any, Any]]:
    """Let Accelerate wrap model and optimizer for training; take its patches off afterwards.

    Left on, they would be copied with the model, and keep the next training from preparing it.
    """
    patched = ("forward", "_original_forward", "_is_accelerate_prepared")
    before = {name: model.__dict__[name] for name in patched if name in model.__dict__}
    try:
        yield accelerator.prepare(model, optimizer)
    finally:
        for name in patched:
            model.__dict__.pop(name, None)
        model.__dict__.update(before)
