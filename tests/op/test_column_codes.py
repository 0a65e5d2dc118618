"""Promise: hamming counts the same whether columns are coded by their few values or not."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from semideep_ext import distance_weights
from semideep_ext.op.testing import TOLERANCES

pytestmark = pytest.mark.every_instruction_set
ROWS = 1000  # on each side: enough for coding to pay
LAMBDA = 1.7
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def draw(values, d, seed, rows=ROWS):
    """Rows whose column k has `values` values, none of them a whole number, each at least once."""
    rng = np.random.default_rng(seed)
    of_columns = np.sort(rng.random((values, d)), axis=0) + np.arange(values)[:, None]
    picked = rng.integers(0, values, (rows, d))
    picked[:values] = np.arange(values)[:, None]
    return np.take_along_axis(of_columns, picked, axis=0)


def check(x, y, dtype):
    x, y = (torch.as_tensor(rows.copy(), dtype=dtype) for rows in (x, y))
    w = distance_weights(x, y, "hamming", LAMBDA)
    expected = np.exp(-LAMBDA * cdist(x, y, "hamming")).mean(1)
    np.testing.assert_allclose(w.double(), expected, rtol=TOLERANCES[w.dtype].forward)


@each_dtype
@pytest.mark.parametrize("d", [1, 15, 16, 17, 32, 33, 70])
@pytest.mark.parametrize("values", [2, 3, 17, 256, 257])
def test_columns_of_few_values(values, d, dtype):
    rows = draw(values, d, seed=values + d, rows=2 * ROWS)
    check(rows[:ROWS], rows[ROWS:], dtype)


@each_dtype
@pytest.mark.parametrize("column", [0, 20, 39])
@pytest.mark.parametrize("values", [3, 256, 257, ROWS])
def test_one_column_of_more_values_than_the_others(values, column, dtype):
    rows = draw(2, 40, seed=1, rows=2 * ROWS)
    rows[:, column] = draw(values, 1, seed=2, rows=2 * ROWS)[:, 0]
    check(rows[:ROWS], rows[ROWS:], dtype)


@each_dtype
@pytest.mark.parametrize("values", [1, 2, 3, 200, 256, 257])
def test_values_of_y_that_x_does_not_have(values, dtype):
    x = draw(values, 20, seed=1)
    y = x[::-1].copy()
    y[-1, 3] = y[7, 19] = 1e6 + 0.5
    check(x, y, dtype)


@each_dtype
def test_zeros_of_both_signs_are_one_value(dtype):
    rng = np.random.default_rng(0)
    for values in ([-0.0, 0.0, 0.5], [-0.0, 0.0, 0.5, 1.5]):
        rows = np.array(values)[rng.integers(0, len(values), (2 * ROWS, 33))]
        check(rows[:ROWS], rows[ROWS:], dtype)
    x = torch.zeros(ROWS, 3, dtype=dtype) + torch.tensor([0.0, 0.5, 1.5], dtype=dtype)
    assert (distance_weights(x, torch.where(x == 0, -x, x), "hamming") == 1).all()


@each_dtype
@pytest.mark.parametrize("values", [2, 5, 256])
def test_a_nan_shows(values, dtype):
    rows = torch.tensor(draw(values, 20, seed=0, rows=2 * ROWS), dtype=dtype)
    x, y = rows[:ROWS].clone(), rows[ROWS:].clone()
    expected = distance_weights(x, y, "hamming")
    x[0, 3] = x[5, 19] = torch.nan
    w = distance_weights(x, y, "hamming")
    shown = torch.zeros(ROWS, dtype=torch.bool)
    shown[[0, 5]] = True
    assert torch.equal(w.isnan(), shown) and torch.equal(w[~shown], expected[~shown])
    y[7, 0] = torch.nan
    assert distance_weights(x, y, "hamming").isnan().all()


@pytest.mark.parametrize("values", [[2, 30, 257], [300, 2, 2]])
def test_each_batch_has_codes_of_its_own(values):
    rows = torch.tensor(np.stack([draw(v, 35, seed=v, rows=2 * ROWS) for v in values])).float()
    whole = distance_weights(rows[:, :ROWS], rows[:, ROWS:], "hamming", LAMBDA)
    for w, part in zip(whole, rows, strict=True):
        check(part[:ROWS].numpy(), part[ROWS:].numpy(), torch.float32)
        assert torch.equal(w, distance_weights(part[:ROWS], part[ROWS:], "hamming", LAMBDA))


def test_codes_do_not_show_in_the_bits_of_a_result():
    """Beside few rows of y, columns are not coded, for want of pairs."""
    rows = torch.tensor(draw(9, 33, seed=0, rows=2 * ROWS)).float()
    x, y = rows[:ROWS], rows[ROWS:]
    apart = torch.cat([distance_weights(part, y, "hamming") for part in x.split(100)])
    assert torch.equal(distance_weights(x, y, "hamming"), apart)


def test_integer_codes_and_standardised_columns():
    rng = np.random.default_rng(0)
    codes = rng.integers(100_000, 100_051, (2 * ROWS, 12))
    check(codes[:ROWS], codes[ROWS:], torch.int64)
    one_hot = np.eye(12)[rng.integers(0, 12, 2 * ROWS)]
    scaled = (one_hot - one_hot.mean(0)) / one_hot.std(0)
    check(scaled[:ROWS], scaled[ROWS:], torch.float32)


def test_many_columns_with_too_little_memory_for_tables():
    for values in (2, 3):
        rows = draw(values, 3000, seed=0, rows=1700)
        check(rows[:850], rows[850:], torch.float32)
