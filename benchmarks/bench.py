"""Time distance_weights beside its peers, in one run, and write what was seen to a result file.

    python benchmarks/bench.py            # writes benchmarks/results/<cpu>.json
    python benchmarks/bench.py --readme   # also fills the README's table from that file

Contestants take turns within each cell, so that a change of the machine's speed meets them all; the
figures are medians, the comparisons ratios of medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics import pairwise_distances_chunked

import semideep_ext as sd
from semideep_ext.config import config
from semideep_ext.testing import random_rows

LAMBDA = 0.8
HERE = Path(__file__).parent
# metric, N, M, D, calls a turn. Cells of many calls run on one thread: waking a second one costs
# more than such a call, for every contestant.
CELLS = [
    ("euclidean", 32, 100, 5, 2000),
    ("euclidean", 32, 100, 100, 2000),
    ("euclidean", 20000, 5000, 30, 1),
    ("euclidean", 10000, 5000, 128, 1),
    ("cosine", 20000, 5000, 30, 1),
    ("hamming", 10000, 5000, 64, 1),
    ("jaccard", 10000, 5000, 64, 1),
]
TURNS = 5


def unit(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(x)


def squared(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T


def shared_of_either(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    shared = x @ y.T
    return shared / (x.sum(1)[:, None] + y.sum(1) - shared).clamp(min=1)


# The distances as whoever wants speed writes them in torch: by a matrix product where there is one.
DENSE = {
    "euclidean": lambda x, y: squared(x, y).clamp(min=0).sqrt(),
    "cosine": lambda x, y: 1 - unit(x) @ unit(y).T,
    "hamming": lambda x, y: (x[:, None] != y).float().mean(2),
    "jaccard": lambda x, y: 1 - shared_of_either(x, y),
}

Contestants = dict[str, Callable[[], object]]


def scipy_metric_rows(rows: np.ndarray, metric: str) -> np.ndarray:
    return rows != 0 if metric == "jaccard" else rows.astype(np.float64)


def contestants(metric: str, n: int, m: int, d: int) -> tuple[Contestants, float]:
    """Return what is timed, and our largest relative error against SciPy in float64."""
    generator = torch.Generator().manual_seed(0)
    x, y = (random_rows(metric, rows, d, torch.float32, generator) for rows in (n, m))
    a, b = scipy_metric_rows(x.numpy(), metric), scipy_metric_rows(y.numpy(), metric)
    exact = np.exp(-LAMBDA * cdist(a, b, metric)).mean(1)
    error = float(np.abs(sd.distance_weights(x, y, metric, LAMBDA).numpy() / exact - 1).max())

    def scikit_learn() -> np.ndarray:
        blocks = pairwise_distances_chunked(
            a,
            b,
            metric=metric,
            n_jobs=1,
            reduce_func=lambda dist, _: np.exp(-LAMBDA * dist).mean(1),
        )
        return np.concatenate(list(blocks))

    run: Contestants = {
        "semideep_ext": lambda: sd.distance_weights(x, y, metric, LAMBDA),
        "scipy": lambda: np.exp(-LAMBDA * cdist(a, b, metric)).mean(1),
        "scikit-learn": scikit_learn,
    }
    formula = torch.compile(lambda x, y: torch.exp(-LAMBDA * DENSE[metric](x, y)).mean(1))
    run["torch.compile"] = lambda: formula(x, y)
    if metric == "euclidean":
        run["torch.cdist + exp"] = lambda: torch.exp(-LAMBDA * torch.cdist(x, y)).mean(1)
        run["torch.cdist alone"] = lambda: torch.cdist(x, y)
    return run, error


def time_cell(run: Contestants, calls: int) -> dict[str, float]:
    """Median seconds of one call, per contestant."""
    seconds: dict[str, list[float]] = {name: [] for name in run}
    for call in run.values():
        call()
    for _ in range(TURNS):
        for name, call in run.items():
            # The slow peers of small cells need no thousands of calls.
            start = time.perf_counter()
            for _ in range(calls):
                call()
            seconds[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(times) for name, times in seconds.items()}


def cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        return next(
            line.split(":")[1].strip() for line in text.splitlines() if "model name" in line
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True
    )
    return found.stdout.strip() or "unknown"


def measure() -> dict[str, object]:
    cells, threads = [], torch.get_num_threads()
    for metric, n, m, d, calls in CELLS:
        run, error = contestants(metric, n, m, d)
        torch.set_num_threads(1 if calls > 1 else threads)
        times = time_cell(run, calls)
        torch.set_num_threads(threads)
        cell = {"metric": metric, "n": n, "m": m, "d": d, "seconds": times, "relative error": error}
        cells.append(cell)
        print(
            f"{metric} {n} x {m} x {d}: "
            + ", ".join(f"{k} {v * 1e3:.3f} ms" for k, v in times.items())
        )
    return {"cpu": cpu_name(), "commit": commit(), "config": config(), "cells": cells}


def table(results: dict) -> str:
    """The README's table."""
    lines = [
        f"On {results['cpu']}, {results['config']['threads']} threads (1 for the small calls), "
        f"float32, commit {results['commit']}:",
        "",
        "| cell (N x M x D) | semideep_ext | fastest peer | peer / ours | torch.cdist alone "
        "| error against SciPy |",
        "|---|---|---|---|---|---|",
    ]
    for cell in results["cells"]:
        times = dict(cell["seconds"])
        ours = times.pop("semideep_ext")
        alone = times.pop("torch.cdist alone", None)  # not the same job: no exp, no mean
        peer = min(times, key=times.get)
        lines.append(
            f"| {cell['metric']} {cell['n']} x {cell['m']} x {cell['d']} | {ours * 1e3:.3g} ms "
            f"| {times[peer] * 1e3:.3g} ms ({peer}) | {times[peer] / ours:.2g} "
            f"| {f'{alone * 1e3:.3g} ms' if alone else ''} "
            f"| {cell['relative error']:.1g} |"
        )
    return "\n".join(lines)


def fill_readme(results: dict) -> None:
    readme = HERE.parent / "README.md"
    text = re.sub(
        r"(<!-- bench -->\n).*(<!-- /bench -->)",
        lambda found: f"{found[1]}{table(results)}\n{found[2]}",
        readme.read_text(),
        flags=re.DOTALL,
    )
    readme.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readme", action="store_true", help="fill the README's table")
    arguments = parser.parse_args()
    results = measure()
    name = re.sub(r"[^A-Za-z0-9]+", "-", str(results["cpu"])).strip("-").lower()
    path = HERE / "results" / f"{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"wrote {path}")
    if arguments.readme:
        fill_readme(results)


if __name__ == "__main__":
    main()
