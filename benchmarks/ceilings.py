"""The machine's ceilings, and the least time that they allow a cell.

Operation counts stand here, in `ways`, for processors and cards alike.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from semideep_ext.benchmark import cuda_clock
from semideep_ext.benchmark.cells import Cell
from semideep_ext.op.metrics import METRICS

PROGRAM = Path(__file__).parents[1] / "build" / "native" / "ceilings"
Rates = dict[str, float]


def measure(threads: int, program: Path | None = None) -> Rates:
    """Billions a second, by name; benchmarks/ceilings.cpp says of what."""
    found = subprocess.run(
        [program or PROGRAM, str(threads)], capture_output=True, text=True, check=True
    )
    return json.loads(found.stdout)


def measure_card(program: Path) -> Rates:
    """Rates of the card that is in use; benchmarks/ceilings.cu says of what."""
    found = subprocess.run([program], capture_output=True, text=True, check=True)
    return json.loads(found.stdout) | matrix_rates("cuda")


def matrix_rates(device: str, size: int = 8192) -> Rates:
    """Billions of operations a second that torch's matrix product reaches, by type of tensor core.

    On a card that is cuBLAS, whose instructions other libraries use too.
    """

    def operands(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        # Of the size that random rows have: cards slow down by the bits that change, never on 0.
        a, b = (torch.randn(size, size, device=device) for _ in range(2))
        if dtype == torch.int8:
            a, b = 50 * a.clamp(-2, 2), 50 * b.clamp(-2, 2)
        return a.to(dtype), b.to(dtype)

    products: dict[str, tuple[torch.dtype, Callable[[Tensor, Tensor], Tensor]]] = {
        "tensor_bfloat16": (torch.bfloat16, torch.mm),
        "tensor_float16": (torch.float16, torch.mm),
        "tensor_float64": (torch.float64, torch.mm),
        "tensor_int8_cublas": (torch.int8, lambda a, b: torch._int_mm(a, b.T)),
    }
    rates = {}
    for name, (dtype, product) in products.items():
        a, b = operands(dtype)
        rates[name] = 2 * size**3 / 1e9 / _fastest(lambda a=a, b=b, f=product: f(a, b), device)
    return rates


def _fastest(call: Callable[[], object], device: str) -> float:
    if device == "cuda":
        call()
        return min(cuda_clock.seconds(call) for _ in range(5))
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median(samples: list[Rates]) -> Rates:
    return {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}


def ways(cell: Cell) -> list[dict[str, float]]:
    """Billions of operations that a cell cannot do without, by the ceiling they count against.

    A card has several ways to do the same; each is an entry. The backward pass computes the
    distances once more, and a product each for x and for y.
    """
    pairs = cell.n * cell.m / 1e9
    passes = 2 if cell.backward else 1
    wide = "float64" if cell.dtype == "float64" else "float32"  # bfloat16 has epilogues of float32
    epilogue = "sqrt_exp" if cell.metric == "euclidean" else "exp"
    return [
        {unit: operations * pairs, f"{epilogue}_{wide}": passes * pairs}
        for unit, operations in _products(cell, wide).items()
    ]


def _products(cell: Cell, wide: str) -> dict[str, float]:
    """Operations a pair of rows, apart from the epilogue: one entry for each way."""
    on_card = cell.device == "cuda"
    if METRICS[cell.metric].sum_of == "squares":  # distances are a matrix product; the others count
        operations = 2 * cell.d * (4 if cell.backward else 1)
        if on_card and cell.dtype == "bfloat16":
            return {"tensor_bfloat16": operations}
        found = {f"fma_{wide}": operations}
        if on_card and wide == "float64":
            found["tensor_float64"] = operations
        elif on_card:  # three products of floats split in two are as accurate as one in float32
            found["tensor_float16"] = 3 * operations
        return found
    if cell.is_binary:
        words = -(-cell.d // 64)
        tensor = {"tensor_int8": 2 * cell.d, "tensor_b1": 2 * cell.d}
        return {"popcount": words, **(tensor if on_card else {})}
    return {"compare": cell.d}


def floor(cell: Cell, rates: Rates) -> tuple[float, str]:
    """Seconds that a cell takes at least, and the ceiling that most of them are due to."""
    seconds, unit = min(floors(cell, rates))
    return seconds, unit


def floors(cell: Cell, rates: Rates) -> list[tuple[float, str]]:
    """Seconds that a cell takes at least, and the ceiling that binds, for each way to compute it.

    On a processor, products and epilogue share the vector units, so their times add up; on a card
    each has units of its own, so the longer of them counts. Reading the rows goes on beside them.
    """
    found = []
    rows = (cell.n + cell.m) * cell.d * getattr(torch, cell.dtype).itemsize / 1e9
    for way in ways(cell):
        times = {unit: amount / rates[unit] for unit, amount in way.items()}
        longest = max(times, key=times.__getitem__)
        arithmetic = times[longest] if cell.device == "cuda" else sum(times.values())
        reading = rows / rates["read"]
        found.append((reading, "read") if reading > arithmetic else (arithmetic, longest))
    return found
