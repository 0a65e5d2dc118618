"""Time distance_weights beside its peers and the machine's ceilings, all in one run.

    python benchmarks/bench.py                     # everything: results file, README's table, plot
    python benchmarks/bench.py --cells cosine,784  # cells whose name has one of these; only printed
    python benchmarks/bench.py --quick             # a tenth of the rows; only printed

README and plot are made from the results file, which is read back.
"""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ceilings
import cuda_bits
import report
import torch
from record import commit, cpu_name, results_path, save

from semideep_ext.benchmark.bench import TURNS, compete, table, versions
from semideep_ext.benchmark.cells import LAMBDA, Cell
from semideep_ext.benchmark.contestants import CONTESTANTS, OURS, Call, Contestant
from semideep_ext.op.config import config
from semideep_ext.op.functional import distance_weights
from semideep_ext.op.metrics import METRICS


@dataclass(frozen=True)
class Target:
    """What a cell must reach; None where nothing is promised."""

    ratio: float | None = None  # time of the fastest peer / ours, at least
    keops: float | None = None  # time of pykeops / ours, at least
    share: float | None = None  # of the binding ceiling, at least, where not as report.py says
    overhead_us: float | None = None  # beyond torch.cdist alone, at most
    backward: float | None = None  # time of both backward passes / the forward pass, at most


def cells() -> dict[Cell, Target]:
    small = [Cell("euclidean", 32, 100, d, threads=1) for d in (5, 100)]
    forward = {
        Cell("euclidean", 20000, 20000, 3): 11,
        Cell("euclidean", 20000, 5000, 30): 3.5,
        Cell("euclidean", 10000, 5000, 128): 2,
        Cell("euclidean", 10000, 5000, 784): 1.25,
        Cell("cosine", 20000, 5000, 30): 3.8,
        Cell("cosine", 10000, 5000, 768): 1.25,
        Cell("hamming", 10000, 5000, 64): 5,
        Cell("hamming", 10000, 5000, 1024, bits=True): 60,
        Cell("jaccard", 10000, 5000, 1024): 18,
        Cell("jaccard", 10000, 5000, 64): 8,
    }
    both = [replace(cell, backward=True) for cell in forward if METRICS[cell.metric].differentiable]
    return (
        dict.fromkeys(small, Target(overhead_us=15))
        | {cell: Target(ratio=ratio) for cell, ratio in forward.items()}
        | dict.fromkeys(both, Target(backward=6))
        | dict.fromkeys([replace(cell, dtype="float64") for cell in forward], Target())
        | dict.fromkeys([replace(cell, dtype="float64") for cell in both], Target(backward=6))
    )


def smaller(cell: Cell) -> Cell:
    return cell if cell.threads else replace(cell, n=cell.n // 10, m=cell.m // 10)


def name(cell: Cell) -> str:
    bits = " bits" if cell.bits else ""
    backward = " backward" if cell.backward else ""
    return f"{cell.metric} {cell.n} x {cell.m} x {cell.d}{bits} {cell.dtype}{backward}"


# A peer whose weights are further off than this computes something else.
WORST_ERROR = 1e-3


def beside(cell: Cell, target: Target) -> dict[str, Call]:
    """The calls that targets refer to; of bits on a card, each way to count them."""
    if target.overhead_us:
        return {"torch.cdist alone": lambda x, y: (torch.cdist(x, y),)}
    if target.backward:
        return {"forward": lambda x, y: (distance_weights(x, y, cell.metric, LAMBDA),)}
    if cell.device == "cuda" and cell.is_binary and cell.dtype == "float32":
        return {f"by {way}": _counted(cell, way) for way in cuda_bits.WAYS}
    return {}


def _counted(cell: Cell, way: str) -> Call:
    def call(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with cuda_bits.counted_by(way):
            return (distance_weights(x, y, cell.metric, LAMBDA),)

    return call


def measure(cell: Cell, target: Target, turns: int, **options: Any) -> dict[str, Any]:
    others = beside(cell, target)
    outcomes = compete(cell, turns=turns, beside=others, **options)
    return {
        "name": name(cell),
        **asdict(cell),
        "target": {kind: value for kind, value in asdict(target).items() if value},
        "contestants": {k: outcome for k, outcome in outcomes.items() if k not in others},
        "beside": {k: outcomes[k] for k in others},
    }


def summarise(result: dict[str, Any], cell: Cell, rates: ceilings.Rates) -> dict[str, Any]:
    """What follows from a cell's times and the ceilings."""
    times = {
        k: o["seconds"]
        for k, o in result["contestants"].items()
        if "seconds" in o and (k == OURS or o["error"] <= WORST_ERROR)
    }
    ours = times.pop(OURS)
    found: dict[str, Any] = {}
    if times:
        found["best_peer"] = min(times, key=times.__getitem__)
        found["ratio"] = times[found["best_peer"]] / ours
    if "pykeops" in times and cell.device == "cuda":
        found["keops"] = times["pykeops"] / ours
    for reference, outcome in result["beside"].items():
        if reference == "forward":
            found["backward"] = ours / outcome["seconds"] - 1
        elif reference == "torch.cdist alone":
            found["overhead_us"] = (ours - outcome["seconds"]) * 1e6
    if cell.threads is None:  # the ceilings are those of all threads
        found["floor"], found["ceiling"] = ceilings.floor(cell, rates)
        found["share"] = found["floor"] / ours
        found["shares"] = {unit: floor / ours for floor, unit in ceilings.floors(cell, rates)}
    return found


def run(
    wanted: dict[Cell, Target],
    turns: int,
    path: Path | None,
    measure_ceilings: Callable[[], ceilings.Rates] | None = None,
    cells_per_ceiling: int = 1,
    **options: Any,
) -> dict[str, Any]:
    """Measure the cells; print, and write to a file where one is given, as results come in.

    Options are those of `compete`.
    """
    if measure_ceilings is None:

        def measure_ceilings() -> ceilings.Rates:
            return ceilings.measure(torch.get_num_threads())

    peers = options.get("contestants", CONTESTANTS)
    results: dict[str, Any] = {**facts(peers), "turns": turns, "cells": []}
    samples = []
    for number, (cell, target) in enumerate(wanted.items(), 1):
        if (number - 1) % cells_per_ceiling == 0:
            samples.append(measure_ceilings())
        rates = ceilings.median(samples)
        result = measure(cell, target, turns, **options)
        results["cells"].append(result)
        results["ceilings"] = {"median": rates, "samples": samples}
        # Again for the earlier ones, since the medians have moved.
        for earlier, of in zip(results["cells"], wanted, strict=False):
            earlier["summary"] = summarise(earlier, of, rates)
        print(f"\n[{number}/{len(wanted)}] {result['name']}\n{table(result['contestants'])}")
        print(report.sentence(result), flush=True)
        if path:
            save(results, path)
    return results


def facts(contestants: Mapping[str, Contestant] = CONTESTANTS) -> dict[str, Any]:
    """What was measured, where and when."""
    return {
        "cpu": cpu_name(),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
        "config": config(),
        "versions": versions(contestants),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", help="parts of names, separated by commas")
    parser.add_argument("--turns", type=int, default=TURNS, help=f"default {TURNS}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    options = parser.parse_args()
    if options.turns < 1:
        parser.error(f"--turns {options.turns}: give an integer of at least 1")
    if not ceilings.PROGRAM.exists():
        parser.exit(1, f"{ceilings.PROGRAM} is missing: run `make bench`, which builds it\n")
    wanted = cells()
    if options.cells:
        parts = options.cells.split(",")
        wanted = {c: t for c, t in wanted.items() if any(part in name(c) for part in parts)}
    if not wanted:
        parser.error(
            f"--cells {options.cells}: no name has it; names are like {name([*cells()][2])}"
        )
    if options.quick:
        wanted = {smaller(cell): target for cell, target in wanted.items()}
    if os.getloadavg()[0] > 0.5:
        # Threads that wait for one another at every block suffer most, which is the peers' side.
        print(f"load average {os.getloadavg()[0]:.1f}: ratios will flatter us; stop what else runs")
    path = None if options.cells or options.quick else results_path()
    run(wanted, options.turns, path)
    if path:
        report.publish(path)


if __name__ == "__main__":
    main()
