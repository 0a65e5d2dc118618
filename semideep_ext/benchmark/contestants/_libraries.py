"""Contestants that are libraries of distances, which share one epilogue in torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
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
)
from semideep_ext.benchmark.contestants._torch import one_hot


def _decay(distances: Any, dtype: torch.dtype, scale: float = 1.0) -> Tensor:
    d = torch.from_numpy(np.asarray(distances)).to(dtype)
    return d.mul_(-LAMBDA * scale).exp_().mean(1)


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

            return in_blocks(of_block, rows)(x, y)

        return call

    return {name: way(rows) for name, rows in block_rows(cell).items()}


def _scipy_rows(cell: Cell) -> Callable[[Tensor], np.ndarray]:
    if cell.is_binary:
        return lambda rows: rows.numpy() != 0
    return lambda rows: rows.double().numpy()


def scipy(cell: Cell, threads: int) -> dict[str, Call]:
    cdist = import_module("scipy.spatial.distance").cdist
    forward_only(cell)
    encode = _scipy_rows(cell)
    return _distances_in_blocks(cell, lambda x, y: cdist(x, y, cell.metric), encode, encode)


def scikit_learn(cell: Cell, threads: int) -> dict[str, Call]:
    chunked = import_module("sklearn.metrics").pairwise_distances_chunked
    forward_only(cell)

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
    return np.packbits(one_hot(rows).bool().numpy(), axis=1)


def _bits(cell: Cell) -> tuple[Callable[[Tensor], np.ndarray], float]:
    """How sets and categories become bits, and what one unit of the distance of bits is worth."""
    if cell.metric == "jaccard":
        return _packed_bits, 1.0
    if cell.bits:
        return _packed_bits, 1 / cell.d
    return _packed_categories, 1 / (2 * cell.d)  # where categories differ, two one-hot bits do


def numkong(cell: Cell, threads: int) -> dict[str, Call]:
    numkong = import_module("numkong")
    forward_only(cell)
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


def simsimd(cell: Cell, threads: int) -> dict[str, Call]:
    cdist = import_module("simsimd").cdist
    forward_only(cell)
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
