"""Promise: what the definition implies holds for whatever rows hypothesis can think of."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.op.metrics import METRICS
from semideep_ext.op.testing import TOLERANCES

each_metric = pytest.mark.parametrize("metric", METRICS)
pytestmark = [
    pytest.mark.each_device,
    pytest.mark.filterwarnings("ignore:metric='jaccard' only asks"),
]

# Small integers make ties and zeros likely; the rest of the line is for the norms.
values = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, width=32))
sizes = st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(0, 6))
lambdas = st.floats(1e-3, 10)


@st.composite
def pairs(draw):
    n, m, d = draw(sizes)
    return tuple(
        torch.tensor(draw(hnp.arrays(np.float64, (rows, d), elements=values))) for rows in (n, m)
    )


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=TOLERANCES[actual.dtype].forward, atol=1e-300)


def holds_for(strategy, *more):
    """Few examples by many metrics: the whole file is to take seconds."""
    return lambda test: settings(max_examples=25, deadline=None)(given(strategy, *more)(test))


@each_metric
@holds_for(pairs(), lambdas)
def test_weights_lie_between_0_and_1(metric, pair, lambda_):
    w = distance_weights(*pair, metric, lambda_)
    assert (w >= 0).all() and (w <= 1).all()


@each_metric
@holds_for(pairs(), lambdas, st.randoms())
def test_the_order_of_y_does_not_matter(metric, pair, lambda_, random):
    x, y = pair
    order = random.sample(range(len(y)), len(y))
    assert_close(
        distance_weights(x, y[order], metric, lambda_), distance_weights(x, y, metric, lambda_)
    )


@each_metric
@holds_for(pairs(), lambdas)
def test_doubling_y_does_not_matter(metric, pair, lambda_):
    x, y = pair
    doubled = distance_weights(x, torch.cat([y, y]), metric, lambda_)
    assert_close(doubled, distance_weights(x, y, metric, lambda_))


@each_metric
@holds_for(pairs(), lambdas, st.data())
def test_y_weight_counts_copies(metric, pair, lambda_, data):
    x, y = pair
    copies = torch.tensor(data.draw(st.lists(st.integers(1, 4), min_size=len(y), max_size=len(y))))
    repeated = distance_weights(x, y.repeat_interleave(copies, 0), metric, lambda_)
    assert_close(distance_weights(x, y, metric, lambda_, y_weight=copies.double()), repeated)


@each_metric
@holds_for(pairs(), lambdas, st.floats(1.0, 10))
def test_weights_fall_as_lambda_grows(metric, pair, lambda_, factor):
    larger = distance_weights(*pair, metric, lambda_ * factor)
    assert (larger <= distance_weights(*pair, metric, lambda_) * (1 + 1e-12)).all()


@each_metric
@holds_for(pairs())
def test_distances_are_symmetric_and_0_to_itself(metric, pair):
    rows = torch.cat(pair)
    matrix = kernel_matmul(rows, rows, torch.eye(len(rows), dtype=rows.dtype), metric)
    assert torch.equal(matrix, matrix.T)
    itself = matrix.diagonal()
    if metric == "cosine" and rows.shape[1]:
        itself = itself[(rows != 0).any(1)]
    assert (itself == 1).all()


@each_metric
@holds_for(pairs(), lambdas)
def test_exchanging_the_sides_transposes_the_product(metric, pair, lambda_):
    x, y = pair
    u, v = torch.rand(len(x), dtype=x.dtype), torch.rand(len(y), dtype=y.dtype)
    left = u @ kernel_matmul(x, y, v, metric, lambda_)
    assert_close(left, v @ kernel_matmul(y, x, u, metric, lambda_))


@holds_for(pairs(), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_cosine_ignores_lengths(pair, a, b):
    x, y = pair
    expected = distance_weights(x, y, "cosine")
    torch.testing.assert_close(
        distance_weights(a * x, b * y, "cosine"), expected, rtol=1e-13, atol=0
    )


@each_metric
@holds_for(pairs(), lambdas)
def test_log_weights_are_the_logarithms_of_weights(metric, pair, lambda_):
    w = distance_weights(*pair, metric, lambda_)
    log_w = distance_weights(*pair, metric, lambda_, log=True)
    seen = w > 1e-300
    torch.testing.assert_close(log_w[seen], w.log()[seen], rtol=1e-13, atol=1e-13)
    assert ((log_w[~seen] < -600).all() and log_w.isfinite().all()) or metric == "sqeuclidean"


@each_metric
@holds_for(pairs(), st.lists(lambdas, min_size=1, max_size=4), st.booleans())
def test_several_lambdas_equal_each_alone_bit_for_bit(metric, pair, several, log):
    together = distance_weights(*pair, metric, torch.tensor(several, dtype=torch.float64), log=log)
    alone = [distance_weights(*pair, metric, value, log=log) for value in several]
    assert torch.equal(together, torch.stack(alone))


@each_metric
@holds_for(pairs(), lambdas)
def test_weights_are_the_product_with_shares(metric, pair, lambda_):
    x, y = pair
    share = torch.full((len(y),), 1 / len(y), dtype=y.dtype)
    assert_close(
        distance_weights(x, y, metric, lambda_), kernel_matmul(x, y, share, metric, lambda_)
    )
