"""The pictures of a report, each with a text for those who do not see it."""

from __future__ import annotations

from collections.abc import Sequence

from semideep_ext import plots
from semideep_ext.experiments.comparison import BASELINE, Experiment
from semideep_ext.experiments.report_content import Picture
from semideep_ext.experiments.statistics import REFERENCE
from semideep_ext.weighting.weightings import WEIGHTINGS

PHONE = (4.4, 3.4)  # inches; text stays readable where the picture is as wide as a phone


def pictures(experiment: Experiment) -> list[Picture]:
    """Draw one experiment: differences, training, and the weights of its first split."""
    drawn = [_differences(experiment)]
    histories = {
        weighting.title: [run["history"] for run in experiment.of(weighting.name)]
        for weighting in WEIGHTINGS.values()
    }
    if experiment.runs[0]["epochs"] > 0:
        drawn.append(
            Picture(
                "Training curves",
                "Losses and, with validation rows, accuracy by epoch for "
                f"{', '.join(histories)}: mean over splits within a band of all splits.",
                plots.plot_training_curves(histories),
            )
        )
    for kind, w in experiment.weights["by_method"].items():
        drawn += _weights(WEIGHTINGS[kind].title, w, experiment)
    return drawn


def sizes_picture(experiments: Sequence[Experiment]) -> list[Picture]:
    """Draw f1 against the share of test rows for each dataset with several of them."""
    families = dict.fromkeys(experiment.family for experiment in experiments)
    drawn = []
    for family in families:
        rows = [row for e in experiments if e.family == family for row in e.table]
        sizes = sorted({row["test_size"] for row in rows})
        if len(sizes) > 1:
            shares = ", ".join(f"{size:.0%}".replace("%", " %") for size in sizes)
            drawn.append(
                Picture(
                    f"{family}: f1 by share of test rows",
                    f"Mean f1 and standard deviation per method, with {shares} of the rows as test "
                    "rows.",
                    plots.plot_test_size_impact(rows, "f1", PHONE),
                )
            )
    return drawn


def _differences(experiment: Experiment) -> Picture:
    rows = [row for row in experiment.table if row["verdict"] != REFERENCE]
    texts = [f"{r['method']}, {r['score']}: {r['difference']:+.4f}, {r['verdict']}" for r in rows]
    return Picture(
        f"Differences to {BASELINE.title}",
        "Paired differences with intervals. " + "; ".join(texts) + ".",
        plots.plot_differences(rows),
    )


def _weights(name: str, w: object, experiment: Experiment) -> list[Picture]:
    train, test = experiment.weights["X_train"], experiment.weights["X_test"]
    drawn = [
        Picture(
            f"Weights: {name}",
            f"Histogram of the {name} of the first split, each divided by their mean.",
            plots.plot_weights({name: w}),
        )
    ]
    if min(len(train), len(test)) >= 5:
        drawn.append(
            Picture(
                f"Density ratio: {name}",
                "Weight of each training row of the first split against the ratio of test to "
                "training density that a logistic regression estimates. The sets were split at "
                "random, so the true ratio is 1.",
                plots.plot_density_ratio(w, train, test),
            )
        )
    if train.ndim == 2 and train.shape[1] >= 2:
        drawn.append(
            Picture(
                f"Rows: {name}",
                "Training rows of the first split, coloured by weight, and test rows, on their "
                "first two principal components.",
                plots.plot_projection(w, train, test),
            )
        )
    return drawn
