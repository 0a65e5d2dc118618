"""Columns of npy and npz files."""

from __future__ import annotations

from typing import Any

import numpy as np


def read_arrays(path: str) -> list[tuple[str, Any]]:
    """Give columns of the one array of shape (N, D), called 0, 1, ... D - 1; others by name."""
    arrays = _load(path)
    wide = [name for name, array in arrays.items() if array.ndim == 2]
    if len(wide) != 1:
        found = ", ".join(f"{name} of shape {array.shape}" for name, array in arrays.items())
        raise ValueError(
            f"{path} holds {found or 'nothing'}; allowed is one array of shape (N, D), with arrays "
            "of shape (N,) beside it"
        )
    rows = arrays.pop(wide[0])
    for name, array in arrays.items():
        if array.shape != (len(rows),):
            raise ValueError(
                f"{path}: {name!r} has shape {array.shape}, but {wide[0]!r} has {len(rows)} rows"
            )
    return [(str(i), rows[:, i]) for i in range(rows.shape[1])] + list(arrays.items())


def _load(path: str) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            arrays = {"an array": found}
            if not isinstance(found, np.ndarray):
                arrays = {name: found[name] for name in found.files}
    except OSError:
        raise
    except Exception as error:  # numpy lets many kinds out of a broken header or archive
        raise ValueError(_not_ours(path)) from error
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError(_not_ours(path))  # of other archives numpy gives the bytes
    return arrays


def _not_ours(path: str) -> str:
    return (
        f"{path} cannot be read: it was not written by numpy.save or numpy.savez, was cut short, "
        "or holds Python objects"
    )
