"""Promise: a callable metric gives what a built-in one of that definition gives."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from semideep_ext import _blocks, distance_weights, kernel_matmul
from semideep_ext.metrics import KERNELS, METRICS
from semideep_ext.testing import (
    DTYPES,
    TOLERANCES,
    dense_distances,
    parameter_of,
    random_rows,
    relative_error,
)

pytestmark = pytest.mark.each_device
each_metric = pytest.mark.parametrize("metric", METRICS)
each_kernel = pytest.mark.parametrize("kernel", KERNELS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(_blocks, "_BLOCK_ELEMENTS", 64)


def problem(metric, generator, dtype=torch.float64):
    return [random_rows(metric, n, 5, dtype, generator) for n in (13, 9)]


@each_dtype
@each_kernel
@each_metric
def test_it_equals_the_built_in_metric(metric, kernel, dtype, generator):
    x, y = problem(metric, generator, dtype)
    options = {"lambda_": torch.tensor([0.5, 2.0]), "kernel": kernel, "eps": 0.1}
    v = torch.rand(9, 2, generator=generator, dtype=dtype)
    tolerance = TOLERANCES[dtype].gradient
    pairs = [
        (
            kernel_matmul(x, y, v, m, **options),
            distance_weights(x, y, m, **options),
            distance_weights(x, y, m, y_weight=v[:, 0], log=True, **options),
        )
        for m in (dense_distances(metric), metric)
    ]
    for a, e in zip(*pairs, strict=True):
        assert a.dtype == e.dtype and a.shape == e.shape
        torch.testing.assert_close(a, e, rtol=tolerance, atol=tolerance)


@each_kernel
@pytest.mark.parametrize("log", [False, True])
def test_its_gradients_equal_those_of_the_built_in_metric(kernel, log, generator):
    x, y = (t.requires_grad_() for t in problem("euclidean", generator))
    importance = torch.rand(9, generator=generator, dtype=torch.float64, requires_grad=True)
    parameter = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    options = parameter_of(kernel, parameter)
    inputs = [x, y, importance, parameter]
    actual, expected = (
        torch.autograd.grad(
            distance_weights(x, y, m, y_weight=importance, kernel=kernel, log=log, **options).sum(),
            inputs,
        )
        for m in (dense_distances("euclidean"), "euclidean")
    )
    for a, e in zip(actual, expected, strict=True):
        assert relative_error(a, e) <= TOLERANCES[torch.float64].gradient


def test_it_sees_blocks_of_rows_of_x_and_all_of_y(generator):
    x, y = problem("euclidean", generator)
    seen = []

    def metric(a, b):
        seen.append(a)
        assert torch.equal(b, y)
        return torch.cdist(a, b)

    distance_weights(x, y, metric)
    assert len(seen) > 1
    assert torch.equal(torch.cat(seen), x)


def test_functions_of_arrays_work(generator):
    x, y = (t.cpu() for t in problem("euclidean", generator))
    expected = distance_weights(x, y)
    for rows in ((x, y), (x.numpy(), y.numpy())):
        w = distance_weights(*rows, lambda a, b: cdist(a, b))
        assert type(w) is type(rows[0])
        np.testing.assert_allclose(w, expected, rtol=1e-13)


@pytest.mark.parametrize("n", [0, 1])
def test_few_rows_work(n):
    assert distance_weights(
        torch.zeros(n, 2), torch.zeros(3, 2), torch.cdist
    ).tolist() == pytest.approx([1.0] * n)


def test_a_wrong_shape_is_named_with_the_right_one(generator):
    x, y = problem("euclidean", generator)

    def manhattan(a, b):
        return torch.cdist(b, a, p=1)

    with pytest.raises(ValueError, match=r"manhattan must return the \(7, 9\) distances.*\(9, 7\)"):
        distance_weights(x, y, manhattan)


def test_batches_are_refused(generator):
    x, y = problem("euclidean", generator)
    with pytest.raises(ValueError, match=r"without batch dimensions.*loop over the batch"):
        distance_weights(x[None], y, torch.cdist)


def test_autocast_does_not_lower_the_precision(default_device, generator):
    x, y = problem("euclidean", generator, torch.float32)
    expected = distance_weights(x, y)
    with torch.autocast(default_device, dtype=torch.bfloat16):
        actual = distance_weights(x, y, dense_distances("euclidean"))
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=0)
