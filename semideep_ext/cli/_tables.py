"""Tables from CSV, Parquet, npy and npz files. Faults are named by file, row and column.

CSV fields are read as text and made numbers only where features are asked for, so that the text of
a field that is no number can be shown.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from semideep_ext.cli._arrays import read_arrays
from semideep_ext.cli._cells import fault, is_missing
from semideep_ext.cli._csv import SUFFIXES, delimiter_of, import_pyarrow, read_csv, records
from semideep_ext.cli._parquet import declared_index, read_parquet

_NAMELESS = re.compile(r"Unnamed: [0-9]+\S*")  # as pandas and `read_csv` call such columns


@dataclass(frozen=True)
class Table:
    """Columns by name, in the order of the file: numpy arrays or Arrow columns."""

    path: str
    columns: dict[str, Any]
    index: frozenset[str] = frozenset()  # columns without a name, or declared as an index

    def values(self, name: str) -> list[Any]:
        """Give a column as Python objects."""
        column = self.columns[name]
        return list(column.tolist() if isinstance(column, np.ndarray) else column.to_pylist())

    def numbers(self, name: str, allow_missing: bool = False) -> np.ndarray:
        """Give a column as finite floats, or say which cell is none; missing ones may be NaN.

        Raises
        ------
        ValueError
        """
        floats = _as_floats(self.columns[name])
        if floats is not None and np.isfinite(floats).all():
            return floats
        values = self.values(name)
        wrong = [
            row
            for row, value in enumerate(values)
            if fault(value, name) and not (allow_missing and is_missing(value))
        ]
        if wrong:
            others = f" ({len(wrong) - 1} more in this column)" if wrong[1:] else ""
            said = fault(values[wrong[0]], name)
            raise ValueError(f"{self.place(wrong[0])}, column {name!r}: {said}{others}")
        return np.array([math.nan if is_missing(value) else float(value) for value in values])

    def place(self, row: int) -> str:
        """Name a row by file and, in text, line."""
        delimiter = delimiter_of(self.path)
        if delimiter is None:
            return f"{self.path}, row {row} (the first is 0)"
        for i, (line, _) in enumerate(records(self.path, delimiter)):
            if i == row + 1:  # the first record is the header
                return f"{self.path}, line {line}"
        raise AssertionError("the file has changed while it was read")


def read_table(path: str) -> Table:
    """Read a file with at least one row.

    Parameters
    ----------
    path : str
        .csv and .tsv have a header; the fields of .csv are separated by commas, semicolons or
        tabs; .npy holds one array of shape (N, D), .npz one such array and
        any number of arrays of shape (N,). Columns of arrays are called 0, 1, ... D - 1.

    Raises
    ------
    ValueError
        For another suffix, rows of unequal width, equal names, or a file without rows.
    OSError
        If the file cannot be read.
    """
    suffix = os.path.splitext(path)[1].lower()
    readers: dict[str, Callable[[str], list[tuple[str, Any]]]] = {
        **dict.fromkeys(SUFFIXES, read_csv),
        ".parquet": read_parquet,
        ".npy": read_arrays,
        ".npz": read_arrays,
    }
    if suffix not in readers:
        raise ValueError(f"{path}: suffix {suffix!r} is unknown; allowed are {', '.join(readers)}")
    if not os.path.isfile(path):
        what = "a folder, not a file" if os.path.isdir(path) else "no such file"
        raise FileNotFoundError(f"{path}: {what}")
    pairs = readers[suffix](path)
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise ValueError(f"{path}: {count} columns are called {name!r}; rename them")
    if not pairs or not len(pairs[0][1]):
        raise ValueError(f"{path} holds no rows")
    index = declared_index(path) if suffix == ".parquet" else set()
    index |= {name for name, _ in pairs if _NAMELESS.fullmatch(name)}
    return Table(path, dict(pairs), frozenset(index))


def _as_floats(column: Any) -> np.ndarray | None:
    """Floats, of missing values NaN; None if a value is no number."""
    if isinstance(column, np.ndarray):
        if column.dtype.kind not in "biuf":
            return None
        return column if column.dtype.kind == "f" else column.astype(np.float64)
    pa = import_pyarrow()
    from pyarrow import compute

    try:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = compute.utf8_trim_whitespace(column)
        floats: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return floats
