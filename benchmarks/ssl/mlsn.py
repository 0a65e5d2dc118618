"""MLSN in miniature: what a similarity network adds to a tuned Mean Teacher.

    python benchmarks/ssl/mlsn.py --mnist DIR                  # results file and table
    python benchmarks/ssl/mlsn.py --mnist DIR --seeds 2 --labels 100    # printed only

Mean Teacher is tuned first: its weight (1, 10, 100, each times the labelled share) and its average
(.97, .99, .999), by accuracy on validation rows of two seeds that are not used again. MLSN keeps
these, and is tuned by as many settings: the weights of its two losses and its gate. Then:

    supervised          the labelled loss alone
    mean-teacher        tuned
    + similarity        Mean Teacher and the similarity loss
    + co-training       Mean Teacher and the co-training loss, S trained on detached features
    full                both
    shuffled            full, but S learns whether pairs of shuffled labels are the same
    weak labels         only whether two labelled rows are of one class is used; outputs are matched
                        to classes by the labelled rows (Hungarian method)
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import pathlib
import sys
import warnings
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import bench
from run import BATCH, RESULTS
from tables import paired
from tasks import TASKS, Split

from semideep_ext import WeightedTrainer
from semideep_ext.ssl.mean_teacher import MeanTeacher
from semideep_ext.ssl.mlsn import MLSN, match_outputs

FOUND = RESULTS.with_name("mlsn.json")
PAGE = RESULTS.parents[2] / "docs" / "mlsn_evidence.md"
LABELS, SEEDS, TUNING = (100, 250, 1000), 10, (1000, 1001)
TEACHER = [
    {"weight": weight, "decay": decay}
    for weight, decay in itertools.product((1.0, 10.0, 100.0), (0.97, 0.99, 0.999))
]
OURS = [
    {"similarity_weight": similarity, "cotraining_weight": cotraining, "gate": gate}
    for similarity, cotraining, gate in (
        *itertools.product((0.1, 1.0), (0.1, 1.0), (0.8, 0.95)),
        (0.01, 0.1, 0.95),
    )
]
REFERENCE = "mean-teacher"


class Apart(MLSN):
    """MLSN whose similarity loss trains the similarity network alone, not the features."""

    def _pair_loss(self, h: Tensor, classes: Tensor, y: Tensor) -> Tensor:
        return super()._pair_loss(h.detach(), classes, y)


class Shuffled(MLSN):
    """The control: labels of pairs that say nothing."""

    def _pair_loss(self, h: Tensor, classes: Tensor, y: Tensor) -> Tensor:
        classes = classes[torch.randperm(len(classes))]
        return super()._pair_loss(h, classes, classes[: len(y)])


def methods(share: float, teacher: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Make each contestant, by name, as options of the method."""
    base = {"weight": teacher["weight"] * share, "decay": teacher["decay"]}
    return {
        "supervised": None,
        REFERENCE: (MeanTeacher, base),
        "+ similarity": (MLSN, {**base, **ours, "cotraining_weight": 0.0}),
        "+ co-training": (Apart, {**base, **ours}),
        "full": (MLSN, {**base, **ours}),
        "shuffled": (Shuffled, {**base, **ours}),
        "weak labels": (MLSN, {**base, **ours, "labels": "pairs"}),
    }


def draw(labels: int, seed: int, folder: str) -> Split:
    """Draw rows, of which half of the test rows are for validation."""
    return dataclasses.replace(TASKS["mnist"], labels_per_class=labels // 10).draw(seed, folder)


def accuracy(made: Any, split: Split, seed: int, rows: slice) -> float:
    """Train, and score on some of the test rows, in per cent."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    task = TASKS["mnist"]
    method = None if made is None else made[0](**made[1])
    batches = len(split.y) if method is None else len(split.X_unlabeled)
    trainer = WeightedTrainer(
        task.network(split.X.shape[1], 10, seed),
        split.X,
        split.y,
        weights=None,
        learning_rate=task.learning_rate,
        batch_size=BATCH,
        epochs=-(-task.steps // -(-batches // BATCH)),
        X_unlabeled=None if method is None else split.X_unlabeled,
        method=method,
        supervised_twin=False,
        seed=seed,
        verbose=False,
        device="cpu",
    )
    trainer.train()
    predicted = trainer.predict(split.X_test[rows])
    if made is not None and made[1].get("labels") == "pairs":
        own = trainer.predict(split.X)
        predicted = match_outputs(own, split.y, 10)[predicted]
    return 100 * float((predicted == split.y_test[rows]).mean())


VALIDATION, SCORED = slice(0, 1000), slice(1000, 2000)


def tune(labels: int, folder: str, jobs: int) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """Choose the settings of Mean Teacher, then those of MLSN beside it."""
    share = labels / (labels + TASKS["mnist"].unlabeled)
    tried = []

    def best(kind: type, base: dict[str, Any], settings: list[dict[str, Any]]) -> dict[str, Any]:
        def options(own: dict[str, Any]) -> dict[str, Any]:
            merged = {**base, **own}
            return {**merged, "weight": merged["weight"] * share}

        scores = joblib.Parallel(n_jobs=jobs)(
            joblib.delayed(accuracy)(
                (kind, options(own)), draw(labels, seed, folder), seed, VALIDATION
            )
            for own in settings
            for seed in TUNING
        )
        means = np.reshape(scores, (len(settings), -1)).mean(1)
        tried.extend(
            {"method": kind.__name__, **own, "validation": mean}
            for own, mean in zip(settings, means.tolist(), strict=True)
        )
        return settings[int(means.argmax())]

    teacher = best(MeanTeacher, {}, TEACHER)
    return teacher, best(MLSN, teacher, OURS), tried


def measure(labels: int, folder: str, seeds: int, jobs: int) -> dict[str, Any]:
    """Tune, then train every contestant with every seed."""
    teacher, ours, tried = tune(labels, folder, jobs)
    print(labels, "labels:", teacher, ours, flush=True)
    made = methods(labels / (labels + TASKS["mnist"].unlabeled), teacher, ours)
    scores = joblib.Parallel(n_jobs=jobs)(
        joblib.delayed(accuracy)(one, draw(labels, seed, folder), seed, SCORED)
        for one in made.values()
        for seed in range(seeds)
    )
    by_name = zip(made, np.reshape(scores, (len(made), seeds)).tolist(), strict=True)
    return {
        "labels": labels,
        "teacher": teacher,
        "ours": ours,
        "tried": tried,
        "accuracy": dict(by_name),
    }


def page(found: dict[str, Any]) -> str:
    """One table of all numbers of labels."""
    lines = [
        "# MLSN in miniature, on MNIST",
        "",
        "Accuracy on 1,000 test rows in per cent, mean over seeds, and paired difference to the "
        "tuned Mean Teacher with its 95 % interval; a star where that leaves 0 out. 4,000 rows "
        f"without a label, {TASKS['mnist'].steps} steps. `benchmarks/ssl/mlsn.py` says what each "
        "row is.",
        "",
        "| contestant | "
        + " | ".join(f"{one['labels']:,} labels" for one in found["labels"])
        + " |",
        "|---|" + "---|" * len(found["labels"]),
    ]
    for name in found["labels"][0]["accuracy"]:
        cells = []
        for one in found["labels"]:
            values, reference = (np.array(one["accuracy"][n]) for n in (name, REFERENCE))
            difference = "" if name == REFERENCE else f", {paired(values, reference)}"
            cells.append(f"{values.mean():.1f}{difference}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "Settings chosen on validation rows:", ""]
    lines += [
        f"- {one['labels']:,} labels: {one['teacher']}, {one['ours']}" for one in found["labels"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", required=True, metavar="DIR", help="folder of its files")
    parser.add_argument("--labels", default=",".join(map(str, LABELS)))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    numbers = [int(n) for n in options.labels.split(",")]
    measured = [measure(n, options.mnist, options.seeds, options.jobs) for n in numbers]
    found = {**bench.facts(), "seeds": options.seeds, "labels": measured}
    print(page(found))
    if options.seeds == SEEDS and tuple(numbers) == LABELS:
        FOUND.write_text(json.dumps(found, indent=1) + "\n")
        PAGE.write_text(page(found))


if __name__ == "__main__":
    main()
