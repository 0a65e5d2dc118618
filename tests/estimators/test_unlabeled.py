"""Promises of rows without a label: one convention in the estimators, their scores and splits."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from estimator_rows import joined
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    cross_val_score,
)

from semideep_ext import DistanceWeightedClassifier, DistanceWeightedRegressor, LabeledSplit

NAMES = np.array(["cat", "dog", "-1"], dtype=object)
CONTAINERS = {
    "array": np.array,
    "object array": lambda y: np.array(y, dtype=object),
    "list": list,
    "series": pd.Series,
    "object series": lambda y: pd.Series(y, dtype=object),
    "string series": lambda y: pd.Series(y, dtype="string"),
    "categories": lambda y: pd.Series(y, dtype="category"),
}


@pytest.mark.parametrize("hold", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_minus_one_as_text_is_refused_and_never_predicted(data, hold):
    X, y = joined(data)
    names = hold(NAMES[y].tolist())
    with pytest.raises(ValueError, match=r"holds the text '-1' at row 40 .30 such"):
        DistanceWeightedClassifier().fit(X, names)
    with pytest.raises(ValueError, match=r"holds the text '-1' at row 40 .30 such"):
        next(LabeledSplit(2).split(X, names))
    fitted = DistanceWeightedClassifier().fit(X, np.array(["cat", "dog", -1], dtype=object)[y])
    with pytest.raises(ValueError, match="holds the text '-1' at row 40"):
        fitted.score(X, names)


MARKED = {
    "-1 in objects": (["cat", "dog", -1], {}),
    "-1.0 in objects": (["cat", "dog", -1.0], {}),
    "None": (["cat", "dog", None], {}),
    "NaN": (["cat", "dog", np.nan], {}),
    "NaN as the mark": (["cat", "dog", np.nan], {"unlabeled": np.nan}),
    "text as the mark": (["cat", "dog", "?"], {"unlabeled": "?"}),
    "numbers and NaN": ([0.0, 1.0, np.nan], {}),
    "another number": ([0, 1, 99], {"unlabeled": 99}),
}


@pytest.mark.parametrize(("names", "options"), MARKED.values(), ids=MARKED.keys())
@pytest.mark.parametrize("hold", ["object array", "list", "series"])
def test_every_mark_gives_the_weights_and_folds_of_minus_one(data, names, options, hold):
    X, y = joined(data)
    marked = CONTAINERS[hold]([names[i] for i in y])
    expected = DistanceWeightedClassifier().fit(X, y)
    model = DistanceWeightedClassifier(**options).fit(X, marked)
    assert model.classes_.tolist() == names[:2]
    np.testing.assert_array_equal(model.sample_weight_, expected.sample_weight_)
    assert model.score(X, marked) == expected.score(X, y)
    for fold, wanted in zip(
        LabeledSplit(3, **options).split(X, marked), LabeledSplit(3).split(X, y), strict=True
    ):
        for numbers, others in zip(fold, wanted, strict=True):
            np.testing.assert_array_equal(numbers, others)


@pytest.mark.parametrize("mark", [np.nan, pd.NA], ids=str)
def test_nan_as_the_mark_leaves_minus_one_a_class(data, mark):
    X, y = joined(data)
    three = np.where(np.arange(70) % 7 == 0, -1.0, np.where(y == -1, np.nan, y))
    model = DistanceWeightedClassifier(unlabeled=mark).fit(X, three)
    assert model.classes_.tolist() == [-1, 0, 1] and 0 < model.score(X, three) < 1


def test_none_as_the_mark_refuses_missing_labels(data):
    X, y = joined(data)
    with pytest.raises(ValueError, match=r"holds nan at row 40 .30 such.*every row is labelled"):
        DistanceWeightedClassifier(unlabeled=None).fit(X, np.where(y == -1, np.nan, y))


def test_fractions_and_several_columns_are_marked_by_nan_alone():
    y = np.array([0.5, -1.0, np.nan, 2.0])
    tested = np.concatenate([test for _, test in LabeledSplit(KFold(3)).split(None, y)])
    assert tested.tolist() == [0, 1, 3]
    several = np.column_stack([[0, -1, np.nan, 2], [1, -1, np.nan, 2]])
    tested = np.concatenate([test for _, test in LabeledSplit(KFold(3)).split(None, several)])
    assert tested.tolist() == [0, 1, 3]


def test_minus_one_and_plus_one_are_split_as_two_classes():
    y = np.array([-1, 1, -1, 1])
    with pytest.warns(UserWarning, match="both are taken as classes"):
        splits = list(LabeledSplit(2).split(None, y))
    assert all(sorted(y[test]) == [-1, 1] for _, test in splits)


def test_groups_reach_the_splits_under_metadata_routing(data):
    X, y = joined(data)
    groups = np.arange(70) // 5
    cv = LabeledSplit(GroupKFold(3))
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_val_score(DistanceWeightedClassifier(), X, y, cv=cv,
                                 params={"groups": groups})  # fmt: skip
        search = GridSearchCV(DistanceWeightedClassifier(), {"lambda_": [0.8]}, cv=cv)
        assert search.fit(X, y, groups=groups).best_score_ == pytest.approx(routed.mean())
        with pytest.raises(TypeError, match="groups"):  # as of a KFold of scikit-learn
            cross_val_score(DistanceWeightedClassifier(), X, y, cv=LabeledSplit(3),
                            params={"groups": groups})  # fmt: skip
    by_hand = [
        DistanceWeightedClassifier().fit(X[train], y[train]).score(X[test], y[test])
        for train, test in cv.split(X, y, groups)
    ]
    assert routed.tolist() == by_hand


def test_a_regressor_takes_missing_targets_of_every_kind(data):
    X, y = joined(data, np.nan)
    expected = DistanceWeightedRegressor().fit(X, y).predict(X)
    nullable = pd.Series(y, dtype="Float64")
    for targets in ([None if np.isnan(v) else v for v in y], nullable, nullable.astype(object)):
        model = DistanceWeightedRegressor().fit(X, targets)
        np.testing.assert_array_equal(model.predict(X), expected)
        assert model.score(X, targets) == model.score(X, y)


def test_labelled_splits_score_each_labelled_row_once_and_train_on_all_unlabelled(data):
    _, y = joined(data)
    y = y[np.random.default_rng(2).permutation(70)]
    splits = list(LabeledSplit(5).split(None, y))
    assert len(splits) == LabeledSplit(5).get_n_splits() == 5
    np.testing.assert_array_equal(
        np.sort(np.concatenate([test for _, test in splits])), np.flatnonzero(y != -1)
    )
    for train, test in splits:
        assert set(np.flatnonzero(y == -1)) <= set(train)
        assert not set(train) & set(test) and len(train) + len(test) == 70
        assert (y[test] == 0).sum() == (y[test] == 1).sum() == 4  # stratified


def test_labelled_splits_keep_groups_together(data):
    _, y = joined(data)
    groups = np.arange(70) // 5
    for train, test in LabeledSplit(GroupKFold(2)).split(None, y, groups):
        assert not set(groups[train][y[train] != -1]) & set(groups[test])


@pytest.mark.parametrize(("cv", "folds"), [(LeaveOneOut(), 40), (LeaveOneGroupOut(), 4)], ids=str)
def test_labelled_splits_are_as_many_as_they_say(cv, folds, data):
    _, y = joined(data)
    groups = np.where(y == -1, 99, np.arange(70) % 4)  # no labelled row is in group 99
    groups = groups if isinstance(cv, LeaveOneGroupOut) else None
    assert len(list(LabeledSplit(cv).split(None, y, groups))) == folds
    assert LabeledSplit(cv).get_n_splits(None, y, groups) == folds


def test_rows_without_any_label_are_not_split():
    with pytest.raises(ValueError, match="y marks all of its 3 rows as unlabelled, by -1 or NaN"):
        next(LabeledSplit(2).split(None, [-1, -1, -1]))
