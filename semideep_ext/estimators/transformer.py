"""Distance-based weights as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from semideep_ext.estimators.rows import finite, rows_as
from semideep_ext.op.functional import DEFAULT_EPS, distance_weights
from semideep_ext.weighting.scales import resolve_lambda

__all__ = ["DistanceWeightTransformer"]


class DistanceWeightTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Give rows their distance weight towards the rows that were fitted, as one column.

    .. math:: w_i = \frac{1}{M} \sum_j \exp(-\lambda \, d(x_i, y_j))

    Parameters
    ----------
    metric : str or callable, default "euclidean"
        As in `distance_weights`.
    lambda_ : float or "median", default 0.8
        Decay. "median": 1 / (median distance between two different fitted rows).
    kernel : {"exponential", "inverse"}, default "exponential"
    eps : float, default 1e-3
        For kernel "inverse".
    log : bool, default False
        Give log w, which does not underflow.

    Attributes
    ----------
    fitted_lambda_ : float
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (D,)
        Only if X had string column names.

    Examples
    --------
    >>> DistanceWeightTransformer(lambda_=0.5).fit([[0.0]]).transform([[0.0], [2.0]]).round(4)
    array([[1.    ],
           [0.3679]])
    """

    def __init__(
        self,
        metric: Any = "euclidean",
        lambda_: Any = 0.8,
        *,
        kernel: str = "exponential",
        eps: float = DEFAULT_EPS,
        log: bool = False,
    ) -> None:
        self.metric = metric
        self.lambda_ = lambda_
        self.kernel = kernel
        self.eps = eps
        self.log = log

    def fit(self, X: Any, y: Any = None) -> DistanceWeightTransformer:
        """Keep the rows to be close to, the unlabelled ones.

        Parameters
        ----------
        X : array or DataFrame, shape (M, D)
        y : ignored
        """
        rows = validate_data(self, X, copy=True, **rows_as(self.metric))
        self._rows = finite(rows, X, "X")
        self.fitted_lambda_ = resolve_lambda(self.lambda_, self._rows, metric=self.metric)
        self._n_features_out = 1
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Weights of rows.

        Parameters
        ----------
        X : array or DataFrame, shape (N, D)

        Returns
        -------
        ndarray, shape (N, 1)
        """
        check_is_fitted(self)
        rows = finite(validate_data(self, X, reset=False, **rows_as(self.metric)), X, "X")
        w: np.ndarray = distance_weights(
            rows,
            self._rows,
            self.metric,
            self.fitted_lambda_,
            kernel=self.kernel,
            eps=self.eps,
            log=self.log,
        )
        return w.reshape(-1, 1)

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn, which would take the parameter lambda_ for a fitted attribute."""
        return hasattr(self, "fitted_lambda_")

    def __sklearn_tags__(self) -> Tags:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
