"""Weights of the training rows: how a trainer's options become one number per row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semideep_ext.op.arguments import describe, to_tensor
from semideep_ext.op.functional import DEFAULT_EPS, distance_weights
from semideep_ext.op.libraries import runs_on
from semideep_ext.training.rows import Rows
from semideep_ext.weighting.checks import check_number, check_whole
from semideep_ext.weighting.diagnostics import check_weights, warn_if_degenerate
from semideep_ext.weighting.normalisation import mean_one
from semideep_ext.weighting.scales import resolve_lambda, sample_numbers
from semideep_ext.weighting.weightings import WEIGHTINGS

FeatureExtractor = Callable[[Tensor], Any]


def device_of_weights(device: torch.device) -> torch.device:
    """Where weights are computed: where the model trains, if the kernels run there."""
    return device if runs_on(device) else torch.device("cpu")


@dataclass(frozen=True)
class Weighting:
    """The options of `WeightedTrainer` that decide about weights; see there."""

    weights: Any
    metric: Any = "euclidean"
    lambda_: float | str = 0.8
    normalize: bool = False
    idw_eps: float = DEFAULT_EPS
    idw_cap: float | None = None
    recompute_every: int | None = None
    features: Any = None

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if isinstance(self.weights, str) and self.weights not in WEIGHTINGS:
            raise ValueError(
                f"weights={self.weights!r}: choose 'distance', 'idw', an array of one weight per "
                "row, a callable of (X_train, X_test), or None for unweighted training"
            )
        if isinstance(self.weights, str) and np.ndim(self.lambda_):
            raise ValueError(f"lambda_={self.lambda_!r}: give one number > 0, or 'median'")
        if self.idw_cap is not None:
            check_number("idw_cap", self.idw_cap)
            if not (isinstance(self.weights, str) and self.weights == "idw"):
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
        return isinstance(self.weights, str) or callable(self.weights)

    def from_rows(self, rows: Rows, test: Rows | None, device: torch.device) -> np.ndarray | None:
        """Weights of the rows in the raw space, (N,); None for no weights."""
        if self.recompute_every is not None and test is None:
            raise ValueError("recompute_every needs X_test, the unlabelled rows to resemble")
        if not self.needs_rows:
            return None if self.weights is None else self._given(self.weights, "weights", len(rows))
        gathered = None if test is None else np.concatenate(list(test.blocks()))
        if not isinstance(self.weights, str):
            return self._by_function(np.concatenate(list(rows.blocks())), gathered)
        if gathered is None:
            raise ValueError(
                f"weights={self.weights!r} needs X_test, the unlabelled rows to resemble"
            )
        lambda_ = self._lambda(rows.chosen, len(rows), gathered)
        place = device_of_weights(device)
        blocks = (to_tensor("X_train", block).to(place) for block in rows.blocks())
        return self._by_distance(blocks, to_tensor("X_test", gathered).to(place), lambda_)

    def from_features(
        self, extract: FeatureExtractor, rows: Iterable[Tensor], test: Iterable[Tensor]
    ) -> np.ndarray:
        """Weights of rows by the features of their batches, (N,)."""
        x, y = (torch.cat([_features(extract, batch) for batch in part]) for part in (rows, test))
        if not isinstance(self.weights, str):
            return self._by_function(x.cpu().numpy(), y.cpu().numpy())
        lambda_ = self._lambda(lambda numbers: x[torch.as_tensor(numbers)], len(x), y)
        place = device_of_weights(x.device)
        return self._by_distance([x.to(place)], y.to(place), lambda_)

    def _lambda(self, chosen: Callable[[np.ndarray], Any], n: int, test: Any) -> Any:
        if not isinstance(self.lambda_, str):
            return self.lambda_
        return resolve_lambda(self.lambda_, chosen(sample_numbers(n)), test, self.metric)

    def _by_function(self, train: np.ndarray, test: np.ndarray | None) -> np.ndarray:
        return self._given(self.weights(train, test), "weights(X_train, X_test)", len(train))

    def _given(self, weights: Any, name: str, n: int) -> np.ndarray:
        w = check_weights(weights, name, n)
        if not w.any():
            raise ValueError("weights are all 0, so nothing would be trained; give others")
        return w / w.mean() if self.normalize else w

    def _by_distance(self, blocks: Iterable[Tensor], test: Tensor, lambda_: Any) -> np.ndarray:
        kernel = WEIGHTINGS[self.weights].kernel
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


@contextmanager
def feature_extractor(model: nn.Module, features: Any) -> Iterator[FeatureExtractor]:
    """Features of rows by a callable, by a submodule's output, or of the last linear layer's input.

    Parameters
    ----------
    model : nn.Module
    features : callable, str or None
        A function of a batch; the name of a submodule, of which the output is taken; or None.
    """
    if callable(features):
        yield features
        return
    modules = dict(model.named_modules())
    if features is None:
        linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError(
                "the model has no nn.Linear, of which the input would be its features; give "
                "features= the name of a submodule, or a function of a batch"
            )
        module = modules[linear[-1]]
    elif features in modules:
        module = modules[features]
    else:
        raise ValueError(
            f"features={features!r}: the model has no such submodule; it has "
            f"{', '.join(name for name in modules if name)}"
        )
    seen: list[Any] = []
    handle = module.register_forward_hook(lambda *arguments: seen.append(arguments[1:]))

    def extract(x: Tensor) -> Any:
        seen.clear()
        model(x)
        inputs, output = seen[-1] if seen else ((), None)
        return (*inputs, None)[0] if features is None else output

    try:
        yield extract
    finally:
        handle.remove()


def _features(extract: FeatureExtractor, x: Tensor) -> Tensor:
    """Features of a batch, (n, F), on its device; of half types in float32."""
    values = extract(x)
    if not isinstance(values, Tensor) or values.ndim == 0 or len(values) != len(x):
        raise ValueError(
            f"the features of a batch of {len(x)} rows: {describe('there', values)}; allowed is a "
            "tensor with one entry per row: give features= the name of another submodule, or a "
            "function of a batch"
        )
    values = values.reshape(len(x), -1)
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    if not values.isfinite().all():
        raise ValueError(
            "the model's features hold NaN or infinity, so rows cannot be weighted by them: "
            "lower the learning rate or clip the gradients"
        )
    return values


def as_row_weights(
    w: np.ndarray | None, factors: np.ndarray | None, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    """Distance weight times class weight of each row, or None if there are neither."""
    if w is None and factors is None:
        return None
    product = (1.0 if w is None else w) * (1.0 if factors is None else factors)
    return torch.as_tensor(product).to(device, dtype)
