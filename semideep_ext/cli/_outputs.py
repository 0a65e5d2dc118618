"""Results as files, written whole or not at all, or as CSV on stdout."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from semideep_ext._files import write_atomically


def write_columns(path: str, columns: Mapping[str, np.ndarray]) -> None:
    """Write columns of equal length in the format of the suffix; "-" is CSV on stdout.

    Parameters
    ----------
    path : str
    columns : mapping of str to ndarray, shape (N,)
        .npy holds a single column only.

    Raises
    ------
    OSError
        If the file cannot be written.
    ImportError
        If pyarrow is missing, for Parquet.
    """
    if path == "-":
        sys.stdout.write(_csv(columns, ","))
        return
    suffix = Path(path).suffix.lower()

    def write(f: IO[bytes]) -> Any:
        if suffix == ".npy":
            (column,) = columns.values()
            np.save(f, column)
        elif suffix == ".npz":
            np.savez(f, allow_pickle=False, **columns)
        elif suffix == ".parquet":
            _write_parquet(f, columns)
        else:
            f.write(_csv(columns, "\t" if suffix == ".tsv" else ",").encode())

    write_atomically(path, write)


def _csv(columns: Mapping[str, np.ndarray], delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    # As Python objects: their text gives the same number back when it is read.
    writer.writerows(zip(*(np.asarray(c).tolist() for c in columns.values()), strict=True))
    return text.getvalue()


def _write_parquet(f: IO[bytes], columns: Mapping[str, np.ndarray]) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install 'semideep_ext[cli]'") from error
    parquet.write_table(pa.table({k: pa.array(v.tolist()) for k, v in columns.items()}), f)
