"""What trainers demand of rows, labels and settings, beyond what the op does."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from semideep_ext.op.arguments import column_names, is_missing, to_numpy, to_tensor

BLOCK = 1 << 22  # values looked at at once, so that a memory map is never read into memory whole


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number, or one below the least."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name}={value!r}: give a whole number >= {least}")


def check_number(name: str, value: Any, zero: bool = False) -> None:
    """Refuse what is no finite number above 0, or 0 where that is allowed; 0-d tensors are one."""
    is_number = isinstance(value, numbers.Real) or (torch.is_tensor(value) and value.ndim == 0)
    if not is_number or not 0 <= value < math.inf or (value == 0 and not zero):
        raise ValueError(f"{name}={value!r}: give a finite number {'>=' if zero else '>'} 0")


def check_features(
    X: Any, name: str, start: int = 0, columns: list[Any] | None = None
) -> np.ndarray:
    """Rows as float32 or float64, as given, of which every value is finite in float32.

    A memory map stays one, of the dtype that it has. Errors number the rows from `start` on, and
    name the columns; by default those of a DataFrame.
    """
    if X is None:
        raise ValueError(f"{name} is missing: give one row of numbers per row of data")
    columns = columns or column_names(X)
    X = _to_array(X, name)
    X = missing_as_nan(X)  # as in pandas columns of numbers with missing values
    try:
        if X.dtype.kind not in "biufO":
            raise ValueError(f"dtype {X.dtype}")
        features = X if is_memory_mapped(X) else as_floats(X)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is not numeric ({error}); encode or drop those columns"
        ) from error
    if features.ndim < 2 or len(features) == 0:
        raise ValueError(
            f"{name} has shape {features.shape}; allowed is (rows, features), rows > 0"
        )
    _check_finite(features, name, columns, start)
    return features


def as_floats(X: np.ndarray) -> np.ndarray:
    """Rows as float32 if that is what they are, else as float64."""
    return np.ascontiguousarray(X, dtype=X.dtype if X.dtype == np.float32 else np.float64)


def is_memory_mapped(X: np.ndarray | None) -> bool:
    """Whether the array is a memory map or a view of one."""
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return True
        X = X.base
    return False


def rows_in_block(X: np.ndarray) -> int:
    """How many rows have at most BLOCK values together, at least one."""
    return max(1, BLOCK // max(1, X[0].size))


def _in_blocks(X: np.ndarray) -> Iterator[np.ndarray]:
    step = rows_in_block(X)
    for start in range(0, len(X), step):
        yield X[start : start + step]


def _check_finite(features: np.ndarray, name: str, columns: list[Any] | None, start: int) -> None:
    count, first, before = 0, None, 0
    for block in _in_blocks(features):
        with np.errstate(over="ignore"):
            bad = np.argwhere(~np.isfinite(block.astype(np.float32)))
        if len(bad) and first is None:
            first = (before + int(bad[0][0]), *bad[0][1:].tolist())
        count, before = count + len(bad), before + len(block)
    if first is not None:
        row, *column = first
        where = repr(columns[column[0]]) if columns else ", ".join(map(str, column))
        raise ValueError(
            f"{name} holds {features[first]} at row {start + row}, column {where} ({count} "
            "values in all are not finite in float32); impute or drop them"
        )


def check_labels(y: Any, n: int, name: str) -> np.ndarray:
    """One label per row, as given; shape (n,)."""
    y = as_array(y, name)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != (n,):
        raise ValueError(f"{name} has shape {y.shape} for {n} rows; allowed is ({n},)")
    missing = np.flatnonzero(find_missing(y))
    if missing.size:
        raise ValueError(f"{name} has no label at row {missing[0]}; drop the unlabelled rows")
    return y


def check_numbers(y: Any, n: int, name: str) -> np.ndarray:
    """One finite number, or one row of them, per row: float64 of shape (n,) or (n, K)."""
    y = as_numbers(y, name)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim not in (1, 2) or len(y) != n:
        raise ValueError(f"{name} has shape {y.shape} for {n} rows; allowed is ({n},) or ({n}, K)")
    bad = np.argwhere(~np.isfinite(y))
    if len(bad):
        raise ValueError(f"{name} holds {y[tuple(bad[0])]} at row {bad[0][0]}; drop such rows")
    return y


def as_numbers(y: Any, name: str) -> np.ndarray:
    """Numbers as float64; missing ones are NaN."""
    y = missing_as_nan(as_array(y, name))
    try:
        return np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not numeric ({error}); give numbers") from error


def find_missing(values: np.ndarray) -> np.ndarray:
    """Tell which values are missing: NaN, NaT, None or pandas.NA; bool of the same shape.

    Examples
    --------
    >>> find_missing(np.array(["2026-01-01", "NaT"], dtype="datetime64[D]"))
    array([False,  True])
    """
    if values.dtype.kind != "O":
        return np.asarray(values != values)
    # np.vectorize would warn of an invalid value wherever one is NaN (numpy 2.5).
    found = np.fromiter(map(is_missing, values.flat), dtype=bool, count=values.size)
    return found.reshape(values.shape)


def missing_as_nan(values: np.ndarray) -> np.ndarray:
    """Replace None and pandas.NA, which stand in arrays of objects alone, by NaN.

    Examples
    --------
    >>> missing_as_nan(np.array([0.5, None], dtype=object))
    array([0.5, nan], dtype=object)
    """
    return np.where(find_missing(values), np.nan, values) if values.dtype.kind == "O" else values


def as_array(y: Any, name: str) -> np.ndarray:
    """Labels as an array of any dtype."""
    if y is None:
        raise ValueError(f"{name} is missing: give one label per row")
    array = _to_array(y, name)
    if array.dtype.kind in "US" and not hasattr(y, "dtype"):
        # Of ["a", nan, 1], numpy makes strings: a missing label would become the class "nan".
        items = np.asarray(y, dtype=object)
        if not all(isinstance(item, (str, bytes)) for item in items.flat):
            return items
    return array


def _to_array(values: Any, name: str) -> np.ndarray:
    if not torch.is_tensor(values):
        return to_numpy(name, values)
    tensor = to_tensor(name, values).detach().cpu()  # which refuses sparse ones
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array
