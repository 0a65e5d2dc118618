"""Splits of partly labelled rows; `weighting.labels` says which rows these are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.utils.multiclass import type_of_target

from semideep_ext.weighting.checks import as_array, missing_as_nan
from semideep_ext.weighting.labels import (
    is_unlabeled,
    labeled_rows,
    plain_labels,
    rows_with_targets,
)

__all__ = ["LabeledSplit", "labeled_rows", "rows_with_targets"]


class LabeledSplit:
    """Cross-validation that scores on labelled rows and trains on all unlabelled ones, too.

    With it `GridSearchCV` and `cross_val_score` take data with unlabelled rows under any scorer.

    Parameters
    ----------
    cv : int or splitter, default 5
        How to split the labelled rows; for an int stratified by class, or plain for targets that
        are no classes, as in scikit-learn. Groups reach it as they reach any splitter, also under
        metadata routing.
    unlabeled : label or None, default -1
        The mark of unlabelled rows, as in `DistanceWeightedClassifier`; rows without a label (NaN,
        None) are unlabelled, too. Of targets with several columns or with fractions, NaN is the
        only mark; set it to NaN for other targets that are no classes.

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

    def get_metadata_routing(self) -> Any:
        """Ask scikit-learn for what `cv` asks for: groups, if it keeps these together."""
        cv = self.cv if hasattr(self.cv, "get_metadata_routing") else check_cv()
        return cv.get_metadata_routing()

    def _labeled(self, y: Any, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
        """Numbers of the labelled rows, their labels, the numbers of the others; own groups."""
        y = missing_as_nan(as_array(y, "y"))
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if _holds_numbers(y):
            labeled = rows_with_targets(y.astype(np.float64))
        else:
            labeled = labeled_rows(y, self.unlabeled)
        rows = np.flatnonzero(labeled)
        if not rows.size:
            raise ValueError(
                f"y marks all of its {len(y)} rows as unlabelled, by {self.unlabeled!r} or NaN: "
                "label some, or set unlabeled to another mark, or None"
            )
        groups = None if groups is None else np.asarray(groups)[rows]
        return rows, plain_labels(y[rows]), np.flatnonzero(~labeled), groups

    def _folds(self, labels: np.ndarray) -> Any:
        classes = type_of_target(labels) in ("binary", "multiclass")
        return check_cv(self.cv, labels, classifier=classes)

    def __repr__(self) -> str:
        """Show the settings."""
        return f"{type(self).__name__}(cv={self.cv!r}, unlabeled={self.unlabeled!r})"


def _holds_numbers(y: np.ndarray) -> bool:
    """Tell targets that are certainly no classes: of several columns, or with fractions."""
    if y.ndim == 2:
        return True
    given = plain_labels(y[~is_unlabeled(y, np.nan)])
    return given.dtype.kind == "f" and bool((given != np.floor(given)).any())
