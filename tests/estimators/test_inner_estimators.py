"""Promise: the weights reach any estimator: pipelines, searches, skorch nets, routing or not."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from estimator_rows import joined
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor

from semideep_ext import (
    DistanceWeightedClassifier,
    DistanceWeightedRegressor,
    SampleWeightMixin,
)

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


def scaled(estimator):
    """Put it behind a scaler, by the name that make_pipeline gives, or "net"."""
    name = "net" if isinstance(estimator, NeuralNetClassifier) else type(estimator).__name__.lower()
    return Pipeline([("scaler", StandardScaler()), (name, estimator)])


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


GRID = {"logisticregression__C": [1e-4, 1.0]}
# scikit-learn 1.8 warns where they are not given; 1.6 does not know them.
SINCE_1_8 = {"l1_ratios": (0.0,), "use_legacy_attributes": False}
if "use_legacy_attributes" not in LogisticRegressionCV().get_params():
    SINCE_1_8 = {}
ROUTED = {
    "search": KINDS["sample_weight"][2],
    "pipeline": KINDS["pipeline__logisticregression__sample_weight"][0],
    "search over a pipeline": GridSearchCV(scaled(LogisticRegression()), GRID, cv=2),
    "its scorer": GridSearchCV(scaled(LogisticRegression()), GRID, cv=2, scoring="f1"),
    "halving search": HalvingGridSearchCV(scaled(LogisticRegression()), GRID, cv=2),
    "pipeline of a search": scaled(GridSearchCV(LogisticRegression(), {"C": [1e-4, 1.0]}, cv=2)),
    "net": net(),
    "net in a pipeline": scaled(net()),
    "search over a net in a pipeline": GridSearchCV(scaled(net()), {"net__lr": [0.0, 0.5]}, cv=2),
    "own cross-validation": LogisticRegressionCV(Cs=2, cv=2, scoring="f1", **SINCE_1_8),
    "stacking": StackingClassifier([("logistic", LogisticRegression())], cv=2),
    "bagging": pytest.param(
        BaggingClassifier(scaled(LogisticRegression()), 3, random_state=0),
        marks=pytest.mark.skipif(not SINCE_1_8, reason="until scikit-learn 1.8 refused there"),
    ),
    "knows no routing": AdaBoostClassifier(n_estimators=3, random_state=0),
}


@pytest.mark.parametrize("estimator", ROUTED.values(), ids=ROUTED.keys())
def test_under_metadata_routing_the_same_is_fitted_without_any_request(data, estimator):
    X, y = joined(data)
    X = X.astype(np.float32)  # as nets want them
    fitted = []
    for routing in (False, True):
        torch.manual_seed(0)
        with sklearn.config_context(enable_metadata_routing=routing):
            fitted.append(DistanceWeightedClassifier(estimator, lambda_=2.0).fit(X, y))
    plain, routed = (model.predict_proba(X) for model in fitted)
    np.testing.assert_array_equal(routed, plain)
    assert np.ptp(plain[:, 0]) > 0.1  # nothing was chosen by scores that failed


def test_requests_that_were_made_are_followed(data):
    X, y = joined(data)
    with sklearn.config_context(enable_metadata_routing=True):
        asking = [
            StandardScaler().set_fit_request(sample_weight=True),
            LogisticRegression().set_fit_request(sample_weight=True),
        ]
        model = DistanceWeightedClassifier(make_pipeline(*asking)).fit(X, y)
        half = make_pipeline(asking[0], LogisticRegression())
        with pytest.raises(ValueError, match=r"not explicitly set .* LogisticRegression.fit"):
            DistanceWeightedClassifier(half).fit(X, y)
    mean = np.average(data[0], axis=0, weights=model.sample_weight_)
    np.testing.assert_allclose(model.estimator_[0].mean_, mean)


@pytest.mark.parametrize("routing", [False, True])
def test_what_passes_weights_on_by_request_alone_is_told_so_and_works_with_one(data, routing):
    said = r"OneVsRestClassifier passes .*set_fit_request"
    with (
        sklearn.config_context(enable_metadata_routing=routing),
        pytest.raises(ValueError, match=said),
    ):
        DistanceWeightedClassifier(OneVsRestClassifier(LogisticRegression())).fit(*joined(data))
    with sklearn.config_context(enable_metadata_routing=True):
        asking = LogisticRegression().set_fit_request(sample_weight=True)
        model = DistanceWeightedClassifier(OneVsRestClassifier(asking)).fit(*joined(data))
    alone = LogisticRegression().fit(*data[:2], model.sample_weight_)
    np.testing.assert_allclose(model.predict_proba(data[0]), alone.predict_proba(data[0]))


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


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (DistanceWeightedClassifier("logistic"), "'logistic' is no classifier: .*such as Logistic"),
        (DistanceWeightedClassifier(LogisticRegression), "LogisticRegression'> is no classifier"),
        (DistanceWeightedClassifier(torch.nn.Linear(3, 2)), "Linear.*there is WeightedTrainer"),
        (DistanceWeightedClassifier(Ridge()), r"estimator=Ridge\(\) is no classifier"),
        (DistanceWeightedRegressor(LogisticRegression()), "is no regressor: .*such as Ridge"),
        (DistanceWeightedClassifier(Pipeline([("last", "passthrough")])), "is no classifier"),
    ],
    ids=lambda value: repr(value.estimator)[:20] if hasattr(value, "estimator") else "",
)
def test_what_is_no_such_estimator_is_refused(data, model, said):
    with pytest.raises(TypeError, match=said):
        model.fit(*joined(data))


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
        (np.ones((2, 3), np.float32), [1], "1 weights for 2 training rows"),
        (np.ones((2, 3), np.float32), [1, np.nan], "sample_weight: weight nan at row 1"),
    ],
)
def test_a_skorch_net_refuses_what_it_cannot_weigh(X, w, message):
    with pytest.raises(ValueError, match=message):
        net().fit(X, np.array([0, 1]), sample_weight=w)


class Oversampler(BaseEstimator):
    """A step of imbalanced-learn's kind."""

    def fit_resample(self, X, y):
        return np.concatenate([X, X]), np.concatenate([y, y])


@pytest.mark.parametrize(
    "wrap",
    [lambda p: p, lambda p: GridSearchCV(p, {"last__C": [1.0]}, cv=2), lambda p: make_pipeline(p)],
    ids=["pipeline", "search", "nested"],
)
def test_a_resampler_inside_is_refused_by_name(data, wrap):
    inner = Pipeline([("over", Oversampler()), ("last", LogisticRegression())])
    with pytest.raises(ValueError, match=r"holds Oversampler, a resampler .*class_weight"):
        DistanceWeightedClassifier(wrap(inner)).fit(*joined(data))


AROUND = [
    CalibratedClassifierCV(DistanceWeightedClassifier(), cv=2),
    VotingClassifier([("ours", DistanceWeightedClassifier())]),
    StackingClassifier([("ours", DistanceWeightedClassifier())], cv=2),
    BaggingClassifier(DistanceWeightedClassifier(), 2, random_state=0),
    AdaBoostClassifier(DistanceWeightedClassifier(), n_estimators=2),
    CalibratedClassifierCV(make_pipeline(StandardScaler(), DistanceWeightedClassifier()), cv=2),
]


@pytest.mark.parametrize("around", AROUND, ids=lambda v: type(v).__name__)
def test_an_ensemble_around_would_learn_the_mark_as_a_class_and_is_refused(data, around):
    X, y = joined(data)
    said = f"{type(around).__name__} around DistanceWeightedClassifier takes the mark -1 .*inside"
    with pytest.raises(ValueError, match=said):
        around.fit(X, y)


@pytest.mark.parametrize("around", AROUND, ids=lambda v: type(v).__name__)
@pytest.mark.filterwarnings("ignore:there is no unlabelled row", "ignore:y holds -1 and 1 only")
@pytest.mark.parametrize("classes", [[0, 1], [-1, 1]], ids=str)
def test_an_ensemble_around_without_unlabelled_rows_is_fitted(data, around, classes):
    X, y, _ = data
    assert clone(around).fit(X, np.array(classes)[y]).classes_.tolist() == classes


@pytest.mark.parametrize(
    "inside",
    [CalibratedClassifierCV(cv=2), VotingClassifier([("lr", LogisticRegression())], voting="soft")],
    ids=lambda v: type(v).__name__,
)
def test_an_ensemble_inside_sees_labelled_rows_alone(data, inside):
    model = DistanceWeightedClassifier(inside).fit(*joined(data))
    alone = clone(inside).fit(*data[:2], sample_weight=model.sample_weight_)
    np.testing.assert_array_equal(model.predict_proba(data[0]), alone.predict_proba(data[0]))
    assert model.classes_.tolist() == [0, 1]
