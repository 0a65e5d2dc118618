"""Columns of a CSV file as text, with rows of equal width; and the lines where its rows begin."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from typing import Any

from semideep_ext.cli._cells import is_missing, is_number
from semideep_ext.cli._console import say

SUFFIXES = (".csv", ".tsv")
FIRST_BLOCK = 1 << 20  # bytes that Arrow reads at once: its own choice, which a row may exceed
LARGEST_BLOCK = (1 << 31) - 1  # what its sizes and those of the csv module can hold


def read_csv(path: str) -> list[tuple[str, Any]]:
    """Give names and Arrow columns of strings; columns without a name are called as pandas does."""
    delimiter = delimiter_of(path)
    assert delimiter is not None
    names = [name.strip() for name in _header(path, delimiter)]
    if not names:
        raise ValueError(f"{path} is empty")
    _check_names(path, names)
    columns = _read_text(path, delimiter, len(names)).columns
    return list(zip(_named(names), (column.slice(1) for column in columns), strict=True))


def _read_text(path: str, delimiter: str, width: int) -> Any:
    """Read all fields as text, the header among them, in blocks that hold the longest row."""
    pa = import_pyarrow()
    from pyarrow import csv as arrow_csv

    names = [str(i) for i in range(width)]  # since Arrow would merge equal names
    block = FIRST_BLOCK
    while True:
        try:
            return arrow_csv.read_csv(
                path,
                read_options=arrow_csv.ReadOptions(column_names=names, block_size=block),
                parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid as error:
            _check_widths(path, delimiter)
            if block >= min(os.path.getsize(path), LARGEST_BLOCK):
                raise ValueError(f"{path}: {error}") from error
            block = min(16 * block, LARGEST_BLOCK)


def _check_names(path: str, names: list[str]) -> None:
    """Refuse a first line of numbers, but for 0, 1, 2 and so on: pandas' names of unnamed ones."""
    given = names[1:] if names[0] == "" else names  # pandas' index comes first, without a name
    if given == [str(i) for i in range(len(given))] and given:
        say(f"note: {path}: the first line, {given[0]} to {given[-1]}, is taken as names")
    elif any(map(is_number, names)) and all(is_number(n) or is_missing(n) for n in names):
        raise ValueError(
            f"{path}, line 1: all fields are numbers ({names[0]}, ...), so that the names of the "
            "columns are missing; add a first line that holds them"
        )


def _named(names: list[str]) -> list[str]:
    taken = set(names)
    named = []
    for i, name in enumerate(names):
        name = name or f"Unnamed: {i}"
        while name in taken and not names[i]:
            name += ".1"
        named.append(name)
    return named


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
    csv.field_size_limit(LARGEST_BLOCK)  # of one field; by default 128 KiB
    with open(path, newline="", encoding="utf-8-sig") as f:
        reader, line = csv.reader(f, delimiter=delimiter), 1
        try:
            for fields in reader:
                if fields:
                    yield line, fields
                line = reader.line_num + 1
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: the text is not UTF-8 ({error}); save it as UTF-8") from None
        except csv.Error as error:
            raise ValueError(f"{path}, line {line}: this is no CSV ({error})") from None


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


def import_pyarrow() -> Any:
    """Import it, or say what to install."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            "CSV and Parquet files need pyarrow: pip install 'semideep_ext[cli]'"
        ) from error
    return pyarrow
