"""The compiled ops: fake, autograd, vmap and autocast registration; nothing else.

Shapes: x (B, N, D), y (B, M, D), u (B, L, N, C), v (B, L, M, C), parameter (B, L), shift_x (B, L,
N), shift_y (B, L, M); csrc/torch/ops.cpp says which are float64. With,
for each batch,

    F = sum_{l,i,j,c} u[l,i,c] k_l(d(x_i, y_j)) exp(-shift_x[l,i] - shift_y[l,j]) v[l,j,c]

`kernel_matmul` is dF/du and `kernel_matmul_gradient` is (dF/dx, dF/dparameter). F does not change
when the two sides are exchanged, so the same two ops with their arguments exchanged give dF/dv and
dF/dy: the formulas below need no others. The `_tangent` ops differentiate the two along directions
(dx, dy, dparameter), which is what double backward asks for; they have no derivatives of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

torch.ops.load_library(str(Path(__file__).with_name("_torch.so")))

_ops = torch.ops.semideep_ext
_library = torch.library.Library("semideep_ext", "FRAGMENT")

Grads = tuple[Any, ...]


def _name(op: str) -> str:
    return f"semideep_ext::{op}"


# --- fake: shapes and dtypes of the results -------------------------------------------------------


def _fake_matmul(x: Tensor, y: Tensor, v: Tensor, parameter: Tensor, *_: Any) -> Tensor:
    return x.new_empty((x.shape[0], parameter.shape[1], x.shape[1], v.shape[3]))


def _fake_log_sum(x: Tensor, y: Tensor, v: Tensor, parameter: Tensor, *_: Any) -> Tensor:
    return x.new_empty((x.shape[0], parameter.shape[1], x.shape[1]), dtype=torch.float64)


def _fake_gradient(
    x: Tensor, y: Tensor, u: Tensor, v: Tensor, parameter: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    rows = rest[-1]
    by_rows = x.new_empty((x.shape[0] if rows else 0, x.shape[1], x.shape[2]))
    return by_rows, parameter.new_empty(tuple(parameter.shape))


for _op in ("kernel_matmul", "kernel_matmul_tangent"):
    torch.library.register_fake(_name(_op), _fake_matmul, lib=_library)
for _op in ("kernel_matmul_gradient", "kernel_matmul_gradient_tangent"):
    torch.library.register_fake(_name(_op), _fake_gradient, lib=_library)
torch.library.register_fake(_name("kernel_log_sum"), _fake_log_sum, lib=_library)


# --- autograd -------------------------------------------------------------------------------------


def _derivatives(
    op: str,
    names: tuple[str, str],
    x: Tensor,
    y: Tensor,
    u: Tensor | None,
    v: Tensor | None,
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

    op is "" or "_tangent"; x_side and y_side are the arguments between v and the names, as seen
    from x and, with the sides exchanged, from y.
    """
    matmul = getattr(_ops, f"kernel_matmul{op}")
    gradient = getattr(_ops, f"kernel_matmul_gradient{op}")
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


def _shift_gradient(wanted: bool, values: Tensor, by_values: Any) -> Tensor | None:
    """dF/dshift of a side, from its values and dF/dvalues: exp(-shift) scales both alike."""
    return -(values * by_values).sum(-1).double() if wanted else None


def _save(ctx: Any, tensors: Sequence[Tensor | None], metric: str, kernel: str) -> None:
    ctx.save_for_backward(*tensors)
    ctx.names = (metric, kernel)


def _matmul_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, metric, kernel = inputs
    need_shift_x = ctx.needs_input_grad[4]
    _save(ctx, (*tensors, output if need_shift_x else None), metric, kernel)


def _matmul_backward(ctx: Any, grad: Tensor) -> Grads:
    x, y, v, parameter, shift_x, shift_y, output = ctx.saved_tensors
    need_x, need_y, need_v, need_parameter, need_shift_x, need_shift_y = ctx.needs_input_grad[:6]
    x_side, y_side = (parameter, shift_x, shift_y), (parameter, shift_y, shift_x)
    of_x, of_y, _, of_v, of_parameter = _derivatives(
        *("", ctx.names, x, y, grad, v, x_side, y_side),
        x_rows=need_x,
        y_rows=need_y,
        by_v=need_v or need_shift_y,
        by_parameter=need_parameter,
    )
    of_shift_x = _shift_gradient(need_shift_x, grad, output)
    of_shift_y = _shift_gradient(need_shift_y, v, of_v)
    return of_x, of_y, of_v, of_parameter, of_shift_x, of_shift_y, None, None


def _log_sum_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, metric, kernel = inputs
    _save(ctx, (*tensors, output), metric, kernel)


def _log_sum_backward(ctx: Any, grad: Tensor) -> Grads:
    # d log(sum) = d(sum) / sum, and dividing the sum by itself is a shift by its log.
    x, y, v, parameter, output = ctx.saved_tensors
    need_x, need_y, need_v, need_parameter = ctx.needs_input_grad[:4]
    grad = grad.to(x.dtype).unsqueeze(-1)
    x_side, y_side = (parameter, output, None), (parameter, None, output)
    of_x, of_y, _, of_v, of_parameter = _derivatives(
        *("", ctx.names, x, y, grad, v, x_side, y_side),
        x_rows=need_x,
        y_rows=need_y,
        by_v=need_v,
        by_parameter=need_parameter,
    )
    return of_x, of_y, of_v, of_parameter, None, None


def _gradient_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, metric, kernel, ctx.rows = inputs
    _save(ctx, tensors, metric, kernel)


def _gradient_backward(ctx: Any, grad_rows: Tensor | None, grad_parameter: Tensor | None) -> Grads:
    # The sum of the results times their gradients is the derivative of F along the direction
    # (grad_rows, 0, grad_parameter); what is asked for are the derivatives of that.
    x, y, u, v, parameter, shift_x, shift_y = ctx.saved_tensors
    need_x, need_y, need_u, need_v, need_parameter, need_shift_x, need_shift_y = (
        ctx.needs_input_grad[:7]
    )
    dx = grad_rows if ctx.rows else None
    of_x, of_y, of_u, of_v, of_parameter = _derivatives(
        *("_tangent", ctx.names, x, y, u, v),
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
    return of_x, of_y, of_u, of_v, of_parameter, of_shift_x, of_shift_y, None, None, None


def _no_third_derivative(ctx: Any, *grads: Tensor) -> Grads:
    raise RuntimeError(
        "third derivatives are not implemented: call torch.autograd.grad with create_graph=False "
        "at the second level"
    )


_AUTOGRAD: dict[str, tuple[Callable[..., Grads], Callable[..., None] | None]] = {
    "kernel_matmul": (_matmul_backward, _matmul_setup),
    "kernel_log_sum": (_log_sum_backward, _log_sum_setup),
    "kernel_matmul_gradient": (_gradient_backward, _gradient_setup),
    "kernel_matmul_tangent": (_no_third_derivative, None),
    "kernel_matmul_gradient_tangent": (_no_third_derivative, None),
}
for _op, (_backward, _setup) in _AUTOGRAD.items():
    torch.library.register_autograd(_name(_op), _backward, setup_context=_setup, lib=_library)


# --- vmap: a mapped dimension is folded into the batch dimension ----------------------------------


def _register_vmap(op: str) -> None:
    call = getattr(_ops, op)

    def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        def fold(arg: Any, dim: int | None) -> Any:
            if not isinstance(arg, Tensor):
                return arg
            mapped = arg.expand(info.batch_size, *arg.shape) if dim is None else arg.movedim(dim, 0)
            return mapped.flatten(0, 1)

        def unfold(result: Tensor) -> Tensor:
            return result.unflatten(0, (info.batch_size, result.shape[0] // info.batch_size))

        results = call(*map(fold, args, in_dims))
        if isinstance(results, Tensor):
            return unfold(results), 0
        return tuple(map(unfold, results)), (0,) * len(results)

    torch.library.register_vmap(_name(op), rule, lib=_library)


# --- autocast: half types would lose what the kernels keep ----------------------------------------

for _op in _AUTOGRAD:
    _register_vmap(_op)
    for _device in ("cpu", "cuda"):
        torch.library.register_autocast(_name(_op), _device, torch.float32, lib=_library)
