"""Rows as scikit-learn checks them, with errors that name the row."""

from __future__ import annotations

from typing import Any

import numpy as np

from semideep_ext.op.arguments import column_names, is_missing
from semideep_ext.op.metrics import compares_any_values
from semideep_ext.weighting.checks import find_missing


def rows_as(metric: Any) -> dict[str, Any]:
    """Options of check_array. hamming compares values of any kind; the others need numbers."""
    dtype = None if compares_any_values(metric) else [np.float64, np.float32]
    return {"dtype": dtype, "ensure_all_finite": False}


def finite(rows: np.ndarray, X: Any, name: str) -> np.ndarray:
    """Refuse missing and infinite values; X is what the rows were made from."""
    if rows.dtype.kind == "O":
        bad = find_missing(rows)
    else:
        bad = ~np.isfinite(rows) if rows.dtype.kind == "f" else np.zeros(1, dtype=bool)
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        label = column if not is_frame(X) else column_names(X)[column]  # type: ignore[index]
        value = "NaN" if is_missing(rows[row, column]) else "infinity"
        raise ValueError(
            f"{name} holds {value} at row {row}, column {label!r} ({bad.sum()} values in all are "
            "NaN, missing or infinite); impute or drop them"
        )
    return rows


def is_frame(X: Any) -> bool:
    """Tell whether the rows have named columns."""
    return column_names(X) is not None
