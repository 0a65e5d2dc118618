"""Rows that the tests of the scikit-learn layer share."""

import numpy as np
import pytest


@pytest.fixture
def data():
    """Forty labelled rows of two classes, thirty unlabelled ones near the second."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.normal(size=(40, 3)) + 2 * y[:, None]
    X_unlabeled = rng.normal(size=(30, 3)) + 1.5
    return X, y, X_unlabeled
