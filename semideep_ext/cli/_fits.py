"""What `semideep train` trains, with one answer for networks and estimators alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from semideep_ext.cli._data import Data
from semideep_ext.cli._models import make_estimator, make_mlp

KERNEL = {"distance": "exponential", "idw": "inverse"}


@dataclass(frozen=True)
class Settings:
    """Options of the command."""

    model: str
    task: str
    weights: str  # "distance", "idw" or "none"
    metric: str
    lambda_: Any
    normalize: bool
    hidden: Sequence[int]
    epochs: int
    learning_rate: float
    batch_size: int
    device: str | None
    seed: int
    checkpoint: str | None
    resume: bool
    progress: bool


@dataclass(frozen=True)
class Fit:
    """Predictions for the test rows and how they came about."""

    classes: np.ndarray | None
    predictions: np.ndarray
    probabilities: np.ndarray | None
    sample_weights: np.ndarray | None
    history: dict[str, list[float]] = field(default_factory=dict)


def fit(data: Data, settings: Settings) -> Fit:
    """Train on the labelled rows and predict the test rows, whose labels take no part."""
    return (_fit_network if settings.model == "mlp" else _fit_estimator)(data, settings)


def _fit_network(data: Data, s: Settings) -> Fit:
    import torch

    from semideep_ext.training.callbacks import Checkpoint
    from semideep_ext.training.trainer import WeightedTrainer

    regression, labels = s.task == "regression", data.labels
    outputs = 1 if regression else len(np.unique(labels))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(s.seed)
        model = make_mlp(data.X.shape[1], s.hidden, outputs)
    trainer = WeightedTrainer(
        model,
        data.X,
        data.y,
        data.X_test,
        weights=None if s.weights == "none" else s.weights,
        distance_metric=s.metric,
        lambda_=s.lambda_,
        learning_rate=s.learning_rate,
        batch_size=s.batch_size,
        epochs=s.epochs,
        device=s.device,
        verbose=s.progress,
        task=s.task,
        seed=s.seed,
        normalize=s.normalize,
        callbacks=[] if s.checkpoint is None else [Checkpoint(s.checkpoint, resume=s.resume)],
    )
    history = {key: values for key, values in trainer.train().items() if values}
    p = None if regression else trainer.predict_proba(data.X_test)
    predictions = trainer.predict(data.X_test)
    return Fit(trainer.classes_, predictions, p, trainer.sample_weights, history)


def _fit_estimator(data: Data, s: Settings) -> Fit:
    from semideep_ext.estimators.weighted import (
        DistanceWeightedClassifier,
        DistanceWeightedRegressor,
    )

    model = make_estimator(s.model, s.task, s.seed)
    w = None
    if s.weights == "none":
        model.fit(data.X, data.y)
    else:
        options: dict[str, Any] = {"kernel": KERNEL[s.weights], "normalize": s.normalize}
        if s.task == "regression":
            weighted: Any = DistanceWeightedRegressor(model, s.metric, s.lambda_, **options)
        else:
            weighted = DistanceWeightedClassifier(
                model, s.metric, s.lambda_, unlabeled=None, **options
            )
        weighted.fit(data.X, data.y, X_unlabeled=data.X_test)
        model, w = weighted.estimator_, weighted.sample_weight_
    if s.checkpoint is not None:
        _save(model, data, s.checkpoint)
    p = model.predict_proba(data.X_test) if s.task == "classification" else None
    return Fit(getattr(model, "classes_", None), model.predict(data.X_test), p, w)


def _save(model: Any, data: Data, path: str) -> None:
    """Save what predicts from rows as they stand in the files, scaling included."""
    import joblib
    from sklearn.pipeline import make_pipeline

    from semideep_ext._files import write_atomically

    def write(f: IO[bytes]) -> None:
        joblib.dump(model if data.scaler is None else make_pipeline(data.scaler, model), f)

    write_atomically(path, write)
