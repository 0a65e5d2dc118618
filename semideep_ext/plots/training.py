"""Pictures of training: losses and scores by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from semideep_ext.plots._figure import OKABE_ITO, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES = ("-", "--", "-.", ":")
_KEPT, _PSEUDO = "kept_by_", "pseudo_label_"
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


def plot_unlabeled_rows(history: Mapping[str, Sequence[float]], n: int | None = None) -> Figure:
    """Draw what became of the unlabelled rows, epoch by epoch.

    Parameters
    ----------
    history : mapping of str to sequence
        Of a `WeightedTrainer` with a method: rows kept by each filter, share and accuracy of the
        pseudo-labels, as far as it has them.
    n : int, optional
        Number of the unlabelled rows, drawn as a line beside those that filters keep.

    Returns
    -------
    Figure
        A panel of counts, if there were filters, and one of shares, if there were pseudo-labels.

    Raises
    ------
    ValueError
        If the history has neither.

    Examples
    --------
    >>> history = {"pseudo_label_share": [0.2, 0.6], "kept_by_domain": [8.0, 8.0]}
    >>> figure = plot_unlabeled_rows(history)
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['unlabelled rows kept', 'pseudo-labels']
    """
    kept = {key: v for key, v in history.items() if key.startswith(_KEPT) and v}
    shares = {key: v for key, v in history.items() if key.startswith(_PSEUDO) and v}
    parts = [(kept, _KEPT, "unlabelled rows kept"), (shares, _PSEUDO, "pseudo-labels")]
    parts = [part for part in parts if part[0]]
    if not parts:
        raise ValueError(
            "the history has neither filters nor pseudo-labels: train with a method that uses "
            "pseudo-labels, such as fixmatch, or with unlabeled_filter='domain'"
        )
    figure, drawn = panels(len(parts), 2)
    for axes, (curves, prefix, title) in zip(drawn, parts, strict=True):
        for i, (key, values) in enumerate(curves.items()):
            _draw(axes, np.array([values], dtype=np.float64), i, key.removeprefix(prefix))
        if prefix == _KEPT and n is not None:
            axes.axhline(n, color="grey", linewidth=1, label="all")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("epoch")
        axes.set_ylabel(title)
        axes.legend(fontsize="small")
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
