"""Columns of a CSV file as text, with rows of equal width; and the lines where its rows begin."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from typing import Any

SUFFIXES = (".csv", ".tsv")


def read_csv(path: str) -> list[tuple[str, Any]]:
    """Give names and Arrow columns of strings."""
    pa = import_pyarrow()
    from pyarrow import csv as arrow_csv

    delimiter = delimiter_of(path)
    assert delimiter is not None
    header = _header(path, delimiter)
    if not header:
        raise ValueError(f"{path} is empty")
    if all(is_number(name) for name in header):
        raise ValueError(
            f"{path}, line 1: all fields are numbers ({header[0]}, ...), so that the names of the "
            "columns are missing; add a first line that holds them"
        )
    try:
        table = arrow_csv.read_csv(
            path,
            # The names are given, as equal ones are refused later and would be merged here.
            read_options=arrow_csv.ReadOptions(column_names=[str(i) for i in range(len(header))]),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types={str(i): pa.string() for i in range(len(header))},
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        _check_widths(path, delimiter)
        raise ValueError(f"{path}: {error}") from error
    return list(zip(header, (column.slice(1) for column in table.columns), strict=True))


def delimiter_of(path: str) -> str | None:
    """Give what separates the fields; None if the file is no CSV.

    Of .csv it is what separates most names: spreadsheets write semicolons where 0,5 is a number.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in SUFFIXES:
        return None
    return max("\t" if suffix == ".tsv" else ",;\t", key=lambda d: len(_header(path, d)))


def _header(path: str, delimiter: str) -> list[str]:
    return next((fields for _, fields in records(path, delimiter)), [])


def records(path: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Give records and the lines where they begin; empty lines are none, as for Arrow."""
    with open(path, newline="", encoding="utf-8-sig") as f:
        reader, line = csv.reader(f, delimiter=delimiter), 1
        try:
            for fields in reader:
                if fields:
                    yield line, fields
                line = reader.line_num + 1
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: the text is not UTF-8 ({error}); save it as UTF-8") from None


def _check_widths(path: str, delimiter: str) -> None:
    rows = records(path, delimiter)
    _, header = next(rows)
    for line, fields in rows:
        if len(fields) != len(header):
            lacking = header[len(fields) :]
            which = (
                f"column {lacking[0]!r} is missing" if lacking else f"{fields[-1]!r} is too many"
            )
            raise ValueError(
                f"{path}, line {line}: {len(fields)} fields where the header has {len(header)}; "
                f"{which}"
            )


def is_number(value: Any) -> bool:
    """Tell whether Python reads the value as a number, NaN and infinity included."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def import_pyarrow() -> Any:
    """Import it, or say what to install."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            "CSV and Parquet files need pyarrow: pip install 'semideep_ext[cli]'"
        ) from error
    return pyarrow
