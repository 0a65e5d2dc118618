"""The error of weights and gradients of one cell, against exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from semideep_ext.benchmark.cells import LAMBDA, Cell
from semideep_ext.op.testing import (
    dense_distances,
    reference_distances,
    reference_weights,
    relative_error,
)

__all__ = ["error_against_reference"]


def error_against_reference(
    cell: Cell, x: Tensor, y: Tensor
) -> Callable[[tuple[Tensor, ...]], float]:
    """Return what compares results with exact arithmetic, on some rows of the large cells."""
    x, y = (side.double().cpu() for side in (x, y))
    rows = _spread(cell.n, max(8, min(500, 10**8 // (cell.m * cell.d))))
    exact = reference_weights(reference_distances(x[rows], y, cell.metric), LAMBDA)
    gradients = []
    if cell.backward:
        for some, others in ((x, y), (y, x)):
            at = _spread(len(some), 16)
            gradients.append((at, _reference_gradient(cell, some[at], others) / cell.m))

    def error(out: tuple[Tensor, ...]) -> float:
        w, *rest = (t.cpu() for t in out)
        worst = float((w[rows].double() / torch.from_numpy(exact) - 1).abs().max())
        for actual, (at, reference) in zip(rest, gradients, strict=True):
            worst = max(worst, relative_error(actual[at], reference))
        return worst

    return error


def _spread(rows: int, wanted: int) -> Tensor:
    return torch.linspace(0, rows - 1, min(rows, wanted), dtype=torch.float64).long()


def _reference_gradient(cell: Cell, some: Tensor, others: Tensor) -> Tensor:
    """Differentiate the sum over `others`, one row of `some` at a time: no large temporaries."""
    distances = dense_distances(cell.metric)
    gradients = []
    for row in some.double():
        row = row[None].requires_grad_()
        total = torch.exp(-LAMBDA * distances(row, others.double())).sum()
        gradients += torch.autograd.grad(total, row)
    return torch.cat(gradients)
