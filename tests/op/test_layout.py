"""Promise: how rows lie in memory, and how many there are, does not change a result."""

import numpy as np
import pytest
import torch

from semideep_ext import distance_weights, kernel_matmul
from semideep_ext.op.metrics import METRICS
from semideep_ext.op.testing import random_rows

each_metric = pytest.mark.parametrize("metric", METRICS)


def transposed(t):
    return t.T.contiguous().T


def every_other_row(t):
    return t.repeat_interleave(2, 0)[::2]


def every_third_column(t):
    return t.repeat_interleave(3, 1)[:, ::3]


def inside_a_larger_array(t):
    return torch.nn.functional.pad(t, (3, 2, 1, 4), value=float("nan"))[1:-4, 3:-2]


@each_metric
@pytest.mark.parametrize(
    "lay_out", [transposed, every_other_row, every_third_column, inside_a_larger_array]
)
def test_any_stride_gives_the_same_bits(lay_out, metric, generator):
    x, y = (random_rows(metric, n, 5, torch.float32, generator) for n in (66, 130))
    v, c = torch.rand(130, 3, generator=generator), torch.rand(66, 3, generator=generator)
    results = []
    for change in (lambda t: t, lay_out):
        a, b, u = (change(t.clone()).detach() for t in (x, y, v))
        u.requires_grad_()
        if METRICS[metric].differentiable:
            a.requires_grad_(), b.requires_grad_()
        out = kernel_matmul(a, b, u, metric)
        gradients = torch.autograd.grad(out, [t for t in (a, b, u) if t.requires_grad], change(c))
        results.append([out, distance_weights(a, b, metric, log=True), *gradients])
    assert all(map(torch.equal, *results))


@each_metric
def test_expanded_rows_are_read_in_place(metric, generator):
    row = random_rows(metric, 1, 5, torch.float32, generator)
    column = random_rows(metric, 6, 1, torch.float32, generator)
    for rows in (row.expand(6, 5), column.expand(6, 5)):
        copied = distance_weights(rows.contiguous(), rows.contiguous(), metric)
        assert torch.equal(distance_weights(rows, rows, metric), copied)


ARRAY_LAYOUTS = {
    "Fortran": np.asfortranarray,
    "big-endian": lambda a: a.astype(">f8"),
    "longdouble": lambda a: a.astype(np.longdouble),
    "step": lambda a: np.repeat(a, 2, 0)[::2],
    "negative rows": lambda a: a[::-1].copy()[::-1],
    "negative columns": lambda a: a[:, ::-1].copy()[:, ::-1],
}


@pytest.mark.parametrize("argument", ["x", "y", "y_weight", "v"])
@pytest.mark.parametrize("layout", ARRAY_LAYOUTS)
def test_any_numpy_layout_gives_the_same_bits(layout, argument):
    random = np.random.default_rng(0)
    arguments = {name: random.uniform(size=(7, 4)) for name in ("x", "y", "v")}
    call = kernel_matmul
    if argument == "y_weight":
        arguments["y_weight"] = arguments.pop("v")[:, 0]
        call = distance_weights
    expected = call(**arguments)
    as_column = arguments[argument].reshape(7, -1)
    arguments[argument] = ARRAY_LAYOUTS[layout](as_column).reshape(arguments[argument].shape)
    assert np.array_equal(call(**arguments), expected)


def test_a_read_only_memory_map_works_in_silence(tmp_path, run_python):
    np.save(tmp_path / "rows.npy", np.ones((4, 2)))
    np.save(tmp_path / "v.npy", np.ones(4))
    done = run_python(  # torch warns of a read-only array once a process
        "import numpy, warnings, semideep_ext; warnings.simplefilter('error')\n"
        f"rows = numpy.load({str(tmp_path / 'rows.npy')!r}, mmap_mode='r')\n"
        f"v = numpy.load({str(tmp_path / 'v.npy')!r}, mmap_mode='r')\n"
        "assert semideep_ext.distance_weights(rows, rows, y_weight=v).tolist() == [1, 1, 1, 1]\n"
        "assert semideep_ext.kernel_matmul(rows, rows, v).tolist() == [4, 4, 4, 4]\n"
    )
    assert done.returncode == 0, done.stderr


def test_row_offsets_above_2_to_the_31(tmp_path):
    """A sparse file of 12 GB, of which only the pages of the five rows read ever exist."""
    step = 700_000_000
    file = np.memmap(tmp_path / "rows", dtype=np.float32, mode="w+", shape=(4 * step + 2,))
    expected = torch.arange(10.0).view(5, 2)
    for i, row in enumerate(expected):
        file[i * step : i * step + 2] = row
    far = torch.from_numpy(file).as_strided((5, 2), (step, 1))
    x = expected[:3].clone().requires_grad_()
    results = []
    for rows in (far, expected):
        w = distance_weights(x, rows)
        results.append([w, distance_weights(rows, x), *torch.autograd.grad(w.sum(), x)])
    assert all(map(torch.equal, *results))


def test_more_than_2_to_the_31_pairs():
    x = torch.zeros(70_000, 1)
    x[-1] = 1
    y = torch.zeros(40_000, 1)
    y[-1] = 1
    w = distance_weights(x, y, "sqeuclidean", 1.0).double()
    near = (39_999 + np.exp(-1)) / 40_000
    assert (w[:-1] - near).abs().max() < 1e-6
    assert w[-1].item() == pytest.approx((39_999 * np.exp(-1) + 1) / 40_000, rel=1e-6)


def test_importing_and_calling_leaves_subnormal_numbers_alone(run_python):
    done = run_python(
        "import numpy, torch, semideep_ext\n"
        "for metric in semideep_ext.METRICS:\n"
        "    semideep_ext.distance_weights(torch.zeros(9, 9), torch.zeros(9, 9), metric)\n"
        "assert (torch.full((64,), 1e-40) * 0.5 > 0).all()\n"
        "assert numpy.float32(1e-40) / 2 > 0 and float('2e-323') / 2 > 0\n"
    )
    assert done.returncode == 0, done.stderr
