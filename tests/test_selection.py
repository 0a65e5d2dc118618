"""Promises of metric selection: chosen on training rows, by folds, from a fresh start each time."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from torch import nn

import semideep_ext.selection
from semideep_ext import (
    WeightedTrainer,
    auto_select_distance_metric,
    distance_weights,
    median_lambda,
    select_best_distance_metric,
)
from semideep_ext.metrics import METRICS
from semideep_ext.selection import MetricSelection

pytestmark = pytest.mark.filterwarnings("ignore:metric='jaccard'")


@pytest.fixture
def data():
    """Sixty training rows sorted by class, as files often are, and twenty unlabelled ones."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 30)
    X = rng.normal(size=(60, 4)) + 1.5 * y[:, None]
    return X, y, rng.normal(size=(20, 4)) + 1.0


def select(model, data, metrics=("euclidean",), lambda_values=(0.5,), **options):
    return select_best_distance_metric(
        model, *data, metrics, lambda_values, **{"verbose": False, **options}
    )


NOTES, STARTS = [], []


class Recorder(LogisticRegression):
    """A classifier that notes what it was fitted on."""

    def fit(self, X, y, sample_weight=None):
        NOTES.append((np.array(X), np.array(y), np.array(sample_weight)))
        return super().fit(X, y, sample_weight)


@pytest.fixture
def notes():
    NOTES.clear()
    return NOTES


# What semideep's callers see


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


# The faults of semideep


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


# Weights


def test_each_fit_has_the_weights_of_its_candidate_towards_the_test_rows(data, notes):
    X, _, X_test = data
    select(Recorder(), data, ["euclidean", "cosine"], [0.5, 2.0], cv=2)
    position = {row.tobytes(): i for i, row in enumerate(X)}
    candidates = [None, ("euclidean", 0.5), ("euclidean", 2.0), ("cosine", 0.5), ("cosine", 2.0)]
    for i, (fitted, _, w) in enumerate(notes):
        candidate = candidates[i % 5]
        expected = np.ones(60) if candidate is None else distance_weights(X, X_test, *candidate)
        rows = [position[row.tobytes()] for row in fitted]
        np.testing.assert_allclose(w, (expected / expected.mean())[rows], rtol=1e-9)


def test_normalize_false_gives_the_weights_of_the_formula(data, notes):
    X, _, X_test = data
    select(Recorder(), data, normalize=False)
    assert notes[1][2].max() <= distance_weights(X, X_test, lambda_=0.5).max() * (1 + 1e-9)


def test_every_lambda_of_a_metric_comes_from_one_pass(data, monkeypatch):
    calls = []

    def counting(x, y, metric, lambda_, **options):
        calls.append((metric, len(np.atleast_1d(lambda_))))
        return distance_weights(x, y, metric, lambda_, **options)

    monkeypatch.setattr(semideep_ext.selection, "distance_weights", counting)
    select(LogisticRegression(), data, ["euclidean", "cosine"], [0.1, 0.5, 1.0], cv=5)
    assert calls == [("euclidean", 3), ("cosine", 3)]


def test_median_is_resolved_per_metric_and_the_number_returned(data):
    X, _, X_test = data
    result = select(LogisticRegression(), data, ["euclidean", "cosine"], ["median", 1.0])
    given = [(row["lambda_given"], row["lambda_"]) for row in result.table]
    assert given[0] == ("median", median_lambda(X, X_test))
    assert given[2] == ("median", median_lambda(X, X_test, "cosine"))
    assert isinstance(result.lambda_, float)


def test_a_candidate_with_useless_weights_is_marked_in_the_table(data):
    euclidean, hamming = select(LogisticRegression(), data, ["euclidean", "hamming"]).table
    assert (euclidean["problems"], hamming["problems"]) == ((), ("constant",))
    assert euclidean["effective_share"] < hamming["effective_share"] == pytest.approx(1)


def test_weights_that_would_underflow_still_choose(data):
    X, y, X_test = data
    result = select(LogisticRegression(), (X, y, X_test + 1e4), lambda_values=[1.0])
    assert result.score > 0 and np.isfinite(result.table[0]["effective_share"])


def test_a_useful_metric_wins():
    """Near the test rows labels are true, elsewhere they lie."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 2))
    y = (X[:, 1] > 0).astype(int)
    X[100:, 0] += 6
    y[100:] = 1 - y[100:]
    result = select(
        LogisticRegression(), (X, y, rng.normal(size=(50, 2))), ["hamming", "euclidean"], [1.0],
        importance_weighted=True, scoring="accuracy",
    )  # fmt: skip
    assert result.metric == "euclidean" and result.score > 0.7
    assert result.unweighted["mean"] < 0.6


# Scores


def test_the_score_is_the_mean_over_folds_with_its_standard_error(data):
    (row,) = select(LogisticRegression(), data, cv=4).table
    assert row["mean"] == pytest.approx(np.mean(row["scores"]))
    assert row["standard_error"] == pytest.approx(np.std(row["scores"], ddof=1) / 2)


def test_scores_are_those_of_fitting_and_scoring_by_hand(data):
    X, y, X_test = data
    w = distance_weights(X, X_test, lambda_=0.5)
    expected = []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(X, y):
        model = LogisticRegression().fit(X[train], y[train], w[train] / w.mean())
        expected.append(accuracy_score(y[test], model.predict(X[test])))
    (row,) = select(LogisticRegression(), data, scoring="accuracy").table
    assert row["scores"] == expected


def test_a_module_is_trained_by_the_trainer_with_its_options(data):
    X, y, X_test = data
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    start = {k: v.clone() for k, v in model.state_dict().items()}
    options = {"epochs": 3, "learning_rate": 0.05, "batch_size": 16}
    (row,) = select(model, data, **options, cv=2, scoring="neg_log_loss").table
    w = distance_weights(X, X_test, lambda_=0.5)
    train, test = next(StratifiedKFold(2, shuffle=True, random_state=0).split(X, y))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.load_state_dict(start)
        trainer = WeightedTrainer(
            model, X[train], y[train], weights=w[train] / w.mean(), verbose=False, **options
        )
        trainer.train()
    p = trainer.predict_proba(X[test])[np.arange(30), y[test]]
    assert row["scores"][0] == pytest.approx(np.log(p).mean(), rel=1e-4)


def test_importance_is_the_density_ratio_and_the_same_for_all_candidates(data):
    X, _, X_test = data
    seen = []

    def metric(y_true, y_pred, sample_weight=None):
        seen.append(sample_weight)
        return accuracy_score(y_true, y_pred, sample_weight=sample_weight)

    options = {"importance_weighted": True, "scoring": make_scorer(metric), "cv": 2}
    select(LogisticRegression(), data, ["euclidean", "cosine"], [0.5, 2.0], **options)
    lambda_ = median_lambda(X, X_test)
    ratio = distance_weights(X, X_test, lambda_=lambda_) / distance_weights(X, X, lambda_=lambda_)
    _, test = next(StratifiedKFold(2, shuffle=True, random_state=0).split(X, data[1]))
    for weights in seen[:5]:
        np.testing.assert_allclose(weights, (ratio / ratio.mean())[test])


def test_importance_may_be_given(data):
    X, y, X_test = data
    only = np.zeros(60)
    only[[0, 1, 30, 31]] = 1
    folds = [(np.arange(2, 60), np.arange(60))]
    result = select(
        LogisticRegression(), data, importance_weighted=only, cv=folds, scoring="accuracy"
    )
    w = distance_weights(X, X_test, lambda_=0.5)
    model = LogisticRegression().fit(X[2:], y[2:], w[2:] / w.mean())
    rows = [0, 1, 30, 31]
    assert result.score == accuracy_score(y[rows], model.predict(X[rows]))
    with pytest.raises(ValueError, match="importance_weighted: 3 weights for 60"):
        select(LogisticRegression(), data, importance_weighted=[1, 2, 3])


def test_a_scorer_that_takes_no_weights_is_refused_where_they_are_wanted(data):
    def scorer(estimator, X, y):
        return estimator.score(X, y)

    assert select(LogisticRegression(), data, scoring=scorer).score > 0.5
    with pytest.raises(ValueError, match="takes no sample_weight"):
        select(LogisticRegression(), data, scoring=scorer, importance_weighted=True)


@pytest.mark.parametrize("scoring", ["roc_auc", "neg_log_loss", "balanced_accuracy"])
@pytest.mark.parametrize("model", [LogisticRegression(), nn.Linear(4, 2)], ids=["lr", "net"])
@pytest.mark.parametrize("importance_weighted", [False, True])
def test_any_scorer_of_scikit_learn_serves_nets_and_estimators(
    data, scoring, model, importance_weighted
):
    options = {} if isinstance(model, LogisticRegression) else {"epochs": 1}
    options["importance_weighted"] = importance_weighted
    assert np.isfinite(select(model, data, scoring=scoring, **options).score)


def test_a_regressor_is_scored_by_r2_on_shuffled_folds(data):
    X, y, X_test = data
    result = select(Ridge(), (X, X @ [1.0, 2, 3, 4] + 0.01 * y, X_test))
    assert result.score > 0.9


def test_equal_scores_go_to_the_first():
    X = np.array([[0.0], [0.1], [9.0], [9.1]] * 3)
    result = select(
        LogisticRegression(), (X, (X[:, 0] > 1).astype(int), X), ["cosine", "euclidean"], [1.0, 0.5]
    )
    assert tuple(result) == ("cosine", 1.0, 1.0)


def test_scores_that_are_all_nan_are_refused(data):
    with pytest.raises(ValueError, match="every score is NaN"):
        select(LogisticRegression(), data, scoring=lambda *_: float("nan"))


# Other promises


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
    assert (again, again.table, again.unweighted) == (result, result.table, result.unweighted)


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


# Rules of thumb


def rules_of_semideep(X):
    """The rules as README and code of semideep 0.0.1 state them."""
    if np.isin(X, [0, 1]).all():
        return "hamming"
    few = np.mean([len(np.unique(column)) < 10 for column in X.T])
    return "hamming" if few > 0.5 else "cosine" if X.shape[1] > 50 else "euclidean"


@settings(deadline=None)
@given(
    X=arrays(
        np.float64,
        st.tuples(st.integers(1, 30), st.sampled_from([1, 2, 3, 50, 51])),
        elements=st.integers(-20, 20),
    ),
    binary=st.booleans(),
)
def test_the_rules_of_semideep_are_kept_but_for_sparse_binary_rows(X, binary):
    X = (X > 10).astype(float) if binary else X
    metric = auto_select_distance_metric(X)
    sparse = np.isin(X, [0, 1]).all() and X.mean() < 0.1
    assert metric == ("jaccard" if sparse else rules_of_semideep(X))


@pytest.mark.parametrize(
    ("X", "metric", "reason"),
    [
        (np.eye(20), "jaccard", "5 % of them are 1 (fewer than 10 %)"),
        (np.eye(10), "hamming", "all values are 0 or 1"),
        (np.arange(40).reshape(20, 2) % 9, "hamming", "2 of 2 columns have fewer than 10"),
        (np.arange(1020.0).reshape(20, 51), "cosine", "51 columns are more than 50"),
        (np.arange(40.0).reshape(20, 2), "euclidean", "most of the 2 columns are continuous"),
        (np.array([["a"], ["b"]]), "hamming", "no numbers"),
    ],
)
def test_the_reason_is_given_on_request(X, metric, reason):
    assert auto_select_distance_metric(X) == metric
    chosen, why = auto_select_distance_metric(X, return_reason=True)
    assert chosen == metric in METRICS and reason in why


@pytest.mark.parametrize("convert", [pd.DataFrame, torch.tensor, np.ndarray.tolist])
def test_the_rules_read_rows_of_every_kind(convert):
    assert auto_select_distance_metric(convert(np.arange(40.0).reshape(20, 2))) == "euclidean"
    assert auto_select_distance_metric(convert(np.eye(20, dtype=bool))) == "jaccard"


def test_columns_of_mixed_kinds_are_read_one_by_one():
    frame = pd.DataFrame({"a": list("xyz") * 10, "b": np.arange(30.0), "c": np.arange(30)})
    assert auto_select_distance_metric(frame) == "euclidean"
    assert auto_select_distance_metric(frame[["a", "b"]].assign(d="x")) == "hamming"


@pytest.mark.parametrize("X", [np.zeros(3), np.zeros((0, 2)), np.zeros((2, 0))])
def test_rows_to_read_must_be_there(X):
    with pytest.raises(ValueError, match="allowed is"):
        auto_select_distance_metric(X)
