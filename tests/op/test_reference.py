"""Promise: results agree with SciPy and scikit-learn, to the last promised digit."""

import itertools

import numpy as np
import pytest
import scipy.spatial.distance
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics import pairwise_distances

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.op.kernel_functions import FUNCTIONS
from semideep_ext.op.metrics import KERNELS, METRICS
from semideep_ext.op.testing import (
    DTYPES,
    FEATURE_EDGES,
    TILE_EDGES,
    TOLERANCES,
    adversarial_rows,
    random_rows,
    reference_distances,
    reference_weights,
)

pytestmark = [
    pytest.mark.each_device,
    pytest.mark.filterwarnings("ignore:metric='jaccard' only asks"),
]
each_metric = pytest.mark.parametrize("metric", METRICS)
# scikit-learn has these, too, by the same names.
each_metric_of_scipy = pytest.mark.parametrize(
    "metric", [name for name in METRICS if hasattr(scipy.spatial.distance, name)]
)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_instruction_set = pytest.mark.every_instruction_set


def assert_weights(actual, distances, lambda_, dtype, **options):
    """Compare while lambda d <= 20, in units of the tolerance."""
    reference = reference_weights(distances, lambda_, **options)
    assert actual.dtype == dtype
    np.testing.assert_allclose(
        actual.double().cpu(), reference, rtol=TOLERANCES[dtype].forward, atol=0
    )


def kernel_matrix(x, y, metric, lambda_=1.0, **options):
    """All k(d(x_i, y_j)): the product with the identity."""
    identity = torch.eye(y.shape[0], dtype=x.dtype)
    return kernel_matmul(x, y, identity, metric, lambda_, **options).double().cpu().numpy()


@each_dtype
@each_metric
@pytest.mark.parametrize(
    "d",
    [pytest.param(d, marks=every_instruction_set if d in (9, 129) else ()) for d in FEATURE_EDGES],
)
def test_weights_on_both_sides_of_every_tile_edge(metric, d, dtype, generator):
    x, y = (random_rows(metric, max(TILE_EDGES), d, dtype, generator) for _ in "xy")
    distances = reference_distances(x, y, metric)
    lambda_ = float(5 / distances.max())
    opposite = zip(TILE_EDGES, TILE_EDGES[::-1], strict=True)
    shapes = itertools.product(TILE_EDGES, TILE_EDGES) if d == 3 else opposite
    for n, m in shapes:
        w = distance_weights(x[:n], y[:m], metric, lambda_)
        assert_weights(w, distances[:n, :m], lambda_, dtype)


@each_dtype
@each_metric_of_scipy
def test_each_pair_agrees_with_scipy(metric, dtype, generator):
    x, y = (random_rows(metric, n, 9, dtype, generator) for n in (66, 130))
    sets = METRICS[metric].sum_of == "common"
    expected = cdist(*((t != 0 if sets else t.double()).cpu().numpy() for t in (x, y)), metric)
    actual = kernel_matrix(x, y, metric, 0.3)
    np.testing.assert_allclose(actual, np.exp(-0.3 * expected), rtol=TOLERANCES[dtype].forward)


@each_metric_of_scipy
def test_each_pair_agrees_with_scikit_learn(metric, generator):
    x, y = (random_rows(metric, n, 9, torch.float64, generator) for n in (66, 130))
    rows = (x != 0, y != 0) if METRICS[metric].sum_of == "common" else (x, y)
    expected = pairwise_distances(*(t.cpu().numpy() for t in rows), metric=metric)
    actual = kernel_matrix(x, y, metric)
    np.testing.assert_allclose(actual, np.exp(-expected), rtol=1e-7)  # it expands (x - y)^2


@every_instruction_set
@each_dtype
@each_metric
@pytest.mark.parametrize("d", [5, 40])
@pytest.mark.parametrize("case", adversarial_rows(torch.float64))
def test_no_cancellation_overflow_or_underflow(metric, case, d, dtype):
    x, y = adversarial_rows(dtype, d)[case]
    distances = reference_distances(x, y, metric)
    grows_with_scale = reference_distances([[4.0, 0]], [[0, 4.0]], metric) > 2
    largest = distances.max() if grows_with_scale else 1
    lambda_ = float(np.clip(1 / np.longdouble(max(largest, 1e-308)), 1e-300, 1e308))
    assert_weights(distance_weights(x, y, metric, lambda_), distances, lambda_, dtype)
    if largest < np.finfo(np.float64).max:
        log_w = distance_weights(x, y, metric, lambda_, log=True)
        expected = reference_weights(distances, lambda_, log=True)
        np.testing.assert_allclose(log_w.double().cpu(), expected, atol=2 * TOLERANCES[dtype].log)


@each_dtype
@each_metric
@pytest.mark.parametrize(
    "exponent", [1e-12, 1e-3, 1.0, pytest.param(20.0, marks=every_instruction_set)]
)
def test_one_pair_keeps_its_relative_accuracy(metric, exponent, dtype, generator):
    x, y = (random_rows(metric, 50, 12, dtype, generator) for _ in "xy")
    distances = reference_distances(x, y, metric)
    for j in range(0, 50, 7):
        lambda_ = float(exponent / max(distances[:, j].max(), 1e-3))
        w = distance_weights(x, y[j : j + 1], metric, lambda_)
        assert_weights(w, distances[:, j : j + 1], lambda_, dtype)


@each_dtype
@each_metric
@pytest.mark.parametrize("exponent", [1.0, 100.0, pytest.param(1e4, marks=every_instruction_set)])
def test_log_weights_of_far_rows_stay_finite_and_accurate(metric, exponent, dtype, generator):
    x, y = (random_rows(metric, n, 7, dtype, generator) for n in (65, 129))
    distances = reference_distances(x, y, metric)
    lambda_ = float(exponent / distances.max())
    log_w = distance_weights(x, y, metric, lambda_, log=True)
    expected = reference_weights(distances, lambda_, log=True)
    error = np.abs(log_w.double().cpu().numpy() - expected) / (1 + np.abs(expected))
    assert error.max() <= TOLERANCES[dtype].log


@each_dtype
@each_metric
def test_many_features_do_not_add_up_rounding_errors(metric, dtype, generator):
    x, y = (random_rows(metric, n, 5000, dtype, generator) for n in (3, 5))
    distances = reference_distances(x, y, metric)
    lambda_ = float(10 / distances.max())
    assert_weights(distance_weights(x, y, metric, lambda_), distances, lambda_, dtype)


@each_dtype
@each_metric
def test_y_weight_is_normalised_importance(metric, dtype, generator):
    x, y = (random_rows(metric, n, 6, dtype, generator) for n in (65, 129))
    importance = torch.rand(129, generator=generator, dtype=torch.float64) * 1e3
    importance[::5] = 0
    w = distance_weights(x, y, metric, 0.5, y_weight=importance)
    assert_weights(w, reference_distances(x, y, metric), 0.5, dtype, y_weight=importance)


@each_dtype
@each_metric
@pytest.mark.parametrize("columns", [1, 16, pytest.param(17, marks=every_instruction_set), 33])
@pytest.mark.parametrize("kernel", KERNELS)
def test_product_with_values_for_several_parameters(kernel, columns, metric, dtype, generator):
    x, y = (random_rows(metric, n, 6, dtype, generator) for n in (65, 131))
    v = torch.rand((131, columns), generator=generator, dtype=dtype)
    lambdas = [0.1, 0.8, 3.0]
    d = torch.from_numpy(reference_distances(x, y, metric).astype(np.float64))
    parameter = {"lambda": lambdas, "eps": [0.01] * 3}[KERNELS[kernel].parameter]
    k = FUNCTIONS[kernel].value(
        d, torch.tensor(parameter, dtype=d.dtype, device="cpu")[:, None, None]
    )
    expected = k @ v.double().cpu()
    out = kernel_matmul(
        x, y, v, metric, torch.tensor(lambdas, dtype=torch.float64), kernel=kernel, eps=0.01
    )
    assert out.shape == (3, 65, columns)
    np.testing.assert_allclose(out.double().cpu(), expected, rtol=TOLERANCES[dtype].forward)


# 16,384 features are as many as the promise names. A sum in double over n equal terms may err by n
# 2^-53 of itself: 1.3e-12 was seen at 300,000 (AVX2).
@pytest.mark.parametrize(("dtype", "features"), [(torch.float32, 300_000), (torch.float64, 16_384)])
def test_cosine_of_long_rows_keeps_its_accuracy(dtype, features):
    x = torch.full((1, features), 0.7, dtype=dtype)
    y = x.clone()
    y[:, ::2] *= -1  # orthogonal
    w = distance_weights(x, y, "cosine", 1.0).item()
    assert abs(w * np.e - 1) <= TOLERANCES[dtype].forward


def test_tiny_rows_among_equal_ones_are_told_apart():
    x = torch.tensor([[0.0, 0.0], [3e-200, 0.0]], dtype=torch.float64)
    y = torch.zeros(5, 2, dtype=torch.float64)
    w = distance_weights(x, y, lambda_=1e200)
    assert w[0] == 1
    assert abs(w[1].item() / np.exp(-3) - 1) <= 1e-12


@pytest.mark.every_instruction_set
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine"])
@pytest.mark.parametrize("lambda_", [1.1e-12, 1e-6, 1.0, 1e6, 0.9e12])
def test_float32_rows_of_any_magnitude_agree_with_float64(metric, lambda_):
    magnitudes = [1e-45, 1e-38, 1e-30, 1e-25, 1e-19, 1e-15, 1, 1e10, 1e18, 2e19, 1e25, 3e38]
    x = torch.tensor(magnitudes)[:, None] * torch.tensor([1.0, 0.0])
    y = torch.zeros(1, 2)
    w = distance_weights(x, y, metric, lambda_).double()
    exact = distance_weights(x.double(), y.double(), metric, lambda_)
    assert ((w - exact).abs() <= 1.2e-7 * exact + 1e-45).all()


@pytest.mark.every_instruction_set
def test_large_values_meet_kernels_below_the_range_of_float32():
    x, y = torch.tensor([[110.0], [160.0]]), torch.zeros(1, 1)
    out = kernel_matmul(x, y, torch.tensor([1e38]), lambda_=1.0)
    exact = np.exp(-x[:, 0].double().cpu().numpy()) * float(torch.tensor(1e38))
    np.testing.assert_allclose(out.cpu(), exact, rtol=TOLERANCES[torch.float32].forward)
