"""Semi-supervised methods: what unlabelled rows add to the loss, one method a file.

A method (`method.Method`) turns a labelled and an unlabelled batch into two losses. The same object
goes into `WeightedTrainer(..., X_unlabeled=..., method=...)`, into `SemiSupervisedTrainer`, for two
loaders of your own, and into your own loop.

- `methods`: the list of them; `method`, `teacher`, `weak_strong`: what several have in common
- `outputs`, `ramps`, `averages`, `batch_norm`, `alignment`, `thresholds`: what they are made of
- `augment`: random changes of rows; `filters`: which unlabelled rows take part
- `trainer`: two loaders of your own

References stand in each file; `docs/methods.md` has the table.
"""

import importlib
from typing import Any

from semideep_ext.ssl.methods import METHODS

_HOMES = {home.partition(".")[2]: home.partition(".")[0] for home in METHODS.values()} | {
    "Batch": "method",
    "ConfidenceFilter": "filters",
    "Data": "method",
    "DistributionAlignment": "alignment",
    "DomainFilter": "filters",
    "FixedThreshold": "thresholds",
    "FlexMatchThreshold": "thresholds",
    "FreeMatchThreshold": "thresholds",
    "Method": "method",
    "SemiSupervisedTrainer": "trainer",
    "SoftMatchThreshold": "thresholds",
}

__all__ = [*_HOMES, "METHODS"]


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # so that this is asked once
    return value
