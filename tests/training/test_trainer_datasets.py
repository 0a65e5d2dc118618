"""Promises of rows that stay where they are: memory maps, Datasets, DataLoaders."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from blobs import Noted, blobs, trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from semideep_ext.op.functional import distance_weights
from semideep_ext.training.trainer import WeightedTrainer
from semideep_ext.weighting import checks

# Memory maps


@pytest.fixture(params=["float32", "float64", "uint8", ">f4"])
def mapped(request, tmp_path):
    """A memory map of the blobs, and the same rows in memory."""
    X = (blobs()[0] * 8).round() + 128
    np.save(tmp_path / "X.npy", X.astype(request.param))
    return np.load(tmp_path / "X.npy", mmap_mode="r"), X.astype(request.param).astype(float)


def test_memory_maps_train_like_arrays(mapped):
    rows, X = mapped
    options = {"weights": "distance", "lambda_": 0.01, "seed": 1, "learning_rate": 0.01}
    mapped_trainer = trainer(X=rows, X_test=rows[:9], **options)
    trainer_in_memory = trainer(X=X, X_test=X[:9], **options)
    np.testing.assert_allclose(
        mapped_trainer.sample_weights, trainer_in_memory.sample_weights, rtol=1e-6
    )
    losses = mapped_trainer.train(rows, blobs()[1]), trainer_in_memory.train(X, blobs()[1])
    for key in losses[0]:
        np.testing.assert_allclose(losses[0][key], losses[1][key], rtol=1e-5)
    np.testing.assert_array_equal(mapped_trainer.predict(rows), trainer_in_memory.predict(X))


TRAIN_ON_A_MEMORY_MAP = """
import resource, sys
import numpy as np, torch
from semideep_ext import WeightedTrainer

def train(rows):
    y = np.arange(len(rows)) % 2
    model = torch.nn.Linear(256, 2)
    options = {"batch_size": 4096, "epochs": 1, "verbose": False, "device": "cpu"}
    WeightedTrainer(model, rows, y, np.ones((2, 256), np.float32), **options).train(rows, y)

train(np.random.rand(16, 256).astype(np.float32))  # loads what is loaded when it is needed
held = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + (64 << 20),) * 2)
train(np.load(sys.argv[1], mmap_mode="r"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_a_memory_map_may_be_larger_than_memory(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (3 << 15, 256))  # 96 MiB
    X[::1000] = 1
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAIN_ON_A_MEMORY_MAP, tmp_path / "X.npy"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


def test_values_that_are_not_finite_are_found_in_every_block(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "BLOCK", 8)
    X = blobs()[0]
    X[17, 1] = X[44, 0] = np.nan
    with pytest.raises(ValueError, match=r"nan at row 17, column 1 \(2 values"):
        trainer(X=X)


# Datasets and DataLoaders


class Pairs(Dataset):
    """Rows and labels, one at a time."""

    def __init__(self, X, y):
        self.X, self.y = torch.tensor(X, dtype=torch.float32), y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], self.y[i]


def with_data(data, **options):
    torch.manual_seed(0)
    defaults = {"weights": None, "learning_rate": 0.1, "epochs": 5, "verbose": False, "seed": 1}
    return WeightedTrainer(nn.Linear(2, 2), data, device="cpu", **{**defaults, **options})


@pytest.mark.parametrize("names", [(0, 1), ("no", "yes")], ids=str)
def test_a_dataset_trains_like_its_arrays(names):
    X, y = blobs()
    y = np.array(names)[y]
    options = {"weights": "distance", "seed": 1}
    data, arrays = (
        Pairs(X, y.tolist()),
        trainer(X=X.astype("f"), y=y, X_test=X[:9].astype("f"), **options),
    )
    t = with_data(data, X_test=Pairs(X[:9], y[:9].tolist()), **options)
    np.testing.assert_allclose(t.sample_weights, arrays.sample_weights, rtol=1e-6)
    assert t.train(data) == arrays.train(X, y)
    assert t.evaluate(data) == arrays.evaluate(X, y)
    np.testing.assert_array_equal(t.predict(data), arrays.predict(X))
    np.testing.assert_array_equal(t.classes_, arrays.classes_)


def test_weights_belong_to_the_rows_of_a_dataset_by_number():
    X, y = blobs()
    lies = y.copy()
    lies[:30] = 1 - lies[:30]
    t = with_data(Pairs(X, lies), weights=np.arange(60) >= 30, epochs=20)
    t.train()
    assert t.evaluate(X, y)["accuracy"] == 1.0


def test_the_batches_of_a_loader_are_used():
    X, y = blobs()
    noted = Noted()
    loader = DataLoader(Pairs(X, y), batch_size=25, drop_last=True)  # in order: no shuffling
    t = WeightedTrainer(noted.model(), loader, weights=None, epochs=2, verbose=False, device="cpu")
    t.train()
    assert [len(x) for x in noted] == [25, 25, 25, 25]
    torch.testing.assert_close(torch.cat(noted[:2]), torch.tensor(X[:50], dtype=torch.float32))


def test_a_loader_shuffles_by_seed_and_epoch():
    X, y = blobs()

    def seen(seed):
        noted = Noted()
        loader = DataLoader(
            Pairs(X, y), batch_size=60, shuffle=True, generator=torch.Generator().manual_seed(seed)
        )
        options = {"weights": None, "epochs": 2, "verbose": False, "device": "cpu", "seed": 3}
        WeightedTrainer(noted.model(), loader, **options).train()
        return noted

    first, again = seen(1), seen(2)  # the loader's own generator is seeded anew too
    assert not torch.equal(first[0], first[1])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_sampler_that_draws_rows_more_often_keeps_their_weights():
    X, y = blobs()
    chosen = [5] * 4 + [7] * 4
    loader = DataLoader(Pairs(X, y), batch_size=4, sampler=chosen)
    w = np.linspace(0, 3, 60)
    t = with_data(loader, weights=w, normalize=False, learning_rate=0.0, epochs=1)
    logits = t.model(torch.tensor(X, dtype=torch.float32))
    rows = nn.functional.cross_entropy(logits, torch.tensor(y), reduction="none")
    expected = (torch.tensor(w) * rows)[chosen].mean().item()
    assert t.train()["train_loss"] == [pytest.approx(expected, rel=1e-5)]


def test_the_collation_and_the_workers_of_a_loader_are_used():
    X, y = blobs()

    def scaled(pairs):
        assert torch.utils.data.get_worker_info() is not None
        return torch.stack([x for x, _ in pairs]) * 2, torch.tensor([label for _, label in pairs])

    loader = DataLoader(Pairs(X, y), batch_size=30, collate_fn=scaled, num_workers=1)
    t = with_data(loader, weights="distance", normalize=False, X_test=X[:9] * 2, epochs=1)
    np.testing.assert_allclose(t.sample_weights, distance_weights(X * 2, X[:9] * 2), rtol=1e-5)
    t.train()


def test_whole_numbers_from_a_dataset_stay_whole():
    data = TensorDataset(torch.tensor([[0, 1], [2, 3]] * 10), torch.tensor([0, 1] * 10))
    model = nn.Sequential(nn.Embedding(4, 3), nn.Flatten(), nn.Linear(6, 2))
    t = WeightedTrainer(model, data, weights=None, epochs=60, verbose=False, learning_rate=0.1)
    t.train()
    assert t.evaluate(data)["accuracy"] == 1.0


class Stream(IterableDataset):
    def __iter__(self):
        return iter(())


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (Stream(), "needs __getitem__ and __len__"),
        (DataLoader(Pairs(*blobs()), batch_size=None), "batch_size=None"),
        (Pairs(np.zeros((0, 2)), []), "without rows"),
        (TensorDataset(torch.zeros(4, 2)), r"pairs \(x, y\)"),
    ],
    ids=["stream", "no batches", "empty", "no labels"],
)
def test_datasets_that_cannot_be_weighted_are_refused(data, found):
    with pytest.raises(ValueError, match=found):
        with_data(data)


def test_labels_beside_a_dataset_are_refused():
    X, y = blobs()
    with pytest.raises(ValueError, match="leave out y_train"):
        with_data(Pairs(X, y), y_train=y)


@pytest.mark.parametrize(
    ("where", "weights"),
    [("X_train", "distance"), ("X_test", "distance"), ("X_train", None), ("X_val", None)],
)
def test_nan_in_a_dataset_is_refused(where, weights):
    X, y = blobs(n=300)
    bad = X.copy()
    bad[270, 1] = np.nan  # not in the first block that is read
    data = {name: Pairs(bad if name == where else X, y) for name in ("X_train", "X_test", "X_val")}
    with pytest.raises(ValueError, match=f"{where} holds nan at row 270, column 1"):
        with_data(data["X_train"], weights=weights, X_test=data["X_test"]).train(data["X_val"])


def test_rows_of_a_dataset_without_a_label_are_unlabelled():
    X, _ = blobs(n=4)
    t = with_data(Pairs(X, ["a", "b", math.nan, "a"]))
    assert t.labeled_.tolist() == [True, True, False, True]


def test_two_workers_read_what_one_process_reads():
    data = Pairs(*blobs())
    alone, workers = (
        DataLoader(data, batch_size=8, shuffle=True, num_workers=n, multiprocessing_context=context)
        for n, context in ((0, None), (2, "fork"))
    )
    options = {"weights": "distance", "epochs": 1}
    t = with_data(workers, X_test=workers, **options)
    assert t.train(workers) == with_data(alone, X_test=alone, **options).train(alone)


class WithoutLength:
    """A sampler of which nobody knows how much it will draw."""

    def __iter__(self):
        return iter(range(0, 60, 2))


def test_a_sampler_without_length_is_used():
    noted, (X, y) = Noted(), blobs()
    loader = DataLoader(Pairs(X, y), batch_size=20, sampler=WithoutLength())
    with pytest.raises(TypeError):
        len(loader)
    options = {"weights": None, "epochs": 1, "verbose": False, "device": "cpu"}
    WeightedTrainer(noted.model(), loader, **options).train()
    torch.testing.assert_close(torch.cat(noted), torch.tensor(X[::2], dtype=torch.float32))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"batch_size": 100, "drop_last": True}, "gives no batch of its 60 rows.*drop_last=False"),
        ({"sampler": []}, "gives no batch of its 60 rows: its sampler is empty"),
        ({"sampler": [3, 60]}, "drew row 60, of 60 rows; allowed are 0 to 59"),
    ],
    ids=["too few rows", "empty", "beyond"],
)
def test_loaders_that_draw_no_rows_are_refused(options, found):
    with pytest.raises(ValueError, match=found):
        with_data(DataLoader(Pairs(*blobs()), **options)).train()
