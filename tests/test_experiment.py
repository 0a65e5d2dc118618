"""Promises of ExperimentRunner: semideep's interface, honest choices, sweeps that survive."""

import inspect
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification
from torch import nn

import semideep_ext
from semideep_ext import ExperimentRunner
from semideep_ext._experiments import runs
from semideep_ext._experiments.splits import make_split
from semideep_ext.datasets import DATASETS, load_dataset

X, LABELS = make_classification(60, 4, n_informative=3, n_redundant=0, random_state=0)
Y = np.array(["benign", "malignant"])[LABELS]
KINDS = ["none", "distance", "idw"]
SCORES = ["val_loss", "accuracy", "precision", "recall", "f1", "auc"]
# The columns of semideep 0.0.1, in its order.
COLUMNS = ["weight_type", "distance_metric", "lambda", "training_time", "test_size", *SCORES]


def model():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


def runner(folder, **settings):
    return ExperimentRunner(model, device="cpu", output_dir=folder, **{"n_seeds": 3, **settings})


def run(runner, name="data", **arguments):
    options = {"epochs": 2, "tune_hyperparams": False, "verbose": False, **arguments}
    return runner.run_dataset_experiment(X, Y, name, **options)


def without_time(table):
    return table.drop(columns="training_time")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Run one experiment; gives its runner, table and folder."""
    folder = tmp_path_factory.mktemp("results")
    runner_ = runner(folder)
    return runner_, run(runner_), folder


@pytest.fixture
def runs_counted(monkeypatch):
    """Specs of the runs that are executed rather than read from a file."""
    executed = []
    fit = runs.fit_and_score

    def counted(model_factory, split, kind, metric, lambda_, seed, **rest):
        executed.append((kind, seed))
        return fit(model_factory, split, kind, metric, lambda_, seed, **rest)

    monkeypatch.setattr(runs, "fit_and_score", counted)
    return executed


@pytest.fixture
def selection(monkeypatch):
    """Stand in for the selection; gives what it was called with."""
    calls = []

    def select_best_distance_metric(model, X_train, y_train, X_test, **options):
        calls.append({"model": model, "X": X_train, "y": y_train, "X_test": X_test, **options})
        return "cosine", 0.5, 0.9

    fake = types.ModuleType("semideep_ext.selection")
    fake.select_best_distance_metric = select_best_distance_metric
    monkeypatch.setitem(sys.modules, "semideep_ext.selection", fake)
    return calls


# semideep's interface


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        (
            "__init__",
            "model_factory distance_metrics=None lambda_values=None test_sizes=None "
            "random_state=42 device=None output_dir='./results'",
        ),
        (
            "run_single_experiment",
            "X_train y_train X_val y_val X_test y_test weight_type='none' "
            "distance_metric='euclidean' lambda_=0.8 learning_rate=0.001 batch_size=32 epochs=100 "
            "verbose=False",
        ),
        (
            "run_dataset_experiment",
            "X y dataset_name test_size=0.2 val_size=0.1 learning_rate=0.001 batch_size=32 "
            "epochs=100 tune_hyperparams=True verbose=True",
        ),
        (
            "run_test_size_experiment",
            "X y dataset_name val_size=0.1 learning_rate=0.001 batch_size=32 epochs=100 "
            "tune_hyperparams=False verbose=True",
        ),
        ("plot_metric_comparison", "metric='f1' figsize=(12, 8)"),
        ("plot_test_size_impact", "dataset_name metric='f1' figsize=(10, 6)"),
        ("generate_report", ""),
    ],
)
def test_arguments_and_defaults_are_those_of_semideep(method, arguments):
    parameters = list(inspect.signature(getattr(ExperimentRunner, method)).parameters.values())
    positional = [p for p in parameters[1:] if p.kind is not p.KEYWORD_ONLY]
    optional_here = ("y", "dataset_name") if "run_" in method else ()  # a name can stand for both
    found = [
        p.name if p.default is p.empty or p.name in optional_here else f"{p.name}={p.default!r}"
        for p in positional
    ]
    assert " ".join(found) == arguments


def test_the_grids_are_those_of_semideep(tmp_path):
    r = ExperimentRunner(model, output_dir=tmp_path)
    assert r.distance_metrics == ["euclidean", "cosine", "hamming", "jaccard"]
    assert r.lambda_values == [0.5, 0.7, 0.8, 0.9, 1.0] and r.test_sizes == [0.1, 0.5, 0.9]
    assert r.n_seeds == 1  # three rows a dataset, as there


def test_the_table_has_a_row_per_seed_and_weighting(done):
    assert list(zip(done[1]["seed"], done[1]["weight_type"], strict=True)) == [
        (seed, kind) for seed in (42, 43, 44) for kind in KINDS
    ]


def test_the_columns_of_semideep_come_first(done):
    assert list(done[1].columns[:12]) == [*COLUMNS, "dataset"]


def test_unweighted_rows_have_neither_metric_nor_lambda(done):
    rows = done[1][done[1]["weight_type"] == "none"]
    assert set(rows["distance_metric"]) == set(rows["lambda"]) == {"n/a"}


def test_the_csv_file_holds_the_table(done):
    read = pd.read_csv(done[2] / "data_results.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(
        read, done[1].astype({"lambda": str}), check_dtype=False, check_exact=True
    )


def test_results_are_the_rows_and_a_rerun_replaces_them(tmp_path):
    r = runner(tmp_path, n_seeds=1)
    run(r), run(r), run(r, "other")
    assert [(row["dataset"], row["weight_type"]) for row in r.results] == [
        (name, kind) for name in ("data", "other") for kind in KINDS
    ]


def test_a_single_experiment_gives_the_dictionary_of_semideep(tmp_path):
    split = make_split(X, Y, 0.3, 0.1, seed=0)
    parts = (split.X_train, split.y_train, split.X_val, split.y_val, split.X_test, split.y_test)
    one = runner(tmp_path).run_single_experiment(*parts, weight_type="idw", epochs=1)
    assert list(one) == COLUMNS
    assert (one["weight_type"], one["distance_metric"], one["lambda"]) == ("idw", "euclidean", 0.8)
    assert one["test_size"] == pytest.approx(0.3)


def test_an_unknown_weighting_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"weight_type='gaussian'.*'none', 'distance', 'idw'"):
        runner(tmp_path).run_single_experiment(X, Y, None, None, X, Y, weight_type="gaussian")


def test_each_test_size_has_its_files_and_one_table_holds_all(tmp_path):
    r = runner(tmp_path, n_seeds=1, test_sizes=[0.29, 0.5])
    table = r.run_test_size_experiment(X, Y, "data", epochs=1, verbose=False)
    assert list(table["dataset"].unique()) == ["data_test29", "data_test50"]
    names = ["data_test29_results.csv", "data_test50_results.csv", "data_all_test_sizes.csv"]
    assert [len(pd.read_csv(tmp_path / name)) for name in names] == [3, 3, 6]
    figure = r.plot_test_size_impact("data", "accuracy")
    drawn = {float(x) for line in figure.axes[0].lines for x in line.get_xdata()}
    assert any(abs(x - 0.3) < 0.02 for x in drawn) and any(abs(x - 0.5) < 0.02 for x in drawn)
    assert (tmp_path / "data_accuracy_vs_testsize.png").stat().st_size > 0


def test_the_comparison_is_drawn_and_saved(done):
    figure = done[0].plot_metric_comparison("accuracy", figsize=(5, 4))
    assert tuple(figure.get_size_inches()) == (5, 4)
    assert figure.axes[0].get_ylabel() == "accuracy"
    assert (done[2] / "accuracy_comparison.png").stat().st_size > 0


def test_plots_of_a_dataset_leave_out_others_whose_names_start_alike(tmp_path):
    r = runner(tmp_path, n_seeds=1)
    run(r, "wine", test_size=0.3), run(r, "wine_quality", test_size=0.5)
    marks = [line for line in r.plot_test_size_impact("wine").axes[0].lines]
    assert all(abs(x - 0.3) < 0.02 for line in marks for x in line.get_xdata())


def test_nothing_to_plot_is_an_error_and_nothing_to_report_a_sentence(tmp_path, done):
    with pytest.raises(ValueError, match="call run_dataset_experiment first"):
        runner(tmp_path).plot_metric_comparison()
    with pytest.raises(ValueError, match="no experiment of dataset 'unknown'; there are 'data'"):
        done[0].plot_test_size_impact("unknown")
    assert runner(tmp_path).generate_report() == "No results to report. Run experiments first."


def test_matplotlib_is_left_as_it_was(done):
    before = dict(matplotlib.rcParams)
    done[0].plot_metric_comparison()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_of_scikit_learn_is_run_by_its_name(name, tmp_path):
    features, classes = load_dataset(name)

    def linear():
        return nn.Linear(features.shape[1], len(np.unique(classes)))

    r = ExperimentRunner(linear, device="cpu", output_dir=tmp_path)
    table = r.run_dataset_experiment(
        name, test_size=0.8, epochs=1, batch_size=256, tune_hyperparams=False, verbose=False
    )
    assert len(table) == 3 and set(table["dataset"]) == {name}


def test_data_frames_give_the_same_as_arrays(done, tmp_path):
    frame = pd.DataFrame(X, columns=list("abcd"))
    table = runner(tmp_path).run_dataset_experiment(
        frame, pd.Series(Y), "data", epochs=2, tune_hyperparams=False, verbose=False
    )
    pd.testing.assert_frame_equal(without_time(table), without_time(done[1]))


# Faults of semideep that must not return


def test_the_scaler_sees_the_training_rows_only():
    split = make_split(X, Y, test_size=0.3, val_size=0.2, seed=0)
    np.testing.assert_allclose(split.X_train.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(split.X_train.std(0), 1)
    assert np.abs(split.X_test.mean(0)).max() > 1e-3 < np.abs(split.X_val.mean(0)).max()


def test_other_test_rows_leave_the_training_rows_as_they_are():
    before = make_split(X, Y, test_size=0.3, val_size=0.2, seed=0)
    raw = make_split(X, Y, test_size=0.3, val_size=0.2, seed=0, scale=False).X_test
    moved = np.where((X[:, None] == raw).all(2).any(1)[:, None], 1000 * X, X)
    after = make_split(moved, Y, test_size=0.3, val_size=0.2, seed=0)
    np.testing.assert_array_equal(after.X_train, before.X_train)
    assert np.abs(after.X_test).max() > 100 * np.abs(before.X_test).max()


def test_tuning_sees_the_training_rows_and_no_label_of_the_others(tmp_path, selection):
    run(runner(tmp_path, n_seeds=1, cv=4, lambda_values=[0.5, 2.0]), tune_hyperparams=True)
    (call,) = selection
    split = make_split(X, Y, 0.2, 0.1, seed=42)
    for given, expected in (("X", "X_train"), ("y", "y_train"), ("X_test", "X_test")):
        np.testing.assert_array_equal(call.pop(given), getattr(split, expected))
    assert call.pop("model") is model
    assert call.pop("metrics") == ["euclidean", "cosine", "hamming", "jaccard"]
    assert call.pop("lambda_values") == [0.5, 2.0] and call.pop("cv") == 4
    # What is left are settings: no array through which labels could come.
    assert all(isinstance(value, str | int | float | bool) for value in call.values())


def test_what_tuning_chose_is_what_is_trained_with(tmp_path, selection):
    table = run(runner(tmp_path, n_seeds=2), tune_hyperparams=True)
    chosen = table[table["weight_type"] != "none"][["distance_metric", "lambda"]]
    assert chosen.values.tolist() == [["cosine", 0.5]] * 4
    assert len(selection) == 2  # once per split


def test_labels_of_test_rows_decide_the_scores_alone(tmp_path, monkeypatch):
    # With every test label turned round, an accuracy a becomes 1 - a, if nothing else saw them.
    pytest.importorskip("semideep_ext.selection")
    settings = {
        "n_seeds": 1,
        "lambda_values": [0.5, 2.0],
        "distance_metrics": ["euclidean", "cosine"],
        "cv": 2,
    }
    honest = run(runner(tmp_path / "a", **settings), tune_hyperparams=True)
    split = make_split

    def turned(*arguments, **options):
        s = split(*arguments, **options)
        s.y_test[:] = np.where(s.y_test == "benign", "malignant", "benign")
        return s

    monkeypatch.setattr(runs, "make_split", turned)
    other = run(runner(tmp_path / "b", **settings), tune_hyperparams=True)
    same = ["weight_type", "distance_metric", "lambda", "seed"]
    pd.testing.assert_frame_equal(other[same], honest[same])
    np.testing.assert_allclose(other["accuracy"], 1 - honest["accuracy"])


def test_every_method_of_a_split_starts_from_the_same_new_parameters(tmp_path):
    starts = []

    def recorded():
        made = model()
        starts.append(made[0].weight.detach().clone().numpy())
        return made

    r = ExperimentRunner(recorded, device="cpu", output_dir=tmp_path, n_seeds=2)
    starts.clear()
    run(r)
    starts = starts[2:8]  # after the two models of the fingerprint: 2 seeds, 3 methods
    assert all(np.array_equal(starts[0], w) for w in starts[:3])
    assert all(np.array_equal(starts[3], w) for w in starts[3:])
    assert not np.array_equal(starts[0], starts[3])


def test_constant_weights_train_as_unweighted_and_the_report_says_so(tmp_path):
    # All rows are equally far from all others under hamming on continuous columns.
    r = runner(tmp_path, n_seeds=2)
    split = make_split(X, Y, 0.3, 0.0, seed=0)
    parts = (split.X_train, split.y_train, None, None, split.X_test, split.y_test)
    outcome = runs.fit_and_score(
        model, split, "distance", "hamming", 0.8, 0,
        learning_rate=0.001, batch_size=32, epochs=1, device="cpu",
    )  # fmt: skip
    assert any("constant" in note for note in outcome["notes"])
    assert outcome["weights"]["problems"] == ["constant"]
    assert r.run_single_experiment(*parts, epochs=1)["weight_type"] == "none"


# Several processes, and bits


def test_two_processes_give_the_bits_of_one(done, tmp_path):
    parallel = runner(tmp_path, n_jobs=2)
    pd.testing.assert_frame_equal(
        without_time(run(parallel)), without_time(done[1]), check_exact=True
    )
    assert recorded(tmp_path / "data_runs.jsonl") == recorded(done[2] / "data_runs.jsonl")


def recorded(path):
    """Runs of a file without their times, in an order of their own; training curves included."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for entry in lines:
        del entry["result"]["training_time"]
    return sorted(lines, key=lambda entry: json.dumps(entry["spec"], sort_keys=True))


def test_threads_and_random_numbers_of_the_caller_stay(tmp_path):
    torch.manual_seed(7)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(7)
    run(runner(tmp_path, n_seeds=1))
    assert torch.equal(torch.rand(3), expected) and torch.get_num_threads() == threads


# Resume


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


# Manifest


def test_the_manifest_says_what_the_results_depend_on(done):
    manifest = json.loads((done[2] / "data_manifest.json").read_text())
    assert manifest["seeds"] == [42, 43, 44]
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["versions"]["semideep_ext"] == semideep_ext.__version__
    assert manifest["machine"]["cpu"] and manifest["machine"]["cores"] == os.cpu_count()
    assert manifest["settings"]["epochs"] == 2 and manifest["dataset"]["rows"] == 60


def test_the_commit_is_that_of_the_working_directory(tmp_path, monkeypatch):
    from semideep_ext._experiments.manifest import manifest

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert manifest()["commit"] is None
    git("init"), (tmp_path / "file").touch(), git("add", "file"), git("commit", "-m", "first")
    assert manifest()["commit"] == git("rev-parse", "HEAD")
    (tmp_path / "file").write_text("changed")
    assert manifest()["commit"].endswith("+changes")


def test_no_file_names_the_user_or_a_folder(done):
    done[0].generate_report()
    for file in done[2].glob("*.[jmhc]*"):
        text = file.read_text()
        assert str(Path.home()) + "/" not in text and str(Path.cwd()) not in text
        assert str(done[2]) not in text


# Bad input


@pytest.mark.parametrize("package", ["pandas", "tqdm"])
def test_a_missing_package_is_named_with_its_extra(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ImportError, match=rf"experiments need {package}: .*semideep_ext\[experiment\]"
    ):
        run(runner(tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance_metrics": ["manhattan"]}, "'manhattan' is unknown"),
        ({"distance_metrics": []}, "distance_metrics is empty"),
        ({"lambda_values": [0.5, -1.0]}, "greater than 0"),
        ({"test_sizes": [0.5, 1.0]}, "between 0 and 1"),
        ({"n_seeds": 0}, "n_seeds=0: give a whole number >= 1"),
        ({"n_seeds": 1.5}, "n_seeds=1.5: give a whole number"),
        ({"n_jobs": 0}, "n_jobs=0"),
        ({"n_jobs": -2}, "n_jobs=-2"),
        ({"cv": 1}, "cv=1: give a whole number >= 2"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        runner(tmp_path, **settings)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (nn.Linear(4, 2), "model_factory is a Linear: give a function"),
        (lambda: "model", "returned a str: return a torch.nn.Module"),
        (lambda made=nn.Linear(4, 2): made, "the same model twice"),  # noqa: B008
    ],
)
def test_a_factory_that_makes_no_new_models_is_refused(factory, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(ExperimentRunner(factory, device="cpu", output_dir=tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, Y), "dataset_name=None"),
        ((X, Y, "../data"), "without path separators"),
        ((X,), "y is missing"),
        (("wine", Y), "leave out y"),
        (("unknown",), "'unknown' is unknown: choose one of breast_cancer, digits, iris, wine"),
        ((X, Y[:-1], "data"), r"y has shape \(59,\) for 60 rows"),
        ((X, ["lone", *Y[1:]], "data"), "the rarest class, '?lone'?.*has 1 row"),
    ],
)
def test_data_that_cannot_be_split_are_refused(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        runner(tmp_path).run_dataset_experiment(*arguments, tune_hyperparams=False, verbose=False)


@pytest.mark.parametrize("sizes", [{"test_size": 0.0}, {"test_size": 1.5}, {"val_size": 1.0}])
def test_sizes_that_are_no_shares_are_refused(sizes, tmp_path):
    with pytest.raises(ValueError, match="give shares"):
        run(runner(tmp_path), **sizes)


def test_too_few_rows_are_all_trained_on():
    split = make_split(X[:12], np.arange(12) % 2, test_size=0.7, val_size=0.1, seed=0)
    assert split.X_val is None and split.sizes == {"n_train": 3, "n_val": 0, "n_test": 9}
