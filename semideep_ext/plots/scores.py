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
            mean = row["mean"]
            axes.errorbar(
                mean,
                i,
                xerr=[[mean - row["low"]], [row["high"] - mean]],
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
            xerr=_arms(row),
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
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure, (axes,) = panels(1, figsize=figsize)
    for i, method in enumerate(methods):
        for row in (row for row in rows if row["method"] == method):
            x = datasets.index(row["dataset"]) + _offset(i, len(methods))
            _point(axes, x, row, i, method if row["dataset"] == datasets[0] else None)
    axes.set_xticks(range(len(datasets)), datasets, rotation=45 if len(datasets) > 3 else 0)
    axes.set_xlim(-0.5, len(datasets) - 0.5)
    axes.set_xlabel("dataset")
    axes.set_ylabel(metric)
    axes.legend(title="mean ± standard deviation")
    return figure


def plot_test_size_impact(
    table: Rows, metric: str = "f1", figsize: tuple[float, float] = (10, 6)
) -> Figure:
    """Draw the mean of one score, with its standard deviation, against the share of test rows.

    Parameters
    ----------
    table : sequence of mappings
        Each with "test_size", "method", "score", "mean" and "sd". A deviation that is NaN is not
        drawn.
    metric : str, default "f1"
        The score to draw.
    figsize : (float, float), default (10, 6)
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
    >>> row = {"test_size": 0.5, "method": "idw", "score": "f1", "mean": 0.9, "sd": 0.1}
    >>> plot_test_size_impact([row]).axes[0].get_xlabel()
    'test rows / all rows'
    """
    rows = _of_score(table, metric, "test_size")
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure, (axes,) = panels(1, figsize=figsize)
    for i, method in enumerate(methods):
        own = sorted((r for r in rows if r["method"] == method), key=lambda r: r["test_size"])
        colour = OKABE_ITO[i % len(OKABE_ITO)]
        # Beside one another, so that no interval hides another.
        x = [row["test_size"] + 0.012 * _offset(i, len(methods)) for row in own]
        axes.plot(x, [row["mean"] for row in own], color=colour, linewidth=1, alpha=0.6)
        for at, row in zip(x, own, strict=True):
            _point(axes, at, row, i, method if row is own[0] else None)
    axes.set_xlabel("test rows / all rows")
    axes.set_ylabel(metric)
    axes.legend(title="mean ± standard deviation")
    return figure


def _point(axes: Any, x: float, row: Mapping[str, Any], i: int, label: str | None) -> None:
    axes.errorbar(
        x,
        row["mean"],
        yerr=row["sd"] if math.isfinite(row["sd"]) else None,
        fmt=MARKERS[i % len(MARKERS)],
        capsize=4,
        color=OKABE_ITO[i % len(OKABE_ITO)],
        label=label,
    )


def _arms(row: Mapping[str, Any]) -> list[list[float]] | None:
    """Lengths of the error bar's two arms; None where there is no interval."""
    middle, low, high = (row[key] for key in ("difference", "difference_low", "difference_high"))
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
