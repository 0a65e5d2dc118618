"""The package's job on real data, in under a minute: `python -m semideep_ext demo`.

Breast-cancer rows are split into labelled training rows and test rows whose labels are held back.
A small network is trained once per weighting, from the same start and on the same batches, and
scored on the held-back labels. What is reported is the paired difference to unweighted training
over several splits, with its interval: the data decide whether a weighting helps.
"""

from __future__ import annotations

import csv
import os
import textwrap
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from semideep_ext.experiments.arguments import require
from semideep_ext.experiments.comparison import SHOWN
from semideep_ext.experiments.statistics import compare
from semideep_ext.op.functional import distance_weights
from semideep_ext.plots import plot_scores, plot_weights
from semideep_ext.training.trainer import WeightedTrainer
from semideep_ext.weighting.defaults import SELECTED_METRICS
from semideep_ext.weighting.diagnostics import diagnose_weights, warn_if_degenerate
from semideep_ext.weighting.normalisation import mean_one
from semideep_ext.weighting.weightings import UNWEIGHTED, WEIGHTINGS

BASELINE = WEIGHTINGS[UNWEIGHTED].title
# name -> metric, kernel. hamming and jaccard do not suit continuous columns; that is to be seen.
METHODS = {
    "idw": ("euclidean", "inverse"),
    **{metric: (metric, "exponential") for metric in SELECTED_METRICS},
}

CAPTION = """\
Breast cancer, {n} splits with half of the rows as test rows; {epochs} epochs; lambda 0.8.
The same initial network and batches for every method of a split. All weights are divided by their
mean, so that only relative weights matter (raw weights also shorten the steps). [low, high] is a
95 % interval over splits by the corrected resampled t (Nadeau and Bengio 2003), which accounts for
splits that share rows. A difference counts as shown if its interval lies on one side of 0 and its
p-value, adjusted for all comparisons (Holm), is at most 0.05. effective: Kish's share of the rows
that the weights amount to; 100 % is unweighted training."""


def run_demo(
    seeds: int = 10, epochs: int = 40, output_dir: str | os.PathLike[str] = "demo_output"
) -> list[dict[str, Any]]:
    """Compare the weightings, print the table, write weights.png, scores.png and scores.csv.

    Parameters
    ----------
    seeds : int, default 10
        Number of splits, at least 2: an interval needs two.
    epochs : int, default 40
    output_dir : path-like, default "demo_output"
        Made if missing.

    Returns
    -------
    list of dict
        One per method and score: method, score, mean, sd, low, high, difference, difference_low,
        difference_high, p_holm, n, verdict and effective_share. The differences are to unweighted
        training.

    Raises
    ------
    ValueError
        If seeds < 2 or epochs < 1.
    """
    if seeds < 2 or epochs < 1:
        raise ValueError(f"seeds={seeds}, epochs={epochs}: need seeds >= 2 and epochs >= 1")
    require("matplotlib", "the demonstration")
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    X, y, names = _load()

    results: dict[str, list[dict[str, float]]] = {name: [] for name in (BASELINE, *METHODS)}
    shares: dict[str, list[float]] = {name: [] for name in results}
    notes: dict[str, str] = {}
    for seed in range(seeds):
        train, test, labels, held_back = _split(X, y, seed)
        weights = {}
        for name, how in METHODS.items():
            weights[name], warned = _weights(train, test, *how)
            if warned:
                notes.setdefault(name, warned)
        if seed == 0:
            plot_weights(weights, names[labels]).savefig(folder / "weights.png", dpi=120)
        for name in results:
            w = weights.get(name)
            results[name].append(_run(train, labels, test, held_back, w, epochs, seed))
            effective = len(labels) if w is None else diagnose_weights(w).effective_sample_size
            shares[name].append(effective / len(labels))

    scores = {
        name: {score: [run[score] for run in runs] for score in SHOWN}
        for name, runs in results.items()
    }
    table = compare(scores, BASELINE, test_train_ratio=len(test) / len(train))
    for row in table:
        row["effective_share"] = float(np.mean(shares[row["method"]]))
    plot_scores(table).savefig(folder / "scores.png", dpi=120)
    with open(folder / "scores.csv", "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    print(_as_text(table, notes.values(), CAPTION.format(n=seeds, epochs=epochs)))
    print(f"\nwritten to {folder}: weights.png (first split), scores.png, scores.csv")
    return table


def _load() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return data.data, data.target, data.target_names


def _split(X: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
    """Split half and half by class, scaled by what the training rows say."""
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    train, test, labels, held_back = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=seed
    )
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test), labels, held_back


def _weights(
    train: np.ndarray, test: np.ndarray, metric: str, kernel: str
) -> tuple[np.ndarray, str | None]:
    """Mean-1 weights, and the last warning about them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        w: np.ndarray = mean_one(distance_weights(train, test, metric, kernel=kernel, log=True))
        warn_if_degenerate(w, metric, kernel)
    return w, str(caught[-1].message) if caught else None


def _run(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    held_back: np.ndarray,
    w: np.ndarray | None,
    epochs: int,
    seed: int,
) -> dict[str, float]:
    """Train from the seed's start; the held-back labels are read for the final score only."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(train.shape[1], 16), nn.ReLU(), nn.Linear(16, 2))
    trainer = WeightedTrainer(
        model, train, labels, weights=w, epochs=epochs, device="cpu", verbose=False
    )
    trainer.train()
    scores: dict[str, float] = trainer.evaluate(test, held_back)
    return scores


def _as_text(table: list[dict[str, Any]], notes: Iterable[str], caption: str) -> str:
    lines = [caption]
    for score in SHOWN:
        lines += ["", f"{score:<11}mean  [low, high]         effective  difference to unweighted"]
        lines += [
            f"{r['method']:<10} {r['mean']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"
            f"{r['effective_share']:>14.1%}  {r['difference']:+.4f} "
            f"[{r['difference_low']:+.4f}, {r['difference_high']:+.4f}]  {r['verdict']}"
            for r in table
            if r["score"] == score
        ]
    footnotes = (textwrap.fill(f"Note: {note}", 100) for note in notes)
    return "\n".join([*lines, "", *footnotes])
