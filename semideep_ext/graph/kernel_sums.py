"""Statistics that are sums of kernels: regression and the distance of two samples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semideep_ext.graph.affinity import KernelAffinity
from semideep_ext.op.functional import distance_weights
from semideep_ext.weighting.scales import resolve_lambda


def kernel_regression(
    x: Any, X: Any, y: Any, metric: Any = "euclidean", lambda_: Any = "median"
) -> Any:
    r"""Predict the average of y by closeness (Nadaraya, 1964; Watson, 1964).

    .. math:: \hat y(x) = \frac{\sum_j \exp(-\lambda d(x, X_j)) \, y_j}
        {\sum_j \exp(-\lambda d(x, X_j))}

    Parameters
    ----------
    x : (m, D) tensor or array
        Rows to predict for.
    X : (n, D) tensor or array
        Rows whose targets are known.
    y : (n,) or (n, C) tensor or array
        Their targets.
    metric : str or callable, default "euclidean"
        As in `distance_weights`; "sqeuclidean" makes the kernel gaussian.
    lambda_ : float or "median", default "median"
        Decay, in units of 1/distance.

    Returns
    -------
    (m,) or (m, C) tensor, or array where x is one
        Rows so far away that every term is 0 in their dtype get the targets of the nearest rows:
        their sums are taken in the log domain.

    Raises
    ------
    ValueError
        As `distance_weights`, and for y that does not have n rows.

    Examples
    --------
    >>> import numpy as np
    >>> X, y = np.array([[0.0], [2.0]]), np.array([10.0, 30.0])
    >>> kernel_regression(np.array([[0.0], [1.0], [1e6]]), X, y, lambda_=2.0).round(2)
    array([10.36, 20.  , 29.64])
    """
    lambda_ = resolve_lambda(lambda_, X, None, metric)
    rows, known, targets = (torch.as_tensor(part) for part in (x, X, y))
    if len(targets) != len(known):
        raise ValueError(f"y has {len(targets)} rows and X {len(known)}; give one target per row")
    columns = targets.to(known.dtype).reshape(len(targets), -1)
    found = KernelAffinity(known, metric, lambda_).averages(rows, columns)
    found = found.reshape(len(rows), *targets.shape[1:])
    return found if isinstance(x, Tensor) else found.numpy()


def mmd(
    x: Any, y: Any, metric: Any = "sqeuclidean", lambda_: Any = "median", *, unbiased: bool = True
) -> Any:
    r"""Squared maximum mean discrepancy of two samples (Gretton et al., JMLR 13, 2012).

    .. math:: \overline{k(x, x')} + \overline{k(y, y')} - 2 \, \overline{k(x, y)},
        \quad k = \exp(-\lambda d)

    Parameters
    ----------
    x, y : (N, D) and (M, D) tensors or arrays
    metric : str or callable, default "sqeuclidean"
        With which the kernel is gaussian.
    lambda_ : float or "median", default "median"
        Decay; the median is that between rows of x and of y.
    unbiased : bool, default True
        Leave out pairs of a row with itself, as the unbiased estimate does, which can be negative.

    Returns
    -------
    0-d tensor, or float where x is no tensor
        Differentiable in x and y, as `distance_weights`.

    Raises
    ------
    ValueError
        As `distance_weights`, and for fewer than 2 rows of either where it is to be unbiased.

    Examples
    --------
    >>> import numpy as np
    >>> near, far = np.array([[0.0], [1.0]]), np.array([[9.0], [10.0]])
    >>> mmd(near, near, lambda_=1.0, unbiased=False)
    0.0
    >>> round(mmd(near, far, lambda_=1.0), 4)
    0.7358
    """
    lambda_ = resolve_lambda(lambda_, x, y, metric)
    if unbiased and min(len(x), len(y)) < 2:
        raise ValueError(f"x has {len(x)} rows and y {len(y)}: an unbiased estimate needs two each")
    within = sum(_mean_within(rows, metric, lambda_, unbiased) for rows in (x, y))
    value = within - 2 * distance_weights(x, y, metric, lambda_).mean()
    return value if isinstance(x, Tensor) else float(value)


def _mean_within(rows: Any, metric: Any, lambda_: Any, unbiased: bool) -> Any:
    mean = distance_weights(rows, rows, metric, lambda_).mean()
    n = len(rows)
    return (n * mean - 1) / (n - 1) if unbiased else mean
