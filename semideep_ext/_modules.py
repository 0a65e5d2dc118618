"""Small questions about torch modules that several wings ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

COMPILED = "_orig_mod"  # what torch.compile calls the model inside


def unwrapped(model: nn.Module) -> nn.Module:
    """Give the model that `torch.compile` was called on, if it was."""
    inner = getattr(model, COMPILED, model)
    return inner if isinstance(inner, nn.Module) else model


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluate without gradients; then put each module back as it was, frozen ones included."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def find_module(model: nn.Module, name: str | None, option: str) -> nn.Module:
    """Give the submodule of that name, by default the last `nn.Linear`.

    Raises
    ------
    ValueError
        If there is none; `option` is the argument in which the user gave the name.
    """
    modules = dict(model.named_modules())
    if name is None:
        linear = [module for module in modules.values() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError(
                f"the model has no nn.Linear, of which the input would be its features; give "
                f"{option}= the name of a submodule"
            )
        return linear[-1]
    if name not in modules:
        raise ValueError(
            f"{option}={name!r}: the model has no such submodule; it has "
            f"{', '.join(name for name in modules if name)}"
        )
    return modules[name]


@contextmanager
def inputs_seen(module: nn.Module) -> Iterator[list[Tensor]]:
    """Record the input of each call of a module; a call made inside a model, say."""
    seen: list[Tensor] = []
    handle = module.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()
