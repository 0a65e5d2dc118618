"""Promises of `make gpu`: cells, contestants and ceilings of a card, checked without one."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch
from stand_ins import BENCHMARKS, RATES, stand_in

import semideep_ext.benchmark.bench as library
from semideep_ext.benchmark import contestants, cuda_clock
from semideep_ext.benchmark.accuracy import error_against_reference
from semideep_ext.benchmark.cells import Cell, draw
from semideep_ext.benchmark.contestants import CONTESTANTS, CUDA_CONTESTANTS, OURS, _calls, _torch


def test_cells_of_the_card_have_the_targets_that_were_promised(gpu):
    cells = gpu.cells.cells()
    assert len({gpu.bench.name(cell) for cell in cells}) == len(cells)
    assert {cell.device for cell in cells} == {"cuda"}
    assert {cell.dtype for cell in cells} == {"float32", "float64", "bfloat16"}
    for cell, target in cells.items():
        forward = cell.dtype == "float32" and not cell.backward and not cell.is_small
        assert (target.ratio == 3) == (forward and cell.d >= 64)
        assert (target.keops == 1.3) == (forward and cell.d <= 16)
        assert (target.share == 0.7) != (target.overhead_us == 15)


@pytest.mark.parametrize(
    ("cell", "microseconds", "binding", "others"),
    [
        (Cell("euclidean", 100_000, 100_000, 3), 5556, "sqrt_exp_float32", {"sqrt_exp_float32"}),
        # 3 x 2 x 128 / 700e3 against 2 x 128 / 60e3 a pair
        (Cell("euclidean", 50_000, 50_000, 128), 2743, "tensor_float16", {"fma_float32"}),
        (Cell("euclidean", 50_000, 50_000, 128, "bfloat16"), 1389, "sqrt_exp_float32", set()),
        (
            Cell("cosine", 20_000, 20_000, 768, backward=True),
            10533,
            "tensor_float16",
            {"fma_float32"},
        ),
        (
            Cell("euclidean", 10_000, 10_000, 784, "float64"),
            2613,
            "tensor_float64",
            {"fma_float64"},
        ),
        # 2 x 1024 / 5000e3 a pair; 1 / 3.6e3 is less
        (
            Cell("jaccard", 50_000, 50_000, 1024),
            1024,
            "tensor_b1",
            {"popcount", "tensor_int8"},
        ),
        (Cell("hamming", 50_000, 50_000, 64), 8000, "compare", set()),
    ],
    ids=lambda value: str(
        sorted(value) if isinstance(value, set) else value
    ),  # the same everywhere
)
def test_the_floor_on_a_card_is_that_of_the_fastest_way(gpu, cell, microseconds, binding, others):
    cell = replace(cell, device="cuda")
    seconds, found = gpu.ceilings.floor(cell, RATES)
    assert seconds * 1e6 == pytest.approx(microseconds, rel=1e-3) and found == binding
    ways = gpu.ceilings.floors(cell, RATES)
    assert {unit for _, unit in ways} == {binding, *others}
    assert min(ways) == (seconds, found)


@pytest.mark.skipif(not shutil.which("nvcc"), reason="no CUDA compiler")
@pytest.mark.parametrize("program", ["ceilings", "planted_faults"])
def test_the_programs_for_the_card_compile(program, tmp_path):
    source = BENCHMARKS / f"{program}.cu"
    command = ["nvcc", "-std=c++17", "-arch=sm_90", "-cubin", "-Werror", "all-warnings"]
    subprocess.run([*command, source, "-o", tmp_path / "out"], check=True)


def test_ceilings_of_the_card_have_the_rates_that_floors_need(gpu, tmp_path, monkeypatch):
    names = (BENCHMARKS / "ceilings.cu").read_text()
    printed = {unit: 1.0 for unit in RATES if f'"{unit}"' in names}
    program = stand_in(tmp_path, "ceilings", f"echo '{json.dumps(printed)}'")
    of_cpu = {"tensor_bfloat16": 2.0, "tensor_float16": 2.0, "tensor_float64": 2.0}
    monkeypatch.setattr(gpu.ceilings, "matrix_rates", lambda device: of_cpu)
    assert gpu.ceilings.measure_card(program).keys() == RATES.keys()


def test_rates_of_matrix_products(gpu):
    rates = gpu.ceilings.matrix_rates("cpu", 64)
    assert {"tensor_bfloat16", "tensor_float16", "tensor_float64"} < rates.keys()
    assert all(rate > 0 for rate in rates.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cell", [Cell("euclidean", 24, 16, 8), Cell("cosine", 24, 16, 8)], ids=str)
def test_formulas_of_the_card_give_the_weights(cell, dtype, monkeypatch):
    """Where a product sums in float32, which torch offers on cards only, a plain one stands in."""
    monkeypatch.setattr(torch, "mm", lambda x, y, out_dtype: x.to(out_dtype) @ y.to(out_dtype))
    cell = replace(cell, dtype=dtype)
    x, y = draw(cell)
    error = error_against_reference(cell, x, y)
    formulas = _torch.formulas(replace(cell, device="cuda"))
    assert ("bfloat16 product" in formulas) == (dtype == "bfloat16")
    for formula in formulas.values():
        assert error(_torch.torch_call(formula)(x, y)) < 2e-6


@pytest.mark.parametrize(
    "cell",
    [
        Cell("hamming", 24, 16, 8),
        Cell("hamming", 24, 16, 600, bits=True),
        Cell("jaccard", 24, 16, 600),
    ],
    ids=str,
)
def test_counts_on_tensor_cores_are_exact(cell, monkeypatch):
    monkeypatch.setattr(torch, "mm", lambda x, y, out_dtype: x.to(out_dtype) @ y.to(out_dtype))
    x, y = draw(cell)
    error = error_against_reference(cell, x, y)
    formulas = _torch.formulas(replace(cell, device="cuda"))
    assert {"bfloat16 product", "int8 product"} < formulas.keys()
    for formula in formulas.values():
        assert error(_torch.torch_call(formula)(x, y)) < 2e-6


def test_cuvs_gives_the_weights(monkeypatch):
    """By its documented call; the library itself needs a card."""

    def pairwise_distance(x, y, out, metric):
        assert metric == "euclidean"
        out.copy_(torch.cdist(x, y))

    module = ModuleType("cuvs.distance")
    module.pairwise_distance = pairwise_distance
    monkeypatch.setitem(sys.modules, "cuvs", ModuleType("cuvs"))
    monkeypatch.setitem(sys.modules, "cuvs.distance", module)
    stream = SimpleNamespace(synchronize=lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(_calls, "BLOCKS", (1, 2**20))
    cell = Cell("euclidean", 21, 18, 5)
    outcomes = library.compete(cell, {"cuvs": CUDA_CONTESTANTS["cuvs"]}, turns=1)
    assert outcomes["cuvs"]["error"] < 1e-5


def test_who_competes_depends_on_the_device(monkeypatch):
    assert "cuvs" not in CONTESTANTS and "SciPy" not in CUDA_CONTESTANTS
    assert {OURS, "torch.compile", "torch in blocks", "pykeops"} < CUDA_CONTESTANTS.keys()
    assert library.versions(CUDA_CONTESTANTS)["cuvs"] == "not installed"
    for name in CONTESTANTS.keys() - {OURS}:
        monkeypatch.delitem(CONTESTANTS, name)
    assert library.compete(Cell("cosine", 9, 8, 3), turns=1).keys() == {OURS}


def test_the_cache_is_overwritten_before_every_timed_call(monkeypatch):
    happened = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            happened.append("mark")

        def elapsed_time(self, end):
            return 3.0  # milliseconds

    scrap = SimpleNamespace(zero_=lambda: happened.append("flush"))
    monkeypatch.setattr(cuda_clock, "_scrap", lambda: scrap)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: happened.append("wait"))
    assert cuda_clock.seconds(lambda: happened.append("call"), 2) == 0.003
    assert happened == ["flush", "mark", "call", "mark"] * 2 + ["wait"]


def test_formulas_are_compiled_on_few_rows_before_the_benchmark(gpu, monkeypatch):
    rows = []

    def ways(cell, threads):
        if cell.metric == "jaccard":
            raise contestants.UnsupportedError("no formula")
        return {"way": lambda x, y: rows.append(len(x))}

    peer = contestants.Contestant("torch", ways, trial_pairs=2**8)
    monkeypatch.setitem(CUDA_CONTESTANTS, "torch.compile", peer)
    two = [Cell("euclidean", 300, 10, 3), Cell("jaccard", 30, 20, 3)]
    monkeypatch.setattr(gpu.cells, "cells", lambda device: two)
    monkeypatch.setattr(gpu.cells, "smaller", lambda cell: cell)
    skipped = gpu.cells.compile_peers("cpu", True)
    assert rows == [25, 25]  # the second is timed
    assert skipped == {gpu.bench.name(two[1]): "no formula"}


def test_a_wrong_result_of_ours_fails_the_benchmark_step(gpu):
    def results(error):
        return {"cells": [{"name": "a cell", "contestants": {OURS: {"error": error}}}]}

    assert gpu.cells.problems(results(1e-7)) == []
    assert gpu.cells.problems(results(1e-4)) == ["a cell: error 1e-04, at most 1e-05"]
    assert gpu.cells.problems(results(float("nan")))


def test_a_peer_that_computes_something_else_is_not_the_fastest(gpu):
    result = {
        "contestants": {
            OURS: {"seconds": 1.0, "error": 1e-7},
            "wrong": {"seconds": 0.1, "error": 0.5},
            "pykeops": {"seconds": 3.0, "error": 1e-6},
        },
        "beside": {},
    }
    cell = Cell("euclidean", 1000, 1000, 3, device="cuda")
    found = gpu.bench.summarise(result, cell, RATES)
    assert found["best_peer"] == "pykeops" and found["ratio"] == found["keops"] == 3
    assert found["share"] == min(found["shares"].values())


@pytest.mark.parametrize("before", [None, "products"])
def test_bits_on_a_card_are_timed_in_each_way(gpu, monkeypatch, before):
    monkeypatch.delenv(gpu.bits.VARIABLE, raising=False)
    if before:
        monkeypatch.setenv(gpu.bits.VARIABLE, before)
    monkeypatch.setattr(
        gpu.bench, "distance_weights", lambda *rows_and_metric: os.environ[gpu.bits.VARIABLE]
    )
    jaccard = Cell("jaccard", 1000, 1000, 64, device="cuda")
    calls = gpu.bench.beside(jaccard, gpu.cells._target(jaccard))
    assert {name: call(None, None) for name, call in calls.items()} == {
        "by popcount": ("popcount",),
        "by products": ("products",),
    }
    assert os.environ.get(gpu.bits.VARIABLE) == before
    for other in (
        Cell("hamming", 1000, 1000, 64, device="cuda"),  # categories
        Cell("jaccard", 1000, 1000, 64),
        Cell("jaccard", 1000, 1000, 64, "float64", device="cuda"),
    ):
        assert gpu.bench.beside(other, gpu.cells._target(other)) == {}

    ours = {"seconds": 2e-3, "error": 1e-7, "peak_mib": 1.0}
    beside = {"by popcount": {"seconds": 2e-3}, "by products": {"seconds": 1e-3}}
    result = {"contestants": {OURS: ours}, "beside": beside, "target": {}}
    result["summary"] = gpu.bench.summarise(result, jaccard, RATES)
    assert "overhead_us" not in result["summary"]
    assert gpu.bench.report.sentence(result).endswith("by popcount 2.00 ms; by products 1.00 ms")
