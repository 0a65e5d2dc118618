"""Co-training (Blum & Mitchell, COLT 1998)."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from semideep_ext.estimators.partly_labeled import PartlyLabeled, in_order
from semideep_ext.weighting.checks import check_whole


class CoTraining(PartlyLabeled):
    """Let two classifiers, each of which sees other columns, label rows for each other.

    In each round, both are fitted with the labelled rows; each then labels, of a pool of unlabelled
    rows, those of which it is most sure, so many of each class; these join the labelled rows of
    both, and the pool is filled up. Works where either view would do alone, and the views are
    independent given the class.

    Parameters
    ----------
    estimator : classifier, default LogisticRegression()
        With predict_proba; of the first view. A `DistanceWeightedClassifier` weighs rows by their
        closeness to the unlabelled ones.
    estimator2 : classifier, optional
        Of the second view; by default as `estimator`.
    views : pair of sequences of column numbers or names, or of slices, optional
        By default the first and the second half of the columns.
    per_class : int or dict of label to int, optional
        How many rows a classifier labels in a round. By default 1 of the rarest class, and of the
        others as many more as they have more labels (1 and 3 in the paper, where these were 1 to
        3).
    pool_size : int, default 75
    max_iter : int, default 30
        Rounds at most.
    random_state : int, RandomState or None, default None
        Of the pool.

    Attributes
    ----------
    estimators_ : pair of classifiers
        Their classes are numbers, in the order of `classes_`.
    views_ : pair of ndarray of int
        Numbers of the columns.
    supervised_ : classifier
        That of all columns and the labelled rows only; see `score_supervised`.
    classes_ : ndarray, shape (C,)
    transduction_ : ndarray, shape (n + m,)
        Labels that were learned from; -1, or None for text, where none was.
    n_iter_ : int
        Rounds, at least 1.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Raises
    ------
    ValueError
        From `fit`, for views that are not two sets of columns.

    Warns
    -----
    UserWarning
        If no row is unlabelled.

    Notes
    -----
    Probabilities are the products of those of the two views, scaled to sum 1. Rows that both label,
    differently, in a round wait until all others have been in the pool.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [5.0], [6.0], [0.5], [5.5]])
    >>> model = CoTraining().fit(np.hstack([x, -x]), ["a", "a", "b", "b", None, None])
    >>> model.transduction_.tolist()
    ['a', 'a', 'b', 'b', 'a', 'b']
    """

    def __init__(
        self,
        estimator: Any = None,
        estimator2: Any = None,
        *,
        views: Any = None,
        per_class: Any = None,
        pool_size: int = 75,
        max_iter: int = 30,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.estimator2 = estimator2
        self.views = views
        self.per_class = per_class
        self.pool_size = pool_size
        self.max_iter = max_iter
        self.random_state = random_state

    def _learn(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        check_whole("pool_size", self.pool_size, 1)
        check_whole("max_iter", self.max_iter, 1)
        self._check_estimator(self.estimator2)
        self.views_ = self._columns(rows.shape[1])
        wanted = self._wanted(codes[codes >= 0])
        codes = codes.copy()
        rest = check_random_state(self.random_state).permutation(np.flatnonzero(codes < 0))
        pool, rest = rest[: self.pool_size], rest[self.pool_size :]
        self.n_iter_, self.estimators_ = 0, self._both(rows, codes)
        while len(pool) and self.n_iter_ < self.max_iter:
            found = [
                surest(in_order(model, rows[pool][:, view], len(wanted)), wanted)
                for model, view in zip(self.estimators_, self.views_, strict=True)
            ]
            labels = np.maximum(*found)
            if (labels < 0).all():
                break
            contested = (np.minimum(*found) >= 0) & (found[0] != found[1])
            named = (labels >= 0) & ~contested
            codes[pool[named]] = labels[named]
            left, later = pool[labels < 0], pool[contested]
            free = self.pool_size - len(left)
            pool = np.concatenate([left, rest[:free]])
            rest = np.concatenate([rest[free:], later])
            self.estimators_ = self._both(rows, codes)
            self.n_iter_ += 1
        return codes

    def _both(self, rows: np.ndarray, codes: np.ndarray) -> list[Any]:
        known, all_unlabeled, models = codes >= 0, self._unlabeled, []
        for view, estimator in zip(self.views_, (None, self.estimator2), strict=True):
            self._unlabeled = all_unlabeled[:, view]
            models.append(self._fitted(rows[known][:, view], codes[known], estimator))
        self._unlabeled = all_unlabeled
        return models

    def _columns(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Give the numbers of the columns of each view."""
        if self.views is None:
            if count < 2:
                raise ValueError(
                    f"CoTraining needs two views of the rows, and X has {count} feature(s)"
                )
            first, second = np.array_split(np.arange(count), 2)
            return first, second
        names = getattr(self, "feature_names_in_", None)
        if len(self.views) != 2:
            raise ValueError(f"views has {len(self.views)} parts: give two sets of columns")
        first, second = (_numbers(view, count, names) for view in self.views)
        return first, second

    def _wanted(self, labels: np.ndarray) -> np.ndarray:
        """Give how many rows of each class are labelled in a round, (C,)."""
        counts = np.bincount(labels, minlength=len(self.classes_))
        if self.per_class is None:
            return np.maximum(1, np.rint(counts / counts.min())).astype(int)
        if isinstance(self.per_class, dict):
            unknown = [label for label in self.per_class if label not in self.classes_.tolist()]
            if unknown:
                raise ValueError(
                    f"per_class names {unknown}, which are no classes: {self.classes_.tolist()}"
                )
            return np.array([self.per_class.get(c, 0) for c in self.classes_.tolist()])
        check_whole("per_class", self.per_class, 1)
        return np.full(len(counts), self.per_class)

    def _probabilities(self, rows: np.ndarray) -> np.ndarray:
        first, second = (
            in_order(model, rows[:, view], len(self.classes_))
            for model, view in zip(self.estimators_, self.views_, strict=True)
        )
        both, either = first * second, first + second
        # Where each is certain of another class, their mean has to do.
        joint = np.where(both.sum(1, keepdims=True) > 0, both, either)
        scaled: np.ndarray = joint / joint.sum(1, keepdims=True)
        return scaled


def surest(probabilities: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Label the rows of which a classifier is most sure, and leave the others at -1.

    Parameters
    ----------
    probabilities : ndarray, shape (n, C)
    wanted : ndarray of int, shape (C,)
        How many rows of each class are to be labelled, of those where it is the most probable.

    Examples
    --------
    >>> surest(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([1, 1]))
    array([ 0, -1,  1])
    """
    best = probabilities.argmax(1)
    labels = np.full(len(best), -1)
    for k, count in enumerate(wanted):
        own = np.flatnonzero(best == k)
        labels[own[np.argsort(-probabilities[own, k], kind="stable")[:count]]] = k
    return labels


def _numbers(view: Any, count: int, names: np.ndarray | None) -> np.ndarray:
    """Turn a slice, or column names or numbers, into numbers."""
    if isinstance(view, slice):
        numbers = np.arange(count)[view]
    elif any(isinstance(column, str) for column in view):
        known = [] if names is None else names.tolist()
        missing = [column for column in view if column not in known]
        if missing:
            raise ValueError(f"views names {missing}, which X has not; it has {known[:20]}")
        numbers = np.array([known.index(column) for column in view])
    else:
        numbers = np.asarray(view)
        numbers = np.flatnonzero(numbers) if numbers.dtype == bool else numbers
    if not len(numbers) or not ((-count <= numbers) & (numbers < count)).all():
        raise ValueError(f"views holds {view!r:.60}: give columns of the {count} that X has")
    return numbers
