"""Promises of the callbacks: skorch's hooks, a bar, early stopping, TensorBoard."""

import builtins
import math

import numpy as np
import pytest
import torch
from blobs import blobs, trainer
from torch import nn

from semideep_ext.training.callbacks import HOOKS, Callback, Checkpoint, EarlyStopping, TensorBoard
from semideep_ext.training.trackers import Tracker


class Recorder:
    """Notes every hook that is called, with its details."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        if name not in HOOKS:
            raise AttributeError(name)
        return lambda trainer, **details: self.calls.append((name, trainer.epoch, details))


def test_hooks_are_those_of_skorch():
    skorch = pytest.importorskip("skorch.callbacks")
    ours = {name for name in dir(Callback) if name.startswith("on_")}
    assert ours == set(HOOKS) == {n for n in dir(skorch.Callback) if n.startswith("on_")}


def test_hooks_come_in_order():
    recorder = Recorder()
    trainer(callbacks=[recorder], epochs=2, batch_size=30).train(*blobs())
    batch = ["on_batch_begin", "on_batch_end", "on_grad_computed"]
    epoch = ["on_epoch_begin", *batch * 2, "on_epoch_end"]
    expected = ["on_train_begin", *epoch * 2, "on_train_end"]
    assert [name for name, *_ in recorder.calls] == expected


def test_hooks_tell_what_they_are_about():
    recorder = Recorder()
    X, y = blobs()
    t = trainer(callbacks=[recorder], epochs=2, batch_size=30)
    t.train(X, y)
    calls = {name: details for name, _, details in recorder.calls}
    assert calls["on_train_begin"]["X"] is X and calls["on_train_end"]["y"] is y
    assert [d["last"] for n, _, d in recorder.calls if n == "on_epoch_end"] == [False, True]
    assert [e for n, e, _ in recorder.calls if n == "on_epoch_begin"] == [0, 1]
    x, target = calls["on_batch_begin"]["batch"]
    assert x.shape == (30, 2) and target.shape == (30,)
    assert calls["on_batch_end"]["loss"].shape == () and calls["on_batch_end"]["training"]
    names = [name for name, _ in calls["on_grad_computed"]["named_parameters"]]
    assert names == ["weight", "bias"]


def test_the_history_holds_the_epoch_when_it_ends():
    lengths = []

    class Lengths(Callback):
        def on_epoch_end(self, trainer, **details):
            lengths.append((trainer.epoch, len(trainer.history["val_loss"])))

    trainer(callbacks=[Lengths()], epochs=2).train(*blobs())
    assert lengths == [(1, 1), (2, 2)]


def test_gradients_are_there_when_they_are_computed():
    class Zero(Callback):
        def on_grad_computed(self, trainer, named_parameters=None, **details):
            for _, parameter in named_parameters:
                parameter.grad.zero_()

    t = trainer(callbacks=[Zero()], optimizer=torch.optim.SGD)
    before = t.model.weight.detach().clone()
    t.train()
    assert torch.equal(t.model.weight, before)


def test_a_callback_of_skorch_works():
    skorch = pytest.importorskip("skorch.callbacks")
    seen = []

    class Mine(skorch.Callback):
        def on_epoch_end(self, net, **details):
            seen.append(net.history["train_loss"][-1])

    assert trainer(callbacks=[Mine()]).train()["train_loss"] == seen


def test_a_callback_can_end_training():
    class Stop(Callback):
        def on_epoch_end(self, trainer, **details):
            trainer.should_stop = trainer.epoch == 2

    t = trainer(callbacks=[Stop()])
    t.train()
    assert t.epoch == 2
    t.train()  # goes on: the stop was one of the first call
    assert t.epoch == 7


def test_checkpoints_come_after_the_other_callbacks(tmp_path):
    t = trainer(callbacks=[Checkpoint(tmp_path / "c"), EarlyStopping()])
    assert [type(c) for c in t.callbacks] == [EarlyStopping, Checkpoint]


# Early stopping


class Scores(Callback):
    """Writes the scores of a script into the history, and the epoch into the weights."""

    def __init__(self, scores):
        self.scores = scores

    def on_epoch_end(self, trainer, **details):
        trainer.history["val_loss"].append(self.scores[trainer.epoch - 1])
        nn.init.constant_(trainer.model.weight, trainer.epoch)


def stopped(scores, **options):
    stop = EarlyStopping(**options)
    t = trainer(callbacks=[Scores(scores), stop], epochs=len(scores))
    t.train()
    return t.epoch, stop.best_epoch_, t.model.weight[0, 0].item()


def test_training_stops_after_the_patience_with_the_best_weights():
    scores = [5.0, 3.0, 4.0, 2.5, 3.0, 2.5, 2.6, 1.0]
    assert stopped(scores, patience=3) == (7, 4, 4.0)


def test_the_best_weights_come_back_when_every_epoch_ran():
    assert stopped([3.0, 1.0, 2.0], patience=5) == (3, 2, 2.0)


def test_without_load_best_the_last_weights_stay():
    assert stopped([3.0, 1.0, 2.0, 2.0], patience=2, load_best=False) == (4, 2, 4.0)


def test_a_change_below_the_threshold_is_no_improvement():
    assert stopped([3.0, 2.9, 2.85, 2.0], patience=2, threshold=0.5)[:2] == (3, 1)


def test_higher_is_better_where_it_is_said_or_known():
    assert stopped([1.0, 2.0, 1.0, 3.0], patience=3, lower_is_better=False)[1] == 4
    assert not EarlyStopping("accuracy").lower_is_better
    assert not EarlyStopping("r2").lower_is_better
    assert EarlyStopping("mse").lower_is_better


def test_nan_is_never_the_best():
    nan = math.nan
    assert stopped([nan, 2.0, nan, nan, 1.0], patience=2) == (4, 2, 2.0)


def test_a_score_that_is_not_recorded_is_named():
    with pytest.raises(ValueError, match="'val_loss', which this training does not record; it"):
        trainer(callbacks=[EarlyStopping()]).train()


def test_a_second_training_starts_with_new_patience():
    stop = EarlyStopping("train_loss", patience=1)
    t = trainer(callbacks=[stop], learning_rate=0.0)  # which never improves
    t.train()
    assert t.epoch == 2 and stop.best_epoch_ == 1
    t.train()
    assert t.epoch == 4 and stop.best_epoch_ == 3


@pytest.mark.parametrize(
    ("option", "value"),
    [("patience", 0), ("patience", "3"), ("threshold", -1.0), ("threshold", "0")],
)
def test_impossible_early_stopping_is_refused(option, value):
    with pytest.raises(ValueError, match=f"{option}={value!r}: give a"):
        EarlyStopping(**{option: value})


@pytest.mark.parametrize("every", [0, "3"])
def test_an_impossible_checkpoint_interval_is_refused(every):
    with pytest.raises(ValueError, match=f"every={every!r}: give a whole number >= 1"):
        Checkpoint("c", every=every)


def test_a_checkpoint_makes_its_folder_and_refuses_to_be_one(tmp_path):
    trainer(callbacks=[Checkpoint(tmp_path / "new" / "folder" / "c")], epochs=1).train()
    assert (tmp_path / "new" / "folder" / "c").exists()
    with pytest.raises(ValueError, match="new is a folder; give Checkpoint the path of a file"):
        trainer(callbacks=[Checkpoint(tmp_path / "new")], epochs=1).train()


def test_a_single_callback_needs_no_list():
    stop = EarlyStopping("train_loss")
    assert trainer(callbacks=stop).callbacks == [stop]


@pytest.mark.parametrize("wrong", [None, "stop", 3, EarlyStopping, [EarlyStopping], [print]])
def test_what_has_no_hooks_is_refused_as_a_callback(wrong):
    with pytest.raises(
        ValueError, match=r"callbacks holds .*; give a list of objects, not classes"
    ):
        trainer(callbacks=wrong)


class Interrupt(Callback):
    """Presses Ctrl-C once, in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_grad_computed(self, trainer, **details):
        if trainer.epoch == self.epoch:
            self.epoch = None
            raise KeyboardInterrupt


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_training_goes_on_after_an_interruption(precision):
    t = trainer(callbacks=[Interrupt(2)], mixed_precision=precision, gradient_accumulation_steps=2)
    with pytest.raises(KeyboardInterrupt):
        t.train(*blobs())
    assert {key: len(values) for key, values in t.history.items()} == dict.fromkeys(t.history, 2)
    t.train(*blobs())
    assert t.epoch == 2 + 5
    assert t.evaluate(*blobs())["accuracy"] == 1.0


def test_an_interrupted_training_ends_with_the_best_weights_and_a_closed_bar(capfd):
    recorder, stop = Recorder(), EarlyStopping()
    scores = Scores([3.0, 1.0, 2.0])
    t = trainer(callbacks=[scores, stop, recorder, Interrupt(3)], verbose=True)
    with pytest.raises(KeyboardInterrupt):
        t.train()
    assert t.model.weight[0, 0].item() == stop.best_epoch_ == 2
    assert recorder.calls[-1][0] == "on_train_end"
    assert capfd.readouterr().err.endswith("\n")  # what follows begins a line of its own


# TensorBoard


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard's own imports
def test_tensorboard_gets_every_score_and_the_learning_rate(tmp_path):
    t = trainer(
        callbacks=[TensorBoard(tmp_path)],
        epochs=3,
        scheduler=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
    )
    history = t.train(*blobs())
    written = scalars(tmp_path)
    assert set(written) == {*history, "learning_rate"}
    for key, values in history.items():
        assert [step for step, _ in written[key]] == [1, 2, 3]
        np.testing.assert_allclose([v for _, v in written[key]], values, rtol=1e-6)
    assert [v for _, v in written["learning_rate"]] == pytest.approx([0.05, 0.025, 0.0125])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_a_resumed_training_once(tmp_path):
    class Crash(Callback):
        def on_epoch_end(self, trainer, **details):
            if trainer.epoch == 3:
                raise KeyboardInterrupt

    def run(*callbacks):
        board, file = TensorBoard(tmp_path / "runs"), Checkpoint(tmp_path / "c", resume=True)
        trainer(callbacks=[board, *callbacks, file], epochs=4, seed=1).train()

    with pytest.raises(KeyboardInterrupt):
        run(Crash())  # epoch 3 is on the board, but not in the checkpoint
    run()
    assert [step for step, _ in scalars(tmp_path / "runs")["train_loss"]] == [1, 2, 3, 4]


# Progress bar


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
    with pytest.raises(ImportError, match=r"pip install 'semideep_ext\[train\]'"):
        trainer(verbose=True).train()


def test_the_bar_of_a_resumed_training_begins_where_it_was(tmp_path, capfd):
    options = {"verbose": True, "seed": 1}
    trainer(callbacks=[Checkpoint(tmp_path / "c")], epochs=3, **options).train()
    capfd.readouterr()
    trainer(callbacks=[Checkpoint(tmp_path / "c", resume=True)], epochs=4, **options).train()
    shown = capfd.readouterr().err
    assert "3/4" in shown and "4/4" in shown and "1/4" not in shown


# Trackers


class Noted:
    """A tracker that notes what it is told."""

    def __init__(self):
        self.logged, self.finished = [], 0

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1


def test_a_tracker_gets_every_score_by_epoch():
    noted = Noted()
    t = trainer(callbacks=[Tracker(noted)], epochs=3)
    history = t.train(*blobs())
    assert [step for step, _ in noted.logged] == [1, 2, 3] and noted.finished == 1
    assert set(noted.logged[-1][1]) == {*history, "learning_rate"}
    assert noted.logged[-1][1]["val_loss"] == history["val_loss"][-1]
    t.train()
    assert noted.finished == 2
    assert "val_loss" in noted.logged[-1][1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard's own imports
def test_a_tracker_of_accelerate_by_name(tmp_path):
    t = trainer(callbacks=[Tracker("tensorboard", "run", logging_dir=tmp_path)], epochs=2)
    history = t.train(*blobs())
    written = scalars(tmp_path / "run")
    assert [value for _, value in written["val_loss"]] == pytest.approx(history["val_loss"])


@pytest.mark.parametrize("bad", ["sheet of paper", 3])
def test_what_is_no_tracker_is_refused(bad):
    with pytest.raises(ValueError, match=r"an object\s?with|with log"):
        Tracker(bad)
