"""Promises of metric selection: what a score is, and which weights it had."""

import numpy as np
import pytest
import torch
from selection_runs import Recorder, select
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import StratifiedKFold
from torch import nn

from semideep_ext import (
    WeightedTrainer,
    distance_weights,
    median_lambda,
)
from semideep_ext.estimators.selection import candidates

pytestmark = pytest.mark.filterwarnings(
    "ignore:metric='jaccard'", "ignore:no weighting is shown better"
)


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

    monkeypatch.setattr(candidates, "distance_weights", counting)
    select(LogisticRegression(), data, ["euclidean", "cosine"], [0.1, 0.5, 1.0], cv=5)
    assert calls == [("euclidean", 3), ("cosine", 3)]


def test_median_is_resolved_per_metric_and_the_number_returned(data):
    X, _, X_test = data
    result = select(LogisticRegression(), data, ["euclidean", "cosine"], ["median", 1.0])
    given = [(row["lambda_given"], row["lambda_"]) for row in result.table]
    assert given[0] == ("median", median_lambda(X, X_test))
    assert given[2] == ("median", median_lambda(X, X_test, "cosine"))
    assert isinstance(result.lambda_, float)


def test_weights_that_would_underflow_still_choose(data):
    X, y, X_test = data
    result = select(LogisticRegression(), (X, y, X_test + 1e4), lambda_values=[1.0])
    assert result.score > 0 and np.isfinite(result.table[0]["effective_share"])


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


def test_scores_that_are_all_nan_are_refused(data):
    with pytest.raises(ValueError, match="every score is NaN"):
        select(LogisticRegression(), data, scoring=lambda *_: float("nan"))
