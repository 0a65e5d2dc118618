"""Tensors in the shapes of the compiled ops, their leading dimensions folded into one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from semideep_ext.op.question import Question

Views = TypeVar("Views")


def fold(question: Question) -> tuple[torch.Size, tuple[Tensor, Tensor, Tensor | None, Tensor]]:
    """Return the leading dimensions, and x, y, v and the parameter as the compiled ops take them.

    Those are (B, N, D), (B, M, D), (B, L, M, C) and (B, L).
    """
    x, y, v, parameter = question.x, question.y, question.v, question.parameter
    if x.dim() == y.dim() == 2 and (v is None or v.dim() < 3):
        batch = _NO_BATCH  # by far the most common case, and shapes are slow
    else:
        batch = BatchShape(x.shape[:-2], y.shape[:-2], () if v is None else v.shape[:-2])
    levels = math.prod(question.levels)

    def views(
        x: Tensor, y: Tensor, v: Tensor | None, parameter: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        if v is not None:
            v = v.unsqueeze(-1) if v.dim() == 1 else v
            v = batch.fold(v, 2).unsqueeze(1).expand(-1, levels, -1, -1)
        if batch.shape or question.levels or parameter.dim() < 2:
            parameter = parameter.reshape(1, -1).expand(batch.size, levels)
        return batch.fold(x, 2), batch.fold(y, 2), v, parameter

    return batch.shape, remade(views, x, y, v, parameter)


def remade(f: Callable[..., Views], *tensors: Tensor | None) -> Views:
    """Call f; have a compiled graph keep its arguments for the backward pass, not its results.

    Inductor makes a view that it saves anew from its address, with a count of changes of its own:
    a change in place of the caller's tensor would give a wrong gradient where eager mode raises.
    """
    return checkpoint(f, *tensors, use_reentrant=False) if in_graph() else f(*tensors)


def in_graph() -> bool:
    """Whether torch.compile is at work; torch.export, which is too, saves nothing."""
    return torch.compiler.is_dynamo_compiling() and not _is_exporting()


@torch.compiler.assume_constant_result
def _is_exporting() -> bool:
    """Ask outside of the graph: inside, torch 2.10 says yes whenever it compiles."""
    return torch.compiler.is_exporting()


class BatchShape:
    """Leading dimensions, broadcast as in torch.cdist and folded into one."""

    def __init__(self, *shapes: Sequence[int]) -> None:
        try:
            self.shape = torch.broadcast_shapes(*shapes)
        except RuntimeError:
            raise ValueError(
                f"the batch dimensions {', '.join(str(tuple(s)) for s in shapes)} do not "
                "broadcast: each must be equal, 1 or missing"
            ) from None
        self.size = math.prod(self.shape)

    def fold(self, tensor: Tensor, kept: int) -> Tensor:
        """(..., *kept dimensions) -> (B, *kept dimensions); B = 1 without a batch."""
        if not self.shape:
            return tensor.unsqueeze(0)
        rest = tensor.shape[tensor.dim() - kept :]
        if tensor.dim() == kept:
            return tensor.expand(self.size, *rest)  # one stride of 0, no copy
        return tensor.expand(*self.shape, *rest).reshape(self.size, *rest)


_NO_BATCH = BatchShape()
