"""Seeds as scikit-learn's `random_state` gives them."""

from __future__ import annotations

import numbers
from typing import Any

from sklearn.utils import check_random_state


def seed_of(random_state: Any) -> int:
    """Take a number as it is, and draw one from a RandomState, or from numpy's own for None.

    Examples
    --------
    >>> seed_of(42)
    42
    """
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
