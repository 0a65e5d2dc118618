"""The process in which contestants run: its memory, threads and output."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

__all__ = ["free_memory", "given_threads", "memory_limit", "peak_increase", "quiet"]

T = TypeVar("T")

MEMORY = "/proc/meminfo"


def peak_increase(call: Callable[[], T]) -> tuple[T, float | None]:
    """Run a call; return its result and the MiB by which it raised the memory in use.

    None where the system does not tell.
    """
    with contextlib.suppress(AttributeError, OSError):  # what malloc keeps would hide what is used
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew; see proc(5)
    except OSError:
        return call(), None
    before = _status("VmRSS")
    result = call()
    return result, max(0, _status("VmHWM") - before) / 2**20


def free_memory() -> int | None:
    """Return the bytes that can be allocated without swapping; None where nothing tells.

    Examples
    --------
    >>> free_memory() is None or free_memory() > 2**20
    True
    """
    with contextlib.suppress(OSError):
        return _bytes_of("MemAvailable", MEMORY) or None
    return None


def _status(entry: str) -> int:
    return _bytes_of(entry, "/proc/self/status")


def _bytes_of(entry: str, path: str) -> int:
    found = re.search(rf"^{entry}:\s+(\d+) kB", Path(path).read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@contextlib.contextmanager
def memory_limit() -> Iterator[None]:
    """Make allocations beyond the memory there is fail, where Linux would kill the process."""
    try:
        import resource

        limit = _status("VmData") + int(0.9 * _bytes_of("MemAvailable", MEMORY))
    except (ImportError, OSError):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if before[0] != resource.RLIM_INFINITY:
        limit = min(limit, before[0])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@contextlib.contextmanager
def given_threads(wanted: int | None) -> Iterator[int]:
    """Give torch and every other library the same number of threads."""
    of_torch, of_others = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    threads = wanted or of_torch
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for libraries that are loaded later
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield threads
    finally:
        torch.set_num_threads(of_torch)
        if of_others is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = of_others


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide what the libraries print: the table is what counts."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
