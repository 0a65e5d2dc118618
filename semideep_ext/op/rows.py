"""Both sets of rows as tensors that go together, in a dtype that the kernels read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semideep_ext.op.arguments import (
    ArrayLike,
    check_columns,
    column_names,
    describe,
    is_missing,
    to_numpy,
    to_tensor,
)
from semideep_ext.op.libraries import check_device
from semideep_ext.op.metrics import compares_any_values
from semideep_ext.op.values import holds

_HALVES = (torch.float16, torch.bfloat16)
# Exactly representable in float32; wider integers are computed in float64.
_NARROW = (torch.bool, torch.uint8, torch.int8, torch.int16, *_HALVES)


def to_rows(x: ArrayLike, y: ArrayLike, metric: Any) -> tuple[Tensor, Tensor, bool]:
    """Both sets of rows as tensors that go together, and whether results go back to numpy."""
    x_is_tensor, y_is_tensor = isinstance(x, Tensor), isinstance(y, Tensor)
    if not (x_is_tensor and y_is_tensor):
        x, y = _from_arrays(x, y, metric)
    x, y = _leave_autocast(to_tensor("x", x)), _leave_autocast(to_tensor("y", y))
    _check_rows(x, y)
    check_device(x.device, metric)
    return x, y, not (x_is_tensor or y_is_tensor)


def _from_arrays(x: ArrayLike, y: ArrayLike, metric: Any) -> tuple[ArrayLike, ArrayLike]:
    """Rows as numeric arrays of one dtype; a tensor among them as it is."""
    check_columns("y", column_names(y), "x", column_names(x))
    pair = [x, y]
    arrays = {i: to_numpy("xy"[i], v) for i, v in enumerate(pair) if not isinstance(v, Tensor)}
    if (
        compares_any_values(metric)
        and len(arrays) == 2
        and any(a.dtype.kind in "OUSMm" for a in arrays.values())
    ):
        arrays = dict(enumerate(_encode_categories([arrays[0], arrays[1]])))
    if len(arrays) == 2 and all(array.dtype.kind in "biuf" for array in arrays.values()):
        common = np.result_type(*arrays.values())
        arrays = {i: array.astype(common, copy=False) for i, array in arrays.items()}
    return arrays.get(0, x), arrays.get(1, y)


def _encode_categories(columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Replace hashable values by numbers, equal where the values are equal; missing gives NaN."""
    codes: dict[Any, int] = {}

    def code(value: Any) -> float:
        if is_missing(value):
            return math.nan
        try:
            return codes.setdefault(value, len(codes))
        except TypeError:
            raise ValueError(
                f"x and y must hold hashable values, such as strings; {value!r} is not hashable"
            ) from None

    return [
        np.array([code(value) for value in array.ravel()], dtype=np.float64).reshape(array.shape)
        for array in columns
    ]


def _leave_autocast(tensor: Tensor) -> Tensor:
    """Give features that autocast left in a half type the dtype of the others, float32."""
    half = tensor.dtype in _HALVES
    return tensor.float() if half and torch.is_autocast_enabled(tensor.device.type) else tensor


def _check_rows(x: Tensor, y: Tensor) -> None:
    shape_x, shape_y = x.shape, y.shape  # read once: small calls notice
    if len(shape_x) < 2 or len(shape_y) < 2:
        problem = "x must be (..., N, D) and y (..., M, D)", "use unsqueeze or reshape"
    elif shape_x[-1] != shape_y[-1]:
        problem = "x and y must have as many features", "align their columns"
    elif x.dtype != y.dtype:
        problem = "x and y must have one dtype", "convert one with .to(dtype)"
    elif x.device != y.device:
        problem = "x and y must be on one device", "move one with .to(device)"
    elif shape_y[-2] == 0:
        problem = "y must have at least one row", "the mean over no rows is undefined"
    else:
        return
    rule, change = problem
    raise ValueError(f"{rule}: {describe('x', x)} and {describe('y', y)}; {change}")


def to_compute_dtype(x: Tensor, y: Tensor, metric: Any) -> tuple[Tensor, Tensor, torch.dtype]:
    """Rows in a dtype that the kernels read, and the dtype of the result.

    Floating dtypes of 32 and 64 bits are kept. Everything else gives a float32 result; integers
    that float32 cannot hold are computed in float64. Halves are left to the kernels on CUDA, which
    read them as they are.
    """
    dtype = x.dtype
    if dtype in (torch.float32, torch.float64):
        return x, y, dtype
    if dtype in _HALVES and x.is_cuda and not callable(metric):
        return x, y, torch.float32
    if dtype in _NARROW:
        return x.to(torch.float32), y.to(torch.float32), torch.float32
    if compares_any_values(metric) and dtype in (torch.int64, torch.uint64):
        x, y = _rank_large_integers(x.view(torch.int64), y.view(torch.int64))
    return x.to(torch.float64), y.to(torch.float64), torch.float32


def _rank_large_integers(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Integers that float64 cannot tell apart become their ranks; equal stays equal."""
    limit = 2**53
    if x.device.type == "cpu" and not any(
        t.numel() and holds((t.max() > limit) | (t.min() < -limit)) for t in (x, y)
    ):
        return x, y
    ordered, _ = torch.cat([x.flatten(), y.flatten()]).sort()
    return torch.searchsorted(ordered, x.contiguous()), torch.searchsorted(ordered, y.contiguous())
