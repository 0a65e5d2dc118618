"""What reverse mode asks of the ops: the derivatives of their results by each argument.

`derivatives` says why the same ops give them all.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from semideep_ext.op import registration

Grads = tuple[Any, ...]
MaybeTensor = Tensor | None

_OPS = registration.kernel_matmul, registration.kernel_matmul_gradient
_TANGENT_OPS = registration.kernel_matmul_tangent, registration.kernel_matmul_gradient_tangent


def times(values: MaybeTensor, rows: Tensor) -> Tensor:
    """Multiply rows by values, where absent values are those of a mean."""
    return rows / rows.shape[-2] if values is None else values * rows


def _derivatives(
    ops: tuple[registration.Op, registration.Op],
    names: tuple[str, str],
    rows: tuple[Tensor, Tensor],
    values: tuple[MaybeTensor, MaybeTensor],
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
    (matmul, gradient), (x, y), (u, v) = ops, rows, values
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
    return -times(values, by_values).sum(-1).double() if wanted else None


def matmul(ctx: Any, grad: MaybeTensor) -> Grads:
    """Return the derivatives by the inputs of `kernel_matmul`."""
    if grad is None:
        return (None,) * 8
    x, y, v, parameter, shift_x, shift_y = ctx.saved_tensors
    need_x, need_y, need_v, need_parameter, need_shift_x, need_shift_y = ctx.needs_input_grad[:6]
    of_x, of_y, of_u, of_v, of_parameter = _derivatives(
        _OPS,
        ctx.names,
        (x, y),
        (grad, v),
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


def log_sum(ctx: Any, grad: MaybeTensor) -> Grads:
    """Return the derivatives by the inputs of `kernel_log_sum`."""
    if grad is None:
        return (None,) * 6
    # d log(sum) = d(sum) / sum, and dividing the sum by itself is a shift by its log.
    x, y, v, parameter, output = ctx.saved_tensors
    need_x, need_y, need_v, need_parameter = ctx.needs_input_grad[:4]
    grad = grad.to(registration.compute_dtype(x)).unsqueeze(-1)
    of_x, of_y, _, of_v, of_parameter = _derivatives(
        _OPS,
        ctx.names,
        (x, y),
        (grad, v),
        (parameter, output, None),
        (parameter, None, output),
        x_rows=need_x,
        y_rows=need_y,
        by_v=need_v,
        by_parameter=need_parameter,
    )
    return of_x, of_y, of_v, of_parameter, None, None


def gradient(ctx: Any, grad_rows: MaybeTensor, grad_parameter: MaybeTensor) -> Grads:
    """Return the derivatives by the inputs of `kernel_matmul_gradient`."""
    # The sum of the results times their gradients is the derivative of F along the direction
    # (grad_rows, 0, grad_parameter); what is asked for are the derivatives of that.
    x, y, u, v, parameter, shift_x, shift_y = ctx.saved_tensors
    need_x, need_y, need_u, need_v, need_parameter, need_shift_x, need_shift_y = (
        ctx.needs_input_grad[:7]
    )
    dx = grad_rows if ctx.rows else None
    of_x, of_y, of_u, of_v, of_parameter = _derivatives(
        _TANGENT_OPS,
        ctx.names,
        (x, y),
        (u, v),
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
