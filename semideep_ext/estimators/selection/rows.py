"""Rows, labels and folds, checked."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils import _safe_indexing

from semideep_ext.op.arguments import check_columns, column_names
from semideep_ext.weighting.checks import check_features, check_labels
from semideep_ext.weighting.labels import (
    labeled_rows,
    plain_labels,
    read_labels,
    rows_with_targets,
)

__all__ = ["Fold", "Rows", "make_folds", "read_rows"]

Fold = tuple[np.ndarray, np.ndarray]  # numbers of the rows to train on, and to score on


@dataclass(frozen=True)
class Rows:
    """Labelled rows to choose on, and unlabelled rows to resemble.

    Attributes
    ----------
    given : DataFrame or ndarray, shape (N, ...)
        The labelled rows as models take them.
    features : ndarray, shape (N, D)
        The same as distances are taken of them.
    labels : ndarray, shape (N,)
    unlabeled : ndarray, shape (M, D)
    labeled : ndarray of bool
        Which of the rows of X_train the N are.
    """

    given: Any
    features: np.ndarray
    labels: np.ndarray
    unlabeled: np.ndarray
    labeled: np.ndarray


def read_rows(X: Any, y: Any, X_test: Any, unlabeled: Any, regression: bool) -> Rows:
    """Check the rows, and tell labelled from unlabelled ones.

    Raises
    ------
    ValueError
        For rows that hold NaN or infinity or differ in shape, a label that is text for the mark,
        and where no row is labelled, or none unlabelled.
    """
    features = check_features(X, "X_train")
    labeled, labels = _read_labels(y, len(features), unlabeled, regression)
    parts = [features[~labeled]]
    if X_test is not None:
        test = check_features(X_test, "X_test")
        check_columns("X_test", column_names(X_test), "X_train", column_names(X))
        if test.shape[1:] != features.shape[1:]:
            raise ValueError(
                f"X_train has shape {features.shape} and X_test {test.shape}; distances need rows "
                "of one shape, with the same columns"
            )
        parts.append(test)
    rest = np.concatenate(parts)
    if not len(rest):
        raise ValueError(
            "there is no unlabelled row to resemble: give X_test, or mark rows in y_train (-1; "
            "NaN for regression)"
        )
    given = X if column_names(X) is not None else features
    if not labeled.all():
        given, features = _safe_indexing(given, labeled), features[labeled]
    return Rows(given, _flat(features), labels, _flat(rest), labeled)


def _read_labels(y: Any, n: int, unlabeled: Any, regression: bool) -> tuple[np.ndarray, np.ndarray]:
    y = read_labels(y, n, "y_train")
    if regression:
        y = y.astype(np.float64)
        labeled = rows_with_targets(y)
    else:
        labeled = labeled_rows(y, unlabeled)
    if not labeled.any():
        raise ValueError(f"y_train marks all of its {n} rows as unlabelled: label some rows")
    return labeled, plain_labels(y[labeled])


def _flat(features: np.ndarray) -> np.ndarray:
    return features.reshape(len(features), -1)


def make_folds(cv: Any, rows: Rows, groups: Any, regression: bool, seed: int) -> list[Fold]:
    """Split the labelled rows; each fold as numbers of these.

    Raises
    ------
    ValueError
        If cv does not split them, or a fold has one class alone to train on.
    """
    try:
        folds = _split(cv, rows, groups, regression, seed)
    except ValueError as error:
        raise ValueError(
            f"cv={cv!r:.60} does not split {len(rows.labels)} training rows ({error}); give more "
            "rows, or fewer folds (two at least), classes as labels unless the model is a "
            "regressor, and groups to a cv that keeps these together"
        ) from error
    for i, (train, _) in enumerate(folds if not regression else ()):
        classes = set(rows.labels[train].tolist())
        if len(classes) < 2 <= len(set(rows.labels.tolist())):
            raise ValueError(
                f"fold {i + 1} of cv={cv!r:.60} has {len(train)} rows to train on, of class "
                f"{', '.join(map(repr, classes)) or 'none'} alone: give fewer folds, or another "
                "cv, or leave out classes of few rows"
            )
    return folds


def _split(cv: Any, rows: Rows, groups: Any, regression: bool, seed: int) -> list[Fold]:
    if isinstance(cv, numbers.Integral):
        kind = KFold if regression else StratifiedKFold
        cv = kind(cv, shuffle=True, random_state=seed)
    elif not hasattr(cv, "split"):  # splits, which number the rows of X_train
        return [
            (_own_numbers(train, rows.labeled), _own_numbers(validation, rows.labeled))
            for train, validation in check_cv(cv).split()
        ]
    if groups is not None:
        groups = check_labels(groups, len(rows.labeled), "groups")[rows.labeled]
    return list(cv.split(rows.features, rows.labels, groups))


def _own_numbers(part: Any, labeled: np.ndarray) -> np.ndarray:
    """Numbers, among the labelled rows, of rows that are given as scikit-learn takes them."""
    numbers_given = np.arange(len(labeled))[part]
    own = np.cumsum(labeled) - 1
    return np.asarray(own[numbers_given[labeled[numbers_given]]])
