"""What differs between classification, multi-label classification and regression.

Each class has the default loss, turns labels into targets and outputs into predictions, and scores
them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semideep_ext.ssl.outputs import class_logits
from semideep_ext.training.scores import CLASSIFICATION, REGRESSION, label_scores, number_scores
from semideep_ext.weighting.checks import as_numbers, check_labels, check_numbers
from semideep_ext.weighting.labels import labeled_rows, rows_with_targets
from semideep_ext.weighting.losses import REGRESSION_LOSSES

# Grades such as 0.5, 1.0, ... 10.0 are classes; more different fractions are measurements.
MOST_FRACTIONS = 20
_ONE_LABEL_LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)


class ClassificationLoss(nn.CrossEntropyLoss):
    """Cross entropy of one logit per class, or of the one logit of a binary head."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses, one per row for reduction "none"."""
        if not _one_output(logits):
            return super().forward(logits, targets)
        logits = logits.reshape(-1)
        return nn.functional.binary_cross_entropy_with_logits(
            logits, targets.to(logits.dtype), reduction=self.reduction
        )


def _rows_of_numbers(y: np.ndarray, unlabeled: Any) -> np.ndarray:
    """Tell which rows have numbers, (N,): NaN marks the unlabelled ones, whatever marks classes."""
    return rows_with_targets(as_numbers(y, "y_train"))


class Classification:
    """One label per row, of any type that sorts."""

    score_names = CLASSIFICATION
    default_loss = ClassificationLoss

    @staticmethod
    def labeled(y: np.ndarray, unlabeled: Any) -> np.ndarray:
        """Tell which rows have a label, (N,)."""
        return labeled_rows(y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y, unlabeled)

    def __init__(self, y: Any, n: int, name: str) -> None:
        labels = check_labels(y, n, name)
        try:
            self.classes_ = np.unique(labels)
        except TypeError as error:
            types = sorted({type(label).__name__ for label in labels.tolist()})
            raise ValueError(
                f"{name} holds labels of types that do not sort together: {', '.join(types)}; give "
                f"labels of one type, for example [str(label) for label in {name}]"
            ) from error
        fractions = labels.dtype.kind == "f" and (self.classes_ != np.floor(self.classes_)).any()
        if fractions and len(self.classes_) > MOST_FRACTIONS:
            raise ValueError(
                f"{name} holds {len(self.classes_)} different numbers with fractions, such as "
                f"{self.classes_[0]} and {self.classes_[1]}, which are no classes: for numbers to "
                "predict say task='regression'"
            )

    def targets(self, y: Any, n: int, name: str) -> Tensor:
        """Numbers of the classes, (n,)."""
        index = {label: i for i, label in enumerate(self.classes_.tolist())}
        labels = check_labels(y, n, name).tolist()
        unseen = sorted({label for label in labels if label not in index}, key=repr)
        if unseen:
            raise ValueError(
                f"{name} holds labels that y_train does not: {unseen[:5]}; y_train has "
                f"{self.classes_.tolist()[:20]}; train with every class, or leave those rows out"
            )
        return torch.tensor([index[label] for label in labels])

    def check(self, outputs: Tensor, loss: Any) -> Tensor:
        """Refuse outputs that are not one per class, or one for two classes."""
        n, shape = len(self.classes_), tuple(outputs.shape)
        if _one_output(outputs):
            takes_one = isinstance(loss, ClassificationLoss) or not isinstance(
                loss, nn.CrossEntropyLoss
            )
            if n != 2 or not takes_one:
                raise ValueError(
                    f"the model has one output (shape {shape}) and y_train {n} classes; one output "
                    "needs two classes and loss_fn=WeightedBCEWithLogitsLoss() or the default; "
                    "otherwise give the model one output per class, or, for numbers to predict, "
                    "say task='regression'"
                )
        elif outputs.ndim != 2 or shape[1] < n:
            raise ValueError(
                f"the model's output has shape {shape}; y_train has {n} classes, so allowed is "
                f"(N, K) with K >= {n}: change the last layer"
            )
        return outputs

    def logits(self, outputs: Tensor, loss: Any) -> Tensor:
        """Logits, (n, n_classes); outputs beyond the classes take no part."""
        if isinstance(loss, nn.BCELoss):
            outputs = outputs.logit()
        return class_logits(outputs)[:, : len(self.classes_)]

    def predict(self, outputs: Tensor, loss: Any) -> Tensor:
        """Probabilities, (n, n_classes); outputs beyond the classes take no part."""
        if _one_output(outputs):
            p = _probability(outputs.reshape(-1), loss)
            return torch.stack([1 - p, p], dim=1)
        return outputs[:, : len(self.classes_)].softmax(1)

    def decide(self, p: np.ndarray) -> np.ndarray:
        """Labels, in the labels of y_train."""
        labels: np.ndarray = self.classes_[p.argmax(1)]
        return labels

    def scores(self, y: np.ndarray, p: np.ndarray) -> dict[str, float]:
        """Accuracy; and, of the second class or weighted by frequency, the others."""
        classes = range(p.shape[1])
        average = "binary" if len(classes) == 2 else "weighted"
        present = np.unique(y)
        scored = [] if len(present) < 2 else [1] if len(classes) == 2 else present
        return label_scores(y, p.argmax(1), average, [(y == k, p[:, k]) for k in scored])


class MultiLabel:
    """Any number of L labels per row: targets of 0 and 1, (N, L); outputs (N, L)."""

    score_names = CLASSIFICATION
    default_loss = nn.BCEWithLogitsLoss

    labeled = staticmethod(_rows_of_numbers)

    def __init__(self, y: Any, n: int, name: str) -> None:
        columns = getattr(y, "columns", None)
        self.classes_ = np.arange(_columns(check_numbers(y, n, name)).shape[1])
        if columns is not None:
            self.classes_ = np.asarray(columns)

    def targets(self, y: Any, n: int, name: str) -> Tensor:
        """Zeros and ones, (n, L)."""
        y = _columns(check_numbers(y, n, name))
        if y.shape[1] != len(self.classes_):
            raise ValueError(f"{name} has {y.shape[1]} labels, y_train has {len(self.classes_)}")
        other = y[(y != 0) & (y != 1)]
        if other.size:
            raise ValueError(f"{name} holds {other[0]}; multi-label targets are 0 or 1")
        return torch.tensor(y, dtype=torch.float32)

    def check(self, outputs: Tensor, loss: Any) -> Tensor:
        """Refuse outputs that are not one per label."""
        return _check_columns(outputs, len(self.classes_), "labels")

    def predict(self, outputs: Tensor, loss: Any) -> Tensor:
        """Probability of each label, (n, L)."""
        return _probability(outputs, loss)

    def decide(self, p: np.ndarray) -> np.ndarray:
        """1 where the probability is above one half, (n, L)."""
        return (p > 0.5).astype(np.int64)

    def scores(self, y: np.ndarray, p: np.ndarray) -> dict[str, float]:
        """Share of rows with every label right; the others weighted by label frequency."""
        y = y.astype(np.int64)
        scored = [k for k in range(y.shape[1]) if 0 < y[:, k].mean() < 1]
        pairs = [(y[:, k], p[:, k]) for k in scored]
        return label_scores(y, self.decide(p), "weighted", pairs)


class Regression:
    """Numbers to predict: targets (N,) or (N, K); outputs (N, K), for K = 1 also (N,)."""

    score_names = REGRESSION
    default_loss = nn.MSELoss
    classes_ = None
    labeled = staticmethod(_rows_of_numbers)

    def __init__(self, y: Any, n: int, name: str) -> None:
        self._shape = check_numbers(y, n, name).shape[1:]

    def targets(self, y: Any, n: int, name: str) -> Tensor:
        """Numbers, (n,) or (n, K)."""
        y = check_numbers(y, n, name)
        if y.shape[1:] != self._shape:
            raise ValueError(f"{name} has shape {y.shape}, y_train rows have shape {self._shape}")
        return torch.tensor(y)

    def check(self, outputs: Tensor, loss: Any) -> Tensor:
        """Refuse outputs that are not one per number; (n, 1) becomes (n,) where y is so."""
        if self._shape:
            return _check_columns(outputs, self._shape[0], "columns")
        if not _one_output(outputs):
            raise ValueError(
                f"the model's output has shape {tuple(outputs.shape)}; y_train has one number per "
                "row, so allowed is (N, 1) or (N,): change the last layer"
            )
        return outputs.reshape(-1)

    def predict(self, outputs: Tensor, loss: Any) -> Tensor:
        """Predictions are the outputs."""
        return outputs

    def decide(self, p: np.ndarray) -> np.ndarray:
        """Predictions are the outputs."""
        return p

    def scores(self, y: np.ndarray, p: np.ndarray) -> dict[str, float]:
        """Mean squared and absolute error, and R^2 (NaN for fewer than two rows)."""
        return number_scores(y, p)


Task = Classification | MultiLabel | Regression
TASKS: dict[str, type[Classification | MultiLabel | Regression]] = {
    "classification": Classification,
    "multilabel": MultiLabel,
    "regression": Regression,
}


def task_kind(task: str | None, y: np.ndarray, base_loss: Any) -> type[Task]:
    """Give the task of that name; without a name, the one that the loss and y_train tell."""
    if task is None:
        task = _infer(y, base_loss)
    if task not in TASKS:
        raise ValueError(f"task={task!r}: choose one of {', '.join(TASKS)}, or None to infer it")
    return TASKS[task]


def _infer(y: np.ndarray, base_loss: Any) -> str:
    if isinstance(base_loss, REGRESSION_LOSSES):
        return "regression"
    if isinstance(base_loss, _ONE_LABEL_LOSSES) or y.ndim != 2 or y.shape[1] < 2:
        return "classification"
    given = y[rows_with_targets(as_numbers(y, "y_train"))]
    if not np.isin(given, (0, 1)).all():
        return "regression"
    if (given.sum(1) == 1).all():
        raise ValueError(
            f"y_train of shape {y.shape} has a single 1 in each row: for classification pass "
            "y_train.argmax(1), for labels that may come together say task='multilabel'"
        )
    return "multilabel"


def _one_output(outputs: Tensor) -> bool:
    return outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1)


def _probability(outputs: Tensor, loss: Any) -> Tensor:
    return outputs if isinstance(loss, nn.BCELoss) else outputs.sigmoid()


def _columns(y: np.ndarray) -> np.ndarray:
    return y[:, None] if y.ndim == 1 else y


def _check_columns(outputs: Tensor, columns: int, what: str) -> Tensor:
    if outputs.ndim != 2 or outputs.shape[1] != columns:
        raise ValueError(
            f"the model's output has shape {tuple(outputs.shape)}; y_train has {columns} {what}, "
            f"so allowed is (N, {columns}): change the last layer"
        )
    return outputs
