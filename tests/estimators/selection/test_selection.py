"""Promises of metric selection: chosen on training rows, by folds, from a fresh start each time."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from selection_runs import Recorder, select
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from torch import nn

from semideep_ext import (
    select_best_distance_metric,
)
from semideep_ext.estimators.selection import MetricSelection

pytestmark = pytest.mark.filterwarnings(
    "ignore:metric='jaccard'", "ignore:no weighting is shown better"
)


def test_arguments_and_defaults_are_those_of_semideep():
    parameters = inspect.signature(select_best_distance_metric).parameters
    theirs = {n: p.default for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
    required = dict.fromkeys(["model", "X_train", "y_train", "X_test"], inspect.Parameter.empty)
    assert theirs == required | {"metrics": None, "lambda_values": None, "cv": 3, "verbose": True}


def test_the_result_is_metric_lambda_and_score(data):
    result = select(LogisticRegression(), data, ["euclidean", "cosine"], [0.5, 0.9])
    metric, lambda_, score = result
    assert result == (metric, lambda_, score) and isinstance(result, tuple)
    assert metric in ("euclidean", "cosine") and lambda_ in (0.5, 0.9) and 0.5 < score <= 1


def test_the_default_grid_and_score_are_those_of_semideep(data):
    result = select_best_distance_metric(LogisticRegression(), *data, verbose=False)
    assert [(row["metric"], row["lambda_"]) for row in result.table] == [
        (metric, lambda_)
        for metric in ("euclidean", "cosine", "hamming", "jaccard")
        for lambda_ in (0.5, 0.7, 0.8, 0.9, 1.0)
    ]
    by_name = select(LogisticRegression(), data, scoring="f1")
    assert by_name.score == result.table[0]["mean"]


def test_three_classes_and_string_labels_are_scored_as_the_trainer_does(data):
    X, _, X_test = data
    y = np.array(["a", "b", "c"])[np.arange(60) % 3]
    result = select(LogisticRegression(), (X, y, X_test))
    named = select(LogisticRegression(), (X, y, X_test), scoring="f1_weighted")
    assert result.score == named.score
    two = np.where(y == "c", "a", y)
    result = select(LogisticRegression(C=100), (X + 3 * (two == "b")[:, None], two, X_test))
    assert result.score > 0.9


def test_labels_of_test_rows_are_no_argument(data):
    names = inspect.signature(select_best_distance_metric).parameters
    assert not [name for name in names if "test" in name and name != "X_test"]
    with pytest.raises(TypeError, match=r"y_test.*labels of the test rows are never an argument"):
        select(nn.Linear(4, 2), data, y_test=np.zeros(20))


def test_folds_are_shuffled_and_stratified_though_the_rows_are_sorted(data, notes):
    select(Recorder(), data)
    for _, y, _ in notes:
        np.testing.assert_array_equal(np.bincount(y), [20, 20])
    unshuffled = StratifiedKFold(3).split(data[0], data[1])
    for (X, _, _), (train, _) in zip(notes[::2], unshuffled, strict=True):
        assert (data[0][train] != X).any()


@pytest.mark.parametrize("cv", [2, 5])
def test_cv_is_the_number_of_folds_and_each_row_is_validated_once(data, notes, cv):
    result = select(Recorder(), data, ["euclidean", "cosine"], [0.5, 1.0], cv=cv)
    assert len(notes) == cv * (4 + 1), "four candidates, and unweighted training"
    assert all(len(row["scores"]) == cv for row in [*result.table, result.unweighted])
    seen = np.concatenate([X for X, _, _ in notes[::5]])
    assert len(seen) == (cv - 1) * 60
    _, counts = np.unique(seen, axis=0, return_counts=True)
    np.testing.assert_array_equal(counts, cv - 1)


STARTS = []


class Probe(nn.Linear):
    """A module that notes its weights when first called in training."""

    def __init__(self):
        super().__init__(4, 2)
        self.fresh = True

    def forward(self, x):
        if self.training and self.fresh:
            self.fresh = False
            STARTS.append(self.weight.detach().clone())
        return super().forward(x)


def test_each_fit_starts_from_the_given_state_and_leaves_the_module_alone(data):
    STARTS.clear()
    torch.manual_seed(3)
    probe = Probe()
    given = probe.weight.detach().clone()
    select(probe, data, lambda_values=[0.5, 1.0], epochs=2, learning_rate=0.5)
    assert len(STARTS) == 3 * 3
    for start in STARTS:
        torch.testing.assert_close(start, given, rtol=0, atol=0)
    torch.testing.assert_close(probe.weight.detach(), given, rtol=0, atol=0)
    assert probe.fresh and probe.weight.grad is None


def test_an_estimator_is_cloned_for_each_fit_and_left_unfitted(data):
    warm = SGDClassifier(warm_start=True, max_iter=1, tol=None, random_state=0)
    cold = SGDClassifier(max_iter=1, tol=None, random_state=0)
    options = {"lambda_values": [0.1, 0.5, 1.0], "scoring": "accuracy", "cv": 5}
    assert select(warm, data, **options).table == select(cold, data, **options).table
    assert not hasattr(warm, "coef_")


@pytest.mark.parametrize("factory", [Probe, lambda: Probe()], ids=["class", "function"])
def test_a_factory_makes_a_module_per_fit_with_one_start_per_fold(data, factory):
    STARTS.clear()
    select(factory, data, lambda_values=[0.5, 1.0], epochs=1)
    starts = [start.numpy().tobytes() for start in STARTS]
    assert len(starts) == 9
    assert [len(set(starts[i : i + 3])) for i in (0, 3, 6)] == [1, 1, 1]
    assert len(set(starts)) == 3


def test_a_scaler_in_a_pipeline_sees_the_training_folds_only(data):
    sizes = []

    class Sizes(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            sizes.append(len(X))
            return self

        def transform(self, X):
            return X

    select(make_pipeline(Sizes(), LogisticRegression()), data, cv=4)
    assert sizes == [45] * 8


def test_repeats_give_the_same_and_the_callers_random_numbers_stay(data):
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 2))
    state = torch.get_rng_state()
    first, second = (select(model, data, epochs=2, scoring="neg_log_loss") for _ in range(2))
    assert first.table == second.table
    assert torch.equal(torch.get_rng_state(), state)
    other = select(model, data, epochs=2, scoring="neg_log_loss", random_state=1)
    assert other.table != first.table


@pytest.mark.parametrize("convert", [torch.tensor, pd.DataFrame, np.ndarray.tolist])
def test_rows_of_every_kind_give_the_same(data, convert):
    X, y, X_test = data
    expected = select(LogisticRegression(), data).score
    converted = convert(X), y.tolist(), convert(X_test)
    assert select(LogisticRegression(), converted).score == expected


def test_a_number_of_folds_may_be_one_of_numpy(data):
    assert select(LogisticRegression(), data, cv=np.int64(3)) == select(LogisticRegression(), data)


def test_a_splitter_or_splits_may_be_given(data, notes):
    select(Recorder(), data, cv=KFold(2, shuffle=True, random_state=0))
    assert [len(y) for _, y, _ in notes] == [30] * 4
    groups = np.arange(60) % 3
    splits = list(GroupKFold(3).split(data[0], data[1], groups))
    assert len(select(LogisticRegression(), data, cv=splits).table[0]["scores"]) == 3


def test_the_progress_bar_counts_the_fits(data, capsys):
    select(LogisticRegression(), data, lambda_values=[0.5, 1.0], verbose=True)
    assert "9/9" in capsys.readouterr().err
    select(LogisticRegression(), data)
    assert capsys.readouterr().err == ""


def test_the_result_survives_a_pickle(data):
    result = select(LogisticRegression(), data)
    again = pickle.loads(pickle.dumps(result))
    assert isinstance(again, MetricSelection)
    assert again == result and vars(again) == vars(result)


def test_a_callable_metric_competes(data):
    result = select(LogisticRegression(), data, [lambda a, b: torch.cdist(a, b, p=1)])
    assert callable(result.metric)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"metrics": ["euclidian"]}, ValueError, "'euclidian' is unknown: choose one of"),
        ({"metrics": []}, ValueError, r"metrics=\[\]: give a list"),
        ({"metrics": "cosine"}, ValueError, "metrics='cosine': give a list"),
        ({"lambda_values": []}, ValueError, "lambda_values="),
        ({"lambda_values": 0.5}, ValueError, "lambda_values=0.5: give a list"),
        ({"scoring": "f2"}, ValueError, "'f2' is unknown: choose one of accuracy, .*, f1, "),
        ({"cv": 31}, ValueError, "cv=31 does not split 60 training rows .*fewer folds"),
        ({"lambda_values": [0.0]}, ValueError, "lambda_ must be finite and > 0"),
        ({"lambda_values": ["mean"]}, ValueError, "'mean': allowed is a number"),
        ({"scoring": ["f1", "accuracy"]}, ValueError, "give one scorer"),
        ({"epochs": 3}, ValueError, "epochs given, which are options for modules"),
        ({"epoch": 3}, TypeError, "unknown option epoch: allowed are epochs"),
        ({"cv": 1}, ValueError, "n_splits=1"),
    ],
)
def test_bad_options_are_refused(data, options, error, message):
    with pytest.raises(error, match=message):
        select(LogisticRegression(), data, **options)


@pytest.mark.parametrize("model", [None, 3, list, lambda: "model"])
def test_what_is_no_model_is_refused(data, model):
    with pytest.raises(TypeError, match="allowed are a torch module"):
        select(model, data)


def test_rows_that_are_not_finite_or_do_not_fit_are_refused(data):
    X, y, X_test = data
    with pytest.raises(ValueError, match=r"X_test \(20, 3\)"):
        select(LogisticRegression(), (X, y, X_test[:, :3]))
    X = X.copy()
    X[7, 1] = np.nan
    with pytest.raises(ValueError, match="X_train holds nan at row 7, column 1"):
        select(LogisticRegression(), (X, y, X_test))
