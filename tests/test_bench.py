"""Promises of the benchmark: everyone computes the same, what is missing is said, files agree."""

import functools
import json
import pathlib
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import semideep_ext.bench as library
from semideep_ext import cli, contestants
from semideep_ext.cells import LAMBDA, Cell, draw
from semideep_ext.contestants import CONTESTANTS, OURS, Contestant
from semideep_ext.metrics import METRICS
from semideep_ext.testing import reference_distances, reference_weights

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"
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
TINY = ["--n", "9", "--m", "8", "--d", "3"]


@pytest.fixture
def quick(monkeypatch):
    """Contestants that need no compiler."""
    for name in ("torch.compile", "torch in blocks", "pykeops"):
        monkeypatch.delitem(CONTESTANTS, name)


@pytest.fixture(scope="module")
def traced_only():
    """torch.compile without C++: what it traced runs in torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
        contestants._compiled.cache_clear()
        yield
    contestants._compiled.cache_clear()
    torch._dynamo.reset()


# --- contestants ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of other libraries
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in CONTESTANTS if name != "pykeops"])
def test_every_way_of_every_contestant_gives_the_weights(name, dtype, traced_only, monkeypatch):
    monkeypatch.setattr(contestants, "BLOCKS", (1, 2**20))  # two blocks, and one
    for cell in CELLS:
        for backward in {False, METRICS[cell.metric].differentiable}:
            cell = Cell(cell.metric, cell.n, cell.m, cell.d, dtype, backward, cell.bits)
            x, y = draw(cell)
            error = library._error_against_reference(cell, x, y)
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
    call = contestants._with_backward(contestants._torch_call(torch.cdist), cell)
    for whole, blocks in zip(call(x, y), contestants._in_blocks(call, 4)(x, y), strict=True):
        torch.testing.assert_close(whole, blocks)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_formulas_for_keops_are_the_metrics(cell):
    x, y = (rows.double() for rows in draw(cell))
    exact = torch.from_numpy(reference_distances(x, y, cell.metric).astype(np.float64))
    if cell.metric == "cosine":
        x, y = torch.nn.functional.normalize(x), torch.nn.functional.normalize(y)
    formula = contestants._LAZY[contestants._name_of_formula(cell)]
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


# --- the competition ------------------------------------------------------------------------------

CELL = Cell("euclidean", 20, 18, 3, "float64")


def contestant(call, package="torch"):
    return Contestant(package, lambda cell, threads: {"a way": call})


def right(x, y):
    w = reference_weights(reference_distances(x, y, "euclidean"), LAMBDA)
    return (torch.from_numpy(w),)


def failing(error, package="torch"):
    def ways(cell, threads):
        raise error

    return Contestant(package, ways)


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (failing(ModuleNotFoundError("No module named 'nowhere'"), "nowhere"), "not installed"),
        (failing(ModuleNotFoundError("No module named 'part'")), "ModuleNotFoundError: No module"),
        (failing(contestants.UnsupportedError("has no gradients")), "has no gradients"),
        (failing(RuntimeError("first line\nsecond")), "RuntimeError: first line"),
        (failing(RuntimeError("DefaultCPUAllocator: can't allocate memory")), "out of memory"),
        (contestant(lambda x, y: bytearray(2**60)), "out of memory"),
    ],
    ids=[
        "missing",
        "a part missing",
        "unsupported",
        "fails",
        "memory of torch",
        "memory of Python",
    ],
)
def test_who_cannot_run_is_listed_with_the_reason(peer, reason):
    outcomes = library.compete(CELL, {OURS: CONTESTANTS[OURS], "peer": peer}, turns=1)
    assert outcomes["peer"]["skipped"].startswith(reason)
    assert "second" not in outcomes["peer"]["skipped"]
    assert f"peer          {reason}" in library.table(outcomes)


def test_our_own_failure_is_not_listed_but_raised():
    with pytest.raises(RuntimeError):
        library.compete(CELL, {OURS: failing(RuntimeError("broken"))})


def test_the_error_column_shows_a_wrong_weight():
    def wrong(x, y):
        (w,) = right(x, y)
        w[-1] *= 1.25
        return (w,)

    outcomes = library.compete(CELL, {"right": contestant(right), "wrong": contestant(wrong)})
    assert outcomes["right"]["error"] == 0
    assert outcomes["wrong"]["error"] == pytest.approx(0.25)


def test_the_error_column_shows_a_wrong_gradient():
    cell = Cell("euclidean", 20, 18, 3, "float64", backward=True)

    def wrong(x, y):
        w, of_x, of_y = CONTESTANTS[OURS].ways(cell, 1)["distance_weights"](x, y)
        return w, of_x, 1.5 * of_y

    outcome = library.compete(cell, {"wrong": contestant(wrong)})["wrong"]
    assert outcome["error"] == pytest.approx(0.5, rel=1e-6)


def test_who_takes_too_long_is_skipped_after_a_trial_on_few_rows(monkeypatch):
    monkeypatch.setattr(library, "_seconds", lambda call, x, y: 0.01 * len(x))
    rows = []
    slow = Contestant("torch", lambda *_: {"way": lambda x, y: rows.append(len(x))}, trial_pairs=18)
    outcome = library.compete(Cell("euclidean", 3000, 18, 3), {"slow": slow})["slow"]
    assert outcome == {"skipped": "a call would take 30 s; at most 20"}
    assert rows == [16]


def test_a_way_that_fails_leaves_the_others():
    def broken(x, y):
        raise RuntimeError("no compiler")

    peer = Contestant("torch", lambda *_: {"broken": broken, "right": right})
    assert library.compete(CELL, {"peer": peer})["peer"]["way"] == "right"


def test_contestants_take_turns_and_the_fastest_way_counts(monkeypatch):
    calls = []

    def record(name, seconds):
        def call(x, y):
            calls.append((name, seconds))
            return right(x, y)

        return call

    def ways(name):
        return lambda *_: {way: record(name, way) for way in (0.3, 0.2, 0.4)}

    def clock(call, x, y, repetitions=1):
        call(x, y)
        return calls[-1][1]

    monkeypatch.setattr(library, "_seconds", clock)
    outcomes = library.compete(CELL, {name: Contestant("torch", ways(name)) for name in "ab"}, 3)
    assert calls[-6:] == [("a", 0.2), ("b", 0.2)] * 3
    assert [(o["way"], o["seconds"], o["turns"]) for o in outcomes.values()] == [(0.2, 0.2, 3)] * 2


def test_memory_is_what_a_call_needs_beyond_what_was_there():
    ballast = torch.ones(2**24)  # 64 MiB that are there before

    def hungry(x, y):
        torch.ones(2**23).sum()  # 32 MiB, given back
        return right(x, y)

    outcomes = library.compete(
        CELL, {"hungry": contestant(hungry), OURS: CONTESTANTS[OURS]}, turns=1
    )
    if outcomes[OURS]["peak_mib"] is None:
        pytest.skip("the system does not tell a process its peak")
    assert 30 < outcomes["hungry"]["peak_mib"] < 48
    assert outcomes[OURS]["peak_mib"] < 16
    assert len(ballast)


def test_calls_beside_are_timed_and_threads_are_those_of_the_cell():
    threads = []

    def beside(x, y):
        threads.append(torch.get_num_threads())

    before = torch.get_num_threads()
    cell = Cell("euclidean", 20, 18, 3, threads=1)
    outcomes = library.compete(cell, {}, turns=2, beside={"beside": beside})
    assert outcomes["beside"]["turns"] == 2 and outcomes["beside"]["seconds"] > 0
    assert set(threads) == {1} and torch.get_num_threads() == before


# --- ceilings, results, README, plots -------------------------------------------------------------


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


# --- scaling --------------------------------------------------------------------------------------


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


# --- the command line -----------------------------------------------------------------------------


def test_the_command_prints_a_table(quick, capsys):
    assert cli.main(["bench", *TINY, "--metric", "cosine"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["contestant", "ms", "/", "ours", "peak", "MiB", "error", "way"]
    assert {line.split()[0] for line in lines} == CONTESTANTS.keys()
    (ours,) = (line.split() for line in lines if line.startswith(OURS))
    assert ours[2] == "1.00"


def test_the_command_prints_json(quick, capsys):
    options = ["--metric", "hamming", "--bits", "--dtype", "float64", "--threads", "1", "--json"]
    assert cli.main(["bench", *TINY, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cell"] == {
        "metric": "hamming",
        "n": 9,
        "m": 8,
        "d": 3,
        "dtype": "float64",
        "backward": False,
        "bits": True,
        "threads": 1,
        "device": "cpu",
    }
    assert found["contestants"].keys() == found["versions"].keys() == CONTESTANTS.keys()
    assert found["contestants"][OURS]["error"] < 1e-12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--metric", "hamming", "--backward"],
            "has no gradient with respect to rows; leave it out",
        ),
        (["--metric", "manhattan"], "'manhattan' is not one of euclidean"),
        (["--n", "0"], "'0': give an integer of at least 1"),
        (["--threads", "two"], "'two': give an integer of at least 1"),
        (["--dtype", "float16"], "'float16' is not one of float32, float64"),
        (["--bits"], "--bits: it is for --metric hamming, not euclidean"),
    ],
    ids=str,
)
def test_wrong_arguments_exit_with_2_and_say_what_is_allowed(arguments, said, capsys):
    assert cli.main(["bench", *TINY, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_without_scipy_one_line_says_what_to_install(monkeypatch, capsys):
    for module in ("bench", "cells", "contestants", "testing"):
        monkeypatch.delitem(sys.modules, f"semideep_ext.{module}")
    monkeypatch.setitem(sys.modules, "scipy.spatial.distance", None)
    assert cli.main(["bench", *TINY]) == 1
    assert "pip install 'semideep_ext[bench]'" in capsys.readouterr().err
