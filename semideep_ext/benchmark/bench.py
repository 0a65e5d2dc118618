"""Time, memory and error of everyone who can compute the weights of one cell.

Contestants take turns, so that a change of the machine's speed meets them all; what counts are
medians. A contestant that is missing or fails is listed with the reason.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from semideep_ext.benchmark import cuda_clock
from semideep_ext.benchmark.accuracy import error_against_reference
from semideep_ext.benchmark.cells import SMALL_PAIRS, Cell, check_memory, draw
from semideep_ext.benchmark.contestants import (
    CONTESTANTS,
    CUDA_CONTESTANTS,
    OURS,
    Call,
    Contestant,
    UnsupportedError,
)
from semideep_ext.benchmark.process import given_threads, memory_limit, peak_increase, quiet

__all__ = ["compete", "milliseconds", "table", "versions"]

Outcome = dict[str, Any]

TURNS = 5
LONGEST_CALL = 20.0  # seconds
# All turns of a contestant together: the slow ones get fewer, down to the call of `_full_calls`.
SECONDS_OF_TURNS = 2.0
# A card needs that much more than a processor before a trial says how fast a way is.
CUDA_TRIAL = 16
# Short calls are repeated within a turn, for the resolution of the clock and for sleeping threads.
SECONDS_OF_A_TURN = 0.02


def compete(
    cell: Cell,
    contestants: Mapping[str, Contestant] | None = None,
    turns: int = TURNS,
    longest_call: float = LONGEST_CALL,
    beside: Mapping[str, Call] | None = None,
) -> dict[str, Outcome]:
    """Let contestants compute the weights of a cell in turns.

    Parameters
    ----------
    cell : Cell
        What to compute.
    contestants : mapping of str to Contestant, optional
        By name. Default: all who compute on the cell's device.
    turns : int
        Of each contestant; fewer, where they would take more than 2 seconds together.
    longest_call : float
        Seconds. Whose calls would take longer, by a trial on a few rows, is skipped.
    beside : mapping of str to callable, optional
        Other calls on x and y that are only timed, in the same turns.

    Returns
    -------
    dict of str to dict
        By name, in the order given: "seconds" (median of one call), "turns", "way" (its fastest),
        "peak_mib" (what a call needs beyond the memory in use before; None where the system does
        not tell) and "error" (largest relative error of a weight, and of a gradient relative to its
        largest entry). Or "skipped", the reason. After them `beside`, with "seconds" and "turns".
        On a card, small cells have "graph_seconds" too: a call's replay from a CUDA graph.

    Raises
    ------
    ValueError
        If the rows do not fit the free memory.

    Examples
    --------
    >>> outcomes = compete(Cell("cosine", n=20, m=10, d=3), {OURS: CONTESTANTS[OURS]})
    >>> outcomes[OURS]["error"] < 1e-6
    True
    """
    if contestants is None:
        contestants = CUDA_CONTESTANTS if cell.device == "cuda" else CONTESTANTS
    check_memory(cell)
    x, y = draw(cell)
    outcomes: dict[str, Outcome] = {}
    calls: dict[str, Call] = {}
    limit = contextlib.nullcontext() if x.is_cuda else memory_limit()
    with given_threads(cell.threads) as threads, quiet(), limit:
        error = error_against_reference(cell, x, y)
        for name, contestant in contestants.items():
            try:
                way, call = fastest_way(contestant, cell, threads, x, y, longest_call)
                outcome, out = _full_calls(call, x, y, cell.is_small)
                outcomes[name] = {**outcome, "error": error(out), "way": way}
                calls[name] = call
            except Exception as reason:  # whatever a library, or its compiler, comes up with
                if name == OURS:
                    raise
                outcomes[name] = {"skipped": _one_line(reason, contestant.package)}
        for name, call in (beside or {}).items():
            call(x, y)
            calls[name], outcomes[name] = call, {"seconds": _seconds(call, x, y), "turns": 1}
        _take_turns(calls, x, y, turns, outcomes)
    return outcomes


def fastest_way(
    contestant: Contestant, cell: Cell, threads: int, x: Tensor, y: Tensor, longest_call: float
) -> tuple[str, Call]:
    """Try every way on a few rows of x; name the fastest."""
    ways = contestant.ways(cell, threads)
    trial_pairs = contestant.trial_pairs * (CUDA_TRIAL if x.is_cuda else 1)
    part = x[: max(16, trial_pairs // cell.m)]
    times: dict[str, float] = {}
    failures = []
    for way, call in ways.items():
        try:
            call(part, y)  # may compile
            times[way] = _seconds(call, part, y)
        except Exception as reason:  # others may do: without a compiler, say
            failures.append(reason)
    if not times:
        raise failures[0]
    fastest = min(times, key=lambda way: times[way])
    predicted = times[fastest] * cell.n / len(part)
    if predicted > longest_call:  # what a call does once for all rows counts too much in so few
        larger = x[: 16 * len(part)]
        ways[fastest](larger, y)  # may compile again
        more = _seconds(ways[fastest], larger, y) - times[fastest]
        per_row = more / max(1, len(larger) - len(part))
        predicted = times[fastest] + per_row * (cell.n - len(part))
    if predicted > longest_call:
        raise UnsupportedError(f"a call would take {predicted:.0f} s; at most {longest_call:.0f}")
    return fastest, ways[fastest]


def _seconds(call: Call, x: Tensor, y: Tensor, repetitions: int = 1) -> float:
    if x.is_cuda:
        small = len(x) * len(y) < SMALL_PAIRS
        clock = cuda_clock.launch_seconds if small else cuda_clock.seconds
        return clock(lambda: call(x, y), repetitions)
    start = time.perf_counter()
    for _ in range(repetitions):
        call(x, y)
    return (time.perf_counter() - start) / repetitions


def _full_calls(
    call: Call, x: Tensor, y: Tensor, small: bool
) -> tuple[Outcome, tuple[Tensor, ...]]:
    """Time and memory of the whole problem: medians of three short calls, or of one long one.

    A first call goes before them, which may compile for these sizes and is no measurement.
    """
    out = call(x, y)

    def timed() -> float:
        start = time.perf_counter()
        call(x, y)
        if x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    seconds: list[float] = []
    peaks: list[float] = []
    while len(seconds) < 3 and sum(seconds) < 1:
        elapsed, peak = (cuda_clock.peak_increase if x.is_cuda else peak_increase)(timed)
        seconds.append(elapsed)
        peaks += [] if peak is None else [peak]
    peak_mib = statistics.median(peaks) if peaks else None
    outcome: Outcome = {"seconds": statistics.median(seconds), "turns": len(seconds)}
    outcome["peak_mib"] = peak_mib
    if x.is_cuda and small:
        outcome["graph_seconds"] = cuda_clock.graph_seconds(lambda: call(x, y))
    return outcome, out


def _take_turns(
    calls: Mapping[str, Call], x: Tensor, y: Tensor, turns: int, outcomes: dict[str, Outcome]
) -> None:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns):
        for name, call in calls.items():
            first = outcomes[name]["seconds"]
            if (turn + 1) * first <= SECONDS_OF_TURNS:
                repetitions = max(1, int(SECONDS_OF_A_TURN / first))
                time.sleep(0.01)  # idle threads of the one before may spin for a while
                times[name].append(_seconds(call, x, y, repetitions))
    for name, seconds in times.items():
        if seconds:
            outcomes[name].update(seconds=statistics.median(seconds), turns=len(seconds))


# --- what is said ---------------------------------------------------------------------------------


def versions(contestants: Mapping[str, Contestant] = CONTESTANTS) -> dict[str, str]:
    """Return the version of each contestant, or "not installed".

    Examples
    --------
    >>> torch.__version__.startswith(versions()["torch.compile"])
    True
    """
    return {name: _version(contestant.package) for name, contestant in contestants.items()}


def _version(package: str) -> str:
    for name in (package, f"{package}-cu12", f"{package}-cu13"):  # wheels for a CUDA version
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "not installed"


def _one_line(reason: Exception, package: str) -> str:
    if isinstance(reason, UnsupportedError):
        return str(reason)
    if isinstance(reason, ModuleNotFoundError) and _version(package) == "not installed":
        return "not installed"
    texts = ("allocate memory", "CUDA out of memory")
    if isinstance(reason, MemoryError) or any(text in str(reason) for text in texts):
        return "out of memory"
    first, *_ = str(reason).strip().splitlines() or [""]
    return f"{type(reason).__name__}: {first}"


def milliseconds(seconds: float) -> str:
    """Write milliseconds with three digits that count.

    Examples
    --------
    >>> [milliseconds(s) for s in (12.3456, 0.01, 2e-5)]
    ['12346', '10.0', '0.0200']
    """
    ms = seconds * 1e3
    return f"{ms:.{max(0, 2 - math.floor(math.log10(ms)))}f}"


def table(outcomes: Mapping[str, Outcome]) -> str:
    """Lay outcomes out as text, the fastest first; ratios are to ours.

    Examples
    --------
    >>> ours = {"seconds": 0.002, "peak_mib": 1.5, "error": 1e-7, "way": "distance_weights"}
    >>> print(table({OURS: ours, "simsimd": {"skipped": "not installed"}}))
    contestant        ms  / ours  peak MiB  error  way
    semideep_ext    2.00    1.00       1.5  1e-07  distance_weights
    simsimd       not installed
    """
    width = max(map(len, [*outcomes, "contestant"]))
    lines = [f"{'contestant':<{width}}  {'ms':>6}  / ours  peak MiB  error  way"]
    ran = {name: outcome for name, outcome in outcomes.items() if "seconds" in outcome}
    for name, outcome in sorted(ran.items(), key=lambda item: item[1]["seconds"]):
        ratio = outcome["seconds"] / outcomes[OURS]["seconds"]
        peak = "" if outcome["peak_mib"] is None else f"{outcome['peak_mib']:.1f}"
        lines.append(
            f"{name:<{width}}  {milliseconds(outcome['seconds']):>6}  {ratio:>6.2f}  {peak:>8}"
            f"  {outcome['error']:.0e}  {outcome['way']}"
        )
    lines += [f"{name:<{width}}  {o['skipped']}" for name, o in outcomes.items() if "skipped" in o]
    return "\n".join(lines)
