"""Conjugate gradients for many right-hand sides, by products with the matrix alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    b: Tensor,
    scale: Tensor,
    tol: float,
    max_iter: int,
    after_step: Callable[[], None] = lambda: None,
) -> tuple[Tensor, int, bool]:
    """Solve A f = b, column by column, for a symmetric A that is positive semi-definite.

    Parameters
    ----------
    product : callable
        Multiplies A with (n, C).
    b : Tensor, shape (n, C)
        In the range of A, where A is singular; the solution without a part in its null space is
        found then.
    scale : Tensor, shape (n, 1)
        What residuals are multiplied with before they are compared with `tol`.
    tol : float
        Largest sum of their absolute values.
    max_iter : int
    after_step : callable, optional
        Called after each product.

    Returns
    -------
    f : Tensor, shape (n, C)
    steps : int
    converged : bool

    Examples
    --------
    >>> A = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    >>> one = torch.ones(2, 1)
    >>> f, steps, converged = conjugate_gradients(A.matmul, one, one, 1e-5, 10)
    >>> f.T, steps, converged
    (tensor([[0.4000, 0.2000]]), 2, True)
    """
    f, residual = torch.zeros_like(b), b.clone()
    direction, squares = residual.clone(), residual.square().sum(0)
    for step in range(max_iter):
        if (scale * residual).abs().sum() <= tol:
            return f, step, True
        moved = product(direction)
        curvature = (direction * moved).sum(0)
        # A column that is solved has no direction left.
        length = torch.where(curvature > 0, squares / curvature, 0.0)
        f += length * direction
        residual -= length * moved
        before, squares = squares, residual.square().sum(0)
        direction = residual + torch.where(before > 0, squares / before, 0.0) * direction
        after_step()
    return f, max_iter, bool((scale * residual).abs().sum() <= tol)
