"""Rows to select on, and notes of what was fitted."""

import numpy as np
import pytest
from selection_runs import NOTES


@pytest.fixture
def data():
    """Sixty training rows sorted by class, as files often are, and twenty unlabelled ones."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 30)
    X = rng.normal(size=(60, 4)) + 1.5 * y[:, None]
    return X, y, rng.normal(size=(20, 4)) + 1.0


@pytest.fixture
def notes():
    NOTES.clear()
    return NOTES
