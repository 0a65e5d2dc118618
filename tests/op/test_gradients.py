"""Promise: first and second derivatives are right, in every argument that has them."""

import functools

import pytest
import torch
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.autograd.functional import jvp

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.op.kernel_functions import FUNCTIONS
from semideep_ext.op.metrics import KERNELS, METRICS
from semideep_ext.op.testing import (
    DTYPES,
    TOLERANCES,
    dense_distances,
    random_rows,
    relative_error,
    with_parameter,
)

DIFFERENTIABLE = [name for name, metric in METRICS.items() if metric.differentiable]
pytestmark = pytest.mark.each_device
each_metric = pytest.mark.parametrize("metric", METRICS)
each_differentiable = pytest.mark.parametrize("metric", DIFFERENTIABLE)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
each_kernel = pytest.mark.parametrize("kernel", KERNELS)
each_lambda = pytest.mark.parametrize("lambda_", [0.7, [0.3, 1.1]], ids=["scalar", "1-d"])


def leaves(metric, generator, n=3, m=4, d=2, dtype=torch.float64):
    """Rows, which require grad if the metric allows it."""
    x, y = (random_rows(metric, rows, d, dtype, generator) for rows in (n, m))
    return [t.requires_grad_(METRICS[metric].differentiable) for t in (x, y)]


def takes(kernel, parameter):
    return KERNELS[kernel].parameter == parameter


def positive(*shape, generator, dtype=torch.float64):
    return (0.5 + torch.rand(shape, generator=generator, dtype=dtype)).requires_grad_()


@pytest.mark.parametrize(
    "check", [gradcheck, pytest.param(gradgradcheck, marks=pytest.mark.every_instruction_set)]
)
@each_lambda
@each_kernel
@each_metric
def test_derivatives_of_the_product(metric, kernel, lambda_, check, generator):
    x, y = leaves(metric, generator)
    v = positive(4, 2, generator=generator)
    parameter = torch.tensor(lambda_, dtype=torch.float64, requires_grad=takes(kernel, "lambda"))
    eps = torch.tensor(0.5, dtype=torch.float64, requires_grad=takes(kernel, "eps"))

    def f(x, y, v, parameter, eps):
        return kernel_matmul(x, y, v, metric, parameter, kernel=kernel, eps=eps)

    assert check(f, (x, y, v, parameter, eps))


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("log", [False, True])
@each_lambda
@each_kernel
@each_metric
def test_derivatives_of_weights(metric, kernel, lambda_, log, check, generator):
    x, y = leaves(metric, generator)
    importance = positive(4, generator=generator)
    parameter = torch.tensor(lambda_, dtype=torch.float64, requires_grad=takes(kernel, "lambda"))

    def f(x, y, importance, parameter):
        return distance_weights(
            x, y, metric, parameter, y_weight=importance, kernel=kernel, log=log, eps=0.5
        )

    assert check(f, (x, y, importance, parameter))


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("log", [False, True])
@each_lambda
@each_metric
def test_derivatives_of_means(metric, lambda_, log, check, generator):
    x, y = leaves(metric, generator)
    parameter = torch.tensor(lambda_, dtype=torch.float64, requires_grad=True)
    assert check(
        lambda *inputs: distance_weights(*inputs[:2], metric, inputs[2], log=log), (x, y, parameter)
    )


@each_dtype
@each_kernel
@each_metric
@pytest.mark.parametrize(
    ("n", "m", "d", "c"),
    [
        (1, 300, 3, 1),
        pytest.param(130, 129, 129, 17, marks=pytest.mark.every_instruction_set),
        (65, 9000, 2, 2),
    ],
)
def test_gradients_agree_with_autograd_of_the_matrix(metric, kernel, dtype, n, m, d, c, generator):
    x, y = leaves(metric, generator, n, m, d, dtype)
    v = torch.randn(m, c, generator=generator, dtype=dtype).requires_grad_()
    u = torch.randn(n, c, generator=generator, dtype=dtype)
    distances = dense_distances(metric)(x.double(), y.double())
    k = functools.partial(FUNCTIONS[kernel].value, distances)
    parameter = torch.tensor(3.0 / d, dtype=torch.float64)
    while k(parameter).max() < 1e-3:  # a function that falls faster than exp(-lambda d) underflows
        parameter /= 2
    parameter.requires_grad_()
    inputs = [t for t in (x, y, v, parameter) if t.requires_grad]
    out = kernel_matmul(x, y, v, metric, **with_parameter(kernel, parameter))

    dense = k(parameter) @ v.double()

    actual = grad(out, inputs, u)
    expected = grad(dense, inputs, u.double())
    for t, a, e in zip(inputs, actual, expected, strict=True):
        assert a.dtype == e.dtype
        if t is parameter:  # one sum over all pairs, of both signs, that may come out near 0
            _, slopes = jvp(k, parameter, torch.ones_like(parameter))
            terms = u.double().abs() * (slopes.abs() @ v.double().abs())
            assert (a - e).abs() <= TOLERANCES[dtype].forward * terms.sum()
        else:
            assert relative_error(a, e) <= TOLERANCES[dtype].gradient


@each_dtype
@each_metric
@pytest.mark.parametrize("exponent", [1.0, 1000.0])
def test_log_gradients_survive_weights_that_underflow(metric, exponent, dtype, generator):
    x, y = leaves(metric, generator, 66, 130, 5, dtype)
    with torch.no_grad():
        lambda_ = exponent / float(dense_distances(metric)(x, y).max())
    lambda_ = torch.tensor(lambda_, dtype=torch.float64, requires_grad=True)
    inputs = [t for t in (x, y, lambda_) if t.requires_grad]
    u = torch.rand(66, generator=generator, dtype=dtype)
    actual = grad(distance_weights(x, y, metric, lambda_, log=True), inputs, u)
    exponents = -lambda_ * dense_distances(metric)(x.double(), y.double())
    expected = grad(exponents.logsumexp(1), inputs, u.double())
    for a, e in zip(actual, expected, strict=True):
        assert relative_error(a, e) <= TOLERANCES[dtype].gradient


@each_dtype
@each_kernel
@each_differentiable
@pytest.mark.parametrize("log", [False, True])
def test_coincident_rows_have_gradient_0(metric, kernel, log, dtype):
    x = torch.tensor([[1.0, 2, 3]], dtype=dtype, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    w = distance_weights(x, y, metric, kernel=kernel, log=log)
    for first in grad(w.sum(), (x, y), create_graph=True):
        assert first.tolist() == [[0, 0, 0]]
        for second in grad(first.sum(), (x, y), retain_graph=True):
            assert second.isfinite().all()


@each_dtype
@each_differentiable
def test_gradients_of_long_rows_are_finite(metric, dtype):
    scale = 1e150 if dtype == torch.float64 else 1e30
    x = (scale * torch.tensor([[1.0, 2.0]], dtype=dtype)).requires_grad_()
    y = scale * torch.tensor([[3.0, 1.0]], dtype=dtype)
    (actual,) = grad(distance_weights(x, y, metric, 1e-3 / scale).sum(), x)
    assert actual.isfinite().all()


@each_dtype
def test_euclidean_gradient_of_rows_next_to_nothing_apart_has_length_lambda(dtype):
    # Kernels compute in double: what is subnormal in float32 is not so there.
    apart = torch.finfo(dtype).smallest_normal * (1 / 1024 if dtype == torch.float32 else 4)
    x = torch.tensor([[3 * apart, 4 * apart]], dtype=dtype, requires_grad=True)
    (actual,) = grad(distance_weights(x, torch.zeros_like(x).detach(), lambda_=2.0).sum(), x)
    torch.testing.assert_close(actual, torch.tensor([[-1.2, -1.6]], dtype=dtype), rtol=1e-4, atol=0)


@each_differentiable
def test_zero_rows_have_gradient_0_under_cosine_and_finite_ones_elsewhere(metric):
    x = torch.zeros(1, 3, requires_grad=True)
    (actual,) = grad(distance_weights(x, torch.ones(2, 3), metric).sum(), x)
    assert actual.isfinite().all()
    assert metric != "cosine" or actual.tolist() == [[0, 0, 0]]


@each_metric
@pytest.mark.parametrize(("n", "d"), [(0, 3), (2, 0)])
def test_empty_dimensions_have_gradients(metric, n, d):
    differentiable = METRICS[metric].differentiable
    x, y = (torch.zeros(rows, d, requires_grad=differentiable) for rows in (n, 4))
    v, lambda_ = torch.ones(4, 2, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    inputs = [t for t in (x, y, v, lambda_) if t.requires_grad]
    gradients = grad(kernel_matmul(x, y, v, metric, lambda_).sum(), inputs)
    for t, g in zip(inputs, gradients, strict=True):
        assert g.shape == t.shape
        assert torch.equal(g, torch.full_like(g, n if t is v else 0))


@each_dtype
@each_differentiable
def test_gradients_of_expanded_batches_are_summed(metric, dtype, generator):
    x, y = leaves(metric, generator, dtype=dtype)
    batched = distance_weights(x.expand(3, -1, -1), y, metric)
    single = distance_weights(x, y, metric)
    for a, e in zip(grad(batched.sum(), (x, y)), grad(3 * single.sum(), (x, y)), strict=True):
        assert relative_error(a, e) <= TOLERANCES[dtype].gradient


@each_differentiable
def test_a_third_derivative_is_refused(metric, generator):
    x, y = leaves(metric, generator)
    (first,) = grad(distance_weights(x, y, metric).sum(), x, create_graph=True)
    (second,) = grad(first.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="third derivatives are not implemented"):
        grad(second.sum(), x)


@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize("metric", sorted(set(METRICS) - set(DIFFERENTIABLE)))
def test_rows_that_require_grad_are_refused_without_gradients(metric, side, generator):
    x, y = leaves(metric, generator)
    rows = {"x": x, "y": y}
    rows[side] = rows[side].clone().requires_grad_()
    with pytest.raises(ValueError, match=rf"{side} requires grad.*{side}\.detach\(\)"):
        distance_weights(**rows, metric=metric)
    with torch.no_grad():
        assert distance_weights(**rows, metric=metric).shape == (3,)


def test_a_weight_of_zero_has_a_gradient_in_the_log_domain(generator):
    x, y = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (4, 5))
    y_weight = torch.tensor([0.0, 1.0, 2.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    gradients = [
        grad(distance_weights(x, y, metric, 2.0, y_weight=y_weight, log=True).sum(), y_weight)
        for metric in ("euclidean", torch.cdist)
    ]
    assert gradients[0][0].isfinite().all()
    torch.testing.assert_close(gradients[1], gradients[0])
