"""The pickled batches of CIFAR-10, in a folder or in the archive that is published."""

from __future__ import annotations

import os
import tarfile
from typing import Any

import numpy as np

from semideep_ext.experiments.image_files._sizes import check_claim, find
from semideep_ext.experiments.image_files.pickles import as_array, follow

ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"
BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
SHAPE = (3, 32, 32)


def read_split(folder: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read images, (N, 3, 32, 32), and labels, (N,)."""
    inner = os.path.join(folder, FOLDER)
    archive = os.path.join(folder, ARCHIVE)
    if os.path.isdir(inner):
        folder = inner
    elif os.path.isfile(archive) and not os.path.exists(os.path.join(folder, BATCHES[split][0])):
        return _joined(_read_archive(archive, BATCHES[split]))
    paths = [find(folder, name) for name in BATCHES[split]]
    return _joined([_read_batch(path) for path in paths])


def _joined(batches: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    X, y = (np.concatenate(part) for part in zip(*batches, strict=True))
    return X, y


def _read_batch(path: str) -> tuple[np.ndarray, np.ndarray]:
    with open(path, "rb") as f:
        return read_batch(f.read(), path)


def _read_archive(path: str, names: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    try:
        with tarfile.open(path) as archive:
            found = []
            for name in names:  # members are read, none is unpacked to a path of its choice
                member = archive.getmember(f"{FOLDER}/{name}")
                check_claim(path, member.size, packed=True)
                file = archive.extractfile(member)
                if file is None:
                    raise ValueError(f"{path}: {member.name} is no file")
                found.append(read_batch(file.read(), f"{path}, {name}"))
            return found
    except (tarfile.TarError, EOFError, KeyError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path}: a damaged archive ({error})") from error


def read_batch(content: bytes, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a pickled batch without executing it.

    Raises
    ------
    ValueError
        If it is no dict with data, (N, 3072) unsigned bytes, and N labels.
    """
    entries = follow(content, path)
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: a pickled {type(entries).__name__}, not a dict")
    named: dict[Any, Any] = {
        key.decode("latin-1") if isinstance(key, bytes) else key: value
        for key, value in entries.items()
    }
    if not {"data", "labels"} <= named.keys():
        raise ValueError(f"{path}: a batch has 'data' and 'labels'; this has {list(named)[:10]}")
    data, labels = as_array(named["data"], path), named["labels"]
    if data.ndim != 2 or data.shape[1] != np.prod(SHAPE):
        raise ValueError(f"{path}: data of shape {data.shape}; allowed is (N, 3072)")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise ValueError(f"{path}: labels are no list of whole numbers")
    if not all(0 <= label <= 9 for label in labels):
        raise ValueError(f"{path}: labels beyond 0 to 9")
    return data.reshape(-1, *SHAPE), np.array(labels, dtype=np.int64)
