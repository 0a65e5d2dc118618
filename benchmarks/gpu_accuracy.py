"""How far results on a device are from exact arithmetic, on fresh random and on adversarial data.

Small problems are compared with long double, large ones with float64 on the same device.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cuda_bits import METRICS_OF_BITS, WAYS, counted_by
from torch import Tensor

from semideep_ext import distance_weights
from semideep_ext.op.metrics import METRICS
from semideep_ext.op.testing import (
    TOLERANCES,
    adversarial_rows,
    dense_distances,
    random_rows,
    reference_distances,
    reference_weights,
    relative_error,
)

sys.path.append(str(Path(__file__).parents[1] / "tests" / "op"))
from kinds import KINDS

FEATURES = (1, 3, 8, 17, 64, 300, 784)
LARGE_FEATURES = (3, 30, 64, 129)
EXPONENTS = (0.5, 5.0, 12.0, 20.0)  # lambda times the distance of the nearest row
REAL = [name for name, metric in METRICS.items() if metric.domain.startswith("real")]
DTYPES = (torch.float32, torch.float64, torch.bfloat16)
# Of cosine in float64: a distance is exact to 1e-16, not to a part of itself, however small.
LARGEST_COSINE_LAMBDA = 400.0


class Grid:
    """Errors of one device, as shares of what is promised; the largest of each kind is kept."""

    def __init__(self, device: str, seed: int) -> None:
        self.device = device
        self.found: dict[str, Any] = {"seed": seed, "cases": 0, "worst": {}, "failures": []}

    def note(self, kind: str, case: str, error: float, bound: float) -> None:
        share = error / bound if error == error else float("inf")  # a NaN must not pass
        self.found["cases"] += 1
        worst = self.found["worst"].get(kind)
        if worst is None or share > worst["share"]:
            self.found["worst"][kind] = {"share": share, "error": error, "case": case}
        if share > 1:
            self.found["failures"].append(f"{kind}, {case}: {error:.2e}, at most {bound:.0e}")

    def weights(self, case: str, metric: str, x: Tensor, y: Tensor) -> None:
        """Compare w, log w and gradients with long double, at several lambdas."""
        tolerance = TOLERANCES.get(x.dtype, TOLERANCES[torch.float32])
        kind = f"{metric} {str(x.dtype).removeprefix('torch.')}"
        distances = reference_distances(x.double(), y.double(), metric)
        nearest = np.asarray(distances.min(1), dtype=np.float64)
        typical = float(np.median(nearest)) or float(distances.mean()) or 1.0
        on_device = (x.to(self.device), y.to(self.device))
        for exponent in EXPONENTS:
            lambda_ = self.limited(metric, x.dtype, exponent / typical)
            if not 0 < lambda_ < np.inf:
                continue
            exact_log = reference_weights(distances, lambda_, log=True)
            shown = (lambda_ * nearest <= 20) & (exact_log > -80)  # a normal float, and promised
            if shown.any():
                w = distance_weights(*on_device, metric, lambda_).double().cpu().numpy()
                error = np.abs(w[shown] / np.exp(exact_log[shown]) - 1).max()
                self.note(f"{kind} w", f"{case}, {exponent}", float(error), tolerance.forward)
            log_w = distance_weights(*on_device, metric, lambda_, log=True).double().cpu().numpy()
            error = (np.abs(log_w - exact_log) / (1 + lambda_ * nearest)).max()
            self.note(f"{kind} log w", f"{case}, {exponent}", float(error), tolerance.log)

    @staticmethod
    def limited(metric: str, dtype: torch.dtype, lambda_: float) -> float:
        limited = metric == "cosine" and dtype == torch.float64
        return min(lambda_, LARGEST_COSINE_LAMBDA) if limited else lambda_

    def gradients(self, case: str, metric: str, x: Tensor, y: Tensor) -> None:
        tolerance = TOLERANCES[x.dtype].gradient
        distances = dense_distances(metric)
        if metric == "cosine" and x.shape[1] == 1:
            return  # 0 or 2, whatever the rows: the gradient is 0
        mean = float(reference_distances(x, y, metric).mean())
        lambda_ = self.limited(metric, x.dtype, 4 / mean)
        results = []
        for weigh in (
            lambda a, b: distance_weights(a.to(self.device), b.to(self.device), metric, lambda_),
            lambda a, b: torch.exp(-lambda_ * distances(a.double(), b.double())).mean(1),
        ):
            a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
            w = weigh(a, b)
            results.append(torch.autograd.grad(w, (a, b), torch.linspace(1, 2, len(x)).to(w)))
        for side, actual, expected in zip("xy", *results, strict=True):
            kind = f"{metric} {str(x.dtype).removeprefix('torch.')} gradient of {side}"
            self.note(kind, case, relative_error(actual, expected), tolerance)

    def large(self, metric: str, d: int, n: int, generator: torch.Generator) -> None:
        """Compare w with float64 on the device, on many spans of columns."""
        x, y = (
            random_rows(metric, rows, d, torch.float32, generator).to(self.device)
            for rows in (n // 8, n + 11)
        )
        distances = dense_distances(metric)
        # Few rows at a time: the direct formula stores every difference.
        step = max(1, 2**26 // (len(y) * d))
        some = x[:: max(1, len(x) // 64)]
        apart = [distances(part.double(), y.double()) for part in some.split(step)]
        lambda_ = 4 / float(apart[0].mean())
        exact = torch.cat([torch.exp(-lambda_ * part).mean(1) for part in apart])
        w = distance_weights(x, y, metric, lambda_)[:: max(1, len(x) // 64)].double()
        error = float((w / exact - 1).abs().max())
        case = f"{len(x)} x {len(y)} x {d}"
        self.note(f"{metric} float32 w, large", case, error, TOLERANCES[torch.float32].forward)


def small_cases(generator: torch.Generator, quick: bool) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Give rows of real values, in float64: each kind of the tests, each number of features."""
    rng = np.random.default_rng(generator.initial_seed())
    for kind, d in itertools.product(KINDS, FEATURES[:3] if quick else FEATURES):
        x, y = (torch.from_numpy(kind(rng, n, d)) for n in (33, 150))
        yield f"{kind.__name__} {d}", x, y


def run(device: str, quick: bool, seed: int, save: Any) -> dict[str, Any]:
    """Fill the grid; `save` is given what was found so far, from time to time."""
    warnings.simplefilter("ignore")
    generator = torch.Generator().manual_seed(seed)
    grid = Grid(device, seed)
    for metric, d in itertools.product(METRICS, LARGE_FEATURES):
        grid.large(metric, d, 500 if quick else 20_000, generator)
    save(grid.found)
    for case, x, y in small_cases(generator, quick):
        for metric, dtype in itertools.product(REAL, DTYPES):
            grid.weights(case, metric, x.to(dtype), y.to(dtype))
            if dtype != torch.bfloat16:
                grid.gradients(case, metric, x.to(dtype), y.to(dtype))
        save(grid.found)
    for metric, dtype, d in itertools.product(REAL, DTYPES[:2], (5, 40)):
        for case, (x, y) in adversarial_rows(dtype, d).items():
            grid.weights(f"{case} {d}", metric, x, y)
    for metric, dtype, d in itertools.product(METRICS, DTYPES, FEATURES[:-1]):
        if metric not in REAL:
            x, y = (random_rows(metric, n, d, dtype, generator) for n in (33, 150))
            grid.weights(f"random {d}", metric, x, y)
    for metric, d, way in itertools.product(METRICS_OF_BITS, FEATURES, WAYS):
        x, y = (random_rows(metric, n, d, torch.float32, generator) % 2 for n in (33, 150))
        with counted_by(way):
            grid.weights(f"bits {d} by {way}", metric, x, y)
    save(grid.found)
    return grid.found
