"""Columns of npy and npz files."""

from __future__ import annotations

from typing import Any

import numpy as np


def read_npy(path: str) -> list[tuple[str, Any]]:
    """Give the columns of one array of shape (N, D), called 0, 1, ... D - 1."""
    return _columns_of(path, _load(path))


def read_npz(path: str) -> list[tuple[str, Any]]:
    """Give the columns of the one array of shape (N, D), and the arrays of shape (N,) by name."""
    with _load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    wide = [name for name, array in stored.items() if array.ndim == 2]
    if len(wide) != 1:
        raise ValueError(
            f"{path} holds {len(wide)} arrays of shape (N, D) ({', '.join(stored)}); allowed is "
            "one, with arrays of shape (N,) beside it"
        )
    rows = stored.pop(wide[0])
    for name, array in stored.items():
        if array.shape != (len(rows),):
            raise ValueError(
                f"{path}: {name!r} has shape {array.shape}, but {wide[0]!r} has {len(rows)} rows"
            )
    return _columns_of(path, rows) + list(stored.items())


def _load(path: str) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _columns_of(path: str, rows: np.ndarray) -> list[tuple[str, Any]]:
    if rows.ndim != 2:
        raise ValueError(f"{path} holds an array of shape {rows.shape}; allowed is (N, D)")
    return [(str(i), rows[:, i]) for i in range(rows.shape[1])]
