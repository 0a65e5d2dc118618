"""Everyone who competes in a cell of the benchmark.

A contestant offers ways to compute the same weights, and the fastest of them counts: one formula
or another, compiled or not, large blocks of rows or small. Encoding rows (one-hot, packed bits) is
part of the call that is timed. Libraries that only give distances share one epilogue, in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semideep_ext.cells import LAMBDA, Cell
from semideep_ext.functional import distance_weights

__all__ = ["CONTESTANTS", "CUDA_CONTESTANTS", "OURS", "Contestant", "UnsupportedError"]

OURS = "semideep_ext"
# Distances at a time, for those who work in blocks of rows. Which is faster depends on the caches.
BLOCKS = (2**20, 2**22)
CUDA_BLOCKS = (2**22, 2**26)  # in the second-level cache; large enough for launches to cost nothing

# Two sets of rows -> weights, and in cells with backward also the gradients of their sum.
Call = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
Distances = Callable[[Any, Any], Any]


class UnsupportedError(Exception):
    """Why a contestant does not compete in a cell."""


@dataclass(frozen=True)
class Contestant:
    """Someone who computes the weights.

    Attributes
    ----------
    package : str
        The distribution whose version counts.
    ways : callable
        From the cell and its number of threads: calls by name. Raises ImportError where the package
        is missing, `UnsupportedError` where it cannot do what the cell asks for.
    trial_pairs : int
        On about so many pairs of rows the ways are compared: few, for those who may take minutes.
    """

    package: str
    ways: Callable[[Cell, int], dict[str, Call]]
    trial_pairs: int = 2**21


# --- torch ----------------------------------------------------------------------------------------


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


# Exact products on the tensor cores of a card, whose sums are float32 or int32.


def _tensor_core_product(x: Tensor, y: Tensor) -> Tensor:
    return torch.mm(x.bfloat16(), y.bfloat16().T, out_dtype=torch.float32)


def _integer_product(x: Tensor, y: Tensor) -> Tensor:
    return torch._int_mm(x.to(torch.int8), y.to(torch.int8).T).to(x.dtype)


def _one_hot(x: Tensor) -> Tensor:
    categories = torch.arange(4, device=x.device)  # as random_rows draws them
    return (x[:, :, None] == categories).flatten(1).to(x.dtype)


# As whoever wants speed writes them: by a matrix product where there is one. At equal rows, 1e-30
# keeps the gradient of the square root finite.
_BY_PRODUCT: dict[str, Distances] = {
    "euclidean": lambda x, y: _squared(x, y).clamp(min=1e-30).sqrt(),
    "sqeuclidean": lambda x, y: _squared(x, y).clamp(min=0),
    "cosine": _cosine,
    "hamming": lambda x, y: 1 - _one_hot(x) @ _one_hot(y).T / x.shape[1],
    "hamming of bits": lambda x, y: (_sizes(x, y) - 2 * x @ y.T) / x.shape[1],
    "jaccard": lambda x, y: _jaccard(x @ y.T, _sizes(x, y)),
}
_BY_BFLOAT_PRODUCT: dict[str, Distances] = {
    "hamming": lambda x, y: 1 - _bfloat_product(_one_hot(x), _one_hot(y)) / x.shape[1],
    "hamming of bits": lambda x, y: (_sizes(x, y) - 2 * _bfloat_product(x, y)) / x.shape[1],
    "jaccard": lambda x, y: _jaccard(_bfloat_product(x, y), _sizes(x, y)),
}


_Product = Callable[[Tensor, Tensor], Tensor]


def _with_product(metric: str, product: _Product) -> Distances:
    """Return the matrix formula of a metric on small integers, or on bfloat16, by this product."""

    def distances(x: Tensor, y: Tensor) -> Tensor:
        if metric == "hamming":
            return 1 - product(_one_hot(x), _one_hot(y)) / x.shape[1]
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


def _weight_dtype(rows: Tensor) -> torch.dtype:
    return torch.float64 if rows.dtype == torch.float64 else torch.float32


def _compared(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, None] != y).to(x.dtype).mean(2)


def _formulas(cell: Cell) -> dict[str, Distances]:
    name = _name_of_formula(cell)
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


def _name_of_formula(cell: Cell) -> str:
    return "hamming of bits" if cell.bits else cell.metric


@cache
def _compiled(distances: Distances, dynamic: bool = True) -> Call:
    # Every formula is a variant of the one function below; past the limit, torch would not compile.
    torch._dynamo.config.recompile_limit = 200
    # On CPUs one compilation for all sizes was measured to be as fast as one for each.
    return torch.compile(_torch_call(distances), dynamic=dynamic, fullgraph=True)


def _torch_call(distances: Distances) -> Call:
    def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        dtype = _weight_dtype(x)
        return (torch.exp(-LAMBDA * distances(x.to(dtype), y.to(dtype))).mean(1),)

    return call


def _with_backward(call: Call, cell: Cell) -> Call:
    def forward_backward(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
        (w,) = call(x, y)
        return (w.detach(), *torch.autograd.grad(w.sum(), (x, y)))

    return forward_backward if cell.backward else call


def _in_blocks(call: Call, rows: int) -> Call:
    # Results are written in place: between freed blocks, many small ones would fragment the heap.
    def blocks(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        if rows >= len(x):
            return call(x, y)
        w = x.new_empty(len(x), dtype=_weight_dtype(x))
        x_gradient, y_gradient = torch.empty_like(x), torch.zeros_like(y)
        gradients: list[Tensor] = []
        for start in range(0, len(x), rows):
            at = slice(start, start + rows)
            w[at], *gradients = call(x[at], y)
            if gradients:
                x_gradient[at] = gradients[0]
                y_gradient += gradients[1]
        return (w, x_gradient, y_gradient) if gradients else (w,)

    return blocks


def _block_rows(cell: Cell) -> dict[str, int]:
    blocks = CUDA_BLOCKS if cell.device == "cuda" else BLOCKS
    rows = {min(cell.n, max(16, distances // cell.m)) for distances in blocks}
    return {f"{r} rows": r for r in sorted(rows)}


def _compiled_formulas(cell: Cell) -> dict[str, Call]:
    return {
        formula: _with_backward(_compiled(distances), cell)
        for formula, distances in _formulas(cell).items()
    }


def _torch_compile(cell: Cell, threads: int) -> dict[str, Call]:
    calls = _compiled_formulas(cell)
    if cell.device == "cuda" and cell.d >= 64 and not cell.backward:  # takes long to compile
        fixed = _compiled(_formulas(cell)["product"], dynamic=False)
        calls["product, sizes fixed"] = _with_backward(fixed, cell)
    return calls


def _torch_in_blocks(cell: Cell, threads: int) -> dict[str, Call]:
    calls = {f"compiled {name}": call for name, call in _compiled_formulas(cell).items()}
    eager = {**_formulas(cell)}
    eager.pop("comparison", None)  # would store N x M x D values
    if cell.metric == "euclidean":
        eager["cdist"] = torch.cdist
    calls |= {name: _with_backward(_torch_call(formula), cell) for name, formula in eager.items()}
    return {
        f"{name}, {size}": _in_blocks(call, rows)
        for name, call in calls.items()
        for size, rows in _block_rows(cell).items()
    }


# --- libraries that give distances ----------------------------------------------------------------


def _decay(distances: Any, dtype: torch.dtype, scale: float = 1.0) -> Tensor:
    d = torch.from_numpy(np.asarray(distances)).to(dtype)
    return d.mul_(-LAMBDA * scale).exp_().mean(1)


def _forward_only(cell: Cell) -> None:
    if cell.backward:
        raise UnsupportedError("has no gradients")


def _distances_in_blocks(
    cell: Cell,
    distances: Distances,
    encode_x: Callable[[Tensor], Any],
    encode_y: Callable[[Tensor], Any],
    scale: float = 1.0,
) -> dict[str, Call]:
    """Ways of different block sizes; y is encoded once a call."""

    def way(rows: int) -> Call:
        def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            encoded = encode_y(y)

            def of_block(block: Tensor, _: Tensor) -> tuple[Tensor, ...]:
                return (_decay(distances(encode_x(block), encoded), x.dtype, scale),)

            return _in_blocks(of_block, rows)(x, y)

        return call

    return {name: way(rows) for name, rows in _block_rows(cell).items()}


def _scipy_rows(cell: Cell) -> Callable[[Tensor], np.ndarray]:
    if cell.is_binary:
        return lambda rows: rows.numpy() != 0
    return lambda rows: rows.double().numpy()


def _scipy(cell: Cell, threads: int) -> dict[str, Call]:
    cdist = import_module("scipy.spatial.distance").cdist
    _forward_only(cell)
    encode = _scipy_rows(cell)
    return _distances_in_blocks(cell, lambda x, y: cdist(x, y, cell.metric), encode, encode)


def _scikit_learn(cell: Cell, threads: int) -> dict[str, Call]:
    chunked = import_module("sklearn.metrics").pairwise_distances_chunked
    _forward_only(cell)

    def way(jobs: int) -> Call:
        def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            encode = _scipy_rows(cell) if cell.is_binary else Tensor.numpy
            blocks = chunked(
                encode(x),
                encode(y),
                metric=cell.metric,
                n_jobs=jobs,
                working_memory=64,
                reduce_func=lambda block, _: _decay(block, x.dtype),
            )
            return (torch.cat(list(blocks)),)

        return call

    return {f"n_jobs={jobs}": way(jobs) for jobs in {1, threads}}


def _packed_bits(rows: Tensor) -> np.ndarray:
    return np.packbits(rows.numpy() != 0, axis=1)


def _packed_categories(rows: Tensor) -> np.ndarray:
    return np.packbits(_one_hot(rows).bool().numpy(), axis=1)


def _bits(cell: Cell) -> tuple[Callable[[Tensor], np.ndarray], float]:
    """How sets and categories become bits, and what one unit of the distance of bits is worth."""
    if cell.metric == "jaccard":
        return _packed_bits, 1.0
    if cell.bits:
        return _packed_bits, 1 / cell.d
    return _packed_categories, 1 / (2 * cell.d)  # where categories differ, two one-hot bits do


def _numkong(cell: Cell, threads: int) -> dict[str, Call]:
    numkong = import_module("numkong")
    _forward_only(cell)
    functions = {
        "euclidean": numkong.euclideans_packed,
        "cosine": numkong.angulars_packed,
        "hamming": numkong.hammings_packed,
        "jaccard": numkong.jaccards_packed,
    }
    if cell.metric not in functions:
        raise UnsupportedError(f"has no packed distances for metric {cell.metric!r}")

    def distances(x: Any, y: Any) -> Any:
        return functions[cell.metric](x, y, threads=threads)

    if cell.metric in ("hamming", "jaccard"):
        encode, scale = _bits(cell)
        return _distances_in_blocks(
            cell, distances, encode, lambda y: numkong.hammings_pack(encode(y)), scale
        )
    return _distances_in_blocks(
        cell, distances, Tensor.numpy, lambda y: numkong.dots_pack(y.numpy())
    )


def _simsimd(cell: Cell, threads: int) -> dict[str, Call]:
    cdist = import_module("simsimd").cdist
    _forward_only(cell)
    if cell.metric not in ("euclidean", "sqeuclidean", "cosine", "hamming", "jaccard"):
        raise UnsupportedError(f"has no metric {cell.metric!r}")
    options = {"metric": cell.metric, "threads": threads, "out_dtype": cell.dtype}
    if cell.metric in ("hamming", "jaccard"):
        encode, scale = _bits(cell)
        options["dtype"] = "bin8"
    else:
        encode, scale = lambda rows: rows.numpy(), 1.0

    def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        found = np.asarray(cdist(x, y, **options))
        if cell.metric == "jaccard":  # it has two empty sets at distance 1; everyone else, at 0
            found[np.ix_(~x.any(1), ~y.any(1))] = 0
        return found

    return _distances_in_blocks(cell, distances, encode, encode, scale)


# --- others that give the weights -----------------------------------------------------------------

# Of LazyTensors, whose last axis are the features.
_LAZY: dict[str, Distances] = {
    "euclidean": lambda x, y: ((x - y) ** 2).sum(-1).sqrt(),
    "sqeuclidean": lambda x, y: ((x - y) ** 2).sum(-1),
    "cosine": lambda x, y: 1 - (x * y).sum(-1),
    "hamming": lambda x, y: (x - y).abs().sign().sum(-1) / x.shape[-1],
    "hamming of bits": lambda x, y: ((x - y) ** 2).sum(-1) / x.shape[-1],
    "jaccard": lambda x, y: ((x - y) ** 2).sum(-1) / (((x + y).sign().sum(-1) - 1).relu() + 1),
}


def _pykeops(cell: Cell, threads: int) -> dict[str, Call]:
    keops = import_module("pykeops")
    keops.set_verbose(False)
    lazy = import_module("pykeops.torch").LazyTensor
    name = _name_of_formula(cell)
    if name not in _LAZY:
        raise UnsupportedError(f"no formula for {name!r}")

    def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        x, y = x.to(_weight_dtype(x)), y.to(_weight_dtype(y))
        if cell.metric == "cosine":
            x, y = torch.nn.functional.normalize(x), torch.nn.functional.normalize(y)
        d = _LAZY[name](lazy(x[:, None]), lazy(y[None]))
        return ((-LAMBDA * d).exp().sum(1)[:, 0] / len(y),)

    return {"LazyTensor": _with_backward(call, cell)}


def _cuvs(cell: Cell, threads: int) -> dict[str, Call]:
    pairwise_distance = import_module("cuvs.distance").pairwise_distance
    _forward_only(cell)
    if cell.metric == "jaccard":
        raise UnsupportedError("has no jaccard distance of dense rows")

    def distances(x: Tensor, y: Tensor) -> Tensor:
        dtype = _weight_dtype(x)
        # It writes to another stream than torch's.
        found = torch.empty((len(x), len(y)), dtype=dtype, device=x.device)
        torch.cuda.current_stream().synchronize()
        pairwise_distance(
            x.to(dtype).contiguous(), y.to(dtype).contiguous(), out=found, metric=cell.metric
        )
        return found

    def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (distances(x, y).mul_(-LAMBDA).exp_().mean(1),)

    return {name: _in_blocks(call, rows) for name, rows in _block_rows(cell).items()}


def _semideep(cell: Cell, threads: int) -> dict[str, Call]:
    computer = import_module("semideep").WeightComputer(cell.metric, LAMBDA)
    _forward_only(cell)

    def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (torch.from_numpy(computer.compute_weights(x.numpy(), y.numpy())),)

    return {"WeightComputer": call}


def _ours(cell: Cell, threads: int) -> dict[str, Call]:
    def call(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (distance_weights(x, y, cell.metric, LAMBDA),)

    return {"distance_weights": _with_backward(call, cell)}


CONTESTANTS: dict[str, Contestant] = {
    OURS: Contestant("semideep_ext", _ours),
    "torch.compile": Contestant("torch", _torch_compile, trial_pairs=2**24),
    "torch in blocks": Contestant("torch", _torch_in_blocks, trial_pairs=2**24),
    "scikit-learn": Contestant("scikit-learn", _scikit_learn),
    "SciPy": Contestant("scipy", _scipy),
    "pykeops": Contestant("pykeops", _pykeops),
    "numkong": Contestant("numkong", _numkong),
    "simsimd": Contestant("simsimd", _simsimd),
    "semideep": Contestant("semideep", _semideep),
}
# Those who compute on a card.
CUDA_CONTESTANTS: dict[str, Contestant] = {
    **{name: CONTESTANTS[name] for name in (OURS, "torch.compile", "torch in blocks", "pykeops")},
    "cuvs": Contestant("cuvs", _cuvs),
}
