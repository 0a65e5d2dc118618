"""Promises of `make gpu` that need no card: nothing is lost, tools are read right, limits hold."""

import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch

import semideep_ext.bench as library
from semideep_ext import _cuda_clock, contestants
from semideep_ext.cells import Cell, draw
from semideep_ext.contestants import CONTESTANTS, CUDA_CONTESTANTS, OURS
from semideep_ext.metrics import METRICS

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    """The modules of benchmarks/, which is no package and not installed."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the sources are not here")
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import bench
    import ceilings
    import gpu
    import gpu_accuracy
    import gpu_cells
    import gpu_process
    import gpu_small
    import gpu_steps
    import gpu_tools
    import gpu_watch

    return SimpleNamespace(
        main=gpu,
        bench=bench,
        ceilings=ceilings,
        accuracy=gpu_accuracy,
        cells=gpu_cells,
        process=gpu_process,
        small=gpu_small,
        steps=gpu_steps,
        tools=gpu_tools,
        watch=gpu_watch,
    )


@pytest.fixture
def options(gpu, tmp_path):
    return gpu.process.Options("cpu", True, tmp_path)


# --- tools' outputs -------------------------------------------------------------------------------


def test_nvidia_smi_is_read_by_name(gpu):
    found = gpu.tools.smi("NVIDIA H100 80GB HBM3, 580.65.06, 1755, 1980, 34, 121.5, 700.00, [N/A]")
    assert found["name"] == "NVIDIA H100 80GB HBM3" and found["driver_version"] == "580.65.06"
    assert found["clocks.sm"] == 1755 and found["power.draw"] == 121.5
    assert found["utilization.gpu"] == "[N/A]"


@pytest.mark.parametrize(
    ("output", "faults"),
    [
        ("========= COMPUTE-SANITIZER\n133 calls done\n========= ERROR SUMMARY: 0 errors\n", 0),
        ("========= Invalid __global__ write of size 4\n========= ERROR SUMMARY: 1 error\n", 1),
        ("=========\n========= ERROR SUMMARY: 64 errors\n", 64),
        ("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n", 0),
        ("========= RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)\n", 2),
        ("133 calls done\n", None),  # the tool did not run
        ("", None),
    ],
    ids=str,
)
def test_faults_are_those_of_the_tools_own_summary(gpu, output, faults):
    assert gpu.tools.sanitizer(output) == faults


NCU = """==PROF== Connected to process 7
"ID","Process ID","Kernel Name","Block Size","Grid Size","Metric Name","Metric Unit","Metric Value"
"0","7","at::native::erfinv_kernel","128","1","gpu__time_duration.sum","ns","1,024"
"1","7","semideep::cuda::wide_sum<float, a, b>","256","9","gpu__time_duration.sum","ns","1,234,567"
"1","7","semideep::cuda::wide_sum<float, a, b>","256","9","launch__registers_per_thread","r","96"
"1","7","semideep::cuda::wide_sum<float, a, b>","256","9","something else","%","3"
"2","7","at::native::copy","128","1","gpu__time_duration.sum","ns","10"
"3","7","at::native::erfinv_kernel","128","1","gpu__time_duration.sum","ns","1,024"
"4","7","semideep::cuda::wide_gradient","256","9","gpu__time_duration.sum","ns","5"
==PROF== Disconnected
"""


def test_ncu_gives_each_launch_of_ours_to_its_cell(gpu):
    launches = gpu.tools.ncu(NCU)
    assert len(launches) == 5
    assert launches[1] == {
        "kernel": "semideep::cuda::wide_sum<float, a, b>",
        "nanoseconds": 1234567,
        "registers": 96,
    }
    found = gpu.tools.of_cells(launches, ["first", "second", "third"], "erfinv", "semideep")
    assert {name: [launch["nanoseconds"] for launch in of] for name, of in found.items()} == {
        "first": [1234567],
        "second": [5],
    }


def test_metrics_that_this_ncu_does_not_know_are_named(gpu):
    said = "==ERROR== Failed to find metric sm__throughput.avg.pct_of_peak_sustained_elapsed\n"
    assert gpu.tools.unknown_metrics(said) == {gpu.tools.METRICS["sm"]}
    assert gpu.tools.unknown_metrics(NCU) == set()


def test_a_machine_that_refuses_a_tool_is_no_fault(gpu):
    line = "The user does not have permission to access NVIDIA GPU Performance Counters"
    assert gpu.tools.not_allowed(f"==ERROR== ERR_NVGPUCTRPERM - {line}\nmore").endswith(line)
    assert gpu.tools.not_allowed("========= Error: Device not supported. Please refer")
    assert gpu.tools.not_allowed("========= ERROR SUMMARY: 3 errors") is None
    assert gpu.tools.not_allowed("UserWarning: Failed to initialize a library") is None


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_it[cuda-float32]"/>
<testcase classname="tests.test_a" name="test_that_cuda_is_named"/>
<testcase classname="tests.test_a" name="test_it[cuda-float64]"><skipped message="x"/></testcase>
<testcase classname="tests.test_a" name="test_bad[cuda]"><failure message="1 != 2">f</failure>
</testcase>
<testcase classname="" name="tests.test_b"><error message="collection failure">
E   ModuleNotFoundError: No module named 'hypothesis'</error></testcase>
<testcase classname="" name="tests.test_c"><error message="collection failure">boom</error>
</testcase></testsuite></testsuites>"""


def test_test_reports_count_what_ran_on_the_device(gpu, tmp_path):
    (tmp_path / "report.xml").write_text(JUNIT)
    found = gpu.tools.junit(tmp_path / "report.xml", "cuda")
    assert found == {
        "passed": 1,
        "others passed": 1,
        "skipped": 1,
        "failed": {
            "tests.test_a::test_bad[cuda]": "1 != 2",
            "::tests.test_c": "collection failure",
        },
        "missing": {"::tests.test_b": "No module named 'hypothesis'"},
    }


# --- compute-sanitizer and ncu as programs --------------------------------------------------------


def stand_in(folder, name, script):
    """Put a program of this name first on PATH."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


CLEAN = 'echo "133 calls done"; echo "========= ERROR SUMMARY: 0 errors"'
FAULTY = 'echo "========= ERROR SUMMARY: 3 errors"'


@pytest.mark.parametrize(
    ("planted", "small", "problem"),
    [
        (FAULTY, CLEAN, None),
        (CLEAN, CLEAN, "memcheck did not find the planted fault"),
        (FAULTY, 'echo "133 calls done"', "memcheck printed no summary"),
        (FAULTY, f'echo "133 calls done"; {FAULTY}', "memcheck found 3 faults"),
        (FAULTY, CLEAN.partition(";")[2], "the small case did not end under memcheck"),
    ],
    ids=["clean", "blind", "silent", "faults", "died"],
)
def test_a_sanitizer_passes_only_if_it_ran_and_finds_what_is_planted(
    gpu, options, monkeypatch, tmp_path, planted, small, problem
):
    script = f'case "$*" in *planted_faults*) {planted};; *) {small};; esac'
    stand_in(tmp_path, "compute-sanitizer", script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    problems = gpu.watch.sanitizers(options, lambda found: None)
    of_memcheck = [text for text in problems if "memcheck" in text]
    if problem is None:
        assert problems == []
    else:
        assert len(of_memcheck) == 1 and problem in of_memcheck[0]
        assert len(problems) == len(gpu.tools.SANITIZERS)


def test_tools_that_may_not_run_are_said_to(gpu, options, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    stand_in(tmp_path, "compute-sanitizer", 'echo "========= Error: Device not supported"')
    with pytest.raises(gpu.process.CannotRunError, match="racecheck: Error: Device not supported"):
        gpu.watch.sanitizers(options, lambda found: None)
    stand_in(tmp_path, "ncu", 'echo "==ERROR== ERR_NVGPUCTRPERM"; exit 1')
    with pytest.raises(gpu.process.CannotRunError, match="ERR_NVGPUCTRPERM"):
        gpu.watch.profile(options, lambda found: None)


def test_ncu_is_asked_again_without_what_it_does_not_know(gpu, options, monkeypatch, tmp_path):
    metric = gpu.tools.METRICS["tensor"]
    refuse = f'echo "==ERROR== Failed to find metric {metric}"; exit 1'
    lines = "\n".join(line for line in NCU.splitlines() if '"3"' not in line)
    script = f"case \"$*\" in *{metric}*) {refuse};; esac\ncat <<'END'\n{lines}\nEND"
    stand_in(tmp_path, "ncu", script)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = {}
    problems = gpu.watch.profile(options, found.update)
    name = gpu.bench.name(gpu.small.PROFILED[0])
    assert [launch["nanoseconds"] for launch in found[name]] == [1234567, 5]
    assert len(problems) == len(gpu.small.PROFILED) - 1  # the others were not in its output


def test_a_missing_tool_is_named_with_where_it_was_looked_for(gpu, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(gpu.process.CannotRunError, match=r"no-such-tool .* PATH or in /usr/local"):
        gpu.process.find_tool("no-such-tool")


# --- the small case, the accuracy grid ------------------------------------------------------------


def test_the_small_case_runs_every_metric(gpu, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu_small.py", "cpu"])
    gpu.small.main()
    names = [name for name, _ in gpu.small.cases("cpu")]
    assert f"{len(names)} calls done" in capsys.readouterr().out
    for metric, facts in METRICS.items():
        assert any(name.startswith(metric) and "log" in name for name in names)
        assert facts.differentiable == any(
            name.startswith(metric) and "backward" in name for name in names
        )


@pytest.fixture
def few(gpu, monkeypatch):
    """A grid of few problems."""
    monkeypatch.setattr(gpu.accuracy, "FEATURES", (3, 8))
    monkeypatch.setattr(gpu.accuracy, "LARGE_FEATURES", (3,))
    small_cases = gpu.accuracy.small_cases
    monkeypatch.setattr(
        gpu.accuracy, "small_cases", lambda *options: itertools.islice(small_cases(*options), 3)
    )
    return gpu.accuracy


def test_the_grid_finds_no_fault_on_the_cpu(few):
    saved = []
    found = few.run("cpu", True, 1, lambda found: saved.append(found["cases"]))
    assert found["failures"] == [] and found["seed"] == 1
    assert saved == sorted(saved) and saved[-1] == found["cases"] > 500
    kinds = found["worst"]
    assert {f"{metric} float32 w" for metric in METRICS} < kinds.keys()
    assert all(0 <= worst["share"] <= 1 for worst in kinds.values())


@pytest.mark.parametrize("factor", [1 + 3e-6, float("nan")])
def test_the_grid_sees_an_error_of_three_millionths_and_a_nan(few, monkeypatch, factor):
    right = few.distance_weights
    monkeypatch.setattr(few, "distance_weights", lambda *a, **k: right(*a, **k) * factor)
    found = few.run("cpu", True, 1, lambda found: None)
    assert any(text.startswith("euclidean float32 w,") for text in found["failures"])
    assert any(text.startswith("jaccard float32 w, large") for text in found["failures"])


# --- cells, contestants, ceilings -----------------------------------------------------------------


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


RATES = {
    "fma_float32": 60e3,
    "fma_float64": 30e3,
    "exp_float32": 3.6e3,
    "sqrt_exp_float32": 1.8e3,
    "exp_float64": 400.0,
    "sqrt_exp_float64": 300.0,
    "popcount": 1.8e3,
    "compare": 20e3,
    "tensor_bfloat16": 700e3,
    "tensor_tf32": 400e3,
    "tensor_float64": 60e3,
    "tensor_int8": 1200e3,
    "tensor_b1": 5000e3,
    "read": 3e3,
}


@pytest.mark.parametrize(
    ("cell", "microseconds", "binding", "others"),
    [
        (Cell("euclidean", 100_000, 100_000, 3), 5556, "sqrt_exp_float32", {"sqrt_exp_float32"}),
        # 3 x 2 x 128 / 400e3 against 2 x 128 / 60e3 a pair
        (Cell("euclidean", 50_000, 50_000, 128), 4800, "tensor_tf32", {"fma_float32"}),
        (Cell("euclidean", 50_000, 50_000, 128, "bfloat16"), 1389, "sqrt_exp_float32", set()),
        (Cell("cosine", 20_000, 20_000, 768, backward=True), 18432, "tensor_tf32", {"fma_float32"}),
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
    of_cpu = {"tensor_bfloat16": 2.0, "tensor_tf32": 2.0, "tensor_float64": 2.0}
    monkeypatch.setattr(gpu.ceilings, "matrix_rates", lambda device: of_cpu)
    assert gpu.ceilings.measure_card(program).keys() == RATES.keys()


def test_rates_of_matrix_products_leave_torch_as_it_was(gpu):
    rates = gpu.ceilings.matrix_rates("cpu", 64)
    assert {"tensor_bfloat16", "tensor_tf32", "tensor_float64"} < rates.keys()
    assert all(rate > 0 for rate in rates.values())
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cell", [Cell("euclidean", 24, 16, 8), Cell("cosine", 24, 16, 8)], ids=str)
def test_formulas_of_the_card_give_the_weights(cell, dtype, monkeypatch):
    """Where a product sums in float32, which torch offers on cards only, a plain one stands in."""
    monkeypatch.setattr(torch, "mm", lambda x, y, out_dtype: x.to(out_dtype) @ y.to(out_dtype))
    cell = replace(cell, dtype=dtype)
    x, y = draw(cell)
    error = library._error_against_reference(cell, x, y)
    formulas = contestants._formulas(replace(cell, device="cuda"))
    assert ("bfloat16 product" in formulas) == (dtype == "bfloat16")
    for formula in formulas.values():
        assert error(contestants._torch_call(formula)(x, y)) < 2e-6


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
    error = library._error_against_reference(cell, x, y)
    formulas = contestants._formulas(replace(cell, device="cuda"))
    assert {"bfloat16 product", "int8 product"} < formulas.keys()
    for formula in formulas.values():
        assert error(contestants._torch_call(formula)(x, y)) < 2e-6


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
    monkeypatch.setattr(contestants, "BLOCKS", (1, 2**20))
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
    monkeypatch.setattr(_cuda_clock, "_scrap", lambda: scrap)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: happened.append("wait"))
    assert _cuda_clock.seconds(lambda: happened.append("call"), 2) == 0.003
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


# --- the steps together ---------------------------------------------------------------------------


def test_a_dry_run_measures_and_tabulates(gpu, tmp_path, monkeypatch, capsys):
    """The benchmark step's own function, on two small cells, and the table made of its results."""
    two = [Cell("euclidean", 300, 300, 3), Cell("hamming", 300, 300, 64)]
    wanted = {cell: gpu.cells._target(cell) for cell in two}
    monkeypatch.setattr(gpu.cells, "cells", lambda device: wanted)
    monkeypatch.setattr(gpu.cells, "smaller", lambda cell: cell)
    rates = {unit: 100.0 for unit in RATES}
    monkeypatch.setattr(gpu.ceilings, "measure", lambda threads, program: rates)
    options = gpu.process.Options("cpu", True, tmp_path)
    saved = {}
    assert gpu.steps.benchmark(options, saved.update) == []
    assert [cell["name"] for cell in saved["cells"]] == [gpu.bench.name(cell) for cell in two]
    assert len(saved["ceilings"]["samples"]) == 1
    assert json.loads((tmp_path / "benchmark.json").read_text())["cells"]
    text = gpu.main.summary({"facts": {"status": "passed", "problems": []}}, saved)
    assert "| euclidean 300 x 300 x 3 |" in text and "facts       passed" in text
    assert "pykeops / ours not measured, at least 1.3" in text


@pytest.fixture
def fake_steps(gpu, monkeypatch):
    """Steps whose processes are short Python programs instead."""

    def install(**programs):
        steps = {
            name: gpu.main.Step(None, limit, group)
            for group, (name, (_, limit)) in enumerate(programs.items())
        }
        monkeypatch.setattr(gpu.main, "STEPS", steps)
        start = subprocess.Popen

        def popen(command, **options):
            name = command[command.index("--step") + 1]
            folder = command[command.index("--folder") + 1]
            return start([sys.executable, "-c", programs[name][0], folder], **options)

        monkeypatch.setattr(gpu.main.subprocess, "Popen", popen)
        monkeypatch.setattr(gpu.main, "TICK", 0.02)
        monkeypatch.setattr(gpu.main, "GRACE", 0.5)

    return install


WRITE = "import json, pathlib, sys; folder = pathlib.Path(sys.argv[1])\n"
GOOD = (
    WRITE
    + """
(folder / "good.json").write_text('{"found": 1}')
(folder / "good.end.json").write_text('{"status": "passed", "problems": []}')
"""
)
DIES = WRITE + """(folder / "dies.json").write_text('{"half": 2}'); sys.exit("boom")"""
HANGS = (
    WRITE
    + """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
(folder / "hangs.json").write_text('{"begun": 3}')
time.sleep(60)
"""
)


def test_a_step_that_dies_or_hangs_loses_nothing(gpu, fake_steps, options, tmp_path, capsys):
    fake_steps(dies=(DIES, 30), hangs=(HANGS, 1.5), good=(GOOD, 30))
    start = time.monotonic()
    passed = gpu.main.run_all(["dies", "hangs", "good"], options, tmp_path / "results.json", 60)
    assert not passed and time.monotonic() - start < 30
    found = json.loads((tmp_path / "results.json").read_text())
    assert [found[name] for name in ("dies", "hangs", "good")] == [
        {"half": 2},
        {"begun": 3},
        {"found": 1},
    ]
    ends = {name: end["status"] for name, end in found["steps"].items()}
    assert ends == {"dies": "failed", "hangs": "out of time", "good": "passed"}
    assert "boom" in found["steps"]["dies"]["problems"][0]
    assert "hangs       out of time" in capsys.readouterr().out


def test_steps_that_no_time_is_left_for_are_said_not_to_have_begun(
    gpu, fake_steps, options, tmp_path
):
    fake_steps(good=(GOOD, 30))
    assert not gpu.main.run_all(["good"], options, tmp_path / "results.json", 0.1)
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["steps"]["good"] == {"status": "not begun", "problems": ["no time is left"]}


def test_without_a_card_nothing_else_is_begun(gpu, fake_steps, options, tmp_path):
    fake_steps(facts=("raise SystemExit('no card')", 30), good=(GOOD, 30))
    assert not gpu.main.run_all(["facts", "good"], options, tmp_path / "results.json", 60)
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["steps"]["good"] == {"status": "not begun", "problems": ["there is no card"]}


def test_results_and_logs_go_to_gpu_out_too(gpu, fake_steps, options, tmp_path, monkeypatch):
    monkeypatch.setenv("GPU_OUT", str(tmp_path / "out"))
    fake_steps(good=(GOOD, 30))
    assert gpu.main.run_all(["good"], options, None, 60)
    assert json.loads((tmp_path / "out" / "results.json").read_text())["good"] == {"found": 1}
    assert (tmp_path / "out" / "good.log").exists()


def test_results_of_an_earlier_run_do_not_come_back(gpu, fake_steps, options, tmp_path):
    (tmp_path / "tests.json").write_text('{"passed": 5}')
    (tmp_path / "good.end.json").write_text('{"status": "passed", "problems": []}')
    fake_steps(good=("raise SystemExit('broken')", 30), tests=(WRITE, 30))
    assert not gpu.main.run_all(["good"], options, tmp_path / "results.json", 60)
    found = json.loads((tmp_path / "results.json").read_text())
    assert "tests" not in found and found["steps"]["good"]["status"] == "failed"


def test_only_a_whole_run_on_a_card_gives_figures_to_claim(gpu, tmp_path):
    card = {"facts": {"device": {"name": "NVIDIA H100 80GB HBM3"}}}
    for names, quick, parts, published in (
        (list(gpu.main.STEPS), False, card, True),
        (["build"], False, card, False),
        (list(gpu.main.STEPS), True, card, False),
        (list(gpu.main.STEPS), False, {}, False),
    ):
        options = gpu.process.Options("cuda", quick, tmp_path)
        results = gpu.main.Results(names, options, None)
        results.parts = parts
        path = results.where()
        if published:
            assert path == BENCHMARKS / "results" / "nvidia-h100-80gb-hbm3.json"
        else:
            assert path == tmp_path / "results.json"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [([], "passed"), (["a problem"], "failed"), (None, "cannot run")],
)
def test_a_step_says_how_it_ended(gpu, options, monkeypatch, outcome, status):
    def step(options, save):
        save({"found": 1.23456})
        if outcome is None:
            raise gpu.process.CannotRunError("no card")
        return outcome

    monkeypatch.setitem(gpu.main.STEPS, "facts", gpu.main.Step(step, 1, 0))
    gpu.main.run_step("facts", options)
    end = json.loads((options.folder / "facts.end.json").read_text())
    assert end == {"status": status, "problems": ["no card"] if outcome is None else outcome}
    assert json.loads((options.folder / "facts.json").read_text()) == {"found": 1.235}


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ('echo "cpu"', None),
        ('echo "cuda"', "no kernels for cpu: cuda"),
        ('case "$*" in setup.py*) echo wrong; exit 1;; esac', "modules: wrong"),
    ],
    ids=["built", "not for the device", "failed"],
)
def test_the_build_step_checks_what_it_built(gpu, options, monkeypatch, tmp_path, script, problem):
    monkeypatch.setattr(sys, "executable", str(stand_in(tmp_path, "python", script)))
    stand_in(tmp_path, "c++", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = {}
    problems = gpu.steps.build(options, found.update)
    assert problems == ([] if problem is None else [problem])
    assert found["modules"]["seconds"] >= 0 and found["ceilings"]["status"] == 0


def test_without_a_card_the_facts_say_so(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    problems = gpu.steps.facts(gpu.process.Options("cuda", False, tmp_path), lambda found: None)
    assert problems == [f"torch {torch.__version__} sees no card"]


def test_steps_fit_into_ten_minutes(gpu):
    longest = {}
    for step in gpu.main.STEPS.values():
        longest[step.group] = max(longest.get(step.group, 0), step.limit)
    assert sum(longest.values()) <= gpu.main.TOTAL < 600 - 2 * gpu.main.GRACE


def test_the_tests_step_needs_no_plugin_and_says_which_tests_ran(
    gpu, options, monkeypatch, tmp_path
):
    """pytest without its plugins, on a folder of two files."""
    root = tmp_path / "root"
    (root / "tests").mkdir(parents=True)
    shutil.copy(BENCHMARKS.parent / "pyproject.toml", root)
    (root / "tests" / "test_reference.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('device', ['cpu', 'cuda'])\n"
        "def test_it(device):\n    assert device == 'cpu'\n"
        "@pytest.mark.parametrize('device', ['cpu'])\n"
        "def test_bad(device):\n    assert device == 'cuda'\n"
    )
    monkeypatch.setattr(gpu.steps, "ROOT", root)
    monkeypatch.setattr(gpu.process, "ROOT", root)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    found = {}
    problems = gpu.steps.tests(options, found.update)
    assert found["passed"] == 1 and list(found["failed"]) == ["tests.test_reference::test_bad[cpu]"]
    assert len(problems) == 1 and "assert 'cpu' == 'cuda'" in problems[0]


def test_a_run_without_tests_on_the_device_does_not_pass(gpu, options, monkeypatch, tmp_path):
    (tmp_path / "tests").mkdir()
    monkeypatch.setattr(gpu.steps, "ROOT", tmp_path)
    assert gpu.steps.tests(options, lambda found: None) == ["no test ran on cpu"]


def test_an_unknown_step_exits_with_2_and_lists_the_steps(gpu, capsys):
    with pytest.raises(SystemExit) as exit_:
        gpu.main.main(["--steps", "facts,nothing"])
    assert exit_.value.code == 2
    assert "nothing: there are facts, build, tests" in capsys.readouterr().err
