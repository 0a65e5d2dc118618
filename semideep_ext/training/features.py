"""Features of rows as the model itself sees them, for weights that follow the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from semideep_ext._modules import find_module
from semideep_ext.op.arguments import describe

FeatureExtractor = Callable[[Tensor], Any]


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
    module = find_module(model, features, "features")
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


def features_of(extract: FeatureExtractor, x: Tensor) -> Tensor:
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
