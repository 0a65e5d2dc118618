"""`lambda_="median"`: a decay that fits the scale of the distances.

The median heuristic for kernel widths (Gretton et al., JMLR 13 (2012) 723-773, section 8).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from semideep_ext.op import blocks
from semideep_ext.op.arguments import to_numpy
from semideep_ext.op.functional import distance_weights

__all__ = ["median_lambda", "resolve_lambda"]

# Rows of either side whose pairs are looked at: 10^6 distances, taken in about 0.1 s.
SAMPLE = 1000


def median_lambda(x: Any, y: Any = None, metric: Any = "euclidean") -> float:
    r"""Give the decay at which a pair at median distance has weight 1/e.

    .. math:: \lambda = 1 / \mathrm{median}_{ij} \, d(x_i, y_j)

    Parameters
    ----------
    x : array, DataFrame or Tensor, shape (N, D)
    y : array, DataFrame or Tensor, shape (M, D), optional
        Default x itself, of which each row is then paired with the others only.
    metric : str or callable, default "euclidean"
        As in `distance_weights`.

    Returns
    -------
    float
        Where the median is 0 (more than half of the pairs are equal), the median of the positive
        distances takes its place. 1.0 where no distance is positive: every weight is 1 then,
        whatever lambda.

    Raises
    ------
    ValueError
        As `distance_weights`, and if a distance is NaN.

    Notes
    -----
    Of more than 1000 rows in x or y a random sample of 1000 is taken, the same in every call.

    Examples
    --------
    >>> median_lambda(np.array([[0.0], [1.0]]), np.array([[2.0], [4.0], [5.0]]))
    0.2857142857142857
    """
    x = _sample(x)
    d = _distances(x, x if y is None else _sample(y), metric)
    d = d[~np.eye(len(d), dtype=np.bool_)] if y is None else d.ravel()
    if np.isnan(d).any():
        raise ValueError("the median distance is NaN: a row holds NaN; drop or impute it")
    if metric == "cosine":
        d = np.where(d > np.finfo(np.float64).eps, d, 0.0)  # of parallel rows only rounding is left
    positive = d[d > 0]
    if not positive.size:
        return 1.0
    median = float(np.median(d)) or float(np.median(positive))
    if not math.isfinite(1 / median):
        raise ValueError(f"the median distance is {median}, of which 1/d is no number: rescale")
    return 1 / median


def resolve_lambda(lambda_: Any, x: Any, y: Any = None, metric: Any = "euclidean") -> Any:
    """Replace "median" by its value, and refuse any other string.

    Parameters
    ----------
    lambda_ : "median", float or Tensor
    x, y, metric
        As in `median_lambda`.

    Returns
    -------
    float or Tensor
        `lambda_` itself unless it is "median".

    Raises
    ------
    ValueError
        For another string.

    Examples
    --------
    >>> resolve_lambda("median", [[0.0]], [[4.0]]), resolve_lambda(0.8, [[0.0]], [[4.0]])
    (0.25, 0.8)
    """
    if not isinstance(lambda_, str):
        return lambda_
    if lambda_ != "median":
        raise ValueError(f"lambda_={lambda_!r}: allowed is a number > 0, or 'median'")
    return median_lambda(x, y, metric)


def _sample(rows: Any) -> Any:
    rows = rows.detach().cpu().numpy() if torch.is_tensor(rows) else to_numpy("rows", rows)
    return rows if len(rows) <= SAMPLE else rows[sample_numbers(len(rows))]


def sample_numbers(n: int) -> np.ndarray:
    """Numbers of the rows, of n, that a median is taken of; the same in every call.

    Examples
    --------
    >>> sample_numbers(3)
    array([0, 1, 2])
    """
    if n <= SAMPLE:
        return np.arange(n)
    # Not every k-th row: the data may be periodic.
    return np.random.default_rng(0).choice(n, SAMPLE, replace=False)


def _distances(x: np.ndarray, y: np.ndarray, metric: Any) -> np.ndarray:
    """All (N, M) distances, in float64."""
    if x.dtype.kind in "biuf" and y.dtype.kind in "biuf":
        x, y = x.astype(np.float64), y.astype(np.float64)
    if callable(metric):
        return blocks.distances(metric, torch.from_numpy(x), torch.from_numpy(y)).numpy()
    # As a batch of single rows y_j, whose log w is -d: the metric's own definition, no other.
    log_w: np.ndarray = distance_weights(x, y[:, None], metric, 1.0, log=True)
    return -log_w.T
