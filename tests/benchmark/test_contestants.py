"""Promises of the contestants: everyone computes the same, on the same data."""

import functools

import numpy as np
import pytest
import torch

import semideep_ext.benchmark.bench as library
from semideep_ext.benchmark import contestants
from semideep_ext.benchmark.accuracy import error_against_reference
from semideep_ext.benchmark.cells import Cell, draw
from semideep_ext.benchmark.contestants import CONTESTANTS, _calls, _torch, _weights
from semideep_ext.op.metrics import METRICS
from semideep_ext.op.testing import reference_distances

CELLS = [
    Cell("euclidean", 21, 18, 5),
    Cell("sqeuclidean", 21, 18, 2),
    Cell("cosine", 21, 18, 5),
    Cell("hamming", 21, 18, 5),
    Cell("hamming", 21, 18, 70, bits=True),
    Cell("jaccard", 21, 18, 3),  # some sets are empty
    Cell("jaccard", 21, 18, 300),
]


KNOWN_LIMITS = ("has no gradients", "has no packed distances for metric 'sqeuclidean'")


@pytest.fixture(scope="module")
def traced_only():
    """torch.compile without C++: what it traced runs in torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
        _torch.compiled.cache_clear()
        yield
    _torch.compiled.cache_clear()
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore")  # of other libraries
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in CONTESTANTS if name != "pykeops"])
def test_every_way_of_every_contestant_gives_the_weights(name, dtype, traced_only, monkeypatch):
    monkeypatch.setattr(_calls, "BLOCKS", (1, 2**20))  # two blocks, and one
    for cell in CELLS:
        for backward in {False, METRICS[cell.metric].differentiable}:
            cell = Cell(cell.metric, cell.n, cell.m, cell.d, dtype, backward, cell.bits)
            x, y = draw(cell)
            error = error_against_reference(cell, x, y)
            try:
                ways = CONTESTANTS[name].ways(cell, 2)
            except ModuleNotFoundError as missing:
                pytest.skip(str(missing))
            except contestants.UnsupportedError as reason:
                assert str(reason) in KNOWN_LIMITS
                continue
            for way, call in ways.items():
                out = call(x, y)
                assert [len(t) for t in out] == [21] + [21, 18] * backward, (cell, way)
                # numkong's jaccard is float32 for every dtype
                assert error(out) < (2e-5 if dtype == "float32" else 1e-7), (cell, way)


def test_blocks_of_rows_add_up():
    cell = Cell("euclidean", 21, 18, 5, "float64", backward=True)
    x, y = draw(cell)
    call = _calls.with_backward(_torch.torch_call(torch.cdist), cell)
    for whole, blocks in zip(call(x, y), _calls.in_blocks(call, 4)(x, y), strict=True):
        torch.testing.assert_close(whole, blocks)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_formulas_for_keops_are_the_metrics(cell):
    x, y = (rows.double() for rows in draw(cell))
    exact = torch.from_numpy(reference_distances(x, y, cell.metric).astype(np.float64))
    if cell.metric == "cosine":
        x, y = torch.nn.functional.normalize(x), torch.nn.functional.normalize(y)
    formula = _weights.LAZY[_calls.name_of_formula(cell)]
    torch.testing.assert_close(formula(x[:, None], y[None]), exact)


@pytest.mark.filterwarnings("ignore")
def test_pykeops_gives_the_weights():
    pytest.importorskip("pykeops")
    cell = Cell("sqeuclidean", 21, 18, 2)
    outcome = library.compete(cell, {"pykeops": CONTESTANTS["pykeops"]})["pykeops"]
    assert outcome["error"] < 1e-5


def test_data_are_the_same_in_every_run_and_of_the_right_kind():
    for cell in CELLS:
        assert all(map(torch.equal, draw(cell), draw(cell)))
        assert not cell.is_binary or set(draw(cell)[0].unique().tolist()) == {0, 1}
    assert draw(Cell("hamming", 50, 1, 4))[0].unique().tolist() == [0, 1, 2, 3]
