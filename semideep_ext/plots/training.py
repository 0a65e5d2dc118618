"""Pictures of training: losses and scores by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from semideep_ext.plots._figure import OKABE_ITO, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES = ("-", "--", "-.", ":")
_TITLES = {
    "train_loss": "training loss / first epoch's",
    "val_loss": "validation loss",
    "accuracy": "validation accuracy",
}


def plot_training_curves(
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], columns: int = 1
) -> Figure:
    """Draw losses and the validation accuracy by epoch: the mean over runs, in a band of all runs.

    The training loss is divided by that of the first epoch, since raw weights scale it: only its
    course compares between methods. The validation loss is unweighted.

    Parameters
    ----------
    histories : mapping of str to sequence of mappings
        By method, the `history` of each run of a `WeightedTrainer`; all of the same length.
    columns : int, default 1
        Most panels in a row.

    Returns
    -------
    Figure
        A panel for each of train_loss, val_loss and accuracy that the histories hold.

    Raises
    ------
    ValueError
        If there is no history, or they differ in length.

    Examples
    --------
    >>> figure = plot_training_curves({"unweighted": [{"train_loss": [2.0, 1.0]}]})
    >>> figure.axes[0].lines[0].get_ydata()
    array([1. , 0.5])
    """
    runs = [run for several in histories.values() for run in several]
    if not runs:
        raise ValueError("no history to draw; give at least one run of one method")
    keys = [key for key in _TITLES if all(len(run.get(key, ())) for run in runs)]
    if not keys:
        raise ValueError("the histories are empty: train for at least one epoch first")
    lengths = {len(run[key]) for run in runs for key in keys}
    if len(lengths) > 1:
        raise ValueError(f"histories of {sorted(lengths)} epochs; give runs of the same length")
    figure, drawn = panels(len(keys), columns)
    for axes, key in zip(drawn, keys, strict=True):
        for i, (method, several) in enumerate(histories.items()):
            _draw(axes, _curves(key, several), i, method)
        axes.set_xlabel("epoch")
        axes.set_ylabel(_TITLES[key])
    drawn[0].legend(fontsize="small")
    return figure


def _curves(key: str, runs: Sequence[Mapping[str, Sequence[float]]]) -> np.ndarray:
    curves = np.array([run[key] for run in runs], dtype=np.float64)
    return curves / curves[:, :1] if key == "train_loss" else curves


def _draw(axes: Any, curves: np.ndarray, i: int, method: str) -> None:
    epochs = np.arange(1, curves.shape[1] + 1)
    colour = OKABE_ITO[i % len(OKABE_ITO)]
    style = _LINES[i % len(_LINES)]
    axes.plot(epochs, curves.mean(0), color=colour, linestyle=style, label=method)
    axes.fill_between(epochs, curves.min(0), curves.max(0), color=colour, alpha=0.15, linewidth=0)
