"""The derivatives of the compiled ops, in reverse and in forward mode.

With, for each batch and in the shapes of `registration`,

    F = sum_{l,i,j,c} u[l,i,c] k_l(d(x_i, y_j)) exp(-shift_x[l,i] - shift_y[l,j]) v[l,j,c]

`kernel_matmul` is dF/du and `kernel_matmul_gradient` is (dF/dx, dF/dparameter). F does not change
when the two sides are exchanged, so the same two ops with their arguments exchanged give dF/dv and
dF/dy: the formulas below need no others. The `_tangent` ops differentiate the two along directions
(dx, dy, dparameter), which is what double backward and forward mode ask for; they have no
derivatives of their own.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from semideep_ext.op import registration

Grads = tuple[Any, ...]
MaybeTensor = Tensor | None


def _save(ctx: Any, tensors: Sequence[MaybeTensor], metric: str, kernel: str) -> None:
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)
    ctx.set_materialize_grads(False)
    ctx.names = (metric, kernel)


def _times(values: MaybeTensor, rows: Tensor) -> Tensor:
    """Multiply rows by values, where absent values are those of a mean."""
    return rows / rows.shape[-2] if values is None else values * rows


# --- reverse mode ---------------------------------------------------------------------------------


def _derivatives(
    matmul: registration.Op,
    gradient: registration.Op,
    names: tuple[str, str],
    x: Tensor,
    y: Tensor,
    u: MaybeTensor,
    v: MaybeTensor,
    x_side: tuple[Any, ...],
    y_side: tuple[Any, ...],
    *,
    x_rows: bool = False,
    y_rows: bool = False,
    by_parameter: bool = False,
    by_u: bool = False,
    by_v: bool = False,
) -> tuple[Any, Any, Any, Any, Any]:
    """Compute what is wanted of dF/dx, dF/dy, dF/du, dF/dv and dF/dparameter, else None.

    x_side and y_side are the arguments between v and the names, as seen from x and, with the sides
    exchanged, from y.
    """
    of_x = of_y = of_u = of_v = of_parameter = None
    if x_rows or by_parameter:
        of_x, of_parameter = gradient(x, y, u, v, *x_side, *names, x_rows)
    if y_rows:
        of_y, _ = gradient(y, x, v, u, *y_side, *names, True)
    if by_u:
        of_u = matmul(x, y, v, *x_side, *names)
    if by_v:
        of_v = matmul(y, x, u, *y_side, *names)
    return of_x if x_rows else None, of_y, of_u, of_v, of_parameter if by_parameter else None


def _shift_gradient(wanted: bool, values: MaybeTensor, by_values: Any) -> MaybeTensor:
    """dF/dshift of a side, from its values and dF/dvalues: exp(-shift) scales both alike."""
    return -_times(values, by_values).sum(-1).double() if wanted else None


def _matmul_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, metric, kernel = inputs
    _save(ctx, tensors, metric, kernel)


def _matmul_backward(ctx: Any, grad: MaybeTensor) -> Grads:
    if grad is None:
        return (None,) * 8
    x, y, v, parameter, shift_x, shift_y = ctx.saved_tensors
    need_x, need_y, need_v, need_parameter, need_shift_x, need_shift_y = ctx.needs_input_grad[:6]
    of_x, of_y, of_u, of_v, of_parameter = _derivatives(
        *(
            registration.kernel_matmul,
            registration.kernel_matmul_gradient,
            ctx.names,
            x,
            y,
            grad,
            v,
        ),
        (parameter, shift_x, shift_y),
        (parameter, shift_y, shift_x),
        x_rows=need_x,
        y_rows=need_y,
        by_u=need_shift_x,
        by_v=need_v or need_shift_y,
        by_parameter=need_parameter,
    )
    of_shift_x = _shift_gradient(need_shift_x, grad, of_u)
    of_shift_y = _shift_gradient(need_shift_y, v, of_v)
    of_v = of_v if need_v else None
    return of_x, of_y, of_v, of_parameter, of_shift_x, of_shift_y, None, None


def _log_sum_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, metric, kernel = inputs
    _save(ctx, (*tensors, output), metric, kernel)


def _log_sum_backward(ctx: Any, grad: MaybeTensor) -> Grads:
    if grad is None:
        return (None,) * 6
    # d log(sum) = d(sum) / sum, and dividing the sum by itself is a shift by its log.
    x, y, v, parameter, output = ctx.saved_tensors
    need_x, need_y, need_v, need_parameter = ctx.needs_input_grad[:4]
    grad = grad.to(registration.compute_dtype(x)).unsqueeze(-1)
    of_x, of_y, _, of_v, of_parameter = _derivatives(
        *(
            registration.kernel_matmul,
            registration.kernel_matmul_gradient,
            ctx.names,
            x,
            y,
            grad,
            v,
        ),
        (parameter, output, None),
        (parameter, None, output),
        x_rows=need_x,
        y_rows=need_y,
        by_v=need_v,
        by_parameter=need_parameter,
    )
    return of_x, of_y, of_v, of_parameter, None, None


def _gradient_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, metric, kernel, ctx.rows = inputs
    _save(ctx, tensors, metric, kernel)


def _gradient_backward(ctx: Any, grad_rows: MaybeTensor, grad_parameter: MaybeTensor) -> Grads:
    # The sum of the results times their gradients is the derivative of F along the direction
    # (grad_rows, 0, grad_parameter); what is asked for are the derivatives of that.
    x, y, u, v, parameter, shift_x, shift_y = ctx.saved_tensors
    need_x, need_y, need_u, need_v, need_parameter, need_shift_x, need_shift_y = (
        ctx.needs_input_grad[:7]
    )
    dx = grad_rows if ctx.rows else None
    of_x, of_y, of_u, of_v, of_parameter = _derivatives(
        *(
            registration.kernel_matmul_tangent,
            registration.kernel_matmul_gradient_tangent,
            ctx.names,
            x,
            y,
            u,
            v,
        ),
        (parameter, shift_x, shift_y, dx, None, grad_parameter),
        (parameter, shift_y, shift_x, None, dx, grad_parameter),
        x_rows=need_x,
        y_rows=need_y,
        by_u=need_u or need_shift_x,
        by_v=need_v or need_shift_y,
        by_parameter=need_parameter,
    )
    of_shift_x = _shift_gradient(need_shift_x, u, of_u)
    of_shift_y = _shift_gradient(need_shift_y, v, of_v)
    of_u, of_v = of_u if need_u else None, of_v if need_v else None
    return of_x, of_y, of_u, of_v, of_parameter, of_shift_x, of_shift_y, None, None, None


def _keep_nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    pass


def _refuse(ctx: Any, *_: MaybeTensor) -> Grads:
    raise RuntimeError(
        "third derivatives are not implemented, nor derivatives of forward-mode results: take "
        "second ones by torch.func.hessian or by reverse mode twice, the second time with "
        "create_graph=False"
    )


# --- forward mode ---------------------------------------------------------------------------------


def _sum(*terms: Tensor) -> Tensor:
    return functools.reduce(operator.add, terms)


def _tangents(
    op: registration.Op,
    op_tangent: registration.Op,
    rows: tuple[Tensor, Tensor],
    values: tuple[MaybeTensor, ...],
    dvalues: tuple[MaybeTensor, ...],
    side: tuple[MaybeTensor, ...],
    directions: tuple[MaybeTensor, MaybeTensor, MaybeTensor],
    rest: tuple[Any, ...],
) -> list[Any]:
    """Terms of an op's tangent: one along (dx, dy, dparameter), one for each of the values."""
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
    by_shift = -_times(values, dshift.unsqueeze(-1).to(registration.compute_dtype(like)))
    return by_shift if dvalues is None else dvalues + by_shift


def _matmul_jvp(ctx: Any, *tangents: MaybeTensor) -> Tensor:
    x, y, v, *side = ctx.saved_tensors
    dx, dy, dv, dparameter, dshift_x, dshift_y = tangents[:6]
    terms = _tangents(
        *(registration.kernel_matmul, registration.kernel_matmul_tangent, (x, y)),
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


def _log_sum_jvp(ctx: Any, *tangents: MaybeTensor) -> Tensor:
    x, y, v, parameter, output = ctx.saved_tensors
    dx, dy, dv, dparameter = tangents[:4]
    terms = _tangents(
        *(registration.kernel_matmul, registration.kernel_matmul_tangent, (x, y), (v,), (dv,)),
        (parameter, output, None),  # as in reverse mode
        (dx, dy, dparameter),
        ctx.names,
    )
    return _sum(*terms).squeeze(-1).double()


def _gradient_jvp(ctx: Any, *tangents: MaybeTensor) -> tuple[Tensor, ...]:
    x, y, u, v, *side = ctx.saved_tensors
    dx, dy, du, dv, dparameter, dshift_x, dshift_y = tangents[:7]
    terms = _tangents(
        *(
            registration.kernel_matmul_gradient,
            registration.kernel_matmul_gradient_tangent,
            (x, y),
            (u, v),
        ),
        (_shifted(u, du, dshift_x, x), _shifted(v, dv, dshift_y, x)),
        tuple(side),
        (dx, dy, dparameter),
        (*ctx.names, ctx.rows),
    )
    return tuple(map(_sum, *terms))


registration.kernel_matmul.differentiate(_matmul_setup, _matmul_backward, _matmul_jvp)
registration.kernel_log_sum.differentiate(_log_sum_setup, _log_sum_backward, _log_sum_jvp)
registration.kernel_matmul_gradient.differentiate(
    _gradient_setup, _gradient_backward, _gradient_jvp
)
for _op in (registration.kernel_matmul_tangent, registration.kernel_matmul_gradient_tangent):
    _op.differentiate(_keep_nothing, _refuse, _refuse)
