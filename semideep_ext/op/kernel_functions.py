"""The kernel functions written with torch.

`csrc/core/kernels.h` is their list; this table is what must exist a second time: callable metrics
are evaluated by it, and the tests compare the compiled kernel functions with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["FUNCTIONS", "KernelFunction", "kernel_function"]


class KernelFunction(NamedTuple):
    """A kernel function of distances d and its parameter p, which broadcast."""

    value: Callable[[Tensor, Tensor], Tensor]
    log: Callable[[Tensor, Tensor], Tensor]


FUNCTIONS = {
    "exponential": KernelFunction(value=lambda d, p: torch.exp(-p * d), log=lambda d, p: -p * d),
    "inverse": KernelFunction(value=lambda d, p: 1 / (d + p), log=lambda d, p: -torch.log(d + p)),
}


def kernel_function(name: str) -> KernelFunction:
    """Return the entry of a kernel function that `KERNELS` lists.

    Raises
    ------
    ValueError
        If the table lacks it.

    Examples
    --------
    >>> kernel_function("inverse").value(torch.tensor([0.0, 1.5]), torch.tensor(0.5))
    tensor([2.0000, 0.5000])
    """
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    raise ValueError(
        f"kernel={name!r} is compiled but has no entry in FUNCTIONS of {__name__}, which "
        f"evaluates it for callable metrics: add one beside {', '.join(FUNCTIONS)}"
    )
