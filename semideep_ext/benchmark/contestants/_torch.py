"""Contestants in torch: matrix formulas, compiled or not, whole or in blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from semideep_ext.benchmark.cells import LAMBDA, Cell
from semideep_ext.benchmark.contestants._calls import (
    Call,
    Distances,
    UnsupportedError,
    block_rows,
    in_blocks,
    name_of_formula,
    weight_dtype,
    with_backward,
)


def _squared(x: Tensor, y: Tensor) -> Tensor:
    return x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T


def _cosine(x: Tensor, y: Tensor) -> Tensor:
    return 1 - torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T


def _sizes(x: Tensor, y: Tensor) -> Tensor:
    return x.sum(1)[:, None] + y.sum(1)


def _jaccard(shared: Tensor, sizes: Tensor) -> Tensor:
    either = sizes - shared
    return (either - shared) / either.clamp(min=1)


def _bfloat_product(x: Tensor, y: Tensor) -> Tensor:
    """Of 0 and 1: exact while the result is at most 256, and at several times the rate of float."""
    return (x.bfloat16() @ y.bfloat16().T).to(x.dtype)


def _tensor_core_product(x: Tensor, y: Tensor) -> Tensor:
    """Of small integers: exact, on the tensor cores of a card, whose sums are float32."""
    return torch.mm(x.bfloat16(), y.bfloat16().T, out_dtype=torch.float32)


def _integer_product(x: Tensor, y: Tensor) -> Tensor:
    """As before, with sums in int32."""
    return torch._int_mm(x.to(torch.int8), y.to(torch.int8).T).to(x.dtype)


def one_hot(x: Tensor) -> Tensor:
    categories = torch.arange(4, device=x.device)  # as random_rows draws them
    return (x[:, :, None] == categories).flatten(1).to(x.dtype)


# As whoever wants speed writes them: by a matrix product where there is one. At equal rows, 1e-30
# keeps the gradient of the square root finite.
_BY_PRODUCT: dict[str, Distances] = {
    "euclidean": lambda x, y: _squared(x, y).clamp(min=1e-30).sqrt(),
    "sqeuclidean": lambda x, y: _squared(x, y).clamp(min=0),
    "cosine": _cosine,
    "hamming": lambda x, y: 1 - one_hot(x) @ one_hot(y).T / x.shape[1],
    "hamming of bits": lambda x, y: (_sizes(x, y) - 2 * x @ y.T) / x.shape[1],
    "jaccard": lambda x, y: _jaccard(x @ y.T, _sizes(x, y)),
}


_BY_BFLOAT_PRODUCT: dict[str, Distances] = {
    "hamming": lambda x, y: 1 - _bfloat_product(one_hot(x), one_hot(y)) / x.shape[1],
    "hamming of bits": lambda x, y: (_sizes(x, y) - 2 * _bfloat_product(x, y)) / x.shape[1],
    "jaccard": lambda x, y: _jaccard(_bfloat_product(x, y), _sizes(x, y)),
}


_Product = Callable[[Tensor, Tensor], Tensor]


def _with_product(metric: str, product: _Product) -> Distances:
    """Return the matrix formula of a metric on small integers, or on bfloat16, by this product."""

    def distances(x: Tensor, y: Tensor) -> Tensor:
        if metric == "hamming":
            return 1 - product(one_hot(x), one_hot(y)) / x.shape[1]
        shared = product(x, y)
        if metric == "hamming of bits":
            return (_sizes(x, y) - 2 * shared) / x.shape[1]
        if metric == "jaccard":
            return _jaccard(shared, _sizes(x, y))
        x_squared, y_squared = x.square().sum(1)[:, None], y.square().sum(1)
        if metric == "cosine":
            return 1 - shared * x_squared.rsqrt() * y_squared.rsqrt()
        squared = x_squared + y_squared - 2 * shared
        return squared.clamp(min=1e-30).sqrt() if metric == "euclidean" else squared.clamp(min=0)

    return distances


# Functions made once: torch.compile is asked for each only once.
_CUDA_PRODUCTS = {
    (metric, name): _with_product(metric, product)
    for metric in _BY_PRODUCT
    for name, product in {
        "bfloat16 product": _tensor_core_product,
        "int8 product": _integer_product,
    }.items()
}


def _compared(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, None] != y).to(x.dtype).mean(2)


def formulas(cell: Cell) -> dict[str, Distances]:
    name = name_of_formula(cell)
    if name not in _BY_PRODUCT:
        raise UnsupportedError(f"no formula for {name!r}")
    found = {"product": _BY_PRODUCT[name]}
    counts = name in _BY_BFLOAT_PRODUCT
    if cell.device == "cuda":
        exact = {"bfloat16 product": counts or cell.dtype == "bfloat16", "int8 product": counts}
        found |= {way: _CUDA_PRODUCTS[name, way] for way, is_exact in exact.items() if is_exact}
    elif counts and cell.d <= 256:
        found["bfloat16 product"] = _BY_BFLOAT_PRODUCT[name]
    if name == "hamming":
        found["comparison"] = _compared
    return found


@cache
def compiled(distances: Distances, dynamic: bool = True) -> Call:
    # Every formula is a variant of the one function below; past the limit, torch would not compile.
    torch._dynamo.config.recompile_limit = 200
    # On CPUs one compilation for all sizes was measured to be as fast as one for each.
    return torch.compile(torch_call(distances), dynamic=dynamic, fullgraph=True)


def torch_call(distances: Distances) -> Call:
    def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        dtype = weight_dtype(x)
        return (torch.exp(-LAMBDA * distances(x.to(dtype), y.to(dtype))).mean(1),)

    return call


def _compiled_formulas(cell: Cell) -> dict[str, Call]:
    return {
        formula: with_backward(compiled(distances), cell)
        for formula, distances in formulas(cell).items()
    }


def torch_compile(cell: Cell, threads: int) -> dict[str, Call]:
    calls = _compiled_formulas(cell)
    if cell.device == "cuda" and cell.d >= 64 and not cell.backward:  # takes long to compile
        fixed = compiled(formulas(cell)["product"], dynamic=False)
        calls["product, sizes fixed"] = with_backward(fixed, cell)
    return calls


def torch_in_blocks(cell: Cell, threads: int) -> dict[str, Call]:
    calls = {f"compiled {name}": call for name, call in _compiled_formulas(cell).items()}
    eager = {**formulas(cell)}
    eager.pop("comparison", None)  # would store N x M x D values
    if cell.metric == "euclidean":
        eager["cdist"] = torch.cdist
    calls |= {name: with_backward(torch_call(formula), cell) for name, formula in eager.items()}
    return {
        f"{name}, {size}": in_blocks(call, rows)
        for name, call in calls.items()
        for size, rows in block_rows(cell).items()
    }
