"""Promises of how a trainer weighs its rows."""

import numpy as np
import pandas as pd
import pytest
import torch
from blobs import blobs, trainer
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from torch import nn

from semideep_ext.op import libraries
from semideep_ext.op.functional import distance_weights
from semideep_ext.training import row_weights
from semideep_ext.training.trainer import WeightedTrainer
from semideep_ext.weighting import scales
from semideep_ext.weighting.scales import median_lambda


@pytest.mark.parametrize(("weights", "kernel"), [("distance", "exponential"), ("idw", "inverse")])
def test_named_weights_are_those_of_the_op(weights, kernel):
    X, _ = blobs()
    t = trainer(normalize=False, weights=weights, X_test=X[:9] + 0.1, lambda_=0.3)
    expected = distance_weights(X, X[:9] + 0.1, "euclidean", 0.3, kernel=kernel)
    np.testing.assert_allclose(t.sample_weights, expected)


def test_a_duplicate_row_weighs_at_most_one_over_eps():
    X, _ = blobs()
    assert trainer(normalize=False, weights="idw", X_test=X).sample_weights.max() <= 1e3


def test_the_metric_is_passed_on():
    X, _ = blobs()
    t = trainer(normalize=False, weights="distance", X_test=X[:9], distance_metric="cosine")
    np.testing.assert_allclose(t.sample_weights, distance_weights(X, X[:9], "cosine"))


def test_the_median_sets_lambda():
    X, _ = blobs()
    t = trainer(normalize=False, weights="distance", X_test=X[:9], lambda_="median")
    lambda_ = median_lambda(X, X[:9])
    np.testing.assert_allclose(t.sample_weights, distance_weights(X, X[:9], lambda_=lambda_))
    with pytest.raises(ValueError, match="median"):
        trainer(normalize=False, weights="distance", X_test=X[:9], lambda_="mean")


def test_rows_of_two_precisions_go_together():
    X, _ = blobs()
    t = trainer(normalize=False, weights="distance", X_test=X[:9].astype(np.float32))
    np.testing.assert_allclose(t.sample_weights, distance_weights(X, X[:9]), rtol=1e-6)


def test_no_weights_are_none():
    assert trainer(weights=None).sample_weights is None


@pytest.mark.parametrize("convert", [list, pd.Series, torch.tensor])
def test_given_weights_may_be_any_sequence(convert):
    w = np.arange(60.0)
    np.testing.assert_array_equal(trainer(normalize=False, weights=convert(w)).sample_weights, w)


def test_an_unknown_weights_string_is_refused_with_the_choices():
    with pytest.raises(
        ValueError, match="weights='distence': choose one of 'none', 'distance', 'idw'"
    ):
        trainer(weights="distence")


@pytest.mark.parametrize(
    ("w", "found"),
    [
        (np.ones(59), "59 weights for 60 training rows"),
        (np.ones((60, 1)), r"shape \(60, 1\)"),
        (np.r_[np.ones(59), -1], "weight -1.0 at row 59"),
        (np.r_[np.nan, np.ones(59)], "weight nan at row 0"),
        (np.r_[np.inf, np.ones(59)], "weight inf at row 0"),
    ],
    ids=["length", "2-d", "negative", "NaN", "inf"],
)
def test_wrong_weights_are_refused(w, found):
    with pytest.raises(ValueError, match=found):
        trainer(weights=w)


@pytest.mark.parametrize("weights", ["distance", "idw"])
def test_named_weights_need_test_rows(weights):
    with pytest.raises(ValueError, match="needs unlabelled rows to resemble: give X_test, or mark"):
        trainer(weights=weights)


def test_test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"X_test has shape \(5, 3\), X_train rows have"):
        trainer(weights="distance", X_test=np.zeros((5, 3)))


def test_the_error_of_an_unknown_string_names_every_choice():
    with pytest.raises(ValueError, match=r"an array.*, a callable of .*, or None"):
        trainer(weights="Distance")


def test_a_callable_gets_the_rows_and_gives_the_weights():
    X, _ = blobs()

    def weights(train, test):
        assert (train.shape, test.shape) == ((60, 2), (9, 2))
        return train[:, 0] ** 2 + test.mean() ** 2

    t = trainer(normalize=False, weights=weights, X_test=X[:9])
    np.testing.assert_allclose(t.sample_weights, X[:, 0] ** 2 + X[:9].mean() ** 2)


def test_a_callable_works_without_test_rows():
    t = trainer(weights=lambda train, test: np.full(len(train), 1.0 if test is None else 2.0))
    np.testing.assert_array_equal(t.sample_weights, np.ones(60))


def test_what_a_callable_gives_is_checked():
    with pytest.raises(ValueError, match=r"weights\(X_train, X_test\): 59 weights for 60"):
        trainer(weights=lambda train, test: np.ones(59))


@pytest.mark.parametrize("weights", ["distance", "idw", np.arange(60.0)], ids=str)
def test_weights_have_mean_one_unless_told_otherwise_and_the_ratios_of_the_formula(weights):
    X, _ = blobs()
    plain = trainer(weights=weights, X_test=X[:9], normalize=False).sample_weights
    w = trainer(weights=weights, X_test=X[:9]).sample_weights
    assert w.mean() == pytest.approx(1)
    np.testing.assert_allclose(w, plain / plain.mean(), rtol=1e-5)


@pytest.mark.parametrize(("normalize", "learns"), [(True, True), (False, False)])
def test_the_size_of_a_step_does_not_depend_on_the_number_of_features(normalize, learns):
    """Of the digits, the weights of the formula average .0014: a thousandth of the steps of SGD."""
    X, y = load_digits(return_X_y=True)
    X, y = StandardScaler().fit_transform(X[:1000]), y[:1000]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    options = {"normalize": normalize, "learning_rate": 0.1, "epochs": 10, "verbose": False}
    t = WeightedTrainer(
        model, X[:600], y[:600], X[600:], optimizer=torch.optim.SGD, device="cpu", seed=0, **options
    )
    t.train()
    assert (t.evaluate(X[600:], y[600:])["accuracy"] > 0.85) == learns


def test_normalised_weights_survive_underflow():
    X, _ = blobs()
    w = trainer(weights="distance", X_test=X[:9] + 3000).sample_weights
    assert w.mean() == pytest.approx(1, rel=1e-5)
    assert w.min() < w.max() / 2


@pytest.mark.filterwarnings("ignore:the 60 weights .* amount to")
def test_idw_eps_and_cap_bound_a_duplicate_row():
    X, _ = blobs()
    assert trainer(normalize=False, weights="idw", X_test=X[:1], idw_eps=0.5).sample_weights[0] == 2
    capped = trainer(normalize=False, weights="idw", X_test=X[:1], idw_cap=7.0).sample_weights
    free = trainer(normalize=False, weights="idw", X_test=X[:1]).sample_weights
    np.testing.assert_allclose(capped, free.clip(max=7.0))
    assert free.max() > capped.max() == 7


def test_the_cap_comes_before_normalisation():
    X, _ = blobs()
    w = trainer(weights="idw", X_test=X[:1], idw_cap=7.0).sample_weights
    assert w.mean() == pytest.approx(1)
    expected = distance_weights(X, X[:1], kernel="inverse").clip(max=7)
    np.testing.assert_allclose(w, expected / expected.mean())


@pytest.mark.parametrize(("weights", "cap"), [("distance", 1.0), ("idw", 0), (None, 2.0)])
def test_a_cap_without_use_is_refused(weights, cap):
    with pytest.raises(ValueError, match="idw_cap"):
        trainer(weights=weights, X_test=blobs()[0], idw_cap=cap)


# Weights by class


@pytest.mark.parametrize("class_weight", ["balanced", {"a": 2.0, "b": 2 / 3}])
def test_class_weights_multiply_the_loss_of_their_rows(class_weight):
    y = np.array(["a"] * 15 + ["b"] * 45)
    w = np.linspace(1, 2, 60)
    options = {"y": y, "epochs": 1, "learning_rate": 0.0, "batch_size": 60}
    by_class = trainer(normalize=False, weights=w, class_weight=class_weight, **options)
    by_row = trainer(normalize=False, weights=w * np.where(y == "a", 2.0, 2 / 3), **options)
    assert by_class.train()["train_loss"] == pytest.approx(by_row.train()["train_loss"])
    np.testing.assert_array_equal(by_class.sample_weights, w)


def test_class_weights_need_no_row_weights_and_default_to_one():
    _, y = blobs()
    t = trainer(normalize=False, class_weight={1: 3.0}, epochs=1, learning_rate=0.0)
    expected = trainer(
        normalize=False, weights=np.where(y == 1, 3.0, 1.0), epochs=1, learning_rate=0.0
    )
    assert t.train()["train_loss"] == expected.train()["train_loss"]


@pytest.mark.parametrize(
    ("class_weight", "found"),
    [
        ({2: 1.0}, r"class_weight names 2; y_train has \[0, 1\]"),
        ("even", "class_weight='even'"),
        ({0: -1.0}, r"class_weight\[0\]=-1.0: give a finite number >= 0"),
        ({0: "a"}, r"class_weight\[0\]='a'"),
    ],
)
def test_wrong_class_weights_are_refused(class_weight, found):
    with pytest.raises(ValueError, match=found):
        trainer(class_weight=class_weight)


# Weights by the model's own features


class Weights:
    """Notes the weights and the features of each epoch."""

    def __init__(self):
        self.weights, self.features = [], []

    def on_epoch_begin(self, trainer, **_):
        X = torch.tensor(blobs()[0], dtype=torch.float32)
        self.weights.append(trainer.sample_weights.copy())
        self.features.append(trainer.model[:2](X).detach())


def deep():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2))


@pytest.mark.parametrize("kind", [None, "1", "function"])
def test_weights_are_those_of_the_features_every_k_epochs(kind):
    noted, model = Weights(), deep()
    features = model[:2] if kind == "function" else kind
    X, _ = blobs()
    options = {"weights": "distance", "X_test": X[:9], "recompute_every": 2, "features": features}
    trainer(normalize=False, model=model, callbacks=[noted], epochs=5, **options).train()
    np.testing.assert_allclose(noted.weights[0], distance_weights(X, X[:9]), rtol=1e-6)
    for epoch in (2, 4):  # without dropout, at the start of the epoch
        f = noted.features[epoch]
        np.testing.assert_allclose(noted.weights[epoch], distance_weights(f, f[:9]), rtol=1e-5)
    for epoch in (1, 3):
        np.testing.assert_array_equal(noted.weights[epoch], noted.weights[epoch - 1])


def test_recomputed_weights_are_the_ones_trained_with():
    X, y = blobs()
    options = {"weights": "distance", "X_test": X[:9], "epochs": 2, "learning_rate": 0.0}
    options["normalize"] = False
    model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))
    t = trainer(model=model, recompute_every=1, **options)
    t.train()
    rows = nn.functional.cross_entropy(
        model(torch.tensor(X, dtype=torch.float32)), torch.tensor(y), reduction="none"
    )
    expected = (torch.tensor(t.sample_weights) * rows).mean().item()
    assert t.history["train_loss"][1] == pytest.approx(expected, rel=1e-5)
    assert t.history["train_loss"][0] != pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"recompute_every": 0}, "recompute_every=0"),
        ({"recompute_every": 1, "weights": np.ones(60)}, "weights that follow from rows"),
        ({"recompute_every": 1, "X_test": None, "weights": lambda x, y: x[:, 0] ** 2}, "X_test"),
    ],
    ids=["never", "given weights", "no test rows"],
)
def test_recomputation_that_cannot_be_is_refused(options, found):
    with pytest.raises(ValueError, match=found):
        trainer(**{"weights": "distance", "X_test": blobs()[0][:9], **options})


@pytest.mark.parametrize(
    ("model", "features", "found"),
    [(nn.Linear(2, 2), "body", "no such submodule"), (nn.Identity(), None, r"no nn\.Linear")],
)
def test_features_that_the_model_lacks_are_refused(model, features, found):
    sgd = torch.optim.SGD([torch.ones(1, requires_grad=True)])
    options = {"weights": "distance", "X_test": blobs()[0][:9], "recompute_every": 1}
    with pytest.raises(ValueError, match=found):
        trainer(model=model, features=features, optimizer=sgd, **options)


def test_features_without_use_are_refused():
    with pytest.raises(ValueError, match="features='0' without recompute_every"):
        trainer(features="0")


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Unused(nn.Sequential):
    """A model of which the last linear layer takes no part."""

    def forward(self, x):
        return self[0](x)


@pytest.mark.parametrize(
    ("model", "features", "found"),
    [
        (nn.Linear(2, 2), lambda x: x.mean(), r"there is a \(\) tensor"),
        (nn.Linear(2, 2), lambda x: x[:3], r"there is a \(3, 2\) tensor"),
        (Unused(nn.Linear(2, 2), Pair()), "1", "there is a NoneType"),
        (Unused(nn.Linear(2, 2), nn.Linear(2, 2)), None, "there is a NoneType"),
        (nn.Linear(2, 2), lambda x: x / 0, "NaN or infinity"),
    ],
    ids=["number", "fewer rows", "not run", "last layer not run", "infinite"],
)
def test_features_that_are_no_rows_are_refused(model, features, found):
    options = {"weights": "distance", "X_test": blobs()[0][:9], "recompute_every": 1}
    with pytest.raises(ValueError, match=found):
        trainer(model=model, features=features, **options).train()


# Where weights are computed


@pytest.fixture
def devices(monkeypatch):
    """The devices of all rows that the op gets, of which it computes nothing."""
    noted = set()

    def note(x, y, *_, **__):
        noted.update((x.device.type, y.device.type))
        return torch.linspace(1, 2, len(x))

    monkeypatch.setattr(row_weights, "distance_weights", note)
    return noted


def test_weights_are_computed_on_the_device_that_is_chosen(devices, monkeypatch):
    monkeypatch.setattr(row_weights, "device_of_weights", lambda device: torch.device("meta"))
    options = {"weights": "distance", "X_test": blobs()[0][:9], "recompute_every": 1, "epochs": 2}
    options["normalize"] = False
    t = trainer(model=deep(), **options)
    assert devices == {"meta"}
    devices.clear()
    t.train()
    assert devices == {"meta"}
    assert t._data.row_weights.device.type == "cpu"  # where the loop uses them
    np.testing.assert_array_equal(t.sample_weights, t._data.row_weights)


@pytest.mark.parametrize(
    ("device", "problem", "expected"),
    [
        ("cpu", "", "cpu"),
        ("cuda:1", "", "cuda:1"),
        ("cuda", "no kernels", "cpu"),
        ("mps", "", "cpu"),
        ("xpu", "", "cpu"),
    ],
)
def test_weights_are_computed_where_there_are_kernels(device, problem, expected, monkeypatch):
    monkeypatch.setattr(libraries, "CUDA_PROBLEM", problem)
    assert row_weights.device_of_weights(torch.device(device)) == torch.device(expected)


def test_the_median_is_that_of_the_function_also_of_many_rows(monkeypatch):
    monkeypatch.setattr(scales, "SAMPLE", 16)
    X, _ = blobs()
    t = trainer(normalize=False, weights="distance", X_test=X[:9], lambda_="median")
    lambda_ = median_lambda(X, X[:9])
    np.testing.assert_array_equal(t.sample_weights, distance_weights(X, X[:9], lambda_=lambda_))


def test_the_median_of_features_sets_lambda_anew():
    X, _ = blobs()
    noted, model = Weights(), deep()
    options = {"weights": "distance", "X_test": X[:9], "recompute_every": 1, "lambda_": "median"}
    trainer(normalize=False, model=model, callbacks=[noted], epochs=2, **options).train()
    f = noted.features[1]
    lambda_ = median_lambda(f, f[:9])
    expected = distance_weights(f, f[:9], lambda_=lambda_)
    np.testing.assert_allclose(noted.weights[1], expected, rtol=1e-5)


def test_one_lambda_is_allowed():
    with pytest.raises(ValueError, match=r"lambda_=\[0.5, 1.0\]: give one number > 0"):
        trainer(weights="distance", X_test=blobs()[0], lambda_=[0.5, 1.0])
