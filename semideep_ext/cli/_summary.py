"""Lines that the summaries of several commands share."""

from __future__ import annotations

from typing import Any


def sizes(found: dict[str, Any]) -> tuple[str, str]:
    """Count rows and features, by the facts of `Data`."""
    return "rows", f"{found['n']} towards {found['m']}, {len(found['features'])} features"


def decay(lambda_: float | None) -> str:
    """Name lambda, where there is one."""
    return "" if lambda_ is None else f", lambda {lambda_:.6g}"


def effective_rows(effective: float, n: int) -> str:
    """Say how many equally weighted rows the weights of n rows amount to (Kish).

    Examples
    --------
    >>> effective_rows(30.25, 60)
    '30.2 of 60'
    """
    return f"{effective:.1f} of {n}"
