"""Data that come with scikit-learn, by name; nothing is downloaded."""

from __future__ import annotations

import numpy as np

DATASETS = ("breast_cancer", "digits", "iris", "wine")


def load_dataset(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load rows and labels.

    Parameters
    ----------
    name : {"breast_cancer", "digits", "iris", "wine"}

    Returns
    -------
    X : ndarray, shape (N, D)
    y : ndarray, shape (N,)

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> X, y = load_dataset("wine")
    >>> X.shape, y.shape
    ((178, 13), (178,))
    """
    from sklearn import datasets

    if name not in DATASETS:
        raise ValueError(
            f"dataset {name!r} is unknown: choose one of {', '.join(DATASETS)}, or give X, y and "
            "dataset_name"
        )
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X, y
