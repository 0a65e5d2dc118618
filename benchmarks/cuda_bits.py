"""The ways in which a card counts the bits of rows; it would choose one by itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from semideep_ext.op.metrics import METRICS

WAYS = ("popcount", "products")
METRICS_OF_BITS = [
    name for name, metric in METRICS.items() if metric.sum_of in ("unequal", "common")
]
VARIABLE = "SEMIDEEP_CUDA_BITS"  # read by csrc/cuda/count.cu, at each call


@contextlib.contextmanager
def counted_by(way: str) -> Iterator[None]:
    """Let calls count in this way, where rows have two values."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = way
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
