"""What one cell of the benchmark computes, and on which data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semideep_ext.benchmark.process import free_memory
from semideep_ext.op.testing import random_rows

__all__ = ["LAMBDA", "SMALL_PAIRS", "Cell", "check_memory", "draw"]

LAMBDA = 0.8
# Of a call whose overhead is what counts.
SMALL_PAIRS = 2**16


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
        return self.bits or self.metric == "jaccard"

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


def check_memory(cell: Cell) -> None:
    """Refuse a cell whose rows do not fit the free memory.

    Raises
    ------
    ValueError
        If they do not.

    Examples
    --------
    >>> check_memory(Cell("euclidean", n=3, m=2, d=4))
    """
    values = (cell.n + cell.m) * cell.d
    of_rows = values * getattr(torch, cell.dtype).itemsize
    # They are drawn, and compared with exact weights, in float64 beside the rows themselves.
    needs = {
        "of main memory": (of_rows + (values * 8 if cell.dtype != "float64" else 0), free_memory())
    }
    if cell.device == "cuda":
        needs["of the card"] = (of_rows, torch.cuda.mem_get_info()[0])
    for where, (needed, free) in needs.items():
        if free is not None and needed > free:
            raise ValueError(
                f"{cell.n} and {cell.m} rows of {cell.d} features need {needed / 2**30:.3g} GiB "
                f"{where}, and {free / 2**30:.3g} GiB are free: give fewer rows or features"
            )
