"""The cells of a card: what it is asked to compute, and what it must reach."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import bench
import ceilings
import torch

from semideep_ext.benchmark.bench import TURNS, fastest_way
from semideep_ext.benchmark.cells import Cell, draw
from semideep_ext.benchmark.contestants import CONTESTANTS, CUDA_CONTESTANTS, OURS
from semideep_ext.op.metrics import METRICS

SHARE = 0.7
WORST_ERROR = 1e-5  # of ours, weights and gradients
CELLS_PER_CEILING = 8
LONGEST_CALL = 2.0  # seconds


def _target(cell: Cell) -> bench.Target:
    if cell.is_small:
        return bench.Target(overhead_us=15)
    if cell.dtype != "float32" or cell.backward:
        return bench.Target(share=SHARE)
    if cell.d <= 16:
        return bench.Target(keops=1.3, share=SHARE)
    return bench.Target(ratio=3 if cell.d >= 64 else None, share=SHARE)


def cells(device: str = "cuda") -> dict[Cell, bench.Target]:
    """Return them with the most telling first, in case time runs out."""
    forward = [
        Cell("euclidean", 100_000, 100_000, 3),
        Cell("euclidean", 50_000, 50_000, 16),
        Cell("euclidean", 50_000, 50_000, 64),
        Cell("euclidean", 50_000, 50_000, 128),
        Cell("euclidean", 20_000, 20_000, 784),
        Cell("cosine", 20_000, 20_000, 768),
        Cell("hamming", 50_000, 50_000, 64),
        Cell("hamming", 50_000, 50_000, 1024, bits=True),
        Cell("jaccard", 50_000, 50_000, 1024),
        Cell("jaccard", 50_000, 50_000, 64),
        Cell("euclidean", 50_000, 50_000, 30),
        Cell("cosine", 50_000, 50_000, 30),
    ]
    other = [
        Cell("euclidean", 32, 100, 5, threads=1),
        Cell("euclidean", 50_000, 50_000, 64, "bfloat16"),
        Cell("euclidean", 20_000, 20_000, 784, "bfloat16"),
        Cell("euclidean", 20_000, 20_000, 30, "float64"),
        Cell("euclidean", 10_000, 10_000, 128, "float64"),
        Cell("jaccard", 50_000, 50_000, 128),
        Cell("hamming", 50_000, 50_000, 256, bits=True),
    ]
    both = [
        replace(cell, n=cell.n // 2, m=cell.m // 2, backward=True)
        for cell in forward
        if METRICS[cell.metric].differentiable
    ]
    # Backward before the rest: it is what training spends its time on.
    wanted = [*forward, *other[:1], *both, *other[1:]]
    return {replace(cell, device=device): _target(cell) for cell in wanted}


def smaller(cell: Cell) -> Cell:
    """Return what a dry run does instead: the same shapes on a hundredth of the rows."""
    return cell if cell.is_small else replace(cell, n=cell.n // 100, m=cell.m // 100)


def run(device: str, quick: bool, program: Path, path: Path) -> dict[str, Any]:
    """Measure all cells; write to path as results come in."""
    wanted = cells(device)
    if quick:
        wanted = {smaller(cell): target for cell, target in wanted.items()}
    if device == "cuda":
        contestants, measure = CUDA_CONTESTANTS, lambda: ceilings.measure_card(program)
    else:
        contestants = {OURS: CONTESTANTS[OURS]}
        measure = functools.partial(ceilings.measure, torch.get_num_threads(), program)
    return bench.run(
        wanted,
        TURNS,
        path,
        measure,
        CELLS_PER_CEILING,
        contestants=contestants,
        longest_call=LONGEST_CALL,
    )


def compile_peers(device: str, quick: bool) -> dict[str, str]:
    """Let torch compile all formulas, on the few rows of a trial; return why some were skipped."""
    skipped = {}
    for cell in cells(device):
        cell = smaller(cell) if quick else cell
        try:
            rows = draw(cell)
            fastest_way(CUDA_CONTESTANTS["torch.compile"], cell, 1, *rows, math.inf)
        except Exception as reason:  # the benchmark will meet it again, and say so
            skipped[bench.name(cell)] = str(reason).partition("\n")[0]
    return skipped


def problems(results: dict[str, Any]) -> list[str]:
    """Return what is wrong with our own results; targets that were missed are no fault."""
    found = []
    for cell in results["cells"]:
        error = cell["contestants"][OURS]["error"]
        if not error <= WORST_ERROR:  # NaN is no error that may pass
            found.append(f"{cell['name']}: error {error:.0e}, at most {WORST_ERROR:.0e}")
    return found
