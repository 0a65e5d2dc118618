"""Promise: public names stand where they stood, and asking for one reads no more than needed."""

import ast
import importlib
import pathlib

import pytest

import semideep_ext
from semideep_ext import _moved

STUB = pathlib.Path(semideep_ext.__file__).with_suffix(".pyi")
# What stood in modules of these names, before the package had wings.
OLD_PLACES = {
    "auto": "auto_select_distance_metric",
    "bench": "compete milliseconds table versions",
    "callbacks": "Callback Checkpoint EarlyStopping ProgressBar TensorBoard",
    "cells": "LAMBDA SMALL_PAIRS Cell draw",
    "config": "config show_config",
    "contestants": "CONTESTANTS CUDA_CONTESTANTS OURS Call Contestant UnsupportedError",
    "datasets": "DATASETS load_dataset",
    "demo": "run_demo",
    "diagnostics": "WeightDiagnostics WeightsWarning check_weights diagnose_weights "
    "warn_if_degenerate",
    "estimators": "DistanceWeightedClassifier DistanceWeightedRegressor",
    "experiment": "ExperimentRunner",
    "functional": "DEFAULT_EPS distance_weights kernel_matmul",
    "losses": "WeightedBCEWithLogitsLoss WeightedCrossEntropyLoss WeightedLoss",
    "metrics": "KERNELS METRICS Kernel Metric check_kernel check_metric",
    "nets": "SampleWeightMixin",
    "plots": "plot_differences plot_metric_comparison plot_scores plot_selection plot_weights",
    "preprocessing": "preprocess_features",
    "report": "render_html render_markdown",
    "scales": "median_lambda resolve_lambda",
    "selection": "MetricSelection auto_select_distance_metric select_best_distance_metric",
    "testing": "DEVICES TOLERANCES dense_distances random_rows reference_weights",
    "trainer": "WeightedTrainer",
    "transformer": "DistanceWeightTransformer",
    "unlabeled": "LabeledSplit labeled_rows rows_with_targets",
    "weights": "DistanceWeights WeightComputer",
}


@pytest.mark.parametrize("place", OLD_PLACES)
def test_a_name_is_found_where_it_was(place):
    module = importlib.import_module(f"semideep_ext.{place}")
    for name in OLD_PLACES[place].split():
        assert hasattr(module, name), name
    assert getattr(semideep_ext, place) is module


def test_an_old_module_is_the_new_one_and_keeps_its_own_name():
    import semideep_ext.trainer as old
    import semideep_ext.training.trainer as new

    assert old is new
    assert new.__spec__.name == new.__name__ == "semideep_ext.training.trainer"
    assert set(_moved.HOMES) <= set(OLD_PLACES)


def test_type_checkers_are_told_the_same_names():
    told = {
        name.asname: statement.module.removeprefix("semideep_ext.")
        for statement in ast.parse(STUB.read_text()).body
        if isinstance(statement, ast.ImportFrom)
        for name in statement.names
    }
    assert told == semideep_ext._HOMES
    assert set(semideep_ext.__all__) == {*told, "__version__"}


def test_every_public_name_is_there_and_no_other():
    for name in semideep_ext.__all__:
        assert getattr(semideep_ext, name) is not None
        assert name in dir(semideep_ext)
    with pytest.raises(AttributeError, match="no attribute 'distance_weight'"):
        _ = semideep_ext.distance_weight


@pytest.mark.parametrize(
    ("code", "unread"),
    [
        ("import semideep_ext", "torch numpy sklearn"),
        ("from semideep_ext import METRICS", "torch numpy sklearn"),
        ("import semideep_ext.cli.app", "torch numpy sklearn pandas pyarrow matplotlib"),
        ("from semideep_ext import distance_weights, WeightedLoss", "sklearn pandas"),
    ],
)
def test_an_import_reads_no_more_than_it_needs(code, unread, run_python):
    done = run_python(f"import sys\n{code}\nprint(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not set(unread.split()) & set(done.stdout.split())
