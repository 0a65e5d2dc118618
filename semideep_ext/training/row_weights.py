"""Weights of the training rows: how a trainer's options become one number per row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semideep_ext.op.arguments import to_tensor
from semideep_ext.op.functional import DEFAULT_EPS, distance_weights
from semideep_ext.op.libraries import runs_on
from semideep_ext.training.features import FeatureExtractor, features_of
from semideep_ext.training.rows import Rows
from semideep_ext.weighting.checks import check_number, check_whole
from semideep_ext.weighting.diagnostics import check_weights, warn_if_degenerate
from semideep_ext.weighting.normalisation import divide_by_mean, mean_one
from semideep_ext.weighting.scales import resolve_lambda, sample_numbers
from semideep_ext.weighting.weightings import WEIGHTINGS


def device_of_weights(device: torch.device) -> torch.device:
    """Where weights are computed: where the model trains, if the kernels run there."""
    return device if runs_on(device) else torch.device("cpu")


@dataclass(frozen=True)
class RowWeighting:
    """The options of `WeightedTrainer` that decide about weights; see there."""

    weights: Any
    metric: Any = "euclidean"
    lambda_: float | str = 0.8
    normalize: bool = True
    idw_eps: float = DEFAULT_EPS
    idw_cap: float | None = None
    recompute_every: int | None = None
    features: Any = None

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if isinstance(self.weights, str) and self.weights not in WEIGHTINGS:
            raise ValueError(
                f"weights={self.weights!r}: choose one of {', '.join(map(repr, WEIGHTINGS))}, an "
                "array of one weight per row, a callable of (X_train, X_test), or None for "
                "unweighted training"
            )
        if self._kernel is not None and np.ndim(self.lambda_):
            raise ValueError(f"lambda_={self.lambda_!r}: give one number > 0, or 'median'")
        if self.idw_cap is not None:
            check_number("idw_cap", self.idw_cap)
            if self._kernel != "inverse":
                raise ValueError(
                    f"idw_cap={self.idw_cap!r} with weights={self.weights!r}: it bounds the "
                    "weights of weights='idw' only; leave it out"
                )
        if self.recompute_every is None:
            if self.features is not None:
                raise ValueError(
                    f"features={self.features!r} without recompute_every, which alone uses them: "
                    "say after how many epochs to weigh the rows anew, or leave features out"
                )
            return
        check_whole("recompute_every", self.recompute_every, 1)
        if not self.needs_rows:
            raise ValueError(
                "recompute_every needs weights that follow from rows: weights='distance', 'idw' or "
                "a callable; given weights stay as they are"
            )

    @property
    def needs_rows(self) -> bool:
        """Whether the weights follow from rows, rather than being given."""
        return self._kernel is not None or callable(self.weights)

    @property
    def _kernel(self) -> str | None:
        """The kernel function of a weighting by distances."""
        return WEIGHTINGS[self.weights].kernel if isinstance(self.weights, str) else None

    def from_rows(
        self, rows: Rows, tests: Sequence[Rows], labeled: np.ndarray, device: torch.device
    ) -> np.ndarray | None:
        """Weights of the labelled rows in the raw space, (N,), by the rows of all tests.

        `labeled` tells which of the rows that the user gave these are. None for no weights.
        """
        if self.recompute_every is not None and not tests:
            raise ValueError("recompute_every needs X_test, the unlabelled rows to resemble")
        if not self.needs_rows:
            is_none = self.weights is None or isinstance(self.weights, str)
            return None if is_none else self._given(self.weights, "weights", labeled)
        blocks = [block for test in tests for block in test.blocks()]
        gathered = np.concatenate(blocks) if blocks else None
        if self._kernel is None:
            return self._by_function(np.concatenate(list(rows.blocks())), gathered)
        if gathered is None:
            raise ValueError(
                f"weights={self.weights!r} needs unlabelled rows to resemble: give X_test, or mark "
                "rows of X_train in y_train as unlabelled (-1; NaN for regression)"
            )
        lambda_ = self._lambda(rows.chosen, len(rows), gathered)
        place = device_of_weights(device)
        parts = (to_tensor("X_train", block).to(place) for block in rows.blocks())
        return self._by_distance(parts, to_tensor("X_test", gathered).to(place), lambda_)

    def from_features(
        self, extract: FeatureExtractor, rows: Iterable[Tensor], test: Iterable[Tensor]
    ) -> np.ndarray:
        """Weights of rows by the features of their batches, (N,)."""
        x, y = (torch.cat([features_of(extract, batch) for batch in part]) for part in (rows, test))
        if self._kernel is None:
            return self._by_function(x.cpu().numpy(), y.cpu().numpy())
        lambda_ = self._lambda(lambda numbers: x[torch.as_tensor(numbers)], len(x), y)
        place = device_of_weights(x.device)
        return self._by_distance([x.to(place)], y.to(place), lambda_)

    def _lambda(self, chosen: Callable[[np.ndarray], Any], n: int, test: Any) -> Any:
        if not isinstance(self.lambda_, str):
            return self.lambda_
        return resolve_lambda(self.lambda_, chosen(sample_numbers(n)), test, self.metric)

    def _by_function(self, train: np.ndarray, test: np.ndarray | None) -> np.ndarray:
        everyone = np.ones(len(train), dtype=bool)
        return self._given(self.weights(train, test), "weights(X_train, X_test)", everyone)

    def _given(self, weights: Any, name: str, labeled: np.ndarray) -> np.ndarray:
        w = check_weights(weights, name, len(labeled))[labeled]
        scaled = divide_by_mean(w)  # which refuses weights that are all 0
        return scaled if self.normalize else w

    def _by_distance(self, blocks: Iterable[Tensor], test: Tensor, lambda_: Any) -> np.ndarray:
        kernel = self._kernel
        assert kernel is not None
        parts = []
        for block in blocks:
            if block.shape[1] != test.shape[1]:
                raise ValueError(
                    f"X_train has rows of {block.shape[1]} values and X_test rows of "
                    f"{test.shape[1]}; distances need the same columns"
                )
            dtype = torch.promote_types(block.dtype, test.dtype)
            x, y = block.to(dtype), test.to(dtype)
            eps = self.idw_eps
            parts.append(
                distance_weights(
                    x, y, self.metric, lambda_, kernel=kernel, eps=eps, log=self.normalize
                )
            )
        w: np.ndarray = torch.cat(parts).cpu().numpy()
        if self.idw_cap is not None:
            w = w.clip(max=math.log(self.idw_cap) if self.normalize else self.idw_cap)
        w = mean_one(w) if self.normalize else w
        warn_if_degenerate(w, self.metric, kernel)
        return w


def class_factors(class_weight: Any, classes: np.ndarray | None, targets: np.ndarray) -> np.ndarray:
    """Factor of each row by its class, from "balanced" or a dict of label to factor, (n,)."""
    if classes is None or targets.ndim != 1:
        raise ValueError(
            "class_weight is for one label per row; for several labels per row give "
            "loss_fn=WeightedBCEWithLogitsLoss(pos_weight=...)"
        )
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(targets, minlength=len(classes))
        factors = len(targets) / (len(classes) * counts)  # as in scikit-learn
    elif isinstance(class_weight, dict):
        unknown = [label for label in class_weight if label not in classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight names {unknown[0]!r}; y_train has {classes.tolist()[:20]}"
            )
        for label, factor in class_weight.items():
            check_number(f"class_weight[{label!r}]", factor, zero=True)
        factors = np.array([class_weight.get(label, 1.0) for label in classes.tolist()], float)
    else:
        raise ValueError(
            f"class_weight={class_weight!r}: give 'balanced' or a dict of label to factor"
        )
    return np.asarray(factors)[targets]
