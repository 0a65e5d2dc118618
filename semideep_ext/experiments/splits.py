"""Splits into rows to train on, to validate on and to test on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Rows of one split. X_val and y_val are None where too few rows are left to hold any back."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_val: np.ndarray | None
    y_val: np.ndarray | None
    X_test: np.ndarray
    y_test: np.ndarray

    @property
    def sizes(self) -> dict[str, int]:
        """Rows to train on, to validate on and to test on."""
        n_val = 0 if self.X_val is None else len(self.X_val)
        return {"n_train": len(self.X_train), "n_val": n_val, "n_test": len(self.X_test)}


def make_split(
    X: np.ndarray, y: np.ndarray, test_size: float, val_size: float, seed: int, scale: bool = True
) -> Split:
    """Split rows at random, classes in proportion; the scaler is fitted on the training rows only.

    Parameters
    ----------
    X, y : ndarray, shapes (N, D) and (N,)
    test_size : float
        Share of all rows to test on.
    val_size : float
        Share of the others to validate on. None are held back where that would leave a class
        without a row on either side.
    seed : int
    scale : bool, default True
        Standardise the features.

    Raises
    ------
    ValueError
        If a class has too few rows for that test_size.
    """
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    try:
        rest, test = train_test_split(
            np.arange(len(y)), test_size=test_size, stratify=y, random_state=seed
        )
    except ValueError as error:
        classes, counts = np.unique(y, return_counts=True)
        raise ValueError(
            f"test_size={test_size} does not split {len(y)} rows of {len(classes)} classes "
            f"({error}); the rarest class, {classes.tolist()[counts.argmin()]!r}, has "
            f"{counts.min()} row(s): change test_size, or merge or drop rare classes"
        ) from None
    train, val = rest, None
    n_val, fewest = round(val_size * len(rest)), np.unique(y[rest], return_counts=True)[1].min()
    if n_val >= len(np.unique(y)) and fewest >= 2 and len(rest) - n_val >= len(np.unique(y)):
        train, val = train_test_split(rest, test_size=n_val, stratify=y[rest], random_state=seed)
    if scale:
        X = StandardScaler().fit(X[train]).transform(X)
    return Split(
        X_train=X[train],
        y_train=y[train],
        X_val=None if val is None else X[val],
        y_val=None if val is None else y[val],
        X_test=X[test],
        y_test=y[test],
    )
