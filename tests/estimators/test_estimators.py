"""Promises of the scikit-learn layer: labelled rows weighted towards the unlabelled ones."""

import numpy as np
import pandas as pd
import pytest
import torch
from estimator_rows import joined
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from semideep_ext import (
    DistanceWeightedClassifier,
    DistanceWeightedRegressor,
    WeightsWarning,
    distance_weights,
    median_lambda,
)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("kernel", ["exponential", "inverse"])
@pytest.mark.parametrize("normalize", [True, False])
def test_labelled_rows_have_their_distance_weights(data, metric, kernel, normalize):
    X, _, X_unlabeled = data
    model = DistanceWeightedClassifier(metric=metric, kernel=kernel, normalize=normalize)
    w = distance_weights(X, X_unlabeled, metric, kernel=kernel)
    expected = w / w.mean() if normalize else w
    np.testing.assert_allclose(model.fit(*joined(data)).sample_weight_, expected)


def test_the_estimator_is_fitted_with_these_weights(data):
    X, y, _ = data
    model = DistanceWeightedClassifier(LogisticRegression(C=0.1)).fit(*joined(data))
    alone = LogisticRegression(C=0.1).fit(X, y, sample_weight=model.sample_weight_)
    np.testing.assert_array_equal(model.estimator_.coef_, alone.coef_)
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))
    np.testing.assert_array_equal(model.decision_function(X), alone.decision_function(X))


def test_marked_rows_and_x_unlabeled_are_the_same(data):
    X, y, X_unlabeled = data
    marked = DistanceWeightedClassifier().fit(*joined(data))
    given = DistanceWeightedClassifier().fit(X, y, X_unlabeled=X_unlabeled)
    np.testing.assert_array_equal(marked.sample_weight_, given.sample_weight_)


def test_both_kinds_of_unlabelled_rows_count(data):
    X, y, X_unlabeled = data
    X_part, y_part = joined((X, y, X_unlabeled[:10]))
    both = DistanceWeightedClassifier().fit(X_part, y_part, X_unlabeled=X_unlabeled[10:])
    np.testing.assert_allclose(
        both.sample_weight_, DistanceWeightedClassifier().fit(*joined(data)).sample_weight_
    )


def test_the_place_of_the_unlabelled_rows_does_not_matter(data):
    X, y = joined(data)
    order = np.random.default_rng(1).permutation(len(X))
    first, second = (
        DistanceWeightedClassifier().fit(X[rows], y[rows]) for rows in (np.arange(70), order)
    )
    np.testing.assert_array_equal(second.labeled_, (y != -1)[order])
    np.testing.assert_allclose(
        second.sample_weight_, first.sample_weight_[order[y[order] != -1]], rtol=1e-12
    )


def test_median_is_taken_over_labelled_and_unlabelled_rows(data):
    X, _, X_unlabeled = data
    model = DistanceWeightedClassifier(lambda_="median").fit(*joined(data))
    assert model.fitted_lambda_ == median_lambda(X, X_unlabeled)
    assert model.lambda_ == "median"


def test_normalised_weights_do_not_underflow(data):
    X, y = joined(data, np.nan)
    model = DistanceWeightedRegressor(lambda_=1.0).fit(np.concatenate([X[:40], X[40:] + 1e4]), y)
    assert model.sample_weight_.mean() == pytest.approx(1)


def test_a_row_of_sample_weight_two_counts_like_two_rows_everywhere(data):
    X, y = joined(data)
    repeats = np.arange(len(X)) % 3
    weighted, repeated = DistanceWeightedClassifier(), DistanceWeightedClassifier()
    weighted.fit(X, y, sample_weight=repeats)
    repeated.fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats))
    np.testing.assert_allclose(
        weighted.sample_weight_.sum(), repeated.sample_weight_.sum(), rtol=1e-12
    )
    np.testing.assert_allclose(
        weighted.estimator_.coef_, repeated.estimator_.coef_, rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("Model", [DistanceWeightedClassifier, DistanceWeightedRegressor])
def test_without_unlabelled_rows_training_is_unweighted_and_a_warning_says_so(data, Model):
    X, y, _ = data
    with pytest.warns(WeightsWarning, match="no unlabelled row"):
        model = Model().fit(X, y)
    np.testing.assert_array_equal(model.sample_weight_, 1.0)
    assert model.fitted_lambda_ is None


def test_useless_weights_are_warned_of(data):
    with pytest.warns(WeightsWarning, match="constant"):
        DistanceWeightedClassifier(metric="hamming").fit(*joined(data))


def test_string_labels_stand_beside_minus_one_in_an_object_array(data):
    X, y = joined(data)
    names = np.array(["no", "yes", -1], dtype=object)[y]
    model = DistanceWeightedClassifier().fit(X, names)
    assert model.classes_.tolist() == ["no", "yes"]
    assert set(model.predict(X)) == {"no", "yes"}
    number = DistanceWeightedClassifier().fit(X, y)
    assert model.score(X, names) == number.score(X, y)


def test_an_object_array_of_numbers_gives_numbers(data):
    X, y = joined(data)
    model = DistanceWeightedClassifier().fit(X, pd.Series(y, dtype=object))
    assert model.classes_.tolist() == [0, 1] and model.classes_.dtype.kind == "i"


def test_minus_one_and_plus_one_are_two_classes_and_a_warning_names_the_conflict(data):
    X, y, X_unlabeled = data
    with pytest.warns(WeightsWarning, match="-1 and 1 only: both are taken as classes"):
        model = DistanceWeightedClassifier().fit(X, 2 * y - 1, X_unlabeled=X_unlabeled)
    assert model.classes_.tolist() == [-1, 1]
    assert model.score(X, 2 * y - 1) == np.mean(model.predict(X) == 2 * y - 1)


def test_unlabeled_none_makes_minus_one_a_class_without_a_warning(data):
    X, y, X_unlabeled = data
    model = DistanceWeightedClassifier(unlabeled=None).fit(X, y - 1, X_unlabeled=X_unlabeled)
    assert model.classes_.tolist() == [-1, 0]


def test_y_without_a_label_is_refused(data):
    X, y = joined(data)
    with pytest.raises(ValueError, match="no labelled row: all 70"):
        DistanceWeightedClassifier().fit(X, np.full_like(y, -1))


def test_regression_marks_unlabelled_rows_by_nan(data):
    X, y = joined(data, np.nan)
    model = DistanceWeightedRegressor(Ridge(0.1)).fit(X, y)
    alone = Ridge(0.1).fit(X[:40], y[:40], sample_weight=model.sample_weight_)
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    np.testing.assert_array_equal(model.labeled_, np.arange(70) < 40)


def test_regression_of_several_outputs_has_all_of_them_or_none(data):
    X, y = joined(data, np.nan)
    Y = np.column_stack([y, 2 * y])
    assert DistanceWeightedRegressor().fit(X, Y).predict(X).shape == (70, 2)
    Y[5, 1] = np.nan
    with pytest.raises(ValueError, match="some of its 2 outputs at row 5"):
        DistanceWeightedRegressor().fit(X, Y)


def test_scores_are_taken_on_labelled_rows(data):
    X, y = joined(data)
    model = DistanceWeightedClassifier().fit(X, y)
    assert model.score(X, y) == model.score(X[:40], y[:40]) > 0.7
    targets = np.where(y == -1, np.nan, y)
    model = DistanceWeightedRegressor().fit(X, targets)
    assert model.score(X, targets) == model.score(X[:40], targets[:40]) > 0.2
    with pytest.raises(ValueError, match="no labelled row to score on"):
        model.score(X, np.full(70, np.nan))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_named(data, value):
    X, y = joined(data)
    X[50, 2] = value
    with pytest.raises(ValueError, match=r"X holds (NaN|infinity) at row 50, column 2"):
        DistanceWeightedClassifier().fit(X, y)
    with pytest.raises(ValueError, match="at row 50, column 'c'"):
        DistanceWeightedClassifier().fit(pd.DataFrame(X, columns=list("abc")), y)
    with pytest.raises(ValueError, match=r"X_unlabeled holds .* at row 50"):
        DistanceWeightedClassifier().fit(np.nan_to_num(X), y, X_unlabeled=X)


def test_x_unlabeled_of_another_width_or_other_columns_is_refused(data):
    X, y, X_unlabeled = data
    with pytest.raises(ValueError, match=r"X_unlabeled has shape \(30, 2\)"):
        DistanceWeightedClassifier().fit(X, y, X_unlabeled=X_unlabeled[:, :2])
    X, X_unlabeled = pd.DataFrame(X, columns=list("abc")), pd.DataFrame(X_unlabeled)
    with pytest.raises(ValueError, match="X_unlabeled has other columns"):
        DistanceWeightedClassifier().fit(X, y, X_unlabeled=X_unlabeled)


def test_a_dataframe_reaches_the_estimator_as_one(data):
    X, y = joined(data)
    frame, series = pd.DataFrame(X, columns=list("abc")), pd.Series(y)
    model = DistanceWeightedClassifier().fit(frame, series)
    assert model.feature_names_in_.tolist() == list("abc")
    assert model.estimator_.feature_names_in_.tolist() == list("abc")
    plain = DistanceWeightedClassifier().fit(X, y)
    np.testing.assert_array_equal(model.predict(frame), plain.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c"]])


def test_categories_are_compared_under_hamming():
    X = pd.DataFrame({"colour": list("rrggbb"), "size": list("SSMMLL")})
    y = [0, 1, 0, 1, -1, -1]
    model = DistanceWeightedClassifier(
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()), "hamming"
    )
    X.loc[4, "size"] = "M"
    w = distance_weights(X[:4], X[4:], "hamming")
    np.testing.assert_allclose(model.fit(X, y).sample_weight_, w / w.mean())
    assert model.predict(X).shape == (6,)
    X.loc[1, "size"] = None
    with pytest.raises(ValueError, match="X holds NaN at row 1, column 'size'"):
        model.fit(X, y)


def test_tensors_are_taken(data):
    X, y = joined(data)
    model = DistanceWeightedClassifier().fit(torch.tensor(X), torch.tensor(y))
    assert model.score(X, y) > 0.7
