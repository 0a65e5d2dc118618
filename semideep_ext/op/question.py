"""What a call of the op asks, read once from what the user passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from semideep_ext.op.arguments import ArrayLike, describe, to_tensor
from semideep_ext.op.metrics import METRICS, check_kernel, check_metric
from semideep_ext.op.registration import compute_dtype
from semideep_ext.op.rows import to_compute_dtype, to_rows
from semideep_ext.op.values import to_parameter, to_y_weight

__all__ = ["Question", "read"]


@dataclass(slots=True)
class Question:
    """Sum k(d(x_i, y_j)) v_j over j and divide by the total; without v, take the mean of k.

    Its tensors are the caller's wherever their dtypes allow: views of them are `batch`'s to make.
    """

    metric: Any  # a name in `METRICS`, or a callable
    kernel: str
    log: bool  # whether the logarithm of all that is asked for
    x: Tensor  # (..., N, D)
    y: Tensor  # (..., M, D)
    v: Tensor | None  # (M,) or (..., M, C)
    total: Tensor | None  # (..., 1, 1, 1), float64, beside results of (..., L, N, C)
    parameter: Tensor  # float64: (1, 1) where a number was given, else () or (L,)
    levels: tuple[int, ...]  # () or (L,): as `lambda_` was given, so is the result
    columns: tuple[int, ...]  # () or (C,): as v was given, so is the result
    dtype: torch.dtype  # of the result
    as_array: bool  # whether the result goes back to numpy


def read(
    x: ArrayLike,
    y: ArrayLike,
    metric: Any,
    lambda_: Any,
    kernel: str,
    eps: Any,
    *,
    v: ArrayLike | None = None,
    y_weight: ArrayLike | None = None,
    log: bool = False,
) -> Question:
    """Read the arguments of `distance_weights` or `kernel_matmul`; refuse what does not fit."""
    x, y, as_array = to_rows(x, y, metric)
    total: Tensor | None = None
    columns: tuple[int, ...] = ()
    if v is not None:
        v = _to_values(v, x, y)
        columns = v.shape[-1:] if v.dim() > 1 else ()
    elif y_weight is not None:
        v, total = to_y_weight(y_weight, y)
    takes = check_kernel(kernel).parameter
    if not callable(metric):
        _check_differentiable(metric, x, y)
    x, y, dtype = to_compute_dtype(x, y, metric)
    if v is not None:
        v = v.to(compute_dtype(x))
    parameter, levels = to_parameter(lambda_, "lambda_", x)
    if takes == "eps":
        parameter, several = to_parameter(eps, "eps", x)
        if several:
            raise ValueError(f"eps must be one number or a 0-d tensor; {describe('eps', eps)}")
    return Question(
        metric, kernel, log, x, y, v, total, parameter, levels, columns, dtype, as_array
    )


def _to_values(v: ArrayLike, x: Tensor, y: Tensor) -> Tensor:
    v = to_tensor("v", v)
    if v.dim() < 1 or v.shape[0 if v.dim() == 1 else -2] != y.shape[-2]:
        raise ValueError(
            f"v must be (M,) or (..., M, C) with a row for each of the M = {y.shape[-2]} rows of "
            f"y; {describe('v', v)}"
        )
    if v.device != x.device:
        raise ValueError(f"v must be on the device of x, {x.device}; {describe('v', v)}")
    return v


def _check_differentiable(metric: str, x: Tensor, y: Tensor) -> None:
    if check_metric(metric).differentiable:
        return
    others = ", ".join(name for name, other in METRICS.items() if other.differentiable)
    for name, tensor in (("x", x), ("y", y)):
        if tensor.requires_grad and torch.is_grad_enabled():
            problem, change = "requires grad", f"pass {name}.detach()"
        elif not torch.compiler.is_compiling() and unpack_dual(tensor).tangent is not None:
            problem, change = "carries a forward-mode tangent", f"differentiate without {name}"
        else:
            continue
        raise ValueError(
            f"{name} {problem}, but metric={metric!r} has no gradient with respect to rows: "
            f"{change}, or use one of {others}"
        )
