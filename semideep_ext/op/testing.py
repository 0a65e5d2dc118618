"""What tests and benchmarks share: tolerances, parametrisation, data and references.

Definitions are written down a second time here on purpose: in long double where the mathematics is
about rounding, else by SciPy, which they were taken from. A metric that is new to this file is
compared with SciPy's metric of the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from semideep_ext.op.libraries import CUDA_PROBLEM
from semideep_ext.op.metrics import KERNELS, METRICS


class Tolerance(NamedTuple):
    """How far results may be from exact arithmetic on the same input."""

    forward: float  # relative error of a weight while lambda d <= 20, and of a distance
    log: float  # error of a log weight, divided by 1 + lambda d
    gradient: float  # largest error of a gradient, divided by its largest entry


TOLERANCES = {
    torch.float32: Tolerance(forward=1e-6, log=1e-6, gradient=1e-5),
    torch.float64: Tolerance(forward=1e-12, log=1e-12, gradient=1e-9),
}
DTYPES = tuple(TOLERANCES)

DEVICES = ("cpu",) if CUDA_PROBLEM or not torch.cuda.is_available() else ("cpu", "cuda")

# Around groups of 6 rows, panels of 32 columns, and tiles of 64 and 96 rows and of 128 columns.
TILE_EDGES = (1, 6, 7, 32, 33, 64, 65, 96, 97, 128, 129)
# Around vector widths, the 8 features up to which rows are subtracted, steps of 16, slices of 128.
FEATURE_EDGES = (1, 3, 8, 9, 16, 17, 32, 33, 127, 128, 129, 257)

# By the first words of a metric's `domain`, so that a new metric gets data that suits it.
_SAMPLERS: dict[str, Callable[[tuple[int, int], torch.Generator], Tensor]] = {
    "real values": lambda shape, g: torch.randn(shape, generator=g, dtype=torch.float64),
    "categories": lambda shape, g: torch.randint(0, 4, shape, generator=g).double(),
    "sets": lambda shape, g: (torch.rand(shape, generator=g) < 0.2).double(),
}


def random_rows(metric: str, n: int, d: int, dtype: torch.dtype, g: torch.Generator) -> Tensor:
    """Draw n rows of d features that suit a metric: real values, few categories or sparse sets."""
    domain = METRICS[metric].domain
    for name, sample in _SAMPLERS.items():
        if domain.startswith(name):
            return sample((n, d), g).to(dtype)
    raise ValueError(f"no sampler for the domain {domain!r}: add one to _SAMPLERS in {__name__}")


def adversarial_rows(dtype: torch.dtype, d: int = 5) -> dict[str, tuple[Tensor, Tensor]]:
    """Return x (7, d) and y (9, d) for each way that careless arithmetic goes wrong."""
    g = torch.Generator(torch.get_default_device()).manual_seed(20250514)
    x, y = (torch.randn((n, d), generator=g, dtype=torch.float64) for n in (7, 9))
    huge = 1e200 if dtype == torch.float64 else 1e37
    subnormal = torch.finfo(dtype).tiny / 64
    copies = torch.cat([x, x[:2]])
    nearly_1 = 1 + 8 * torch.finfo(dtype).eps * torch.randn((9, d), generator=g)
    long = torch.cat([torch.tensor([1e8]), torch.ones(d - 1)])
    centers = 1e3 * torch.randn((3, d), generator=g, dtype=torch.float64)
    cases = {
        "offset": (1e6 + 1e-3 * x, 1e6 + 1e-3 * y),
        "huge": (huge * x, huge * y),
        "tiny": (x / huge, y / huge),
        "subnormal": (subnormal * x, subnormal * y),
        "duplicates": (x, copies),
        "near duplicates": (x, copies * nearly_1),
        "one long feature": (x * long, y * long),
        "clusters": (x + centers[[0, 1, 2, 0, 1, 2, 0]], y + centers[[0, 1, 2] * 3]),
        "zero rows": (torch.cat([x[:5], 0 * x[5:]]), torch.cat([0 * y[:3], y[3:]])),
    }
    return {name: (a.to(dtype), b.to(dtype)) for name, (a, b) in cases.items()}


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)


def _length(rows: np.ndarray) -> np.ndarray:
    return np.sqrt((rows * rows).sum(-1))


def _cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 - cos as half the squared chord: even long double loses 1 - cos of nearly parallel rows."""

    def unit(rows: np.ndarray) -> np.ndarray:
        length = _length(rows)[..., None]
        return rows / np.where(length == 0, 1, length)

    chord = _length(unit(x) - unit(y))
    zero = (_length(x) == 0) | (_length(y) == 0)  # a zero row is at distance 1 of all
    return np.where(zero, 1, np.minimum(chord * chord / 2, 2))


# Of one row (1, D) and many (M, D) in long double, whose range holds the square of any double.
_LONG_DOUBLE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "euclidean": lambda x, y: _length(x - y),
    "sqeuclidean": lambda x, y: ((x - y) ** 2).sum(-1),
    "cosine": _cosine,
}


def reference_distances(x: Any, y: Any, metric: str) -> np.ndarray:
    """Return the (N, M) distances of two sets of rows in long double; NaN for a row with a NaN."""
    x, y = _array(x), _array(y)
    if x.shape[1] == 0:
        return np.zeros((len(x), len(y)), np.longdouble)
    if metric in _LONG_DOUBLE:
        x, y = x.astype(np.longdouble), y.astype(np.longdouble)
        return np.stack([_LONG_DOUBLE[metric](row[None], y) for row in x])
    sets = METRICS[metric].sum_of == "common"
    distances = cdist(*((x != 0, y != 0) if sets else (x, y)), metric)
    distances[np.isnan(x).any(1)] = np.nan  # a comparison hides a NaN
    distances[:, np.isnan(y).any(1)] = np.nan
    return distances.astype(np.longdouble)


def reference_weights(
    distances: np.ndarray, lambda_: float, y_weight: Any = None, log: bool = False
) -> np.ndarray:
    """Return w or log w, (N,), from the (N, M) distances of `reference_distances`."""
    weight = np.ones(distances.shape[1]) if y_weight is None else _array(y_weight)
    share = weight.astype(np.longdouble) / weight.sum(dtype=np.longdouble)
    exponents = -np.longdouble(lambda_) * distances
    if not log:
        return (np.exp(exponents) @ share).astype(np.float64)
    largest = exponents.max(1, keepdims=True)
    return (largest[:, 0] + np.log(np.exp(exponents - largest) @ share)).astype(np.float64)


def _mean_where(mask: Tensor, values: Tensor) -> Tensor:
    count = mask.sum(-1).double()
    return torch.where(count == 0, 1, values.sum(-1) / count)


# With torch operations, for autograd to differentiate.
_DENSE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": lambda x, y: (x[:, None] - y).norm(dim=-1),
    "sqeuclidean": lambda x, y: (x[:, None] - y).square().sum(-1),
    "cosine": lambda x, y: 1 - torch.cosine_similarity(x[:, None], y, dim=-1, eps=0),
    "hamming": lambda x, y: (x[:, None] != y).to(x.dtype).mean(-1),
    "jaccard": lambda x, y: (
        1 - _mean_where((x[:, None] != 0) | (y != 0), (x[:, None] != 0) & (y != 0))
    ),
}


def dense_distances(metric: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of two sets of rows that gives their (N, M) distances, by torch alone.

    A metric that is new to this file gets SciPy's distances, which carry no gradient: one that is
    differentiable needs its formula in `_DENSE`, for the tests of gradients.
    """

    def by_scipy(x: Tensor, y: Tensor) -> Tensor:
        distances = reference_distances(x, y, metric)
        return torch.from_numpy(distances.astype(np.float64)).to(x)

    return _DENSE.get(metric, by_scipy)


def with_parameter(kernel: str, value: Any) -> dict[str, Any]:
    """Return the options that ask for a kernel function with that value of its parameter."""
    name = {"lambda": "lambda_", "eps": "eps"}[KERNELS[kernel].parameter]
    return {"kernel": kernel, name: value}


def relative_error(actual: Tensor, reference: Tensor) -> float:
    """Return the largest error of a tensor, divided by the largest entry of the reference."""
    error = (actual.double() - reference.double()).abs().max()
    return float(error / reference.double().abs().max())
