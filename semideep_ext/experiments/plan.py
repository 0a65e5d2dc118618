"""One experiment: the three weightings on every split of one dataset."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from semideep_ext._version import __version__
from semideep_ext.experiments import runs
from semideep_ext.experiments.comparison import Experiment, effective_share
from semideep_ext.experiments.manifest import manifest
from semideep_ext.experiments.reproducible import ModelFactory, fingerprint
from semideep_ext.experiments.splits import make_split, split_rows
from semideep_ext.weighting.weightings import UNWEIGHTED, WEIGHTINGS

NOT_APPLICABLE = "n/a"
# The median fits any data: with a number, some have few rows that are near.
DEFAULT_WEIGHTING = {"distance_metric": "euclidean", "lambda_": "median"}


@dataclass(frozen=True)
class Plan:
    """What to run: the arguments of `ExperimentRunner`, those of its method, and the seeds."""

    name: str
    seeds: list[int]
    test_size: float
    val_size: float
    learning_rate: float
    batch_size: int
    epochs: int
    scale: bool
    device: str
    metrics: list[str]
    lambda_values: list[float | str]
    cv: int
    tune: bool

    def __post_init__(self) -> None:
        """Refuse sizes that are no shares."""
        if not 0 < self.test_size < 1 or not 0 <= self.val_size < 1:
            raise ValueError(
                f"test_size={self.test_size}, val_size={self.val_size}: give shares, "
                "0 < test_size < 1 and 0 <= val_size < 1"
            )


def run_plan(
    plan: Plan,
    model_factory: ModelFactory,
    X: np.ndarray,
    y: np.ndarray,
    sweep: Callable[..., list[dict[str, Any]]],
) -> Experiment:
    """Tune if asked to, then train each weighting on each split.

    Parameters
    ----------
    plan : Plan
    model_factory : callable
    X, y : ndarray, shapes (N, D) and (N,)
    sweep : callable
        `sweep.run_all` but for its first two arguments.

    Raises
    ------
    ValueError
        If a split lacks a class to train on; before anything is trained.
    """
    for seed in plan.seeds:
        split_rows(y, plan.test_size, plan.val_size, seed)
    common = {
        "weights_mean": 1,  # results of raw weights, as there were once, are not taken for these
        "test_size": float(plan.test_size),
        "val_size": float(plan.val_size),
        "learning_rate": float(plan.learning_rate),
        "batch_size": int(plan.batch_size),
        "epochs": int(plan.epochs),
        "scale": plan.scale,
        "device": plan.device,
        "fingerprint": fingerprint(model_factory, X, y),
        "versions": f"semideep_ext {__version__}, torch {torch.__version__}",
    }
    execute = functools.partial(runs.execute, model_factory, X, y)
    choice = {"metrics": plan.metrics, "lambda_values": plan.lambda_values, "cv": plan.cv}
    tuning: list[dict[str, Any]] = []
    if plan.tune:
        asked = {**common, **choice, "weight_type": runs.TUNING}
        tuning = sweep([{**asked, "seed": seed} for seed in plan.seeds], execute)
    chosen = tuning or [{**DEFAULT_WEIGHTING, "notes": []}] * len(plan.seeds)
    specs = [
        {**common, "seed": seed, "weight_type": kind, **_weighting(kind, found)}
        for seed, found in zip(plan.seeds, chosen, strict=True)
        for kind in WEIGHTINGS
    ]
    outcomes = sweep(specs, execute)
    done = [{**spec, **outcome} for spec, outcome in zip(specs, outcomes, strict=True)]
    settings = {**common, "tune": plan.tune, **(choice if plan.tune else {})}
    return Experiment(
        name=plan.name,
        family=plan.name,
        runs=done,
        rows=[_full_row(run, plan.name) for run in done],
        notes=list(dict.fromkeys(n for found in (*chosen, *done) for n in found["notes"])),
        tuning=tuning,
        manifest={
            **manifest(),
            "dataset": {"name": plan.name, "rows": len(X), "features": X[0].size},
            "seeds": plan.seeds,
            "settings": settings,
        },
        weights=_example_weights(model_factory, X, y, done[: len(WEIGHTINGS)]),
    )


def _weighting(weight_type: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """Metric and lambda as the spec of a run holds them; unweighted runs have neither."""
    none = weight_type == UNWEIGHTED
    return {key: None if none else chosen[key] for key in ("distance_metric", "lambda_")}


def result_row(
    weight_type: str, metric: Any, lambda_: Any, sizes: dict[str, int], outcome: dict[str, Any]
) -> dict[str, Any]:
    """Make a row of the results, with the columns of semideep."""
    none = weight_type == UNWEIGHTED
    return {
        "weight_type": weight_type,
        "distance_metric": NOT_APPLICABLE if none else metric,
        "lambda": NOT_APPLICABLE if none else lambda_,
        "training_time": outcome["training_time"],
        "test_size": sizes["n_test"] / sum(sizes.values()),
        **outcome["scores"],
    }


def _full_row(run: dict[str, Any], name: str) -> dict[str, Any]:
    sizes = {key: run[key] for key in ("n_train", "n_val", "n_test")}
    return {
        **result_row(run["weight_type"], run["distance_metric"], run["lambda_"], sizes, run),
        "dataset": name,
        "seed": run["seed"],
        **sizes,
        "effective_share": effective_share(run),
    }


def _example_weights(
    model_factory: ModelFactory, X: np.ndarray, y: np.ndarray, done: list[dict[str, Any]]
) -> dict[str, Any]:
    """Weights of the first split's methods, and its rows, for the report's pictures."""
    first = done[0]
    split = make_split(X, y, first["test_size"], first["val_size"], first["seed"], first["scale"])
    drawn = {
        run["weight_type"]: runs.weights_of(
            model_factory, split, run["weight_type"], run["distance_metric"], run["lambda_"]
        )
        for run in done
        if run["weight_type"] != UNWEIGHTED
    }
    train, test = (X.reshape(len(X), -1) for X in (split.X_train, split.X_test))
    return {"X_train": train, "X_test": test, "by_method": drawn}
