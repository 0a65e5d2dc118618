"""Files by name, and how much may come out of them."""

from __future__ import annotations

import gzip
import os
from typing import Any

# Deflate packs at most 258 bytes into 2 bits: what a packed file claims beyond that is a lie.
DEFLATE = 1032


def find(folder: str, *names: str) -> str:
    """Give the path of the first of these files that is there.

    Raises
    ------
    FileNotFoundError
        If none is.
    """
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(f"{folder} has no file {' or '.join(names)}")


def opened(path: str) -> Any:
    """Open a file, unpacking it if its name ends in .gz."""
    return gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")


def check_claim(path: str, size: int, packed: bool) -> None:
    """Refuse contents that a file of this length cannot hold.

    Raises
    ------
    ValueError
        Before any memory is taken.
    """
    most = os.path.getsize(path) * (DEFLATE if packed else 1)
    if size > most:
        raise ValueError(
            f"{path}: it claims to hold {size} bytes, more than a file of "
            f"{os.path.getsize(path)} bytes can: it is cut, or no such file"
        )
