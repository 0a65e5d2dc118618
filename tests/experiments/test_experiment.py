"""Promises of ExperimentRunner: semideep's interface, its files, and refusal of bad input."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from experiment_runs import COLUMNS, KINDS, X, Y, model, run, runner, without_time
from torch import nn

import semideep_ext
from semideep_ext import ExperimentRunner
from semideep_ext.experiments.datasets import DATASETS, load_dataset
from semideep_ext.experiments.splits import make_split


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
    written = done[1].astype({"lambda": str})
    # pandas 2.0 reads no more than 16 decimals.
    pd.testing.assert_frame_equal(read, written, check_dtype=False, rtol=1e-12, atol=0)


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
    with pytest.raises(
        ValueError, match="'gaussian' is unknown: choose one of none, distance, idw"
    ):
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


def test_the_manifest_says_what_the_results_depend_on(done):
    manifest = json.loads((done[2] / "data_manifest.json").read_text())
    assert manifest["seeds"] == [42, 43, 44]
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["versions"]["semideep_ext"] == semideep_ext.__version__
    assert manifest["machine"]["cpu"] and manifest["machine"]["cores"] == os.cpu_count()
    assert manifest["settings"]["epochs"] == 2 and manifest["dataset"]["rows"] == 60


def test_the_commit_is_that_of_the_working_directory(tmp_path, monkeypatch):
    from semideep_ext.experiments.manifest import manifest

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


@pytest.mark.parametrize(
    ("package", "module", "message"),
    [
        ("pandas", "pandas", r"an experiment needs pandas: .*semideep_ext\[experiment\]"),
        ("tqdm", "tqdm.auto", r"the progress bar needs tqdm: .*semideep_ext\["),
    ],
)
def test_a_missing_package_is_named_with_its_extra(package, module, message, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=message):
        run(runner(tmp_path), verbose=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance_metrics": ["manhattan"]}, "'manhattan' is unknown"),
        ({"distance_metrics": []}, r"distance_metrics=\[\]: give a list of one or more"),
        ({"distance_metrics": "cosine"}, "distance_metrics='cosine': give a list"),
        ({"lambda_values": 0.5}, "lambda_values=0.5: give a list"),
        ({"lambda_values": [0.5, -1.0]}, "give finite numbers > 0, or 'median'"),
        ({"lambda_values": [0]}, "give finite numbers > 0"),
        ({"lambda_values": ["mean"]}, "or 'median'"),
        ({"test_sizes": ["half"]}, "between 0 and 1"),
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
        (lambda: nn.Linear(5, 2), r"does not take rows of shape \(4,\).*that many features"),
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
