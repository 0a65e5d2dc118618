"""Pictures of weights and of scores.

Each function returns a `matplotlib.figure.Figure` of its own: nothing is shown, and the pyplot
state of the caller is not touched. Colours are Okabe and Ito's, told apart by colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from semideep_ext.diagnostics import diagnose_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo", "**")  # readable in grey, too


def plot_weights(weights_by_metric: Mapping[str, Any], labels: Any = None) -> Figure:
    """Draw one histogram of the weights per metric.

    Weights are divided by their mean, so that panels compare: 1 counts as an unweighted row.

    Parameters
    ----------
    weights_by_metric : mapping of str to array, shape (N,)
        Weights by the name that stands in the panel's title.
    labels : array-like, shape (N,), optional
        Classes; each gets a colour.

    Returns
    -------
    Figure
        The title of each panel says how many rows the weights amount to (Kish).

    Raises
    ------
    ValueError
        If there is nothing to draw, or labels and weights differ in length.

    Examples
    --------
    >>> figure = plot_weights({"euclidean": [1.0, 2.0, 3.0]}, labels=["a", "b", "a"])
    >>> print(figure.axes[0].get_title())
    euclidean
    2.571 of 3 rows effective
    """
    if not weights_by_metric:
        raise ValueError("weights_by_metric is empty; give a name and weights for each panel")
    figure, panels = _panels(len(weights_by_metric))
    for axes, (name, weights) in zip(panels, weights_by_metric.items(), strict=True):
        d = diagnose_weights(weights)
        w = np.asarray(weights, dtype=np.float64) / (d.mean if d.mean > 0 else 1.0)
        classes = np.zeros(d.n, dtype=int) if labels is None else np.asarray(labels)
        if len(classes) != d.n:
            raise ValueError(f"{len(classes)} labels for {d.n} weights of {name!r}")
        # Constant weights get a bar of visible width, not bins around rounding errors.
        spread = "constant" not in d.problems
        bins = np.linspace(w.min(), w.max(), 31) if spread else np.array([0.97, 1.03]) * w.mean()
        for i, label in enumerate(np.unique(classes)):
            axes.hist(
                w[classes == label],
                bins=bins,
                color=OKABE_ITO[i % len(OKABE_ITO)],
                hatch=HATCHES[i % len(HATCHES)],
                edgecolor="white",
                alpha=0.7,
                label=str(label),
            )
        if not spread:
            axes.set_xlim(0, 2)
        axes.set_title(f"{name}\n{d.effective_sample_size:.4g} of {d.n} rows effective")
        axes.set_xlabel("weight / mean weight")
        axes.set_ylabel("rows")
        if labels is not None:
            axes.legend(title="class")
    return figure


def plot_scores(table: Sequence[Mapping[str, Any]]) -> Figure:
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
    lacking = {"method", "score", "mean", "low", "high"}.difference(*table[:1])
    if lacking:
        raise ValueError(f"table is empty or its rows lack {sorted(lacking)}")
    scores = list(dict.fromkeys(row["score"] for row in table))
    figure, panels = _panels(len(scores))
    for axes, score in zip(panels, scores, strict=True):
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
    panels[0].set_title("mean and 95 % interval; dashed: first method", fontsize="medium")
    return figure


def plot_selection(table: Sequence[Mapping[str, Any]]) -> Figure:
    r"""Draw a heat map of mean scores: a line per metric, a column per lambda.

    Parameters
    ----------
    table : sequence of mappings
        As `MetricSelection.table`: each with "metric", "lambda_given", "mean", "standard_error".

    Returns
    -------
    Figure
        Each cell states the mean and, below it, the standard error; the best is framed.

    Raises
    ------
    ValueError
        If table is empty or a row lacks one of the four.

    Examples
    --------
    >>> row = {"metric": "cosine", "lambda_given": 0.5, "mean": 0.9, "standard_error": 0.02}
    >>> figure = plot_selection([row])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.900\n±0.020']
    """
    lacking = {"metric", "lambda_given", "mean", "standard_error"}.difference(*table[:1])
    if lacking:
        raise ValueError(f"table is empty or its rows lack {sorted(lacking)}")
    metrics = list(dict.fromkeys(row["metric"] for row in table))
    lambdas = list(dict.fromkeys(row["lambda_given"] for row in table))
    means = np.full((len(metrics), len(lambdas)), np.nan)
    figure, (axes,) = _panels(1)
    figure.set_size_inches(2 + 0.9 * len(lambdas), 1.6 + 0.6 * len(metrics))
    cells = [(metrics.index(row["metric"]), lambdas.index(row["lambda_given"])) for row in table]
    for cell, row in zip(cells, table, strict=True):
        means[cell] = row["mean"]
    image = axes.imshow(means, cmap="cividis", aspect="auto")
    for (i, j), row in zip(cells, table, strict=True):
        dark = image.norm(row["mean"]) < 0.5 if np.isfinite(row["mean"]) else False
        text = f"{row['mean']:.3f}\n±{row['standard_error']:.3f}"
        axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
    if np.isfinite(means).any():
        from matplotlib.patches import Rectangle

        line, column = np.unravel_index(np.nanargmax(means), means.shape)
        corner = (float(column) - 0.5, float(line) - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=OKABE_ITO[1], linewidth=3))
    names = [m if isinstance(m, str) else getattr(m, "__name__", repr(m)) for m in metrics]
    axes.set_yticks(range(len(metrics)), names)
    axes.set_xticks(range(len(lambdas)), [str(given) for given in lambdas])
    axes.set_xlabel("lambda")
    axes.set_ylabel("metric")
    axes.set_title("mean score ± standard error over folds", fontsize="medium")
    return figure


def _panels(n: int) -> tuple[Figure, list[Any]]:
    """Make a figure of n panels, at most three in a row."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install semideep_ext[experiment]") from error
    columns = min(n, 3)
    lines = -(-n // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    for unused in panels[n:]:
        unused.remove()
    return figure, panels[:n]
