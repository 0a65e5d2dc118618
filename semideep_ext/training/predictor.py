"""A model with its task: predictions and scores. `WeightedTrainer` adds the training."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semideep_ext._files import write_atomically
from semideep_ext._modules import COMPILED, evaluation_mode, unwrapped
from semideep_ext.op.arguments import describe
from semideep_ext.training.rows import DatasetRows, Rows, open_rows
from semideep_ext.training.tasks import Classification, Task
from semideep_ext.weighting.losses import WeightedLoss

_HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Predictor:
    """What `WeightedTrainer` can do with a model once it is trained."""

    model: nn.Module
    loss_fn: WeightedLoss
    classes_: np.ndarray | None
    rows: Rows  # the rows that are trained on
    _task: Task

    def _prepare_predictions(self, model: nn.Module, accelerator: Any, batch_size: int) -> None:
        self.device: torch.device = accelerator.device
        self.precision: str = accelerator.mixed_precision  # "no", "fp16" or "bf16"
        self.batch_size = batch_size
        floats = (p.dtype for p in model.parameters() if p.is_floating_point())
        self._dtype = next(floats, torch.float32)
        lookups = (nn.Embedding, nn.EmbeddingBag)
        self._looks_up = any(isinstance(module, lookups) for module in model.modules())

    def evaluate(self, X: Any, y: Any = None, return_predictions: bool = False) -> Any:
        """Score the model on labelled rows.

        Parameters
        ----------
        X, y : array-like, shapes (N, D) and (N,)
            Or a Dataset or DataLoader of pairs as X alone; of a DataLoader, the order is not used.
        return_predictions : bool, default False

        Returns
        -------
        dict of float, or (dict, result of `predict`, result of `predict_proba`)
            val_loss (unweighted), accuracy, precision, recall, f1, auc. With two classes the last
            four are about the second of `classes_`; with more, precision, recall and f1 are means
            weighted by class frequency and auc is the mean over the classes in y, each against
            the rest. auc is NaN if y holds one class only. With several labels per row accuracy
            asks for all of them, and the others are means over labels. Regression: val_loss, mse,
            mae, r2, and the predictions twice.

        Raises
        ------
        ValueError
            If y holds a label that y_train does not.
        """
        scores, p = self._score(*self._labelled(X, y, "X", "y"), self.evaluated_model)
        return (scores, self._task.decide(p), p) if return_predictions else scores

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels, in the labels of y_train, (N,); 0 or 1 per label, (N, L); or numbers."""
        return self._task.decide(self._predict(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities in the order of `classes_`; shape (N, n_classes).

        Outputs beyond the classes of y_train were never trained and take no part. Of several labels
        per row, the probability of each.
        """
        if self.classes_ is None:
            raise ValueError("a regression has no probabilities; use predict")
        return self._predict(X)

    def _predict(self, X: Any) -> np.ndarray:
        return self.predicted(self._batches(self._open(X, "X")))

    def predicted(self, batches: Iterable[Tensor]) -> np.ndarray:
        """Predict batches of rows on the device: probabilities or numbers."""
        model = self.evaluated_model
        with evaluation_mode(model):
            return self._joined(self.predictions(self.outputs(model, x)) for x in batches)

    def predictions(self, outputs: Tensor) -> Tensor:
        """Turn outputs into probabilities, (n, n_classes), or into numbers."""
        return self._task.predict(outputs, self.loss_fn.base_loss)

    def logits(self, outputs: Tensor) -> Tensor:
        """Turn outputs of a classification into one logit per class, (n, n_classes)."""
        assert isinstance(self._task, Classification)
        return self._task.logits(outputs, self.loss_fn.base_loss)

    @property
    def evaluated_model(self) -> nn.Module:
        """The model that predicts and is scored."""
        return self.model

    def save_model(self, path: str | os.PathLike[str]) -> None:
        """Save the state_dict of the model that predicts: the whole file or none of it.

        That of a compiled model is that of the model before `torch.compile`, and loads into both.
        """
        state = unwrapped(self.evaluated_model).state_dict()
        write_atomically(path, lambda f: torch.save(state, f))

    def load_model(self, path: str | os.PathLike[str]) -> None:
        """Load a state_dict as `save_model` writes it; other pickled objects are refused."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        state = {name.removeprefix(f"{COMPILED}."): tensor for name, tensor in state.items()}
        for model in {unwrapped(self.model), unwrapped(self.evaluated_model)}:
            model.load_state_dict(state)

    def outputs(self, model: nn.Module, x: Tensor) -> Tensor:
        """Run the model, and check that its outputs are those of the task."""
        half = _HALF.get(self.precision)
        with torch.autocast(self.device.type, half, enabled=half is not None):
            outputs: Any = model(x)
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
            raise ValueError(
                f"{describe('what the model gives', outputs)}; allowed is one tensor of floating "
                "point: let forward return that alone, such as outputs[0] or outputs.logits"
            )
        return self._task.check(outputs.to(self._loss_dtype), self.loss_fn.base_loss)

    def _with_model(self, model: nn.Module) -> Predictor:
        """Give what predicts by another model of the same task."""
        other = Predictor()
        vars(other).update(vars(self), model=model)
        return other

    @property
    def _loss_dtype(self) -> torch.dtype:
        """Losses and scores are computed in float32 at least, whatever the model computes in."""
        return torch.promote_types(self._dtype, torch.float32)

    def _score(
        self, rows: Rows, y: Tensor, model: nn.Module
    ) -> tuple[dict[str, float], np.ndarray]:
        """Scores and predictions of rows of which y holds the targets."""
        total, predicted, targets = 0.0, [], y.split(self.batch_size)
        with evaluation_mode(model):
            for x, target in zip(self._batches(rows), targets, strict=True):
                outputs = self.outputs(model, x)
                total += self.loss_fn.total(self.loss_fn(outputs, target), len(target)).item()
                predicted.append(self.predictions(outputs))
        p = self._joined(predicted)
        return {"val_loss": total / len(y), **self._task.scores(y.cpu().numpy(), p)}, p

    def _batches(self, rows: Rows) -> Iterator[Tensor]:
        return rows.batches(torch.arange(len(rows)).split(self.batch_size))

    def _joined(self, parts: Iterable[Tensor]) -> np.ndarray:
        """Predictions of all rows, which are refused if some are no numbers."""
        joined: np.ndarray = torch.cat(list(parts)).cpu().numpy()
        bad = np.flatnonzero(~np.isfinite(joined).reshape(len(joined), -1).all(1))
        if bad.size:
            raise ValueError(
                f"the model's outputs for row {bad[0]} ({bad.size} of {len(joined)} rows) are NaN "
                "or infinite, so that nothing can be predicted from them: the training diverged, "
                "or its parameters did not fit their dtype"
            )
        return joined

    def _open(self, X: Any, name: str) -> Rows:
        rows = open_rows(X, name, self.device, self._dtype, self._looks_up)
        rows.check_like(getattr(self, "rows", rows))
        return rows

    def _labelled(self, X: Any, y: Any, X_name: str, y_name: str) -> tuple[Rows, Tensor]:
        rows = None if X is None else self._open(X, X_name)
        if y is None and isinstance(rows, DatasetRows):
            y = rows.labels()
        if rows is None or y is None:
            raise ValueError(f"give both {X_name} and {y_name}, or neither")
        return rows, self._targets(y, len(rows), y_name)

    def _targets(self, y: Any, n: int, name: str) -> Tensor:
        targets = self._task.targets(y, n, name)
        dtype = self._loss_dtype if targets.is_floating_point() else targets.dtype
        return targets.to(self.device, dtype)
