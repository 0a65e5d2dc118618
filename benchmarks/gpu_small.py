"""Calls for the toolkit's tools to watch.

python benchmarks/gpu_small.py cuda            # every kernel, few rows: for compute-sanitizer
python benchmarks/gpu_small.py cuda --profile  # one call a cell of PROFILED: for ncu
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable, Iterator

import torch
from cuda_bits import METRICS_OF_BITS, WAYS, counted_by

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.benchmark.cells import LAMBDA, Cell, draw
from semideep_ext.op.metrics import KERNELS, METRICS
from semideep_ext.op.testing import random_rows

# Beyond a span of columns and several tiles, each with a rest.
ROWS, COLUMNS, FEATURES = 70, 1100, (3, 35)

PROFILED = [
    Cell("euclidean", 30_000, 30_000, 3),
    Cell("euclidean", 20_000, 20_000, 64),
    Cell("euclidean", 20_000, 20_000, 128, "bfloat16"),
    Cell("cosine", 10_000, 10_000, 768),
    Cell("hamming", 20_000, 20_000, 64),
    Cell("jaccard", 20_000, 20_000, 1024),
    Cell("euclidean", 10_000, 10_000, 64, backward=True),
    Cell("euclidean", 10_000, 10_000, 30, "float64"),
]
MARK = "erfinv"  # a kernel of torch that nothing else here runs: it stands before each cell's


def cases(device: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Give calls that together run every kernel, by name."""
    generator = torch.Generator().manual_seed(0)
    dtypes = (torch.float32, torch.float64, torch.bfloat16)
    for metric, d, dtype in itertools.product(METRICS, FEATURES, dtypes):
        x, y = (random_rows(metric, n, d, dtype, generator).to(device) for n in (ROWS, COLUMNS))
        name = f"{metric} {d} {dtype}"
        yield name, lambda x=x, y=y, m=metric: distance_weights(x, y, m)
        yield f"{name} log", lambda x=x, y=y, m=metric: distance_weights(x, y, m, log=True)
        if METRICS[metric].differentiable and dtype != torch.bfloat16:
            yield f"{name} backward", lambda x=x, y=y, m=metric: backward(x, y, m)
        for kernel in KERNELS:
            v = torch.ones(COLUMNS, 5, device=device)
            lambdas = torch.tensor([0.5, 1.0, 2.0], device=device)
            yield (
                f"{name} {kernel} 15 sums",
                lambda x=x, y=y, m=metric, k=kernel, v=v, lam=lambdas: kernel_matmul(
                    x, y, v.to(x.dtype), m, lam, kernel=k
                ),
            )
    for metric, d, way in itertools.product(METRICS_OF_BITS, (35, 300), WAYS):
        x, y = (
            random_rows(metric, n, d, torch.float32, generator).remainder(2).to(device)
            for n in (ROWS, COLUMNS)
        )
        yield f"{metric} of {d} bits by {way}", lambda x=x, y=y, m=metric, w=way: count(x, y, m, w)
    x, y = (torch.randn(3, n, 9, generator=generator).to(device) for n in (ROWS, COLUMNS))
    yield "batches", lambda: distance_weights(x, y)


def backward(x: torch.Tensor, y: torch.Tensor, metric: str) -> None:
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    distance_weights(x, y, metric).sum().backward()


def count(x: torch.Tensor, y: torch.Tensor, metric: str, way: str) -> None:
    with counted_by(way):
        distance_weights(x, y, metric)
        distance_weights(x, y, metric, torch.tensor([0.5, 1.0], device=x.device))


def profile(device: str) -> None:
    """Run each cell once to warm up, then once between calls of the profiler's start and stop."""
    for cell in PROFILED:
        x, y = (rows.to(device) for rows in draw(cell))

        def call(x=x, y=y, cell=cell):
            if cell.backward:
                backward(x, y, cell.metric)
            else:
                distance_weights(x, y, cell.metric, LAMBDA)

        call()
        torch.cuda.synchronize()
        torch.cuda.profiler.start()
        torch.erfinv(torch.zeros(1, device=device))
        call()
        torch.cuda.synchronize()
        torch.cuda.profiler.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("device")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.profile:
        profile(options.device)
        return
    count = 0
    for name, call in cases(options.device):
        try:
            call()
            if options.device == "cuda":
                torch.cuda.synchronize()
        except Exception:
            print(f"in {name}", flush=True)
            raise
        count += 1
    print(f"{count} calls done")


if __name__ == "__main__":
    main()
