"""Classes of partly labelled rows, as scikit-learn's estimators read and score them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from semideep_ext.op.arguments import is_missing
from semideep_ext.weighting.checks import as_array, missing_as_nan
from semideep_ext.weighting.labels import is_unlabeled, labeled_rows, plain_labels


def class_codes(y: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Read labels of which some are missing or -1.

    Parameters
    ----------
    y : array-like, shape (n,)
    n : int
        Number of rows.

    Returns
    -------
    classes : ndarray, shape (C,)
    codes : ndarray of int, shape (n,)
        Numbers of the classes; -1 for unlabelled rows.

    Raises
    ------
    ValueError
        For another length, labels that are no classes, and y without a labelled row.

    Examples
    --------
    >>> class_codes(["b", None, "a"], 3)
    (array(['a', 'b'], dtype=object), array([ 1, -1,  0]))
    """
    if y is not None:  # which scikit-learn refuses in its own words
        y = missing_as_nan(as_array(y, "y"))
    y = column_or_1d(y, warn=True)
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise ValueError("y holds infinity; give labels, and -1 or NaN to unlabelled rows")
    if len(y) != n:
        raise ValueError(f"X has {n} rows and y {len(y)}; give one label a row")
    labeled = labeled_rows(y)
    if not labeled.any():
        raise ValueError(f"y marks all of its {n} rows as unlabelled: label some")
    labels = plain_labels(y[labeled])
    check_classification_targets(labels)
    classes, numbers = np.unique(labels, return_inverse=True)
    codes = np.full(n, -1)
    codes[labeled] = numbers
    return classes, codes


class LabeledScore(ClassifierMixin):
    """A classifier that is scored on labelled rows only; `unlabeled` is its mark, -1 by default."""

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean accuracy on the labelled rows.

        Parameters
        ----------
        X : array or DataFrame, shape (n, D)
        y : array-like, shape (n,)
            Unlabelled rows do not count; the mark counts where it was a class in `fit`.
        sample_weight : array-like, shape (n,), optional
        """
        return float(super().score(*self._scored(X, y, sample_weight)))

    def _scored(self, X: Any, y: Any, sample_weight: Any = None) -> tuple[Any, np.ndarray, Any]:
        """Leave out the rows without a label."""
        check_is_fitted(self)
        y, mark = as_array(y, "y"), getattr(self, "unlabeled", -1)
        classes = self.classes_.tolist()  # type: ignore[attr-defined]
        if not is_missing(mark) and mark in classes:
            mark = np.nan
        X, y, sample_weight = kept_rows(~is_unlabeled(y.ravel(), mark), X, y, sample_weight)
        return X, plain_labels(y), sample_weight


def kept_rows(
    keep: np.ndarray, X: Any, y: np.ndarray, sample_weight: Any
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Leave out the rows without a label, on which there is nothing to score."""
    if len(keep) and not keep.any():
        raise ValueError(f"y holds no labelled row to score on: all {len(keep)} are unlabelled")
    if keep.all():
        return X, y, sample_weight
    weight = None if sample_weight is None else np.asarray(sample_weight)[keep]
    return _safe_indexing(X, keep), y[keep], weight
