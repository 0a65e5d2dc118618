"""One run of an experiment: choose the weighting, or train and score.

The labels of the test rows are read in one place: where `fit_and_score` calls `evaluate`. All that
comes before sees training rows, their labels, and test rows without labels.
"""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import numpy as np
import torch

from semideep_ext.experiments.reproducible import ModelFactory, reproducible
from semideep_ext.experiments.splits import Split, make_split
from semideep_ext.training.trainer import WeightedTrainer
from semideep_ext.weighting.diagnostics import WeightsWarning, diagnose_weights
from semideep_ext.weighting.weightings import check_weighting

TUNING = "tuning"


def fit_and_score(
    model_factory: ModelFactory,
    split: Split,
    weight_type: str,
    distance_metric: str | None,
    lambda_: float | None,
    seed: int,
    *,
    learning_rate: float,
    batch_size: int,
    epochs: int,
    device: str | torch.device,
    verbose: bool = False,
) -> dict[str, Any]:
    """Train a new model and score it on the test rows.

    Every weight_type of one seed starts from the same parameters and sees the same batches. Metric
    and lambda are not read without weights.

    Returns
    -------
    dict
        scores, history, weights (None or their diagnostics), training_time in seconds, notes (texts
        of warnings about the weights).
    """
    with reproducible(seed), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeightsWarning)
        trainer = WeightedTrainer(
            model_factory(),
            split.X_train,
            split.y_train,
            split.X_test,
            **_weighting(weight_type, distance_metric, lambda_),
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            device=device,
            verbose=verbose,
        )
        start = time.perf_counter()
        history = trainer.train(split.X_val, split.y_val)
        training_time = time.perf_counter() - start
        scores = trainer.evaluate(split.X_test, split.y_test)
    w = trainer.sample_weights
    return {
        "scores": scores,
        "history": {key: list(values) for key, values in history.items() if len(values)},
        "weights": None if w is None else _describe(w),
        "training_time": training_time,
        "notes": _notes(caught),
    }


def _weighting(weight_type: str, metric: str | None, lambda_: float | None) -> dict[str, Any]:
    """Make arguments of the trainer."""
    if check_weighting(weight_type).kernel is None:
        return {"weights": None}
    return {"weights": weight_type, "distance_metric": metric, "lambda_": lambda_}


def weights_of(
    model_factory: ModelFactory,
    split: Split,
    weight_type: str,
    distance_metric: str,
    lambda_: float,
) -> np.ndarray:
    """Compute the weights that `fit_and_score` trains with; shape (n_train,)."""
    with reproducible(0), warnings.catch_warnings():  # the runs have given these warnings
        warnings.simplefilter("ignore", WeightsWarning)
        trainer = WeightedTrainer(
            model_factory(),
            split.X_train,
            split.y_train,
            split.X_test,
            **_weighting(weight_type, distance_metric, lambda_),
            epochs=0,
            device="cpu",
            verbose=False,
        )
    return np.asarray(trainer.sample_weights)


def tune(
    model_factory: ModelFactory,
    split: Split,
    metrics: list[str],
    lambda_values: list[float | str],
    seed: int,
    *,
    cv: int,
    **training: Any,
) -> dict[str, Any]:
    """Choose metric and lambda by cross-validation over the training rows; see `selection`.

    Returns
    -------
    dict
        distance_metric, lambda_ and score (the mean over folds) of the best weighting, also where
        weighting, the answer, is "none"; training_time in seconds and notes.
    """
    from semideep_ext.estimators.selection import select_best_distance_metric

    with reproducible(seed), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeightsWarning)
        start = time.perf_counter()
        found = select_best_distance_metric(
            model_factory,
            split.X_train,
            split.y_train,
            split.X_test,
            metrics=metrics,
            lambda_values=lambda_values,
            cv=cv,
            verbose=False,
            random_state=seed,
            **training,
        )
    return {
        "distance_metric": str(found.metric),
        "lambda_": float(found.lambda_),
        "score": float(found.score),
        "weighting": found.weighting,  # which the report counts over splits
        "training_time": time.perf_counter() - start,
        "notes": [note for note in _notes(caught) if note != found.sentence],
    }


def execute(
    model_factory: ModelFactory, X: np.ndarray, y: np.ndarray, spec: dict[str, Any]
) -> dict[str, Any]:
    """Do what a spec of `experiment` asks; deterministic but for training_time."""
    split = make_split(X, y, spec["test_size"], spec["val_size"], spec["seed"], scale=spec["scale"])
    training = {key: spec[key] for key in ("learning_rate", "batch_size", "epochs", "device")}
    if spec["weight_type"] == TUNING:
        asked = {key: spec[key] for key in ("metrics", "lambda_values", "seed", "cv")}
        return {**tune(model_factory, split, **asked, **training), **split.sizes}
    outcome = fit_and_score(
        model_factory,
        split,
        spec["weight_type"],
        spec["distance_metric"],
        spec["lambda_"],
        spec["seed"],
        **training,
    )
    return {**outcome, **split.sizes}


def _describe(w: np.ndarray) -> dict[str, Any]:
    d = diagnose_weights(w)
    return {
        "effective_share": d.effective_sample_size / d.n,
        "min_by_mean": d.min / d.mean if d.mean > 0 else math.nan,
        "max_by_mean": d.max / d.mean if d.mean > 0 else math.nan,
        "top_share": d.top_share,
        "problems": list(d.problems),
    }


def _notes(caught: list[warnings.WarningMessage]) -> list[str]:
    """Texts of the warnings about weights; the others are given again."""
    for other in caught:
        if not issubclass(other.category, WeightsWarning):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    about_weights = (str(w.message) for w in caught if issubclass(w.category, WeightsWarning))
    return list(dict.fromkeys(about_weights))
