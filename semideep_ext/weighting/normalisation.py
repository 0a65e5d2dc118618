"""Weights of mean 1, which everything that trains uses, made in this one place.

Divided by their mean, weights say how much rows count beside each other and nothing else: neither
the size of a training step nor the strength of a penalty depends on lambda. They are made from
logarithms, which are right where the weights themselves underflow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["divide_by_mean", "mean_one"]

LARGEST_EXPONENT = 700.0  # exp(709.8) is the largest double


def mean_one(log_w: Any, counts: np.ndarray | None = None) -> Any:
    """Divide weights, given by their logarithms, by their mean along the last axis.

    Parameters
    ----------
    log_w : Tensor or ndarray, shape (..., N)
        As `distance_weights(..., log=True)` gives them.
    counts : ndarray, shape (N,), optional
        For arrays: how many equal rows each row stands for; the mean is over these. Default 1.

    Returns
    -------
    Tensor or ndarray of float64, shape (..., N)
        A tensor carries gradients.

    Raises
    ------
    ValueError
        If every weight of an array is 0.

    Examples
    --------
    >>> mean_one(np.log([1.0, 3.0]))
    array([0.5, 1.5])
    >>> mean_one(np.array([-5000.0, -5000.0]))  # of which exp underflows
    array([1., 1.])
    """
    if isinstance(log_w, Tensor):
        return log_w.softmax(-1) * log_w.shape[-1]
    log_w = np.asarray(log_w, dtype=np.float64)
    counts = np.ones(log_w.shape[-1]) if counts is None else counts
    largest = np.max(log_w, axis=-1, keepdims=True, where=counts > 0, initial=-np.inf)
    if (largest == -np.inf).any():
        raise ValueError(
            "every weight is 0, as all rows are infinitely far from the test rows: scale the "
            "features, or drop the rows that hold such large values"
        )
    # A row that counts 0 times may lie far above those that count.
    w = np.exp(np.minimum(log_w - largest, LARGEST_EXPONENT))
    return w * (counts.sum() / (w @ counts))[..., None]


def divide_by_mean(w: np.ndarray) -> np.ndarray:
    """Divide weights that somebody gave by their mean.

    Raises
    ------
    ValueError
        If every weight is 0.

    Examples
    --------
    >>> divide_by_mean(np.array([1.0, 3.0]))
    array([0.5, 1.5])
    """
    if not w.any():
        raise ValueError("weights are all 0, so nothing would be trained; give others")
    return w / w.mean()
