"""Files that are written whole or not at all."""

from __future__ import annotations

import glob
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any


def write_atomically(path: str | os.PathLike[str], write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file so that a crash at any moment leaves the old file or the new one, never a part.

    Parameters
    ----------
    path : path-like
        The file. A symbolic link is followed.
    write : callable
        Gets a binary file and writes the content.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "file")
    ...     write_atomically(path, lambda f: f.write(b"content"))
    ...     path.read_bytes()
    b'content'
    """
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    # The same folder, since a rename is atomic only within one file system.
    temporary = _temporary(path, uuid.uuid4().hex)
    try:
        with open(temporary, "xb") as f:
            write(f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the rename itself must reach the disk; not so on Windows
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what writers of this file that were killed have left beside it.

    Parameters
    ----------
    path : path-like
        The file, which nobody else may be writing now.
    """
    for leftover in glob.glob(_temporary(glob.escape(os.path.realpath(path)), "*")):
        with suppress(FileNotFoundError):
            os.unlink(leftover)


def _temporary(path: str, unique: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{unique}.tmp")
