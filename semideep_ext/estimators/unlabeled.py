"""Splits of partly labelled rows; `weighting.labels` says which rows these are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_array

from semideep_ext.op.arguments import is_missing
from semideep_ext.weighting.labels import labeled_rows, rows_with_targets

__all__ = ["LabeledSplit", "labeled_rows", "rows_with_targets"]


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
