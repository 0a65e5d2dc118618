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

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from semideep_ext.op import forward_mode, registration, reverse_mode
from semideep_ext.op.reverse_mode import Grads, MaybeTensor


def _save(ctx: Any, tensors: Sequence[MaybeTensor], metric: str, kernel: str) -> None:
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)
    ctx.set_materialize_grads(False)
    ctx.names = (metric, kernel)


def _matmul_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, metric, kernel = inputs
    _save(ctx, tensors, metric, kernel)


def _log_sum_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, metric, kernel = inputs
    _save(ctx, (*tensors, output), metric, kernel)


def _gradient_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, metric, kernel, ctx.rows = inputs
    _save(ctx, tensors, metric, kernel)


def _keep_nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    pass


def _refuse(ctx: Any, *_: MaybeTensor) -> Grads:
    raise RuntimeError(
        "third derivatives are not implemented, nor derivatives of forward-mode results: take "
        "second ones by torch.func.hessian or by reverse mode twice, the second time with "
        "create_graph=False"
    )


registration.kernel_matmul.differentiate(_matmul_setup, reverse_mode.matmul, forward_mode.matmul)
registration.kernel_log_sum.differentiate(
    _log_sum_setup, reverse_mode.log_sum, forward_mode.log_sum
)
registration.kernel_matmul_gradient.differentiate(
    _gradient_setup, reverse_mode.gradient, forward_mode.gradient
)
for _op in (registration.kernel_matmul_tangent, registration.kernel_matmul_gradient_tangent):
    _op.differentiate(_keep_nothing, _refuse, _refuse)
