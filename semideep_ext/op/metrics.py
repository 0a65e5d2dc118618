"""The metrics and kernel functions, read from the compiled module.

`csrc/core/metrics.h` and `csrc/core/kernels.h` are the only lists; nothing is repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass

from semideep_ext import _C

__all__ = [
    "KERNELS",
    "METRICS",
    "Kernel",
    "Metric",
    "check_kernel",
    "check_metric",
    "compares_any_values",
]


@dataclass(frozen=True)
class Metric:
    """What the compiled module says of a metric.

    Attributes
    ----------
    name : str
        How `metric=` names it.
    formula : str
        The distance of two rows x and y of D features.
    domain : str
        The data that it is meant for.
    differentiable : bool
        Whether gradients with respect to the rows exist.
    sum_of : {"squares", "unequal", "common", "other"}
        What is added up over the features: squared differences, features that differ, features that
        are 0 in neither row, or any other terms.
    """

    name: str
    formula: str
    domain: str
    differentiable: bool
    sum_of: str


@dataclass(frozen=True)
class Kernel:
    """What the compiled module says of a kernel function.

    Attributes
    ----------
    name : str
        How `kernel=` names it.
    formula : str
        The function of the distance d.
    parameter : {"lambda", "eps"}
        The parameter that it takes.
    has_log : bool
        Whether sums of it can be taken in the log domain.
    exponential : bool
        Whether it is exp(-lambda d).
    """

    name: str
    formula: str
    parameter: str
    has_log: bool
    exponential: bool


METRICS: dict[str, Metric] = {entry["name"]: Metric(**entry) for entry in _C.metrics()}
KERNELS: dict[str, Kernel] = {entry["name"]: Kernel(**entry) for entry in _C.kernels()}


def check_metric(name: object) -> Metric:
    """Return the metric of that name.

    Parameters
    ----------
    name : str
        One of `METRICS`.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> check_metric("hamming").differentiable
    False
    >>> check_metric("cosine").sum_of
    'squares'
    """
    if isinstance(name, str) and name in METRICS:
        return METRICS[name]
    raise ValueError(
        f"metric={name!r} is unknown: choose one of {', '.join(map(repr, METRICS))}, or pass a "
        "callable that returns the distances of two sets of rows"
    )


def compares_any_values(metric: object) -> bool:
    """Tell whether a metric only asks which values are equal, so that they need not be numbers.

    Examples
    --------
    >>> compares_any_values("hamming"), compares_any_values("cosine")
    (True, False)
    """
    return isinstance(metric, str) and metric in METRICS and METRICS[metric].sum_of == "unequal"


def check_kernel(name: object) -> Kernel:
    """Return the kernel function of that name.

    Parameters
    ----------
    name : str
        One of `KERNELS`.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> check_kernel("inverse").formula
    '1 / (d + eps)'
    >>> check_kernel("inverse").parameter
    'eps'
    """
    if isinstance(name, str) and name in KERNELS:
        return KERNELS[name]
    raise ValueError(f"kernel={name!r} is unknown: choose one of {', '.join(map(repr, KERNELS))}")
