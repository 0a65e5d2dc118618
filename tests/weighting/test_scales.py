"""Promises of semideep_ext.weighting.scales: lambda_="median" is 1 / (median distance)."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from semideep_ext import WeightComputer, distance_weights, median_lambda
from semideep_ext.op.metrics import METRICS
from semideep_ext.op.testing import reference_distances
from semideep_ext.weighting.scales import resolve_lambda

ROWS = arrays(np.float64, st.tuples(st.integers(2, 9), st.just(3)), elements=st.integers(0, 3))


@settings(deadline=None)
@given(x=ROWS, y=ROWS, metric=st.sampled_from(sorted(METRICS)))
def test_it_is_one_over_the_median_distance(x, y, metric):
    if metric == "jaccard":
        x, y = x > 1, y > 1
    d = reference_distances(x, y, metric)
    positive = d[d > 0]
    expected = 1 / (np.median(d) or np.median(positive)) if positive.size else 1.0
    assert median_lambda(x, y, metric) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", [torch.tensor, pd.DataFrame, np.ndarray.tolist])
def test_rows_of_every_kind_give_the_same(kind, generator):
    x, y = (torch.randn(n, 3, generator=generator).double().numpy() for n in (7, 5))
    assert median_lambda(kind(x), kind(y)) == median_lambda(x, y)


def test_a_callable_metric_is_measured_by_itself():
    x = np.array([[0.0], [1.0]])
    assert median_lambda(x, x + 4, lambda a, b: 2 * torch.cdist(a, b)) == 1 / 8


def test_strings_are_compared_under_hamming():
    x, y = np.array([["a", "b"]]), np.array([["a", "c"], ["a", "d"]])
    assert median_lambda(x, y, "hamming") == 2.0


def test_within_one_set_no_row_is_paired_with_itself():
    assert median_lambda(np.array([[0.0], [2.0]])) == 0.5


def test_where_more_than_half_of_the_pairs_are_equal_the_positive_distances_count():
    x, y = np.zeros((3, 1)), np.array([[0.0], [0.0], [5.0]])
    assert median_lambda(x, y) == 0.2


def test_where_all_rows_are_equal_it_is_one():
    assert median_lambda(np.ones((3, 2)), np.ones((2, 2))) == 1.0


def test_a_large_sample_is_the_same_each_time_and_close_to_all_pairs(generator):
    x = torch.randn(3000, 4, generator=generator).double()
    first = median_lambda(x, x[:2500])
    state = np.random.get_state()[1].copy()
    assert median_lambda(x, x[:2500]) == first
    assert (np.random.get_state()[1] == state).all(), "the caller's random numbers are touched"
    assert first == pytest.approx(1 / torch.cdist(x, x[:2500]).median().item(), rel=0.05)


def test_weights_do_not_depend_on_the_unit_of_the_features(generator):
    x, y = torch.randn(6, 3, generator=generator), torch.randn(5, 3, generator=generator)
    w, in_thousands = (
        distance_weights(a, b, lambda_=median_lambda(a, b))
        for a, b in ((x, y), (1000 * x, 1000 * y))
    )
    torch.testing.assert_close(in_thousands, w)


def test_a_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        median_lambda(np.array([[np.nan]]), np.array([[0.0]]))


def test_another_string_is_refused():
    with pytest.raises(ValueError, match="'mean': allowed is a number > 0, or 'median'"):
        resolve_lambda("mean", [[0.0]], [[1.0]])


def test_a_number_or_tensor_stays_as_it_is():
    lambda_ = torch.tensor(0.3, requires_grad=True)
    assert resolve_lambda(lambda_, [[0.0]], [[1.0]]) is lambda_


def test_weight_computer_takes_it():
    x, y = np.array([[0.0], [1.0]]), np.array([[4.0]])
    w = WeightComputer(lambda_="median").compute_weights(x, y)
    np.testing.assert_allclose(w, distance_weights(x, y, lambda_=1 / 3.5))
