"""Promises beside scikit-learn's tools: searches, splits, routing, clones; and the transformer."""

import pickle

import numpy as np
import pytest
import sklearn
from estimator_rows import joined
from sklearn.base import clone
from sklearn.ensemble import (
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from semideep_ext import (
    DistanceWeightedClassifier,
    DistanceWeightedRegressor,
    DistanceWeightTransformer,
    LabeledSplit,
    distance_weights,
)


def test_methods_are_those_of_the_estimator():
    assert hasattr(DistanceWeightedClassifier(), "predict_proba")
    assert not hasattr(DistanceWeightedClassifier(DecisionTreeClassifier()), "decision_function")
    with pytest.raises(NotFittedError):
        DistanceWeightedClassifier().predict([[1.0]])


@pytest.mark.filterwarnings("ignore:the .* weights .* are constant")
def test_metric_and_lambda_are_tuned_by_grid_search_with_rows_marked_or_given(data):
    grid = {
        "distanceweightedclassifier__metric": ["euclidean", "cosine"],
        "distanceweightedclassifier__lambda_": [0.1, "median"],
        "distanceweightedclassifier__estimator__C": [0.1, 1.0],
    }
    model = make_pipeline(StandardScaler(), DistanceWeightedClassifier(LogisticRegression()))
    X, y = joined(data)
    for cv in (3, LabeledSplit(3)):
        search = GridSearchCV(model, grid, cv=cv, error_score="raise").fit(X, y)
        assert len(search.cv_results_["params"]) == 8
        assert search.best_score_ > 0.7
    X, y, X_unlabeled = data
    search = GridSearchCV(model, grid, cv=3, error_score="raise")
    search.fit(X, y, distanceweightedclassifier__X_unlabeled=X_unlabeled)
    assert search.best_estimator_[-1].fitted_lambda_ is not None


def test_any_scorer_works_on_labelled_splits(data):
    X, y = joined(data)
    scores = cross_val_score(DistanceWeightedClassifier(), X, y, cv=LabeledSplit(4), scoring="f1")
    assert scores.shape == (4,) and scores.mean() > 0.7
    targets = np.where(y == -1, np.nan, y)
    scores = cross_val_score(
        DistanceWeightedRegressor(), X, targets, cv=LabeledSplit(4), scoring="r2"
    )
    assert np.isfinite(scores).all()


def test_routed_metadata_reaches_a_search_over_a_pipeline(data):
    X, y, X_unlabeled = data
    counts = np.arange(40) % 3 + 1.0
    with sklearn.config_context(enable_metadata_routing=True):
        model = DistanceWeightedClassifier().set_fit_request(sample_weight=True, X_unlabeled=True)
        scorer = get_scorer("accuracy").set_score_request(sample_weight=False)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        search = GridSearchCV(
            make_pipeline(scaler, model),
            {"distanceweightedclassifier__lambda_": [0.5]},
            scoring=scorer,
            cv=2,
        )
        search.fit(X, y, sample_weight=counts, X_unlabeled=X_unlabeled)
    inner = search.best_estimator_[-1]
    alone = DistanceWeightedClassifier(lambda_=0.5).fit(
        scaler.fit_transform(X), y, sample_weight=counts, X_unlabeled=X_unlabeled
    )
    np.testing.assert_allclose(inner.sample_weight_, alone.sample_weight_)


@pytest.mark.parametrize(
    "model",
    [
        DistanceWeightedClassifier(RandomForestClassifier(3, random_state=0), "cosine", "median"),
        DistanceWeightedRegressor(LinearRegression(), lambda_=0.3, normalize=False),
        DistanceWeightTransformer("cosine", log=True),
    ],
    ids=lambda model: type(model).__name__,
)
def test_clones_and_pickles_do_the_same(data, model):
    X, y = joined(data, np.nan if isinstance(model, DistanceWeightedRegressor) else -1)
    fitted = clone(model).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    method = "transform" if hasattr(model, "transform") else "predict"
    expected = getattr(fitted, method)(X)
    np.testing.assert_array_equal(getattr(again, method)(X), expected)
    np.testing.assert_array_equal(getattr(clone(fitted).fit(X, y), method)(X), expected)


def test_a_forest_regresses(data):
    X, y = joined(data, np.nan)
    model = DistanceWeightedRegressor(RandomForestRegressor(5, random_state=0))
    assert model.fit(X, y).predict(X).shape == (70,)


def test_the_transformer_gives_weights_as_a_named_column(data):
    X, _, X_unlabeled = data
    model = DistanceWeightTransformer(lambda_=0.3).set_output(transform="pandas").fit(X_unlabeled)
    column = model.transform(X)
    assert column.columns.tolist() == ["distanceweighttransformer0"]
    np.testing.assert_allclose(column.iloc[:, 0], distance_weights(X, X_unlabeled, lambda_=0.3))
    log = DistanceWeightTransformer(lambda_=0.3, log=True).fit(X_unlabeled).transform(X)
    np.testing.assert_allclose(np.exp(log), column)


def test_the_transformer_keeps_its_rows_when_the_caller_changes_them():
    X = np.array([[0.0], [1.0]])
    model = DistanceWeightTransformer().fit(X)
    before = model.transform([[0.5]])
    X += 100
    np.testing.assert_array_equal(model.transform([[0.5]]), before)


def test_the_weights_are_a_feature_beside_others(data):
    from sklearn.pipeline import make_union

    X, y, _ = data
    union = make_union(StandardScaler(), DistanceWeightTransformer(lambda_="median"))
    assert make_pipeline(union, LogisticRegression()).fit(X, y)[-1].coef_.shape == (1, 4)
