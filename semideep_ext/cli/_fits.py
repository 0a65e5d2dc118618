"""What `semideep train` trains, with one answer for networks and estimators alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from semideep_ext.cli._data import Data
from semideep_ext.cli._models import make_estimator, make_mlp
from semideep_ext.weighting.weightings import UNWEIGHTED, WEIGHTINGS


@dataclass(frozen=True)
class Settings:
    """Options of the command."""

    model: str
    task: str
    weights: str  # a name in WEIGHTINGS
    metric: str
    lambda_: float | str  # "median" only where nothing is weighed
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
    method: str | None = None  # a name in METHODS

    def unweighted(self) -> Settings:
        """Give those of the same model without weights and method; it leaves no file."""
        return dataclasses.replace(
            self, weights=UNWEIGHTED, method=None, checkpoint=None, resume=False
        )


@dataclass(frozen=True)
class Fit:
    """Predictions for the test rows and how they came about."""

    classes: np.ndarray | None
    predictions: np.ndarray
    probabilities: np.ndarray | None
    sample_weights: np.ndarray | None
    history: dict[str, list[float]] = field(default_factory=dict)
    supervised: Fit | None = None  # of the twin that was trained without the method

    def columns(self) -> dict[str, np.ndarray]:
        """Give predictions and probabilities by the names that files give them."""
        columns = {"prediction": self.predictions}
        if self.probabilities is not None and self.classes is not None:
            for label, p in zip(self.classes.tolist(), self.probabilities.T, strict=True):
                columns[f"probability_{label}"] = p
        return columns

    def diagnostics(self) -> dict[str, Any] | None:
        """Say what the weights amount to, if there are any."""
        from semideep_ext.weighting.diagnostics import diagnose_weights

        w = self.sample_weights
        return None if w is None else dataclasses.asdict(diagnose_weights(w))


def fit(data: Data, settings: Settings) -> Fit:
    """Train on the labelled rows and predict the test rows, whose labels take no part."""
    return (_fit_network if settings.model == "mlp" else _fit_estimator)(data, settings)


def score(data: Data, fitted: Fit, task: str) -> dict[str, float] | None:
    """Score predictions by the test rows' labels, as `WeightedTrainer.evaluate` does."""
    if data.test_labels is None:
        return None
    from semideep_ext.training.tasks import TASKS

    labels, given = data.test_labels.values, data.test_labels.given
    scorer = TASKS[task](data.labels, len(data.X), "the training labels")
    targets = scorer.targets(labels, len(labels), "the labels of the test rows").numpy()
    p = fitted.predictions if fitted.probabilities is None else fitted.probabilities
    return scorer.scores(targets, p[given])


def _fit_network(data: Data, s: Settings) -> Fit:
    """Train a network; one that predicts numbers learns them with mean 0 and deviation 1.

    A step of the optimizer changes an output by about the learning rate, whatever the unit of the
    labels: those of the diabetes data, around 150, are out of reach of 50 passes at 0.01.
    """
    import torch

    from semideep_ext.training.callbacks import Checkpoint
    from semideep_ext.training.predictor import Predictor
    from semideep_ext.training.trainer import WeightedTrainer

    regression, labels = s.task == "regression", data.labels
    center, scale = (labels.mean(), labels.std() or 1.0) if regression else (0.0, 1.0)
    outputs = 1 if regression else len(np.unique(labels))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(s.seed)
        model = make_mlp(data.X.shape[1], s.hidden, outputs)
    trainer = WeightedTrainer(
        model,
        data.X,
        (labels - center) / scale if regression else labels,
        data.resembled if s.method is None else data.others,
        weights=None if s.weights == UNWEIGHTED else s.weights,
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
        method=s.method,
        X_unlabeled=None if s.method is None else data.unlabelled,
        callbacks=[] if s.checkpoint is None else [Checkpoint(s.checkpoint, resume=s.resume)],
    )
    history = {key: values for key, values in trainer.train().items() if values}

    def fitted(predictor: Predictor) -> Fit:
        p = None if regression else predictor.predict_proba(data.test_rows)
        predictions = predictor.predict(data.test_rows)
        if regression:
            predictions = predictions.astype(np.float64) * scale + center
        return Fit(trainer.classes_, predictions, p, trainer.sample_weights)

    twin = trainer.supervised_twin
    supervised = None if twin is None else fitted(twin)
    return dataclasses.replace(fitted(trainer), history=history, supervised=supervised)


def _fit_estimator(data: Data, s: Settings) -> Fit:
    from semideep_ext.estimators.weighted import (
        DistanceWeightedClassifier,
        DistanceWeightedRegressor,
    )

    model = make_estimator(s.model, s.task, s.seed)
    w = None
    if s.weights == UNWEIGHTED:
        model.fit(data.X, data.y)
    else:
        options: dict[str, Any] = {"kernel": WEIGHTINGS[s.weights].kernel, "normalize": s.normalize}
        if s.task == "regression":
            weighted: Any = DistanceWeightedRegressor(model, s.metric, s.lambda_, **options)
        else:
            weighted = DistanceWeightedClassifier(
                model, s.metric, s.lambda_, unlabeled=None, **options
            )
        weighted.fit(data.X, data.y, X_unlabeled=data.resembled)
        model, w = weighted.estimator_, weighted.sample_weight_
    if s.checkpoint is not None:
        _save(model, data, s.checkpoint)
    p = model.predict_proba(data.test_rows) if s.task == "classification" else None
    return Fit(getattr(model, "classes_", None), model.predict(data.test_rows), p, w)


def _save(model: Any, data: Data, path: str) -> None:
    """Save what predicts from rows as they stand in the files, scaling included."""
    import joblib
    from sklearn.pipeline import make_pipeline

    from semideep_ext._files import write_atomically

    def write(f: IO[bytes]) -> None:
        joblib.dump(model if data.scaler is None else make_pipeline(data.scaler, model), f)

    write_atomically(path, write)
