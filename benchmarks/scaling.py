"""Time and memory from a thousand to a million rows on both sides.

    python benchmarks/scaling.py                       # results file and plot; up to an hour
    python benchmarks/scaling.py --largest 10000       # up to so many rows; only printed

Each point runs in a process of its own. A contestant is dropped after a point that ran out of
memory or would have taken longer than the cap.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

import bench
import report

from semideep_ext.benchmark.bench import compete
from semideep_ext.benchmark.cells import Cell
from semideep_ext.benchmark.contestants import CONTESTANTS

SIZES = [1000, 3000, 10000, 30000, 100000, 300000, 1000000]
SHAPE = Cell("euclidean", 0, 0, 3)
CAP = 600.0  # seconds a call


def measure(name: str, n: int, cap: float) -> dict[str, Any]:
    cell = Cell(SHAPE.metric, n, n, SHAPE.d, SHAPE.dtype)
    return compete(cell, {name: CONTESTANTS[name]}, longest_call=cap)[name]


def measure_apart(name: str, n: int, cap: float) -> dict[str, Any]:
    """In a process of its own, which may be killed for its memory."""
    command = [sys.executable, __file__, "--point", name, str(n), "--cap", str(cap)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=3 * cap + 120)
    except subprocess.TimeoutExpired:
        return {"n": n, "skipped": f"took longer than {3 * cap + 120:.0f} s"}
    if done.returncode:
        return {"n": n, "skipped": f"ended with exit code {done.returncode}"}
    return {"n": n, **json.loads(done.stdout)}


def run(sizes: list[int], cap: float) -> dict[str, Any]:
    points: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
    for n in sizes:
        for name, found in points.items():
            if found and "skipped" in found[-1]:
                continue
            found.append(measure_apart(name, n, cap))
            print(n, name, found[-1], flush=True)
    shape = {"metric": SHAPE.metric, "d": SHAPE.d, "dtype": SHAPE.dtype, "cap": cap}
    return {**bench.facts(), **shape, "points": points}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=SIZES[-1], help=f"default {SIZES[-1]}")
    parser.add_argument("--cap", type=float, default=CAP, help=f"seconds a call, default {CAP:g}")
    parser.add_argument("--point", nargs=2, metavar=("NAME", "N"), help="only this, as JSON")
    options = parser.parse_args()
    if options.point:
        name, n = options.point
        print(json.dumps(measure(name, int(n), options.cap)))
        return
    sizes = [n for n in SIZES if n <= options.largest]
    if not sizes:
        parser.error(f"--largest {options.largest}: give at least {SIZES[0]}")
    results = run(sizes, options.cap)
    if sizes == SIZES:
        path = bench.results_path("-scaling")
        bench.save(results, path)
        report.publish_scaling(path)


if __name__ == "__main__":
    main()
