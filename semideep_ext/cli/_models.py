"""The models that the command line offers, by name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

MODELS = ("mlp", "linear", "forest", "boosting")
TASKS = ("classification", "regression")


def make_mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Module:
    """Make a network of linear layers with ReLU between them.

    Examples
    --------
    >>> make_mlp(3, [4], 2)
    Sequential(
      (0): Linear(in_features=3, out_features=4, bias=True)
      (1): ReLU()
      (2): Linear(in_features=4, out_features=2, bias=True)
    )
    """
    from torch import nn

    widths = [inputs, *hidden, outputs]
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(widths):
        layers += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def make_estimator(name: str, task: str, seed: int) -> Any:
    """Make a scikit-learn estimator that takes sample_weight; name is none of mlp."""
    from sklearn import ensemble, linear_model

    regression = task == "regression"
    if name == "linear":
        return (
            linear_model.Ridge() if regression else linear_model.LogisticRegression(max_iter=1000)
        )
    kind = {"forest": "RandomForest", "boosting": "HistGradientBoosting"}[name]
    suffix = "Regressor" if regression else "Classifier"
    return getattr(ensemble, kind + suffix)(random_state=seed)
