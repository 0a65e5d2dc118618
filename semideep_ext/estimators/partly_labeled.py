"""What self-training, co-training and tri-training share: labels, rows and the supervised twin."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from semideep_ext.estimators.base import DistanceWeighted
from semideep_ext.estimators.rows import finite
from semideep_ext.op.arguments import check_columns, column_names
from semideep_ext.weighting.classes import LabeledScore, class_codes

NUMBERS: dict[str, Any] = {"dtype": [np.float64, np.float32], "ensure_all_finite": False}


class PartlyLabeled(LabeledScore, MetaEstimatorMixin, BaseEstimator):
    """Base class of classifiers that label unlabelled rows by a classifier inside.

    Inside, classes are numbers 0 to C - 1, and -1 marks unlabelled rows.
    """

    estimator: Any
    n_iter_: int

    def fit(self, X: Any, y: Any, X_unlabeled: Any = None) -> Any:
        """Learn from labelled and unlabelled rows.

        Parameters
        ----------
        X : array or DataFrame, shape (n, D)
        y : array-like, shape (n,)
            Labels; -1 or a missing one (None, NaN) marks unlabelled rows.
        X_unlabeled : array or DataFrame, shape (m, D), optional
            Unlabelled rows beside those of X.

        Raises
        ------
        ValueError
            For rows that are not finite (row and column named), and y without a labelled row.
        TypeError
            If the estimator is no classifier.
        """
        self._check_estimator(self.estimator)
        rows = finite(validate_data(self, X, **NUMBERS), X, "X")
        self.classes_, codes = class_codes(y, len(rows))
        if X_unlabeled is not None:
            more = self._more_rows(X, X_unlabeled)
            rows = np.concatenate([rows, more])
            codes = np.concatenate([codes, np.full(len(more), -1)])
        self._unlabeled = rows[codes < 0]
        if not len(self._unlabeled):
            warnings.warn(
                f"there is no unlabelled row: {type(self).__name__} then is supervised training; "
                "mark unlabelled rows in y, or give X_unlabeled",
                stacklevel=2,
            )
        self.supervised_ = self._fitted(rows[codes >= 0], codes[codes >= 0])
        codes = self._learn(rows, codes)
        self.n_iter_ = max(1, self.n_iter_)  # as scikit-learn asks
        self.transduction_ = self._labels(codes)
        return self

    def _labels(self, codes: np.ndarray) -> np.ndarray:
        """Give labels, (n,), and -1, or None beside text, for -1."""
        classes, none = self.classes_, -1 if self.classes_.dtype.kind in "iuf" else None
        if (codes >= 0).all():
            return np.asarray(classes[codes])
        dtype = object if none is None else classes.dtype
        return np.array([*classes.tolist(), none], dtype=dtype)[codes]

    def _learn(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Label rows, and give the codes that they have in the end, (n,); -1 for none."""
        raise NotImplementedError  # each method has its own

    def _check_estimator(self, estimator: Any) -> None:
        if estimator is not None and (isinstance(estimator, type) or not is_classifier(estimator)):
            raise TypeError(
                f"estimator={estimator!r:.60} is no classifier: give one of scikit-learn, such as "
                "LogisticRegression(), built rather than the class"
            )

    def _fitted(self, rows: np.ndarray, codes: np.ndarray, estimator: Any = None) -> Any:
        """Fit a clone; one that weighs rows does so by closeness to all unlabelled rows."""
        estimator = self.estimator if estimator is None else estimator
        model = clone(LogisticRegression() if estimator is None else estimator)
        if isinstance(model, DistanceWeighted) and len(self._unlabeled):
            return model.fit(rows, codes, X_unlabeled=self._unlabeled)
        return model.fit(rows, codes)

    def _more_rows(self, X: Any, X_unlabeled: Any) -> np.ndarray:
        check_columns("X_unlabeled", column_names(X_unlabeled), "X", column_names(X))
        rows = check_array(X_unlabeled, input_name="X_unlabeled", **NUMBERS)
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X_unlabeled has shape {rows.shape}; allowed is (m, {self.n_features_in_}), as X "
                f"has {self.n_features_in_} features"
            )
        return finite(rows, X_unlabeled, "X_unlabeled")

    def _probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Give probabilities of the classes, (n, C)."""
        raise NotImplementedError  # each method has its own

    def predict_proba(self, X: Any) -> np.ndarray:
        """Give the probabilities of the classes in the order of `classes_`, shape (n, C)."""
        check_is_fitted(self)
        rows = finite(validate_data(self, X, reset=False, **NUMBERS), X, "X")
        return self._probabilities(rows)

    def predict(self, X: Any) -> np.ndarray:
        """Give the most probable class of each row, shape (n,)."""
        probabilities = self.predict_proba(X)
        classes: np.ndarray = self.classes_[probabilities.argmax(1)]
        return classes

    def score_supervised(self, X: Any, y: Any) -> float:
        """Mean accuracy of `supervised_` on the labelled rows; it has seen no others."""
        X, y, _ = self._scored(X, y)
        rows = finite(validate_data(self, X, reset=False, **NUMBERS), X, "X")
        return float((self.classes_[self.supervised_.predict(rows)] == y).mean())

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn whether it is fitted."""
        return hasattr(self, "transduction_")

    def __sklearn_tags__(self) -> Tags:
        """Say what the estimator can do."""
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.classifier_tags.multi_class = get_tags(self.estimator).classifier_tags.multi_class
        return tags


def in_order(model: Any, rows: np.ndarray, classes: int) -> np.ndarray:
    """Give probabilities of classes 0 to C - 1, (n, C): 0 of those that the model has not seen."""
    probabilities = np.zeros((len(rows), classes))
    probabilities[:, model.classes_] = model.predict_proba(rows)
    return probabilities
