"""What a report says; `report` writes it down.

Every sentence about a method is made from intervals of paired differences (`statistics`).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from semideep_ext.experiments.comparison import BASELINE, OTHERS, SCORES, Experiment
from semideep_ext.experiments.report_tables import (
    SIGNS,
    Table,
    diagnostics,
    difference_text,
    differences,
    manifest_table,
    means,
    percent,
)
from semideep_ext.experiments.statistics import (
    CONFIDENCE,
    FORMULA,
    HIGHER,
    LOWER,
    NO_DIFFERENCE,
    NO_INTERVAL,
)
from semideep_ext.weighting.weightings import UNWEIGHTED, WEIGHTINGS, Weighting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    confidence = f"{CONFIDENCE:.0%}".replace("%", " %")
    comparisons = len(OTHERS) * len(SCORES)
    return [
        "Within a split, every method starts from the same parameters and sees the same batches. "
        "Only the weights differ, so scores are compared split by split.",
        f"[low, high] is a {confidence} interval: {FORMULA}, mean ± t · sqrt((1/J + "
        "n_test/n_train) s²) over J splits. The second term accounts for training sets that "
        "overlap; it makes intervals wide where the test rows outnumber the training rows.",
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
            *(differences(experiment, weighting.title) for weighting in OTHERS),
            means(experiment),
            diagnostics(experiment),
        ],
        notes=experiment.notes,
        manifest=manifest_table(experiment.manifest),
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
        f"{row['verdict'].split()[0]} {row['score']} ({difference_text(row)})"
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
    name, share = weighting.title.capitalize(), percent(experiment.effective_share(weighting.name))
    return sign, f"{name} ({share} of the rows effective) against {BASELINE.title}: " + (
        f"{'; '.join(parts)}."
    )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
