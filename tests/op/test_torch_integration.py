"""Promise: the ops compile, map, batch, autocast and differentiate as torch's own do."""

import copy

import pytest
import torch
from torch.func import vmap

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.op.metrics import METRICS
from semideep_ext.op.testing import DTYPES, TOLERANCES, random_rows, relative_error

each_metric = pytest.mark.parametrize("metric", METRICS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
pytestmark = [
    pytest.mark.each_device,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]


def rows(metric, generator, *sizes, d=3, dtype=torch.float64):
    return [random_rows(metric, n, d, dtype, generator) for n in sizes]


@pytest.mark.parametrize("absent", [False, True])  # u and v
@pytest.mark.parametrize("metric", ["euclidean", "hamming"])  # with and without gradients of rows
def test_every_op_passes_opcheck(metric, absent, generator):
    dtype, kernel = torch.float32, "exponential"
    differentiable = METRICS[metric].differentiable
    x, y = rows(metric, generator, 2 * 5, 2 * 4, dtype=dtype)
    x, y = x.view(2, 5, 3), y.view(2, 4, 3)
    u, v = (torch.rand(2, 3, n, 2, generator=generator, dtype=dtype) for n in (5, 4))
    parameter = torch.rand(2, 3, generator=generator, dtype=torch.float64) + 0.1
    shifts = [torch.rand(2, 3, n, generator=generator, dtype=torch.float64) for n in (5, 4)]
    tangents = [torch.rand_like(t) for t in (x, y, parameter)]

    def trainable(*tensors):
        return tuple(
            t.clone().requires_grad_(differentiable or not (t is x or t is y)) for t in tensors
        )

    sides = trainable(x, y)
    ops = torch.ops.semideep_ext
    cases = {
        ops.kernel_matmul: (*sides, *trainable(v, parameter, *shifts)),
        ops.kernel_log_sum: (*sides, *trainable(v[..., :1], parameter)),
        ops.kernel_matmul_gradient: (*sides, *trainable(u, v, parameter, *shifts)),
        ops.kernel_matmul_tangent: (x, y, v, parameter, *shifts, *tangents),
        ops.kernel_matmul_gradient_tangent: (x, y, u, v, parameter, *shifts, *tangents),
    }
    for op, tensors in cases.items():
        if absent:
            names = [argument.name for argument in op.default._schema.arguments[: len(tensors)]]
            tensors = [None if n in "uv" else t for n, t in zip(names, tensors, strict=True)]
        last = (differentiable,) if "gradient" in op.__name__ else ()
        torch.library.opcheck(op.default, (*tensors, metric, kernel, *last))


def test_absent_values_are_those_of_a_mean(generator):
    x, y = (t.unsqueeze(0).requires_grad_() for t in rows("euclidean", generator, 5, 4))
    parameter = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    shifts = [torch.zeros(1, 1, n, dtype=torch.float64, requires_grad=True) for n in (5, 4)]
    ops, names = torch.ops.semideep_ext, ("euclidean", "exponential")

    def everything(v):
        log_sum = ops.kernel_log_sum(x, y, v, parameter, *names)
        product = ops.kernel_matmul(x, y, v, parameter, *shifts, *names)
        inputs = [x, y, parameter, *shifts]
        first = torch.autograd.grad(product.square().sum(), inputs, create_graph=True)
        return log_sum, product, *first, *torch.autograd.grad(first[0].square().sum(), inputs)

    v = torch.full((1, 1, 4, 1), 0.25, dtype=torch.float64)
    for actual, expected in zip(everything(None), everything(v), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)
    u = torch.rand(1, 1, 5, 2, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="u may be absent where the other side has one column"):
        ops.kernel_matmul_gradient(y, x, None, u, parameter, None, None, *names, True)


@pytest.mark.parametrize("log", [False, True])
def test_gradients_and_maps_do_not_change_the_bits(log, generator):
    x, y = rows("euclidean", generator, 66, 140, dtype=torch.float32)
    expected = distance_weights(x, y, log=log)
    assert torch.equal(distance_weights(x.clone().requires_grad_(), y, log=log), expected)
    assert torch.equal(vmap(lambda t: distance_weights(t, y, log=log))(x[None])[0], expected)


@pytest.fixture
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def outputs_and_gradients(f, x, y, v, lambda_):
    inputs = [t.clone().requires_grad_() for t in (x, y, v, lambda_)]
    out = f(*inputs)
    return [out, *torch.autograd.grad(out.square().sum(), inputs)]


def product(x, y, v, lambda_):
    return kernel_matmul(x, y, v, "cosine", lambda_)


def weights(x, y, v, lambda_):
    return distance_weights(x, y, "euclidean", lambda_, y_weight=v)


def log_weights(x, y, v, lambda_):
    return distance_weights(x, y, "sqeuclidean", lambda_, y_weight=v, log=True)


@pytest.mark.parametrize("f", [product, weights, log_weights])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_calls_equal_eager_ones(f, dynamic, fresh_compiler, generator):
    compiled = torch.compile(f, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for n, m in [(5, 4), (7, 9)] if dynamic else [(5, 4)]:
        x, y = rows("euclidean", generator, n, m)
        v = torch.rand(m, generator=generator, dtype=torch.float64)
        lambda_ = torch.tensor([0.3, 0.9], dtype=torch.float64)
        expected = outputs_and_gradients(f, x, y, v, lambda_)
        actual = outputs_and_gradients(compiled, x, y, v, lambda_)
        for a, e in zip(actual, expected, strict=True):
            torch.testing.assert_close(a, e, rtol=1e-12, atol=1e-14)


@each_metric
def test_no_metric_breaks_the_graph(metric, fresh_compiler, generator):
    x, y = rows(metric, generator, 5, 4)
    compiled = torch.compile(distance_weights, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x, y, metric), distance_weights(x, y, metric))


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_inductor_compiles_a_training_step(fresh_compiler, generator):
    x, y = rows("euclidean", generator, 5, 4)
    x.requires_grad_()
    compiled = torch.compile(distance_weights, fullgraph=True)
    actual, expected = (
        torch.autograd.grad(f(x, y).sum(), x)[0] for f in (compiled, distance_weights)
    )
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("metric", ["cosine", "hamming"])
def test_exported_programs_equal_eager_calls(metric, strict, fresh_compiler, generator):
    class LogWeights(torch.nn.Module):
        def forward(self, x, y):
            return distance_weights(x, y, metric, log=True)

    x, y = rows(metric, generator, 5, 4)
    program = torch.export.export(LogWeights(), (x, y), strict=strict)
    assert torch.equal(program.module()(x, y), LogWeights()(x, y))


@pytest.mark.parametrize(
    "in_dims", [(0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0), (1, 2, 0)]
)
@pytest.mark.parametrize("log", [False, True])
@each_metric
def test_vmap_equals_a_loop(metric, log, in_dims, generator):
    stacks = [torch.stack(rows(metric, generator, *[n] * 3)) for n in (5, 4)]
    stacks.append(torch.rand(3, generator=generator, dtype=torch.float64) + 0.1)

    def f(x, y, lambda_):
        return distance_weights(x, y, metric, lambda_, log=log)

    mapped = [
        t[0] if dim is None else t.movedim(0, dim) for t, dim in zip(stacks, in_dims, strict=True)
    ]
    loop = [
        f(*(t[0 if d is None else i] for t, d in zip(stacks, in_dims, strict=True)))
        for i in range(3)
    ]
    assert torch.equal(vmap(f, in_dims)(*mapped), torch.stack(loop))


def test_vmap_maps_any_dimension_of_the_op_itself(generator):
    x, y = (torch.rand(2, n, 3, 4, generator=generator) for n in (5, 6))  # (B, N, D, mapped)
    v, parameter = torch.ones(2, 1, 6, 1), torch.ones(2, 1, dtype=torch.float64)

    def op(x, y):
        return torch.ops.semideep_ext.kernel_matmul(
            x, y, v, parameter, None, None, "euclidean", "exponential"
        )

    loop = torch.stack([op(x[..., i], y[..., i]) for i in range(4)])
    assert torch.equal(vmap(op, in_dims=3)(x, y), loop)


def test_vmap_nests_and_maps_values(generator):
    x, y = rows("euclidean", generator, 5, 4)
    v = torch.rand(2, 3, 4, generator=generator, dtype=torch.float64)
    actual = vmap(vmap(lambda u: kernel_matmul(x, y, u)))(v)
    expected = kernel_matmul(x, y, v.flatten(0, 1).T).T.unflatten(0, (2, 3))
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)


@each_metric
@pytest.mark.parametrize("log", [False, True])
def test_autocast_does_not_lower_the_precision(metric, log, default_device, generator):
    x, y = rows(metric, generator, 66, 40, dtype=torch.float32)
    expected = distance_weights(x, y, metric, log=log)
    with torch.autocast(default_device, dtype=torch.bfloat16):
        assert torch.equal(distance_weights(x, y, metric, log=log), expected)
        half = kernel_matmul(x.bfloat16(), y.bfloat16(), torch.ones(40).bfloat16(), metric)
    assert half.dtype == torch.float32


def test_autocast_features_meet_rows_that_are_not(default_device, generator):
    x, y = rows("cosine", generator, 6, 4, dtype=torch.float32)
    with torch.autocast(default_device, dtype=torch.bfloat16):
        features = x @ torch.eye(3)
        w = distance_weights(features, y, "cosine")
    assert features.dtype == torch.bfloat16
    assert torch.equal(w, distance_weights(features.float(), y, "cosine"))


@pytest.mark.parametrize(
    ("batch_x", "batch_y"), [((2,), ()), ((), (3,)), ((2, 1), (3,)), ((1,), (4,)), ((2, 3), (2, 3))]
)
@each_metric
def test_batches_broadcast_as_in_cdist(metric, batch_x, batch_y, generator):
    batch = torch.broadcast_shapes(batch_x, batch_y)
    x, y = (
        random_rows(metric, max(1, torch.Size(b).numel()) * n, 3, torch.float64, generator).view(
            *b, n, 3
        )
        for b, n in ((batch_x, 5), (batch_y, 4))
    )
    out = distance_weights(x, y, metric, torch.tensor([0.3, 2.0]))
    assert out.shape == (*batch, 2, 5)
    flat = [t.expand(*batch, *t.shape[-2:]).reshape(-1, *t.shape[-2:]) for t in (x, y)]
    for a, b, o in zip(*flat, out.reshape(-1, 2, 5), strict=True):
        assert torch.equal(o, distance_weights(a, b, metric, torch.tensor([0.3, 2.0])))
    assert torch.cdist(x, y).shape[:-2] == batch


@each_dtype
def test_non_leaf_views_and_copies_work_inside_a_graph(dtype, generator):
    x, y = rows("euclidean", generator, 6, 4, dtype=dtype)
    x.requires_grad_()
    w = distance_weights((2 * x)[::2], copy.deepcopy(y))
    (actual,) = torch.autograd.grad(w.sum(), x)
    even = (2 * x.detach()[::2]).requires_grad_()
    (expected,) = torch.autograd.grad(distance_weights(even, y).sum(), even)
    assert relative_error(actual[::2], 2 * expected) <= TOLERANCES[dtype].gradient
    assert actual[1::2].count_nonzero() == 0


def test_no_grad_and_inference_mode_keep_no_graph(generator):
    x, y = rows("euclidean", generator, 6, 4)
    x.requires_grad_()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert not distance_weights(x, y).requires_grad


@each_metric
def test_meta_tensors_tell_the_shape(metric):
    x, y = torch.empty(5, 3, device="meta"), torch.empty(4, 3, device="meta")
    out = kernel_matmul(x, y, torch.empty(4, 2, device="meta"), metric, torch.ones(6))
    assert (out.device.type, out.shape, out.dtype) == ("meta", (6, 5, 2), torch.float32)
    assert distance_weights(x.double(), y.double(), metric, log=True).dtype == torch.float64
