"""Promises of metric selection: rows, labels, groups and folds as scikit-learn has them."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from selection_runs import Recorder, select
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    StratifiedKFold,
)
from torch import nn

from semideep_ext import LabeledSplit, distance_weights, select_best_distance_metric

pytestmark = pytest.mark.filterwarnings("ignore:no weighting is shown better")

FEW = pytest.mark.filterwarnings("ignore:The least populated class in y has only")
ELEVEN = np.arange(11.0)[:, None], ["a"] * 5 + ["b"] * 5 + ["c"], np.arange(11.0)[:, None]


@FEW
def test_a_class_that_a_fold_lacks_counts_as_missed():
    found = select_best_distance_metric(
        LogisticRegression(), *ELEVEN, metrics=["euclidean"], cv=2, verbose=False
    )
    assert tuple(found) == ("euclidean", 0.5, pytest.approx(0.688, abs=5e-4))
    assert found.weighting == "none"  # which is better on one fold of two only
    X, y, _ = ELEVEN
    y, expected = np.array(y), []
    for train, test in StratifiedKFold(2, shuffle=True, random_state=0).split(X, y):
        model = LogisticRegression().fit(X[train], y[train])
        score = f1_score(y[test], model.predict(X[test]), average="weighted", pos_label=None)
        expected.append(score)
    assert found.unweighted["scores"] == pytest.approx(expected)


@FEW
def test_a_net_is_tuned_where_a_fold_lacks_a_class():
    torch.manual_seed(0)
    found = select(nn.Linear(1, 3), ELEVEN, cv=2, epochs=2)
    assert len(found.table[0]["scores"]) == 2


@pytest.mark.parametrize(
    ("cv", "options"),
    [
        (KFold(2), {}),  # of sorted labels: each fold is scored on one class, and trained on both
        (LeaveOneOut(), {}),
        (LeaveOneGroupOut(), {"groups": [0, 0, 1, 1, 2, 2, 3, 3]}),
    ],
    ids=lambda v: type(v).__name__,
)
def test_two_classes_are_scored_on_folds_of_one(cv, options):
    X = np.arange(8.0)[:, None]
    y = np.array(["b", "b", "b", "a", "a", "a", "a", "b"])
    found = select(LogisticRegression(), (X, y, X), cv=cv, **options)
    groups = options.get("groups")
    expected = [
        f1_score(
            y[test] == "b",
            LogisticRegression().fit(X[train], y[train]).predict(X[test]) == "b",
            zero_division=0,
        )
        for train, test in cv.split(X, y, groups)
    ]
    assert found.unweighted["scores"] == pytest.approx(expected)


@FEW
@pytest.mark.parametrize("model", [LogisticRegression(), nn.Linear(1, 2)], ids=["lr", "net"])
def test_a_fold_with_one_class_to_train_on_is_refused_before_anything_is_trained(model, capsys):
    X, y = np.arange(9.0)[:, None], ["a"] * 8 + ["b"]
    with pytest.raises(ValueError, match=r"of cv=2 has .* rows to train on, of class 'a' alone"):
        select(model, (X, y, X), cv=2, verbose=True)
    assert "0/" not in capsys.readouterr().err


@FEW
@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr"])
@pytest.mark.filterwarnings("ignore:Number of classes in y_true", "ignore:Only one class")
def test_another_scorer_that_fails_on_such_a_fold_is_told_why(scoring):
    with pytest.raises(ValueError, match=rf"scoring='{scoring}' fails on a fold that lacks .'c'"):
        select(LogisticRegression(), ELEVEN, cv=2, scoring=scoring)


def test_other_errors_of_a_scorer_stay_as_they_are(data):
    def scorer(estimator, X, y):
        raise ValueError("of its own")

    with pytest.raises(ValueError, match=r"\Aof its own\Z"):
        select(LogisticRegression(), data, scoring=scorer)


@pytest.mark.parametrize("labels", [[0, 1], ["a", "b"], [0.0, 1.0], [True, False], [-1, 1]])
@pytest.mark.parametrize("model", [LogisticRegression(), nn.Linear(4, 2)], ids=["lr", "net"])
@pytest.mark.filterwarnings("ignore:y holds -1 and 1 only")
def test_labels_in_an_array_of_objects_are_those_in_their_own(data, labels, model):
    X, y, X_test = data
    options = {} if isinstance(model, LogisticRegression) else {"epochs": 1}
    own, objects = np.array(labels)[y], np.array([labels[i] for i in y], dtype=object)
    expected = select(model, (X, own, X_test), **options)
    assert select(model, (X, objects, X_test), **options).table == expected.table


def test_a_net_learns_minus_one_as_a_class_where_it_is_one(data):
    X, y, X_test = data
    three = (y + np.arange(60) % 2).astype(int)
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    found, expected = (
        select(model, (X, labels, X_test), epochs=2, unlabeled=None)
        for labels in (three - 1, three)
    )
    assert found.table == expected.table


@pytest.mark.parametrize("mark", [-1, None, np.nan])
@pytest.mark.parametrize("convert", [np.asarray, pd.DataFrame])
def test_rows_without_a_label_are_rows_to_resemble(data, notes, mark, convert):
    X, y, X_test = data
    marked = np.array([*y, *[mark] * 20], dtype=object)
    order = np.random.default_rng(0).permutation(80)
    together = convert(np.concatenate([X, X_test])[order])
    found = select(Recorder(), (together, marked[order], None))
    w = distance_weights(X, X_test, lambda_=0.5)
    w /= w.mean()
    position = {row.tobytes(): i for i, row in enumerate(X)}
    assert len(notes) == 6 and all(len(fitted) == 40 for fitted, _, _ in notes)
    for fitted, labels, weights in notes[1::2]:
        rows = [position[row.tobytes()] for row in fitted]
        np.testing.assert_array_equal(labels, y[rows])
        np.testing.assert_allclose(weights, w[rows], rtol=1e-9)
    assert found.best_weighted["effective_share"] == pytest.approx(w.sum() ** 2 / (w**2).sum() / 60)


def test_groups_and_splits_and_importance_are_those_of_all_rows(data):
    X, y, X_test = data
    order = np.random.default_rng(0).permutation(80)
    together = np.concatenate([X, X_test])[order]
    marked = np.concatenate([y, np.full(20, -1)])[order]
    number = np.argsort(order)[:60]  # where the labelled rows stand among all
    groups, counts = np.arange(60) % 4, np.arange(60) % 3 + 1.0
    all_groups, all_counts = np.zeros(80, int), np.zeros(80)
    all_groups[number], all_counts[number] = groups, counts
    model, cv = LogisticRegression(), GroupKFold(4)
    expected = select(model, data, cv=list(cv.split(X, y, groups)), importance_weighted=counts)
    splits = list(LabeledSplit(cv).split(together, marked, all_groups))
    found = select(model, (together, marked, None), cv=splits, importance_weighted=all_counts)
    by_groups = select(model, (together, marked, None), cv=cv, groups=all_groups,
                       importance_weighted=all_counts)  # fmt: skip
    for other in (found, by_groups):
        assert sorted(other.unweighted["scores"]) == pytest.approx(
            sorted(expected.unweighted["scores"])
        )


def test_a_regressor_has_nan_for_rows_without_a_number(data):
    X, y, X_test = data
    targets = X @ [1.0, 2, 3, 4] + 0.01 * y
    expected = select(Ridge(), (X, targets, X_test))
    together = np.concatenate([X, X_test]), [*targets, *[None] * 20], None
    assert select(Ridge(), together).table == expected.table
    targets[3] = -1.0  # a number like any other
    assert len(select(Ridge(), (X, targets, X_test), cv=2).table[0]["scores"]) == 2


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["cat", "dog", "-1"] * 20, "holds the text '-1' at row 2"),
        ([-1] * 60, "marks all of its 60 rows as unlabelled"),
        (np.arange(120).reshape(60, 2), r"y_train has shape \(60, 2\)"),
        ([0, 1] * 29, r"y_train has shape \(58,\) for 60 rows"),
    ],
)
def test_labels_that_say_nothing_are_refused(data, y, said):
    with pytest.raises(ValueError, match=said):
        select(LogisticRegression(), (data[0], y, data[2]))


def test_rows_that_resemble_nothing_are_refused(data):
    with pytest.raises(ValueError, match="no unlabelled row to resemble: give X_test, or mark"):
        select(LogisticRegression(), (*data[:2], None))


def test_groups_are_kept_together_and_asked_for(data, notes):
    groups = np.arange(60) % 6
    select(Recorder(), data, cv=GroupKFold(3), groups=groups)
    position = {row.tobytes(): i for i, row in enumerate(data[0])}
    for fitted, _, _ in notes:
        assert len({groups[position[row.tobytes()]] for row in fitted}) == 4
    with pytest.raises(ValueError, match=r"GroupKFold.* does not split .*groups to a cv"):
        select(Recorder(), data, cv=GroupKFold(3))
    with pytest.raises(ValueError, match=r"groups has shape \(3,\) for 60 rows"):
        select(Recorder(), data, cv=GroupKFold(3), groups=[1, 2, 3])


def test_random_states_are_those_of_scikit_learn(data):
    def scores(random_state):
        found = select(LogisticRegression(), data, cv=5, scoring="neg_log_loss",
                       random_state=random_state)  # fmt: skip
        return found.unweighted["scores"]

    assert scores(np.int64(3)) == scores(3)
    assert scores(np.random.RandomState(3)) == scores(np.random.RandomState(3)) != scores(3)
    np.random.seed(3)
    first, second = scores(None), scores(None)
    np.random.seed(3)
    assert scores(None) == first != second


def test_images_are_weighed_flat_and_given_to_the_net_as_they_are(data):
    X, y, X_test = data
    shapes = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x):
            shapes.append(tuple(x.shape[1:]))
            return self.layer(x.flatten(1))

    flat = select(Net, data, epochs=1)
    images = select(Net, (X.reshape(60, 1, 2, 2), y, X_test.reshape(20, 1, 2, 2)), epochs=1)
    assert images.table == flat.table and (1, 2, 2) in shapes
    with pytest.raises(ValueError, match=r"X_train has shape \(60, 1, 2, 2\) and X_test \(20, 4\)"):
        select(Net, (X.reshape(60, 1, 2, 2), y, X_test), epochs=1)


def test_a_classifier_of_another_make_gets_plain_labels(data):
    class Strict(ClassifierMixin, BaseEstimator):
        def fit(self, X, y, sample_weight=None):
            assert y.dtype.kind == "i"
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.zeros(len(X), int)

    X, y, X_test = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        select(Strict(), (X, pd.Series(y, dtype=object), X_test))
        select(Strict(), (X, pd.Series(y, dtype="Int64"), X_test))
