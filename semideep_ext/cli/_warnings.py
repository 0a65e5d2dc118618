"""Warnings as lines on stderr, each kind once."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from typing import Any

from semideep_ext.cli._console import say

SHOWN = 60  # characters of a warning that is counted


class Warnings:
    """Shows the first of the warnings that differ in numbers only; at the end, counts the others.

    As a context that gives what may stand for `warnings.showwarning`.
    """

    def __enter__(self) -> Warnings:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        return self

    def __call__(self, message: Warning | str, *details: Any, **options: Any) -> None:
        """Show or count a warning."""
        text = " ".join(str(message).split())  # one line, whatever a library writes
        kind = re.sub(r"[0-9.]+", "0", text)
        self._counts[kind] += 1
        if kind not in self._first:
            self._first[kind] = text
            say(f"warning: {text}")

    def __exit__(self, *error: object) -> None:
        for kind, count in self._counts.items():
            if count > 1:
                first = textwrap.shorten(self._first[kind], SHOWN, placeholder=" ...")
                say(f"warning: {count - 1} more like this: {first}")
