"""Comparison of methods over repeated splits: paired differences, their intervals, and verdicts.

The interval is that of the corrected resampled t-test (Nadeau and Bengio, Machine Learning 52,
2003, 239-281). The training sets of repeated splits overlap, so their scores are not independent,
and the usual s^2 / J underestimates the variance of a mean over J splits. In its place stands

    (1/J + n_test / n_train) s^2

with n_test and n_train the rows tested on and trained on. The verdicts hold for all comparisons
together: their p-values are adjusted by Holm's method (Scandinavian Journal of Statistics 6, 1979,
65-70).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CONFIDENCE = 0.95
FORMULA = "corrected resampled t (Nadeau and Bengio 2003)"

REFERENCE = "the reference"
HIGHER = "higher than the baseline"
LOWER = "lower than the baseline"
NO_DIFFERENCE = "no difference shown"
NO_INTERVAL = "no interval"


@dataclass(frozen=True)
class Estimate:
    """A mean over n splits, its interval and the two-sided p-value of a true mean of 0."""

    mean: float
    low: float
    high: float
    p: float
    n: int


def estimate(values: Sequence[float] | np.ndarray, test_train_ratio: float) -> Estimate:
    """Estimate the mean of one value per split.

    Values that are NaN are left out. The interval is NaN where there is none: for fewer than two
    values, and for equal ones other than 0, whose spread is unknown rather than 0.

    Parameters
    ----------
    values : array-like, shape (J,)
        Scores, or paired differences of scores.
    test_train_ratio : float
        n_test / n_train of each split.

    Examples
    --------
    >>> e = estimate([1.0, 2.0, 3.0], test_train_ratio=0.5)  # 4.3027 * sqrt(1/3 + 0.5) = 3.9278
    >>> round(e.low, 4), e.mean, round(e.high, 4)
    (-1.9278, 2.0, 5.9278)
    """
    if not (math.isfinite(test_train_ratio) and test_train_ratio > 0):
        raise ValueError(f"test_train_ratio={test_train_ratio!r}: give n_test / n_train > 0")
    v = np.asarray(values, dtype=np.float64)
    v = v[np.isfinite(v)]
    n, mean = len(v), float(v.mean()) if len(v) else math.nan
    if n < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, n)
    if np.ptp(v) <= 1e-12:
        exact = abs(mean) <= 1e-12
        return Estimate(mean, *((mean, mean, 1.0) if exact else (math.nan,) * 3), n)
    from scipy.stats import t

    error = math.sqrt((1 / n + test_train_ratio) * v.var(ddof=1))
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    return Estimate(mean, mean - half, mean + half, float(2 * t.sf(abs(mean) / error, n - 1)), n)


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values by Holm's method; NaN stays NaN and does not count.

    Examples
    --------
    >>> holm([0.01, 0.04, float("nan"), 0.03])
    [0.03, 0.06, nan, 0.06]
    """
    p_values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(len(p_values), math.nan)
    order = [i for i in np.argsort(p_values) if not math.isnan(p_values[i])]
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, float(p_values[i]) * (len(order) - rank)))
        adjusted[i] = largest
    return [float(v) for v in adjusted]


def verdict(low: float, high: float, p_adjusted: float) -> str:
    """Say what an interval of a difference shows, in the light of all comparisons made.

    Examples
    --------
    >>> verdict(0.01, 0.03, 0.04), verdict(0.01, 0.03, 0.2), verdict(-0.01, 0.03, 0.6)
    ('higher than the baseline', 'no difference shown', 'no difference shown')
    """
    if math.isnan(low) or math.isnan(high):
        return NO_INTERVAL
    if low <= 0 <= high or not p_adjusted <= 1 - CONFIDENCE:
        return NO_DIFFERENCE
    return HIGHER if low > 0 else LOWER


def compare(
    scores: Mapping[str, Mapping[str, Sequence[float]]], baseline: str, test_train_ratio: float
) -> list[dict[str, Any]]:
    """Compare methods with a baseline, split by split.

    Parameters
    ----------
    scores : mapping of mappings
        By method and name of the score, one value per split; the splits in the same order for all.
    baseline : str
        The method that the others are compared with.
    test_train_ratio : float
        n_test / n_train of each split.

    Returns
    -------
    list of dict
        Per score and method: method, score, mean, sd (standard deviation over splits), low, high,
        difference, difference_low, difference_high, p_holm, n (splits compared) and verdict. Scores
        are taken to lie in [0, 1], so low and high are cut there.

    Examples
    --------
    >>> scores = {"baseline": {"f1": [0.5, 0.9, 0.7]}, "idw": {"f1": [0.6, 1.0, 0.81]}}
    >>> row = compare(scores, "baseline", test_train_ratio=1.0)[1]
    >>> round(row["difference"], 4), row["n"], row["verdict"]
    (0.1033, 3, 'higher than the baseline')
    """
    table: list[dict[str, Any]] = []
    for score in scores[baseline]:
        reference = np.asarray(scores[baseline][score], dtype=np.float64)
        for method in scores:
            values = np.asarray(scores[method][score], dtype=np.float64)
            mean = estimate(values, test_train_ratio)
            difference = estimate(values - reference, test_train_ratio)
            table.append(
                {
                    "method": method,
                    "score": score,
                    "mean": mean.mean,
                    "sd": float(np.nanstd(values, ddof=1)) if mean.n > 1 else math.nan,
                    "low": max(mean.low, 0.0),
                    "high": min(mean.high, 1.0),
                    "difference": difference.mean,
                    "difference_low": difference.low,
                    "difference_high": difference.high,
                    "p_holm": math.nan if method == baseline else difference.p,
                    "n": difference.n,
                }
            )
    for row, p in zip(table, holm([row["p_holm"] for row in table]), strict=True):
        row["p_holm"] = p
        low, high = row["difference_low"], row["difference_high"]
        row["verdict"] = REFERENCE if row["method"] == baseline else verdict(low, high, p)
    return table
