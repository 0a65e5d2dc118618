"""Every semi-supervised method, alone and with weights, against supervised training.

    python benchmarks/ssl/run.py --mnist DIR --fashion-mnist DIR   # results, tables, pictures
    python benchmarks/ssl/run.py --tasks two-moons,digits-10       # those tasks anew
    python benchmarks/ssl/run.py --tasks two-moons --seeds 2 --methods vat,ict   # printed only

Every training of a task and a seed has the same labelled rows, the same first parameters and the
same number of optimizer steps. Methods are those of `WeightedTrainer(method=name)`: nothing is set.
Where their defaults are not the papers', these are measured, too.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import sys
import time
import warnings
from typing import Any

import joblib
import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import bench
from tables import PAGE, PICTURE, boundaries, page, table
from tasks import TASKS, Split, Task

from semideep_ext import WeightedTrainer
from semideep_ext.ssl.augment import in_turn
from semideep_ext.ssl.augment.tables import GaussianNoise, ScarfCorruption
from semideep_ext.ssl.averages import averaged_steps
from semideep_ext.ssl.methods import METHODS, make_method
from semideep_ext.ssl.ramps import Linear

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results" / "ssl.json"
SEEDS, BATCH = 10, 32
SUPERVISED = "supervised"
SCARF = in_turn(ScarfCorruption(0.6), GaussianNoise(0.1))
PUBLISHED = {  # settings of papers that are not our defaults, by method
    "pseudo-label": {"threshold": None},
    "ict": {"alpha": 1.0, "weight": 100.0},
    "mixmatch": {"ramp": Linear(0.0, 1 / 64)},
    "fixmatch": {"strong": SCARF},
    "uda": {"strong": SCARF},
    "defixmatch": {"strong": SCARF, "weight": 1.0},
    "noisy-student": {"augment": SCARF},
}


def train(
    task: Task, split: Split, seed: int, method: str | None, weighted: bool, published: bool = False
) -> Any:
    """Train once, for the task's number of steps."""
    classes = len(np.unique(split.y))
    made = None
    if method is not None:
        options = PUBLISHED[method] if published else {}
        made = make_method(method, steps=averaged_steps(task.steps), **options)
    steps = math.ceil(len(split.y) / BATCH)
    if made is not None:
        steps = max(steps, math.ceil(len(split.X_unlabeled) / (made.mu * BATCH)))
    return WeightedTrainer(
        task.network(split.X.shape[1], classes, seed),
        split.X,
        split.y,
        weights="distance" if weighted else None,
        lambda_="median",
        learning_rate=task.learning_rate,
        batch_size=BATCH,
        epochs=math.ceil(task.steps / steps),
        X_unlabeled=split.X_unlabeled if weighted or made is not None else None,
        y_unlabeled=None if made is None else split.y_unlabeled,
        method=made,
        supervised_twin=False,
        seed=seed,
        verbose=False,
        device="cpu",
    )


def measure(
    name: str, seed: int, method: str | None, weighted: bool, published: bool, folder: Any
) -> dict[str, Any]:
    """Train, and score on the test rows."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    task = TASKS[name]
    split = task.draw(seed, folder)
    trainer = train(task, split, seed, method, weighted, published)
    start = time.perf_counter()
    history = trainer.train()
    seconds = time.perf_counter() - start
    batches = math.ceil(len(split.y) / BATCH)
    steps = int(trainer.method.steps) if trainer.method else trainer.epoch * batches
    kept = ("pseudo_label_share", "pseudo_label_accuracy", "unlabeled_loss", "train_loss")
    return {
        "seed": seed,
        "method": (method or SUPERVISED) + ", published" * published,
        "weighted": weighted,
        "accuracy": trainer.evaluate(split.X_test, split.y_test)["accuracy"],
        "seconds": seconds,
        "milliseconds_a_step": 1000 * seconds / steps,
        "last": {key: history[key][-1] for key in kept if history.get(key)},
    }


def measure_task(name: str, methods: list[str | None], seeds: int, jobs: int, folder: Any) -> Any:
    """Train every method with every seed, alone and with weights, and as it was published."""
    trainings = [
        joblib.delayed(measure)(name, seed, method, weighted, published, folder)
        for seed in range(seeds)
        for method in methods
        for weighted, published in ((False, False), (True, False), (False, True))
        if not published or method in PUBLISHED
    ]
    runs: list[dict[str, Any]] = []
    for run in joblib.Parallel(n_jobs=jobs, return_as="generator")(trainings):
        runs.append(run)
        print(f"{len(runs)}/{len(trainings)}", name, run["method"], run["accuracy"], flush=True)
    return {**bench.facts(), "seeds": seeds, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--methods", help="separated by commas; by default all, which is kept")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=2)
    for task in TASKS.values():
        if task.files:
            parser.add_argument(f"--{task.files}", metavar="DIR", help="folder of its files")
    options = parser.parse_args()
    folders = {t.files: vars(options)[t.files.replace("-", "_")] for t in TASKS.values() if t.files}
    names = [n for n in options.tasks.split(",") if folders.get(TASKS[n].files, "none needed")]
    methods = [None, *(options.methods.split(",") if options.methods else METHODS)]
    for name in names:
        folder = folders.get(TASKS[name].files)
        found = measure_task(name, methods, options.seeds, options.jobs, folder)
        print("\n".join(table(found["runs"])))
        if options.methods is None and options.seeds == SEEDS:
            kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            kept = {n: found if n == name else kept[n] for n in TASKS if n == name or n in kept}
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
            PAGE.write_text(page(kept))
            if name == "two-moons":
                boundaries().savefig(PICTURE, dpi=90)


if __name__ == "__main__":
    main()
