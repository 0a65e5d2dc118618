"""Promise: rows marked as unlabelled are not trained on, and are the rows to resemble."""

import numpy as np
import pandas as pd
import pytest
import torch
from blobs import blobs, trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from semideep_ext import WeightsWarning, distance_weights
from semideep_ext.training.trainer import WeightedTrainer

EVERY_THIRD = np.arange(60) % 3 == 0


def marked(kind=np.array):
    X, y = blobs()
    return X, kind(np.where(EVERY_THIRD, -1, y))


@pytest.mark.parametrize(
    "kind",
    [
        np.array,
        list,
        torch.tensor,
        pd.Series,
        lambda y: y.astype(float),
        lambda y: y.astype(object),
    ],
    ids=["array", "list", "tensor", "Series", "float", "object"],
)
def test_minus_one_is_no_class(kind):
    X, y = marked(kind)
    t = trainer(X=X, y=y, weights="distance", epochs=20)
    t.train()
    assert t.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(t.labeled_, ~EVERY_THIRD)
    expected = distance_weights(X[~EVERY_THIRD], X[EVERY_THIRD])
    np.testing.assert_allclose(t.sample_weights, expected / expected.mean(), rtol=1e-6)
    np.testing.assert_array_equal(t.predict(X), blobs()[1])


def test_they_join_the_test_rows():
    X, y = marked()
    t = trainer(X=X, y=y, X_test=X[1:4], weights="distance", normalize=False)
    expected = distance_weights(X[~EVERY_THIRD], np.concatenate([X[1:4], X[EVERY_THIRD]]))
    np.testing.assert_allclose(t.sample_weights, expected, rtol=1e-6)


def test_training_is_that_of_the_labelled_rows_alone():
    X, y = marked()
    options = {"weights": "distance", "seed": 3}
    together = trainer(X=X, y=y, **options)
    apart = trainer(X=X[~EVERY_THIRD], y=y[~EVERY_THIRD], X_test=X[EVERY_THIRD], **options)
    assert together.train() == apart.train()
    assert torch.equal(together.model.weight, apart.model.weight)


def test_text_that_looks_like_the_mark_is_refused():
    X, y = marked()
    with pytest.raises(ValueError, match="'-1'"):
        trainer(X=X, y=np.array(["dog", "cat", "-1"])[y])


def test_text_beside_the_mark_itself_works():
    X, y = marked()
    names = np.array(["cat", "dog", -1], dtype=object)[y]
    assert trainer(X=X, y=names).classes_.tolist() == ["cat", "dog"]


def test_rows_of_minus_one_and_one_are_classes_and_that_is_said():
    X, y = blobs()
    with pytest.warns(WeightsWarning, match="both are taken as classes"):
        t = trainer(X=X, y=2 * y - 1)
    assert t.classes_.tolist() == [-1, 1]


def test_none_says_that_every_row_is_labelled():
    X, y = marked()
    assert trainer(X=X, y=y, outputs=3, unlabeled=None).classes_.tolist() == [-1, 0, 1]


@pytest.mark.parametrize("columns", [1, 2])
def test_nan_marks_them_where_numbers_are_predicted(columns):
    X, _ = blobs()
    y = X[:, 0] if columns == 1 else X.copy()
    y = np.where(EVERY_THIRD if columns == 1 else EVERY_THIRD[:, None], np.nan, y)
    t = trainer(X=X, y=y, outputs=columns, task="regression", weights="distance", epochs=1)
    assert t.labeled_.sum() == 40
    assert np.isfinite(t.train()["train_loss"]).all()


def test_nan_marks_them_where_labels_come_together():
    X, y = blobs()
    labels = np.where(EVERY_THIRD[:, None], np.nan, np.stack([y, np.ones(60)], 1))
    t = trainer(X=X, y=labels, weights="distance")
    assert t.classes_.tolist() == [0, 1] and t.labeled_.sum() == 40


def test_given_weights_are_one_for_each_row_that_was_given():
    X, y = marked()
    w = np.arange(60.0)
    t = trainer(X=X, y=y, weights=w, normalize=False)
    np.testing.assert_array_equal(t.sample_weights, w[~EVERY_THIRD])


def test_rows_without_any_label_are_refused():
    X, _ = blobs()
    with pytest.raises(ValueError, match="marks all of its 60 rows as unlabelled"):
        trainer(X=X, y=np.full(60, -1))


def of_dataset(data, **options):
    settings = {"weights": "distance", "epochs": 2, "verbose": False, "device": "cpu", **options}
    torch.manual_seed(0)
    return WeightedTrainer(nn.Linear(2, 2), data, **settings)


def test_rows_of_a_dataset_and_of_a_memory_map(tmp_path):
    X, y = marked()
    X = X.astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    expected = of_dataset(X, y_train=y, seed=1)
    others = (
        of_dataset(TensorDataset(torch.tensor(X), torch.tensor(y)), seed=1),
        of_dataset(np.load(tmp_path / "X.npy", mmap_mode="r"), y_train=y, seed=1),
    )
    expected.train()
    for t in others:
        np.testing.assert_allclose(t.sample_weights, expected.sample_weights, rtol=1e-6)
        assert t.train()["train_loss"] == pytest.approx(expected.history["train_loss"])


def test_a_loader_that_would_draw_them_is_refused():
    X, y = marked()
    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=8)
    with pytest.raises(ValueError, match="its sampler would draw them"):
        of_dataset(loader)
