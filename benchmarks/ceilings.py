"""The machine's ceilings, and the least time that they allow a cell."""

from __future__ import annotations

import json
import statistics
import subprocess
from pathlib import Path

import torch

from semideep_ext.cells import Cell

PROGRAM = Path(__file__).parents[1] / "build" / "native" / "ceilings"
# The metrics whose distances are a matrix product, as far as ceilings go; the others count.
BY_PRODUCT = ("euclidean", "sqeuclidean", "cosine")
Rates = dict[str, float]


def measure(threads: int) -> Rates:
    """Billions a second, by name; benchmarks/ceilings.cpp says of what."""
    found = subprocess.run([PROGRAM, str(threads)], capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


def median(samples: list[Rates]) -> Rates:
    return {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}


def work(cell: Cell) -> dict[str, float]:
    """Billions of operations that a cell cannot do without, by the ceiling they count against.

    The backward pass computes the distances once more, and a product each for x and for y.
    """
    pairs = cell.n * cell.m / 1e9
    passes = 2 if cell.backward else 1
    if cell.metric in BY_PRODUCT:
        products = 4 if cell.backward else 1
        unit, operations = f"fma_{cell.dtype}", 2 * cell.d * products
    elif cell.is_binary:
        unit, operations = "popcount", -(-cell.d // 64)
    else:
        unit, operations = "compare", cell.d
    epilogue = "sqrt_exp" if cell.metric == "euclidean" else "exp"
    return {unit: operations * pairs, f"{epilogue}_{cell.dtype}": passes * pairs}


def floor(cell: Cell, rates: Rates) -> tuple[float, str]:
    """Seconds that a cell takes at least, and the ceiling that most of them are due to.

    Products and epilogue share the vector units, so their times add up. Reading the rows goes on
    beside them.
    """
    times = {unit: amount / rates[unit] for unit, amount in work(cell).items()}
    rows = (cell.n + cell.m) * cell.d * getattr(torch, cell.dtype).itemsize / 1e9
    arithmetic, reading = sum(times.values()), rows / rates["read"]
    if reading > arithmetic:
        return reading, "read"
    return arithmetic, max(times, key=lambda unit: times[unit])
