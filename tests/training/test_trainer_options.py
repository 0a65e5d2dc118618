"""Promises of a trainer's options: optimizers, schedules, clipping, accumulation, precision."""

import math
import re

import numpy as np
import pytest
import torch
from blobs import Noted, blobs, trainer
from torch import nn

from semideep_ext.training.trainer import WeightedTrainer
from semideep_ext.weighting.losses import WeightedLoss

cuda = torch.cuda.is_available()


def test_an_optimizer_may_be_a_class_or_a_function_of_the_parameters():
    by_class = trainer(optimizer=torch.optim.SGD, learning_rate=0.25).optimizer
    by_function = trainer(optimizer=lambda p: torch.optim.SGD(p, lr=0.25, momentum=0.5)).optimizer
    assert type(by_class) is type(by_function) is torch.optim.SGD
    assert by_class.defaults["lr"] == 0.25
    assert by_function.defaults["momentum"] == 0.5


@pytest.mark.parametrize(
    ("option", "value", "found"),
    [
        ("optimizer", "adam", "optimizer is a str"),
        ("optimizer", torch.optim.LBFGS, "LBFGS evaluates the loss several times"),
        ("scheduler", 3, "scheduler is a int"),
        ("scheduler_interval", "batch", "scheduler_interval='batch'"),
        ("clip_grad_norm", 0, "clip_grad_norm=0"),
        ("gradient_accumulation_steps", 0, "gradient_accumulation_steps=0"),
        ("mixed_precision", "half", "mixed_precision='half': choose 'no', 'fp16' or 'bf16'"),
        ("mixed_precision", "fp16", "needs a GPU"),
        ("seed", -1, "seed=-1"),
        ("optimizer", {}, "optimizer is a dict"),
        ("learning_rate", "fast", "learning_rate='fast': give a finite number >= 0"),
        ("learning_rate", None, "learning_rate=None"),
        ("clip_grad_norm", "a", "clip_grad_norm='a': give a finite number > 0"),
        ("loss_fn", "mse", "the loss is 'mse'; give a module"),
        ("loss_fn", nn.MSELoss, "the loss is <class .*; give a module that is built"),
        ("model", nn.Linear, "model=<class .*: give a torch.nn.Module that is built"),
        ("model", abs, "model=<built-in function abs>: give a torch.nn.Module"),
        ("scheduler_interval", None, "scheduler_interval=None"),
    ],
)
def test_impossible_options_are_refused(option, value, found):
    with pytest.raises(ValueError, match=found):
        trainer(**{option: value})


@pytest.mark.parametrize("device", ["gpu", "meta", 99, "mps" if cuda else "cuda"])
def test_a_device_that_is_not_there_is_refused(device):
    given = re.escape(f"device={device!r}")
    with pytest.raises(ValueError, match=given + r" cannot be used here \(.*\); give 'cpu'"):
        WeightedTrainer(nn.Linear(2, 2), *blobs(), weights=None, device=device)


def test_an_optimizer_of_another_model_is_refused():
    other = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=1.0)
    with pytest.raises(ValueError, match="none of the model's parameters"):
        trainer(optimizer=other)


def test_a_scheduler_of_another_optimizer_is_refused():
    other = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    with pytest.raises(ValueError, match="belongs to another optimizer"):
        trainer(scheduler=torch.optim.lr_scheduler.StepLR(other, 1))


@pytest.mark.parametrize(("interval", "steps"), [("epoch", 3), ("step", 6)])
def test_a_scheduler_steps_every_epoch_or_every_step(interval, steps):
    t = trainer(
        scheduler=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
        scheduler_interval=interval,
        epochs=3,
        batch_size=30,
    )
    t.train()
    assert t.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**steps)


def test_a_scheduler_made_for_the_given_optimizer_is_used():
    model = nn.Linear(2, 2)
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(sgd, 1, gamma=0.1)
    trainer(model=model, optimizer=sgd, scheduler=scheduler, epochs=2).train()
    assert sgd.param_groups[0]["lr"] == pytest.approx(0.01)


def test_a_plateau_is_one_of_the_validation_loss():
    t = trainer(
        scheduler=lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
        learning_rate=1.0,
        optimizer=lambda p: torch.optim.SGD([{"params": list(p), "lr": 0.0}], lr=0.0),
        epochs=2,
    )
    t.train(*blobs())
    assert t.scheduler.best == t.history["val_loss"][0] != t.history["train_loss"][0]


def test_clipped_gradients_have_the_norm_asked_for():
    norms = []

    class Norms:
        def on_grad_computed(self, trainer, named_parameters, **_):
            norms.append(math.hypot(*(p.grad.norm().item() for _, p in named_parameters)))

    trainer(clip_grad_norm=0.01, callbacks=[Norms()], epochs=1).train()
    trainer(callbacks=[Norms()], epochs=1).train()
    assert norms[:2] == pytest.approx([0.01, 0.01], rel=1e-3)
    assert min(norms[2:]) > 0.02


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("n", [60, 61])
def test_gradient_accumulation_equals_the_larger_batch(n, reduction):
    X, y = blobs(n=n)
    options = {"X": X, "y": y, "weights": np.linspace(0, 2, n), "epochs": 3, "seed": 1}
    options |= {"learning_rate": 0.01, "optimizer": torch.optim.SGD}
    options["loss_fn"] = WeightedLoss(reduction=reduction)
    large = trainer(batch_size=24, **options)
    small = trainer(batch_size=8, gradient_accumulation_steps=3, **options)
    np.testing.assert_allclose(large.train()["train_loss"], small.train()["train_loss"], rtol=1e-5)
    torch.testing.assert_close(large.model.weight, small.model.weight, rtol=1e-5, atol=1e-6)


def test_accumulated_batches_have_the_batch_size():
    noted = Noted()
    X, y = blobs(n=61)
    t = trainer(
        X=X, y=y, model=noted.model(), batch_size=8, gradient_accumulation_steps=3, epochs=1
    )
    t.train()
    assert max(map(len, noted)) <= 8
    assert sum(map(len, noted)) == 61


class Precisions(list):
    """A model that notes in which dtype its layer computes."""

    def model(self):
        layer = nn.Linear(2, 2)
        layer.register_forward_hook(lambda _, inputs, output: self.append(output.dtype))
        return nn.Sequential(layer)


def test_bfloat16_is_what_the_model_computes_in():
    precisions = Precisions()
    t = trainer(model=precisions.model(), mixed_precision="bf16", epochs=20)
    t.train(*blobs())
    t.predict(blobs()[0])
    assert set(precisions) == {torch.bfloat16}
    assert t.evaluate(*blobs())["accuracy"] == 1.0
    assert t.model[0].weight.dtype == torch.float32


def test_each_trainer_has_its_own_precision_in_each_training():
    precisions = Precisions()
    half, full = (
        trainer(model=precisions.model(), mixed_precision=p, epochs=1, batch_size=60)
        for p in ("bf16", "no")
    )
    for t in (half, full, half):
        t.train()
    assert precisions == [torch.bfloat16, torch.float32, torch.bfloat16]


def test_the_model_comes_back_without_patches():
    model = nn.Linear(2, 2)
    before = set(model.__dict__)
    for precision in ("bf16", "no"):
        trainer(model=model, mixed_precision=precision).train()
        assert set(model.__dict__) == before


def test_a_model_of_float64_trains_in_float64():
    t = trainer(model=nn.Linear(2, 2).double(), weights=np.ones(60), epochs=20)
    t.train()
    assert t.model.weight.dtype == torch.float64
    assert t.evaluate(*blobs())["accuracy"] == 1.0


def test_a_compiled_model_trains_like_the_plain_one():
    torch.manual_seed(0)
    compiled = torch.compile(nn.Linear(2, 2), backend="eager")
    assert trainer(model=compiled, seed=1).train() == trainer(seed=1).train()


def test_accelerate_is_named_with_its_extra_where_it_is_missing(run_python):
    done = run_python(
        "import sys; sys.modules['accelerate'] = None\n"
        "import torch, semideep_ext\n"
        "semideep_ext.WeightedLoss()(torch.zeros(2, 2), torch.tensor([0, 1]))\n"
        "semideep_ext.WeightedTrainer(torch.nn.Linear(1, 2), [[0.0], [1.0]], [0, 1], weights=None)"
    )
    assert "ImportError: WeightedTrainer needs accelerate: pip install 'semideep_ext[train]'" in (
        done.stderr
    )


# Models that are more than a module of numbers


def test_a_compiled_model_is_saved_under_the_names_of_the_model_inside(tmp_path):
    plain = nn.Linear(2, 2)
    compiled = trainer(model=torch.compile(plain, backend="eager"), epochs=1)
    compiled.train()
    compiled.save_model(tmp_path / "m")
    compiled.save_checkpoint(tmp_path / "c")
    assert sorted(torch.load(tmp_path / "m")) == ["bias", "weight"]
    other = trainer(model=nn.Linear(2, 2))
    other.load_model(tmp_path / "m")
    assert torch.equal(other.model.weight, plain.weight)
    again = trainer(model=torch.compile(nn.Linear(2, 2), backend="eager"), epochs=1)
    again.load_model(tmp_path / "m")
    assert torch.equal(again.model.weight, plain.weight)
    torch.save(compiled.model.state_dict(), tmp_path / "old")  # as it was written before
    other.load_model(tmp_path / "old")


def test_indices_stay_indices_for_a_model_that_looks_them_up():
    indices, y = np.array([[0, 1], [2, 3]] * 30), np.array([0, 1] * 30)
    for rows in (indices, torch.tensor(indices), indices.astype(np.uint8)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(4, 3), nn.Flatten(), nn.Linear(6, 2))
        t = trainer(X=rows, y=y, model=model, epochs=20)
        t.train(rows, y)
        assert t.evaluate(rows, y)["accuracy"] == 1.0
