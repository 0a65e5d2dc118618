"""Kernel density estimates by the op, where a tree of rows does not help: in many features."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn import neighbors
from sklearn.utils.validation import check_is_fitted, validate_data

from semideep_ext.op.functional import distance_weights


class KernelDensity(neighbors.KernelDensity):
    r"""`sklearn.neighbors.KernelDensity`, whose sums of two kernels come from `distance_weights`.

    .. math:: \log p(x) = \log \frac{1}{n} \sum_j K(|x - x_j| / h) - \log \int K(|t| / h) dt

    with K(u) = exp(-u^2 / 2) ("gaussian") or exp(-u) ("exponential"), the log of the sum without
    underflow, exact. Parameters, attributes and all else are scikit-learn's; so are the sums of
    other kernels, and of other metrics than "euclidean".

    Examples
    --------
    >>> X = np.array([[0.0], [1.0]])
    >>> model = KernelDensity(kernel="exponential", bandwidth=0.5).fit(X)
    >>> model.score_samples([[0.0], [50.0]]).round(2)
    array([ -0.57, -98.57])
    """

    def score_samples(self, X: Any) -> np.ndarray:
        """Give the log density of each row.

        Parameters
        ----------
        X : array, shape (m, D)

        Returns
        -------
        ndarray, shape (m,)
        """
        check_is_fitted(self)
        if self.kernel not in ("gaussian", "exponential") or self.metric != "euclidean":
            other: np.ndarray = super().score_samples(X)
            return other
        X = validate_data(self, X, order="C", dtype=np.float64, reset=False)
        h, d = self.bandwidth_, X.shape[1]
        if self.kernel == "gaussian":
            metric, lambda_ = "sqeuclidean", 0.5 / h**2
            log_integral = d * (0.5 * math.log(2 * math.pi) + math.log(h))
        else:
            metric, lambda_ = "euclidean", 1 / h
            # The surface of the unit sphere, times the integral of r^(d-1) exp(-r / h).
            log_sphere = math.log(2) + 0.5 * d * math.log(math.pi) - math.lgamma(0.5 * d)
            log_integral = log_sphere + math.lgamma(d) + d * math.log(h)
        rows, weight = np.asarray(self.tree_.data), self.tree_.sample_weight
        weight = None if weight is None else np.asarray(weight)
        log_mean: np.ndarray = distance_weights(X, rows, metric, lambda_, y_weight=weight, log=True)
        return log_mean - log_integral
