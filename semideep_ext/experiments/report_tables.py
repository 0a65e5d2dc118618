"""The tables of a report, in cells of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semideep_ext.experiments.comparison import BASELINE, OTHERS, SCORES, Experiment
from semideep_ext.experiments.statistics import (
    HIGHER,
    LOWER,
    NO_DIFFERENCE,
    NO_INTERVAL,
    REFERENCE,
)
from semideep_ext.op.metrics import KERNELS
from semideep_ext.weighting.weightings import WEIGHTINGS, Weighting

# Verdicts are told apart by sign and words; colour only repeats them.
SIGNS = {HIGHER: "▲", LOWER: "▼", NO_DIFFERENCE: "○", NO_INTERVAL: "·", REFERENCE: ""}


@dataclass
class Table:
    """Cells of text; the first column heads its row."""

    caption: str
    header: Sequence[str]
    rows: list[list[str]]


def differences(experiment: Experiment, method: str) -> Table:
    """Tell the paired differences of a method to unweighted training."""
    rows = [
        [
            row["score"],
            difference_text(row),
            f"{SIGNS[row['verdict']]} {row['verdict']}",
            "" if np.isnan(row["p_holm"]) else f"{row['p_holm']:.3f}",
            str(row["n"]),
        ]
        for row in experiment.table
        if row["method"] == method
    ]
    header = ["score", "difference [low, high]", "verdict", "p (Holm)", "splits"]
    return Table(f"Paired differences: {method} minus {BASELINE.title}", header, rows)


def means(experiment: Experiment) -> Table:
    """Tell the mean scores of each method, and how many rows its weights amount to."""
    rows = []
    for weighting in WEIGHTINGS.values():
        own = [row for row in experiment.table if row["method"] == weighting.title]
        share = percent(experiment.effective_share(weighting.name))
        rows.append([weighting.title, *map(_mean, own), share])
    header = ["method", *SCORES, "effective rows"]
    return Table("Mean scores ± standard deviation over splits", header, rows)


def diagnostics(experiment: Experiment) -> Table:
    """Tell what the weights of each method amount to."""
    rows = []
    for weighting in OTHERS:
        runs = experiment.of(weighting.name)
        found = [run["weights"] for run in runs]
        chosen = Counter(_choice(run, weighting) for run in runs)
        problems = Counter(p for weights in found for p in weights["problems"])
        rows.append(
            [
                weighting.title,
                percent(experiment.effective_share(weighting.name)),
                f"{np.mean([w['min_by_mean'] for w in found]):.3g} to "
                f"{np.mean([w['max_by_mean'] for w in found]):.3g}",
                percent(np.mean([w["top_share"] for w in found])),
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


def manifest_table(manifest: dict[str, Any]) -> Table:
    """Tell what the results depend on."""
    flat: list[list[str]] = []
    for key, value in manifest.items():
        inner = value if isinstance(value, dict) else {"": value}
        flat += [[f"{key} {name}".strip(), _text(v)] for name, v in inner.items()]
    return Table("Manifest", ["what", "value"], flat)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def difference_text(row: dict[str, Any]) -> str:
    """Write a difference, with its interval if it has one."""
    text, low, high = f"{row['difference']:+.4f}", row["difference_low"], row["difference_high"]
    return text if np.isnan(low) else f"{text} [{low:+.4f}, {high:+.4f}]"


def _mean(row: dict[str, Any]) -> str:
    return f"{row['mean']:.4f}" + ("" if np.isnan(row["sd"]) else f" ± {row['sd']:.4f}")


def percent(share: Any) -> str:
    """Write a share as a percentage."""
    return f"{share:.1%}".replace("%", " %")
