"""Weights of the training rows: how a trainer's options become one number per row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semideep_ext._training.rows import Rows
from semideep_ext.diagnostics import check_weights, warn_if_degenerate
from semideep_ext.functional import DEFAULT_EPS, distance_weights
from semideep_ext.scales import SAMPLE, resolve_lambda

KERNELS = {"distance": "exponential", "idw": "inverse"}
FeatureExtractor = Callable[[Tensor], Tensor]
Blocks = Callable[[], Iterable[np.ndarray]]  # the training rows, block by block, from the first on


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

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if isinstance(self.weights, str) and self.weights not in KERNELS:
            raise ValueError(
                f"weights={self.weights!r}: choose 'distance', 'idw', an array of one weight per "
                "row, a callable of (X_train, X_test), or None for unweighted training"
            )
        if self.idw_cap is not None and not (self.weights == "idw" and self.idw_cap > 0):
            raise ValueError(
                f"idw_cap={self.idw_cap!r} with weights={self.weights!r}: it takes a number > 0, "
                "and bounds the weights of weights='idw' only; leave it out"
            )
        if self.recompute_every is not None and not self.needs_rows:
            raise ValueError(
                "recompute_every needs weights that follow from rows: weights='distance', 'idw' or "
                "a callable; given weights stay as they are"
            )

    @property
    def needs_rows(self) -> bool:
        """Whether the weights follow from rows, rather than being given."""
        return isinstance(self.weights, str) or callable(self.weights)

    def from_rows(self, rows: Rows, test: Rows | None) -> np.ndarray | None:
        """Weights of the rows in the raw space, (N,); None for no weights."""
        if self.recompute_every is not None and test is None:
            raise ValueError("recompute_every needs X_test, the unlabelled rows to resemble")
        if not self.needs_rows:
            return self._compute(tuple, None, len(rows))
        gathered = None if test is None else np.concatenate(list(test.blocks()))
        return self._compute(rows.blocks, gathered, len(rows))

    def from_features(
        self, extract: FeatureExtractor, rows: Iterable[Tensor], test: Iterable[Tensor], n: int
    ) -> np.ndarray | None:
        """Weights of n rows by features of batches of rows, (N,)."""
        gathered = np.concatenate(list(_features(extract, test)))
        of_rows = list(_features(extract, rows))
        return self._compute(lambda: of_rows, gathered, n)

    def _compute(self, blocks: Blocks, test: np.ndarray | None, n: int) -> np.ndarray | None:
        if self.weights is None:
            return None
        if isinstance(self.weights, str):
            return self._by_distance(blocks, test, n)
        if callable(self.weights):
            train = np.concatenate(list(blocks()))
            w = check_weights(self.weights(train, test), "weights(X_train, X_test)", n)
        else:
            w = check_weights(self.weights, "weights", n)
        if not w.any():
            raise ValueError("weights are all 0, so nothing would be trained; give others")
        return w / w.mean() if self.normalize else w

    def _by_distance(self, blocks: Blocks, test: np.ndarray | None, n: int) -> np.ndarray:
        if test is None:
            raise ValueError(
                f"weights={self.weights!r} needs X_test, the unlabelled rows to resemble"
            )
        kernel = KERNELS[self.weights]
        # Of normalised weights the logarithm, which is right where the weights underflow.
        log = self.normalize and kernel == "exponential"
        lambda_ = self.lambda_
        if isinstance(lambda_, str):
            sample = np.concatenate([block[:: max(1, n // SAMPLE)] for block in blocks()])
            lambda_ = resolve_lambda(lambda_, sample, test, self.metric)
        parts = []
        for block in blocks():
            if block.shape[1] != test.shape[1]:
                raise ValueError(
                    f"X_train has rows of {block.shape[1]} values and X_test rows of "
                    f"{test.shape[1]}; distances need the same columns"
                )
            parts.append(
                distance_weights(
                    block,
                    test,
                    self.metric,
                    lambda_,
                    kernel=kernel,
                    eps=self.idw_eps,
                    log=log,
                )
            )
        w: np.ndarray = np.concatenate(parts)
        w = np.exp(w - w.max()) if log else w
        w = w if self.idw_cap is None else w.clip(max=self.idw_cap)
        w = w / w.mean() if self.normalize else w
        warn_if_degenerate(w, self.metric, kernel)
        return w


def class_factors(class_weight: Any, classes: np.ndarray | None, numbers: np.ndarray) -> np.ndarray:
    """Factor of each row by its class, from "balanced" or a dict of label to factor, (n,)."""
    if classes is None or numbers.ndim != 1:
        raise ValueError(
            "class_weight is for one label per row; for several labels per row give "
            "loss_fn=WeightedBCEWithLogitsLoss(pos_weight=...)"
        )
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(numbers, minlength=len(classes))
        factors = len(numbers) / (len(classes) * counts)  # as in scikit-learn
    elif isinstance(class_weight, dict):
        unknown = [label for label in class_weight if label not in classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight names {unknown[0]!r}; y_train has {classes.tolist()[:20]}"
            )
        given = [class_weight.get(label, 1.0) for label in classes.tolist()]
        factors = check_weights(given, "class_weight")
    else:
        raise ValueError(
            f"class_weight={class_weight!r}: give 'balanced' or a dict of label to factor"
        )
    return np.asarray(factors)[numbers]


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
        yield lambda x: features(x).flatten(1)
        return
    modules = dict(model.named_modules())
    if features is None:
        linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError(
                "the model has no nn.Linear, of which the input would be its features; give "
                "features= the name of a submodule, or a function of a batch"
            )
        module, place = modules[linear[-1]], 0
    elif features in modules:
        module, place = modules[features], 1
    else:
        raise ValueError(
            f"features={features!r}: the model has no such submodule; it has "
            f"{', '.join(name for name in modules if name)}"
        )
    seen: list[Tensor] = []

    def note(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        seen[:] = [(inputs[0], output)[place]]

    handle = module.register_forward_hook(note)

    def extract(x: Tensor) -> Tensor:
        model(x)
        return seen.pop().flatten(1)

    try:
        yield extract
    finally:
        handle.remove()


def _features(extract: FeatureExtractor, batches: Iterable[Tensor]) -> Iterator[np.ndarray]:
    for x in batches:
        values = extract(x).float().cpu().numpy()
        if not np.isfinite(values).all():
            raise ValueError(
                "the model's features hold NaN or infinity, so rows cannot be weighted by them: "
                "lower the learning rate or clip the gradients"
            )
        yield values


def as_row_weights(
    w: np.ndarray | None, factors: np.ndarray | None, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    """Distance weight times class weight of each row, or None if there are neither."""
    if w is None and factors is None:
        return None
    product = (1.0 if w is None else w) * (1.0 if factors is None else factors)
    return torch.as_tensor(product).to(device, dtype)
