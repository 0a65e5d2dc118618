"""Train a classifier with one weight per training row.

`WeightedTrainer` is the method of arXiv 2505.14345 from end to end: weights from distances to the
unlabelled test rows, the weighted loss, a plain mini-batch loop, and scores per epoch.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semideep_ext._files import write_atomically
from semideep_ext._inputs import check_columns, column_names
from semideep_ext._training_data import check_features, check_labels
from semideep_ext.diagnostics import check_weights, warn_if_degenerate
from semideep_ext.functional import distance_weights
from semideep_ext.losses import WeightedCrossEntropyLoss, WeightedLoss

KERNELS = {"distance": "exponential", "idw": "inverse"}


class WeightedTrainer:
    """Train a model with weighted rows, and score it.

    Parameters
    ----------
    model : nn.Module
        Gives (N, K) logits with K >= the number of classes, or (N,) or (N, 1) for two classes.
    X_train : array, DataFrame or Tensor, shape (N, D)
    y_train : array-like, shape (N,)
        Labels of any type that sorts; `classes_` holds the distinct ones in order.
    X_test : array, DataFrame or Tensor, shape (M, D), optional
        Unlabelled rows; required for weights "distance" and "idw".
    weights : {"distance", "idw"}, array-like of shape (N,) or None, default "distance"
        (1/M) sum_j exp(-lambda d), (1/M) sum_j 1/(d + 1e-3), given weights, or no weighting.
    distance_metric : str or callable, default "euclidean"
    lambda_ : float, default 0.8
    loss_fn : nn.Module or callable, optional
        A `WeightedLoss`, or any loss that `WeightedLoss` can wrap. Default cross entropy.
    optimizer : torch.optim.Optimizer, optional
        Default Adam over the model's parameters.
    learning_rate : float, default 0.001
        For the default optimizer.
    batch_size : int, default 32
        Largest batch. Batches are of equal size to within one row, never a single leftover row.
    epochs : int, default 100
    device : str or torch.device, optional
        Default "cuda" if available, else "cpu".
    verbose : bool, default True
        Show one progress bar over the epochs.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    sample_weights : ndarray of shape (N,), or None
    history : dict of lists
        Per epoch: train_loss, and with validation rows val_loss, accuracy, precision, recall, f1
        and auc.

    Raises
    ------
    ValueError
        For an unknown weights string, a missing X_test, widths or lengths that differ, weights
        that are not N finite values >= 0, or rows that hold NaN or infinity (row and column named).

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> X = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    >>> model = nn.Linear(1, 2)
    >>> trainer = WeightedTrainer(model, X, list("aabb"), X, learning_rate=0.1, verbose=False)
    >>> history = trainer.train()
    >>> trainer.predict(X)
    array(['a', 'a', 'b', 'b'], dtype='<U1')
    """

    def __init__(
        self,
        model: nn.Module,
        X_train: Any,
        y_train: Any,
        X_test: Any = None,
        weights: Any = "distance",
        distance_metric: Any = "euclidean",
        lambda_: float = 0.8,
        loss_fn: Any = None,
        optimizer: torch.optim.Optimizer | None = None,
        learning_rate: float = 0.001,
        batch_size: int = 32,
        epochs: int = 100,
        device: str | torch.device | None = None,
        verbose: bool = True,
    ) -> None:
        for name, value, least in (("batch_size", batch_size, 1), ("epochs", epochs, 0)):
            if not isinstance(value, numbers.Integral) or value < least:
                raise ValueError(f"{name}={value!r}: give a whole number >= {least}")
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.batch_size, self.epochs, self.verbose = batch_size, epochs, verbose

        features, self._columns = check_features(X_train, "X_train"), column_names(X_train)
        labels = check_labels(y_train, len(features), "y_train")
        self.classes_ = np.unique(labels)
        self._width = features.shape[1:]
        self._X, self._y = self._rows(features), self._targets(labels, "y_train")

        self.sample_weights = self._weights(weights, features, X_test, distance_metric, lambda_)
        w = self.sample_weights
        self._w = None if w is None else torch.tensor(w, dtype=torch.float32, device=self.device)

        self.model = model.to(self.device)
        loss = WeightedCrossEntropyLoss() if loss_fn is None else loss_fn
        self.loss_fn = (loss if isinstance(loss, WeightedLoss) else WeightedLoss(loss)).to(
            self.device
        )
        if self.loss_fn.reduction == "none":
            raise ValueError("loss_fn has reduction='none', which gives no single loss to minimise")
        self.optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=learning_rate)
        keys = ("train_loss", "val_loss", "accuracy", "precision", "recall", "f1", "auc")
        self.history: dict[str, list[float]] = {key: [] for key in keys}

    def train(self, X_val: Any = None, y_val: Any = None) -> dict[str, list[float]]:
        """Train for `epochs` epochs; a second call goes on from there.

        Parameters
        ----------
        X_val, y_val : array-like, shapes (V, D) and (V,), optional
            Scored after each epoch, with the model in evaluation mode.

        Returns
        -------
        dict of lists
            `history`. train_loss is the mean over rows of the weighted loss, val_loss the mean
            over rows of the unweighted one.
        """
        if (X_val is None) != (y_val is None):
            raise ValueError("give both X_val and y_val, or neither")
        validation = None if X_val is None else self._labelled(X_val, y_val, "X_val", "y_val")
        epochs: Iterable[int] = range(self.epochs)
        if self.verbose:
            epochs = _progress_bar(epochs)
        for _ in epochs:
            self.history["train_loss"].append(self._train_epoch())
            if validation is not None:
                scores, *_rest = self._score(*validation)
                for key, value in scores.items():
                    self.history[key].append(value)
            if self.verbose:
                last = {key: values[-1] for key, values in self.history.items() if values}
                shown = {k: last[k] for k in ("train_loss", "val_loss", "accuracy") if k in last}
                epochs.set_postfix(shown)  # type: ignore[attr-defined]
        return self.history

    def _train_epoch(self) -> float:
        self.model.train()
        n = len(self._X)
        # Equal batches: a leftover batch of one row would break batch normalisation.
        batches = torch.randperm(n).to(self.device).tensor_split(math.ceil(n / self.batch_size))
        total = torch.zeros((), device=self.device)  # read once per epoch: .item() waits for a GPU
        for rows in batches:
            w = None if self._w is None else self._w[rows]
            loss = self.loss_fn(self._outputs(self._X[rows]), self._y[rows], w)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += self._sum(loss.detach(), len(rows))
        return total.item() / n

    def evaluate(self, X: Any, y: Any, return_predictions: bool = False) -> Any:
        """Score the model on labelled rows.

        Parameters
        ----------
        X, y : array-like, shapes (N, D) and (N,)
        return_predictions : bool, default False

        Returns
        -------
        dict of float, or (dict, ndarray of labels, ndarray of shape (N, n_classes))
            val_loss (unweighted), accuracy, precision, recall, f1, auc. With two classes the last
            four are about the second of `classes_`; with more, precision, recall and f1 are means
            weighted by class frequency and auc is the mean over the classes in y, each against
            the rest. auc is NaN if y holds one class only.

        Raises
        ------
        ValueError
            If y holds a label that y_train does not.
        """
        scores, predicted, probabilities = self._score(*self._labelled(X, y, "X", "y"))
        return (scores, self.classes_[predicted], probabilities) if return_predictions else scores

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels, in the labels of y_train; shape (N,)."""
        return self.classes_[self.predict_proba(X).argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities in the order of `classes_`; shape (N, n_classes).

        Outputs beyond the classes of y_train were never trained and take no part.
        """
        with _evaluation_mode(self.model):
            batches = self._unlabelled(X, "X").split(self.batch_size)
            return torch.cat([self._probabilities(self._outputs(x)) for x in batches]).cpu().numpy()

    def save_model(self, path: str | os.PathLike[str]) -> None:
        """Save the model's state_dict: the whole file or, whatever happens, none of it."""
        write_atomically(path, lambda f: torch.save(self.model.state_dict(), f))

    def load_model(self, path: str | os.PathLike[str]) -> None:
        """Load a state_dict as `save_model` writes it; other pickled objects are refused."""
        self.model.load_state_dict(torch.load(path, map_location=self.device, weights_only=True))

    def _score(self, X: Tensor, y: Tensor) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
        total, probabilities = 0.0, []
        with _evaluation_mode(self.model):
            for x, target in zip(X.split(self.batch_size), y.split(self.batch_size), strict=True):
                outputs = self._outputs(x)
                total += self._sum(self.loss_fn(outputs, target, None), len(x)).item()
                probabilities.append(self._probabilities(outputs))
        p = torch.cat(probabilities).cpu().numpy()
        predicted = p.argmax(1)
        return {"val_loss": total / len(X), **_scores(y.cpu().numpy(), predicted, p)}, predicted, p

    def _outputs(self, x: Tensor) -> Tensor:
        """Run the model and check that it has an output for every class."""
        outputs: Tensor = self.model(x)
        n, shape = len(self.classes_), tuple(outputs.shape)
        if _one_logit(outputs):
            if n != 2 or isinstance(self.loss_fn.base_loss, nn.CrossEntropyLoss):
                raise ValueError(
                    f"the model has one output (shape {shape}) and y_train {n} classes; one output "
                    "needs two classes and loss_fn=WeightedBCEWithLogitsLoss(); otherwise give the "
                    "model one output per class"
                )
        elif outputs.ndim != 2 or shape[1] < n:
            raise ValueError(
                f"the model's output has shape {shape}; y_train has {n} classes, so allowed is "
                f"(N, K) with K >= {n}: change the last layer"
            )
        return outputs

    def _sum(self, loss: Tensor, n: int) -> Tensor:
        return loss * n if self.loss_fn.reduction == "mean" else loss

    def _probabilities(self, outputs: Tensor) -> Tensor:
        if _one_logit(outputs):
            is_probability = isinstance(self.loss_fn.base_loss, nn.BCELoss)
            p = outputs.reshape(-1) if is_probability else outputs.reshape(-1).sigmoid()
            return torch.stack([1 - p, p], dim=1)
        return outputs[:, : len(self.classes_)].softmax(1)

    def _rows(self, features: np.ndarray) -> Tensor:
        return torch.tensor(features, dtype=torch.float32, device=self.device)

    def _targets(self, labels: np.ndarray, name: str) -> Tensor:
        index = {label: i for i, label in enumerate(self.classes_.tolist())}
        labels = labels.tolist()
        unseen = sorted({label for label in labels if label not in index}, key=repr)
        if unseen:
            raise ValueError(
                f"{name} holds labels that y_train does not: {unseen[:5]}; y_train has "
                f"{self.classes_.tolist()[:20]}; train with every class, or leave those rows out"
            )
        return torch.tensor([index[label] for label in labels], device=self.device)

    def _unlabelled(self, X: Any, name: str) -> Tensor:
        check_columns(name, column_names(X), "X_train", self._columns)
        features = check_features(X, name)
        if features.shape[1:] != self._width:
            raise ValueError(
                f"{name} has shape {features.shape}, X_train rows have shape {self._width}"
            )
        return self._rows(features)

    def _labelled(self, X: Any, y: Any, X_name: str, y_name: str) -> tuple[Tensor, Tensor]:
        rows = self._unlabelled(X, X_name)
        return rows, self._targets(check_labels(y, len(rows), y_name), y_name)

    def _weights(
        self, weights: Any, features: np.ndarray, X_test: Any, metric: Any, lambda_: float
    ) -> np.ndarray | None:
        if weights is None:
            return None
        if not isinstance(weights, str):
            given = check_weights(weights, "weights", len(features))
            if not given.any():
                raise ValueError("weights are all 0, so nothing would be trained; give others")
            return given
        if weights not in KERNELS:
            raise ValueError(
                f"weights={weights!r}: choose 'distance', 'idw', an array of one weight per row, "
                "or None for unweighted training"
            )
        if X_test is None:
            raise ValueError(f"weights={weights!r} needs X_test, the unlabelled rows to resemble")
        check_columns("X_test", column_names(X_test), "X_train", self._columns)
        test = check_features(X_test, "X_test")
        if features.ndim != 2 or test.shape[1:] != features.shape[1:]:
            raise ValueError(
                f"X_train has shape {features.shape} and X_test {test.shape}; distances need 2-d "
                "arrays with the same columns"
            )
        dtype = np.result_type(features, test)
        x, y = (torch.from_numpy(a.astype(dtype)).to(self.device) for a in (features, test))
        kernel = KERNELS[weights]
        w: np.ndarray = distance_weights(x, y, metric, lambda_, kernel=kernel).cpu().numpy()
        warn_if_degenerate(w, metric, kernel)
        return w


def _progress_bar(epochs: Iterable[int]) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "the progress bar needs tqdm: pip install semideep_ext[train], or verbose=False"
        ) from error
    return tqdm(epochs, desc="epochs")


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluate without gradients; then put each module back as it was, frozen ones included."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _one_logit(outputs: Tensor) -> bool:
    return outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1)


def _scores(y: np.ndarray, predicted: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """Scores of predicted class numbers (N,) and probabilities (N, n_classes)."""
    from sklearn import metrics  # here, since it takes longer to import than torch's parts

    classes = range(p.shape[1])
    average = {"average": "binary"} if len(classes) == 2 else {"average": "weighted"}
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        y, predicted, zero_division=0, **average
    )
    present = np.unique(y)
    auc = math.nan
    if len(present) > 1 and np.isfinite(p).all():  # a diverged model gives NaN
        scored = [1] if len(classes) == 2 else present
        auc = float(np.mean([metrics.roc_auc_score(y == k, p[:, k]) for k in scored]))
    return {
        "accuracy": float((y == predicted).mean()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "auc": auc,
    }
