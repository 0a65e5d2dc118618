"""What a fold's score is: of which scorer, and how the fold's rows count in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring, f1_score, get_scorer_names
from sklearn.utils import _safe_indexing

from semideep_ext.estimators.selection.rows import Fold, Rows
from semideep_ext.op.functional import distance_weights
from semideep_ext.weighting.auto import auto_select_distance_metric
from semideep_ext.weighting.diagnostics import check_weights
from semideep_ext.weighting.normalisation import mean_one
from semideep_ext.weighting.scales import median_lambda

__all__ = ["Scoring", "make_scoring"]


@dataclass(frozen=True)
class Scoring:
    """A scorer with its name, to be called with a fitted estimator, the rows and the fold.

    Attributes
    ----------
    name : str
    scorer : callable
    importance : ndarray, shape (N,), or None
        Weights of the rows in a score, if they do not count alike.
    classes : set
        Empty for regression.
    """

    name: str
    scorer: Any
    importance: np.ndarray | None
    classes: set[Any]

    def __call__(self, fitted: Any, rows: Rows, fold: Fold) -> float:
        """Score on the fold's validation rows."""
        train, validation = fold
        options = {}
        if self.importance is not None:
            options["sample_weight"] = self.importance[validation]
        X, y = _safe_indexing(rows.given, validation), rows.labels[validation]
        try:
            return float(self.scorer(fitted, X, y, **options))
        except TypeError as error:
            if self.importance is None:
                raise
            raise ValueError(
                f"importance_weighted: the scorer {self.scorer!r} takes no sample_weight ({error})"
                "; use another scoring, or importance_weighted=False"
            ) from error
        except ValueError as error:
            lacking = self.classes - (set(rows.labels[train].tolist()) & set(y.tolist()))
            if not lacking:
                raise
            raise ValueError(
                f"scoring={self.name!r} fails on a fold that lacks {sorted(lacking)[:3]} among its "
                f"rows to train or to score on ({error}): leave scoring out, give fewer folds, or "
                "leave out classes of few rows"
            ) from error


def make_scoring(
    scoring: Any, importance_weighted: Any, estimator: Any, rows: Rows, regression: bool
) -> Scoring:
    """Find the scorer, and how rows count in it.

    Raises
    ------
    ValueError
        For an unknown name, several scorers, or weights that are not one per row of X_train.
    """
    if isinstance(scoring, (list, tuple, set, dict)):
        raise ValueError(f"scoring={scoring!r}: one score is needed to choose by; give one scorer")
    if isinstance(scoring, str) and scoring not in get_scorer_names():
        known = ", ".join(get_scorer_names())
        raise ValueError(f"scoring={scoring!r} is unknown: choose one of {known}; or give a scorer")
    if scoring is None and not regression:
        name, scorer = "f1", _F1(np.unique(rows.labels))
    else:
        scoring = scoring or "r2"
        name = scoring if isinstance(scoring, str) else "score"
        scorer = check_scoring(estimator, scoring=scoring)
    classes = set() if regression else set(rows.labels.tolist())
    return Scoring(name, scorer, _importance(importance_weighted, rows), classes)


@dataclass(frozen=True)
class _F1:
    """F1 of the second of two classes, or the mean by frequency of more, as the trainer gives it.

    scikit-learn's own scorers of F1 fail on folds that lack a class.
    """

    classes: np.ndarray

    def __call__(self, fitted: Any, X: Any, y: np.ndarray, sample_weight: Any = None) -> float:
        two = len(self.classes) == 2
        return float(
            f1_score(
                y,
                fitted.predict(X),
                labels=self.classes[1:] if two else self.classes,
                average="macro" if two else "weighted",
                sample_weight=sample_weight,
                zero_division=0,
            )
        )


def _importance(wanted: Any, rows: Rows) -> np.ndarray | None:
    """Weights in scores: none, given ones, or the ratio of densities estimated by kernels."""
    if not isinstance(wanted, (bool, np.bool_)):
        return check_weights(wanted, "importance_weighted", len(rows.labeled))[rows.labeled]
    if not wanted:
        return None
    x, y = rows.features, rows.unlabeled
    metric = auto_select_distance_metric(x)
    lambda_ = median_lambda(x, y, metric)
    near_test = distance_weights(x, y, metric, lambda_, log=True)
    ratio: np.ndarray = mean_one(near_test - distance_weights(x, x, metric, lambda_, log=True))
    return ratio
