"""How the weight of an unlabelled loss grows: factors by the share of training that is done.

Papers count epochs or steps of their own trainings. A share fits every training: 0 before the first
step, (steps - 1) / steps at the last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from semideep_ext.weighting.checks import check_number


@dataclass(frozen=True)
class Constant:
    """1 throughout.

    Examples
    --------
    >>> Constant()(0.0)
    1.0
    """

    def __call__(self, progress: float) -> float:
        """Give the factor."""
        return 1.0


@dataclass(frozen=True)
class Linear:
    """0 until `begin`, 1 from `end` on, and a line between them.

    Examples
    --------
    >>> ramp = Linear(0.1, 0.6)
    >>> [round(ramp(progress), 9) for progress in (0.0, 0.1, 0.35, 1.0)]
    [0.0, 0.0, 0.5, 1.0]
    """

    begin: float
    end: float

    def __post_init__(self) -> None:
        """Refuse what is no part of a training."""
        if not 0 <= self.begin < self.end:
            raise ValueError(f"Linear({self.begin}, {self.end}): give 0 <= begin < end")

    def __call__(self, progress: float) -> float:
        """Give the factor."""
        return min(1.0, max(0.0, (progress - self.begin) / (self.end - self.begin)))


@dataclass(frozen=True)
class Sigmoid:
    """exp(-5 (1 - t)^2) for t = progress / length up to 1 (Laine & Aila, 2017): .0067 to 1.

    Examples
    --------
    >>> ramp = Sigmoid(0.5)
    >>> [round(ramp(progress), 4) for progress in (0.0, 0.25, 0.5, 1.0)]
    [0.0067, 0.2865, 1.0, 1.0]
    """

    length: float

    def __post_init__(self) -> None:
        """Refuse what is no part of a training."""
        check_number("length", self.length)

    def __call__(self, progress: float) -> float:
        """Give the factor."""
        return math.exp(-5 * (1 - min(1.0, progress / self.length)) ** 2)


Ramp = Constant | Linear | Sigmoid
# Laine & Aila (2017) and those who build on them ramp over the first 80 of 300 epochs.
LAINE_AILA = Sigmoid(80 / 300)
