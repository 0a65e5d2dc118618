"""Pictures of scores: means and paired differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from semideep_ext.plots._figure import MARKERS, OKABE_ITO, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]


def plot_scores(table: Rows) -> Figure:
    """Draw mean and 95 % interval per method: one panel per score, one line per method.

    Parameters
    ----------
    table : sequence of mappings
        Each with "method", "score" (the score's name), "mean", "low" and "high".

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If table is empty or a row lacks one of the five.

    Examples
    --------
    >>> row = {"method": "baseline", "score": "f1", "mean": 0.9, "low": 0.8, "high": 1.0}
    >>> plot_scores([row]).axes[0].get_xlabel()
    'f1'
    """
    _check(table, "method", "score", "mean", "low", "high")
    scores = list(dict.fromkeys(row["score"] for row in table))
    figure, drawn = panels(len(scores))
    for axes, score in zip(drawn, scores, strict=True):
        rows = [row for row in table if row["score"] == score]
        for i, row in enumerate(rows):
            axes.errorbar(
                row["mean"],
                i,
                xerr=_arms(row["mean"], row["low"], row["high"]),
                fmt="o",
                capsize=4,
                color=OKABE_ITO[i % len(OKABE_ITO)],
            )
        axes.axvline(rows[0]["mean"], color="0.7", linewidth=1, linestyle="--", zorder=0)
        axes.set_yticks(range(len(rows)), [row["method"] for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel(score)
        axes.locator_params(axis="x", nbins=5)
        axes.set_ylabel("method")
    drawn[0].set_title("mean and 95 % interval; dashed: first method", fontsize="medium")
    return figure


def plot_differences(table: Rows) -> Figure:
    """Draw the paired difference to the baseline with its interval: a line per method and score.

    Parameters
    ----------
    table : sequence of mappings
        Each with "method", "score", "difference", "difference_low" and "difference_high". An
        interval that is NaN is not drawn.

    Returns
    -------
    Figure
        An interval that crosses the line at 0 shows no difference.

    Raises
    ------
    ValueError
        If table is empty or a row lacks one of the five.

    Examples
    --------
    >>> interval = {"difference": 0.1, "difference_low": 0.05, "difference_high": 0.15}
    >>> plot_differences([{"method": "idw", "score": "f1", **interval}]).axes[0].get_xlabel()
    'difference to the baseline'
    """
    _check(table, "method", "score", "difference", "difference_low", "difference_high")
    methods = list(dict.fromkeys(row["method"] for row in table))
    scores = list(dict.fromkeys(row["score"] for row in table))
    figure, (axes,) = panels(1, figsize=(4.4, 1.2 + 0.28 * len(methods) * len(scores)))
    for row in table:
        i = methods.index(row["method"])
        axes.errorbar(
            row["difference"],
            scores.index(row["score"]) + _offset(i, len(methods)),
            xerr=_arms(row["difference"], row["difference_low"], row["difference_high"]),
            fmt=MARKERS[i % len(MARKERS)],
            capsize=3,
            color=OKABE_ITO[i % len(OKABE_ITO)],
            label=row["method"] if row["score"] == scores[0] else None,
        )
    axes.axvline(0, color="0.4", linewidth=1, linestyle="--", zorder=0)
    axes.set_yticks(range(len(scores)), scores)
    axes.invert_yaxis()
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("difference to the baseline")
    axes.set_ylabel("score")
    figure.legend(loc="outside upper center", ncols=len(methods), fontsize="small")
    return figure


def plot_metric_comparison(
    table: Rows, metric: str = "f1", figsize: tuple[float, float] = (12, 8)
) -> Figure:
    """Draw the mean of one score, with its standard deviation over splits, by dataset and method.

    Parameters
    ----------
    table : sequence of mappings
        Each with "dataset", "method", "score", "mean" and "sd". A deviation that is NaN is not
        drawn.
    metric : str, default "f1"
        The score to draw.
    figsize : (float, float), default (12, 8)
        Width and height in inches.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If table is empty, a row lacks one of the five, or no row has that score.

    Examples
    --------
    >>> row = {"dataset": "wine", "method": "idw", "score": "f1", "mean": 0.9, "sd": 0.1}
    >>> plot_metric_comparison([row]).axes[0].get_ylabel()
    'f1'
    """
    rows = _of_score(table, metric, "dataset")
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    figure, axes = _means(rows, [datasets.index(row["dataset"]) for row in rows], figsize)
    axes.set_xticks(range(len(datasets)), datasets, rotation=45 if len(datasets) > 3 else 0)
    axes.set_xlim(-0.5, len(datasets) - 0.5)
    axes.set_xlabel("dataset")
    return figure


def plot_test_size_impact(
    table: Rows, metric: str = "f1", figsize: tuple[float, float] = (10, 6)
) -> Figure:
    """Draw the mean of one score, with its standard deviation, against the share of test rows.

    Parameters
    ----------
    table : sequence of mappings
        As for `plot_metric_comparison`, with "test_size" instead of "dataset".
    metric : str, default "f1"
    figsize : (float, float), default (10, 6)

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        As `plot_metric_comparison`.

    Examples
    --------
    >>> row = {"test_size": 0.5, "method": "idw", "score": "f1", "mean": 0.9, "sd": 0.1}
    >>> plot_test_size_impact([row]).axes[0].get_xlabel()
    'test rows / all rows'
    """
    rows = sorted(_of_score(table, metric, "test_size"), key=lambda row: row["test_size"])
    figure, axes = _means(rows, [row["test_size"] for row in rows], figsize, 0.012, joined=True)
    axes.set_xlabel("test rows / all rows")
    return figure


def _means(
    rows: Rows,
    places: Sequence[float],
    figsize: tuple[float, float],
    width: float = 1.0,
    joined: bool = False,
) -> tuple[Figure, Any]:
    """Draw the means at their places, methods beside one another so that none hides another."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure, (axes,) = panels(1, figsize=figsize)
    for i, method in enumerate(methods):
        colour, label = OKABE_ITO[i % len(OKABE_ITO)], method
        shift = width * _offset(i, len(methods))
        own = [(x + shift, r) for x, r in zip(places, rows, strict=True) if r["method"] == method]
        if joined:
            means = [row["mean"] for _, row in own]
            axes.plot([x for x, _ in own], means, color=colour, linewidth=1, alpha=0.6)
        for x, row in own:
            axes.errorbar(
                x,
                row["mean"],
                yerr=row["sd"] if math.isfinite(row["sd"]) else None,
                fmt=MARKERS[i % len(MARKERS)],
                capsize=4,
                color=colour,
                label=label,
            )
            label = None  # once in the legend
    axes.set_ylabel(rows[0]["score"])
    axes.legend(title="mean ± standard deviation")
    return figure, axes


def _arms(middle: float, low: float, high: float) -> list[list[float]] | None:
    """Lengths of the error bar's two arms; None where there is no interval."""
    return [[middle - low], [high - middle]] if math.isfinite(low + high) else None


def _offset(i: int, n: int) -> float:
    """Place of the i-th of n marks that stand side by side at one tick."""
    return (i - (n - 1) / 2) * min(0.25, 0.7 / n)


def _check(table: Rows, *columns: str) -> None:
    lacking = set(columns).difference(set(columns).intersection(*table) if table else ())
    if lacking:
        raise ValueError(f"table is empty or its rows lack {sorted(lacking)}")


def _of_score(table: Rows, metric: str, where: str) -> list[Mapping[str, Any]]:
    _check(table, where, "method", "score", "mean", "sd")
    rows = [row for row in table if row["score"] == metric]
    if not rows:
        known = list(dict.fromkeys(row["score"] for row in table))
        raise ValueError(f"metric={metric!r} is not among the scores {known}: choose one of them")
    return rows
