"""The weightings that trainer, estimators, experiments and command line offer: the only list.

Imports nothing heavy: the command line shows the list before anything is computed.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["UNWEIGHTED", "WEIGHTINGS", "Weighting", "check_weighting"]

UNWEIGHTED = "none"


@dataclass(frozen=True)
class Weighting:
    """A way to weigh training rows by test rows.

    Attributes
    ----------
    name : str
        How `weights=` and `--weights` name it.
    title : str
        What tables and reports call it.
    kernel : str or None
        The kernel function of the distances that are averaged over the test rows; None weighs
        nothing.
    """

    name: str
    title: str
    kernel: str | None


WEIGHTINGS: dict[str, Weighting] = {
    weighting.name: weighting
    for weighting in (
        Weighting(UNWEIGHTED, "unweighted", None),
        Weighting("distance", "distance weights", "exponential"),
        Weighting("idw", "inverse distances", "inverse"),
    )
}


def check_weighting(name: object) -> Weighting:
    """Return the weighting of that name.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> check_weighting("idw").title
    'inverse distances'
    """
    if isinstance(name, str) and name in WEIGHTINGS:
        return WEIGHTINGS[name]
    raise ValueError(f"weighting {name!r} is unknown: choose one of {', '.join(WEIGHTINGS)}")
