"""SVHN's cropped digits, .mat files that SciPy reads."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np

from semideep_ext.experiments.image_files._sizes import check_claim, find

IMAGES, LABELS = "X", "y"


def read_split(folder: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read images, (N, 3, 32, 32), and labels, (N,), of which 10, the digit 0, becomes 0.

    Raises
    ------
    ValueError
        If the file is no .mat file with X, (32, 32, 3, N) bytes, and y, (N, 1).
    """
    path = find(folder, f"{split}_32x32.mat")
    # Shapes stand in headers: nothing is unpacked before they are what they should be.
    found = {name: (shape, kind) for name, shape, kind in _by_scipy("whosmat", path)}
    if not {IMAGES, LABELS} <= found.keys():
        raise ValueError(f"{path}: it holds {sorted(found)}; it should hold X and y")
    (shape, kind), (labels_shape, _) = found[IMAGES], found[LABELS]
    if len(shape) != 4 or shape[:3] != (32, 32, 3) or kind != "uint8":
        raise ValueError(f"{path}: X is {kind} of shape {shape}; allowed is (32, 32, 3, N)")
    if math.prod(labels_shape) != shape[3]:
        raise ValueError(f"{path}: {shape[3]} images, and labels of shape {labels_shape}")
    check_claim(path, math.prod(shape), packed=True)
    content = _by_scipy("loadmat", path, variable_names=[IMAGES, LABELS])
    labels = np.asarray(content[LABELS]).reshape(-1)
    if labels.dtype.kind not in "ui":
        raise ValueError(f"{path}: y holds {labels.dtype}; allowed are whole numbers")
    y = labels.astype(np.int64)
    return np.ascontiguousarray(content[IMAGES].transpose(3, 2, 0, 1)), np.where(y == 10, 0, y)


def _by_scipy(function: str, path: str, **options: Any) -> Any:
    """Call a reader of SciPy's, whose many errors mean one thing."""
    try:
        import scipy.io
    except ImportError as error:
        raise ImportError("SVHN needs SciPy: pip install 'semideep_ext[experiment]'") from error
    try:
        return getattr(scipy.io, function)(path, **options)
    except (OSError, ValueError, TypeError, EOFError, zlib.error, NotImplementedError) as error:
        raise ValueError(f"{path}: a damaged .mat file, or none ({error})") from error
    except scipy.io.matlab.MatReadError as error:
        raise ValueError(f"{path}: an empty or damaged .mat file ({error})") from error
