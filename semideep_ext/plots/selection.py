"""Pictures of what a search over metrics and decays found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from semideep_ext.plots._figure import OKABE_ITO, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    size = (2 + 0.9 * len(lambdas), 1.6 + 0.6 * len(metrics))
    figure, (axes,) = panels(1, figsize=size)
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
