"""Promises of the scikit-learn layer: any estimator, weighted towards the unlabelled rows."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from skorch import NeuralNetClassifier, NeuralNetRegressor

from semideep_ext import (
    DistanceWeightedClassifier,
    DistanceWeightedRegressor,
    DistanceWeightTransformer,
    LabeledSplit,
    SampleWeightMixin,
    WeightsWarning,
    distance_weights,
    median_lambda,
)

NO_UNLABELED = "ignore:there is no unlabelled row:semideep_ext.diagnostics.WeightsWarning"


@pytest.fixture
def data():
    """Forty labelled rows of two classes, thirty unlabelled ones near the second."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.normal(size=(40, 3)) + 2 * y[:, None]
    X_unlabeled = rng.normal(size=(30, 3)) + 1.5
    return X, y, X_unlabeled


def joined(data, mark=-1):
    """The same rows as one X and y."""
    X, y, X_unlabeled = data
    return np.concatenate([X, X_unlabeled]), np.concatenate([y, np.full(len(X_unlabeled), mark)])


# scikit-learn's own checks


class _Weighted:
    """The checks mark no row as unlabelled; this takes each row as labelled and unlabelled."""

    def fit(self, X, y, sample_weight=None):
        counts = None if sample_weight is None else np.asarray(sample_weight).astype(int)
        repeated = X if counts is None or not counts.any() else np.repeat(np.asarray(X), counts, 0)
        return super().fit(X, y, sample_weight, repeated)


class WeightedClassifier(_Weighted, DistanceWeightedClassifier):
    pass


class WeightedRegressor(_Weighted, DistanceWeightedRegressor):
    pass


CHECKED = [
    DistanceWeightedClassifier(),
    DistanceWeightedClassifier(DecisionTreeClassifier(random_state=0)),
    DistanceWeightedClassifier(make_pipeline(PolynomialFeatures(1), LogisticRegression())),
    DistanceWeightedClassifier(HistGradientBoostingClassifier(max_iter=5), unlabeled=None),
    WeightedClassifier(lambda_=0.1),
    DistanceWeightedRegressor(),
    DistanceWeightedRegressor(DecisionTreeRegressor(random_state=0)),
    WeightedRegressor(kernel="inverse"),
    DistanceWeightTransformer(),
    DistanceWeightTransformer("cosine", "median", log=True),
]


@pytest.mark.filterwarnings(
    NO_UNLABELED,
    "ignore:y holds -1 and 1 only:semideep_ext.diagnostics.WeightsWarning",
    "ignore:the .* weights .* are constant:semideep_ext.diagnostics.WeightsWarning",
    "ignore:.* weights .* are below:semideep_ext.diagnostics.WeightsWarning",
    "ignore:invalid value encountered in cast:RuntimeWarning",  # in a check itself
)
@parametrize_with_checks(CHECKED)
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def test_the_number_of_checks_is_as_expected():
    """Those of scikit-learn 1.9; another version has others, but never few."""
    counts = [len(list(estimator_checks_generator(estimator))) for estimator in CHECKED]
    if sklearn.__version__.startswith("1.9."):
        assert counts == [62] * 5 + [60] * 3 + [47] * 2
    assert min(counts) >= 40


# The weights


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


# Labels


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


def test_minus_one_made_a_string_by_numpy_is_refused_by_name(data):
    X, y = joined(data)
    with pytest.raises(ValueError, match=r"holds the string '-1'.*dtype=object"):
        DistanceWeightedClassifier().fit(X, y.astype(str))


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


def test_another_mark_may_be_chosen(data):
    model = DistanceWeightedClassifier(unlabeled=99).fit(*joined(data, 99))
    assert model.labeled_.sum() == 40


def test_y_without_a_label_is_refused(data):
    X, y = joined(data)
    with pytest.raises(ValueError, match="no labelled row: all 70"):
        DistanceWeightedClassifier().fit(X, np.full_like(y, -1))


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_label_is_refused_with_its_row(data, missing):
    X, y = joined(data)
    y = y.astype(object)
    y[3] = missing
    with pytest.raises(ValueError, match=r"at row 3 .*mark unlabelled rows with -1"):
        DistanceWeightedClassifier().fit(X, y)


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


# Rows


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


# Estimators


KINDS = {
    "sample_weight": [
        RandomForestClassifier(5, random_state=0),
        GradientBoostingClassifier(n_estimators=5, random_state=0),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
        VotingClassifier([("logistic", LogisticRegression())], voting="soft"),
    ],
    "pipeline__logisticregression__sample_weight": [
        make_pipeline(StandardScaler(), make_pipeline(LogisticRegression()))
    ],
    "logisticregression__sample_weight": [
        GridSearchCV(make_pipeline(LogisticRegression()), {"logisticregression__C": [1.0]}, cv=2)
    ],
}


@pytest.mark.parametrize(
    ("parameter", "estimator"),
    [(parameter, estimator) for parameter in KINDS for estimator in KINDS[parameter]],
    ids=lambda value: type(value).__name__,
)
def test_weights_reach_estimators_of_every_kind(data, parameter, estimator):
    X, y, _ = data
    model = DistanceWeightedClassifier(estimator, lambda_=2.0).fit(*joined(data))
    by_hand = clone(estimator).fit(X, y, **{parameter: model.sample_weight_})
    np.testing.assert_array_equal(model.predict_proba(X), by_hand.predict_proba(X))
    unweighted = clone(estimator).fit(X, y)
    assert np.abs(unweighted.predict_proba(X) - model.predict_proba(X)).max() > 0.01


@pytest.mark.parametrize(
    "estimator",
    [KINDS["sample_weight"][2], *KINDS["pipeline__logisticregression__sample_weight"]],
    ids=lambda value: type(value).__name__,
)
def test_under_metadata_routing_the_same_is_fitted_without_any_request(data, estimator):
    plain = DistanceWeightedClassifier(estimator, lambda_=2.0).fit(*joined(data))
    with sklearn.config_context(enable_metadata_routing=True):
        routed = DistanceWeightedClassifier(estimator, lambda_=2.0).fit(*joined(data))
    np.testing.assert_array_equal(routed.predict_proba(data[0]), plain.predict_proba(data[0]))


def test_a_transformer_of_a_pipeline_gets_no_weights_with_routing_or_without(data):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    plain = DistanceWeightedClassifier(pipeline).fit(*joined(data))
    with sklearn.config_context(enable_metadata_routing=True):
        routed = DistanceWeightedClassifier(pipeline).fit(*joined(data))
    np.testing.assert_array_equal(plain.estimator_[-1].coef_, routed.estimator_[-1].coef_)
    np.testing.assert_allclose(plain.estimator_[0].mean_, data[0].mean(0))


def test_a_request_that_refuses_the_weights_is_an_error(data):
    with sklearn.config_context(enable_metadata_routing=True):
        refusing = LogisticRegression().set_fit_request(sample_weight=False)
        with pytest.raises(ValueError, match="sample_weight=False"):
            DistanceWeightedClassifier(make_pipeline(refusing)).fit(*joined(data))


@pytest.mark.parametrize("routing", [False, True])
def test_the_estimator_given_is_neither_fitted_nor_changed(data, routing):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    with sklearn.config_context(enable_metadata_routing=routing):
        before = pickle.dumps(pipeline)
        DistanceWeightedClassifier(pipeline).fit(*joined(data))
        assert pickle.dumps(pipeline) == before


def test_an_estimator_without_sample_weight_is_refused_by_name(data):
    with pytest.raises(ValueError, match=r"KNeighborsClassifier.fit takes no sample_weight"):
        DistanceWeightedClassifier(KNeighborsClassifier()).fit(*joined(data))


class NetClassifier(SampleWeightMixin, NeuralNetClassifier):
    pass


class NetRegressor(SampleWeightMixin, NeuralNetRegressor):
    pass


def net(kind=NetClassifier, **options):
    torch.manual_seed(0)
    defaults = {"verbose": 0, "lr": 0.5, "max_epochs": 3, "train_split": None}
    if issubclass(kind, NeuralNetClassifier):
        defaults["criterion"] = torch.nn.CrossEntropyLoss
    outputs = 1 if kind is NetRegressor else 2
    return kind(torch.nn.Linear, module__in_features=3, module__out_features=outputs,
                **{**defaults, **options})  # fmt: skip


def test_a_skorch_net_is_fitted_with_the_weights(data):
    X, y = joined((data[0].astype(np.float32), data[1], data[2].astype(np.float32)))
    torch.manual_seed(0)
    model = DistanceWeightedClassifier(net()).fit(X, y)
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    w, target = torch.tensor(model.sample_weight_, dtype=torch.float32), torch.tensor(y[:40])
    step = torch.optim.SGD(layer.parameters(), lr=0.5)
    for _ in range(3):  # forty rows are one batch
        losses = torch.nn.functional.cross_entropy(layer(torch.tensor(X[:40])), target,
                                                   reduction="none")  # fmt: skip
        step.zero_grad()
        (w * losses).mean().backward()
        step.step()
    fitted = model.estimator_.module_.weight
    torch.testing.assert_close(fitted, layer.weight, rtol=1e-4, atol=1e-5)
    assert set(model.predict(X)) <= {0, 1}


def test_a_skorch_net_validates_with_weights_and_regresses(data):
    X, y, X_unlabeled = (a.astype(np.float32) for a in data)
    from skorch.dataset import ValidSplit

    split = net(train_split=ValidSplit(2, stratified=False)).fit(X, y.astype(int), np.ones(40))
    assert np.isfinite(split.history[-1, "valid_loss"])
    model = DistanceWeightedRegressor(net(NetRegressor, lr=0.01))
    assert model.fit(X, y[:, None], X_unlabeled=X_unlabeled).predict(X).shape == (40, 1)


def test_a_skorch_net_without_weights_is_as_it_was(data):
    X, y, _ = data
    torch.manual_seed(0)
    plain = net(NeuralNetClassifier).fit(X.astype(np.float32), y)
    torch.manual_seed(0)
    mixed = net().fit(X.astype(np.float32), y)
    torch.testing.assert_close(mixed.module_.weight, plain.module_.weight)


def test_a_skorch_net_without_the_mixin_is_told_of_it(data):
    with pytest.raises(ValueError, match=r"class Net.SampleWeightMixin, NeuralNetClassifier"):
        DistanceWeightedClassifier(net(NeuralNetClassifier)).fit(*joined(data))


@pytest.mark.parametrize(
    ("X", "w", "message"),
    [
        (pd.DataFrame(np.ones((2, 3))), [1, 1], "X is a DataFrame"),
        (np.ones((2, 3), np.float32), [1], r"shape \(1,\) for 2 rows"),
    ],
)
def test_a_skorch_net_refuses_what_it_cannot_weigh(X, w, message):
    with pytest.raises(ValueError, match=message):
        net().fit(X, np.array([0, 1]), sample_weight=w)


# scikit-learn's tools


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
    from sklearn.model_selection import GroupKFold

    _, y = joined(data)
    groups = np.arange(70) // 5
    for train, test in LabeledSplit(GroupKFold(2)).split(None, y, groups):
        assert not set(groups[train][y[train] != -1]) & set(groups[test])


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


# The transformer


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
