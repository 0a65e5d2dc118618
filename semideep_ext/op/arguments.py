"""What users pass as numbers, made into arrays and tensors: tensors, arrays, DataFrames, lists."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semideep_ext.op.frames import numbers

ArrayLike = Any  # torch.Tensor, numpy.ndarray, pandas.DataFrame or a nested sequence of numbers


def describe(name: str, value: Any) -> str:
    """Name, type, shape, dtype and device of an argument, for error messages."""
    if isinstance(value, Tensor):
        return f"{name} is a {tuple(value.shape)} tensor of {value.dtype} on {value.device}"
    shape = getattr(value, "shape", None)
    return f"{name} is a {type(value).__name__}" + (f" of shape {shape}" if shape else "")


def is_missing(value: Any) -> bool:
    """Tell None, NaN, NaT and pandas.NA: but for None, they are not equal to themselves."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def to_numpy(name: str, value: Any) -> np.ndarray:
    """Return the argument of that name, not a tensor, as a dense array of any dtype."""
    if hasattr(value, "toarray") and not isinstance(value, np.ndarray):
        raise ValueError(
            f"{describe(name, value)}, a sparse matrix: only dense rows are supported; pass "
            f"{name}.toarray() if it fits in memory"
        )
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array: fill or drop the masked values first")
    array = numbers(value)
    if array is not None:
        return array
    try:
        return value.to_numpy() if hasattr(value, "to_numpy") else np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be made an array: {error}; give rows of one length"
        ) from error


def _from_numpy(name: str, array: np.ndarray) -> Tensor:
    if array.dtype.kind == "c":
        raise ValueError(f"{name} must be real, got {array.dtype}; pass real and imaginary parts")
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} holds values of dtype {array.dtype}: numbers or booleans are needed; encode "
            "them as numbers (between two arrays, metric='hamming' compares any values)"
        )
    if array.dtype == np.longdouble and array.dtype != np.float64:
        array = array.astype(np.float64)
    if not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        # A read-only array (a memory map) is only ever read here.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array)


def column_names(rows: Any) -> list[Any] | None:
    """Names of the columns of a DataFrame, None for anything else."""
    columns = getattr(rows, "columns", None)
    return None if columns is None else list(columns)


def check_columns(
    name: str, columns: list[Any] | None, expected_name: str, expected: list[Any] | None
) -> None:
    """Refuse two DataFrames of which the columns differ or stand in another order."""
    if columns is None or expected is None or columns == expected:
        return
    if sorted(map(repr, columns)) == sorted(map(repr, expected)):
        problem = "the same columns in another order"
    else:
        differing = [c for c in columns if c not in expected] or "fewer"
        problem = f"other columns ({differing})"
    raise ValueError(
        f"{name} has {problem} than {expected_name}: {columns} and {expected}; select them alike, "
        f"for example {name}[{expected_name}.columns]"
    )


def to_tensor(name: str, value: ArrayLike) -> Tensor:
    """Return the argument of that name as a tensor, without a copy where that is possible."""
    if not isinstance(value, Tensor):
        if hasattr(value, "to_frame"):  # a column
            return _from_numpy(name, to_numpy(name, value.to_frame())[:, 0])
        return _from_numpy(name, to_numpy(name, value))
    if value.layout != torch.strided:
        raise ValueError(
            f"{describe(name, value)}, and sparse: only dense rows are supported; pass "
            f"{name}.to_dense() if it fits in memory"
        )
    if value.dtype.is_complex:
        raise ValueError(f"{name} must be real, got {value.dtype}; pass real and imaginary parts")
    return value
