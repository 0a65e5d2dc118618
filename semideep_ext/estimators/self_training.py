"""Self-training (Yarowsky, 1995), by scikit-learn, with weighted estimators inside."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import SelfTrainingClassifier

from semideep_ext.estimators.base import DistanceWeighted
from semideep_ext.estimators.partly_labeled import PartlyLabeled, in_order


class SelfTraining(PartlyLabeled):
    """Let a classifier label the rows that it is sure of, and learn from them, in rounds.

    The rounds are those of `sklearn.semi_supervised.SelfTrainingClassifier`. Beyond it: labels of
    any type, `X_unlabeled`, a `DistanceWeightedClassifier` inside, and the supervised classifier
    beside it, which self-training is often below.

    Parameters
    ----------
    estimator : classifier, default LogisticRegression()
        With predict_proba. A `DistanceWeightedClassifier` weighs the rows of each round by their
        closeness to the rows that were unlabelled in the beginning.
    threshold : float, default 0.75
        Probability from which a row is labelled, for criterion "threshold".
    criterion : {"threshold", "k_best"}, default "threshold"
    k_best : int, default 10
        How many rows are labelled in a round, for criterion "k_best".
    max_iter : int or None, default 10
        Rounds at most; None until no row is labelled any more.
    verbose : bool, default False

    Attributes
    ----------
    estimator_ : classifier
        Of the last round; its classes are numbers, in the order of `classes_`.
    supervised_ : classifier
        The same of the labelled rows only; see `score_supervised`.
    classes_ : ndarray, shape (C,)
    transduction_ : ndarray, shape (n + m,)
        Labels of the rows of X and X_unlabeled that were learned from; -1, or None for text, where
        none was.
    labeled_iter_ : ndarray of int, shape (n + m,)
        The round in which a row was labelled; 0 for given labels, -1 for none.
    n_iter_ : int
        Rounds, at least 1.
    termination_condition_ : {"max_iter", "no_change", "all_labeled"}
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Warns
    -----
    UserWarning
        If no row is unlabelled.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [5.0], [6.0], [0.5], [5.5]])
    >>> model = SelfTraining().fit(X, ["a", "a", "b", "b", None, None])
    >>> model.transduction_.tolist()
    ['a', 'a', 'b', 'b', 'a', 'b']
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        threshold: float = 0.75,
        criterion: str = "threshold",
        k_best: int = 10,
        max_iter: int | None = 10,
        verbose: bool = False,
    ) -> None:
        self.estimator = estimator
        self.threshold = threshold
        self.criterion = criterion
        self.k_best = k_best
        self.max_iter = max_iter
        self.verbose = verbose

    def _learn(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        inner = LogisticRegression() if self.estimator is None else self.estimator
        if isinstance(inner, DistanceWeighted) and len(self._unlabeled):
            inner = _Weighing(inner, self._unlabeled)
        if (codes >= 0).all():  # of which scikit-learn warns, as fit has done
            self.estimator_, self.n_iter_ = self.supervised_, 0
            self.labeled_iter_ = np.zeros(len(rows), dtype=int)
            self.termination_condition_ = "all_labeled"
            return codes
        rounds = SelfTrainingClassifier(
            inner,
            threshold=self.threshold,
            criterion=self.criterion,
            k_best=self.k_best,
            max_iter=self.max_iter,
            verbose=self.verbose,
        ).fit(rows, codes)
        self.estimator_, self.n_iter_ = rounds.estimator_, rounds.n_iter_
        self.labeled_iter_ = rounds.labeled_iter_
        self.termination_condition_ = rounds.termination_condition_
        labels: np.ndarray = rounds.transduction_
        return labels

    def _probabilities(self, rows: np.ndarray) -> np.ndarray:
        return in_order(self.estimator_, rows, len(self.classes_))


class _Weighing(ClassifierMixin, BaseEstimator):
    """A `DistanceWeightedClassifier` that knows its unlabelled rows before `fit`."""

    def __init__(self, estimator: Any, rows: np.ndarray) -> None:
        self.estimator, self.rows = estimator, rows

    def fit(self, X: Any, y: Any) -> Any:
        """Fit with weights by closeness to the unlabelled rows."""
        self.estimator_ = clone(self.estimator).fit(X, y, X_unlabeled=self.rows)
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: Any) -> Any:
        """Give classes."""
        return self.estimator_.predict(X)

    def predict_proba(self, X: Any) -> Any:
        """Give probabilities."""
        return self.estimator_.predict_proba(X)
