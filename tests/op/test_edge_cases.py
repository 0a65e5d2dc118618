"""Promise: every edge case has one documented answer, the same for every metric and dtype."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.op import functional
from semideep_ext.op.metrics import KERNELS, METRICS
from semideep_ext.op.testing import DTYPES, TOLERANCES, random_rows

pytestmark = [
    pytest.mark.each_device,
    pytest.mark.filterwarnings("ignore:metric='jaccard' only asks"),
]
each_metric = pytest.mark.parametrize("metric", METRICS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def distances(x, y, metric):
    """The distances themselves, read off log weights of single rows."""
    columns = [-distance_weights(x, y[j : j + 1], metric, 1.0, log=True) for j in range(len(y))]
    return torch.stack([torch.as_tensor(c) for c in columns], dim=1).tolist()


# Definitions


def test_hamming_counts_different_raw_values():
    rows = torch.tensor([[0.5, -0.0, math.inf], [0.25, 0.0, math.inf]])
    assert distances(rows, rows, "hamming") == [
        [0, pytest.approx(1 / 3)],
        [pytest.approx(1 / 3), 0],
    ]


def test_jaccard_only_asks_whether_a_value_is_zero():
    assert distances(torch.tensor([[5.0, -2, 0]]), torch.tensor([[1.0, 0, 0]]), "jaccard") == [
        [0.5]
    ]


def test_jaccard_of_two_empty_sets_is_0_and_of_an_empty_and_another_1():
    rows = torch.tensor([[0.0, 0], [1, 0]])
    assert distances(rows, rows, "jaccard") == [[0, 1], [1, 0]]


def test_jaccard_warns_once_when_values_lose_information(monkeypatch):
    monkeypatch.setattr(functional, "_jaccard_warned", False)
    with pytest.warns(UserWarning, match="only asks whether a value is zero") as warned:
        for _ in range(2):
            distance_weights([[0.5]], [[1.0]], "jaccard")
    assert len(warned) == 1
    assert warned[0].filename == __file__


def test_jaccard_does_not_warn_about_sets(monkeypatch):
    monkeypatch.setattr(functional, "_jaccard_warned", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in (torch.bool, torch.int64, torch.float32):
            rows = torch.eye(3).to(dtype)
            distance_weights(rows, rows, "jaccard")


def test_cosine_of_a_zero_vector_is_1_even_with_itself():
    rows = torch.tensor([[0.0, 0], [3, 4]])
    assert distances(rows, rows, "cosine") == [[1, 1], [1, 0]]


@each_dtype
def test_cosine_stays_within_0_and_2(dtype, generator):
    x = random_rows("cosine", 60, 3, dtype, generator)
    d = torch.tensor(distances(x, torch.cat([-x, 3 * x]), "cosine"))
    assert d.min() >= 0 and d.max() <= 2


@each_dtype
@each_metric
def test_a_row_is_at_distance_exactly_0_of_itself(metric, dtype, generator):
    x = random_rows(metric, 40, 65, dtype, generator)
    x[:, 0] = 1  # no zero row, whose cosine is 1
    for row in x.split(1):
        assert distance_weights(row, row, metric).item() == 1
        assert distance_weights(row, row, metric, log=True).item() == 0


# NaN and infinity


@pytest.mark.parametrize("log", [False, True])
@each_dtype
@each_metric
def test_nan_in_a_row_of_x_makes_its_weight_nan(metric, dtype, log, generator):
    x, y = (random_rows(metric, n, 130, dtype, generator) for n in (70, 9))
    x[65, 129] = math.nan
    isnan = distance_weights(x, y, metric, log=log).isnan()
    assert isnan.nonzero().tolist() == [[65]]


@pytest.mark.parametrize("kernel", KERNELS)
@each_dtype
@each_metric
def test_nan_in_a_row_of_y_makes_every_weight_nan(metric, dtype, kernel, generator):
    x, y = (random_rows(metric, n, 3, dtype, generator) for n in (70, 140))
    y[139, 1] = math.nan
    for log in (False, True):
        assert distance_weights(x, y, metric, kernel=kernel, log=log).isnan().all()
    unused = torch.ones(140)
    unused[139] = 0
    assert distance_weights(x, y, metric, kernel=kernel, y_weight=unused).isnan().all()


@each_dtype
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_an_infinite_row_is_infinitely_far_and_has_no_distance_to_itself(metric, dtype):
    rows = torch.tensor([[math.inf, 0], [1, 2]], dtype=dtype)
    assert distance_weights(rows[:1], rows[1:], metric).item() == 0
    assert distance_weights(rows[:1], rows[1:], metric, log=True).item() == -math.inf
    assert math.isnan(distance_weights(rows[:1], rows[:1], metric).item())


@each_dtype
def test_an_infinite_row_has_no_direction(dtype):
    rows = torch.tensor([[math.inf, 0], [1, 2]], dtype=dtype)
    assert math.isnan(distance_weights(rows[:1], rows[1:], "cosine").item())


# Empty dimensions


@each_metric
def test_no_rows_to_weigh_give_no_weights(metric):
    x, y, v = torch.zeros(0, 3), torch.ones(4, 3), torch.ones(4, 2)
    assert distance_weights(x, y, metric).shape == (0,)
    assert distance_weights(x, y, metric, torch.ones(5), log=True).shape == (5, 0)
    assert kernel_matmul(x, y, v, metric).shape == (0, 2)


@each_metric
def test_no_rows_to_be_close_to_are_refused(metric):
    with pytest.raises(ValueError, match="y must have at least one row"):
        distance_weights(torch.ones(4, 3), torch.zeros(0, 3), metric)


@each_metric
def test_rows_without_features_are_at_distance_0(metric):
    x, y = torch.zeros(2, 0), torch.zeros(3, 0)
    assert distance_weights(x, y, metric).tolist() == [1, 1]
    assert distance_weights(x, y, metric, log=True).tolist() == pytest.approx([0, 0], abs=1e-6)


@each_metric
def test_no_columns_of_values_give_none(metric):
    assert kernel_matmul(torch.ones(2, 1), torch.ones(3, 1), torch.ones(3, 0), metric).shape == (
        2,
        0,
    )


def test_empty_batches_give_empty_results():
    assert distance_weights(torch.ones(0, 2, 1), torch.ones(3, 1)).shape == (0, 2)


# Result types


@each_metric
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_float32_and_float64_keep_their_dtype(metric, dtype):
    assert (
        distance_weights(torch.ones(2, 2, dtype=dtype), torch.ones(2, 2, dtype=dtype), metric).dtype
        == dtype
    )


ROUNDED = [torch.float16, torch.bfloat16, torch.bool, torch.uint8, torch.int8, torch.int16]
ROUNDED += [torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64]


@each_metric
@pytest.mark.parametrize("dtype", ROUNDED, ids=str)
def test_all_other_dtypes_give_the_float32_result_of_their_values(metric, dtype):
    x = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 1]], dtype=dtype)
    for importance in (None, torch.tensor([1.0, 2.0, 4.0])):
        w = distance_weights(x, x, metric, y_weight=importance)
        assert w.dtype == torch.float32
        expected = distance_weights(x.double(), x.double(), metric, y_weight=importance)
        torch.testing.assert_close(
            w.double(), expected, rtol=TOLERANCES[torch.float32].forward, atol=0
        )


def test_hamming_tells_integers_apart_that_float64_cannot():
    x = torch.tensor([[2**53, 2**62]])
    assert distances(x, torch.stack([x[0], x[0] + 1]), "hamming") == [[0, 1]]
    assert distances(x.to(torch.uint64), x.to(torch.uint64), "hamming") == [[0]]


def test_euclidean_integers_keep_what_float64_holds():
    x, y = torch.tensor([[2**24]]), torch.tensor([[2**24 + 1]])
    assert distances(x, y, "euclidean") == [[1]]


def test_tensors_in_give_tensors_and_arrays_in_give_arrays():
    rows = np.ones((2, 3))
    assert isinstance(distance_weights(rows, pd.DataFrame(rows)), np.ndarray)
    assert isinstance(distance_weights(rows.tolist(), rows), np.ndarray)
    assert isinstance(kernel_matmul(rows, rows, rows), np.ndarray)
    assert isinstance(distance_weights(torch.from_numpy(rows), rows), torch.Tensor)


@pytest.mark.parametrize(
    "rows",
    [
        np.array([["red", "a"], ["blue", "a"]]),
        np.array([["red", 1], ["blue", 1]], dtype=object),
        np.array([[b"x", b"y"], [b"z", b"y"]]),
        np.array([["2020-01-01", "2021"], ["2022-01-01", "2021"]], dtype="datetime64[D]"),
        pd.DataFrame({"colour": ["red", "blue"], "size": [1, 1]}),
        pd.DataFrame({"colour": pd.Categorical(["red", "blue"]), "size": pd.Categorical([7, 7])}),
    ],
    ids=["str", "object", "bytes", "datetime", "DataFrame", "Categorical"],
)
def test_hamming_compares_any_values(rows):
    assert distances(rows, np.asarray(rows), "hamming") == [[0, 0.5], [0.5, 0]]


@pytest.mark.parametrize(
    "missing",
    [math.nan, np.float32("nan"), np.datetime64("NaT", "s")],  # without a unit, NumPy 2.5 warns
    ids=["float", "float32", "datetime64"],
)
def test_a_missing_category_propagates(missing):
    rows = np.array([["a", missing], ["a", "b"]], dtype=object)
    assert np.isnan(distance_weights(rows, rows[1:], "hamming")).tolist() == [True, False]
