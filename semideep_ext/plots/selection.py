"""Pictures of what a search over metrics and decays found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from semideep_ext.plots._figure import OKABE_ITO, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    "metric",
    "lambda_given",
    "mean",
    "standard_error",
    "difference",
    "difference_standard_error",
    "problems",
    "can_win",
)


def plot_selection(table: Sequence[Mapping[str, Any]]) -> Figure:
    r"""Draw a heat map of scores: a line per metric, a column per lambda, colours by difference.

    Parameters
    ----------
    table : sequence of mappings
        As `MetricSelection.table`.

    Returns
    -------
    Figure
        The colour is the difference to unweighted training, whose mean the title states; it
        reaches at least two standard errors, so that what is within one is pale. Each cell states
        the mean and, below it, the standard error; cells of useless weights are hatched. The best
        is framed, if it is shown better than unweighted training.

    Raises
    ------
    ValueError
        If table is empty or a row lacks a column.

    Examples
    --------
    >>> row = {"metric": "cosine", "lambda_given": 0.5, "mean": 0.9, "standard_error": 0.02,
    ...        "difference": 0.1, "difference_standard_error": 0.03, "problems": (),
    ...        "can_win": True}
    >>> figure = plot_selection([row])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.900\n±0.020']
    """
    lacking = set(COLUMNS).difference(set(COLUMNS).intersection(*table) if table else ())
    if lacking:
        raise ValueError(f"table is empty or its rows lack {sorted(lacking)}")
    metrics = list(dict.fromkeys(row["metric"] for row in table))
    lambdas = list(dict.fromkeys(row["lambda_given"] for row in table))
    figure, (axes,) = panels(1, figsize=(3.2 + 0.9 * len(lambdas), 1.8 + 0.6 * len(metrics)))
    cells = [(metrics.index(row["metric"]), lambdas.index(row["lambda_given"])) for row in table]
    differences = np.full((len(metrics), len(lambdas)), np.nan)
    for cell, row in zip(cells, table, strict=True):
        differences[cell] = row["difference"]
    reach = _reach(table)
    image = axes.imshow(differences, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
    figure.colorbar(image, ax=axes, label="difference to unweighted")
    for cell, row in zip(cells, table, strict=True):
        _fill(axes, cell, row, abs(row["difference"]) > 0.6 * reach)
    winners = [row for row in table if row["can_win"]]
    if winners:
        best = max(winners, key=lambda row: row["mean"])
        place = _square(cells[table.index(best)])
        axes.add_patch(_rectangle(place, edgecolor=OKABE_ITO[3], linewidth=3, zorder=3))
    axes.set_yticks(range(len(metrics)), [getattr(m, "__name__", m) for m in metrics])
    axes.set_xticks(range(len(lambdas)), [str(given) for given in lambdas])
    axes.set_xlabel("lambda")
    axes.set_ylabel("metric")
    axes.set_title(_title(table, bool(winners)), fontsize="medium")
    return figure


def _reach(table: Sequence[Mapping[str, Any]]) -> float:
    """Difference at which the colours end."""
    ends = [abs(row["difference"]) for row in table]
    ends += [2 * row["difference_standard_error"] for row in table]
    return max((end for end in ends if np.isfinite(end) and end > 0), default=1.0)


def _fill(axes: Any, cell: tuple[int, int], row: Mapping[str, Any], dark: bool) -> None:
    if row["problems"]:
        axes.add_patch(_rectangle(_square(cell), edgecolor="0.75", hatch="///", linewidth=0))
    text = f"{row['mean']:.3f}\n±{row['standard_error']:.3f}"
    axes.text(*cell[::-1], text, ha="center", va="center", color="white" if dark else "black")


def _square(cell: tuple[int, int]) -> tuple[float, float]:
    """Lower corner of the cell in a line and a column."""
    return cell[1] - 0.5, cell[0] - 0.5


def _rectangle(corner: tuple[float, float], **style: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 1, 1, fill=False, **style)


def _title(table: Sequence[Mapping[str, Any]], better: bool) -> str:
    references = [row["mean"] - row["difference"] for row in table]
    unweighted = next((v for v in references if np.isfinite(v)), np.nan)
    lines = [f"mean score ± standard error over folds; unweighted {unweighted:.3f}"]
    if not better:
        lines.append("no weighting is shown better")
    if any(row["problems"] for row in table):
        lines.append("hatched: useless weights")
    return "\n".join(lines)
