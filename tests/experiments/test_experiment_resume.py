"""Promises of sweeps: the same bits in several processes, nothing done twice, nothing lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from experiment_runs import KINDS, LABELS, X, Y, model, recorded, run, runner, without_time
from torch import nn

import semideep_ext
from semideep_ext import ExperimentRunner
from semideep_ext.experiments import runs


def test_two_processes_give_the_bits_of_one(done, tmp_path):
    parallel = runner(tmp_path, n_jobs=2)
    pd.testing.assert_frame_equal(
        without_time(run(parallel)), without_time(done[1]), check_exact=True
    )
    assert recorded(tmp_path / "data_runs.jsonl") == recorded(done[2] / "data_runs.jsonl")


def test_threads_and_random_numbers_of_the_caller_stay(tmp_path):
    torch.manual_seed(7)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(7)
    run(runner(tmp_path, n_seeds=1))
    assert torch.equal(torch.rand(3), expected) and torch.get_num_threads() == threads


def test_a_finished_sweep_runs_nothing_again(done, tmp_path, runs_counted):
    run(runner(tmp_path))
    first = list(runs_counted)
    again = run(runner(tmp_path))
    assert len(first) == 9 and runs_counted == first
    pd.testing.assert_frame_equal(without_time(again), without_time(done[1]), check_exact=True)


def test_a_torn_last_line_is_run_again_and_nothing_else(done, tmp_path, runs_counted):
    run(runner(tmp_path))
    file = tmp_path / "data_runs.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    runs_counted.clear()
    again = run(runner(tmp_path))
    assert runs_counted == [("idw", 44)]
    pd.testing.assert_frame_equal(without_time(again), without_time(done[1]), check_exact=True)
    assert len(recorded(file)) == 9
    run(runner(tmp_path))
    assert runs_counted == [("idw", 44)]


def test_more_seeds_run_the_new_ones_only(tmp_path, runs_counted):
    run(runner(tmp_path, n_seeds=1))
    runs_counted.clear()
    run(runner(tmp_path, n_seeds=2))
    assert runs_counted == [(kind, 43) for kind in KINDS]


@pytest.mark.parametrize("change", ["data", "labels", "model", "settings", "resume=False"])
def test_what_was_another_computation_is_run_again(change, tmp_path, runs_counted):
    run(runner(tmp_path, n_seeds=1))
    runs_counted.clear()
    r = runner(tmp_path, n_seeds=1, resume=change != "resume=False")
    if change == "model":
        r.model_factory = lambda: nn.Sequential(model(), nn.Softplus())
    features, labels = X.copy(), Y.copy()
    if change == "data":
        features[0, 0] += 1e-9
    if change == "labels":
        labels[0] = "benign" if labels[0] == "malignant" else "malignant"
    r.run_dataset_experiment(
        features,
        labels,
        "data",
        epochs=3 if change == "settings" else 2,
        tune_hyperparams=False,
        verbose=False,
    )
    assert runs_counted == [(kind, 42) for kind in KINDS]


def test_results_of_raw_weights_are_not_taken_for_those_of_mean_one(tmp_path, runs_counted):
    run(runner(tmp_path, n_seeds=1))
    file = tmp_path / "data_runs.jsonl"
    old = [json.loads(line) for line in file.read_text().splitlines()]
    for line in old:  # as they were written before weights had mean 1
        assert line["spec"].pop("weights_mean") == 1
    file.write_text("".join(json.dumps(line) + "\n" for line in old))
    runs_counted.clear()
    run(runner(tmp_path, n_seeds=1))
    assert runs_counted == [(kind, 42) for kind in KINDS]


def test_a_failed_run_keeps_the_finished_ones(tmp_path, monkeypatch, runs_counted):
    fit = runs.fit_and_score

    def fails_at_the_fifth(*arguments, **options):
        if len(runs_counted) == 4:
            raise RuntimeError("out of memory")
        return fit(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(runs, "fit_and_score", fails_at_the_fifth)
        with pytest.raises(RuntimeError, match="out of memory"):
            run(runner(tmp_path))
    runs_counted.clear()
    run(runner(tmp_path))
    assert len(runs_counted) == 5


def test_a_line_that_is_no_run_is_named(tmp_path):
    (tmp_path / "data_runs.jsonl").write_text("not a run\n")
    with pytest.raises(ValueError, match=r"data_runs\.jsonl: line 1 is not a run"):
        run(runner(tmp_path))


# A program of its own: the model is a function of __main__, as in a script or notebook.
SWEEP = """
import sys, time
from torch import nn
from sklearn.datasets import make_classification
from semideep_ext import ExperimentRunner

def slow():
    time.sleep(0.3)  # so that the signal finds runs unfinished
    return nn.Linear(4, 2)

X, y = make_classification(60, 4, n_informative=3, n_redundant=0, random_state=0)
runner = ExperimentRunner(slow, device="cpu", output_dir=sys.argv[1], n_seeds=8, n_jobs=2)
runner.run_dataset_experiment(X, y, "data", epochs=2, tune_hyperparams=False)
"""


def heed_interrupts():
    """A shell's background jobs, and so these tests among them, start with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_killed_leaves_its_runs_and_no_process(how, tmp_path, runs_counted):
    file = tmp_path / "data_runs.jsonl"
    sweep = subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
        env={**os.environ, "PYTHONPATH": str(Path(semideep_ext.__file__).parents[1])},
    )
    assert wait_until(lambda: file.exists() and file.read_bytes().count(b"\n") >= 3)
    assert len(session(sweep.pid)) >= 3  # there are workers to be left behind
    sweep.send_signal(how)
    errors = sweep.communicate(timeout=90)[1]
    assert sweep.returncode != 0 and (how == signal.SIGKILL or "KeyboardInterrupt" in errors)
    assert "run/s" in errors  # the progress bar
    assert wait_until(lambda: not session(sweep.pid)), "a process is left"
    left = file.read_bytes()
    finished = left.count(b"\n")
    assert 3 <= finished < 24

    r = ExperimentRunner(lambda: nn.Linear(4, 2), device="cpu", output_dir=tmp_path, n_seeds=8)
    table = r.run_dataset_experiment(
        X, LABELS, "data", epochs=2, tune_hyperparams=False, verbose=False
    )
    assert len(table) == 24 and len(runs_counted) == 24 - finished
    assert file.read_bytes().startswith(left[: left.rfind(b"\n") + 1])


def session(leader):
    """Processes of the session, zombies left out."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session_id = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it ended just now
            continue
        if int(session_id) == leader and state != "Z":
            found.append(stat.parent.name)
    return found


def wait_until(condition, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
