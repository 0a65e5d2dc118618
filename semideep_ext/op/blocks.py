"""Kernel sums over distances that a Python callable computes, in blocks of rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from semideep_ext.op.arguments import describe
from semideep_ext.op.batch import in_graph, remade
from semideep_ext.op.kernel_functions import kernel_function
from semideep_ext.op.question import Question

# Kernel values held at once: 8 MiB of float32, so that forward and backward stay below 16 MiB of
# scratch.
_BLOCK_ELEMENTS = 2**20 // 2


def weighted_sum(question: Question) -> tuple[torch.Size, Tensor]:
    """Return the batch, which is none, and (L, N, C)."""
    x, y, v = question.x, question.y, question.v
    if x.dim() != 2 or y.dim() != 2 or (v is not None and v.dim() > 2):
        named = {"x": x, "y": y, "v or y_weight": v}
        given = [describe(name, tensor) for name, tensor in named.items() if tensor is not None]
        raise ValueError(
            f"a callable metric takes (N, D) and (M, D) rows without batch dimensions: "
            f"{', '.join(given)}; loop over the batch"
        )
    levels = math.prod(question.levels)
    rows = max(1, _BLOCK_ELEMENTS // (y.shape[0] * levels))
    function = kernel_function(question.kernel)

    def block_sum(block: Tensor, y: Tensor, v: Tensor | None, parameter: Tensor) -> Tensor:
        # As the compiled ops do: half types would lose precision that the caller did not give away.
        with torch.autocast(y.device.type, enabled=False):
            d = distances(question.metric, block, y)
            p = parameter.to(d.dtype).reshape(-1, 1, 1).expand(levels, 1, 1)
            if question.log:
                return _log_sum(function.log(d, p), v)
            return _sum(function.value(d, p), v)

    def all_blocks(x: Tensor, *others: Any) -> Tensor:
        blocks = x.split(rows) if x.shape[0] else (x,)
        if in_graph():  # `remade` has them recomputed
            return torch.cat([block_sum(block, *others) for block in blocks], dim=1)
        # Recomputed in the backward pass: otherwise autograd would keep all blocks, that is, the
        # matrix. All tensors are arguments, for checkpoint sees changes in place of those only.
        return torch.cat(
            [checkpoint(block_sum, block, *others, use_reentrant=False) for block in blocks], dim=1
        )

    return torch.Size(), remade(all_blocks, x, y, v, question.parameter)


def _sum(kernel: Tensor, v: Tensor | None) -> Tensor:
    """(L, n, M) -> (L, n, C)."""
    if v is None:
        return kernel.mean(-1, keepdim=True)
    return kernel @ (v.unsqueeze(-1) if v.dim() == 1 else v)


def _log_sum(log_kernel: Tensor, v: Tensor | None) -> Tensor:
    """(L, n, M) -> (L, n, 1)."""
    if v is None:
        return log_kernel.logsumexp(-1, keepdim=True) - math.log(log_kernel.shape[-1])
    # The logarithm of a weight of 0 has no derivative, but the sum has one by that weight. Such a
    # column may lie far above the shift, and infinity times 0 would be NaN.
    weight = v.squeeze(-1)
    shift = log_kernel.detach().masked_fill(weight == 0, -math.inf).amax(-1, keepdim=True)
    shift = torch.where(shift.isfinite(), shift, 0.0)
    most = math.log(torch.finfo(log_kernel.dtype).max) - 1
    terms = (log_kernel - shift).clamp(max=most).exp() * weight
    return terms.sum(-1, keepdim=True).log() + shift


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
