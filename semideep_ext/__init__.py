"""Distance-based sample weights for semi-supervised learning.

Labelled rows that resemble the unlabelled rows count for more (arXiv 2505.14345)::

    w_i = (1/M) sum_j exp(-lambda d(x_i, y_j))

`distance_weights` and `kernel_matmul` are the ops; everything else stands on them. The wings, each
of which imports only those that stand before it:

- `op`: the ops, their arguments and derivatives, the lists of metrics and kernel functions
- `weighting`: what weights are made of and what they amount to; losses, features made ready
- `ssl`: semi-supervised methods, of use in any loop; `graph`: those on affinities of rows
- `training`: the trainer of torch models; `plots`: pictures
- `estimators`: the layer of scikit-learn, and selection of metric and lambda
- `experiments`: comparisons over splits, with statistics and a report
- `benchmark`: time and memory beside other libraries
- `cli`: the command `semideep`

Nothing but this file is read before a name is asked for: torch takes a second to import.
"""

import importlib
from typing import Any

from semideep_ext import _moved
from semideep_ext._version import __version__

# Where each public name stands. `__init__.pyi` tells type checkers the same.
_HOMES = {
    "DistanceWeightTransformer": "estimators.transformer",
    "DistanceWeightedClassifier": "estimators.weighted",
    "DistanceWeightedRegressor": "estimators.weighted",
    "DistanceWeights": "weighting.weights",
    "ExperimentRunner": "experiments.experiment",
    "KERNELS": "op.metrics",
    "LabeledSplit": "estimators.unlabeled",
    "METRICS": "op.metrics",
    "SampleWeightMixin": "estimators.skorch_nets",
    "WeightComputer": "weighting.weights",
    "WeightDiagnostics": "weighting.diagnostics",
    "WeightedBCEWithLogitsLoss": "weighting.losses",
    "WeightedCrossEntropyLoss": "weighting.losses",
    "WeightedLoss": "weighting.losses",
    "WeightedTrainer": "training.trainer",
    "WeightsWarning": "weighting.diagnostics",
    "auto_select_distance_metric": "weighting.auto",
    "diagnose_weights": "weighting.diagnostics",
    "distance_weights": "op.functional",
    "kernel_matmul": "op.functional",
    "median_lambda": "weighting.scales",
    "preprocess_features": "weighting.preprocessing",
    "select_best_distance_metric": "estimators.selection",
    "show_config": "op.config",
}

__all__ = [*_HOMES, "__version__"]

_moved.install()


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value  # so that this is asked once
        return value
    if name in _moved.HOMES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
