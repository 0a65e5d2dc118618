"""What a report says; `report` writes it down.

Every sentence about a method is made from intervals of paired differences (`statistics`).
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semideep_ext.experiments.comparison import BASELINE, OTHERS, SCORES, Experiment
from semideep_ext.experiments.statistics import (
    CONFIDENCE,
    FORMULA,
    HIGHER,
    LOWER,
    NO_DIFFERENCE,
    NO_INTERVAL,
    REFERENCE,
)
from semideep_ext.op.metrics import KERNELS
from semideep_ext.weighting.weightings import UNWEIGHTED, WEIGHTINGS, Weighting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Verdicts are told apart by sign and words; colour only repeats them.
SIGNS = {HIGHER: "▲", LOWER: "▼", NO_DIFFERENCE: "○", NO_INTERVAL: "·", REFERENCE: ""}


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
        f"per method: {_and([weighting.title for weighting in WEIGHTINGS.values()])}."
    )


def how_to_read(experiments: Sequence[Experiment]) -> list[str]:
    """Say what the numbers are and what may be concluded from them."""
    percent = f"{CONFIDENCE:.0%}".replace("%", " %")
    comparisons = len(OTHERS) * len(SCORES)
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
        "Weights have mean 1. Effective rows (Kish) are those that would carry as much if they "
        "counted alike: of few, a model learns little, whatever the weights favour.",
    ]


def describe(experiment: Experiment) -> Section:
    """Describe one experiment, without pictures."""
    first = experiment.runs[0]
    n = len(experiment.of(UNWEIGHTED))
    lead = (
        f"{_count(n, 'split')} into {first['n_train']} rows to train on, {first['n_val']} to "
        f"validate on and {first['n_test']} to test on; {_count(first['epochs'], 'epoch')}, "
        f"batches of {first['batch_size']}, learning rate {first['learning_rate']:g}. "
    )
    lead += _tuning(experiment.tuning)
    return Section(
        title=experiment.name,
        lead=lead,
        verdicts=[_verdict(experiment, weighting) for weighting in OTHERS],
        tables=[
            *(_differences(experiment, weighting.title) for weighting in OTHERS),
            _means(experiment),
            _diagnostics(experiment),
        ],
        notes=experiment.notes,
        manifest=_manifest_table(experiment.manifest),
    )


def _tuning(tuning: list[dict[str, Any]]) -> str:
    """Say how metric and lambda came about, and in how many splits that spoke for weighting."""
    if not tuning:
        return "Metric and lambda were given, not tuned."
    better = sum(chosen["weighting"] != UNWEIGHTED for chosen in tuning)
    return (
        "Metric and lambda were chosen in each split by cross-validation over its training rows, "
        "as the best of the distance weights; it showed these better than unweighted training in "
        f"{better} of {_count(len(tuning), 'split')}."
    )


def _verdict(experiment: Experiment, weighting: Weighting) -> tuple[str, str]:
    """Sign and sentence; each follows from the intervals and from nothing else."""
    rows = [row for row in experiment.table if row["method"] == weighting.title]
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
    name, share = weighting.title.capitalize(), _percent(experiment.effective_share(weighting.name))
    return sign, f"{name} ({share} of the rows effective) against {BASELINE.title}: " + (
        f"{'; '.join(parts)}."
    )


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
    return Table(f"Paired differences: {method} minus {BASELINE.title}", header, rows)


def _means(experiment: Experiment) -> Table:
    rows = []
    for weighting in WEIGHTINGS.values():
        own = [row for row in experiment.table if row["method"] == weighting.title]
        share = _percent(experiment.effective_share(weighting.name))
        rows.append([weighting.title, *map(_mean, own), share])
    header = ["method", *SCORES, "effective rows"]
    return Table("Mean scores ± standard deviation over splits", header, rows)


def _diagnostics(experiment: Experiment) -> Table:
    rows = []
    for weighting in OTHERS:
        runs = experiment.of(weighting.name)
        found = [run["weights"] for run in runs]
        chosen = Counter(_choice(run, weighting) for run in runs)
        problems = Counter(p for weights in found for p in weights["problems"])
        rows.append(
            [
                weighting.title,
                _percent(experiment.effective_share(weighting.name)),
                f"{np.mean([w['min_by_mean'] for w in found]):.3g} to "
                f"{np.mean([w['max_by_mean'] for w in found]):.3g}",
                _percent(np.mean([w["top_share"] for w in found])),
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


def _choice(run: dict[str, Any], weighting: Weighting) -> str:
    metric: str = run["distance_metric"]
    if weighting.kernel is None or KERNELS[weighting.kernel].parameter != "lambda":
        return metric
    lambda_ = run["lambda_"]
    return f"{metric}, lambda {lambda_ if isinstance(lambda_, str) else format(lambda_, 'g')}"


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


def _percent(share: Any) -> str:
    return f"{share:.1%}".replace("%", " %")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
