"""Distance-based sample weights for semi-supervised learning.

Labelled rows that resemble the unlabelled rows count for more (arXiv 2505.14345)::

    w_i = (1/M) sum_j exp(-lambda d(x_i, y_j))

`distance_weights` and `kernel_matmul` are the ops; everything else stands on them.
"""

import importlib
from typing import Any

from semideep_ext._version import __version__
from semideep_ext.config import show_config
from semideep_ext.diagnostics import WeightDiagnostics, WeightsWarning, diagnose_weights
from semideep_ext.functional import distance_weights, kernel_matmul
from semideep_ext.losses import (
    WeightedBCEWithLogitsLoss,
    WeightedCrossEntropyLoss,
    WeightedLoss,
)
from semideep_ext.metrics import KERNELS, METRICS
from semideep_ext.scales import median_lambda
from semideep_ext.weights import DistanceWeights, WeightComputer

__all__ = [
    "KERNELS",
    "METRICS",
    "DistanceWeightTransformer",
    "DistanceWeightedClassifier",
    "DistanceWeightedRegressor",
    "DistanceWeights",
    "ExperimentRunner",
    "LabeledSplit",
    "SampleWeightMixin",
    "WeightComputer",
    "WeightDiagnostics",
    "WeightedBCEWithLogitsLoss",
    "WeightedCrossEntropyLoss",
    "WeightedLoss",
    "WeightedTrainer",
    "WeightsWarning",
    "__version__",
    "auto_select_distance_metric",
    "diagnose_weights",
    "distance_weights",
    "kernel_matmul",
    "median_lambda",
    "preprocess_features",
    "select_best_distance_metric",
    "show_config",
]

# Loaded when first asked for: scikit-learn takes a second to import, and who wants the op alone has
# no use for it.
_LAZY = {
    "DistanceWeightTransformer": "semideep_ext.transformer",
    "DistanceWeightedClassifier": "semideep_ext.estimators",
    "DistanceWeightedRegressor": "semideep_ext.estimators",
    "ExperimentRunner": "semideep_ext.experiment",
    "LabeledSplit": "semideep_ext.unlabeled",
    "SampleWeightMixin": "semideep_ext.nets",
    "WeightedTrainer": "semideep_ext.trainer",
    "auto_select_distance_metric": "semideep_ext.auto",
    "preprocess_features": "semideep_ext.preprocessing",
    "select_best_distance_metric": "semideep_ext.selection",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
