"""Contestants that give the weights, or keep distances on the card; and ourselves."""

from __future__ import annotations

from importlib import import_module

import torch
from torch import Tensor

from semideep_ext.benchmark.cells import LAMBDA, Cell
from semideep_ext.benchmark.contestants._calls import (
    Call,
    Distances,
    UnsupportedError,
    block_rows,
    forward_only,
    in_blocks,
    name_of_formula,
    weight_dtype,
    with_backward,
)
from semideep_ext.op.functional import distance_weights

# Of LazyTensors, whose last axis are the features.
LAZY: dict[str, Distances] = {
    "euclidean": lambda x, y: ((x - y) ** 2).sum(-1).sqrt(),
    "sqeuclidean": lambda x, y: ((x - y) ** 2).sum(-1),
    "cosine": lambda x, y: 1 - (x * y).sum(-1),
    "hamming": lambda x, y: (x - y).abs().sign().sum(-1) / x.shape[-1],
    "hamming of bits": lambda x, y: ((x - y) ** 2).sum(-1) / x.shape[-1],
    "jaccard": lambda x, y: ((x - y) ** 2).sum(-1) / (((x + y).sign().sum(-1) - 1).relu() + 1),
}


def pykeops(cell: Cell, threads: int) -> dict[str, Call]:
    keops = import_module("pykeops")
    keops.set_verbose(False)
    lazy = import_module("pykeops.torch").LazyTensor
    name = name_of_formula(cell)
    if name not in LAZY:
        raise UnsupportedError(f"no formula for {name!r}")

    def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        x, y = x.to(weight_dtype(x)), y.to(weight_dtype(y))
        if cell.metric == "cosine":
            x, y = torch.nn.functional.normalize(x), torch.nn.functional.normalize(y)
        d = LAZY[name](lazy(x[:, None]), lazy(y[None]))
        return ((-LAMBDA * d).exp().sum(1)[:, 0] / len(y),)

    return {"LazyTensor": with_backward(call, cell)}


def cuvs(cell: Cell, threads: int) -> dict[str, Call]:
    pairwise_distance = import_module("cuvs.distance").pairwise_distance
    forward_only(cell)
    if cell.metric == "jaccard":
        raise UnsupportedError("has no jaccard distance of dense rows")

    def distances(x: Tensor, y: Tensor) -> Tensor:
        dtype = weight_dtype(x)
        # It writes to another stream than torch's.
        found = torch.empty((len(x), len(y)), dtype=dtype, device=x.device)
        torch.cuda.current_stream().synchronize()
        pairwise_distance(
            x.to(dtype).contiguous(), y.to(dtype).contiguous(), out=found, metric=cell.metric
        )
        return found

    def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (distances(x, y).mul_(-LAMBDA).exp_().mean(1),)

    return {name: in_blocks(call, rows) for name, rows in block_rows(cell).items()}


def semideep(cell: Cell, threads: int) -> dict[str, Call]:
    computer = import_module("semideep").WeightComputer(cell.metric, LAMBDA)
    forward_only(cell)

    def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (torch.from_numpy(computer.compute_weights(x.numpy(), y.numpy())),)

    return {"WeightComputer": call}


def ours(cell: Cell, threads: int) -> dict[str, Call]:
    def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (distance_weights(x, y, cell.metric, LAMBDA),)

    return {"distance_weights": with_backward(call, cell)}
