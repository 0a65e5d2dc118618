"""Which passes may change the running statistics of batch norm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are: passes inside normalise by those of their own rows.

    For rows that are not like those that the model will predict: perturbed on purpose, mixed, or
    passed a second time.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    try:
        for norm in norms:
            # In evaluation mode they do the normalising, and are not changed anyway.
            norm.track_running_stats = not norm.training
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
