"""What a contestant is, and what their calls share: blocks of rows, gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semideep_ext.benchmark.cells import Cell

# Distances at a time, for those who work in blocks of rows. Which is faster depends on the caches.
BLOCKS = (2**20, 2**22)


CUDA_BLOCKS = (2**22, 2**26)  # in the second-level cache; large enough for launches to cost nothing


# Two sets of rows -> weights, and in cells with backward also the gradients of their sum.
Call = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


Distances = Callable[[Any, Any], Any]


class UnsupportedError(Exception):
    """Why a contestant does not compete in a cell."""


@dataclass(frozen=True)
class Contestant:
    """Someone who computes the weights.

    Attributes
    ----------
    package : str
        The distribution whose version counts.
    ways : callable
        From the cell and its number of threads: calls by name. Raises ImportError where the package
        is missing, `UnsupportedError` where it cannot do what the cell asks for.
    trial_pairs : int
        On about so many pairs of rows the ways are compared: few, for those who may take minutes.
    """

    package: str
    ways: Callable[[Cell, int], dict[str, Call]]
    trial_pairs: int = 2**21


def weight_dtype(rows: Tensor) -> torch.dtype:
    return torch.float64 if rows.dtype == torch.float64 else torch.float32


def name_of_formula(cell: Cell) -> str:
    return "hamming of bits" if cell.bits else cell.metric


def with_backward(call: Call, cell: Cell) -> Call:
    def forward_backward(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
        (w,) = call(x, y)
        return (w.detach(), *torch.autograd.grad(w.sum(), (x, y)))

    return forward_backward if cell.backward else call


def in_blocks(call: Call, rows: int) -> Call:
    # Results are written in place: between freed blocks, many small ones would fragment the heap.
    def blocks(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        if rows >= len(x):
            return call(x, y)
        w = x.new_empty(len(x), dtype=weight_dtype(x))
        x_gradient, y_gradient = torch.empty_like(x), torch.zeros_like(y)
        gradients: list[Tensor] = []
        for start in range(0, len(x), rows):
            at = slice(start, start + rows)
            w[at], *gradients = call(x[at], y)
            if gradients:
                x_gradient[at] = gradients[0]
                y_gradient += gradients[1]
        return (w, x_gradient, y_gradient) if gradients else (w,)

    return blocks


def block_rows(cell: Cell) -> dict[str, int]:
    blocks = CUDA_BLOCKS if cell.device == "cuda" else BLOCKS
    rows = {min(cell.n, max(16, distances // cell.m)) for distances in blocks}
    return {f"{r} rows": r for r in sorted(rows)}


def forward_only(cell: Cell) -> None:
    if cell.backward:
        raise UnsupportedError("has no gradients")
