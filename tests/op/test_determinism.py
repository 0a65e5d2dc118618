"""Promise: the bits of a result depend on the input only, not on threads, splits or luck."""

import pytest
import torch

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.op.metrics import METRICS
from semideep_ext.op.testing import DTYPES, TOLERANCES, random_rows

pytestmark = pytest.mark.each_device
each_metric = pytest.mark.parametrize("metric", METRICS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
# Fewer rows than one block, several blocks, and one row with many columns, which threads share.
each_shape = pytest.mark.parametrize(("n", "m"), [(5, 40), (200, 300), (1, 17_000), (70, 9_000)])


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def problem(metric, n, m, dtype, generator):
    x, y = (random_rows(metric, rows, 4, dtype, generator) for rows in (n, m))
    for rows in (x, y):
        rows.requires_grad_(METRICS[metric].differentiable)
    v = torch.rand(m, 2, generator=generator, dtype=dtype, requires_grad=True)
    lambda_ = torch.tensor([0.4, 1.3], dtype=torch.float64, requires_grad=True)
    return x, y, v, lambda_


def everything(metric, x, y, v, lambda_):
    """Forward, log, and the gradients by every input, of the product and of log weights."""
    inputs = [t for t in (x, y, v, lambda_) if t.requires_grad]
    out = kernel_matmul(x, y, v, metric, lambda_)
    log_w = distance_weights(x, y, metric, lambda_, y_weight=v[:, 0], log=True)
    first = torch.autograd.grad(out.sum(), inputs, create_graph=len(x) < 100)
    results = [out, log_w, *first, *torch.autograd.grad(log_w.sum(), inputs)]
    if len(x) < 100:
        by_v = first[-2]
        results += torch.autograd.grad(by_v.square().sum(), [t for t in inputs if t is not v])
    return results


@each_shape
@each_dtype
@each_metric
def test_any_number_of_threads_gives_the_same_bits(metric, dtype, n, m, set_threads, generator):
    arguments = problem(metric, n, m, dtype, generator)
    set_threads(1)
    expected = everything(metric, *arguments)
    for threads in (2, 3, 2):
        set_threads(threads)
        assert all(map(torch.equal, everything(metric, *arguments), expected)), threads


@pytest.mark.parametrize("m", [pytest.param(300, marks=pytest.mark.every_instruction_set), 9_000])
@each_dtype
@each_metric
def test_any_split_of_x_gives_the_same_bits(metric, dtype, m, generator):
    x, y, v, lambda_ = problem(metric, 70, m, dtype, generator)

    def by_rows(part):
        part = part.detach().requires_grad_(x.requires_grad)
        out = kernel_matmul(part, y, v, metric, lambda_).sum(0)
        log_w = distance_weights(part, y, metric, lambda_, log=True).sum(0)
        by_part = [torch.autograd.grad(t.sum(), part)[0] for t in (out, log_w) if x.requires_grad]
        return [out, log_w, *by_part]

    whole = by_rows(x)
    for begin, end in [(0, 1), (63, 64), (64, 65), (69, 70), (0, 3), (3, 67), (60, 70)]:
        for full, part in zip(whole, by_rows(x[begin:end]), strict=True):
            assert torch.equal(part, full[begin:end]), (begin, end)


@each_dtype
@each_metric
def test_a_batch_gives_the_bits_of_its_parts(metric, dtype, generator):
    x, y = (random_rows(metric, n, 4, dtype, generator).view(3, -1, 4) for n in (3 * 70, 3 * 140))
    whole = distance_weights(x, y, metric)
    assert torch.equal(
        whole, torch.stack([distance_weights(a, b, metric) for a, b in zip(x, y, strict=True)])
    )


@each_dtype
@each_metric
def test_several_lambdas_give_what_each_gives(metric, dtype, generator):
    x, y = (random_rows(metric, n, 4, dtype, generator) for n in (70, 9000))
    lambdas = torch.tensor([0.1, 0.8, 3.0, 50.0], dtype=torch.float64)
    for log in (False, True):
        each = torch.stack(
            [distance_weights(x, y, metric, float(value), log=log) for value in lambdas]
        )
        together = distance_weights(x, y, metric, lambdas, log=log)
        if dtype == torch.float64 or log:
            assert torch.equal(together, each)
        else:  # which distances floats are good enough for depends on all lambdas of a call
            tolerance = TOLERANCES[dtype].forward * (1 + 50)
            torch.testing.assert_close(together, each, rtol=tolerance, atol=1e-37)
