"""Promises of `make gpu`: nothing is lost, whatever dies or hangs, and ten minutes are enough."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
from stand_ins import BENCHMARKS, RATES, stand_in

from semideep_ext.benchmark.cells import Cell


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
