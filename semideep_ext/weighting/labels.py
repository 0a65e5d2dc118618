"""Which rows are labelled: one convention at every entry point, that of sklearn.semi_supervised.

A row is unlabelled if its label is the mark, -1, or missing (None, NaN, pandas.NA): an empty cell
of a file is one of these once it is read. Where numbers are predicted, NaN is the only mark.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from semideep_ext.op.arguments import is_missing
from semideep_ext.weighting.checks import as_array, check_labels, find_missing, missing_as_nan
from semideep_ext.weighting.diagnostics import WeightsWarning

__all__ = [
    "is_unlabeled",
    "labeled_rows",
    "plain_labels",
    "read_labels",
    "rows_with_targets",
]


def labeled_rows(y: np.ndarray, unlabeled: Any = -1) -> np.ndarray:
    """Tell which class labels are neither missing nor the mark of an unlabelled row.

    Parameters
    ----------
    y : ndarray, shape (N,)
        For text labels beside -1, of dtype object.
    unlabeled : label or None, default -1
        The mark. NaN: missing labels alone are unlabelled, and -1 is a class. None: every row is
        labelled.

    Returns
    -------
    ndarray of bool, shape (N,)
        -1 is a class where y holds one other number only: these are -1/+1 data, since a single
        class leaves nothing to learn.

    Raises
    ------
    ValueError
        If the mark stands in y as text, or a label is missing where every row is to have one.

    Warns
    -----
    WeightsWarning
        Where -1 is taken as a class.

    Examples
    --------
    >>> labeled_rows(np.array(["a", -1, "b", None], dtype=object))
    array([ True, False,  True, False])
    >>> labeled_rows(np.array(["a", "?", "b"]), unlabeled="?")
    array([ True, False,  True])
    """
    without = is_unlabeled(y, unlabeled)
    others = set(y[~without].tolist())
    if is_missing(unlabeled) or unlabeled != -1 or len(others) != 1:
        return ~without
    if isinstance(next(iter(others)), (str, bytes)):
        return ~without
    missing = is_unlabeled(y, np.nan)
    if (without & ~missing).any():
        warnings.warn(
            f"y holds {unlabeled!r} and {others.pop()!r} only: both are taken as classes, so no "
            f"row of y is marked as unlabelled. For {unlabeled!r} to be the mark, at least two "
            "other classes are needed: rename the classes, for example to 0 and 1. If they are "
            "classes, unlabeled=None says so, and X_unlabeled or X_test takes the unlabelled rows",
            WeightsWarning,
            stacklevel=3,
        )
        return ~missing
    return ~without


def is_unlabeled(y: np.ndarray, unlabeled: Any = -1) -> np.ndarray:
    """Tell which labels are missing or the mark; unlike `labeled_rows`, whatever the others are.

    Parameters
    ----------
    y : ndarray, shape (N,)
    unlabeled : label or None, default -1

    Raises
    ------
    ValueError
        As `labeled_rows`.

    Examples
    --------
    >>> is_unlabeled(np.array([-1, 1]))
    array([ True, False])
    """
    missing = find_missing(y)
    labels = [v.decode() if isinstance(v, bytes) else v for v in y.tolist()]
    if unlabeled is None:
        if missing.any():
            row = int(missing.argmax())
            raise ValueError(
                f"y holds {labels[row]} at row {row} ({missing.sum()} such in all), but "
                "unlabeled=None says that every row is labelled: drop these rows, or set "
                "unlabeled=-1 or NaN to take them as unlabelled"
            )
        return missing
    if not isinstance(unlabeled, str):
        _refuse_text(labels, unlabeled)
    if is_missing(unlabeled):
        return missing
    return missing | np.fromiter(
        (not lacks and label == unlabeled for label, lacks in zip(labels, missing, strict=True)),
        dtype=bool,
        count=len(labels),
    )


def _refuse_text(labels: list[Any], mark: Any) -> None:
    """Refuse text that may be the mark: arrays and files of text turn -1 into "-1"."""
    alike = {v for v in set(labels) if isinstance(v, str) and _reads_as(v, mark)}
    if alike:
        rows = [i for i, label in enumerate(labels) if label in alike]
        raise ValueError(
            f"y holds the text {labels[rows[0]]!r} at row {rows[0]} ({len(rows)} such in all): is "
            f"it the mark {mark!r} of unlabelled rows, made text by an array or a file of text, or "
            f"a class? Mark unlabelled rows by {mark!r} itself, in an array of dtype object, or by "
            "None; if it is a class, rename it, or set unlabeled=None where that is an argument"
        )


def _reads_as(text: str, mark: Any) -> bool:
    try:
        return text == str(mark) or float(text) == mark
    except ValueError:
        return False


def plain_labels(labels: np.ndarray) -> np.ndarray:
    """Give numbers that stand in an array of objects, as pandas makes them, the dtype of numbers.

    Examples
    --------
    >>> plain_labels(np.array([0, 1], dtype=object))
    array([0, 1])
    """
    if labels.dtype.kind != "O" or any(isinstance(v, str) for v in labels.ravel().tolist()):
        return labels
    return np.array(labels.tolist())


def read_labels(y: Any, n: int, name: str) -> np.ndarray:
    """Read one label a row, (n,), of which some may be missing; these are NaN.

    Raises
    ------
    ValueError
        For another shape; a single column will do.

    Examples
    --------
    >>> read_labels(["a", None], 2, "y")
    array(['a', nan], dtype=object)
    """
    y = missing_as_nan(as_array(y, name))
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    return y if y.shape == (n,) else check_labels(y, n, name)  # which says what is wrong


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
