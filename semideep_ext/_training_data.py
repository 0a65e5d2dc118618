"""What trainers demand of rows and labels, beyond what the op does: finite numbers and no gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from semideep_ext._inputs import column_names, is_missing, to_numpy


def check_features(X: Any, name: str) -> np.ndarray:
    """Rows as float32 or float64, as given, of which every value is finite in float32."""
    columns = column_names(X)
    X = X.detach().cpu().numpy() if torch.is_tensor(X) else to_numpy(name, X)
    if X.dtype.kind == "O":  # pandas columns of numbers with missing values
        X = np.where(np.vectorize(is_missing, otypes=[bool])(X), np.nan, X)
    try:
        if X.dtype.kind not in "biufO":
            raise ValueError(f"dtype {X.dtype}")
        features = np.ascontiguousarray(X, dtype=X.dtype if X.dtype == np.float32 else np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is not numeric ({error}); encode or drop those columns"
        ) from error
    if features.ndim < 2 or len(features) == 0:
        raise ValueError(
            f"{name} has shape {features.shape}; allowed is (rows, features), rows > 0"
        )
    with np.errstate(over="ignore"):
        bad = np.argwhere(~np.isfinite(features.astype(np.float32)))
    if len(bad):
        row, *column = bad[0].tolist()
        where = repr(columns[column[0]]) if columns else ", ".join(map(str, column))
        raise ValueError(
            f"{name} holds {features[tuple(bad[0])]} at row {row}, column {where} ({len(bad)} "
            "values in all are not finite in float32); impute or drop them"
        )
    return features


def check_labels(y: Any, n: int, name: str) -> np.ndarray:
    """One label per row, as given; shape (n,)."""
    y = y.detach().cpu().numpy() if torch.is_tensor(y) else np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != (n,):
        raise ValueError(f"{name} has shape {y.shape} for {n} rows; allowed is ({n},)")
    missing = [i for i, v in enumerate(y.tolist()) if is_missing(v)]
    if missing:
        raise ValueError(f"{name} has no label at row {missing[0]}; drop the unlabelled rows")
    return y
