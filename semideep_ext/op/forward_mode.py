"""What forward mode asks of the ops: the tangents of their results along those of their arguments.

`derivatives` says why the same ops give them all.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

from torch import Tensor

from semideep_ext.op import registration
from semideep_ext.op.reverse_mode import MaybeTensor, times

# An op and what differentiates it along directions.
_MATMUL = registration.kernel_matmul, registration.kernel_matmul_tangent
_GRADIENT = registration.kernel_matmul_gradient, registration.kernel_matmul_gradient_tangent


def _sum(*terms: Tensor) -> Tensor:
    return functools.reduce(operator.add, terms)


def _tangents(
    ops: tuple[registration.Op, registration.Op],
    rows: tuple[Tensor, Tensor],
    values: tuple[MaybeTensor, ...],
    dvalues: tuple[MaybeTensor, ...],
    side: tuple[MaybeTensor, ...],
    directions: tuple[MaybeTensor, MaybeTensor, MaybeTensor],
    rest: tuple[Any, ...],
) -> list[Any]:
    """Terms of an op's tangent: one along (dx, dy, dparameter), one for each of the values."""
    op, op_tangent = ops
    terms = []
    if any(direction is not None for direction in directions):
        dx, dy, dparameter = directions
        dtype = registration.compute_dtype(rows[0])
        dx, dy = (d if d is None else d.to(dtype) for d in (dx, dy))
        terms.append(op_tangent(*rows, *values, *side, dx, dy, dparameter, *rest))
    for i, dvalue in enumerate(dvalues):
        if dvalue is not None:  # linear
            terms.append(op(*rows, *values[:i], dvalue, *values[i + 1 :], *side, *rest))
    return terms


def _shifted(values: MaybeTensor, dvalues: MaybeTensor, dshift: MaybeTensor, like: Tensor) -> Any:
    """Tangent of values * exp(-shift), over exp(-shift)."""
    if dshift is None:
        return dvalues
    by_shift = -times(values, dshift.unsqueeze(-1).to(registration.compute_dtype(like)))
    return by_shift if dvalues is None else dvalues + by_shift


def matmul(ctx: Any, *tangents: MaybeTensor) -> Tensor:
    """Return the tangent of `kernel_matmul`."""
    x, y, v, *side = ctx.saved_tensors
    dx, dy, dv, dparameter, dshift_x, dshift_y = tangents[:6]
    terms = _tangents(
        _MATMUL,
        (x, y),
        (v,),
        (_shifted(v, dv, dshift_y, x),),
        tuple(side),
        (dx, dy, dparameter),
        ctx.names,
    )
    if dshift_x is not None:
        product = registration.kernel_matmul(x, y, v, *side, *ctx.names)
        terms.append(_shifted(product, None, dshift_x, x))
    return _sum(*terms)


def log_sum(ctx: Any, *tangents: MaybeTensor) -> Tensor:
    """Return the tangent of `kernel_log_sum`."""
    x, y, v, parameter, output = ctx.saved_tensors
    dx, dy, dv, dparameter = tangents[:4]
    terms = _tangents(
        _MATMUL,
        (x, y),
        (v,),
        (dv,),
        (parameter, output, None),  # as in reverse mode
        (dx, dy, dparameter),
        ctx.names,
    )
    return _sum(*terms).squeeze(-1).double()


def gradient(ctx: Any, *tangents: MaybeTensor) -> tuple[Tensor, ...]:
    """Return the tangent of `kernel_matmul_gradient`."""
    x, y, u, v, *side = ctx.saved_tensors
    dx, dy, du, dv, dparameter, dshift_x, dshift_y = tangents[:7]
    terms = _tangents(
        _GRADIENT,
        (x, y),
        (u, v),
        (_shifted(u, du, dshift_x, x), _shifted(v, dv, dshift_y, x)),
        tuple(side),
        (dx, dy, dparameter),
        (*ctx.names, ctx.rows),
    )
    return tuple(map(_sum, *terms))
