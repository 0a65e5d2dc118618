"""Which rows are labelled: one convention at every entry point, that of sklearn.semi_supervised."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from semideep_ext.op.arguments import is_missing
from semideep_ext.weighting.diagnostics import WeightsWarning

__all__ = ["labeled_rows", "rows_with_targets"]


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
