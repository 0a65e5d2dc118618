"""DataFrames of pandas as arrays of numbers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["numbers"]


def numbers(frame: Any) -> np.ndarray | None:
    """Return the values of a DataFrame whose columns are numbers or booleans; None of all else.

    pandas makes objects of columns of several dtypes, and of booleans beside pandas.NA, which
    becomes NaN here.

    Examples
    --------
    >>> import pandas as pd
    >>> numbers(pd.DataFrame({"size": [1.5, 2.0], "is_red": pd.array([True, None])}))
    array([[1.5, 1. ],
           [2. , nan]])
    """
    pandas = sys.modules.get("pandas")  # which has made the DataFrame, if it is one
    if pandas is None or not isinstance(frame, pandas.DataFrame):
        return None
    dtypes = set(frame.dtypes)
    if not dtypes or not all(_holds_numbers(dtype, pandas) for dtype in dtypes):
        return None
    if len(dtypes) == 1 and isinstance(dtypes.pop(), np.dtype):
        array: np.ndarray = frame.to_numpy()  # a view, where pandas has one block
        return array
    return np.stack([_column(column) for _, column in frame.items()], axis=1)


def _holds_numbers(dtype: Any, pandas: Any) -> bool:
    if isinstance(dtype, pandas.CategoricalDtype):  # of any categories
        return False
    types = pandas.api.types
    return bool(types.is_numeric_dtype(dtype) or types.is_bool_dtype(dtype))


def _column(column: Any) -> np.ndarray:
    array: np.ndarray = column.to_numpy()
    if array.dtype != object:
        return array
    if not column.isna().any():  # decimals, and before pandas 2.2 all that is nullable
        array = np.asarray(column.tolist())
    return column.to_numpy(np.float64, na_value=np.nan) if array.dtype == object else array
