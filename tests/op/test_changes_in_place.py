"""Promise: what changes in place before the backward pass gives an error, or the right gradient."""

import re

import pytest
import torch

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.op import blocks
from semideep_ext.op.testing import dense_distances, random_rows

CHANGED = "modified (by an )?inplace"
pytestmark = [pytest.mark.each_device, pytest.mark.filterwarnings("ignore")]  # the compiler's own


def weights(x, y, v, p):
    return distance_weights(x, y, "euclidean", p)


def importances(x, y, v, p):
    return distance_weights(x, y, "euclidean", p, y_weight=v)


def logs(x, y, v, p):
    return distance_weights(x, y, "sqeuclidean", p, log=True)


def logs_of_inverses(x, y, v, p):
    return distance_weights(x, y, y_weight=v, kernel="inverse", eps=p, log=True)


def product(x, y, v, p):
    return kernel_matmul(x, y, v, "cosine", p)


def several(x, y, v, p):
    return kernel_matmul(x, y, torch.stack([v, v * v], 1), lambda_=torch.stack([p, 2 * p]))


def batches(x, y, v, p):
    return kernel_matmul(torch.stack([x, 2 * x]), y, v[:, None], "cosine", p)


def callable_product(x, y, v, p):
    return kernel_matmul(x, y, v, dense_distances("sqeuclidean"), p)


def callable_logs(x, y, v, p):
    return distance_weights(x, y, dense_distances("sqeuclidean"), p, log=True)


each_function = pytest.mark.parametrize(
    "f",
    [
        weights,
        importances,
        logs,
        logs_of_inverses,
        product,
        several,
        batches,
        callable_product,
        callable_logs,
    ],
)
each_backend = pytest.mark.parametrize("backend", [None, "aot_eager", "inductor"])


@pytest.fixture(autouse=True)
def fresh_compiler_and_small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK_ELEMENTS", 20)
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled(f, backend):
    return torch.compile(f, backend=backend, fullgraph=True) if backend else f


def draw(generator, trainable):
    x, y = (random_rows("euclidean", n, 3, torch.float64, generator) for n in (6, 5))
    v, p = (0.5 + torch.rand(n, generator=generator, dtype=torch.float64) for n in (5, ()))
    inputs = [x, y, v, p]
    return inputs, [t.requires_grad_() for t in inputs[:trainable]]


@pytest.mark.parametrize("trainable", [1, 4], ids=["of x", "of all"])
@each_backend
@each_function
def test_no_gradient_is_that_of_changed_arguments(f, backend, trainable, generator):
    call = compiled(f, backend)
    raised = set()
    for at in range(4):
        inputs, wanted = draw(generator, trainable)
        expected = torch.autograd.grad(f(*inputs).sum(), wanted, allow_unused=True)
        w = call(*inputs)
        with torch.no_grad():
            inputs[at].mul_(1.5)
        try:
            actual = torch.autograd.grad(w.sum(), wanted, allow_unused=True)
        except RuntimeError as error:
            assert re.search(CHANGED, str(error))
            raised.add(at)
        else:
            torch.testing.assert_close(actual, expected)
    assert 1 in raised  # y is used as it is, everywhere


@each_backend
@each_function
def test_no_gradient_is_that_of_changed_results(f, backend, generator):
    inputs, wanted = draw(generator, 4)
    expected = torch.autograd.grad(f(*inputs).sum(), wanted, allow_unused=True)
    w = compiled(f, backend)(*inputs)
    with torch.no_grad():
        w.mul_(2)
    try:
        actual = torch.autograd.grad(w.sum(), wanted, allow_unused=True)
    except RuntimeError as error:
        assert re.search(CHANGED, str(error))
    else:
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_backend
def test_a_bank_of_rows_that_is_written_to_is_an_error(backend, dtype, generator):
    features, bank = (random_rows("euclidean", n, 3, dtype, generator) for n in (6, 5))
    features.requires_grad_()
    w = compiled(distance_weights, backend)(2 * features, bank)
    bank[:3] = 7
    with pytest.raises(RuntimeError, match=CHANGED):
        torch.autograd.grad(w.sum(), features)
