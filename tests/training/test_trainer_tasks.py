"""Promises of labels, outputs and losses: one label, several labels, numbers."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from blobs import KEYS, SCORES, blobs, trainer
from torch import nn

from semideep_ext.weighting.losses import (
    WeightedBCEWithLogitsLoss,
    WeightedCrossEntropyLoss,
    WeightedLoss,
)


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
    t = trainer(y=labels, epochs=20, unlabeled=None)
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


def test_one_logit_has_binary_cross_entropy_by_default():
    w = np.linspace(0, 2, 60)
    given = trainer(outputs=1, weights=w, loss_fn=WeightedBCEWithLogitsLoss(), seed=1)
    default = trainer(outputs=1, weights=w, seed=1)
    assert default.train(*blobs()) == given.train(*blobs())
    assert default.evaluate(*blobs())["accuracy"] == 1.0


@pytest.mark.parametrize("loss", [WeightedCrossEntropyLoss, nn.CrossEntropyLoss])
def test_one_logit_with_cross_entropy_is_refused_with_the_remedy(loss):
    with pytest.raises(ValueError, match="loss_fn=WeightedBCEWithLogitsLoss"):
        trainer(outputs=1, loss_fn=loss()).train()


def test_one_logit_for_three_classes_is_refused():
    X, y = blobs(3)
    with pytest.raises(ValueError, match=r"one output .* and y_train 3 classes"):
        trainer(X=X, y=y, outputs=1).train()


def test_a_plain_loss_is_weighted_too():
    w = np.linspace(0, 2, 60)
    plain = trainer(weights=w, loss_fn=nn.CrossEntropyLoss()).train()
    assert plain == trainer(weights=w).train()


@pytest.mark.parametrize("wrap", [lambda loss: loss, WeightedLoss], ids=["plain", "WeightedLoss"])
def test_a_plain_loss_trains_and_keeps_its_reduction(wrap):
    loss = nn.CrossEntropyLoss()
    trainer(loss_fn=wrap(loss)).train(*blobs())
    assert loss.reduction == "mean"


class Gives(nn.Module):
    """A linear model that gives its output in some form."""

    def __init__(self, form):
        super().__init__()
        self.linear, self.form = nn.Linear(2, 2), form

    def forward(self, x):
        return self.form(self.linear(x))


@pytest.mark.parametrize(
    ("form", "found"),
    [
        (lambda out: (out, out), r"is a tuple; .* such as outputs\[0\]"),
        (lambda out: {"logits": out}, r"is a dict; .* outputs\.logits"),
        (lambda out: None, "is a NoneType"),
        (lambda out: out.argmax(1), r"is a \(30,\) tensor of torch\.int64"),
        (lambda out: out.sum(), r"shape \(\); y_train has 2 classes"),
        (lambda out: out.detach(), "the model detaches its output"),
    ],
    ids=["tuple", "dict", "nothing", "labels", "number", "detached"],
)
def test_outputs_that_cannot_be_trained_are_refused(form, found):
    with pytest.raises(ValueError, match=found):
        trainer(model=Gives(form)).train()


def test_a_frozen_model_is_refused():
    with pytest.raises(ValueError, match="every parameter has requires_grad=False"):
        trainer(model=nn.Linear(2, 2).requires_grad_(False)).train()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_of_half_precision_trains_with_losses_in_float32(dtype):
    X, y = blobs()
    t = trainer(model=nn.Linear(2, 2).to(dtype), weights=np.linspace(0, 2, 60), epochs=20)
    t.train(X, y)
    assert t.model.weight.dtype == dtype and t._data.row_weights.dtype == torch.float32
    assert t.evaluate(X, y)["accuracy"] == 1.0
    assert t.predict_proba(X).dtype == np.float32


@pytest.mark.parametrize("loss", [nn.MSELoss, nn.HuberLoss, nn.L1Loss])
def test_numbers_for_a_model_of_float64_keep_their_digits(loss):
    X, y = line()
    y = 1e9 + y  # of which float32 keeps no digit behind the point
    model = nn.Linear(2, 1).double()
    nn.init.constant_(model.bias, 1e9)
    t = trainer(X=X, y=y, model=model, loss_fn=loss(), task="regression", epochs=1)
    np.testing.assert_array_equal(t._data.targets, y)
    assert t.train(X, y)["mse"][-1] < 100


def test_a_loss_without_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction='none'"):
        trainer(loss_fn=WeightedLoss(reduction="none"))


# Several labels per row


def several():
    """Two labels: whether each coordinate is positive."""
    X = np.random.default_rng(0).normal(size=(80, 2))
    X += np.sign(X)  # a gap between the groups
    return X, (X > 0).astype(int)


@pytest.mark.parametrize("kind", ["int", "bool", "float", "frame"])
def test_several_labels_are_learned(kind):
    X, y = several()
    y = pd.DataFrame(y, columns=["right", "up"]) if kind == "frame" else y.astype(kind)
    t = trainer(X=X, y=y, epochs=40)
    history = t.train(X, y)
    assert [history[key][-1] for key in SCORES] == pytest.approx([1.0] * 5)
    np.testing.assert_array_equal(t.predict(X), np.asarray(y))
    assert t.predict_proba(X).shape == (80, 2)
    assert list(t.classes_) == (["right", "up"] if kind == "frame" else [0, 1])


def test_several_labels_have_binary_cross_entropy_averaged_per_row():
    X, y = several()
    w = np.linspace(0, 2, 80)
    t = trainer(X=X, y=y, weights=w, learning_rate=0.0, epochs=1, batch_size=7)
    logits = t.model(torch.tensor(X, dtype=torch.float32))
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits, torch.tensor(y, dtype=torch.float32), reduction="none"
    )
    expected = (torch.tensor(w) * losses.mean(1)).mean().item()
    assert t.train()["train_loss"] == [pytest.approx(expected, rel=1e-5)]


def test_scores_of_several_labels_are_those_computed_by_hand():
    logits = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1.0]])  # predicts 11, 10, 01, 00
    y = np.array([[1, 1], [0, 0], [0, 1], [0, 1]])
    scores = scored(logits, y, y, task="multilabel")
    # label 0: precision 1/2, recall 1 of 1 row; label 1: precision 1, recall 2/3 of 3 rows
    expected = {"accuracy": 2 / 4, "precision": (1 / 2 + 3) / 4, "recall": (1 + 2) / 4}
    assert {key: scores[key] for key in expected} == pytest.approx(expected)
    # label 0: one negative ties, two are below, 5/6; label 1: two above and one tie of three, 5/6
    assert scores["auc"] == pytest.approx(5 / 6)


@pytest.mark.parametrize("y", [np.eye(2)[blobs()[1]], np.eye(2, dtype=int)[blobs()[1]]])
def test_one_hot_labels_are_questioned(y):
    with pytest.raises(ValueError, match=r"y_train.argmax\(1\).*task='multilabel'"):
        trainer(y=y)
    trainer(y=y, task="multilabel").train()


def test_labels_of_a_task_of_several_must_be_zero_or_one():
    with pytest.raises(ValueError, match=r"y_train holds 2\.0; multi-label targets are 0 or 1"):
        trainer(y=np.full((60, 2), 2), task="multilabel")


def test_several_labels_need_an_output_each():
    X, y = several()
    with pytest.raises(ValueError, match=r"y_train has 2 labels, so allowed is \(N, 2\)"):
        trainer(X=X, y=y, outputs=3).train()


def test_class_weights_are_not_for_several_labels():
    X, y = several()
    with pytest.raises(ValueError, match="pos_weight"):
        trainer(X=X, y=y, class_weight="balanced")


# Numbers


def line(columns=()):
    """Numbers that a linear model can tell exactly."""
    X = np.random.default_rng(0).normal(size=(64, 2))
    return X, X @ np.arange(1.0, 3.0) + 1 if columns == () else X @ np.ones((2, *columns)) + 1


@pytest.mark.parametrize("columns", [(), (1,), (3,)])
@pytest.mark.parametrize("how", ["task", "loss"])
def test_numbers_are_learned(columns, how):
    X, y = line(columns)
    option = {"task": "regression"} if how == "task" else {"loss_fn": nn.SmoothL1Loss()}
    t = trainer(X=X, y=y, outputs=(*columns, 1)[0], epochs=150, **option)
    history = t.train(X, y)
    assert history["r2"][-1] > 0.999
    assert not history["accuracy"] if "accuracy" in history else t.classes_ is None
    np.testing.assert_allclose(t.predict(X), y.reshape(t.predict(X).shape), atol=0.1)


def test_numbers_in_several_columns_are_a_regression():
    X, y = line((3,))
    assert "r2" in trainer(X=X, y=y, outputs=3).history


@pytest.mark.parametrize("squeeze", [False, True])
def test_the_weighted_squared_error_is_what_a_regression_minimises(squeeze):
    X, y = line()
    w = np.linspace(0, 2, 64)
    model = nn.Sequential(nn.Linear(2, 1), *([nn.Flatten(0)] if squeeze else []))
    options = {"X": X, "y": y, "task": "regression", "learning_rate": 0.0, "epochs": 1}
    t = trainer(model=model, weights=w, batch_size=7, **options)
    p = model(torch.tensor(X, dtype=torch.float32)).detach().numpy().ravel()
    assert t.train()["train_loss"] == [pytest.approx((w * (p - y) ** 2).mean(), rel=1e-5)]
    scores = t.evaluate(X, y)
    expected = [((p - y) ** 2).mean(), ((p - y) ** 2).mean(), abs(p - y).mean()]
    assert [scores[key] for key in ("val_loss", "mse", "mae")] == pytest.approx(expected, rel=1e-5)
    assert scores["r2"] == pytest.approx(1 - expected[0] / y.var(), rel=1e-4)


def test_a_regression_has_no_probabilities():
    X, y = line()
    with pytest.raises(ValueError, match="use predict"):
        trainer(X=X, y=y, outputs=1, task="regression").predict_proba(X)


def test_a_regression_refuses_what_is_no_number():
    with pytest.raises(ValueError, match="y_train is not numeric"):
        trainer(y=["a"] * 60, task="regression")
    with pytest.raises(ValueError, match="y holds infinity at row 3"):
        trainer(y=np.where(np.arange(60) == 3, np.inf, 1.0), task="regression")


def test_a_regression_refuses_two_outputs_for_one_number():
    X, y = line()
    with pytest.raises(ValueError, match=r"allowed is \(N, 1\) or \(N,\)"):
        trainer(X=X, y=y, outputs=2, task="regression").train()


def test_an_unknown_task_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="task='ranking': choose one of classification"):
        trainer(task="ranking")


# Scores


def scored(logits, y, classes, **options):
    """Scores of a model that answers with the given logits."""
    X, sgd = np.asarray(logits, dtype=float), torch.optim.SGD([torch.ones(1)])
    t = trainer(X=X, y=classes, model=nn.Identity(), optimizer=sgd, **options)
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


@pytest.mark.parametrize("call", ["predict", "predict_proba", "evaluate"])
def test_a_diverged_model_predicts_nothing(call):
    t = trainer()
    nn.init.constant_(t.model.weight, math.nan)
    arguments = blobs() if call == "evaluate" else blobs()[:1]
    with pytest.raises(ValueError, match=r"outputs for row 0 \(60 of 60 rows\) are NaN"):
        getattr(t, call)(*arguments)


def test_evaluate_returns_predictions_on_request():
    X, y = blobs()
    y = np.array(["no", "yes"])[y]
    t = trainer(y=y)
    _, labels, p = t.evaluate(X, y, return_predictions=True)
    np.testing.assert_array_equal(labels, t.predict(X))
    np.testing.assert_array_equal(p, t.predict_proba(X))
