"""`SemiSupervisedTrainer` runs every method on two loaders of the user's own."""

import pytest
import torch
from cases import NAMES
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from semideep_ext.ssl import FixMatch, MeanTeacher, SemiSupervisedTrainer


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    return torch.randn(n, 3, generator=g) + 4 * y[:, None], y


def loaders():
    x, y = blobs(10, 1)
    u, _ = blobs(70, 2)
    return (
        DataLoader(TensorDataset(x, y), 4, shuffle=True),
        DataLoader(TensorDataset(u), 16, shuffle=True),
    )


def network(outputs=2):
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, outputs))


REMEMBER = {"temporal-ensembling", "noisy-student"}


@pytest.mark.parametrize("name", NAMES)
def test_every_method_trains_or_says_what_it_lacks(name):
    model = network()
    trainer = SemiSupervisedTrainer(*loaders(), model, "cpu", epochs=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    if name in REMEMBER:
        with pytest.raises(ValueError, match=r"give|needs"):
            trainer.train_epoch(optimizer, name)
        return
    for _ in range(8):
        losses = trainer.train_epoch(optimizer, ssl_method=name, ssl_weight=0.1)
    assert {"loss", "labeled_loss", "unlabeled_loss"} <= losses.keys()
    assert trainer.epoch == 8 and int(trainer.method.steps) == 8 * 5
    x, y = blobs(100, 3)
    # Averages of a thousand steps are not there yet after 40.
    trainer.method.average = None
    if name not in ("mean-teacher", "ict", "mlsn"):
        assert trainer.evaluate([(x, y)]) > 0.8


def test_an_epoch_is_the_longer_loader_and_the_shorter_begins_again():
    seen = {"x": [], "u": []}

    class Spy(MeanTeacher):
        def forward(self, model, batch):
            seen["x"].append(len(batch.x))
            seen["u"].append(len(batch.u))
            return super().forward(model, batch)

    model = network()
    for given, expected in (
        (loaders(), ([4, 4, 2, 4, 4], [16, 16, 16, 16, 6])),
        ((loaders()[0], [torch.zeros(3, 3)]), ([4, 4, 2], [3, 3, 3])),
    ):
        seen["x"].clear()
        seen["u"].clear()
        trainer = SemiSupervisedTrainer(*given, model)
        trainer.train_epoch(torch.optim.SGD(model.parameters(), lr=0.01), Spy(decay=0.5))
        assert (seen["x"], seen["u"]) == expected


def test_weights_of_rows_and_of_the_method():
    x, y = blobs(4, 1)
    model = network()
    labeled = [(x, y, torch.zeros(4))]
    trainer = SemiSupervisedTrainer(labeled, [x], model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model[0].weight.clone()
    losses = trainer.train_epoch(optimizer, "entropy", ssl_weight=0.0)
    assert losses["loss"] == losses["labeled_loss"] == 0.0 and losses["unlabeled_loss"] > 0
    assert torch.equal(model[0].weight, before)
    losses = trainer.train_epoch(optimizer, "entropy", ssl_weight=2.0)
    assert losses["loss"] > 0 and not torch.equal(model[0].weight, before)


def test_progress_goes_by_the_epochs_that_are_planned():
    seen = []

    class Spy(FixMatch):
        def forward(self, model, batch):
            seen.append(batch.progress)
            return super().forward(model, batch)

    model = network()
    x, y = blobs(4, 1)
    trainer = SemiSupervisedTrainer([(x, y)] * 2, [x], model, epochs=2)
    method, optimizer = Spy(ema=None), torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        trainer.train_epoch(optimizer, method)
    assert seen == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_parameters_of_a_method_are_trained_once():
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    trainer = SemiSupervisedTrainer(*loaders(), model)
    trainer.train_epoch(optimizer, "mlsn")
    own = trainer.method.similarity.layers[0].weight
    before = own.clone()
    trainer.train_epoch(optimizer, "mlsn")
    assert len(optimizer.param_groups) == 2 and not torch.equal(own, before)


def test_bad_arguments_name_what_to_change():
    x, y = blobs(4, 1)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="unlabeled_loader has no length"):
        SemiSupervisedTrainer([(x, y)], iter([x]), model).train_epoch(optimizer)
    with pytest.raises(ValueError, match="labeled_loader has no length, or gives no batch"):
        SemiSupervisedTrainer([], [x], model).train_epoch(optimizer, "entropy")
    with pytest.raises(ValueError, match="choose one of pseudo-label"):
        SemiSupervisedTrainer([(x, y)], [x], model).train_epoch(optimizer, "mixup")
    with pytest.raises(ValueError, match="ssl_weight=-1"):
        SemiSupervisedTrainer([(x, y)], [x], model).train_epoch(optimizer, ssl_weight=-1)
    with pytest.raises(ValueError, match="lower the learning rate"):
        SemiSupervisedTrainer([(x * float("inf"), y)], [x], model).train_epoch(optimizer, "entropy")
    with pytest.raises(ValueError, match="no rows"):
        SemiSupervisedTrainer([(x, y)], [x], model).evaluate([])
