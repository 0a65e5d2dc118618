"""What the scores show: unweighted training is the reference, and weighting has to be better.

A candidate can win if its weights are sound (neither constant nor collapsed nor underflowed) and
its mean score exceeds that of unweighted training by more than one standard error. Folds are
easy or hard for all alike, so the error is that of the differences, fold by fold. It is a low
hurdle, as the one-standard-error rule is for trees (Breiman et al., Classification and Regression
Trees, 1984, section 3.4.3): of many candidates one may pass by chance.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from semideep_ext.weighting.weightings import UNWEIGHTED

__all__ = ["MetricSelection", "choose"]

# Where a single fold differs, difference and error are equal, and rounding is not to decide.
ROUNDING = 1 + 1e-9


class _Best(NamedTuple):
    metric: Any
    lambda_: float
    score: float


class MetricSelection(_Best):
    """The best metric, its lambda and its mean score: a tuple of three, with what they are worth.

    Where no weighting is shown better than unweighted training, the three are still the best of
    the weightings that were tried, and `weighting` and `sentence` say that they are not the answer.

    Attributes
    ----------
    metric : str or callable
    lambda_ : float
        The number, also where "median" was asked for.
    score : float
        Mean over folds. As the best of many it is optimistic: score on other data what is reported.
    weighting : {"distance", "none"}
        The answer, as `WeightedTrainer` names it: whether to weigh by metric and lambda_, or not.
    sentence : str
        The answer in words, with the numbers that it rests on.
    table : list of dict
        One per metric and lambda, in the order tried: metric, lambda_ (the number), lambda_given
        (as asked for), effective_share (Kish's share of the training rows that the weights amount
        to), problems (as in `diagnose_weights`), mean, standard_error (standard deviation over
        folds / sqrt(folds); folds share training rows, so it is rough), scores (per fold),
        difference (to unweighted training), difference_standard_error (of it, fold by fold),
        can_win and reason (why not, else ""). `pandas.DataFrame(table)` and
        `semideep_ext.plots.plot_selection(table)` take it.
    best_weighted : dict
        The row of the table that metric and lambda_ come from.
    unweighted : dict
        mean, standard_error and scores of training without weights, on the same folds.
    scoring : str
        Name of the score.
    """

    weighting: str
    sentence: str
    table: list[dict[str, Any]]
    best_weighted: dict[str, Any]
    unweighted: dict[str, Any]
    scoring: str


def choose(candidates: list[dict[str, Any]], scores: np.ndarray, scoring: str) -> MetricSelection:
    """Compare the candidates with unweighted training, and choose.

    Parameters
    ----------
    candidates : list of dict
        As `make_candidates` describes them.
    scores : ndarray, shape (1 + len(candidates), folds)
        Those of unweighted training come first.
    scoring : str
        Name of the score.

    Returns
    -------
    MetricSelection
        The best of the candidates that can win; else of those with sound weights; else of all.
        Equal means: the first.

    Raises
    ------
    ValueError
        If every score is NaN.
    """
    table = [
        {**candidate, **_summary(own), **_comparison(own - scores[0], candidate["problems"])}
        for candidate, own in zip(candidates, scores[1:], strict=True)
    ]
    scored = [row for row in table if not math.isnan(row["mean"])]
    if not scored:
        raise ValueError("every score is NaN: choose another scoring, or fewer folds (cv)")
    winners = [row for row in scored if row["can_win"]]
    sound = [row for row in scored if not row["problems"]]
    best = max(winners or sound or scored, key=lambda row: float(row["mean"]))
    result = MetricSelection(best["metric"], best["lambda_"], best["mean"])
    result.weighting = "distance" if winners else UNWEIGHTED
    result.table, result.best_weighted, result.scoring = table, best, scoring
    result.unweighted = _summary(scores[0])
    result.sentence = _sentence(result)
    return result


def _summary(scores: np.ndarray) -> dict[str, Any]:
    mean, error = _mean_and_error(scores)
    return {"mean": mean, "standard_error": error, "scores": scores.tolist()}


def _comparison(differences: np.ndarray, problems: tuple[str, ...]) -> dict[str, Any]:
    difference, error = _mean_and_error(differences)
    if problems:
        reason = f"its weights are useless: {', '.join(problems)}"
    elif not difference > 0:
        reason = "not better than unweighted"
    elif math.isnan(error):
        reason = "one fold gives no standard error"
    elif not difference > ROUNDING * error:
        reason = "within one standard error of unweighted"
    else:
        reason = ""
    return {
        "difference": difference,
        "difference_standard_error": error,
        "can_win": not reason,
        "reason": reason,
    }


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), float(error)


def _sentence(found: MetricSelection) -> str:
    best, unweighted = found.best_weighted, found.unweighted["mean"]
    name = getattr(found.metric, "__name__", found.metric)
    how = f"{name} with lambda {found.lambda_:.6g}"
    by = f"{best['difference']:+.4g} (standard error {best['difference_standard_error']:.4g})"
    if found.weighting != UNWEIGHTED:
        answer = found.score
        text = (
            f"{how} is better than unweighted training: mean {found.scoring} {found.score:.4g} "
            f"against {unweighted:.4g}, {by}"
        )
    else:
        answer = unweighted
        text = f"no weighting is shown better than unweighted training, whose mean {found.scoring} "
        text += f"is {unweighted:.4g}: "
        if best["problems"]:
            counts = Counter(problem for row in found.table for problem in row["problems"])
            problems = ", ".join(f"{problem} {n}" for problem, n in counts.items())
            text += (
                f"the weights of all {len(found.table)} candidates are useless ({problems}); "
                "standardise the features, or try lambda 'median'"
            )
        else:
            text += f"the best of those with sound weights, {how}, differs by {by}"
    if found.scoring == "r2" and answer < 0:
        text += "; r2 < 0 is worse than predicting the mean"
    return text
