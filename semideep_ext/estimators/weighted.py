"""Distance-based sample weights for any scikit-learn estimator.

`DistanceWeightedClassifier` and `DistanceWeightedRegressor` weigh the labelled rows by their
closeness to the unlabelled ones, then fit an estimator with these weights.
Unlabelled rows are those of X whose y is -1 or missing (NaN for regression), as
`weighting.labels` says, and the rows of X_unlabeled.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from semideep_ext.estimators.around import refuse_mark_as_class
from semideep_ext.estimators.base import DistanceWeighted
from semideep_ext.op.arguments import is_missing
from semideep_ext.op.functional import DEFAULT_EPS
from semideep_ext.weighting.checks import as_array, missing_as_nan
from semideep_ext.weighting.classes import LabeledScore, kept_rows
from semideep_ext.weighting.labels import (
    labeled_rows,
    plain_labels,
    rows_with_targets,
)

__all__ = ["DistanceWeightedClassifier", "DistanceWeightedRegressor"]


def _has(method: str) -> Callable[[Any], bool]:
    return lambda self: hasattr(getattr(self, "estimator_", None) or self._inner(), method)


class DistanceWeightedClassifier(LabeledScore, DistanceWeighted):
    r"""Fit a classifier with labelled rows weighted by their closeness to the unlabelled rows.

    .. math:: w_i = \frac{1}{M} \sum_j \exp(-\lambda \, d(x_i, y_j))

    over the M unlabelled rows y_j (arXiv 2505.14345): rows of X whose y is -1, as in
    sklearn.semi_supervised, or missing (None, NaN), and the rows of `X_unlabeled`.

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
        `semideep_ext.weighting.scales.median_lambda`.
    kernel : {"exponential", "inverse"}, default "exponential"
        exp(-lambda d), or 1/(d + eps).
    eps : float, default 1e-3
        For kernel "inverse".
    normalize : bool, default True
        Divide the weights by their mean. The sum of the weights is then the number of labelled
        rows, so that a regularisation strength (C, alpha) means what it does without weights.
        False gives the weights of the formula, at most 1, which strengthen regularisation.
    unlabeled : label or None, default -1
        The value of y that marks unlabelled rows, beside missing ones; NaN if missing ones alone
        are unlabelled; None if all rows of y are labelled.

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
        If no row is unlabelled (all weights are 1), the weights are constant, collapsed or
        underflow, or y holds -1 and one other number only: these are -1/+1 data, in which -1 is a
        class.

    See Also
    --------
    LabeledSplit : for GridSearchCV with scorers that know no unlabelled rows.

    Notes
    -----
    sample_weight of an unlabelled row is its share in the mean over j; the mean of `normalize` is
    weighted by it, too. So a row of weight 2 counts like two equal rows. Only the median of
    lambda_="median" looks no further than whether it is positive.

    Metadata routing changes nothing for `estimator`, which gets the weights without a request;
    only where something in it has set_fit_request(sample_weight=True), its requests are followed.

    Text labels beside -1 need dtype object, as a list of both has it; the text "-1" is refused.
    Ensembles (`VotingClassifier`, `CalibratedClassifierCV`, `AdaBoostClassifier`) belong inside, as
    `estimator`: around this one they would take -1 for a class, which is refused where it can be
    seen, in one process. Resamplers (`fit_resample`) belong neither inside, where they make rows
    without weights, nor before it, where they see -1 as a class: use class_weight of `estimator`.

    GridSearchCV slices an `X_unlabeled` that happens to
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
        """Make the estimator for `estimator=None`."""
        return LogisticRegression()

    def _targets_of(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell which rows are labelled, shape (N,), and give the labels of these."""
        y = column_or_1d(y, warn=True)
        labeled = labeled_rows(y, self.unlabeled)
        if not is_missing(self.unlabeled):
            refuse_mark_as_class(self, self.unlabeled, not labeled.all())
        labels = plain_labels(y[labeled])
        check_classification_targets(labels)
        return labeled, labels

    @property
    def classes_(self) -> np.ndarray:
        """Classes of the fitted estimator, shape (n_classes,)."""
        classes: np.ndarray = self.estimator_.classes_
        return classes

    @available_if(_has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities in the order of `classes_`, shape (N, n_classes)."""
        return self._call_fitted(X, "predict_proba")

    @available_if(_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of class probabilities, shape (N, n_classes)."""
        return self._call_fitted(X, "predict_log_proba")

    @available_if(_has("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Scores of the classes: (N,) for two, (N, n_classes) for more."""
        return self._call_fitted(X, "decision_function")

    def __sklearn_tags__(self) -> Tags:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags = copy.deepcopy(get_tags(self._inner()).classifier_tags)
        tags.classifier_tags.multi_label = False
        tags.target_tags.multi_output = False
        return tags


class DistanceWeightedRegressor(RegressorMixin, DistanceWeighted):
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
        If no row is unlabelled (all weights are 1), or the weights are constant, collapsed or
        underflow.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [5.0], [1.1]])
    >>> model = DistanceWeightedRegressor(Ridge(alpha=1e-6)).fit(X, [0.0, 1.0, 9.0, np.nan])
    >>> model.sample_weight_.round(2)
    array([0.9, 2. , 0.1])
    """

    _y_dtype = "numeric"

    def _default(self) -> Any:
        """Make the estimator for `estimator=None`."""
        return Ridge()

    def _targets_of(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell which rows have targets, shape (N,), and give these."""
        labeled = rows_with_targets(y)
        return labeled, y[labeled]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2 on the rows whose y is not NaN.

        Parameters
        ----------
        X : array or DataFrame, shape (N, D)
        y : array-like, shape (N,) or (N, K)
        sample_weight : array-like, shape (N,), optional
        """
        y = missing_as_nan(as_array(y, "y")).astype(np.float64)
        return float(super().score(*kept_rows(rows_with_targets(y), X, y, sample_weight)))

    def __sklearn_tags__(self) -> Tags:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags = copy.deepcopy(get_tags(self._inner()).regressor_tags)
        return tags
