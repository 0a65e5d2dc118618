"""Weigh labelled rows by their closeness to unlabelled ones, then fit an estimator with that."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    clone,
    is_classifier,
    is_regressor,
)
from sklearn.utils import Tags, _safe_indexing, get_tags
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from semideep_ext.estimators.fit_weighted import fit_weighted
from semideep_ext.estimators.rows import finite, is_frame, rows_as
from semideep_ext.op.arguments import check_columns, column_names
from semideep_ext.op.functional import DEFAULT_EPS, distance_weights
from semideep_ext.weighting.checks import as_array, missing_as_nan
from semideep_ext.weighting.diagnostics import WeightsWarning, check_weights, warn_if_degenerate
from semideep_ext.weighting.normalisation import mean_one
from semideep_ext.weighting.scales import resolve_lambda


class DistanceWeighted(MetaEstimatorMixin, BaseEstimator):
    """What the classifier and the regressor share."""

    _y_dtype: str | None = None  # as check_array takes it

    def __init__(
        self,
        estimator: Any = None,
        metric: Any = "euclidean",
        lambda_: Any = 0.8,
        *,
        kernel: str = "exponential",
        eps: float = DEFAULT_EPS,
        normalize: bool = True,
    ) -> None:
        self.estimator = estimator
        self.metric = metric
        self.lambda_ = lambda_
        self.kernel = kernel
        self.eps = eps
        self.normalize = normalize

    def _inner(self) -> Any:
        """Return the estimator that clones are fitted of."""
        return self._default() if self.estimator is None else self.estimator

    def _default(self) -> Any:
        """Make the estimator for `estimator=None`."""
        raise NotImplementedError  # the classifier and the regressor each have their own

    def _targets_of(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell which rows are labelled, shape (N,), and give the targets of these."""
        raise NotImplementedError  # the classifier and the regressor each have their own

    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_unlabeled: Any = None) -> Any:
        """Weigh the labelled rows and fit the estimator.

        Parameters
        ----------
        X : array or DataFrame, shape (N, D)
        y : array-like, shape (N,), or (N, K) for a regressor of K targets
            Classes, and `unlabeled` (-1) for unlabelled rows, or no label (NaN, None); or numbers,
            and NaN for unlabelled rows.
        sample_weight : array-like, shape (N,), optional
            Multiplied with the distance weights.
        X_unlabeled : array or DataFrame, shape (M, D), optional
            Unlabelled rows beside those of X.

        Raises
        ------
        ValueError
            If X is not finite (row and column named), no row is labelled, the mark stands in y as
            text, a row has some of its targets only, the estimator takes no sample_weight or holds
            a resampler, or an estimator around this one took the mark for a class.
        TypeError
            If the estimator is none, or of the other kind.
        """
        self._check_estimator()
        if y is not None:  # which scikit-learn refuses in its own words
            y = missing_as_nan(as_array(y, "y"))  # as an array of numpy's, ["a", nan] is text
        check_y = {"ensure_2d": False, "ensure_all_finite": False, "dtype": self._y_dtype}
        rows, y = validate_data(self, X, y, validate_separately=(rows_as(self.metric), check_y))
        if len(rows) != len(y):
            raise ValueError(f"X has {len(rows)} rows and y {len(y)}; give one target per row")
        rows = finite(rows, X, "X")
        self.labeled_, targets = self._targets_of(y)
        if not self.labeled_.any():
            raise ValueError(f"y holds no labelled row: all {len(rows)} are marked as unlabelled")
        given = sample_weight is not None
        counts = check_weights(sample_weight, "sample_weight", len(rows)) if given else None
        w = self._weights(rows, counts, self._unlabeled_rows(X, X_unlabeled))
        if counts is not None:
            w = w * counts[self.labeled_]
        self.sample_weight_ = w
        data = _safe_indexing(X, self.labeled_) if is_frame(X) else rows[self.labeled_]
        self.estimator_ = fit_weighted(clone(self._inner()), data, targets, w)
        return self

    def _check_estimator(self) -> None:
        inner, default = self._inner(), self._default()
        kind, is_one = (
            ("classifier", is_classifier) if is_classifier(default) else ("regressor", is_regressor)
        )
        whole = hasattr(inner, "fit") and hasattr(inner, "get_params")
        if isinstance(inner, type) or not whole or not is_one(inner):
            raise TypeError(
                f"estimator={inner!r:.60} is no {kind}: give one of scikit-learn, such as "
                f"{default!r}, or a skorch net; for a torch module there is WeightedTrainer"
            )

    def _weights(
        self, rows: np.ndarray, counts: np.ndarray | None, further: np.ndarray | None
    ) -> np.ndarray:
        """Weigh the labelled rows; a row with sample weight s counts like s equal rows."""
        labeled = self.labeled_
        counts = np.ones(len(rows)) if counts is None else counts
        x, n = rows[labeled], counts[labeled]
        if not n.any():
            raise ValueError(
                "sample_weight is zero for every labelled row: one at least must count"
            )
        y, m = rows[~labeled], counts[~labeled]
        if further is not None:
            y, m = np.concatenate([y, further]), np.concatenate([m, np.ones(len(further))])
        self.fitted_lambda_ = None
        if not m.any():
            warnings.warn(
                "there is no unlabelled row (of positive sample_weight): every labelled row gets "
                "weight 1, which is unweighted training; mark unlabelled rows in y, or give "
                "X_unlabeled",
                WeightsWarning,
                stacklevel=3,
            )
            return np.ones(len(x))
        self.fitted_lambda_ = resolve_lambda(self.lambda_, x[n > 0], y[m > 0], self.metric)
        w = distance_weights(
            x,
            y,
            self.metric,
            self.fitted_lambda_,
            y_weight=m,
            kernel=self.kernel,
            eps=self.eps,
            log=self.normalize,
        ).astype(np.float64)
        if w.ndim != 1:
            raise ValueError(f"lambda_ must be one number or 'median', got {self.lambda_!r}")
        w = mean_one(w, n) if self.normalize else w
        warn_if_degenerate(w[n > 0], self.metric, self.kernel)
        return w

    def _unlabeled_rows(self, X: Any, X_unlabeled: Any) -> np.ndarray | None:
        if X_unlabeled is None:
            return None
        check_columns("X_unlabeled", column_names(X_unlabeled), "X", column_names(X))
        rows = check_array(X_unlabeled, input_name="X_unlabeled", **rows_as(self.metric))
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X_unlabeled has shape {rows.shape}; allowed is (M, {self.n_features_in_}), as X "
                f"has {self.n_features_in_} features"
            )
        return finite(rows, X_unlabeled, "X_unlabeled")

    def _call_fitted(self, X: Any, method: str) -> np.ndarray:
        """Call the fitted estimator; a DataFrame stays one, for what needs its names."""
        check_is_fitted(self)
        rows = finite(validate_data(self, X, reset=False, **rows_as(self.metric)), X, "X")
        result: np.ndarray = getattr(self.estimator_, method)(X if is_frame(X) else rows)
        return result

    def predict(self, X: Any) -> np.ndarray:
        """Predict with the fitted estimator.

        Parameters
        ----------
        X : array or DataFrame, shape (N, D)

        Returns
        -------
        ndarray, shape (N,)
            (N, K) for K targets.
        """
        return self._call_fitted(X, "predict")

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn, which would take the parameter lambda_ for a fitted attribute."""
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self) -> Tags:
        """Say what the estimator can do."""
        tags, base = super().__sklearn_tags__(), get_tags(self._inner())
        tags.input_tags = copy.deepcopy(base.input_tags)
        tags.input_tags.sparse = tags.input_tags.allow_nan = tags.input_tags.pairwise = False
        tags.target_tags = copy.deepcopy(base.target_tags)
        tags.target_tags.required = True
        tags.non_deterministic = base.non_deterministic
        return tags
