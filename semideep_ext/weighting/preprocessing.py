"""Features made ready for distances, with everything learnt from the training rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from semideep_ext.op.arguments import check_columns, column_names, to_numpy
from semideep_ext.weighting.checks import check_features, missing_as_nan


def preprocess_features(
    X_train: Any,
    X_test: Any,
    categorical_features: Sequence[int] | Sequence[str] | None = None,
    scale: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Standardise columns of numbers and expand categories, by what the training rows hold.

    Parameters
    ----------
    X_train : array or DataFrame, shape (N, D)
    X_test : array or DataFrame, shape (M, D)
    categorical_features : sequence of int, or of column names of a DataFrame, optional
        Columns of categories. Each becomes one column of 0 and 1 per category of the training rows;
        they stand after the columns of numbers. A category that only X_test has gives zeros; a
        missing value (None, NaN, pandas.NA) is a category of its own.
    scale : bool, default True
        Standardise the columns of numbers: subtract the mean, divide by the standard deviation.

    Returns
    -------
    (ndarray, ndarray)
        Of shapes (N, D') and (M, D').

    Raises
    ------
    ValueError
        For columns that differ or do not exist, and for missing values or text among the numbers.

    Examples
    --------
    >>> train, test = preprocess_features([[1, 0], [3, 1]], [[2, 1]], categorical_features=[1])
    >>> train.tolist(), test.tolist()
    ([[-1.0, 1.0, 0.0], [1.0, 0.0, 1.0]], [[0.0, 0.0, 1.0]])
    """
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    check_columns("X_test", column_names(X_test), "X_train", column_names(X_train))
    names = column_names(X_train)
    train, test = to_numpy("X_train", X_train), to_numpy("X_test", X_test)
    if train.ndim != 2 or train.shape[1:] != test.shape[1:]:
        raise ValueError(
            f"X_train has shape {train.shape} and X_test {test.shape}; give 2-d arrays with the "
            "same columns"
        )
    categories = _positions(categorical_features, names, train.shape[1])
    plain = [
        _numbers(X, categories, name, names) for X, name in ((train, "X_train"), (test, "X_test"))
    ]
    if scale and plain[0].shape[1]:
        scaler = StandardScaler().fit(plain[0])
        plain = [scaler.transform(X) for X in plain]
    if not categories:
        return plain[0], plain[1]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    # Of one dtype: pandas gives objects where a column of numbers lacks one, numbers where not.
    values = [missing_as_nan(X[:, categories].astype(object)) for X in (train, test)]
    encoder.fit(values[0])
    expanded = [encoder.transform(X) for X in values]
    return np.hstack([plain[0], expanded[0]]), np.hstack([plain[1], expanded[1]])


def _numbers(
    X: np.ndarray, categories: list[int], name: str, columns: list[Any] | None
) -> np.ndarray:
    """Copy the columns that are no categories, as finite float64."""
    X = X.astype(object) if X.dtype.kind in "US" else X.copy()
    X[:, categories] = 0  # left in their place, so that an error names the right column
    return np.delete(
        check_features(X, name, columns=columns).astype(np.float64), categories, axis=1
    )


def _positions(wanted: Sequence[Any] | None, names: Sequence[Any] | None, width: int) -> list[int]:
    """Positions of columns given by position or name."""
    positions = []
    for column in () if wanted is None else [wanted] if isinstance(wanted, str) else wanted:
        if isinstance(column, str) and names is not None and column in names:
            positions.append(list(names).index(column))
        elif (
            isinstance(column, (int, np.integer))
            and not isinstance(column, bool)
            and -width <= column < width
        ):
            positions.append(int(column) % width)
        else:
            known = f"0 to {width - 1}" + (f" and {', '.join(map(repr, names))}" if names else "")
            raise ValueError(f"categorical_features has {column!r}; the columns are {known}")
    return list(dict.fromkeys(positions))
