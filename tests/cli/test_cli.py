"""Promises of semideep_ext.cli: results on stdout, the rest on stderr, four exit codes."""

import inspect
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from cli_runner import FEW, misused, ran, refused, run, subprocess_of

from semideep_ext import cli
from semideep_ext.benchmark import bench
from semideep_ext.benchmark.contestants import UnsupportedError
from semideep_ext.experiments import demo

COMMANDS = ("weights", "select", "train", "experiment", "bench", "demo", "info")


DEMO_PARAMETERS = inspect.signature(demo.run_demo).parameters.values()


@pytest.fixture
def calls(monkeypatch):
    """Record the calls to the demo instead of running it."""
    calls = []

    def record(*arguments):
        calls.append(arguments)
        print("the table")
        return [{"method": "baseline", "mean": float("nan")}]

    monkeypatch.setattr(demo, "run_demo", record)
    return calls


def test_demo_passes_its_options_on(calls):
    options = ["--seeds", "3", "--epochs", "7", "--output-dir", "here"]
    assert "the table" in ran("demo", *options).stdout
    assert calls == [(3, 7, "here")]


def test_the_defaults_are_those_of_run_demo(calls):
    assert cli.main(["demo"]) == 0
    assert calls == [tuple(p.default for p in DEMO_PARAMETERS)]


def test_json_replaces_what_the_demo_prints(calls):
    shown = ran("demo", "--json")
    assert json.loads(shown.stdout)["table"] == [{"method": "baseline", "mean": None}]
    assert shown.stderr == "the table\n"


def test_info_shows_the_configuration(monkeypatch):
    from semideep_ext.op.config import config

    assert ran("info").stdout.startswith("semideep_ext")
    assert json.loads(ran("info", "--json").stdout) == config()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command):
    shown = ran(command, "--help").stdout
    assert f"\n    semideep {command} " in shown and "--json" in shown


HEAVY = {"torch", "numpy", "sklearn", "pandas", "pyarrow", "matplotlib"}


@pytest.mark.parametrize("typed", ["--help", *(f"{command} --help" for command in COMMANDS)])
def test_help_is_shown_before_anything_heavy_is_imported(run_python, typed):
    called = f"from semideep_ext import cli; cli.main({typed.split()})"
    done = run_python(f"import sys; {called}; print(*sys.modules)")
    assert "Usage: semideep" in done.stdout
    assert not HEAVY & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("typed", ["semideep tr", "semideep select a.csv b.csv --me"])
def test_a_shell_completes_before_anything_heavy_is_imported(run_python, typed):
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules))\n"
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = run_python(
        f"{code}from semideep_ext import cli; cli.main([])",
        _SEMIDEEP_COMPLETE="complete_bash",
        **asked,
    )
    first, *_, modules = done.stdout.splitlines()
    assert first.startswith(typed.split()[-1]), done.stderr
    assert not HEAVY & set(modules.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["unknown"], "No such command 'unknown'"),
        (["demo", "--seeds", "1"], "'1': give an integer of at least 2"),
        (["demo", "--seeds", "many"], "'many': give an integer"),
        (["demo", "--epochs", "0"], "'0': give an integer of at least 1"),
        (["demo", "--unknown"], "No such option"),
        (["weights", "a.csv"], "Missing argument 'TEST'"),
        (["weights", "a.csv", "b.csv", "--metric", "far"], "'far' is not one of euclidean, sq"),
        (
            ["weights", "a.csv", "b.csv", "--lambda", "0"],
            "'0': give a finite number > 0, or median",
        ),
        (["weights", "a.csv", "b.csv", "--lambda", "big"], "'big': give a finite number > 0"),
        (["weights", "a.csv", "b.csv", "-o", "w.xls"], "'w.xls': allowed are .npy, .npz"),
        (["weights", "a.csv", "b.csv", "-o", "no/w.npy"], "the folder no does not exist"),
        (["weights", "a.csv", "b.csv", "-o", "-", "--json"], "cannot hold both JSON and CSV"),
        (["weights", "a.csv", "b.csv", "-o", "folder.npy"], "'folder.npy' is a folder"),
        (["select", "a.csv", "b.csv"], "Missing option '--label'"),
        (["select", "a.csv", "b.csv", "--label", "y", "--scoring", "far"], "'far' is not one of"),
        (["train", "a.csv", "b.csv", "--label", "y", "--learning-rate", "0"], "'0': give a finite"),
        (["train", "a.csv", "b.csv", "--label", "y", "--device", "tpu"], "'tpu': give cpu, cuda"),
        (["train", "a.csv", "b.csv", "--label", "y", "--device", "cuda:x"], "'cuda:x': give cpu"),
        (["experiment", "--dataset", "iris", "--jobs", "0"], "'0': give an integer of at least 1"),
        (["experiment", "--dataset", "iris", "--learning-rate", "nan"], "'nan': give a finite"),
        (["select", "a.csv", "b.csv", "--label", "y", "--metrics", "cosine,far"], "'far' is not"),
        (["train", "a.csv", "b.csv", "--label", "y", "--hidden", "a"], "'a': give widths such as"),
        (["train", "a.csv", "b.csv", "--label", "y", "--resume"], "needs --model mlp and"),
        (
            ["train", "a.csv", "b.csv", "--label", "y", "--checkpoint", "m.joblib"],
            "for --model mlp the suffix is .safetensors",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_exits_with_2_and_says_what_is_allowed(arguments, said):
    Path("folder.npy").mkdir()
    assert said in misused(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["weights", "-o"],
        ["select", "--label", "y", "-o"],
        ["train", "--label", "y", "--predictions"],
    ],
    ids=" ".join,
)
def test_no_output_replaces_the_rows_that_are_read(small, arguments):
    command, *options = arguments
    before = [Path(name).read_text() for name in small[:2]]
    for name in ("train.csv", "./test.csv"):
        said = misused(command, *small[:2], *options, name)
        assert f"{name!r} holds the rows that are read: give another name" in said
    assert [Path(name).read_text() for name in small[:2]] == before


def test_a_card_that_is_not_there_is_one_line(small, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    said = refused("train", *small, "--device", "cuda:1")
    assert "--device cuda:1: torch sees 1 cards; leave it out, or give cpu" in said


@pytest.mark.filterwarnings("default")
def test_a_warning_of_several_lines_is_shown_as_one(monkeypatch):
    monkeypatch.setattr(demo, "run_demo", lambda *_: warnings.warn("one\n\ntwo", stacklevel=1))
    assert ran("demo").stderr == "warning: one two\n"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("ending", [None, KeyboardInterrupt, ValueError("the end")])
def test_warnings_that_differ_in_numbers_only_are_shown_once_with_a_count(monkeypatch, ending):
    def warn(*_):
        for i in range(58):
            warnings.warn(f"no end after {10 * i} steps, of which {i / 3} count", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
        if ending is not None:
            raise ending

    monkeypatch.setattr(demo, "run_demo", warn)
    lines = run("demo").stderr.splitlines()
    assert lines[:3] == [
        "warning: no end after 0 steps, of which 0.0 count",
        "warning: something else",
        "warning: 57 more like this: no end after 0 steps, of which 0.0 count",
    ]
    assert len(lines) == 3 + (ending is not None)


HUGE = ["bench", "--n", "100000000", "--m", "100000000", "--d", "30"]


def test_a_benchmark_beyond_the_memory_is_refused_before_rows_are_drawn(monkeypatch):
    def draw(cell):
        raise AssertionError("drawn")

    monkeypatch.setattr(bench, "draw", draw)
    said = refused(*HUGE)
    assert "100000000 and 100000000 rows of 30 features need 237 GiB of main memory" in said
    assert said.endswith("GiB are free: give fewer rows or features\n")


def test_a_benchmark_that_takes_long_says_so_and_gives_up_in_one_line(monkeypatch):
    def compete(cell):
        raise UnsupportedError("a call would take 300 s; at most 20")

    monkeypatch.setattr(bench, "compete", compete)
    result = run("bench", "--n", "1000000", "--m", "100000", "--d", "2")
    note, refusal = result.stderr.splitlines()
    assert result.exit_code == 1
    assert (
        note.startswith("note: n=1000000, m=100000, d=2: about ") and "13.9 seconds a call" in note
    )
    assert refusal.endswith("a call would take 300 s; at most 20; give fewer rows")


def test_main_returns_the_exit_code():
    assert [cli.main(["info"]), cli.main(["unknown"])] == [0, 2]


def test_interrupting_exits_with_130_and_one_line(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_demo", interrupted)
    result = run("demo")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    assert "file' is a file: give a folder" in misused("demo", "--output-dir", tmp_path / "file")


def test_what_is_missing_is_named_with_its_extra(small, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'semideep_ext[cli]'" in refused("weights", *small)
    monkeypatch.delitem(sys.modules, "semideep_ext.cli.app")
    monkeypatch.setitem(sys.modules, "typer", None)
    assert cli.main(["info"]) == 1
    said = "the command line needs typer: pip install 'semideep_ext[cli]'\n"
    assert capsys.readouterr().err == said


NEEDS = [
    ("select ROWS --plot p.png", "matplotlib.figure", "--plot p.png needs matplotlib"),
    ("select ROWS -o s.parquet", "pyarrow.parquet", "--output s.parquet needs pyarrow"),
    ("select ROWS --model mlp", "accelerate", "--model mlp needs accelerate"),
    ("select ROWS --progress", "tqdm", "--progress needs tqdm"),
    ("train ROWS --checkpoint m.safetensors", "safetensors.torch", "--model mlp needs safetensors"),
    ("train ROWS --predictions p.parquet", "pyarrow.parquet", "--predictions p.parquet needs"),
    ("weights ROWS -o w.parquet", "pyarrow.parquet", "--output w.parquet needs pyarrow"),
    ("experiment --dataset ROWS", "pandas", "this command needs pandas"),
    ("experiment --dataset ROWS --report", "jinja2", "--report needs jinja2"),
    ("experiment --dataset ROWS --report", "matplotlib.figure", "--report needs matplotlib"),
    ("experiment --dataset ROWS --jobs 2", "joblib", "this command needs joblib"),
    ("demo", "matplotlib.figure", "this command needs matplotlib"),
    ("demo", "scipy.stats", "this command needs scipy"),
]


@pytest.mark.parametrize(("typed", "module", "said"), NEEDS)
def test_what_a_command_needs_is_asked_for_before_rows_are_read(monkeypatch, typed, module, said):
    monkeypatch.setitem(sys.modules, module, None)
    rows = "absent.csv --label y" if "--dataset" in typed else "absent.csv absent.csv --label y"
    shown = refused(*typed.replace("ROWS", rows).split())
    assert said in shown and "pip install 'semideep_ext[" in shown


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_what_was_found_is_printed_even_if_drawing_fails(cancer, monkeypatch, form):
    def fail(table):
        raise ValueError("no ink")

    monkeypatch.setattr("semideep_ext.plots.plot_selection", fail)
    options = ["--metrics", "euclidean", "--lambdas", "median", "--standardize", "--plot", "p.png"]
    result = run("select", *cancer, *options, *form)
    assert result.exit_code == 1 and result.stderr == "semideep select: no ink\n"
    assert "euclidean" in result.stdout and "unweighted" in result.stdout


def test_results_of_an_experiment_are_printed_even_if_its_report_fails(monkeypatch):
    def fail(runner):
        raise ValueError("no ink")

    monkeypatch.setattr(
        "semideep_ext.experiments.experiment.ExperimentRunner.generate_report", fail
    )
    options = ["--dataset", "iris", "--seeds", "1", "--epochs", "1", "--report"]
    result = run("experiment", *options)
    assert result.exit_code == 1 and result.stderr == "semideep experiment: no ink\n"
    assert result.stdout.count("iris") == 3


def test_progress_goes_to_stderr_and_stdout_holds_nothing_but_json(cancer):
    process = subprocess_of("select", *cancer, *FEW, "--progress", "--json")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert json.loads(out)["table"] and "fits: 100%" in err


def test_a_process_exits_with_1_for_bad_data(small):
    Path("test.csv").write_text("a,b\n1,x\n")
    process = subprocess_of("weights", *small)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (1, "") and "test.csv, line 2, column 'b'" in err


def test_ctrl_c_ends_a_training_without_a_traceback(small):
    options = ["--epochs", "1000000", "--checkpoint", "run.safetensors"]
    process = subprocess_of("train", *small, *options)
    while not Path("run.safetensors").exists() and process.poll() is None:
        time.sleep(0.05)  # it is training once the first checkpoint is there
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted" and "Traceback" not in err
    assert sorted(os.listdir()) == ["run.safetensors", "test.csv", "train.csv"]


def test_a_reader_that_has_seen_enough_is_no_error(small):
    with subprocess_of("weights", *small, "-o", "-") as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1 and "Traceback" not in err
