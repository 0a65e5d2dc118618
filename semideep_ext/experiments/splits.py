"""Splits into rows to train on, to validate on and to test on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Numbers = np.ndarray  # of rows


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
    X, y : ndarray, shapes (N, ...) and (N,)
    test_size : float
        Share of all rows to test on.
    val_size : float
        Share of the others to validate on; see `split_rows`.
    seed : int
    scale : bool, default True
        Standardise the features.

    Raises
    ------
    ValueError
        As `split_rows`.
    """
    from sklearn.preprocessing import StandardScaler

    train, val, test = split_rows(y, test_size, val_size, seed)
    if scale:
        flat = X.reshape(len(X), -1)  # each value of an image is a feature
        X = StandardScaler().fit(flat[train]).transform(flat).reshape(X.shape)
    return Split(
        X_train=X[train],
        y_train=y[train],
        X_val=None if val is None else X[val],
        y_val=None if val is None else y[val],
        X_test=X[test],
        y_test=y[test],
    )


def split_rows(
    y: np.ndarray, test_size: float, val_size: float, seed: int
) -> tuple[Numbers, Numbers | None, Numbers]:
    """Give the numbers of the rows to train on, to validate on and to test on.

    None are held back to validate on where that would leave a class without a row on either side.

    Raises
    ------
    ValueError
        If a class has too few rows for that test_size.
    """
    from sklearn.model_selection import train_test_split

    classes, counts = np.unique(y, return_counts=True)
    rare = f"the rarest class, {classes.tolist()[counts.argmin()]!r}, has {counts.min()} row(s)"
    change = "change test_size, or merge or drop rare classes"
    try:
        rest, test = train_test_split(
            np.arange(len(y)), test_size=test_size, stratify=y, random_state=seed
        )
    except ValueError as error:
        raise ValueError(
            f"test_size={test_size} does not split {len(y)} rows of {len(classes)} classes "
            f"({error}); {rare}: {change}"
        ) from None
    left, fewest = np.unique(y[rest], return_counts=True)
    if len(left) < len(classes):
        raise ValueError(
            f"test_size={test_size} leaves {len(classes) - len(left)} of {len(classes)} classes "
            f"without a row to train on (seed {seed}); {rare}: {change}"
        )
    n_val = round(val_size * len(rest))
    if min(n_val, len(rest) - n_val) < len(classes) or fewest.min() < 2:
        return rest, None, test
    train, val = train_test_split(rest, test_size=n_val, stratify=y[rest], random_state=seed)
    return train, val, test
