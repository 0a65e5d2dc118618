"""Labelled and unlabelled rows as one X and y."""

import numpy as np


def joined(data, mark=-1):
    """The same rows as one X and y."""
    X, y, X_unlabeled = data
    return np.concatenate([X, X_unlabeled]), np.concatenate([y, np.full(len(X_unlabeled), mark)])
