"""Promise: training stops at the first loss that is no number, and says where."""

import math

import pytest
import torch
from blobs import blobs, trainer
from torch import nn

from semideep_ext.training.callbacks import EarlyStopping


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_a_rate_that_is_too_high_ends_training(optimizer):
    X, y = blobs()
    options = {"learning_rate": 1e30, "optimizer": optimizer, "epochs": 9, "batch_size": 20}
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    t = trainer(X=X, y=y, model=model, **options)
    with pytest.raises(ValueError, match=r"epoch 1, batch 2 is nan.* rate, which is 1e\+30"):
        t.train(X, y)
    assert t.epoch == 0 and t.history["train_loss"] == []


def test_half_precision_is_named_as_the_cause():
    model = nn.Linear(2, 2).half()
    nn.init.constant_(model.weight, 6e4)
    with pytest.raises(ValueError, match=r"torch\.float16.*model\.float\(\).*'bf16'"):
        trainer(model=model).train()


class Spoil:
    """Makes the model's parameters NaN once so many batches were trained."""

    def __init__(self, batches):
        self.batches = batches

    def on_batch_begin(self, trainer, training=None, **_):
        self.batches -= 1
        if self.batches < 0:
            nn.init.constant_(trainer.model.weight, math.nan)


def test_the_epochs_before_stand_and_the_best_model_comes_back():
    X, y = blobs()
    t = trainer(callbacks=[EarlyStopping(), Spoil(6)], batch_size=20, epochs=9)
    with pytest.raises(ValueError, match="the loss of epoch 3, batch 1 is nan"):
        t.train(X, y)
    assert t.epoch == 2
    assert t.evaluate(X, y)["accuracy"] == 1.0


def test_validation_of_a_model_that_diverged_in_the_last_batch_ends_training():
    X, y = blobs()
    options = {"learning_rate": 1e38, "optimizer": torch.optim.SGD, "batch_size": 60}
    t = trainer(X=1e3 * X, y=y, **options)
    with pytest.raises(ValueError, match="the model's outputs"):
        t.train(1e3 * X, y)
    assert t.epoch == 0


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_row_that_gives_no_number_is_found_in_its_batch(batch):
    seen = []

    def loss(predictions, targets):
        seen.append(len(targets))
        losses = nn.functional.cross_entropy(predictions, targets, reduction="none")
        return losses / (0.0 if len(seen) == batch else 1.0)

    with pytest.raises(ValueError, match=f"the loss of epoch 1, batch {batch} is inf"):
        trainer(loss_fn=loss, batch_size=20).train()
    assert len(seen) == batch
