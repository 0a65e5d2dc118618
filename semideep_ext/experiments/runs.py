"""One run of an experiment: choose the weighting, or train and score.

The labels of the test rows are read in one place: where `fit_and_score` calls `evaluate`. All that
comes before sees training rows, their labels, and test rows without labels.
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from semideep_ext.experiments.splits import Split, make_split
from semideep_ext.training.trainer import WeightedTrainer
from semideep_ext.weighting.diagnostics import WeightsWarning, diagnose_weights

ModelFactory = Callable[[], nn.Module]
WEIGHT_TYPES = ("none", "distance", "idw")
TUNING = "tuning"


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed torch and leave it one thread, so that bits depend on nothing else; then as before.

    torch splits sums between threads, and a sum in another order has other bits.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def fit_and_score(
    model_factory: ModelFactory,
    split: Split,
    weight_type: str,
    distance_metric: str,
    lambda_: float,
    seed: int,
    *,
    learning_rate: float,
    batch_size: int,
    epochs: int,
    device: str | torch.device,
    verbose: bool = False,
) -> dict[str, Any]:
    """Train a new model and score it on the test rows.

    Every weight_type of one seed starts from the same parameters and sees the same batches.

    Returns
    -------
    dict
        scores, history, weights (None or their diagnostics), training_time in seconds, notes (texts
        of warnings about the weights).
    """
    if weight_type not in WEIGHT_TYPES:
        raise ValueError(
            f"weight_type={weight_type!r}: choose one of {', '.join(map(repr, WEIGHT_TYPES))}"
        )
    with reproducible(seed), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeightsWarning)
        trainer = WeightedTrainer(
            model_factory(),
            split.X_train,
            split.y_train,
            split.X_test,
            weights=None if weight_type == "none" else weight_type,
            distance_metric=distance_metric,
            lambda_=lambda_,
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
            weights=weight_type,
            distance_metric=distance_metric,
            lambda_=lambda_,
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
        distance_metric, lambda_, score (the mean over folds), training_time in seconds and notes.
    """
    from semideep_ext.estimators.selection import select_best_distance_metric

    with reproducible(seed), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeightsWarning)
        start = time.perf_counter()
        metric, lambda_, score = select_best_distance_metric(
            model_factory,
            split.X_train,
            split.y_train,
            split.X_test,
            metrics=metrics,
            lambda_values=lambda_values,
            cv=cv,
            verbose=False,
            normalize=False,  # as the weights that the chosen pair is then trained with
            random_state=seed,
            **training,
        )
    return {
        "distance_metric": str(metric),
        "lambda_": float(lambda_),
        "score": float(score),
        "training_time": time.perf_counter() - start,
        "notes": _notes(caught),
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
        spec["distance_metric"] or "euclidean",  # neither is read for unweighted runs
        spec["lambda_"] or 0.8,
        spec["seed"],
        **training,
    )
    return {**outcome, **split.sizes}


def fingerprint(model_factory: ModelFactory, X: np.ndarray, y: np.ndarray) -> str:
    """Hash what a run starts from: rows, labels, the new model's parameters and first outputs.

    A sweep is resumed only where this is the same. It also finds a model_factory whose models are
    not new, which would go on training where another run stopped.

    Raises
    ------
    ValueError
        If model_factory returns anything but a new nn.Module that takes such rows.
    """
    with reproducible(0):
        model = model_factory()
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"model_factory returned a {type(model).__name__}: return a torch.nn.Module"
            )
        if model_factory() is model:
            raise ValueError(
                "model_factory returned the same model twice, so a run would go on training the "
                "model of another: build the model inside the function"
            )
        model = model.cpu().eval()
        try:
            with torch.no_grad():
                outputs = model(torch.tensor(X[:8], dtype=torch.float32))
        except RuntimeError as error:
            raise ValueError(
                f"the model of model_factory does not take rows of shape {X.shape[1:]} ({error}): "
                "make it for that many features"
            ) from error
    parts = [repr(model).encode(), np.ascontiguousarray(X).tobytes(), repr(y.tolist()).encode()]
    parts += [t.detach().numpy().tobytes() for t in (*model.state_dict().values(), outputs)]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]


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
