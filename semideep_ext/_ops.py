"""The compiled ops: fake, autograd, vmap and autocast registration; nothing else.

Shapes: x (B, N, D), y (B, M, D), u (B, L, N, C), v (B, L, M, C), parameter (B, L), shift_x (B, L, N),
shift_y (B, L, M); csrc/torch/ops.cpp says which are float64. With

    F = sum_{b,l,i,j,c} u[b,l,i,c] k_l(d(x_bi, y_bj)) exp(-shift_x[b,l,i] - shift_y[b,l,j]) v[b,l,j,c]

`kernel_matmul` is dF/du and `kernel_matmul_gradient` is (dF/dx, dF/dparameter). F does not change when the
two sides are exchanged, so the same two ops with their arguments exchanged give dF/dv and dF/dy: the
formulas below need no others. The `_tangent` ops differentiate the two along directions (dx, dy,
dparameter), which is what double backward asks for; they have no derivatives of their own.
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


def _shift_gradient(values: Tensor, by_values: Tensor) -> Tensor:
    """dF/dshift of a side, from its values and dF/dvalues: the shift scales both by exp(-shift)."""
    return -(values * by_values).sum(-1).double()


def _save(ctx: Any, tensors: Sequence[Tensor | None], metric: str, kernel: str) -> None:
    ctx.save_for_backward(*tensors)
    ctx.metric, ctx.kernel = metric, kernel


def _matmul_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, y, v, parameter, shift_x, shift_y, metric, kernel = inputs
    # The output is only needed for dF/dshift_x.
    _save(ctx, (x, y, v, parameter, shift_x, shift_y, output if ctx.needs_input_grad[4] else None), metric, kernel)


def _matmul_backward(ctx: Any, grad: Tensor) -> Grads:
    x, y, v, parameter, shift_x, shift_y, output = ctx.saved_tensors
    need_x, need_y, need_v, need_parameter, need_shift_x, need_shift_y = ctx.needs_input_grad[:6]
    names = (ctx.metric, ctx.kernel)
    by_x = by_y = by_v = by_parameter = by_shift_x = by_shift_y = None
    if need_x or need_parameter:
        by_x, by_parameter = _ops.kernel_matmul_gradient(
            x, y, grad, v, parameter, shift_x, shift_y, *names, need_x
        )
    if need_y:
        by_y, _ = _ops.kernel_matmul_gradient(
            y, x, v, grad, parameter, shift_y, shift_x, *names, True
        )
    if need_v or need_shift_y:
        by_v = _ops.kernel_matmul(y, x, grad, parameter, shift_y, shift_x, *names)
    if need_shift_x:
        by_shift_x = _shift_gradient(grad, output)
    if need_shift_y:
        by_shift_y = _shift_gradient(v, by_v)
    return (
        by_x if need_x else None,
        by_y,
        by_v,
        by_parameter if need_parameter else None,
        by_shift_x,
        by_shift_y,
        None,
        None,
    )


def _log_sum_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, y, v, parameter, metric, kernel = inputs
    _save(ctx, (x, y, v, parameter, output), metric, kernel)


def _log_sum_backward(ctx: Any, grad: Tensor) -> Grads:
    # d log(sum) = d(sum) / sum, and dividing the sum by itself is a shift by its log.
    x, y, v, parameter, shift = ctx.saved_tensors
    need_x, need_y, need_v, need_parameter = ctx.needs_input_grad[:4]
    names = (ctx.metric, ctx.kernel)
    grad = grad.to(x.dtype).unsqueeze(-1)
    by_x = by_y = by_v = by_parameter = None
    if need_x or need_parameter:
        by_x, by_parameter = _ops.kernel_matmul_gradient(
            x, y, grad, v, parameter, shift, None, *names, need_x
        )
    if need_y:
        by_y, _ = _ops.kernel_matmul_gradient(y, x, v, grad, parameter, None, shift, *names, True)
    if need_v:
        by_v = _ops.kernel_matmul(y, x, grad, parameter, None, shift, *names)
    return (
        by_x if need_x else None,
        by_y,
        by_v,
        by_parameter if need_parameter else None,
        None,
        None,
    )


def _gradient_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, metric, kernel, rows = inputs
    _save(ctx, tensors, metric, kernel)
    ctx.rows = rows


def _gradient_backward(ctx: Any, grad_rows: Tensor | None, grad_parameter: Tensor | None) -> Grads:
    x, y, u, v, parameter, shift_x, shift_y = ctx.saved_tensors
    need_x, need_y, need_u, need_v, need_parameter, need_shift_x, need_shift_y = (
        ctx.needs_input_grad[:7]
    )
    names = (ctx.metric, ctx.kernel)
    dx = grad_rows if ctx.rows else None
    x_side = (parameter, shift_x, shift_y, dx, None, grad_parameter)
    y_side = (parameter, shift_y, shift_x, None, dx, grad_parameter)
    by_x = by_y = by_u = by_v = by_parameter = by_shift_x = by_shift_y = None
    if need_x or need_parameter:
        by_x, by_parameter = _ops.kernel_matmul_gradient_tangent(
            x, y, u, v, *x_side, *names, need_x
        )
    if need_y:
        by_y, _ = _ops.kernel_matmul_gradient_tangent(y, x, v, u, *y_side, *names, True)
    if need_u or need_shift_x:
        by_u = _ops.kernel_matmul_tangent(x, y, v, *x_side, *names)
    if need_v or need_shift_y:
        by_v = _ops.kernel_matmul_tangent(y, x, u, *y_side, *names)
    if need_shift_x:
        by_shift_x = _shift_gradient(u, by_u)
    if need_shift_y:
        by_shift_y = _shift_gradient(v, by_v)
    return (
        by_x if need_x else None,
        by_y,
        by_u,
        by_v,
        by_parameter if need_parameter else None,
        by_shift_x,
        by_shift_y,
        None,
        None,
        None,
    )


def _no_third_derivative(ctx: Any, *grads: Tensor) -> Grads:
    raise RuntimeError(
        "third derivatives are not implemented: call torch.autograd.grad with create_graph=False at "
        "the second level"
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


# --- vmap: the ops have a batch dimension already, so a mapped dimension is folded into it ---------


def _register_vmap(op: str) -> None:
    call = getattr(_ops, op)

    def rule(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        def fold(arg: Any, dim: int | None) -> Any:
            if not isinstance(arg, Tensor):
                return arg
            mapped = (
                arg.expand(info.batch_size, *arg.shape) if dim is None else arg.movedim(dim, 0)
            )
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
