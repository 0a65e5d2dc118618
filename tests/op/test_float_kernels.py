"""Promise: kernels on floats and on packed words lose no accuracy, whatever the data."""

import itertools

import numpy as np
import pytest
import torch
from kinds import KINDS, clusters, far_from_the_origin, normal
from scipy.spatial.distance import cdist

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.op.metrics import METRICS
from semideep_ext.op.testing import TOLERANCES, reference_distances, relative_error

pytestmark = [
    pytest.mark.every_instruction_set,
    pytest.mark.filterwarnings("ignore:metric='jaccard' only asks"),
]
REAL = [name for name, metric in METRICS.items() if metric.domain.startswith("real")]
DISCRETE = [name for name in METRICS if name not in REAL]
FLOAT, DOUBLE = TOLERANCES[torch.float32], TOLERANCES[torch.float64]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("metric", REAL)
@pytest.mark.parametrize("d", [2, 8, 9, 17, 64, 300])
def test_weights_keep_the_promise_where_lambda_d_is_large(kind, metric, d):
    """The hardest case: the nearest row decides the weight, and lies at lambda d up to 20."""
    rng = np.random.default_rng(d)
    for m in (1, 2, 7, 150):
        x, y = (torch.tensor(kind(rng, n, d), dtype=torch.float32) for n in (40, m))
        distances = reference_distances(x, y, metric)
        nearest = np.asarray(distances.min(1), dtype=np.float64)
        for exponent in (0.5, 5.0, 12.0, 20.0):
            lambda_ = exponent / np.quantile(nearest, 0.5)
            log_w = -np.longdouble(lambda_) * distances
            exact = np.asarray(np.exp(log_w).mean(1), dtype=np.float64)
            shown = exact > 1e-36  # the rest is no normal float
            w = distance_weights(x, y, metric, lambda_).double().numpy()
            bound = np.where(lambda_ * nearest <= 20, FLOAT.forward, FLOAT.log * lambda_ * nearest)
            error = np.abs(w[shown] / exact[shown] - 1)
            assert (error <= bound[shown]).all(), (m, exponent, error.max())
            assert (w[~shown] <= 1.1e-36).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("metric", REAL)
@pytest.mark.parametrize("d", [8, 9, 17, 64, 300])
def test_weights_of_doubles_keep_the_promise(kind, metric, d):
    """Products instead of differences, and translated rows, cost no accuracy."""
    if metric == "cosine" and kind is far_from_the_origin:
        pytest.skip("rounding rows to length one is felt where they are nearly parallel")
    rng = np.random.default_rng(d)
    for m in (1, 7, 150):
        x, y = kind(rng, 40, d), kind(rng, m, d)
        distances = reference_distances(x, y, metric)
        nearest = distances.min(1)
        for exponent in (0.5, 5.0, 20.0):
            lambda_ = float(exponent / np.quantile(nearest.astype(float), 0.5))
            exact = np.exp(-np.longdouble(lambda_) * distances).mean(1)
            shown = exact > 1e-290
            error = np.abs(distance_weights(x, y, metric, lambda_)[shown] / exact[shown] - 1)
            bound = DOUBLE.forward * np.maximum(1, lambda_ * nearest[shown] / 20)
            assert (error <= bound).all(), (m, exponent, error.max())


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("d", [4, 40])
def test_doubles_near_the_ends_of_their_range_lose_nothing(metric, d, generator):
    x, y = (torch.randn(n, d, dtype=torch.float64, generator=generator) for n in (7, 50))
    y[:5] = x[:5]
    expected = distance_weights(x, y, metric, 1.0)
    for scale in (2.0**-600, 2.0**600) if metric == "euclidean" else (2.0**-300, 2.0**300):
        lambda_ = 1 / scale if metric == "euclidean" else scale**-2
        actual = distance_weights(x * scale, y * scale, metric, lambda_)
        torch.testing.assert_close(actual, expected, rtol=DOUBLE.forward, atol=0)


@pytest.mark.parametrize("metric", REAL)
def test_rows_that_floats_would_leave_in_doubt_are_answered_in_double(metric):
    """Near rows of clusters that lie far apart: sums are the nearest floats."""
    rng = np.random.default_rng(0)
    x, y = (torch.tensor(clusters(rng, n, 30), dtype=torch.float32) for n in (40, 400))
    distances = reference_distances(x, y, metric)
    lambda_ = float(5 / distances.min(1).mean())
    exact = np.exp(-np.longdouble(lambda_) * distances).sum(1).astype(float)
    sums = kernel_matmul(x, y, torch.ones(400, 1), metric, lambda_)[:, 0]
    np.testing.assert_allclose(sums.double(), exact, rtol=2**-24 * 1.001, atol=0)


@pytest.mark.parametrize("metric", REAL)
def test_batches_keep_their_bits_whatever_the_others_hold(metric):
    """A batch in doubt is answered in double, its neighbours in float."""
    rng = np.random.default_rng(0)
    kinds = (normal, normal, clusters, clusters, normal)
    x, y = (
        torch.tensor(np.stack([kind(rng, n, 30) for kind in kinds]), dtype=torch.float32)
        for n in (10, 90)
    )
    v = torch.tensor(rng.random((5, 90, 2)), dtype=torch.float32)
    lambdas = torch.tensor([0.2, 0.4], dtype=torch.float64)
    together = kernel_matmul(x, y, v, metric, lambdas)
    apart = [kernel_matmul(x[b], y[b], v[b], metric, lambdas) for b in range(5)]
    assert torch.equal(together, torch.stack(apart))


@pytest.mark.parametrize("metric", REAL)
@pytest.mark.parametrize("d", [4, 40])
def test_equal_rows_have_distance_0_and_are_not_disturbed_by_others(metric, d, generator):
    y = torch.randn(50, d, generator=generator)
    alone = distance_weights(y[:1], y[:1], metric, 1e5)
    assert alone.item() == 1.0
    among = kernel_matmul(y, y, torch.eye(50)[:, :8], metric, 1e5)
    torch.testing.assert_close(among.diagonal(), torch.ones(8), rtol=0, atol=0)


@pytest.mark.parametrize("d", [3, 30])
def test_rows_of_x_keep_their_bits_whatever_stands_beside_them(d, generator):
    x, y = torch.randn(101, d, generator=generator), torch.randn(700, d, generator=generator)
    x[::7] = y[: len(x[::7])]  # distances that are mended
    together = distance_weights(x, y)
    apart = torch.cat([distance_weights(part, y) for part in x.split([1, 5, 7, 88])])
    assert torch.equal(together, apart)


@pytest.mark.parametrize("metric", REAL)
@pytest.mark.parametrize("d", [3, 30, 150])
@pytest.mark.parametrize("sums", [(1, 1), (3, 1), (1, 5), (3, 5), (4, 9)])
def test_several_lambdas_and_columns_agree_with_the_matrix(metric, d, sums, generator):
    levels, columns = sums
    x, y = torch.randn(20, d, generator=generator), torch.randn(600, d, generator=generator)
    v = torch.randn(600, columns, generator=generator)
    distances = torch.from_numpy(np.asarray(reference_distances(x, y, metric), dtype=np.float64))
    lambdas = torch.linspace(1, 10, levels, dtype=torch.float64) / distances.mean()
    actual = kernel_matmul(x, y, v, metric, lambdas)
    kernels = torch.exp(-lambdas[:, None, None] * distances)
    error = (actual - kernels @ v.double()).abs()
    assert (error <= FLOAT.forward * (kernels @ v.double().abs())).all()


@pytest.mark.parametrize("metric", REAL)
@pytest.mark.parametrize("d", [3, 30, 150])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_float_gradients_agree_with_those_of_doubles(metric, d, offset, generator):
    x, y = (torch.randn(n, d, generator=generator) + offset for n in (40, 600))
    x[:5] = y[:5]  # no gradient comes from equal rows
    x[5:10] = y[5:10] * (1 + 1e-6)
    grad = torch.randn(40, generator=generator)
    scale = 4 / float(reference_distances(x, y, metric).mean())
    gradients = []
    for dtype in (torch.float32, torch.float64):
        a, b = (t.to(dtype, copy=True).requires_grad_() for t in (x, y))
        lambda_ = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
        distance_weights(a, b, metric, lambda_).backward(grad.to(dtype))
        gradients.append((a.grad, b.grad, lambda_.grad))
    (*_, by_lambda), (*_, expected_by_lambda) = gradients
    # The gradient by lambda is a sum of both signs, of which the terms' sizes set the accuracy.
    w = distance_weights(a, b, metric, lambda_)
    (terms,) = torch.autograd.grad(w, lambda_, grad.double().abs())
    assert (by_lambda - expected_by_lambda).abs() <= FLOAT.gradient * terms.abs()
    gradients = [(by_x, by_y) for by_x, by_y, _ in gradients]
    for actual, expected in zip(*gradients, strict=True):
        assert relative_error(actual, expected) <= FLOAT.gradient


CODES = {
    "bits": [0.0, 1.0],
    "negative zero": [-0.0, 0.0, 1.0],
    "bytes": [0.0, 1.0, 7.0, 255.0],
    "signed bytes": [-128.0, -1.0, 0.0, 127.0],
    "beyond a byte": [-1.0, 0.0, 255.0],
    "floats": [0.0, 0.5, 1e30, -1e-30],
    "doubles": [0.1, 0.1 + 1e-16, 0.0, 1e300],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("metric", DISCRETE)
def test_discrete_metrics_are_exact_under_every_coding(metric, code, dtype, generator):
    if code == "doubles" and dtype == torch.float32:
        pytest.skip("these values are no floats")
    values = torch.tensor(CODES[code], dtype=dtype)
    for d, m in itertools.product((1, 5, 31, 32, 33, 130, 1030), (1, 40)):
        x, y = (values[torch.randint(len(values), (n, d), generator=generator)] for n in (15, m))
        a, b = (t.numpy() != 0 if metric == "jaccard" else t.numpy() for t in (x, y))
        expected = np.exp(-1.7 * cdist(a, b, metric)).mean(1)
        actual = distance_weights(x, y, metric, 1.7)
        rtol = TOLERANCES[dtype].forward
        np.testing.assert_allclose(actual.double(), expected, rtol=rtol, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("metric", DISCRETE)
@pytest.mark.parametrize("code", ["bits", "bytes", "floats"])
def test_a_nan_shows_under_every_coding(metric, code, dtype, generator):
    values = torch.tensor(CODES[code], dtype=dtype)
    x, y = (values[torch.randint(len(values), (n, 9), generator=generator)] for n in (8, 40))
    x[3, 4] = torch.nan
    w = distance_weights(x, y, metric)
    assert w[3].isnan() and not w[:3].isnan().any() and not w[4:].isnan().any()
    y[39, 0] = torch.nan
    assert distance_weights(x, y, metric).isnan().all()


@pytest.mark.parametrize("metric", DISCRETE)
def test_many_words_do_not_overflow_their_counters(metric):
    """More features than 255 steps of one byte hold, all different and all equal."""
    d = 20_000
    x = torch.ones(1, d)
    y = torch.stack([torch.ones(d), torch.zeros(d), 2 * torch.ones(d)])
    expected = np.exp(-reference_distances(x, y, metric).astype(float)).mean(1)
    np.testing.assert_allclose(distance_weights(x, y, metric, 1.0), expected, rtol=FLOAT.forward)


@pytest.mark.parametrize("density", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("d", [1, 2, 31, 32, 62, 63, 64, 65, 125, 126, 127])
def test_many_small_sets_agree_with_scipy(d, density, generator):
    """So many that their kernels are looked up; lambda beyond 2 wants pairs of floats."""
    x, y = (torch.rand(n, d, generator=generator) < density for n in (150, 700))
    x[0] = y[0] = False
    x[1] = y[1] = True
    distances = cdist(x, y, "jaccard")
    v = torch.rand(700, 3, generator=generator)
    for lambdas in ([0.8], [0.1, 2.0], [0.5, 19.0]):
        w = distance_weights(x, y, "jaccard", lambdas)
        sums = kernel_matmul(x, y, v, "jaccard", lambdas)
        for i, lambda_ in enumerate(lambdas):
            kernels = np.exp(-lambda_ * distances)
            # A relative error of d is one of lambda d times that size in exp(-lambda d).
            promised = FLOAT.forward * (1 + lambda_ * (kernels * distances).sum(1) / kernels.sum(1))
            assert (abs(w[i].numpy() / kernels.mean(1) - 1) <= promised).all()
            errors = abs(sums[i].numpy() / (kernels @ v.double().numpy()) - 1)
            assert (errors <= promised[:, None]).all()


@pytest.mark.parametrize("d", [5, 64, 126])
def test_sets_that_are_looked_up_and_sets_that_are_not_have_the_same_bits(d, generator):
    x, y = ((torch.rand(n, d, generator=generator) < 0.3).float() for n in (500, 901))
    for lambda_ in (0.8, 7.0):
        together = distance_weights(x, y, "jaccard", lambda_)
        apart = torch.cat([distance_weights(part, y, "jaccard", lambda_) for part in x.split(70)])
        assert torch.equal(together, apart)
        assert (distance_weights(y[:1], y[:1].expand(70_000, -1), "jaccard", lambda_) == 1).all()


def test_a_nan_shows_among_sets_that_are_looked_up(generator):
    x, y = ((torch.rand(n, 40, generator=generator) < 0.3).float() for n in (500, 901))
    expected = distance_weights(x, y, "jaccard")
    x[7, 3] = torch.nan
    w = distance_weights(x, y, "jaccard")
    others = torch.arange(500) != 7
    assert w[7].isnan() and torch.equal(w[others], expected[others])
    y[900, 39] = torch.nan
    assert distance_weights(x, y, "jaccard").isnan().all()
