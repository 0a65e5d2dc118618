"""Promises of semideep_ext.trainer: a plain loop that does what its arguments say."""

import builtins
import math
import os

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from semideep_ext.functional import distance_weights
from semideep_ext.losses import WeightedBCEWithLogitsLoss, WeightedLoss
from semideep_ext.trainer import WeightedTrainer

KEYS = ["train_loss", "val_loss", "accuracy", "precision", "recall", "f1", "auc"]


def blobs(classes=2, n=60):
    """Well separated groups of rows in the plane, and their numbers."""
    generator = np.random.default_rng(0)
    y = np.arange(n) % classes
    centres = 4 * np.stack([np.cos(np.arange(classes) * 2), np.sin(np.arange(classes) * 2)], 1)
    return centres[y] + generator.normal(scale=0.5, size=(n, 2)), y


def trainer(y=None, outputs=2, X=None, model=None, **options):
    """Build a trainer that learns the blobs in a few quick epochs, unless told otherwise."""
    torch.manual_seed(0)
    blob_X, blob_y = blobs()
    X, y = blob_X if X is None else X, blob_y if y is None else y
    defaults = {"weights": None, "learning_rate": 0.1, "epochs": 5, "verbose": False}
    return WeightedTrainer(
        model or nn.Linear(2, outputs), X, y, device="cpu", **{**defaults, **options}
    )


class Probe(nn.Module):
    """A linear model that notes, at each call, whether it is in training mode."""

    def __init__(self):
        super().__init__()
        self.linear, self.dropout, self.modes = nn.Linear(2, 2), nn.Dropout(0.5), []

    def forward(self, x):
        self.modes.append((self.training, self.dropout.training))
        return self.linear(self.dropout(x))


# The loop


def test_defaults_are_those_of_semideep():
    X, y = blobs()
    t = WeightedTrainer(nn.Linear(2, 2), X, y, X)
    assert (t.batch_size, t.epochs, t.verbose, t.optimizer.defaults["lr"]) == (32, 100, True, 0.001)


def test_dropout_is_active_in_every_epoch_when_validating():
    probe = Probe()
    trainer(model=probe, batch_size=60, epochs=3).train(*blobs())
    training_then_validation = [(True, True), (False, False)]
    assert probe.modes == training_then_validation * 3


def test_a_model_that_comes_in_evaluation_mode_trains_in_training_mode():
    probe = Probe().eval()
    trainer(model=probe, batch_size=60, epochs=1).train()
    assert probe.modes == [(True, True)]


def test_evaluation_restores_the_mode_of_each_module():
    t = trainer(model=Probe())
    t.model.train()
    t.model.dropout.eval()  # frozen by its owner
    t.evaluate(*blobs())
    assert (t.model.training, t.model.dropout.training) == (True, False)


def test_evaluation_restores_the_mode_after_an_error():
    t = trainer(model=nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        t.predict(blobs()[0])
    assert t.model.training


@pytest.mark.parametrize("batch_size", [1, 7, 60, 100])
def test_train_loss_is_the_weighted_mean_over_rows(batch_size):
    X, y = blobs(n=61)
    w = np.linspace(0, 3, 61)
    t = trainer(X=X, y=y, weights=w, batch_size=batch_size, learning_rate=0.0, epochs=1)
    logits = t.model(torch.tensor(X, dtype=torch.float32))
    rows = nn.functional.cross_entropy(logits, torch.tensor(y), reduction="none")
    expected = (torch.tensor(w) * rows).mean().item()
    assert t.train()["train_loss"] == [pytest.approx(expected, rel=1e-5)]


def test_val_loss_is_the_unweighted_mean_over_rows():
    t = trainer(weights=np.full(60, 9.0), batch_size=7)
    X, y = blobs()
    logits = t.model(torch.tensor(X, dtype=torch.float32))
    expected = nn.functional.cross_entropy(logits, torch.tensor(y)).item()
    assert t.evaluate(X, y)["val_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_sums_reports_the_same_train_loss():
    options = {"learning_rate": 0.0, "epochs": 1, "batch_size": 7}
    summed = trainer(loss_fn=WeightedLoss(reduction="sum"), **options).train()["train_loss"]
    assert summed == pytest.approx(trainer(**options).train()["train_loss"], rel=1e-5)


def test_each_step_follows_the_gradient_of_the_weighted_loss():
    X, y = blobs(n=4)
    w = np.array([2.0, 0.0, 1.0, 0.5])
    model = nn.Linear(2, 2)
    weight, bias = (p.detach().clone().requires_grad_() for p in model.parameters())
    for _ in range(2):
        logits = torch.tensor(X, dtype=torch.float32) @ weight.T + bias
        rows = nn.functional.cross_entropy(logits, torch.tensor(y), reduction="none")
        gradients = torch.autograd.grad((torch.tensor(w) * rows).mean(), (weight, bias))
        weight, bias = weight - gradients[0], bias - gradients[1]
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    trainer(X=X, y=y, model=model, weights=w, epochs=2, optimizer=sgd).train()
    torch.testing.assert_close(model.weight.detach(), weight.detach(), rtol=1e-5, atol=1e-5)


def test_rows_of_weight_zero_are_not_learned_from():
    X, y = blobs()
    lies = y.copy()
    lies[:30] = 1 - lies[:30]
    t = trainer(y=lies, weights=np.arange(60) >= 30, epochs=20)
    t.train()
    assert t.evaluate(X, y)["accuracy"] == 1.0


def test_the_rows_are_shuffled_in_every_epoch():
    seen = []
    model = nn.Linear(2, 2)
    model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].clone()))
    trainer(model=model, batch_size=60, epochs=2).train()
    assert not torch.equal(*seen) and torch.equal(seen[0].sort(0)[0], seen[1].sort(0)[0])


def test_no_batch_is_a_leftover_row():
    X, y = blobs(n=33)  # two batches: 17 and 16, not 32 and 1
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    assert math.isfinite(trainer(X=X, y=y, model=model).train()["train_loss"][-1])


def test_one_seed_gives_one_result():
    first, second = (trainer().train(*blobs()) for _ in range(2))
    assert first == second


def test_history_has_a_value_per_epoch_under_each_name():
    history = trainer(epochs=3).train(*blobs())
    assert {key: len(values) for key, values in history.items()} == dict.fromkeys(KEYS, 3)


def test_history_without_validation_holds_the_training_loss_only():
    history = trainer(epochs=3).train()
    assert [key for key in KEYS if history[key]] == ["train_loss"]


def test_a_given_optimizer_is_used():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    assert trainer(model=model, optimizer=optimizer).optimizer is optimizer


def test_verbose_shows_one_progress_bar(capfd):
    trainer(verbose=True, epochs=2).train(*blobs())
    assert "epochs: 100%" in capfd.readouterr().err


def test_quiet_training_prints_nothing(capfd):
    trainer().train(*blobs())
    assert capfd.readouterr() == ("", "")


def test_missing_tqdm_is_named_with_its_extra(monkeypatch):
    real = builtins.__import__

    def without_tqdm(name, *arguments, **options):
        if name.startswith("tqdm"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_tqdm)
    with pytest.raises(ImportError, match=r"pip install semideep_ext\[train\]"):
        trainer(verbose=True).train()


# Weights


@pytest.mark.parametrize(("weights", "kernel"), [("distance", "exponential"), ("idw", "inverse")])
def test_named_weights_are_those_of_the_op(weights, kernel):
    X, _ = blobs()
    t = trainer(weights=weights, X_test=X[:9] + 0.1, lambda_=0.3)
    expected = distance_weights(X, X[:9] + 0.1, "euclidean", 0.3, kernel=kernel)
    np.testing.assert_allclose(t.sample_weights, expected)


def test_a_duplicate_row_weighs_at_most_one_over_eps():
    X, _ = blobs()
    assert trainer(weights="idw", X_test=X).sample_weights.max() <= 1e3


def test_the_metric_is_passed_on():
    X, _ = blobs()
    t = trainer(weights="distance", X_test=X[:9], distance_metric="cosine")
    np.testing.assert_allclose(t.sample_weights, distance_weights(X, X[:9], "cosine"))


def test_rows_of_two_precisions_go_together():
    X, _ = blobs()
    t = trainer(weights="distance", X_test=X[:9].astype(np.float32))
    np.testing.assert_allclose(t.sample_weights, distance_weights(X, X[:9]), rtol=1e-6)


def test_no_weights_are_none():
    assert trainer(weights=None).sample_weights is None


@pytest.mark.parametrize("convert", [list, pd.Series, torch.tensor])
def test_given_weights_may_be_any_sequence(convert):
    w = np.arange(60.0)
    np.testing.assert_array_equal(trainer(weights=convert(w)).sample_weights, w)


def test_an_unknown_weights_string_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="weights='distence': choose 'distance', 'idw'"):
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
    with pytest.raises(ValueError, match="needs X_test"):
        trainer(weights=weights)


def test_test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"X_train has shape \(60, 2\) and X_test \(5, 3\)"):
        trainer(weights="distance", X_test=np.zeros((5, 3)))


# Data


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
@pytest.mark.parametrize("where", ["X_train", "X_test", "X_val", "X"])
def test_values_that_are_not_finite_are_named_by_row_and_column(where, value):
    good, y = blobs()
    bad = good.copy()
    bad[7, 1] = value
    with pytest.raises(ValueError, match=f"{where} holds .* at row 7, column 1"):
        if where == "X_train":
            trainer(X=bad)
        elif where == "X_test":
            trainer(weights="distance", X_test=bad)
        elif where == "X_val":
            trainer().train(bad, y)
        else:
            trainer().predict(bad)


def test_columns_of_a_dataframe_are_named():
    frame = pd.DataFrame(blobs()[0], columns=["height", "age"])
    frame.loc[3, "age"] = np.nan
    with pytest.raises(ValueError, match="row 3, column 'age'"):
        trainer(X=frame)


def test_columns_of_text_are_refused():
    with pytest.raises(ValueError, match="X_train is not numeric"):
        trainer(X=pd.DataFrame({"a": ["x"] * 60}))


def test_dataframes_train_like_arrays():
    X, y = blobs()
    frames = trainer(X=pd.DataFrame(X), y=pd.Series(y)).train(pd.DataFrame(X), pd.DataFrame(y))
    assert frames == trainer(X=X, y=y).train(X, y)


def test_tensors_train_like_arrays():
    X, y = blobs()
    tensors = trainer(X=torch.tensor(X), y=torch.tensor(y)).train()
    assert tensors == trainer(X=X, y=y).train()


def test_the_data_are_not_changed():
    X, y = blobs()
    trainer(X=X, y=y).train(X, y)
    np.testing.assert_array_equal(X, blobs()[0])


@pytest.mark.parametrize("labels", [blobs()[1][:-1], np.zeros((60, 2))])
def test_labels_of_another_length_are_refused(labels):
    with pytest.raises(ValueError, match=r"y_train has shape .* for 60 rows"):
        trainer(y=labels)


def test_validation_labels_of_another_length_are_refused():
    X, y = blobs()
    with pytest.raises(ValueError, match="y_val has shape"):
        trainer().train(X, y[:-1])


def test_validation_rows_without_labels_are_refused():
    with pytest.raises(ValueError, match="both X_val and y_val"):
        trainer().train(blobs()[0])


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"X has shape \(4, 3\)"):
        trainer().predict(np.zeros((4, 3)))


def test_missing_labels_are_refused():
    with pytest.raises(ValueError, match="no label at row 2"):
        trainer(y=["a", "b", None, *"ab" * 28, "a"])


@pytest.mark.parametrize(
    ("option", "value"), [("batch_size", 0), ("epochs", -1), ("batch_size", 2.5), ("epochs", "10")]
)
def test_impossible_settings_are_refused(option, value):
    with pytest.raises(ValueError, match=f"{option}={value!r}"):
        trainer(**{option: value})


def test_missing_labels_of_pandas_are_refused():
    labels = pd.Series(["a", "b"] * 30, dtype="string")
    labels[4] = pd.NA
    with pytest.raises(ValueError, match="no label at row 4"):
        trainer(y=labels)


def test_missing_numbers_of_pandas_are_named_by_row_and_column():
    X = pd.DataFrame(blobs()[0].round(), columns=["a", "b"]).astype("Int64")
    X.loc[3, "b"] = pd.NA
    with pytest.raises(ValueError, match="at row 3, column 'b'"):
        trainer(X=X)


def test_masked_rows_are_refused():
    with pytest.raises(ValueError, match="X_train is a masked array"):
        trainer(X=np.ma.masked_array(blobs()[0], mask=blobs()[0] > 4, fill_value=-999))


def test_columns_in_another_order_are_refused():
    X = pd.DataFrame(blobs()[0], columns=["a", "b"])
    shuffled = X[["b", "a"]]
    with pytest.raises(ValueError, match="X_test has the same columns in another order"):
        trainer(X=X, X_test=shuffled, weights="distance")
    with pytest.raises(ValueError, match="X has the same columns in another order"):
        trainer(X=X).predict(shuffled)


def test_weights_of_zero_throughout_are_refused():
    with pytest.raises(ValueError, match="all 0"):
        trainer(weights=np.zeros(60))


# Labels and outputs


def test_a_model_of_probabilities_is_scored_by_them():
    model = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    learned = trainer(model=model, loss_fn=nn.BCELoss(), epochs=20)
    learned.train()
    X, y = blobs()
    with torch.no_grad():
        p = model(torch.tensor(X, dtype=torch.float32)).ravel().numpy()
    np.testing.assert_allclose(learned.predict_proba(X)[:, 1], p, rtol=1e-6)
    assert learned.evaluate(X, y)["accuracy"] == 1


@pytest.mark.parametrize(
    "names", [("no", "yes"), (-1, 1), (0.5, 2.5), (False, True), (10, 20)], ids=str
)
def test_labels_of_any_type_come_back_from_predict(names):
    X, y = blobs()
    labels = np.array(names)[y]
    t = trainer(y=labels, epochs=20)
    t.train(X, labels)
    np.testing.assert_array_equal(t.predict(X), labels)


def test_a_label_that_training_lacks_is_named():
    X, y = blobs()
    with pytest.raises(ValueError, match=r"y_val holds labels that y_train does not: \['maybe'\]"):
        trainer(y=np.array(["no", "yes"])[y]).train(X[:2], ["no", "maybe"])


def test_three_outputs_learn_two_classes():
    X, y = blobs()
    t = trainer(outputs=3, epochs=20)
    t.train(X, y)
    assert t.evaluate(X, y)["accuracy"] == 1.0


def test_three_outputs_give_probabilities_of_the_two_classes():
    p = trainer(outputs=3).predict_proba(blobs()[0])
    assert p.shape == (60, 2)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)


def test_three_classes_are_learned():
    X, y = blobs(3)
    t = trainer(X=X, y=y, outputs=3, epochs=40)
    t.train()
    scores = t.evaluate(X, y)
    assert [scores[key] for key in KEYS[2:]] == pytest.approx([1.0] * 5)


def test_too_few_outputs_are_refused():
    X, y = blobs(3)
    with pytest.raises(ValueError, match=r"shape \(30, 2\); y_train has 3 classes"):
        trainer(X=X, y=y).train()


@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize("loss", [WeightedBCEWithLogitsLoss, nn.BCEWithLogitsLoss])
def test_one_logit_learns_with_a_binary_loss(squeeze, loss):
    X, y = blobs()
    model = nn.Sequential(nn.Linear(2, 1), *([nn.Flatten(0)] if squeeze else []))
    t = trainer(model=model, y=np.array(["no", "yes"])[y], loss_fn=loss(), epochs=20)
    t.train()
    assert (t.predict(X) == np.array(["no", "yes"])[y]).all()


def test_one_logit_gives_two_probabilities():
    t = trainer(outputs=1, loss_fn=WeightedBCEWithLogitsLoss())
    X = blobs()[0]
    p = t.model(torch.tensor(X, dtype=torch.float32)).sigmoid().detach().numpy()
    np.testing.assert_allclose(t.predict_proba(X), np.hstack([1 - p, p]), rtol=1e-6)


def test_one_logit_with_cross_entropy_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="loss_fn=WeightedBCEWithLogitsLoss"):
        trainer(outputs=1).train()


def test_a_plain_loss_is_weighted_too():
    w = np.linspace(0, 2, 60)
    plain = trainer(weights=w, loss_fn=nn.CrossEntropyLoss()).train()
    assert plain == trainer(weights=w).train()


def test_a_plain_loss_keeps_its_reduction():
    loss = nn.CrossEntropyLoss()
    trainer(loss_fn=loss).train(*blobs())
    assert loss.reduction == "mean"


def test_a_loss_without_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction='none'"):
        trainer(loss_fn=WeightedLoss(reduction="none"))


# Scores


def scored(logits, y, classes):
    """Scores of a model that answers with the given logits."""
    X = np.asarray(logits, dtype=float)
    t = trainer(X=X, y=classes, model=nn.Identity(), optimizer=torch.optim.SGD([torch.ones(1)]))
    return t.evaluate(X, y)


def test_binary_scores_are_those_of_the_second_class():
    logits = [[0, 1], [0, 2], [0, 3], [1, 0]]  # predicts 1, 1, 1, 0
    scores = scored(logits, [1, 0, 0, 0], [0, 1, 0, 1])
    expected = {"accuracy": 1 / 2, "precision": 1 / 3, "recall": 1.0, "f1": 1 / 2}
    assert {key: scores[key] for key in expected} == pytest.approx(expected)


def test_binary_auc_counts_the_pairs_in_order():
    logits = [[0, 1], [0, 2], [0, -1], [0, -3]]
    # positives at 1 and -1, negatives at 2 and -3: two of the four pairs are in order
    assert scored(logits, [1, 0, 1, 0], [0, 1, 0, 1])["auc"] == 0.5


def test_auc_is_nan_with_one_class():
    assert math.isnan(scored(np.eye(3), [1, 1, 1], [0, 1, 2])["auc"])


def test_multiclass_auc_is_over_the_classes_present():
    # class 0: its row is first, 1; class 1: one of its rows is first, the other ties, 0.75
    assert scored(5 * np.eye(3), [0, 1, 1], [0, 1, 2])["auc"] == pytest.approx((1 + 0.75) / 2)


def test_a_diverged_model_has_no_auc_rather_than_an_error():
    t = trainer()
    nn.init.constant_(t.model.weight, math.nan)
    assert math.isnan(t.evaluate(*blobs())["auc"])


def test_evaluate_returns_predictions_on_request():
    X, y = blobs()
    y = np.array(["no", "yes"])[y]
    t = trainer(y=y)
    _, labels, p = t.evaluate(X, y, return_predictions=True)
    np.testing.assert_array_equal(labels, t.predict(X))
    np.testing.assert_array_equal(p, t.predict_proba(X))


# Files


def test_a_saved_model_loads_into_another_trainer(tmp_path):
    first, second = trainer(), trainer()
    first.train()
    first.save_model(tmp_path / "model.pt")
    second.load_model(tmp_path / "model.pt")
    assert torch.equal(first.model.weight, second.model.weight)


def test_a_crash_while_saving_leaves_the_old_model(tmp_path, monkeypatch):
    t = trainer()
    t.save_model(tmp_path / "model.pt")
    old = (tmp_path / "model.pt").read_bytes()
    t.train()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        t.save_model(tmp_path / "model.pt")
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("model.pt", old)]


def test_loading_refuses_pickled_objects(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(Exception, match="Weights only load failed"):
        trainer().load_model(tmp_path / "model.pt")
