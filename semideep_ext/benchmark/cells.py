"""What one cell of the benchmark computes, and on which data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semideep_ext.benchmark.process import free_memory
from semideep_ext.op.metrics import METRICS
from semideep_ext.op.testing import random_rows

__all__ = ["LAMBDA", "SMALL_PAIRS", "Cell", "check_memory", "draw", "seconds_expected"]

LAMBDA = 0.8
# Of a call whose overhead is what counts.
SMALL_PAIRS = 2**16
# Of a forward call in float32 on two threads: README's table has 58 ms for 20000 x 20000 x 3 and
# 190 ms for 10000 x 5000 x 784.
SECONDS_PER_PAIR, SECONDS_PER_FEATURE = 1.3e-10, 4.7e-12


@dataclass(frozen=True)
class Cell:
    """What is computed, on how much data.

    Attributes
    ----------
    metric : str
        A name in `semideep_ext.METRICS`.
    n, m, d : int
        Rows of x, rows of y, features.
    dtype : {"float32", "float64", "bfloat16"}
        Of the rows.
    backward : bool
        Whether the gradients with respect to x and y are part of the call.
    bits : bool
        Whether the rows of hamming hold 0 and 1, instead of four categories.
    threads : int, optional
        Default: as many as torch uses.
    device : str
        Where the rows are.
    """

    metric: str
    n: int
    m: int
    d: int
    dtype: str = "float32"
    backward: bool = False
    bits: bool = False
    threads: int | None = None
    device: str = "cpu"

    @property
    def is_binary(self) -> bool:
        """Whether the rows hold 0 and 1 only."""
        return self.bits or METRICS[self.metric].sum_of == "common"

    @property
    def is_small(self) -> bool:
        """Whether the overhead of a call is what counts."""
        return self.n * self.m < SMALL_PAIRS


def draw(cell: Cell) -> tuple[Tensor, Tensor]:
    """Draw x and y; the same in every run.

    Examples
    --------
    >>> x, y = draw(Cell("euclidean", n=3, m=2, d=4))
    >>> x.shape, y.shape
    (torch.Size([3, 4]), torch.Size([2, 4]))
    """
    generator = torch.Generator().manual_seed(0)
    dtype = getattr(torch, cell.dtype)
    if cell.bits:
        bits = (torch.rand((n, cell.d), generator=generator) < 0.5 for n in (cell.n, cell.m))
        x, y = (b.to(dtype) for b in bits)
    else:
        x, y = (random_rows(cell.metric, n, cell.d, dtype, generator) for n in (cell.n, cell.m))
    return x.to(cell.device), y.to(cell.device)


def bytes_needed(cell: Cell) -> int:
    """Estimate the memory that a cell takes, whoever computes it.

    Rows are drawn in float64, beside those of the cell's own type. At least 8 of x are compared
    with exact weights: y, differences and their squares, distances, exponents and their
    exponentials are in long double, of 16 bytes.

    Examples
    --------
    >>> bytes_needed(Cell("euclidean", n=10**6, m=10**3, d=30)) / 10**6
    362.184
    """
    drawn = (cell.n + cell.m) * cell.d * (8 + getattr(torch, cell.dtype).itemsize)
    return drawn + 16 * cell.m * (3 * cell.d + 3 * 8)


def seconds_expected(cell: Cell) -> float:
    """Estimate the time of a call of ours, to within what machines differ by.

    Examples
    --------
    >>> round(seconds_expected(Cell("euclidean", n=20000, m=5000, d=30)), 3)
    0.027
    """
    seconds = cell.n * cell.m * (SECONDS_PER_PAIR + SECONDS_PER_FEATURE * cell.d)
    return seconds * (2 if cell.dtype == "float64" else 1) * (5 if cell.backward else 1)


def check_memory(cell: Cell) -> None:
    """Refuse a cell that does not fit the free memory.

    Raises
    ------
    ValueError
        If it does not.

    Examples
    --------
    >>> check_memory(Cell("euclidean", n=3, m=2, d=4))
    """
    needs = {"of main memory": (bytes_needed(cell), free_memory())}
    if cell.device == "cuda":
        of_rows = (cell.n + cell.m) * cell.d * getattr(torch, cell.dtype).itemsize
        needs["of the card"] = (of_rows, torch.cuda.mem_get_info()[0])
    for where, (needed, free) in needs.items():
        if free is not None and needed > free:
            raise ValueError(
                f"{cell.n} and {cell.m} rows of {cell.d} features need {needed / 2**30:.3g} GiB "
                f"{where}, and {free / 2**30:.3g} GiB are free: give fewer rows or features"
            )
