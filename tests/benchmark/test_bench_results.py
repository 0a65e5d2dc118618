"""Promises of `make bench`: floors follow from ceilings; file, README and plots agree."""

import functools
import json
import pathlib
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

import semideep_ext.benchmark.bench as library
from semideep_ext.benchmark.cells import Cell
from semideep_ext.benchmark.contestants import CONTESTANTS, OURS
from semideep_ext.op.metrics import METRICS

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    """The modules of benchmarks/, which is no package and not installed."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the sources are not here")
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(BENCHMARKS)
    import bench
    import ceilings
    import report
    import scaling

    return SimpleNamespace(bench=bench, ceilings=ceilings, report=report, scaling=scaling)


RATES = {
    "fma_float32": 232.0,
    "fma_float64": 116.0,
    "sqrt_exp_float32": 6.9,
    "sqrt_exp_float64": 2.0,
    "exp_float32": 9.2,
    "exp_float64": 3.0,
    "popcount": 55.0,
    "compare": 210.0,
    "read": 20.0,
}


@pytest.mark.parametrize(
    ("cell", "milliseconds", "binding"),
    [
        (Cell("euclidean", 20000, 20000, 3), 68, "sqrt_exp_float32"),
        (Cell("euclidean", 20000, 5000, 30), 40, "fma_float32"),
        (Cell("euclidean", 10000, 5000, 128), 62, "fma_float32"),
        (Cell("euclidean", 10000, 5000, 784), 345, "fma_float32"),
        (Cell("cosine", 20000, 5000, 30), 37, "fma_float32"),
        (Cell("cosine", 10000, 5000, 768), 337, "fma_float32"),
        (Cell("hamming", 10000, 5000, 64), 20.7, "compare"),
        (Cell("hamming", 10000, 5000, 1024, bits=True), 20, "popcount"),
        (Cell("jaccard", 10000, 5000, 64), 6.3, "exp_float32"),
        # three products more and one epilogue more
        (Cell("euclidean", 20000, 5000, 30, backward=True), 132, "fma_float32"),
        (Cell("euclidean", 20000, 5000, 30, "float64"), 102, "fma_float64"),
        (Cell("jaccard", 1000000, 1, 6400), 1280, "read"),
    ],
    ids=str,
)
def test_floors_follow_from_ceilings(scripts, cell, milliseconds, binding):
    seconds, found = scripts.ceilings.floor(cell, RATES)
    assert seconds * 1e3 == pytest.approx(milliseconds, rel=0.02)
    assert found == binding


@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler")
def test_the_ceilings_program_measures_what_floors_need(scripts, tmp_path, monkeypatch):
    program = tmp_path / "ceilings"
    source = BENCHMARKS / "ceilings.cpp"
    subprocess.run(["c++", "-std=c++20", "-O1", "-pthread", source, "-o", program], check=True)
    monkeypatch.setattr(scripts.ceilings, "PROGRAM", program)
    rates = scripts.ceilings.measure(threads=2)
    assert rates["threads"] == 2
    assert RATES.keys() < rates.keys() and all(rate > 0 for rate in rates.values())
    done = subprocess.run([program, "none"], capture_output=True, text=True)
    assert done.returncode == 2 and "none" in done.stderr


@pytest.fixture
def results(scripts, monkeypatch, tmp_path):
    """A results file of a run on tiny cells with two contestants."""
    monkeypatch.setattr(scripts.ceilings, "measure", lambda threads: {"threads": 2, **RATES})
    few = {name: CONTESTANTS[name] for name in (OURS, "SciPy", "numkong")}
    compete = functools.partial(library.compete, contestants=few)
    monkeypatch.setattr(scripts.bench, "compete", compete)
    target = scripts.bench.Target
    wanted = {
        Cell("euclidean", 9, 8, 3, threads=1): target(overhead_us=15),
        Cell("cosine", 9, 8, 3): target(ratio=3.8),
        Cell("cosine", 9, 8, 3, backward=True): target(backward=3),
        Cell("hamming", 9, 8, 600, "float64", bits=True): target(),
    }
    path = tmp_path / "results.json"
    scripts.bench.run(wanted, 2, path)
    return path


def test_the_results_file_says_what_was_measured(results):
    found = json.loads(results.read_text())
    facts = {"cpu", "commit", "date", "load_average", "config", "versions", "turns"}
    assert set(found) == facts | {"ceilings", "cells"}
    assert found["versions"].keys() == CONTESTANTS.keys()
    assert len(found["ceilings"]["samples"]) == len(found["cells"]) == 4
    small, forward, both, bits = found["cells"]
    assert small["target"] == {"overhead_us": 15} and "share" not in small["summary"]
    beyond = small["contestants"][OURS]["seconds"] - small["beside"]["torch.cdist alone"]["seconds"]
    digits = 2e-3 * small["contestants"][OURS]["seconds"]  # the file keeps four
    assert small["summary"]["overhead_us"] == pytest.approx(beyond * 1e6, abs=digits * 1e6)
    times = {k: o["seconds"] for k, o in forward["contestants"].items() if "seconds" in o}
    ours = times.pop(OURS)
    assert forward["summary"]["ratio"] == pytest.approx(min(times.values()) / ours, rel=0.01)
    share = forward["summary"]["floor"] / ours
    assert forward["summary"]["share"] == pytest.approx(share, rel=0.01)
    assert both["contestants"]["SciPy"] == {"skipped": "has no gradients"}
    assert "ratio" not in both["summary"]
    ours = both["contestants"][OURS]["seconds"]
    backward = ours / both["beside"]["forward"]["seconds"] - 1
    assert both["summary"]["backward"] == pytest.approx(backward, rel=0.01, abs=0.01)
    assert bits["name"] == "hamming 9 x 8 x 600 bits float64"
    assert bits["summary"]["ceiling"] == "read"  # 600 x 17 float64 for only 72 pairs


def test_readme_and_plot_come_from_the_file(scripts, results, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    scripts.report.publish(results, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n<!-- bench -->\nOn ") and "old" not in text
    assert text.endswith("<!-- /bench -->\nafter\n")
    lines = text.splitlines()
    tables = [line for line in lines if line.startswith("| ") and "N x M x D" not in line]
    assert [line.split(" | ")[0] for line in tables] == [
        "| euclidean 9 x 8 x 3",
        "| cosine 9 x 8 x 3",
        "| cosine 9 x 8 x 3",
        "| hamming 9 x 8 x 600 bits",
    ]
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert "at most +15" in tables[0] and "at least 3.8" in tables[1] and "x forward" in tables[2]
    assert (tmp_path / "docs" / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "scaling.png" not in text
    again = text
    scripts.report.publish(results, tmp_path)
    assert (tmp_path / "README.md").read_text() == again


def test_the_plot_shows_every_cell_with_its_targets(scripts, results):
    found = json.loads(results.read_text())
    ratios, shares = scripts.report.plot(found).axes
    assert [label.get_text() for label in ratios.get_yticklabels()] == [
        cell["name"] for cell in found["cells"]
    ]
    targets = [line for line in ratios.lines if line.get_label() == "target"]
    assert targets[0].get_xydata().tolist() == [[3.8, 1]]
    (targets,) = (line for line in shares.lines if line.get_label() == "target")
    assert targets.get_xydata().tolist() == [[75, 1], [75, 2], [85, 3]]
    assert ratios.get_xlabel() and shares.get_xlabel() and ratios.get_ylabel()


def test_the_readme_of_this_repository_has_its_markers(scripts):
    readme = (BENCHMARKS.parent / "README.md").read_text()
    assert "<!-- bench -->\nnew\n<!-- /bench -->" in scripts.report.fill(readme, "new")
    with pytest.raises(ValueError, match="markers"):
        scripts.report.fill("no markers", "new")


def test_the_cells_are_those_that_were_promised(scripts):
    cells = scripts.bench.cells()
    assert len(cells) == 2 + 10 + 6 + 10 + 6
    assert len({scripts.bench.name(cell) for cell in cells}) == len(cells)
    for cell, target in cells.items():
        assert not cell.backward or METRICS[cell.metric].differentiable
        assert (target.backward == 6) == cell.backward  # 3 for x and 3 for y


@pytest.mark.parametrize("arguments", [["--cells", "nothing"], ["--turns", "0"]], ids=" ".join)
def test_wrong_options_of_the_script_exit_with_2(scripts, monkeypatch, capsys, arguments):
    monkeypatch.setattr(scripts.ceilings, "PROGRAM", BENCHMARKS)
    monkeypatch.setattr(sys, "argv", ["bench.py", *arguments])
    with pytest.raises(SystemExit) as exit_:
        scripts.bench.main()
    assert exit_.value.code == 2 and arguments[1] in capsys.readouterr().err


def test_a_point_of_scaling_runs_in_a_process_of_its_own(scripts):
    found = scripts.scaling.measure_apart("SciPy", 50, cap=60)
    assert found["n"] == 50 and found["seconds"] > 0 and found["error"] < 1e-6


def test_who_is_dropped_stays_out(scripts, monkeypatch, tmp_path):
    asked = []

    def measure_apart(name, n, cap):
        asked.append((name, n))
        if name == "SciPy" and n > 10:
            return {"n": n, "skipped": "out of memory"}
        return {"n": n, "seconds": n * 1e-3, "peak_mib": 0.0, "error": 0.0}

    monkeypatch.setattr(scripts.scaling, "measure_apart", measure_apart)
    results = scripts.scaling.run([10, 20, 40], cap=1)
    assert [n for name, n in asked if name == "SciPy"] == [10, 20]
    assert [n for name, n in asked if name == OURS] == [10, 20, 40]
    times, memory = scripts.report.plot_scaling(results).axes
    assert {len(line.get_xdata()) for line in times.lines} == {1, 3}
    assert all(y > 0 for line in memory.lines for y in line.get_ydata())
    (tmp_path / "docs").mkdir()
    scripts.bench.save(results, tmp_path / "scaling.json")
    scripts.report.publish_scaling(tmp_path / "scaling.json", tmp_path)
    assert (tmp_path / "docs" / "scaling.png").exists()
