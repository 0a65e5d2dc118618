"""Columns of a Parquet file, and those that pandas wrote as the index of its rows."""

from __future__ import annotations

import re
from typing import Any

from semideep_ext.cli._csv import import_pyarrow

_INDEX = re.compile(r"__index_level_[0-9]+__")  # how pandas calls an index without a name


def read_parquet(path: str) -> list[tuple[str, Any]]:
    """Give names and Arrow columns."""
    pa = import_pyarrow()
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: {error}") from error
    return list(zip(table.column_names, table.columns, strict=True))


def declared_index(path: str) -> set[str]:
    """Name the columns that are an index, by what pandas has noted in the file or by their name."""
    from pyarrow import parquet

    schema = parquet.read_schema(path)
    noted = (schema.pandas_metadata or {}).get("index_columns", [])
    names = {name for name in noted if isinstance(name, str)}  # a range of numbers is no column
    return names | {name for name in schema.names if _INDEX.fullmatch(name)}
