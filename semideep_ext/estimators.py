"""Distance-based sample weights for any scikit-learn estimator.

`DistanceWeightedClassifier` and `DistanceWeightedRegressor` weigh the labelled rows by their
closeness to the unlabelled ones, then fit an estimator with these weights.
Unlabelled rows are those of X whose y is -1 (NaN for regression), as in sklearn.semi_supervised,
and the rows of X_unlabeled.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    clone,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import Tags, _safe_indexing, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from semideep_ext._fit_weighted import fit_weighted
from semideep_ext._inputs import check_columns, column_names
from semideep_ext._sklearn_rows import finite, is_frame, rows_as
from semideep_ext.diagnostics import WeightsWarning, check_weights, warn_if_degenerate
from semideep_ext.functional import DEFAULT_EPS, distance_weights
from semideep_ext.metrics import check_kernel
from semideep_ext.scales import resolve_lambda
from semideep_ext.unlabeled import labeled_rows, rows_with_targets

__all__ = ["DistanceWeightedClassifier", "DistanceWeightedRegressor"]


def _has(method: str) -> Callable[[Any], bool]:
    return lambda self: hasattr(getattr(self, "estimator_", None) or self._base(), method)


class _DistanceWeighted(MetaEstimatorMixin, BaseEstimator):
    """What the classifier and the regressor share."""

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

    def _base(self) -> Any:
        return self._default() if self.estimator is None else self.estimator

    def _default(self) -> Any:
        raise NotImplementedError

    def _fit(
        self, X: Any, rows: np.ndarray, y: np.ndarray, sample_weight: Any, X_unlabeled: Any
    ) -> Any:
        """Fit on the rows of `labeled_`, weighted; y holds the targets of these rows only."""
        if not self.labeled_.any():
            raise ValueError(f"y holds no labelled row: all {len(rows)} are marked as unlabelled")
        given = sample_weight is not None
        counts = check_weights(sample_weight, "sample_weight", len(rows)) if given else None
        w = self._weights(rows, counts, self._unlabeled_rows(X, X_unlabeled))
        if counts is not None:
            w = w * counts[self.labeled_]
        self.sample_weight_ = w
        data = _safe_indexing(X, self.labeled_) if is_frame(X) else rows[self.labeled_]
        self.estimator_ = fit_weighted(clone(self._base()), data, y, w)
        return self

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
                stacklevel=4,
            )
            return np.ones(len(x))
        self.fitted_lambda_ = resolve_lambda(self.lambda_, x[n > 0], y[m > 0], self.metric)
        log = self.normalize and check_kernel(self.kernel).has_log
        w = distance_weights(
            x,
            y,
            self.metric,
            self.fitted_lambda_,
            y_weight=m,
            kernel=self.kernel,
            eps=self.eps,
            log=log,
        ).astype(np.float64)
        if w.ndim != 1:
            raise ValueError(f"lambda_ must be one number or 'median', got {self.lambda_!r}")
        if log:  # of w itself all values may underflow
            w = np.exp(w - w[n > 0].max())
        if self.normalize:
            w *= n.sum() / (n @ w)
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

    def _validate(self, X: Any, y: Any, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
        check_y = {"ensure_2d": False, "ensure_all_finite": False, "dtype": dtype}
        rows, y = validate_data(self, X, y, validate_separately=(rows_as(self.metric), check_y))
        if len(rows) != len(y):
            raise ValueError(f"X has {len(rows)} rows and y {len(y)}; give one target per row")
        return finite(rows, X, "X"), y

    def _fitted(self, X: Any, method: str) -> np.ndarray:
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
        return self._fitted(X, "predict")

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn, which would take the parameter lambda_ for a fitted attribute."""
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self) -> Tags:
        """Say what the estimator can do."""
        tags, base = super().__sklearn_tags__(), get_tags(self._base())
        tags.input_tags = copy.deepcopy(base.input_tags)
        tags.input_tags.sparse = tags.input_tags.allow_nan = tags.input_tags.pairwise = False
        tags.target_tags = copy.deepcopy(base.target_tags)
        tags.target_tags.required = True
        tags.non_deterministic = base.non_deterministic
        return tags


class DistanceWeightedClassifier(ClassifierMixin, _DistanceWeighted):
    r"""Fit a classifier with labelled rows weighted by their closeness to the unlabelled rows.

    .. math:: w_i = \frac{1}{M} \sum_j \exp(-\lambda \, d(x_i, y_j))

    over the M unlabelled rows y_j (arXiv 2505.14345): rows of X whose y is -1, as in
    sklearn.semi_supervised, and the rows of `X_unlabeled`.

    Parameters
    ----------
    estimator : classifier, default LogisticRegression()
        Any whose fit takes sample_weight; of a pipeline the last step, of a search the estimator
        searched. For a skorch net see `SampleWeightMixin`.
    metric : str or callable, default "euclidean"
        As in `distance_weights`. Distances are taken between the rows as they are: scale them
        first, as in ``make_pipeline(StandardScaler(), DistanceWeightedClassifier())``.
    lambda_ : float or "median", default 0.8
        Decay. "median": 1 / (median distance between labelled and unlabelled rows), see
        `semideep_ext.scales.median_lambda`.
    kernel : {"exponential", "inverse"}, default "exponential"
        exp(-lambda d), or 1/(d + eps).
    eps : float, default 1e-3
        For kernel "inverse".
    normalize : bool, default True
        Divide the weights by their mean. The sum of the weights is then the number of labelled
        rows, so that a regularisation strength (C, alpha) means what it does without weights.
        False gives the weights of the formula, at most 1, which strengthen regularisation.
    unlabeled : label or None, default -1
        The value of y that marks unlabelled rows; None if all rows of y are labelled.

    Attributes
    ----------
    estimator_ : classifier
    classes_ : ndarray, shape (n_classes,)
    labeled_ : ndarray of bool, shape (N,)
        The rows of X that were fitted on.
    sample_weight_ : ndarray, shape (n_labeled,)
        The weights that they had.
    fitted_lambda_ : float or None
        The decay used; None without unlabelled rows.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (D,)
        Only if X had string column names.

    Warns
    -----
    WeightsWarning
        If no row is unlabelled (all weights are 1), the weights are constant or underflow, or y
        holds -1 and one other label only: these are -1/+1 data, of which no row is unlabelled.

    See Also
    --------
    LabeledSplit : for GridSearchCV with scorers that know no unlabelled rows.

    Notes
    -----
    sample_weight of an unlabelled row is its share in the mean over j; the mean of `normalize` is
    weighted by it, too. So a row of weight 2 counts like two equal rows. Only the median of
    lambda_="median" looks no further than whether it is positive.

    String labels beside -1 need dtype object. GridSearchCV slices an `X_unlabeled` that happens to
    have as many rows as X, as it does all arguments of that length: mark the rows in y then.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [2.5]])
    >>> model = DistanceWeightedClassifier(lambda_=1.0).fit(X, [0, 0, 1, 1, -1])
    >>> model.sample_weight_.round(2)
    array([0.22, 0.59, 1.6 , 1.6 ])
    >>> model.predict([[2.9]])
    array([1])
    """

    def __init__(
        self,
        estimator: Any = None,
        metric: Any = "euclidean",
        lambda_: Any = 0.8,
        *,
        kernel: str = "exponential",
        eps: float = DEFAULT_EPS,
        normalize: bool = True,
        unlabeled: Any = -1,
    ) -> None:
        super().__init__(estimator, metric, lambda_, kernel=kernel, eps=eps, normalize=normalize)
        self.unlabeled = unlabeled

    def _default(self) -> Any:
        return LogisticRegression()

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_unlabeled: Any = None
    ) -> DistanceWeightedClassifier:
        """Weigh the labelled rows and fit the estimator.

        Parameters
        ----------
        X : array or DataFrame, shape (N, D)
        y : array-like, shape (N,)
            Classes; -1 for unlabelled rows.
        sample_weight : array-like, shape (N,), optional
            Multiplied with the distance weights.
        X_unlabeled : array or DataFrame, shape (M, D), optional
            Unlabelled rows beside those of X.

        Raises
        ------
        ValueError
            If X is not finite (row and column named), no row is labelled, a label is missing, or
            the estimator takes no sample_weight.
        """
        rows, y = self._validate(X, y, dtype=None)
        y = column_or_1d(y, warn=True)
        self.labeled_ = labeled_rows(y, self.unlabeled)
        labels = y[self.labeled_]
        if labels.dtype.kind == "O" and not any(isinstance(v, str) for v in labels):
            labels = np.array(labels.tolist())  # numbers that stood in an array of objects
        check_classification_targets(labels)
        self._fit(X, rows, labels, sample_weight, X_unlabeled)
        self.classes_ = getattr(self.estimator_, "classes_", np.unique(labels))
        return self

    @available_if(_has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities in the order of `classes_`, shape (N, n_classes)."""
        return self._fitted(X, "predict_proba")

    @available_if(_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of class probabilities, shape (N, n_classes)."""
        return self._fitted(X, "predict_log_proba")

    @available_if(_has("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Scores of the classes: (N,) for two, (N, n_classes) for more."""
        return self._fitted(X, "decision_function")

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean accuracy on the labelled rows.

        Parameters
        ----------
        X : array or DataFrame, shape (N, D)
        y : array-like, shape (N,)
            Rows marked as unlabelled do not count, unless the mark was a class in `fit`.
        sample_weight : array-like, shape (N,), optional
        """
        check_is_fitted(self)
        y = np.asarray(y)
        mark = self.unlabeled if self.unlabeled not in self.classes_.tolist() else None
        keep = np.array([mark is None or label != mark for label in y.ravel().tolist()])
        return float(super().score(*_kept(keep, X, y, sample_weight)))

    def __sklearn_tags__(self) -> Tags:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags = copy.deepcopy(get_tags(self._base()).classifier_tags)
        tags.classifier_tags.multi_label = False
        tags.target_tags.multi_output = False
        return tags


class DistanceWeightedRegressor(RegressorMixin, _DistanceWeighted):
    r"""Fit a regressor with labelled rows weighted by their closeness to the unlabelled rows.

    As `DistanceWeightedClassifier`, with NaN in y for unlabelled rows; of K targets a row has all
    or none.

    Parameters
    ----------
    estimator : regressor, default Ridge()
        Any whose fit takes sample_weight.
    metric, lambda_, kernel, eps, normalize
        As in `DistanceWeightedClassifier`.

    Attributes
    ----------
    estimator_ : regressor
    labeled_, sample_weight_, fitted_lambda_, n_features_in_, feature_names_in_
        As in `DistanceWeightedClassifier`.

    Warns
    -----
    WeightsWarning
        If no row is unlabelled (all weights are 1), or the weights are constant or underflow.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [5.0], [1.1]])
    >>> model = DistanceWeightedRegressor(Ridge(alpha=1e-6)).fit(X, [0.0, 1.0, 9.0, np.nan])
    >>> model.sample_weight_.round(2)
    array([0.9, 2. , 0.1])
    """

    def _default(self) -> Any:
        return Ridge()

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_unlabeled: Any = None
    ) -> DistanceWeightedRegressor:
        """Weigh the labelled rows and fit the estimator.

        Parameters
        ----------
        X : array or DataFrame, shape (N, D)
        y : array-like, shape (N,) or (N, K)
            Targets; NaN for unlabelled rows.
        sample_weight : array-like, shape (N,), optional
            Multiplied with the distance weights.
        X_unlabeled : array or DataFrame, shape (M, D), optional
            Unlabelled rows beside those of X.

        Raises
        ------
        ValueError
            If X is not finite (row and column named), no row is labelled, a row has some of its
            targets only, or the estimator takes no sample_weight.
        """
        rows, y = self._validate(X, y, dtype="numeric")
        self.labeled_ = rows_with_targets(y)
        self._fit(X, rows, y[self.labeled_], sample_weight, X_unlabeled)
        return self

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2 on the rows whose y is not NaN.

        Parameters
        ----------
        X : array or DataFrame, shape (N, D)
        y : array-like, shape (N,) or (N, K)
        sample_weight : array-like, shape (N,), optional
        """
        y = np.asarray(y, dtype=np.float64)
        return float(super().score(*_kept(rows_with_targets(y), X, y, sample_weight)))

    def __sklearn_tags__(self) -> Tags:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags = copy.deepcopy(get_tags(self._base()).regressor_tags)
        return tags


def _kept(
    keep: np.ndarray, X: Any, y: np.ndarray, sample_weight: Any
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Leave out the rows without a label, on which there is nothing to score."""
    if len(keep) and not keep.any():
        raise ValueError(f"y holds no labelled row to score on: all {len(keep)} are unlabelled")
    if keep.all():
        return X, y, sample_weight
    weight = None if sample_weight is None else np.asarray(sample_weight)[keep]
    return _safe_indexing(X, keep), y[keep], weight
