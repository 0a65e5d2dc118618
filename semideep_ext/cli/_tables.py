"""Tables from CSV, Parquet, npy and npz files. Faults are named by file, row and column.

CSV fields are read as text and made numbers only where features are asked for, so that the text of
a field that is no number can be shown.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from semideep_ext.cli._arrays import read_arrays
from semideep_ext.cli._csv import (
    SUFFIXES,
    delimiter_of,
    import_pyarrow,
    is_number,
    read_csv,
    records,
)

_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}


@dataclass(frozen=True)
class Table:
    """Columns by name, in the order of the file: numpy arrays or Arrow columns."""

    path: str
    columns: dict[str, Any]

    def numbers(self, name: str) -> np.ndarray:
        """Give a column as finite floats, or say which cell is none.

        Raises
        ------
        ValueError
        """
        column = self.columns[name]
        floats = _as_floats(column)
        if floats is not None and np.isfinite(floats).all():
            return floats
        values = column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()
        faults = [(row, fault) for row, value in enumerate(values) if (fault := _fault(value))]
        if faults:
            (row, fault), more = faults[0], len(faults) - 1
            others = f" ({more} more in this column)" if more else ""
            raise ValueError(f"{self._place(row)}, column {name!r}: {fault(name)}{others}")
        return np.array([float(value) for value in values])  # spelled as Python spells numbers

    def labels(self, name: str) -> np.ndarray | None:
        """Give a column as integers if all values are, else as it is; None if all are missing.

        Raises
        ------
        ValueError
            If some values are missing.
        """
        column = self.columns[name]
        values = column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()
        missing = [row for row, value in enumerate(values) if _is_no_label(value)]
        if len(missing) == len(values):
            return None
        if missing:
            more = f" ({len(missing) - 1} more in this column)" if missing[1:] else ""
            raise ValueError(
                f"{self._place(missing[0])}, column {name!r}: the label is missing{more}; fill it "
                "in, or leave the row out"
            )
        try:
            return np.array([int(value) if isinstance(value, str) else value for value in values])
        except ValueError:
            return np.array(values)

    def _place(self, row: int) -> str:
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
        ".parquet": _read_parquet,
        ".npy": read_arrays,
        ".npz": read_arrays,
    }
    if suffix not in readers:
        raise ValueError(f"{path}: suffix {suffix!r} is unknown; allowed are {', '.join(readers)}")
    if not os.path.isfile(path):
        what = "a folder, not a file" if os.path.isdir(path) else "no such file"
        raise FileNotFoundError(f"{path}: {what}")
    pairs = readers[suffix](path)
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path}: {names.count(twice)} columns are called {twice!r}; rename them")
    if not pairs or not len(pairs[0][1]):
        raise ValueError(f"{path} holds no rows")
    return Table(path, dict(pairs))


def _read_parquet(path: str) -> list[tuple[str, Any]]:
    pa = import_pyarrow()
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: {error}") from error
    return list(zip(table.column_names, table.columns, strict=True))


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


def _fault(value: Any) -> Callable[[str], str] | None:
    """Tell what is wrong with a value as a feature, given the column's name."""
    if value is None or (isinstance(value, str) and value.strip().lower() in _MISSING):
        return lambda name: "the value is missing; fill it in, or leave the row out"
    if not is_number(value):
        if isinstance(value, str) and is_number(value.replace(",", ".", 1)):
            return lambda name: f"{value!r} is no number; write it with a point and without commas"
        return lambda name: (
            f"{value!r} is no number; encode the column as numbers, or leave it out: --drop "
            f"{name!r} (--label if it holds the labels)"
        )
    if math.isnan(float(value)):
        return lambda name: "the value is NaN; fill it in, or leave the row out"
    if math.isinf(float(value)):
        return lambda name: f"{value} is not finite; correct it, or leave the row out"
    return None


def _is_no_label(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
