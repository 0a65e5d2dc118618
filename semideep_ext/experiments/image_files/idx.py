"""IDX files, as MNIST and Fashion-MNIST are published in: a header, then bytes.

Two bytes of 0, the type of the values (8: unsigned bytes), the number of dimensions, each dimension
in four bytes (big endian), then the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib

import numpy as np

from semideep_ext.experiments.image_files._sizes import check_claim, find, opened

UNSIGNED_BYTE = 8


def read_split(folder: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read images, (N, 1, H, W), and labels, (N,)."""
    stem = {"train": "train", "test": "t10k"}[split]
    found = []
    for what, dimensions in (("images", 3), ("labels", 1)):
        dash, dot = (f"{stem}-{what}{sep}idx{dimensions}-ubyte" for sep in "-.")
        path = find(folder, *(name + end for name in (dash, dot) for end in ("", ".gz")))
        found.append(read_idx(path, dimensions))
    return found[0][:, None], found[1].astype(np.int64)


def read_idx(path: str, dimensions: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes, with so many dimensions.

    Raises
    ------
    ValueError
        If it is no such file, cut, damaged, or goes on where it should end.
    """
    try:
        with opened(path) as f:
            header = f.read(4 + 4 * dimensions)
            magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
            if header[:4] != magic or len(header) < 4 + 4 * dimensions:
                raise ValueError(
                    f"{path}: it begins with {header[:4]!r}; an IDX file of bytes in {dimensions} "
                    f"dimensions begins with {magic!r}"
                )
            shape = struct.unpack(f">{dimensions}I", header[4:])
            size = math.prod(shape)
            check_claim(path, size, path.endswith(".gz"))
            content = f.read(size)
            if len(content) < size or f.read(1):
                raise ValueError(
                    f"{path}: the header says {shape}, {size} bytes, and {len(content)} "
                    f"{'or more ' if len(content) == size else ''}follow: the file is damaged"
                )
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: a damaged .gz file ({error})") from error
    return np.frombuffer(content, np.uint8).reshape(shape)
