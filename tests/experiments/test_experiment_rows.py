"""Promises of ExperimentRunner: rows, labels and models of every kind, refused before any run."""

import json
import sys

import numpy as np
import pytest
import torch
from experiment_runs import KINDS, LABELS, X, Y, run, runner, without_time
from torch import nn

from semideep_ext import ExperimentRunner, WeightsWarning
from semideep_ext.experiments.arguments import check_report_packages
from semideep_ext.experiments.reproducible import fingerprint
from semideep_ext.experiments.splits import make_split

TUNING = {"distance_metrics": ["euclidean"], "lambda_values": [0.5], "cv": 3}


def of(factory, folder, **settings):
    return ExperimentRunner(
        factory, device="cpu", output_dir=folder, **{"n_seeds": 1, **TUNING, **settings}
    )


def trained(r, X, y, **arguments):
    options = {"epochs": 1, "verbose": False, "tune_hyperparams": False, **arguments}
    return r.run_dataset_experiment(X, y, "data", **options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_model_of_another_dtype_is_known_by_its_outputs(dtype):
    first, second = (
        fingerprint(lambda: nn.Linear(4, 2).to(dtype), rows, LABELS) for rows in (X, X + 1)
    )
    assert first != second
    assert first == fingerprint(lambda: nn.Linear(4, 2).to(dtype), X, LABELS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_dtype_is_trained(dtype, tmp_path):
    table = trained(of(lambda: nn.Linear(4, 2).to(dtype), tmp_path), X, Y)
    assert table["weight_type"].tolist() == KINDS and table["accuracy"].between(0, 1).all()


def images():
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(2, 2))


@pytest.mark.filterwarnings("ignore:no weighting is shown better")
def test_images_are_scaled_weighed_and_reported_as_their_values_in_a_row(tmp_path):
    shaped = X.reshape(-1, 1, 2, 2)
    split, flat = make_split(shaped, Y, 0.2, 0.1, seed=42), make_split(X, Y, 0.2, 0.1, seed=42)
    np.testing.assert_array_equal(split.X_test.reshape(-1, 4), flat.X_test)
    r = of(images, tmp_path)
    table = trained(r, shaped, Y, tune_hyperparams=True)
    same = trained(of(lambda: nn.Sequential(nn.Unflatten(1, (1, 2, 2)), images()), tmp_path), X, Y)
    np.testing.assert_allclose(table["effective_share"][2], same["effective_share"][2])
    assert "# Experiment Summary Report" in r.generate_report()


@pytest.mark.filterwarnings("ignore:no weighting is shown better")
def test_labels_in_an_array_of_objects_are_those_in_their_own(tmp_path):
    first, second = (
        trained(of(lambda: nn.Linear(4, 2), tmp_path / name), X, y, tune_hyperparams=True)
        for name, y in (("a", LABELS), ("b", LABELS.astype(object)))
    )
    np.testing.assert_array_equal(without_time(first).values, without_time(second).values)


@pytest.mark.filterwarnings("ignore:The least populated class in y", "ignore:no weighting is shown")
def test_a_fold_of_tuning_may_lack_a_class(tmp_path):
    """Of two rows of a class one is trained on, which one fold of three then scores on."""
    y, r = np.repeat(["a", "b", "c"], [29, 29, 2]), of(lambda: nn.Linear(4, 3), tmp_path)
    table = trained(r, X, y, test_size=0.5, tune_hyperparams=True)
    assert len(table) == 3 and table["f1"].notna().all()


def test_a_split_that_leaves_a_class_untrained_is_refused_before_any_run(tmp_path, runs_counted):
    y, r = np.repeat(["a", "b", "c"], [29, 29, 2]), of(lambda: nn.Linear(4, 3), tmp_path, n_seeds=9)
    with pytest.raises(ValueError, match=r"leaves 1 of 3 classes .*the rarest class, 'c', has 2"):
        trained(r, X, y, test_size=0.7)
    assert runs_counted == []


@pytest.mark.parametrize("mark", [-1, None, np.nan, "-1"])
def test_rows_without_a_label_are_refused_before_any_run(mark, tmp_path, runs_counted):
    y = np.array([*Y[:-1], mark], dtype=object)
    said = "holds the text '-1' at row 59" if mark == "-1" else "1 rows as unlabelled .*at row 59"
    with pytest.raises(ValueError, match=said):
        trained(of(lambda: nn.Linear(4, 2), tmp_path), X, y)
    assert runs_counted == []


def test_minus_one_and_plus_one_are_classes(tmp_path):
    r = of(lambda: nn.Linear(4, 2), tmp_path)
    with pytest.warns(WeightsWarning, match="both are taken as classes"):
        table = trained(r, X, 2 * LABELS - 1)
    assert len(table) == 3


def test_a_seed_may_be_drawn_and_the_manifest_names_it(tmp_path):
    np.random.seed(0)
    first, second = (of(lambda: nn.Linear(4, 2), tmp_path, random_state=None) for _ in range(2))
    assert first.random_state != second.random_state
    same = [runner(tmp_path, random_state=np.random.RandomState(5)).random_state for _ in range(2)]
    assert same[0] == same[1]
    trained(first, X, Y)
    manifest = json.loads((tmp_path / "data_manifest.json").read_text())
    assert manifest["seeds"] == [first.random_state]


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_report_without_its_packages_is_refused_before_a_line_is_written(
    package, tmp_path, monkeypatch
):
    r = runner(tmp_path, n_seeds=1)
    run(r)
    monkeypatch.setitem(sys.modules, package, None)
    said = rf"the HTML report needs {package}: pip install 'semideep_ext\[experiment\]'"
    for ask in (check_report_packages, r.generate_report):
        with pytest.raises(ImportError, match=said):
            ask()
    assert not list(tmp_path.glob("experiment_report.*"))
