"""What the cells of a table say: numbers, missing values, labels."""

from __future__ import annotations

import math
import re
from typing import Any

from semideep_ext.op.arguments import is_missing as is_no_value

# Narrower than float(), to which 1_2 is 12 and "infinity" a number.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# As an integer is written, or a float that is one: 07 and +7 are text. 15 digits fit into a float.
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.0+)?")
_INFINITY = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?"}


def is_missing(value: Any) -> bool:
    """Tell missing values of Python, NumPy and pandas, and the marks that stand for them in text.

    Examples
    --------
    >>> [is_missing(value) for value in (None, float("nan"), " NA", "?", "", 0, "no")]
    [True, True, True, True, True, False, False]
    """
    return value.strip().lower() in _MISSING if isinstance(value, str) else is_no_value(value)


def is_number(value: Any) -> bool:
    """Tell whether a value is a number, or text that is written like a finite one.

    Examples
    --------
    >>> [is_number(value) for value in (" 1e3", "+.5", 2, True, "1_2", "inf", "nan", "0,5", None)]
    [True, True, True, True, False, False, False, False, False]
    """
    if isinstance(value, str):
        return _NUMBER.fullmatch(value.strip()) is not None
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def fault(value: Any, column: str) -> str | None:
    """Say what is wrong with a value as a feature, and what to change; None if it is a number."""
    if isinstance(value, float) and math.isnan(value):
        return "the value is NaN; fill it in, or leave the row out"
    if is_missing(value):
        return "the value is missing; fill it in, or leave the row out"
    if isinstance(value, str) and _INFINITY.fullmatch(value.strip()):
        return f"{value} is not finite; correct it, or leave the row out"
    if not is_number(value):
        if isinstance(value, str) and is_number(value.replace(",", ".", 1)):
            return f"{value!r} is no number; write it with a point and without commas"
        return (
            f"{value!r} is no number; encode the column as numbers, or leave it out: --drop "
            f"{column!r} (--label if it holds the labels)"
        )
    if math.isinf(float(value)):
        return f"{value} is not finite; correct it, or leave the row out"
    return None


def as_label(value: Any) -> int | str:
    """Give a label as an integer if it is written as one, else as text without blanks around it.

    Floats that are integers become those, so that 1.0 of one file is 1 of the other. Fractions and
    dates are text, as scikit-learn takes no such classes.

    Examples
    --------
    >>> [as_label(value) for value in (" cat", "1", "1.0", 1.0, "0.5", 0.5, "007", "+7", "1_2")]
    ['cat', 1, 1, 1, '0.5', '0.5', '007', '+7', '1_2']
    """
    if isinstance(value, int):
        return value
    text = str(value).strip()
    return int(float(text)) if _INTEGER.fullmatch(text) else text


def listed(values: list[Any], most: int = 5) -> str:
    """Name the first values, and how many there are if there are more.

    Examples
    --------
    >>> listed(["a", 1], most=3), listed(list(range(9)), most=3)
    ("'a', 1", '0, 1, 2, ... (9 in all)')
    """
    more = f", ... ({len(values)} in all)" if len(values) > most else ""
    return ", ".join(map(repr, values[:most])) + more
