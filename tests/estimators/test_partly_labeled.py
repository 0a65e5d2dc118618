"""Promises of self-training, co-training and tri-training: their definitions, and whose rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from semideep_ext import DistanceWeightedClassifier
from semideep_ext.estimators import CoTraining, SelfTraining, TriTraining
from semideep_ext.estimators.co_training import surest
from semideep_ext.estimators.tri_training import rows_to_learn

ALL = [SelfTraining, CoTraining, TriTraining]


def half_labelled(n=200, labels=12, seed=0, spread=2.0):
    """Three blobs in four columns, of which some rows have labels."""
    X, y = make_blobs(n, 4, centers=3, cluster_std=spread, random_state=seed)
    half = np.full(n, -1)
    for k in range(3):
        half[np.flatnonzero(y == k)[: labels // 3]] = k
    return X, half, y


@pytest.mark.parametrize("method", ALL)
def test_unlabelled_rows_are_marked_missing_or_given(method):
    X, half, y = half_labelled()
    known = half >= 0
    names = np.array(["a", "b", "c"], dtype=object)
    text = np.where(known, names[half], None)
    options = {} if method is SelfTraining else {"random_state": 0}
    marked = method(**options).fit(X, half)
    missing = method(**options).fit(X, text)
    given = method(**options).fit(X[known], half[known], X_unlabeled=X[~known])
    assert missing.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(names[marked.predict(X)], missing.predict(X))
    np.testing.assert_array_equal(marked.supervised_.predict(X), given.supervised_.predict(X))
    assert given.transduction_.shape == (200,)
    np.testing.assert_array_equal(given.transduction_[: known.sum()], half[known])
    for model in (marked, given):
        assert (model.predict(X) == y).mean() > 0.9


@pytest.mark.parametrize("method", ALL)
def test_unlabelled_rows_do_not_count_in_scores(method):
    X, half, y = half_labelled()
    model, known = method().fit(X, half), half >= 0
    assert model.score(X, half) == model.score(X[known], y[known]) > 0.9
    assert model.score_supervised(X, half) == model.score_supervised(X[known], y[known]) > 0.9


def test_self_training_is_that_of_scikit_learn():
    X, half, y = half_labelled()
    ours = SelfTraining(GaussianNB(), threshold=0.9).fit(X, half)
    theirs = SelfTrainingClassifier(GaussianNB(), threshold=0.9).fit(X, half)
    np.testing.assert_array_equal(ours.transduction_, theirs.transduction_)
    np.testing.assert_array_equal(ours.labeled_iter_, theirs.labeled_iter_)
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
    assert ours.termination_condition_ == theirs.termination_condition_
    alone = GaussianNB().fit(X[half >= 0], half[half >= 0])
    assert ours.score_supervised(X, y) == alone.score(X, y)


@pytest.mark.parametrize("method", ALL)
def test_a_weighted_classifier_weighs_by_the_unlabelled_rows(method, monkeypatch):
    X, half, _ = half_labelled()
    seen = []
    fit = DistanceWeightedClassifier.fit

    def spy(self, rows, y, sample_weight=None, X_unlabeled=None):
        seen.append(X_unlabeled.shape)
        return fit(self, rows, y, sample_weight, X_unlabeled)

    monkeypatch.setattr(DistanceWeightedClassifier, "fit", spy)
    model = method(DistanceWeightedClassifier(lambda_="median")).fit(X, half)
    assert len(seen) > 2 and {rows for rows, _ in seen} == {188}
    assert {columns for _, columns in seen} == ({4, 2} if method is CoTraining else {4})
    assert model.predict(X).shape == (200,)


def test_rows_to_learn_follow_the_conditions_of_the_paper():
    # (error, error before, rows agreed on, rows before) and how many may be learned.
    cases = {
        (0.5, 0.5, 100, 0): 0,  # the error must have fallen
        (0.375, 0.5, 100, 0): 5,  # l' = 4; .375 * 100 > .5 * 4; 4 > 3: ceil(2 / .375 - 1)
        (0.375, 0.5, 4, 0): 0,  # not more than l' rows
        (0.375, 0.5, 5, 0): 5,  # .375 * 5 < .5 * 4
        (0.125, 0.25, 100, 10): 19,
        (0.1875, 0.25, 100, 3): 0,  # 3 is not more than 3
        (0.0, 0.25, 100, 10): 100,  # no error: all, and no division by 0
        (0.0, 0.5, 1, 0): 0,
        (0.0, 0.5, 2, 0): 2,
    }
    assert {case: rows_to_learn(*case) for case in cases} == cases


def test_tri_training_learns_rows_that_the_two_others_agree_on():
    X, half, _ = half_labelled(labels=9, spread=3.0)
    tree = DecisionTreeClassifier(random_state=0)
    model = TriTraining(tree, random_state=1).fit(X, half)
    assert model.n_iter_ >= 1
    shares = model.predict_proba(X)
    np.testing.assert_allclose(shares * 3, np.round(shares * 3))
    np.testing.assert_allclose(shares.sum(1), 1)
    again = TriTraining(tree, random_state=1).fit(X, half)
    np.testing.assert_array_equal(shares, again.predict_proba(X))
    votes = np.stack([m.predict(X) for m in model.estimators_])
    majority = (votes[:, None] == np.arange(3)[:, None]).sum(0).argmax(0)
    np.testing.assert_array_equal(model.predict(X), majority)


def test_tri_training_without_errors_learns_all_rows_once():
    X, half, _ = half_labelled(spread=0.1)
    model = TriTraining(random_state=0).fit(X, half)
    assert model.n_iter_ == 1  # e = e' = 0 then


def test_co_training_labels_the_surest_of_each_class_for_both():
    X, half, _ = half_labelled(labels=6)
    model = CoTraining(GaussianNB(), random_state=0, per_class=1, max_iter=1).fit(X, half)
    new = np.flatnonzero((model.transduction_ >= 0) & (half < 0))
    known = half >= 0
    pool = np.random.RandomState(0).permutation(np.flatnonzero(~known))[:75]
    labels = {}
    for view in (slice(0, 2), slice(2, 4)):
        p = GaussianNB().fit(X[known][:, view], half[known]).predict_proba(X[pool][:, view])
        for k in range(3):
            own = [i for i in range(75) if p[i].argmax() == k]
            row = int(pool[max(own, key=lambda i: p[i, k])])
            labels.setdefault(row, set()).add(k)
    expected = {row: ks.pop() for row, ks in labels.items() if len(ks) == 1}
    assert {int(row): int(model.transduction_[row]) for row in new} == expected
    assert model.n_iter_ == 1


def test_co_training_fills_its_pool_and_ends_with_the_rows():
    X, half, y = half_labelled(labels=6, spread=0.7)
    model = CoTraining(per_class=5, pool_size=30, max_iter=100, random_state=0).fit(X, half)
    assert (model.transduction_ >= 0).mean() > 0.9
    assert model.n_iter_ > 5
    assert (model.predict(X) == y).mean() > 0.9


def test_co_training_takes_as_many_of_a_class_as_its_labels():
    X, half, _ = half_labelled()
    half[np.flatnonzero(half == 0)[1:]] = -1  # 1 label of class 0, 4 of the others
    model = CoTraining(LogisticRegression()).fit(X, half)
    assert model._wanted(half[half >= 0]).tolist() == [1, 4, 4]
    named = CoTraining(per_class={1: 2}).fit(X, half)
    assert named._wanted(half[half >= 0]).tolist() == [0, 2, 0]


def test_views_are_named_numbered_or_sliced():
    X, half, _ = half_labelled()
    frame = pd.DataFrame(X, columns=list("abcd"))
    for views in ((["a", "c"], ["b", "d"]), ([0, 2], [1, 3]), (slice(0, 4, 2), slice(1, 4, 2))):
        model = CoTraining(views=views, random_state=0).fit(frame, half)
        assert [v.tolist() for v in model.views_] == [[0, 2], [1, 3]]


def test_surest_rows_are_those_where_a_class_is_the_most_probable():
    p = np.array([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2]])
    assert surest(p, np.array([1, 1])).tolist() == [-1, -1, 0]
    assert surest(p, np.array([5, 5])).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (SelfTraining(Ridge()), TypeError, "is no classifier"),
        (TriTraining(DecisionTreeClassifier), TypeError, "built rather than the class"),
        (CoTraining(estimator2=Ridge()), TypeError, "is no classifier"),
        (CoTraining(views=([0],)), ValueError, "views has 1 parts"),
        (CoTraining(views=([0], [9])), ValueError, "give columns of the 4"),
        (CoTraining(views=(["x"], ["y"])), ValueError, r"views names \['x'\]"),
        (CoTraining(per_class={7: 1}), ValueError, r"per_class names \[7\]"),
        (CoTraining(pool_size=0), ValueError, "pool_size"),
        (TriTraining(max_iter=0), ValueError, "max_iter"),
    ],
)
def test_bad_parameters_name_what_to_change(model, error, message):
    X, half, _ = half_labelled()
    with pytest.raises(error, match=message):
        model.fit(X, half)


@pytest.mark.parametrize("method", ALL)
def test_bad_rows_and_labels_are_refused(method):
    X, half, _ = half_labelled()
    with pytest.raises(ValueError, match="all of its 200 rows as unlabelled"):
        method().fit(X, np.full(200, -1))
    with pytest.raises(ValueError, match="X has 200 rows and y 3"):
        method().fit(X, half[:3])
    with pytest.raises(ValueError, match="X_unlabeled has shape"):
        method().fit(X, half, X_unlabeled=X[:, :2])
    holed = X.copy()
    holed[3, 1] = np.nan
    with pytest.raises(ValueError, match="X holds NaN at row 3, column 1"):
        method().fit(holed, half)
    with pytest.warns(UserWarning, match="there is no unlabelled row"):
        method().fit(X[half >= 0], half[half >= 0])


@pytest.mark.filterwarnings(
    "ignore:there is no unlabelled row:UserWarning",
    "ignore:y holds -1 and 1 only:semideep_ext.weighting.diagnostics.WeightsWarning",
    "ignore:invalid value encountered in cast:RuntimeWarning",  # in a check itself
    "ignore::sklearn.exceptions.ConvergenceWarning",  # of logistic regression inside
)
@parametrize_with_checks(
    [
        SelfTraining(),
        CoTraining(LogisticRegression()),
        TriTraining(DecisionTreeClassifier(random_state=0), random_state=0),
    ]
)
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)
