"""Promises of the competition and of `semideep bench`: what is missing or wrong is said."""

import json
import sys
from dataclasses import replace

import pytest
import torch

import semideep_ext.benchmark.bench as library
from semideep_ext import cli
from semideep_ext.benchmark import cells, contestants
from semideep_ext.benchmark.cells import LAMBDA, Cell
from semideep_ext.benchmark.contestants import CONTESTANTS, OURS, Contestant
from semideep_ext.op.testing import reference_distances, reference_weights

TINY = ["--n", "9", "--m", "8", "--d", "3"]


@pytest.fixture
def quick(monkeypatch):
    """Contestants that need no compiler."""
    for name in ("torch.compile", "torch in blocks", "pykeops"):
        monkeypatch.delitem(CONTESTANTS, name)


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
    assert rows == [16, 256]


def test_what_a_call_does_once_is_not_multiplied_by_the_rows(monkeypatch):
    monkeypatch.setattr(library, "_seconds", lambda call, x, y, n=1: 1 + 0.001 * len(x))
    cell = Cell("euclidean", 3000, 18, 3)
    peer = Contestant("torch", lambda *_: {"way": right}, trial_pairs=18)
    outcomes = library.compete(cell, {"peer": peer}, turns=0, longest_call=5)
    assert outcomes["peer"]["error"] == 0  # it ran: 4 s, where 16 rows alone make it 190 s


class FakeTime:
    """Stands in for the module: time passes in `sleep` only."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def compiler(time, cold, warm):
    """A call that takes long the first time that it meets a number of rows."""
    seen = set()

    def call(x, y):
        time.sleep(warm if len(x) in seen else cold)
        seen.add(len(x))
        return right(x, y)

    return Contestant("torch", lambda *_: {"compiled": call}, trial_pairs=18)


@pytest.mark.parametrize(
    ("cold", "warm", "turns"), [(2.3, 0.001, library.TURNS), (2.3, 0.5, 4), (7.0, 3.0, 1)]
)
def test_a_call_that_compiled_is_no_measurement(cold, warm, turns, monkeypatch):
    time = FakeTime()
    monkeypatch.setattr(library, "time", time)
    outcome = library.compete(CELL, {"peer": compiler(time, cold, warm)})["peer"]
    assert outcome["seconds"] == pytest.approx(warm)
    assert outcome["turns"] == turns


def test_a_call_that_compiled_predicts_nothing(monkeypatch):
    time = FakeTime()
    monkeypatch.setattr(library, "time", time)
    cell = Cell("euclidean", 3000, 18, 3)  # 0.2 s for 16 rows, and for all of them
    outcome = library.compete(cell, {"peer": compiler(time, 30.0, 0.2)})["peer"]
    assert outcome["seconds"] == pytest.approx(0.2)


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


# 500 rows of x and 300 of y with 1000 values each: 4 bytes, and 8 as they are drawn.
LARGE = Cell("euclidean", 500, 300, 1000)
EXACT = 16 * 300 * (3 * 1000 + 3 * 8)  # bytes of the exact weights


@pytest.mark.parametrize(
    ("cell", "needed"),
    [(LARGE, 800_000 * 12 + EXACT), (replace(LARGE, dtype="float64"), 800_000 * 16 + EXACT)],
)
def test_rows_beyond_the_free_memory_are_refused_before_they_are_drawn(cell, needed, monkeypatch):
    monkeypatch.setattr(library, "draw", lambda cell: pytest.fail("drawn"))
    monkeypatch.setattr(cells, "free_memory", lambda: needed - 1)
    with pytest.raises(ValueError, match=r"500 and 300 rows of 1000 features need 0\.0\d+ GiB of"):
        library.compete(cell)


@pytest.mark.parametrize("free", [800_000 * 12 + EXACT, None], ids=["as much as needed", "unknown"])
def test_rows_that_fit_are_not_refused(free, monkeypatch):
    monkeypatch.setattr(cells, "free_memory", lambda: free)
    cells.check_memory(LARGE)


def test_rows_beyond_the_memory_of_a_card_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (800_000 * 4 - 1, 2**40))
    with pytest.raises(ValueError, match=r"GiB of the card, and .* GiB are free: give fewer rows"):
        cells.check_memory(replace(LARGE, device="cuda"))


def test_the_command_says_that_rows_do_not_fit(monkeypatch, capsys):
    monkeypatch.setattr(cells, "free_memory", lambda: 100)
    assert cli.main(["bench", *TINY]) != 0
    assert "9 and 8 rows of 3 features need" in capsys.readouterr().err


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
    for module in ("benchmark.bench", "benchmark.cells", "benchmark.contestants", "op.testing"):
        monkeypatch.delitem(sys.modules, f"semideep_ext.{module}")
    monkeypatch.setitem(sys.modules, "scipy.spatial.distance", None)
    assert cli.main(["bench", *TINY]) == 1
    assert "pip install 'semideep_ext[bench]'" in capsys.readouterr().err
