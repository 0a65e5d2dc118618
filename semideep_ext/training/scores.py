"""The scores of a model on labelled rows: the only list, and how each is computed."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

__all__ = ["CLASSIFICATION", "LOWER_IS_BETTER", "REGRESSION", "label_scores", "number_scores"]

CLASSIFICATION = ("accuracy", "precision", "recall", "f1", "auc")
REGRESSION = ("mse", "mae", "r2")
LOWER_IS_BETTER = ("train_loss", "val_loss", "mse", "mae")


def label_scores(
    y: np.ndarray,
    predicted: np.ndarray,
    average: str,
    probabilities: Iterable[tuple[np.ndarray, np.ndarray]],
) -> dict[str, float]:
    """Score predicted labels.

    Parameters
    ----------
    y, predicted : ndarray of int, shape (N,) or (N, L)
    average : {"binary", "weighted"}
        Of precision, recall and f1: that of class 1, or the mean over labels by their frequency.
    probabilities : iterable of (ndarray of bool, ndarray), shapes (N,)
        Of each label that auc is the mean over: whether it is so, and its probability. NaN for
        none.

    Returns
    -------
    dict of str to float
        The scores of `CLASSIFICATION`.
    """
    from sklearn import metrics  # here, since it takes longer to import than torch's parts

    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        y, predicted, zero_division=0, average=average
    )
    areas = [metrics.roc_auc_score(is_so, p) for is_so, p in probabilities]
    return {
        "accuracy": float(metrics.accuracy_score(y, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "auc": float(np.mean(areas)) if areas else math.nan,
    }


def number_scores(y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Score predicted numbers, (N,) or (N, K); r2 is NaN for fewer than two rows."""
    from sklearn import metrics

    return {
        "mse": float(metrics.mean_squared_error(y, predicted)),
        "mae": float(metrics.mean_absolute_error(y, predicted)),
        "r2": float(metrics.r2_score(y, predicted)) if len(y) > 1 else math.nan,
    }
