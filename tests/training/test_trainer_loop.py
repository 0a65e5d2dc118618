"""Promises of the training loop: it does what its arguments say."""

import math

import numpy as np
import pytest
import torch
from blobs import KEYS, blobs, trainer
from torch import nn

from semideep_ext.training.callbacks import ProgressBar
from semideep_ext.training.trainer import WeightedTrainer
from semideep_ext.weighting.losses import WeightedLoss


class Probe(nn.Module):
    """A linear model that notes, at each call, whether it is in training mode."""

    def __init__(self):
        super().__init__()
        self.linear, self.dropout, self.modes = nn.Linear(2, 2), nn.Dropout(0.5), []

    def forward(self, x):
        self.modes.append((self.training, self.dropout.training))
        return self.linear(self.dropout(x))


def test_defaults_are_those_of_semideep():
    X, y = blobs()
    t = WeightedTrainer(nn.Linear(2, 2), X, y, X)
    assert (t.batch_size, t.epochs, t.optimizer.defaults["lr"]) == (32, 100, 0.001)
    assert any(isinstance(callback, ProgressBar) for callback in t.callbacks)
    assert type(t.optimizer) is torch.optim.Adam
    assert isinstance(t.loss_fn.base_loss, nn.CrossEntropyLoss)


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
    t = trainer(
        normalize=False, X=X, y=y, weights=w, batch_size=batch_size, learning_rate=0.0, epochs=1
    )
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
    trainer(normalize=False, X=X, y=y, model=model, weights=w, epochs=2, optimizer=sgd).train()
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


def test_order_and_dropout_follow_from_the_seed():
    def losses(seed):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 2))
        t = trainer(model=model, seed=seed)
        torch.rand(seed + len(seen))  # whatever runs before training
        seen.append(t.train()["train_loss"])

    seen = []
    for seed in (1, 1, 2):
        losses(seed)
    assert seen[0] == seen[1] != seen[2]


def test_training_leaves_the_global_random_states_alone():
    t = trainer()
    torch.manual_seed(3)
    np.random.seed(3)
    t.train(*blobs())
    drawn = torch.rand(()).item(), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    assert drawn == (torch.rand(()).item(), np.random.rand())
