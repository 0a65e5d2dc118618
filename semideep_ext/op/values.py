"""Numbers whose values are checked: `lambda_`, `eps` and the weights of the rows of y."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semideep_ext.op.arguments import ArrayLike, describe, to_tensor


def holds(condition: Tensor) -> bool:
    """Whether the condition is known to be true.

    Under torch.compile and vmap a value cannot be read, and to read one on another device than the
    CPU is to wait for all that is queued there; checks of values are left out then.
    """
    if torch.compiler.is_compiling() or condition.device.type != "cpu":
        return False
    try:
        return bool(condition)
    except RuntimeError:
        return False


def require(tensor: Tensor, valid: Tensor, message: Callable[[], str]) -> Tensor:
    """Return the tensor if all of it is valid; else raise, or, off the CPU, put NaN in its place.

    No value is read there (see `holds`), but nothing wrong passes for a result either.
    """
    if tensor.device.type not in ("cpu", "meta"):
        return torch.where(valid, tensor, math.nan)
    if holds(~valid.all()):
        raise ValueError(message())
    return tensor


def to_parameter(value: Any, name: str, like: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Return `lambda_` or `eps` in float64, and its shape: () or (L,); a number becomes (1, 1)."""
    if isinstance(value, Tensor):
        if value.dim() > 1 or value.dtype.is_complex:
            raise ValueError(
                f"{name} must be a number, a 0-d or a 1-d tensor; {describe(name, value)}"
            )
        if value.numel() == 0:
            raise ValueError(f"{name} must hold at least one value; {describe(name, value)}")
        parameter = value.to(torch.float64)
        valid = torch.isfinite(parameter) & (parameter > 0)
        parameter = require(
            parameter, valid, lambda: f"{name} must be finite and > 0, got {value.tolist()}"
        )
        return parameter.to(like.device), value.shape
    if isinstance(value, str):
        raise ValueError(f"{name} must be a number or a tensor, got {value!r}")
    if isinstance(value, (list, tuple, np.ndarray)):
        return to_parameter(torch.as_tensor(np.asarray(value, dtype=np.float64)), name, like)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number or a tensor, got {value!r}") from None
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be finite and > 0, got {value!r}")
    return torch.full((1, 1), number, dtype=torch.float64, device=like.device), ()


def to_y_weight(y_weight: ArrayLike, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights of the rows of y, (..., M, 1), and their sum, to divide the result by.

    Dividing at the end keeps a mean of ones exactly 1.
    """
    m = y.shape[-2]
    weight = to_tensor("y_weight", y_weight)
    if weight.dim() < 1 or weight.shape[-1] != m:
        raise ValueError(
            f"y_weight must have one value for each of the {m} rows of y; "
            f"{describe('y_weight', weight)}"
        )
    weight = weight.to(torch.float64)
    weight = require(
        weight,
        torch.isfinite(weight) & (weight >= 0),
        lambda: "y_weight must be finite and non-negative; drop or clip the other values",
    )
    largest = weight.detach().amax(-1, keepdim=True)
    if holds((largest == 0).any()):  # which gives NaN where it goes unnoticed
        raise ValueError("y_weight must not be all zero: at least one row of y must count")
    weight = (weight / largest).to(y.device)  # or the sum might overflow
    total = weight.sum(-1, keepdim=True)
    return weight.unsqueeze(-1), total.unsqueeze(-1).unsqueeze(-1)
