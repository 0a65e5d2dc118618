"""Kernel sums over distances that a Python callable computes, in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from semideep_ext.op.arguments import describe

# Kernel values held at once: 8 MiB of float32, so that forward and backward stay below 16 MiB of
# scratch.
_BLOCK_ELEMENTS = 2**20 // 2


def weighted_sum(
    x: Tensor,
    y: Tensor,
    v: Tensor,
    metric: Callable[[Any, Any], Any],
    parameter: Tensor,
    kernel: str,
    log: bool,
) -> Tensor:
    """Sum k(metric(x_i, y_j)) v_jc over j: (L, N, C)."""
    if x.dim() != 2 or y.dim() != 2 or v.dim() != 2:
        raise ValueError(
            f"a callable metric takes (N, D) and (M, D) rows without batch dimensions: "
            f"{describe('x', x)} and {describe('y', y)}; loop over the batch"
        )
    rows = max(1, _BLOCK_ELEMENTS // (y.shape[0] * parameter.shape[1]))

    def block_sum(block: Tensor) -> Tensor:
        # As the compiled ops do: half types would lose precision that the caller did not give away.
        with torch.autocast(x.device.type, enabled=False):
            return full_precision_sum(block)

    def full_precision_sum(block: Tensor) -> Tensor:
        d = distances(metric, block, y).unsqueeze(0)
        p = parameter.to(d.dtype)[0, :, None, None]
        if kernel == "inverse":
            out = (1.0 / (d + p)) @ v
            return out.log() if log else out
        if log:
            return torch.logsumexp((-p * d).unsqueeze(-1) + v.log(), dim=-2)
        return torch.exp(-p * d) @ v

    blocks = x.split(rows) if x.shape[0] else (x,)
    # Recomputed in the backward pass: otherwise autograd would keep all blocks, that is, the
    # matrix.
    return torch.cat([checkpoint(block_sum, b, use_reentrant=False) for b in blocks], dim=1)


def distances(metric: Callable[[Any, Any], Any], block: Tensor, y: Tensor) -> Tensor:
    """Call the metric, and refuse a result that is not (n, M)."""
    if block.shape[0] == 0:
        return y.new_empty((0, y.shape[0]))
    d = metric(block, y)
    d = torch.as_tensor(np.asarray(d)) if not isinstance(d, Tensor) else d
    if tuple(d.shape) != (block.shape[0], y.shape[0]):
        name = getattr(metric, "__name__", repr(metric))
        raise ValueError(
            f"the metric {name} must return the ({block.shape[0]}, {y.shape[0]}) distances of "
            f"{block.shape[0]} and {y.shape[0]} rows; {describe('its result', d)}"
        )
    return d.to(device=y.device, dtype=y.dtype)
