"""Promise: torch.func's transforms and forward mode give what reverse mode gives, or say no."""

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.autograd.functional import hessian as reverse_hessian
from torch.autograd.functional import jacobian as reverse_jacobian
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.op.metrics import KERNELS, METRICS
from semideep_ext.op.testing import DTYPES, TOLERANCES, random_rows, relative_error, with_parameter


def product(x, y, v, p):
    return kernel_matmul(x, y, torch.stack([v, v * v], -1), "cosine", p)


def mean(x, y, v, p):
    return distance_weights(x, y, lambda_=p) * v.sum()


def log_mean(x, y, v, p):
    return distance_weights(x, y, "sqeuclidean", p, log=True) * v.sum()


def weights(x, y, v, p):
    return distance_weights(x, y, lambda_=p, y_weight=v)


def log_weights(x, y, v, p):
    return distance_weights(x, y, "cosine", p, y_weight=v, log=True)


def inverse(x, y, v, p):
    return distance_weights(x, y, y_weight=v, kernel="inverse", eps=p, log=True)


each_function = pytest.mark.parametrize(
    "f", [product, mean, log_mean, weights, log_weights, inverse]
)
each_argument = pytest.mark.parametrize("at", range(4), ids=["x", "y", "v", "parameter"])
each_metric = pytest.mark.parametrize("metric", METRICS)
pytestmark = [
    pytest.mark.each_device,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]


@pytest.fixture
def arguments(generator):
    x, y = (random_rows("euclidean", n, 3, torch.float64, generator) for n in (5, 4))
    v, parameter = (0.5 + torch.rand(n, generator=generator, dtype=torch.float64) for n in (4, ()))
    return [x, y, v, parameter]


def alone(f, arguments, at):
    """The function of one argument."""
    return lambda t: f(*arguments[:at], t, *arguments[at + 1 :])


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@each_function
@each_argument
def test_first_derivatives(f, at, arguments):
    g, t = alone(f, arguments, at), arguments[at]
    expected = reverse_jacobian(g, t)
    out, pull_back = vjp(g, t)
    assert_close(grad(lambda t: g(t).sum())(t), expected.flatten(0, out.dim() - 1).sum(0))
    assert_close(pull_back(out)[0], torch.tensordot(out, expected, out.dim()))
    assert_close(jacrev(g)(t), expected)
    assert_close(jacfwd(g)(t), expected)
    assert_close(jvp(g, (t,), (t,))[1], torch.tensordot(expected, t, t.dim()))


@each_function
@each_argument
def test_second_derivatives(f, at, arguments):
    g = alone(f, arguments, at)
    expected = reverse_hessian(lambda t: g(t).square().sum(), arguments[at])
    for second in (hessian, lambda h: jacrev(jacrev(h))):
        assert_close(second(lambda t: g(t).square().sum())(arguments[at]), expected)


@pytest.mark.parametrize("outer", [jacrev, jacfwd])
@pytest.mark.parametrize("f", [weights, log_weights])
def test_second_derivatives_by_values_need_no_tangent_of_a_tangent(f, outer, arguments):
    g, v = alone(f, arguments, 2), arguments[2]
    assert_close(
        outer(jacfwd(lambda v: g(v).square().sum()))(v),
        reverse_hessian(lambda v: g(v).square().sum(), v),
    )


@each_function
@each_argument
def test_derivatives_map_and_maps_have_derivatives(f, at, arguments):
    g, stack = alone(f, arguments, at), torch.stack([arguments[at], 2 * arguments[at]])
    for jacobian in (jacrev, jacfwd):
        loop = torch.stack([jacobian(g)(t) for t in stack])
        assert_close(vmap(jacobian(g))(stack), loop)
    loop = torch.stack([grad(lambda t: g(t).sum())(t) for t in stack])
    assert_close(vmap(grad(lambda t: g(t).sum()))(stack), loop)
    assert_close(grad(lambda t: vmap(g)(t).sum())(stack), loop)


def test_all_arguments_at_once(arguments):
    expected = reverse_jacobian(log_weights, tuple(arguments))
    for jacobian in (jacrev, jacfwd):
        assert_close(jacobian(log_weights, (0, 1, 2, 3))(*arguments), expected)


def test_autograd_reaches_through_a_transform(arguments):
    x, y = (t.requires_grad_() for t in arguments[:2])

    def f(x, y):
        return kernel_matmul(x, y, y).sum()

    through = grad(f)(x.detach(), y)
    (plain,) = torch.autograd.grad(f(x, y), x, create_graph=True)
    actual, expected = (torch.autograd.grad(first.square().sum(), y) for first in (through, plain))
    assert_close(actual, expected)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
@each_metric
def test_forward_mode_agrees_with_finite_differences(metric, kernel, log, generator):
    rows = [random_rows(metric, n, 2, torch.float64, generator) for n in (3, 4)]
    for t in rows:
        t.requires_grad_(METRICS[metric].differentiable)
    v = (0.5 + torch.rand(4, generator=generator, dtype=torch.float64)).requires_grad_()
    parameter = torch.tensor([0.3, 1.1], dtype=torch.float64, requires_grad=True)
    takes_several = KERNELS[kernel].parameter == "lambda"

    def f(x, y, v, parameter):
        options = with_parameter(kernel, parameter if takes_several else parameter[0])
        return distance_weights(x, y, metric, y_weight=v, log=log, **options)

    inputs = (*rows, v, parameter)
    batched = {"check_batched_grad": True, "check_batched_forward_grad": True}
    assert gradcheck(f, inputs, check_forward_ad=True, **batched)
    assert gradgradcheck(f, inputs, check_fwd_over_rev=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_dual_tensor_keeps_its_tangent_whoever_requires_grad(dtype, generator):
    x, y = (random_rows("euclidean", n, 3, dtype, generator) for n in (5, 4))
    tangent = torch.rand(5, 3, generator=generator, dtype=dtype)
    expected = jvp(lambda t: distance_weights(t, y), (x,), (tangent,))[1]
    for x_needs, y_needs in [(False, False), (True, False), (False, True)]:
        a, b = x.clone().requires_grad_(x_needs), y.clone().requires_grad_(y_needs)
        with forward_ad.dual_level():
            w = distance_weights(forward_ad.make_dual(a, tangent), b)
            actual = forward_ad.unpack_dual(w).tangent
        assert relative_error(actual.detach(), expected) <= TOLERANCES[dtype].gradient


@pytest.mark.parametrize("outer", [jacrev, jacfwd, lambda f: lambda x: reverse_jacobian(f, x)])
def test_derivatives_of_forward_mode_are_refused(outer, arguments):
    with pytest.raises(RuntimeError, match=r"torch\.func\.hessian or by reverse mode twice"):
        outer(jacfwd(alone(weights, arguments, 0)))(arguments[0])


@pytest.mark.parametrize("transform", [jacrev, jacfwd])
@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize("metric", [m for m in METRICS if not METRICS[m].differentiable])
def test_rows_without_derivatives_are_refused(metric, side, transform, generator):
    rows = {name: random_rows(metric, 4, 3, torch.float64, generator) for name in "xy"}
    with pytest.raises(ValueError, match=rf"{side} (requires grad|carries a forward-mode tangent)"):
        transform(lambda t: distance_weights(**(rows | {side: t}), metric=metric))(rows[side])


def test_reverse_transforms_of_a_callable_metric_are_refused(arguments):
    x, y, *_ = arguments
    with pytest.raises(RuntimeError, match="saved tensor hooks"):
        grad(lambda t: distance_weights(t, y, torch.cdist).sum())(x)


@pytest.mark.parametrize(
    ("transform", "message"),
    [(lambda f: lambda t: jvp(f, (t,), (t,)), r"inside torch\.compile"), (grad, "functorch")],
)
def test_a_compiled_graph_refuses_transforms_rather_than_be_wrong(transform, message, arguments):
    x, y, *_ = arguments
    torch.compiler.reset()
    f = transform(lambda t: distance_weights(t, y).sum())
    with pytest.raises(Exception, match=message):
        torch.compile(f, backend="aot_eager", fullgraph=True)(x)
    torch.compiler.reset()
