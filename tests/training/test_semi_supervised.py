"""Promises of `WeightedTrainer` with a semi-supervised method: one loop, the twin, exact resume."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from semideep_ext import WeightedTrainer
from semideep_ext.ssl import (
    ConfidenceFilter,
    DomainFilter,
    FixMatch,
    MeanTeacher,
    NoisyStudent,
    PiModel,
)
from semideep_ext.ssl.methods import METHODS
from semideep_ext.training.callbacks import Checkpoint, EarlyStopping

NAMES = sorted(METHODS)
RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(60, 3)), RNG.normal(size=(60, 3)) + 3])
Y = np.repeat(["a", "b"], 60)
SHUFFLED = RNG.permutation(120)
X, Y = X[SHUFFLED].astype(np.float32), Y[SHUFFLED]
LABELED, VALIDATION = slice(0, 10), slice(80, 120)
UNLABELED = slice(10, 80)


def network(seed=0, outputs=2, norm=False):
    torch.manual_seed(seed)
    middle = [nn.BatchNorm1d(8)] if norm else []
    head = [nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, outputs)]
    return nn.Sequential(nn.Linear(3, 8), *middle, *head)


def trainer(method, model=None, **options):
    options = {
        "X_unlabeled": X[UNLABELED],
        "epochs": 3,
        "learning_rate": 0.01,
        "batch_size": 8,
        "seed": 5,
        "verbose": False,
        **options,
    }
    return WeightedTrainer(model or network(), X[LABELED], Y[LABELED], method=method, **options)


def state(model):
    return torch.cat([v.flatten().double() for v in model.state_dict().values()])


@pytest.mark.parametrize("name", NAMES)
def test_every_method_trains_beside_weights_and_reports(name):
    t = trainer(name, y_unlabeled=Y[UNLABELED])
    history = t.train(X[VALIDATION], Y[VALIDATION])
    assert t.sample_weights.mean() == pytest.approx(1.0)
    expected = {"unlabeled_loss", "supervised_train_loss", "supervised_accuracy", "accuracy"}
    assert expected <= {key for key, values in history.items() if len(values) == 3}
    assert all(len(values) in (0, 3) for values in history.values())
    if "pseudo_label_share" in history:
        assert all(0 <= share <= 1 for share in history["pseudo_label_share"])
        assert len(history["pseudo_label_accuracy"]) == 3
    scores = t.evaluate(X[VALIDATION], Y[VALIDATION])
    assert scores["accuracy"] == history["accuracy"][-1]
    twin = t.supervised_twin.evaluate(X[VALIDATION], Y[VALIDATION])
    assert twin["accuracy"] == history["supervised_accuracy"][-1]
    assert set(t.predict(X[VALIDATION])) <= {"a", "b"}


@pytest.mark.parametrize("name", NAMES)
def test_resume_is_bit_identical(name, tmp_path):
    def build():
        return trainer(name, network(norm=True), y_unlabeled=Y[UNLABELED], epochs=4)

    whole = build()
    whole.train(X[VALIDATION], Y[VALIDATION])

    class Interrupt:
        def on_epoch_end(self, t, **details):
            if t.epoch == 2:
                t.save_checkpoint(tmp_path / "half")
                raise KeyboardInterrupt

    half = build()
    half.callbacks.append(Interrupt())
    with pytest.raises(KeyboardInterrupt):
        half.train(X[VALIDATION], Y[VALIDATION])
    resumed = build()
    resumed.load_checkpoint(tmp_path / "half")
    resumed.train(X[VALIDATION], Y[VALIDATION])
    for model in ("model", "evaluated_model"):
        assert torch.equal(state(getattr(whole, model)), state(getattr(resumed, model)))
    assert torch.equal(state(whole.method), state(resumed.method))
    assert torch.equal(state(whole.supervised_twin.model), state(resumed.supervised_twin.model))
    np.testing.assert_equal(whole.history, resumed.history)


def test_a_checkpoint_of_other_settings_of_the_method_is_refused(tmp_path):
    def fixmatch(threshold=0.9, **options):
        return FixMatch(threshold=threshold, ema=0.5, **options)

    first = trainer(fixmatch())
    first.train()
    first.save_checkpoint(tmp_path / "c")
    for other in (fixmatch(threshold=0.8), fixmatch(mu=2), "uda"):
        with pytest.raises(ValueError, match="method: "):
            trainer(other).load_checkpoint(tmp_path / "c")
    with pytest.raises(ValueError, match="supervised_twin: True, False"):
        trainer(fixmatch(), supervised_twin=False).load_checkpoint(tmp_path / "c")
    with pytest.raises(ValueError, match="epochs is 3, 4"):  # by which ramps go
        trainer(fixmatch(), epochs=4).load_checkpoint(tmp_path / "c")


def test_the_twin_is_the_model_trained_without_the_method():
    # The unlabelled side has one batch, so that an epoch is one pass over the labelled rows.
    few = {"X_unlabeled": X[10:14], "weights": None}
    t = trainer("mean-teacher", **few)
    t.train(X[VALIDATION], Y[VALIDATION])
    alone = trainer(None, **few)
    alone.train(X[VALIDATION], Y[VALIDATION])
    assert torch.equal(state(t.supervised_twin.model), state(alone.model))
    for key in ("train_loss", "val_loss", "accuracy"):
        assert t.history[f"supervised_{key}"] == alone.history[key]
    assert not torch.equal(state(t.model), state(alone.model))


def test_the_twin_changes_nothing():
    with_twin, without = (trainer("vat", supervised_twin=twin) for twin in (True, False))
    with_twin.train(X[VALIDATION], Y[VALIDATION])
    without.train(X[VALIDATION], Y[VALIDATION])
    assert without.supervised_twin is None
    assert torch.equal(state(with_twin.model), state(without.model))
    assert {k: with_twin.history[k] for k in without.history} == without.history


@pytest.mark.parametrize("given", ["instance", "callable"])
def test_the_twin_has_an_optimizer_and_a_schedule_of_its_own(given):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def schedule(o):
        return torch.optim.lr_scheduler.StepLR(o, 1, 0.5)

    options = {"optimizer": optimizer, "scheduler": schedule(optimizer)}
    if given == "callable":
        options = {
            "optimizer": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
            "scheduler": schedule,
        }
    t = trainer("entropy", model, **options)
    t.train()
    assert t._twin.optimizer.param_groups[0]["lr"] == 0.1 * 0.5**3
    assert t.optimizer.param_groups[0]["lr"] == 0.1 * 0.5**3
    own = {id(p) for p in t._twin.model.parameters()}
    assert {id(p) for p in t._twin.optimizer.param_groups[0]["params"]} == own
    assert own.isdisjoint(id(p) for p in t.model.parameters())


def batches(t):
    """Numbers of the labelled and the unlabelled rows of each batch of an epoch."""
    seen = []
    method = t.method
    forward = method.forward

    def record(model, batch):
        seen.append((batch.x_index.tolist(), batch.u_index.tolist()))
        return forward(model, batch)

    method.forward = record
    t.train()
    return seen


def test_an_epoch_is_the_longer_side_and_the_shorter_begins_again():
    # 10 labelled rows in batches of 5, 70 unlabelled ones in batches of 7 of at most 2 x 8... 16.
    seen = batches(trainer(PiModel(mu=2), epochs=1))
    assert [len(x) for x, _ in seen] == [5] * 6
    assert sum(len(u) for _, u in seen) >= 70
    assert {i for _, u in seen for i in u} == set(range(70))
    for k in range(0, 6, 2):  # each pass has every labelled row
        assert sorted(seen[k][0] + seen[k + 1][0]) == list(range(10))
    # Three unlabelled rows against two batches of labelled ones.
    seen = batches(trainer("pi-model", epochs=1, X_unlabeled=X[10:13]))
    assert len(seen) == 2 and all(sorted(u) == [0, 1, 2] for _, u in seen)


def test_the_two_sides_are_drawn_independently():
    seen = batches(trainer("pi-model", epochs=4))
    assert len({tuple(u) for _, u in seen}) == len(seen) == 40  # drawn anew in each epoch
    assert len({tuple(x) for x, _ in seen}) > 18
    pairs = {(i, j) for x, u in seen for i in x for j in u}
    assert len(pairs) > 500  # of 700


@pytest.mark.parametrize("mark", ["minus one", "missing", "both"])
def test_unlabelled_rows_are_marked_or_given(mark):
    y = np.array([0, 1] * 5 + [-1] * 10, dtype=object)
    if mark == "missing":
        y[10:] = None
    extra = X[30:40] if mark == "both" else None
    t = WeightedTrainer(
        network(),
        X[:20],
        y,
        method="pseudo-label",
        X_unlabeled=extra,
        epochs=1,
        seed=0,
        verbose=False,
    )
    expected = X[10:20] if extra is None else np.concatenate([X[10:20], X[30:40]])
    rows = torch.cat(list(t._semi._all()))
    torch.testing.assert_close(rows, torch.as_tensor(expected, dtype=torch.float32))
    mixed = [torch.tensor([len(expected) - 1, 0, 5])]
    (chosen,) = t._semi.rows.batches(mixed)
    torch.testing.assert_close(chosen, rows[mixed[0]])
    assert t.sample_weights is not None  # weighed by the same rows
    t.train()


def test_unlabelled_rows_are_rows_to_resemble():
    with_method = trainer("pi-model")
    without = WeightedTrainer(network(), X[LABELED], Y[LABELED], X[UNLABELED], verbose=False)
    np.testing.assert_array_equal(with_method.sample_weights, without.sample_weights)


@pytest.mark.parametrize("kind", ["dataset", "loader"])
def test_unlabelled_rows_of_a_dataset(kind):
    data = TensorDataset(torch.as_tensor(X[UNLABELED], dtype=torch.float32))
    pairs = TensorDataset(
        torch.as_tensor(X[UNLABELED], dtype=torch.float32), torch.zeros(70, dtype=torch.int64)
    )
    given = data if kind == "dataset" else DataLoader(pairs, 5)
    t, array = trainer("fixmatch", X_unlabeled=given), trainer("fixmatch")
    assert batches(t) == batches(array)
    assert torch.equal(*(torch.cat(list(one._semi._all())) for one in (t, array)))
    np.testing.assert_array_equal(t.sample_weights, array.sample_weights)


def test_filters_choose_rows_and_are_counted():
    t = trainer("pi-model", unlabeled_filter=[ConfidenceFilter(0.7), DomainFilter(0.5)], epochs=6)
    seen = batches(t)
    assert t.history["kept_by_domain"] == [35.0] * 6
    counts = t.history["kept_by_confidence"]
    assert counts[0] < counts[-1] <= 70
    domain = np.flatnonzero(t._semi.filters[1]._mask)
    assert {i for _, u in seen for i in u} <= set(domain.tolist())


def test_a_filter_that_keeps_none_leaves_supervised_training():
    t = trainer(
        "mean-teacher", unlabeled_filter=ConfidenceFilter(1.0), X_unlabeled=X[10:14], weights=None
    )
    t.train()
    assert np.isnan(t.history["unlabeled_loss"]).all() and len(t.history["unlabeled_loss"]) == 3
    assert torch.equal(state(t.model), state(t.supervised_twin.model))


def test_truth_is_for_reports_only():
    truth = Y[UNLABELED].astype(object)
    truth[:20] = None
    knowing, ignorant = trainer("fixmatch", y_unlabeled=truth), trainer("fixmatch")
    knowing.train()
    ignorant.train()
    assert torch.equal(state(knowing.model), state(ignorant.model))
    assert "pseudo_label_accuracy" not in ignorant.history
    assert knowing.history["pseudo_label_share"] == ignorant.history["pseudo_label_share"]


def test_regression_with_a_method():
    y = X[LABELED] @ np.array([1.0, -2.0, 0.5])
    for method in ("pi-model", "mean-teacher", "ict"):
        t = WeightedTrainer(
            network(outputs=1),
            X[LABELED],
            y,
            task="regression",
            method=method,
            X_unlabeled=X[UNLABELED],
            epochs=2,
            verbose=False,
        )
        history = t.train(X[VALIDATION], X[VALIDATION].sum(1))
        assert np.isfinite(history["unlabeled_loss"]).all() and len(history["supervised_r2"]) == 2


def test_a_binary_head_and_the_bce_loss():
    t = trainer("fixmatch", network(outputs=1))
    t.train(X[VALIDATION], Y[VALIDATION])
    assert np.isfinite(t.history["train_loss"]).all()


def test_more_outputs_than_classes_take_no_part():
    t = trainer("entropy", network(outputs=5))
    t.train()
    assert t.predict_proba(X[VALIDATION]).shape == (40, 2)


def test_early_stopping_and_saving_are_about_the_model_that_predicts(tmp_path):
    t = trainer("mean-teacher", callbacks=[EarlyStopping(patience=1)], epochs=5)
    t.train(X[VALIDATION], Y[VALIDATION])
    best = min(t.history["val_loss"])
    assert t.evaluate(X[VALIDATION], Y[VALIDATION])["val_loss"] == pytest.approx(best)
    t.save_model(tmp_path / "m.pt")
    other = trainer("mean-teacher")
    other.load_model(tmp_path / "m.pt")
    np.testing.assert_array_equal(other.predict_proba(X), t.predict_proba(X))


def test_noisy_student_begins_rounds_in_the_trainer():
    t = trainer(NoisyStudent(rounds=2, threshold=0.0), epochs=6, y_unlabeled=Y[UNLABELED])
    t.train()
    assert t.history["pseudo_label_share"][:2] == [0.0, 0.0]
    assert all(share > 0 for share in t.history["pseudo_label_share"][2:])
    assert int(t.method.part) == 2


def test_checkpoints_of_a_killed_run_go_on(tmp_path):
    path = tmp_path / "run.safetensors"
    first = trainer("mlsn", callbacks=[Checkpoint(path)])
    first.train()
    again = trainer("mlsn", callbacks=[Checkpoint(path, resume=True)])
    again.train()
    assert again.epoch == 3 and torch.equal(state(again.model), state(first.model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "fixmtach"}, "choose one of pseudo-label"),
        ({"method": FixMatch}, "built rather than the"),
        ({"X_unlabeled": None, "weights": None}, "needs unlabelled rows: give X_unlabeled"),
        ({"method": None, "y_unlabeled": Y[UNLABELED]}, "y_unlabeled is for a semi-supervised"),
        ({"method": None, "unlabeled_filter": "domain"}, "unlabeled_filter is for a semi"),
        ({"y_unlabeled": Y[:3]}, r"y_unlabeled has shape \(3,\)"),
        ({"y_unlabeled": np.zeros(70)}, "holds none of the classes"),
        (
            {"method": "mixmatch", "loss_fn": nn.CrossEntropyLoss(label_smoothing=0.1)},
            "loss of its own, so that loss_fn would not be used",
        ),
        ({"unlabeled_filter": "nearest"}, "choose from confidence, domain"),
        ({"X_unlabeled": X[:, :2]}, r"X_unlabeled has shape \(120, 2\)"),
        ({"X_unlabeled": np.full((3, 3), np.nan)}, "X_unlabeled holds nan at row 0"),
        ({"loss_fn": nn.CrossEntropyLoss(reduction="sum")}, None),
    ],
)
def test_bad_arguments_name_what_to_change(options, message):
    options = {"method": "vat", **options}
    method = options.pop("method")
    if message is None:
        trainer(method, **options)  # the base loss is set to "none", as without a method
        return
    with pytest.raises(ValueError, match=message):
        trainer(method, **options)


def test_one_method_serves_several_trainers():
    method = PiModel(mu=2)
    first, second = trainer(method), trainer(method, X_unlabeled=X[10:30])
    first.train()
    assert method.data is None and int(second.method.steps) == 0
    assert first.method.data.unlabeled == 70 and second.method.data.unlabeled == 20


def test_an_average_of_more_steps_than_the_training_has_is_told():
    # 3 epochs of 9 batches of unlabelled rows: a tenth of them is 2 steps.
    message = r"ema=0.999 averages the parameters of about 1,000 steps.* Give ema=0.5, FixMatch's"
    with pytest.warns(UserWarning, match=message):
        trainer(FixMatch())
    with pytest.warns(UserWarning, match="decay=0.99 .* 100 steps"):
        trainer(MeanTeacher(decay=0.99))
    for quiet in (FixMatch(ema=0.8), FixMatch(ema=None), "fixmatch"):
        trainer(quiet)


def test_what_no_method_can_do_is_refused():
    from semideep_ext import WeightedCrossEntropyLoss

    with pytest.raises(ValueError, match="must be 'mean'"):
        trainer("vat", loss_fn=WeightedCrossEntropyLoss(reduction="sum"))
    y = (RNG.random((10, 2)) > 0.5).astype(int)
    with pytest.raises(ValueError, match="one class per row"):
        WeightedTrainer(
            network(),
            X[LABELED],
            y,
            task="multilabel",
            method="vat",
            X_unlabeled=X[UNLABELED],
            verbose=False,
        )
    with pytest.raises(ValueError, match="choose PiModel, MeanTeacher or ICT"):
        WeightedTrainer(
            network(outputs=1),
            X[LABELED],
            X[LABELED, 0],
            task="regression",
            method="vat",
            X_unlabeled=X[UNLABELED],
            verbose=False,
        )
