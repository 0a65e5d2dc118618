"""What all pictures share: colours, marks, and figures that pyplot does not know of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo", "**")  # readable in grey, too
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def panels(
    n: int, columns: int = 3, figsize: tuple[float, float] | None = None
) -> tuple[Figure, list[Any]]:
    """Make a figure of n panels, at most `columns` in a row."""
    if columns < 1:
        raise ValueError(f"columns={columns}: give at least 1")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib: pip install 'semideep_ext[experiment]'"
        ) from error
    columns = min(n, columns)
    lines = -(-n // columns)
    figure = Figure(figsize=figsize or (4.2 * columns, 3.2 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    for unused in axes[n:]:
        unused.remove()
    return figure, axes[:n]
