"""Promises of semideep_ext.cli: two commands, four exit codes, no traceback."""

import inspect
import subprocess
import sys

import pytest

import semideep_ext
from semideep_ext import cli, demo

DEMO_PARAMETERS = inspect.signature(demo.run_demo).parameters.values()


@pytest.fixture
def calls(monkeypatch):
    """Record the calls to the demo instead of running it."""
    calls = []
    monkeypatch.setattr(demo, "run_demo", lambda *arguments: calls.append(arguments))
    return calls


def test_demo_passes_its_options_on(calls):
    cli.main(["demo", "--seeds", "3", "--epochs", "7", "--output-dir", "here"])
    assert calls == [(3, 7, "here")]


def test_the_defaults_are_those_of_run_demo(calls):
    assert cli.main(["demo"]) == 0
    assert calls == [tuple(p.default for p in DEMO_PARAMETERS)]


def test_info_shows_the_configuration(monkeypatch):
    shown = []
    monkeypatch.setattr(semideep_ext, "show_config", lambda: shown.append(True), raising=False)
    assert (cli.main(["info"]), shown) == (0, [True])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["demo", "--seeds", "1"],
        ["demo", "--seeds", "many"],
        ["demo", "--epochs", "0"],
        ["demo", "--unknown"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2


def test_wrong_values_say_what_is_allowed(capsys):
    with pytest.raises(SystemExit):
        cli.main(["demo", "--seeds", "1"])
    assert "'1': give an integer of at least 2" in capsys.readouterr().err


def test_interrupting_exits_with_130_and_one_line(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_demo", interrupted)
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["demo", "--output-dir", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_python_m_runs_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "semideep_ext", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "demo" in done.stdout
