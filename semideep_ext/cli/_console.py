"""What goes to stdout and what to stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def say(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr)


def show_table(header: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Write a table to stdout; numbers to the right. Colours as NO_COLOR and the terminal allow.

    Parameters
    ----------
    header : sequence of str
    rows : iterable of sequences
        Floats are shown with four decimals; other values as they are.
    title : str, optional
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title or None,
        title_justify="left",
        box=None,
        pad_edge=False,
        show_header=any(header),
    )
    rows = list(rows)
    for i, name in enumerate(header):
        is_text = any(isinstance(row[i], str) for row in rows)
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 1000  # in a pipe nothing is cut off
    console.print(table)


def print_json(document: dict[str, Any]) -> None:
    """Write one JSON document to stdout; NaN and infinity, which JSON lacks, become null."""
    print(json.dumps(_plain(document), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):  # an array of numpy, or one of its numbers
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
