"""Time and memory of calls on a card.

Work is queued on the card, so its own clock counts: CUDA events before and after a call. Between
runs the second-level cache is overwritten, lest the next run find its rows there.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["graph_seconds", "launch_seconds", "peak_increase", "seconds"]

T = TypeVar("T")


def seconds(call: Callable[[], object], repetitions: int = 1) -> float:
    """Return the median time of a call that finds none of its data in the second-level cache."""
    marks = []
    for _ in range(repetitions):
        _scrap().zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        marks.append((start, end))
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in marks) / 1e3


def launch_seconds(call: Callable[[], object], repetitions: int = 1) -> float:
    """Return the mean time of calls in a row: for small ones, that of launching them."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repetitions):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / repetitions


def graph_seconds(call: Callable[[], object], repetitions: int = 50) -> float | None:
    """Return the time of a call replayed from a CUDA graph; None where it cannot be captured."""
    side = torch.cuda.Stream()
    try:
        with torch.cuda.stream(side):
            call()  # whatever is set up on the first call of a stream
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            call()
    except Exception:  # whatever a library does that no graph can hold
        torch.cuda.synchronize()
        return None
    return seconds(graph.replay, repetitions)


def peak_increase(call: Callable[[], T]) -> tuple[T, float]:
    """Run a call; return its result and the MiB of torch's memory that it needed for a while."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = call()
    torch.cuda.synchronize()
    return result, (torch.cuda.max_memory_allocated() - before) / 2**20


@cache
def _scrap() -> Tensor:
    """Return twice the second-level cache's size in bytes, to write to."""
    size = 2 * torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    return torch.empty(size, dtype=torch.int8, device="cuda")
