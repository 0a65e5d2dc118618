"""A metric by rule of thumb, from what the columns look like."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
import torch

from semideep_ext.op.arguments import describe, to_numpy
from semideep_ext.weighting.checks import missing_as_nan

__all__ = ["auto_select_distance_metric"]

# Of binary rows with fewer ones, most pairs agree on most zeros, and hamming sees little else.
SPARSE = 0.1
FEW_VALUES, MANY_FEATURES = 10, 50


@overload
def auto_select_distance_metric(X: Any, return_reason: Literal[False] = False) -> str: ...
@overload
def auto_select_distance_metric(X: Any, return_reason: Literal[True]) -> tuple[str, str]: ...
def auto_select_distance_metric(X: Any, return_reason: bool = False) -> str | tuple[str, str]:
    """Choose a metric from the kind of data, without training anything.

    The first rule that applies, as in `semideep`, whose rules know no "jaccard":

    1. all values 0 or 1, fewer than 10 % of them 1: "jaccard"
    2. all values 0 or 1: "hamming"
    3. more than half of the columns have fewer than 10 distinct values, or no numbers: "hamming"
    4. more than 50 columns: "cosine"
    5. "euclidean"

    Parameters
    ----------
    X : array, DataFrame or Tensor, shape (N, D)
        Training rows, N >= 1 and D >= 1.
    return_reason : bool, default False

    Returns
    -------
    str, or (str, str)
        The metric, and with `return_reason` why.

    Raises
    ------
    ValueError
        If X is not 2-d, or empty.

    Examples
    --------
    >>> auto_select_distance_metric([[0.1], [0.2], [0.3]])
    'hamming'
    >>> auto_select_distance_metric(np.eye(20), return_reason=True)
    ('jaccard', 'all values are 0 or 1, and 5 % of them are 1 (fewer than 10 %)')
    """
    X = X.detach().cpu().numpy() if torch.is_tensor(X) else to_numpy("X", X)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"{describe('X', X)}; allowed is (N, D) with N >= 1 and D >= 1")
    metric, reason = _choose(X)
    return (metric, reason) if return_reason else metric


def _choose(X: np.ndarray) -> tuple[str, str]:
    columns = [_as_numbers(X[:, i]) for i in range(X.shape[1])]
    if all(c.dtype.kind in "biuf" and np.isin(c, (0, 1)).all() for c in columns):
        ones = float(np.mean([c.mean() for c in columns]))
        if ones < SPARSE:
            share = f"{100 * ones:.2g} % of them are 1 (fewer than {100 * SPARSE:g} %)"
            return "jaccard", f"all values are 0 or 1, and {share}"
        return "hamming", "all values are 0 or 1"
    few = sum(c.dtype.kind not in "biuf" or len(np.unique(c)) < FEW_VALUES for c in columns)
    if few > len(columns) / 2:
        return "hamming", (
            f"{few} of {len(columns)} columns have fewer than {FEW_VALUES} distinct values, or no "
            "numbers"
        )
    if len(columns) > MANY_FEATURES:
        return "cosine", f"{len(columns)} columns are more than {MANY_FEATURES}"
    return "euclidean", f"most of the {len(columns)} columns are continuous"


def _as_numbers(column: np.ndarray) -> np.ndarray:
    """Numbers that stand in an array of objects, as in a DataFrame of mixed columns."""
    return np.asarray(missing_as_nan(column).tolist()) if column.dtype.kind == "O" else column
