"""What a report says; `report` writes it down.

Every sentence about a method is made from intervals of paired differences (`statistics`).
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from semideep_ext.experiments.statistics import (
    CONFIDENCE,
    FORMULA,
    HIGHER,
    LOWER,
    NO_DIFFERENCE,
    NO_INTERVAL,
    REFERENCE,
    compare,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES = ("accuracy", "precision", "recall", "f1", "auc")
BASELINE = "none"
NAMES = {"none": "unweighted", "distance": "distance weights", "idw": "inverse distances"}
# Verdicts are told apart by sign and words; colour only repeats them.
SIGNS = {HIGHER: "▲", LOWER: "▼", NO_DIFFERENCE: "○", NO_INTERVAL: "·", REFERENCE: ""}


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
    tuned : bool
        Whether metric and lambda were chosen by cross-validation.
    manifest : dict
    weights : dict
        X_train, X_test and by_method (weights by weight_type) of the first split.
    """

    name: str
    family: str
    runs: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    notes: list[str]
    tuned: bool
    manifest: dict[str, Any]
    weights: dict[str, Any]

    def of(self, weight_type: str) -> list[dict[str, Any]]:
        """Give the runs of one method, in the order of seeds."""
        return [run for run in self.runs if run["weight_type"] == weight_type]

    @cached_property
    def table(self) -> list[dict[str, Any]]:
        """Rows of `statistics.compare`, with dataset and test_size."""
        first = self.runs[0]
        scores = {
            NAMES[kind]: {s: [run["scores"][s] for run in self.of(kind)] for s in SCORES}
            for kind in NAMES
        }
        compared = compare(scores, NAMES[BASELINE], first["n_test"] / first["n_train"])
        where = {"dataset": self.name, "test_size": self.rows[0]["test_size"]}
        return [{**where, **row} for row in compared]


@dataclass
class Table:
    """Cells of text; the first column heads its row."""

    caption: str
    header: Sequence[str]
    rows: list[list[str]]


@dataclass
class Picture:
    """A figure with what it shows, for those who do not see it."""

    title: str
    alt: str
    figure: Figure

    @property
    def data(self) -> str:
        """The figure as a data URI."""
        file = io.BytesIO()
        self.figure.savefig(file, format="png", dpi=130, metadata={"Software": None})
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@dataclass
class Section:
    """One experiment as both pages show it."""

    title: str
    lead: str
    verdicts: list[tuple[str, str]]
    tables: list[Table]
    notes: list[str]
    manifest: Table
    pictures: list[Picture] = field(default_factory=list)


def overview(experiments: Sequence[Experiment]) -> str:
    """Say in one sentence what was compared."""
    n = sum(len(experiment.runs) for experiment in experiments)
    return (
        f"{n} training runs in {_count(len(experiments), 'experiment')}; in each split, one run "
        f"per method: {_and(list(NAMES.values()))}."
    )


def how_to_read(experiments: Sequence[Experiment]) -> list[str]:
    """Say what the numbers are and what may be concluded from them."""
    percent = f"{CONFIDENCE:.0%}".replace("%", " %")
    comparisons = (len(NAMES) - 1) * len(SCORES)
    return [
        "Within a split, every method starts from the same parameters and sees the same batches. "
        "Only the weights differ, so scores are compared split by split.",
        f"[low, high] is a {percent} interval: {FORMULA}, mean ± t · sqrt((1/J + n_test/n_train) "
        "s²) over J splits. The second term accounts for training sets that overlap; it makes "
        "intervals wide where the test rows outnumber the training rows.",
        f"A verdict needs an interval without 0 that also holds for all {comparisons} comparisons "
        f"of its dataset: the p-value, adjusted by Holm's method, is at most {1 - CONFIDENCE:.2f}.",
        "“No difference shown” is not “no difference”: the interval holds every difference that "
        "these splits cannot rule out.",
        "Scalers, metric and lambda come from training rows. Labels of test rows are read for the "
        "scores only. The unlabelled test rows themselves make the weights.",
    ]


def describe(experiment: Experiment) -> Section:
    """Describe one experiment, without pictures."""
    first = experiment.runs[0]
    n = len(experiment.of(BASELINE))
    lead = (
        f"{_count(n, 'split')} into {first['n_train']} rows to train on, {first['n_val']} to "
        f"validate on and {first['n_test']} to test on; {_count(first['epochs'], 'epoch')}, "
        f"batches of {first['batch_size']}, learning rate {first['learning_rate']:g}. "
    )
    lead += (
        "Metric and lambda were chosen in each split by cross-validation over its training rows."
        if experiment.tuned
        else "Metric and lambda were given, not tuned."
    )
    kinds = [kind for kind in NAMES if kind != BASELINE]
    return Section(
        title=experiment.name,
        lead=lead,
        verdicts=[_verdict(experiment, NAMES[kind]) for kind in kinds],
        tables=[
            *(_differences(experiment, NAMES[kind]) for kind in kinds),
            _means(experiment),
            _diagnostics(experiment),
        ],
        notes=experiment.notes,
        manifest=_manifest_table(experiment.manifest),
    )


def _verdict(experiment: Experiment, method: str) -> tuple[str, str]:
    """Sign and sentence; each follows from the intervals and from nothing else."""
    rows = [row for row in experiment.table if row["method"] == method]
    parts = [
        f"{row['verdict'].split()[0]} {row['score']} ({_difference(row)})"
        for row in rows
        if row["verdict"] in (HIGHER, LOWER)
    ]
    unshown = [row["score"] for row in rows if row["verdict"] == NO_DIFFERENCE]
    if unshown:
        parts.append(f"{NO_DIFFERENCE} in {_and(unshown)}")
    without = [row for row in rows if row["verdict"] == NO_INTERVAL]
    if any(row["n"] < 2 for row in without):
        parts.append(
            "fewer than two splits give no interval, so nothing is concluded about "
            f"{_and([row['score'] for row in without if row['n'] < 2])}: set n_seeds to 2 or "
            "more, better 10"
        )
    constant = [row["score"] for row in without if row["n"] >= 2]
    if constant:
        parts.append(
            f"every split gave the same difference in {_and(constant)}, whose spread is "
            "therefore unknown, so nothing is concluded: use more splits"
        )
    found = {row["verdict"] for row in rows}
    signs = [SIGNS[v] for v in (HIGHER, LOWER) if v in found]
    sign = " ".join(signs) or SIGNS[NO_DIFFERENCE if NO_DIFFERENCE in found else NO_INTERVAL]
    return sign, f"{method.capitalize()} against {NAMES[BASELINE]}: {'; '.join(parts)}."


def _differences(experiment: Experiment, method: str) -> Table:
    rows = [
        [
            row["score"],
            _difference(row),
            f"{SIGNS[row['verdict']]} {row['verdict']}",
            "" if np.isnan(row["p_holm"]) else f"{row['p_holm']:.3f}",
            str(row["n"]),
        ]
        for row in experiment.table
        if row["method"] == method
    ]
    header = ["score", "difference [low, high]", "verdict", "p (Holm)", "splits"]
    return Table(f"Paired differences: {method} minus {NAMES[BASELINE]}", header, rows)


def _means(experiment: Experiment) -> Table:
    rows = [
        [name, *(_mean(row) for row in own)]
        for name in NAMES.values()
        for own in [[row for row in experiment.table if row["method"] == name]]
    ]
    return Table("Mean scores ± standard deviation over splits", ["method", *SCORES], rows)


def _diagnostics(experiment: Experiment) -> Table:
    rows = []
    for kind, name in NAMES.items():
        found = [run["weights"] for run in experiment.of(kind) if run["weights"]]
        if not found:
            continue
        chosen = Counter(_choice(run, kind) for run in experiment.of(kind))
        problems = Counter(p for weights in found for p in weights["problems"])
        rows.append(
            [
                name,
                f"{np.mean([w['effective_share'] for w in found]):.1%}",
                f"{np.mean([w['min_by_mean'] for w in found]):.3g} to "
                f"{np.mean([w['max_by_mean'] for w in found]):.3g}",
                f"{np.mean([w['top_share'] for w in found]):.1%}",
                ", ".join(f"{p} ({n} of {len(found)})" for p, n in problems.items()) or "none",
                "; ".join(f"{text} ({n} of {len(found)})" for text, n in chosen.most_common()),
            ]
        )
    header = [
        "method",
        "effective rows (Kish)",
        "weight / mean, smallest to largest",
        "carried by the largest 1 %",
        "problems",
        "weighting (splits)",
    ]
    return Table("Weights", header, rows)


def _choice(run: dict[str, Any], kind: str) -> str:
    metric: str = run["distance_metric"]
    lambda_ = run["lambda_"]
    number = lambda_ if isinstance(lambda_, str) else f"{lambda_:g}"
    return metric if kind == "idw" else f"{metric}, lambda {number}"


def _manifest_table(manifest: dict[str, Any]) -> Table:
    flat: list[list[str]] = []
    for key, value in manifest.items():
        inner = value if isinstance(value, dict) else {"": value}
        flat += [[f"{key} {name}".strip(), _text(v)] for name, v in inner.items()]
    return Table("Manifest", ["what", "value"], flat)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _difference(row: dict[str, Any]) -> str:
    text, low, high = f"{row['difference']:+.4f}", row["difference_low"], row["difference_high"]
    return text if np.isnan(low) else f"{text} [{low:+.4f}, {high:+.4f}]"


def _mean(row: dict[str, Any]) -> str:
    return f"{row['mean']:.4f}" + ("" if np.isnan(row["sd"]) else f" ± {row['sd']:.4f}")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
