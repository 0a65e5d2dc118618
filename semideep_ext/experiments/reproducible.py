"""Runs that give the same bits again, and how to tell whether two start from the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

ModelFactory = Callable[[], nn.Module]


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed torch and leave it one thread, so that bits depend on nothing else; then as before.

    torch splits sums between threads, and a sum in another order has other bits.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def fingerprint(model_factory: ModelFactory, X: np.ndarray, y: np.ndarray) -> str:
    """Hash what a run starts from: rows, labels, the new model's parameters and first outputs.

    A sweep is resumed only where this is the same. It also finds a model_factory whose models are
    not new, which would go on training where another run stopped.

    Raises
    ------
    ValueError
        If model_factory returns anything but a new nn.Module that takes such rows.
    """
    with reproducible(0):
        model = model_factory()
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"model_factory returned a {type(model).__name__}: return a torch.nn.Module"
            )
        if model_factory() is model:
            raise ValueError(
                "model_factory returned the same model twice, so a run would go on training the "
                "model of another: build the model inside the function"
            )
        model = model.cpu().eval()
        floats = (p.dtype for p in model.parameters() if p.is_floating_point())
        try:
            with torch.no_grad():
                outputs = model(torch.tensor(X[:8], dtype=next(floats, torch.float32)))
        except RuntimeError as error:
            raise ValueError(
                f"the model of model_factory does not take rows of shape {X.shape[1:]} ({error}): "
                "make it for that many features"
            ) from error
    parts = [repr(model).encode(), np.ascontiguousarray(X).tobytes(), repr(y.tolist()).encode()]
    parts += [_bytes(t) for t in (*model.state_dict().values(), outputs)]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]


def _bytes(tensor: torch.Tensor) -> bytes:
    """Give what a tensor holds; numpy knows no bfloat16."""
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes()
