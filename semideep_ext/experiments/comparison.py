"""One experiment: its runs, and how the weightings compare on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from semideep_ext.experiments.statistics import compare
from semideep_ext.training.tasks import Classification
from semideep_ext.weighting.weightings import UNWEIGHTED, WEIGHTINGS

SCORES = Classification.score_names
SHOWN = ("accuracy", "f1", "auc")  # those that a console has room for
BASELINE = WEIGHTINGS[UNWEIGHTED]
OTHERS = [weighting for weighting in WEIGHTINGS.values() if weighting is not BASELINE]


@dataclass(frozen=True)
class Experiment:
    """What a report needs of one experiment.

    Attributes
    ----------
    name, family : str
        Name of the experiment, and of the dataset that it belongs to.
    runs, rows : list of dict
        One per seed and weight_type: all that was recorded, and the row of the results.
    notes : list of str
        Texts of warnings about the weights.
    tuning : list of dict
        What cross-validation chose for each split; empty if metric and lambda were given.
    manifest : dict
    weights : dict
        X_train, X_test and by_method (weights by weight_type) of the first split.
    """

    name: str
    family: str
    runs: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    notes: list[str]
    tuning: list[dict[str, Any]]
    manifest: dict[str, Any]
    weights: dict[str, Any]

    def of(self, weight_type: str) -> list[dict[str, Any]]:
        """Give the runs of one method, in the order of seeds."""
        return [run for run in self.runs if run["weight_type"] == weight_type]

    def effective_share(self, weight_type: str) -> float:
        """Share of the training rows that the weights amount to (Kish), the mean over splits."""
        return float(np.mean([effective_share(run) for run in self.of(weight_type)]))

    @cached_property
    def table(self) -> list[dict[str, Any]]:
        """Rows of `statistics.compare`, with dataset, test_size and effective_share."""
        first = self.runs[0]
        scores = {
            w.title: {s: [run["scores"][s] for run in self.of(w.name)] for s in SCORES}
            for w in WEIGHTINGS.values()
        }
        shares = {w.title: self.effective_share(w.name) for w in WEIGHTINGS.values()}
        compared = compare(scores, BASELINE.title, first["n_test"] / first["n_train"])
        where = {"dataset": self.name, "test_size": self.rows[0]["test_size"]}
        return [{**where, **row, "effective_share": shares[row["method"]]} for row in compared]


def effective_share(run: dict[str, Any]) -> float:
    """Share of a run's training rows that its weights amount to; all of them without weights."""
    return 1.0 if run["weights"] is None else float(run["weights"]["effective_share"])
