"""Which rows of y are labelled: the convention of sklearn.semi_supervised, and splits by it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_array

from semideep_ext._inputs import is_missing
from semideep_ext.diagnostics import WeightsWarning

__all__ = ["LabeledSplit", "labeled_rows", "rows_with_targets"]


def labeled_rows(y: np.ndarray, unlabeled: Any = -1) -> np.ndarray:
    """Tell which class labels are not the mark of an unlabelled row.

    Parameters
    ----------
    y : ndarray, shape (N,)
        For string labels beside -1, of dtype object.
    unlabeled : label or None, default -1
        The mark; None if every row is labelled.

    Returns
    -------
    ndarray of bool, shape (N,)
        All true where y holds the mark and one other label only: these are -1/+1 data, since a
        single class leaves nothing to learn.

    Raises
    ------
    ValueError
        If a label is missing (None, NaN), or the mark became a string in a string array.

    Warns
    -----
    WeightsWarning
        Where the mark is taken as a class.

    Examples
    --------
    >>> labeled_rows(np.array(["a", -1, "b"], dtype=object))
    array([ True, False,  True])
    """
    everything = np.ones(len(y), dtype=bool)
    if y.dtype.kind in "US":
        if unlabeled is not None and str(unlabeled) in y.astype(str):
            raise ValueError(
                f"y holds the string {str(unlabeled)!r}: numpy made one of the mark {unlabeled!r} "
                "of unlabelled rows, or it is a class; give y with dtype=object and the mark as "
                "it is, or set unlabeled=None if every row is labelled"
            )
        return everything
    labels = y.tolist()
    missing = [i for i, label in enumerate(labels) if is_missing(label)]
    if missing:
        raise ValueError(
            f"y holds {labels[missing[0]]} at row {missing[0]} ({len(missing)} such in all; NaN "
            f"and None are no labels): mark unlabelled rows with {unlabeled!r}, or drop them"
        )
    if unlabeled is None:
        return everything
    labeled = np.fromiter((label != unlabeled for label in labels), dtype=bool, count=len(y))
    classes = {label for label, given in zip(labels, labeled, strict=True) if given}
    if len(classes) == 1 and not labeled.all():
        warnings.warn(
            f"y holds {unlabeled!r} and {classes.pop()!r} only: both are taken as classes, so no "
            f"row of y is unlabelled. For {unlabeled!r} to mark unlabelled rows, at least two "
            "other classes are needed: rename the classes, for example to 0 and 1. If they are "
            "classes, unlabeled=None says so, and X_unlabeled takes the unlabelled rows",
            WeightsWarning,
            stacklevel=3,
        )
        return everything
    return labeled


def rows_with_targets(y: np.ndarray) -> np.ndarray:
    """Tell which regression targets are given, not NaN.

    Parameters
    ----------
    y : ndarray of numbers, shape (N,) or (N, K)

    Returns
    -------
    ndarray of bool, shape (N,)

    Raises
    ------
    ValueError
        If a row has some of its K targets only, or an infinite one.

    Examples
    --------
    >>> rows_with_targets(np.array([0.5, np.nan]))
    array([ True, False])
    """
    missing = np.isnan(y).reshape(len(y), -1)
    partly = np.flatnonzero(missing.any(1) & ~missing.all(1))
    if partly.size:
        raise ValueError(
            f"y has NaN in some of its {missing.shape[1]} outputs at row {partly[0]} "
            f"({partly.size} such in all): a row has all outputs, or NaN in all of them"
        )
    infinite = np.flatnonzero(np.isinf(y).reshape(len(y), -1).any(1))
    if infinite.size:
        raise ValueError(f"y holds infinity at row {infinite[0]}: NaN marks unlabelled rows")
    given: np.ndarray = ~missing[:, 0]
    return given


class LabeledSplit:
    """Cross-validation that scores on labelled rows and trains on all unlabelled ones, too.

    With it `GridSearchCV` and `cross_val_score` take data with unlabelled rows under any scorer.

    Parameters
    ----------
    cv : int or splitter, default 5
        How to split the labelled rows; for an int stratified by class, or plain for targets that
        are no classes, as in scikit-learn.
    unlabeled : label or None, default -1
        The mark of unlabelled rows; NaN is one always.

    Examples
    --------
    >>> y = np.array([0, 1, -1, 0, 1])
    >>> for train, test in LabeledSplit(cv=2).split(None, y):
    ...     print(train, test)
    [2 3 4] [0 1]
    [0 1 2] [3 4]
    """

    def __init__(self, cv: Any = 5, unlabeled: Any = -1) -> None:
        self.cv, self.unlabeled = cv, unlabeled

    def split(self, X: Any, y: Any, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give pairs of training and test rows, as numbers in ascending order.

        Parameters
        ----------
        X : ignored
        y : array-like, shape (N,) or (N, K)
        groups : array-like, shape (N,), optional
            For a `cv` that keeps groups together.
        """
        rows, labels, unlabeled_rows, groups = self._labeled(y, groups)
        for train, test in self._folds(labels).split(np.zeros((len(rows), 1)), labels, groups):
            yield np.sort(np.concatenate([rows[train], unlabeled_rows])), rows[test]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Count the folds; `cv` may need y and groups for that, as in `split`."""
        if y is None:
            return int(check_cv(self.cv).get_n_splits(X, y, groups))
        rows, labels, _, groups = self._labeled(y, groups)
        return int(self._folds(labels).get_n_splits(rows, labels, groups))

    def _labeled(self, y: Any, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
        """Numbers of the labelled rows, their labels, the numbers of the others; own groups."""
        y = check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False, input_name="y")
        first = y if y.ndim == 1 else y[:, 0]
        labeled = np.array(
            [not is_missing(v) and (self.unlabeled is None or v != self.unlabeled) for v in first]
        )
        rows = np.flatnonzero(labeled)
        if not rows.size:
            raise ValueError(
                f"y marks all of its {len(y)} rows as unlabelled, by {self.unlabeled!r} or NaN: "
                "label some, or set unlabeled to another mark, or None"
            )
        labels = np.array(y[rows].tolist()) if y.dtype.kind == "O" else y[rows]
        groups = None if groups is None else np.asarray(groups)[rows]
        return rows, labels, np.flatnonzero(~labeled), groups

    def _folds(self, labels: np.ndarray) -> Any:
        classes = type_of_target(labels) in ("binary", "multiclass")
        return check_cv(self.cv, labels, classifier=classes)

    def __repr__(self) -> str:
        """Show the settings."""
        return f"{type(self).__name__}(cv={self.cv!r}, unlabeled={self.unlabeled!r})"
