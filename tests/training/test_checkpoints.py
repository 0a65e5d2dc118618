"""Promises of saved models and of training that goes on from a checkpoint."""

import functools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from blobs import blobs, trainer
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import lr_scheduler as schedulers

import semideep_ext
from semideep_ext import WeightedTrainer
from semideep_ext.training.callbacks import Callback, Checkpoint, EarlyStopping
from semideep_ext.training.checkpoints import read_checkpoint, write_checkpoint
from semideep_ext.weighting.losses import WeightedLoss

PACKAGE_FOLDER = str(Path(semideep_ext.__file__).parent.parent)


def test_a_saved_model_loads_into_another_trainer(tmp_path):
    first, second = trainer(), trainer()
    first.train()
    first.save_model(tmp_path / "model.pt")
    second.load_model(tmp_path / "model.pt")
    assert torch.equal(first.model.weight, second.model.weight)


@pytest.mark.parametrize("save", ["save_model", "save_checkpoint"])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_while_saving_leaves_the_old_file(save, step, tmp_path, monkeypatch):
    t = trainer()
    getattr(t, save)(tmp_path / "file")
    old = (tmp_path / "file").read_bytes()
    t.train()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        getattr(t, save)(tmp_path / "file")
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("file", old)]


def test_loading_refuses_pickled_objects(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(Exception, match="Weights only load failed"):
        trainer().load_model(tmp_path / "model.pt")


# Checkpoints


class StopAt(Callback):
    """Ends the process of training, as a crash would, when an epoch begins or inside one."""

    def __init__(self, epoch, hook="on_epoch_begin"):
        self.epoch = epoch
        setattr(self, hook, self.stop)

    def stop(self, trainer, **_):
        if trainer.epoch == self.epoch:
            raise KeyboardInterrupt


def stateful(path, callbacks=(), **options):
    """A trainer with everything that has a state."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.4), nn.Linear(8, 2))
    defaults = {
        "weights": "distance",
        "X_test": blobs()[0][:9],
        "recompute_every": 2,
        "scheduler": lambda o: schedulers.CosineAnnealingLR(o, 6),
        "epochs": 6,
        "batch_size": 16,
        "learning_rate": 0.01,
    }
    every = [EarlyStopping(patience=9), Checkpoint(path, resume=True), *callbacks]
    return trainer(model=model, callbacks=every, **{**defaults, **options})


def bits(t):
    state = t.model.state_dict(), t.optimizer.state_dict()["state"], t.sample_weights, t.history
    path = f"{t.callbacks[-1].path}.bits"
    write_checkpoint(path, {"state": state})
    return Path(path).read_bytes()


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_grad_computed", "on_epoch_end"])
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_resumed_training_has_the_bits_of_an_uninterrupted_one(epoch, hook, tmp_path):
    whole = stateful(tmp_path / "whole", seed=4)
    whole.train(*blobs())
    stop = StopAt(epoch, hook)
    with pytest.raises(KeyboardInterrupt):
        stateful(tmp_path / "cut", [stop], seed=4).train(*blobs())
    torch.rand(7)  # another process has other random numbers behind it
    np.random.rand(7)
    resumed = stateful(tmp_path / "cut", seed=4)
    resumed.train(*blobs())
    assert bits(resumed) == bits(whole)


def test_a_seed_that_was_drawn_is_resumed_too(tmp_path):
    cut = stateful(tmp_path / "cut", [StopAt(3)])
    with pytest.raises(KeyboardInterrupt):
        cut.train(*blobs())
    torch.manual_seed(77)
    resumed = stateful(tmp_path / "cut")
    resumed.seed += 1
    resumed.train(*blobs())
    whole = stateful(tmp_path / "whole", seed=cut.seed)
    whole.train(*blobs())
    assert bits(resumed) == bits(whole)


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda o: schedulers.MultiStepLR(o, [2, 4]),
        lambda o: schedulers.LambdaLR(o, lambda epoch: 0.9**epoch),
        lambda o: schedulers.ReduceLROnPlateau(o, patience=0),
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, 2),
        lambda o: schedulers.SequentialLR(
            o,
            [
                schedulers.ConstantLR(o),
                schedulers.ExponentialLR(o, 0.9),
            ],
            [3],
        ),
    ],
    ids=["multi-step", "lambda", "plateau", "restarts", "sequential"],
)
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.Adagrad])
def test_every_scheduler_and_optimizer_is_resumed(scheduler, optimizer, tmp_path):
    options = {"scheduler": scheduler, "optimizer": optimizer, "seed": 4, "recompute_every": None}
    whole = stateful(tmp_path / "whole", **options)
    whole.train(*blobs())
    with pytest.raises(KeyboardInterrupt):
        stateful(tmp_path / "cut", [StopAt(3)], **options).train(*blobs())
    resumed = stateful(tmp_path / "cut", **options)
    resumed.train(*blobs())
    assert bits(resumed) == bits(whole)


def test_one_cycle_is_resumed_within_its_steps(tmp_path):
    options = {"scheduler_interval": "step", "seed": 4}
    options["scheduler"] = lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=24)
    whole = stateful(tmp_path / "whole", **options)
    whole.train(*blobs())
    with pytest.raises(KeyboardInterrupt):
        stateful(tmp_path / "cut", [StopAt(3, "on_grad_computed")], **options).train(*blobs())
    resumed = stateful(tmp_path / "cut", **options)
    resumed.train(*blobs())
    assert bits(resumed) == bits(whole)


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_all_that_has_a_state_is_resumed_together(epoch, interval, tmp_path):
    """Accumulation, schedule, early stopping and recomputed weights, cut inside an epoch."""
    patience = EarlyStopping("train_loss", patience=3, threshold=0.5)

    def one(path, *callbacks):
        options = {"gradient_accumulation_steps": 2, "batch_size": 8, "epochs": 20, "seed": 4}
        options |= {"scheduler_interval": interval, "clip_grad_norm": 1.0, "normalize": True}
        t = stateful(path, callbacks, **options)
        t.callbacks[0].__dict__.update(patience.__dict__)
        return t

    whole = one(tmp_path / "whole")
    whole.train(*blobs())
    assert 3 < whole.epoch < 20  # it was early stopping that ended it
    with pytest.raises(KeyboardInterrupt):
        one(tmp_path / "cut", StopAt(epoch, "on_batch_end")).train(*blobs())
    resumed = one(tmp_path / "cut")
    resumed.train(*blobs())
    assert bits(resumed) == bits(whole)


def plain_loss(predictions, targets):
    return nn.functional.cross_entropy(predictions, targets, reduction="none")


@pytest.mark.parametrize(
    "make",
    [
        lambda: lambda p, y: plain_loss(p, y),
        lambda: functools.partial(nn.functional.cross_entropy, reduction="none"),
    ],
    ids=["function", "partial"],
)
def test_a_loss_that_is_a_function_is_resumed(make, tmp_path):
    first = trainer(loss_fn=make(), seed=1)
    first.train()
    first.save_checkpoint(tmp_path / "c")
    second = trainer(loss_fn=make(), seed=1)  # of another address, as in another process
    second.load_checkpoint(tmp_path / "c")
    assert torch.equal(first.model.weight, second.model.weight)


class Scaled(nn.Module):
    """A loss with a number that is learned and one that is counted."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, predictions, targets):
        self.calls += 1
        losses = plain_loss(predictions, targets) * (-self.scale).exp()
        return losses + self.scale + 0.01 * self.calls


def test_a_loss_with_a_state_is_resumed(tmp_path):
    def one(path, *callbacks):
        torch.manual_seed(0)
        model, loss = nn.Linear(2, 2), Scaled()
        optimizer = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=0.1)
        every = [*callbacks, Checkpoint(path, resume=True)]
        return trainer(model=model, loss_fn=loss, optimizer=optimizer, callbacks=every, seed=1)

    whole = one(tmp_path / "whole")
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        one(tmp_path / "cut", StopAt(3)).train()
    resumed = one(tmp_path / "cut")
    resumed.train()
    assert resumed.history == whole.history
    assert torch.equal(resumed.loss_fn.base_loss.scale, whole.loss_fn.base_loss.scale)


def test_a_finished_training_is_not_trained_again(tmp_path):
    first = stateful(tmp_path / "done", seed=4)
    first.train(*blobs())
    again = stateful(tmp_path / "done", seed=4)
    again.train(*blobs())
    assert again.epoch == 6
    assert bits(again) == bits(first)


def test_an_early_stop_is_resumed_as_one(tmp_path):
    def stopping():
        stop = EarlyStopping("accuracy", patience=2)
        return trainer(callbacks=[Checkpoint(tmp_path / "c", resume=True), stop], epochs=50)

    first, again = stopping(), stopping()
    first.train(*blobs())
    again.train(*blobs())
    assert first.epoch == again.epoch < 50
    assert torch.equal(first.model.weight, again.model.weight)


def test_more_epochs_than_before_go_on_from_the_checkpoint(tmp_path):
    whole = stateful(tmp_path / "whole", seed=4)
    whole.train(*blobs())
    short = stateful(tmp_path / "short", seed=4, epochs=4)
    short.train(*blobs())
    longer = stateful(tmp_path / "short", seed=4, epochs=6)
    longer.train(*blobs())
    assert bits(longer) == bits(whole)


def test_a_checkpoint_loads_by_hand_too(tmp_path):
    first = stateful(tmp_path / "c", seed=4, epochs=4)
    first.train(*blobs())
    first.save_checkpoint(tmp_path / "by hand")
    second = stateful(tmp_path / "d", seed=4)
    second.load_checkpoint(tmp_path / "by hand")
    np.testing.assert_array_equal(second.predict_proba(blobs()[0]), first.predict_proba(blobs()[0]))
    second.train(*blobs())
    assert second.epoch == 6


def test_a_missing_checkpoint_is_an_error_by_hand_and_a_start_for_the_callback(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        trainer().load_checkpoint(tmp_path / "nothing")
    t = trainer(callbacks=[Checkpoint(tmp_path / "nothing", resume=True)])
    t.train()
    assert t.epoch == 5


@pytest.mark.parametrize(("every", "epochs"), [(2, [2, 4, 5]), (9, [5])])
def test_checkpoints_are_written_every_so_many_epochs_and_at_the_end(every, epochs, tmp_path):
    written = []

    class Noting(Checkpoint):
        def on_epoch_end(self, trainer, **details):
            super().on_epoch_end(trainer, **details)
            epoch = len(read_checkpoint(self.path)["history"]["train_loss"]) if self.exists() else 0
            written.append(epoch)

        def exists(self):
            return os.path.exists(self.path)

    trainer(callbacks=[Noting(tmp_path / "c", every=every)]).train()
    assert sorted(set(written) - {0}) == epochs


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": nn.Linear(2, 3)}, r"model: weight is float32 \(2, 2\), float32 \(3, 2\)"),
        ({"batch_size": 7}, "batch_size: 32, 7"),
        ({"seed": 2}, "seed: 1, 2"),
        ({"optimizer": torch.optim.SGD}, "optimizer: Adam, SGD"),
        ({"y": 1 - blobs()[1]}, "y_train: "),
        ({"X": blobs(n=40)[0], "y": blobs(n=40)[1]}, "X_train: 60 rows [0-9a-f]{16}, 40 rows"),
        ({"X": 2 * blobs()[0]}, "X_train: 60 rows [0-9a-f]{16}, 60 rows"),
        ({"X_test": blobs()[0][:9]}, r"X_test: \[\], \['9 rows"),
        ({"learning_rate": 0.2}, "optimizer options: lr is 0.1, 0.2"),
        ({"unlabeled": None}, "unlabeled: -1, None"),
        ({"loss_fn": nn.MultiMarginLoss()}, r"loss: ClassificationLoss\(\), MultiMarginLoss"),
        ({"callbacks": [EarlyStopping()]}, r"callbacks: \[\], \['EarlyStopping'\]"),
        ({"clip_grad_norm": 1.0}, "clip_grad_norm: None, 1.0"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps: 1, 2"),
        ({"mixed_precision": "bf16"}, "mixed_precision: no, bf16"),
        ({"weights": np.ones(60)}, "weights: None, [0-9a-f]{16}"),
        ({"weights": "distance", "X_test": blobs()[0]}, "weights: None, distance"),
        ({"lambda_": 0.5}, "lambda_: 0.8, 0.5"),
        ({"distance_metric": torch.cdist}, "metric: euclidean, <function cdist"),
        ({"normalize": False}, "normalize: True, False"),
        ({"class_weight": "balanced"}, "class_weight: None, [0-9a-f]{16}"),
        ({"scheduler_interval": "step"}, "scheduler_interval: epoch, step"),
        ({"loss_fn": WeightedLoss(reduction="sum")}, "reduction: mean, sum"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_checkpoint_of_another_training_is_refused_and_changes_nothing(change, named, tmp_path):
    first = trainer(seed=1)
    first.train()
    first.save_checkpoint(tmp_path / "c")
    other = trainer(**{"seed": 1, **change})
    before = [p.clone() for p in other.model.parameters()]
    with pytest.raises(ValueError, match=rf"another training \(there, here\): .*{named}"):
        other.load_checkpoint(tmp_path / "c")
    assert all(torch.equal(a, b) for a, b in zip(before, other.model.parameters(), strict=True))
    assert other.epoch == 0


def test_a_checkpoint_is_safetensors_and_json(tmp_path):
    t = trainer()
    t.train()
    t.save_checkpoint(tmp_path / "c")
    with safe_open(tmp_path / "c", framework="pt") as f:
        content = json.loads(f.metadata()["semideep_ext"])
        assert torch.equal(f.get_tensor("state.model.weight"), t.model.weight)
    assert content["version"] == 2


def test_tied_weights_are_saved_and_loaded(tmp_path):
    def tied():
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        model[1].weight = model[0].weight
        return trainer(model=model, seed=1)

    first, second = tied(), tied()
    first.train()
    first.save_checkpoint(tmp_path / "c")
    second.load_checkpoint(tmp_path / "c")
    assert torch.equal(first.model[1].weight, second.model[0].weight)


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "not a readable checkpoint"), (b"PK\x03\x04" * 99, "not a readable checkpoint")],
)
def test_damaged_checkpoints_are_refused(content, found, tmp_path):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(ValueError, match=found):
        trainer().load_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("length", [8, 100, -1])
def test_cut_checkpoints_are_refused(length, tmp_path):
    trainer().save_checkpoint(tmp_path / "c")
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:length])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        trainer().load_checkpoint(tmp_path / "c")


def test_other_files_of_safetensors_and_other_versions_are_refused(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "other")
    with pytest.raises(ValueError, match="a safetensors file, but no checkpoint"):
        trainer().load_checkpoint(tmp_path / "other")
    header = {"semideep_ext": json.dumps({"version": 3, "state": {}})}
    save_file({"a": torch.ones(1)}, tmp_path / "later", header)
    with pytest.raises(ValueError, match="version 3; this semideep_ext reads version 2"):
        trainer().load_checkpoint(tmp_path / "later")


def test_states_that_need_pickle_are_named():
    with pytest.raises(ValueError, match=r"state\.callbacks\.0\.seen is a set"):
        write_checkpoint(os.devnull, {"callbacks": [{"seen": {1}}]})


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, "x"], 3: (1, (2,)), (0, 1): {}},
        {"inf": math.inf, "small": 5e-324, "third": 1 / 3},
        {"numpy": np.float64(1 / 3), "integer": np.int64(2**62)},
    ],
    ids=["nested", "floats", "numpy"],
)
def test_values_come_back_as_they_were(value, tmp_path):
    write_checkpoint(tmp_path / "c", value)
    assert read_checkpoint(tmp_path / "c") == value


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_and_arrays_come_back_as_they_were(dtype, tmp_path):
    value = torch.arange(6).reshape(2, 3).T.to(dtype)
    write_checkpoint(tmp_path / "c", {"tensor": value, "array": np.arange(3.0), "nan": math.nan})
    back = read_checkpoint(tmp_path / "c")
    assert back["tensor"].dtype == dtype and torch.equal(back["tensor"], value)
    np.testing.assert_array_equal(back["array"], np.arange(3.0))
    assert math.isnan(back["nan"])


# Kills


@pytest.mark.skipif(not hasattr(os, "fork"), reason="trainings are forked")
def test_a_training_killed_at_random_moments_ends_with_the_same_bits():
    script = Path(__file__).with_name("kill_and_resume.py")  # with --kills 100: `make kills`
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, "--kills", "3"],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PACKAGE_FOLDER},
    )
    assert done.returncode == 0, done.stderr
    assert "the same bits as one that was not killed" in done.stdout


# Rows


@pytest.mark.parametrize("changed", ["X_train", "X_test", "both scaled"])
def test_a_resume_on_other_rows_is_refused(changed, tmp_path):
    """Else the old weights would be loaded, and nothing trained on the new rows."""
    X, _ = blobs()
    first = trainer(X=X, X_test=X[:9], weights="distance", seed=1)
    first.train()
    first.save_checkpoint(tmp_path / "c")
    rows = {"X": X.copy(), "X_test": X[:9].copy()}
    if changed != "X_test":
        rows["X"][17, 1] *= 2
    if changed != "X_train":
        rows["X_test"][3, 0] *= 2
    other = trainer(
        weights="distance", seed=1, callbacks=Checkpoint(tmp_path / "c", resume=True), **rows
    )
    with pytest.raises(ValueError, match=r"another training .*: X_t"):
        other.train()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f8"])
def test_the_same_rows_in_another_dtype_and_layout_are_the_same(dtype, tmp_path):
    X = blobs()[0].astype(np.float32)
    first = trainer(X=X, seed=1)
    first.train()
    first.save_checkpoint(tmp_path / "c")
    trainer(X=np.asfortranarray(X.astype(dtype)), seed=1).load_checkpoint(tmp_path / "c")


class Drawn(torch.utils.data.Dataset):
    """Rows with noise from torch's generator, or from one that no seed reaches."""

    def __init__(self, scale=1.0, own=None):
        (self.X, self.y), self.scale, self.own = blobs(), scale, own

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        noise = torch.rand(()) if self.own is None else torch.tensor(self.own.random())
        return torch.tensor(self.scale * self.X[i], dtype=torch.float32) + 0.01 * noise, self.y[i]


def of_dataset(data):
    torch.manual_seed(0)
    options = {"weights": None, "epochs": 1, "verbose": False, "device": "cpu"}
    return WeightedTrainer(nn.Linear(2, 2), data, **options)  # of a seed that is drawn


def test_rows_of_a_dataset_are_known_again_though_they_are_drawn(tmp_path):
    of_dataset(Drawn()).save_checkpoint(tmp_path / "c")
    torch.manual_seed(77)
    of_dataset(Drawn()).load_checkpoint(tmp_path / "c")
    with pytest.raises(ValueError, match=r"another training .*: X_train"):
        of_dataset(Drawn(scale=2)).load_checkpoint(tmp_path / "c")


def test_rows_that_no_seed_repeats_are_not_compared(tmp_path):
    of_dataset(Drawn(own=np.random.default_rng())).save_checkpoint(tmp_path / "c")
    of_dataset(Drawn(own=np.random.default_rng())).load_checkpoint(tmp_path / "c")
