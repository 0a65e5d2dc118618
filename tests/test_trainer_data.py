"""Promises of what a trainer reads, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from training import blobs, trainer

from semideep_ext.functional import distance_weights
from semideep_ext.trainer import WeightedTrainer


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
@pytest.mark.parametrize("where", ["X_train", "X_test", "X_val", "X"])
def test_values_that_are_not_finite_are_named_by_row_and_column(where, value):
    good, y = blobs()
    bad = good.copy()
    bad[7, 1] = value
    with pytest.raises(ValueError, match=f"{where} holds .* at row 7, column 1"):
        if where == "X_train":
            trainer(X=bad)
        elif where == "X_test":
            trainer(weights="distance", X_test=bad)
        elif where == "X_val":
            trainer().train(bad, y)
        else:
            trainer().predict(bad)


def test_columns_of_a_dataframe_are_named():
    frame = pd.DataFrame(blobs()[0], columns=["height", "age"])
    frame.loc[3, "age"] = np.nan
    with pytest.raises(ValueError, match="row 3, column 'age'"):
        trainer(X=frame)


def test_columns_of_text_are_refused():
    with pytest.raises(ValueError, match="X_train is not numeric"):
        trainer(X=pd.DataFrame({"a": ["x"] * 60}))


def test_dataframes_train_like_arrays():
    X, y = blobs()
    frames = trainer(X=pd.DataFrame(X), y=pd.Series(y)).train(pd.DataFrame(X), pd.DataFrame(y))
    assert frames == trainer(X=X, y=y).train(X, y)


def test_tensors_train_like_arrays():
    X, y = blobs()
    tensors = trainer(X=torch.tensor(X), y=torch.tensor(y)).train()
    assert tensors == trainer(X=X, y=y).train()


def test_the_data_are_not_changed():
    X, y = blobs()
    trainer(X=X, y=y).train(X, y)
    np.testing.assert_array_equal(X, blobs()[0])


@pytest.mark.parametrize("labels", [blobs()[1][:-1], np.zeros((60, 2, 2))], ids=["59", "3-d"])
def test_labels_of_another_length_are_refused(labels):
    with pytest.raises(ValueError, match=r"y_train has shape .* for 60 rows"):
        trainer(y=labels)


def test_validation_labels_of_another_length_are_refused():
    X, y = blobs()
    with pytest.raises(ValueError, match="y_val has shape"):
        trainer().train(X, y[:-1])


def test_validation_rows_without_labels_are_refused():
    with pytest.raises(ValueError, match="both X_val and y_val"):
        trainer().train(blobs()[0])


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"X has shape \(4, 3\)"):
        trainer().predict(np.zeros((4, 3)))


def test_missing_labels_are_refused():
    with pytest.raises(ValueError, match="no label at row 2"):
        trainer(y=["a", "b", None, *"ab" * 28, "a"])


@pytest.mark.parametrize(
    ("option", "value"), [("batch_size", 0), ("epochs", -1), ("batch_size", 2.5), ("epochs", "10")]
)
def test_impossible_settings_are_refused(option, value):
    with pytest.raises(ValueError, match=f"{option}={value!r}"):
        trainer(**{option: value})


def test_missing_labels_of_pandas_are_refused():
    labels = pd.Series(["a", "b"] * 30, dtype="string")
    labels[4] = pd.NA
    with pytest.raises(ValueError, match="no label at row 4"):
        trainer(y=labels)


def test_missing_numbers_of_pandas_are_named_by_row_and_column():
    X = pd.DataFrame(blobs()[0].round(), columns=["a", "b"]).astype("Int64")
    X.loc[3, "b"] = pd.NA
    with pytest.raises(ValueError, match="at row 3, column 'b'"):
        trainer(X=X)


def test_masked_rows_are_refused():
    with pytest.raises(ValueError, match="X_train is a masked array"):
        trainer(X=np.ma.masked_array(blobs()[0], mask=blobs()[0] > 4, fill_value=-999))


def test_columns_in_another_order_are_refused():
    X = pd.DataFrame(blobs()[0], columns=["a", "b"])
    shuffled = X[["b", "a"]]
    with pytest.raises(ValueError, match="X_test has the same columns in another order"):
        trainer(X=X, X_test=shuffled, weights="distance")
    with pytest.raises(ValueError, match="X has the same columns in another order"):
        trainer(X=X).predict(shuffled)


def test_weights_of_zero_throughout_are_refused():
    with pytest.raises(ValueError, match="all 0"):
        trainer(weights=np.zeros(60))


def test_arrays_without_labels_are_refused():
    with pytest.raises(ValueError, match="y_train is missing"):
        WeightedTrainer(nn.Linear(2, 2), blobs()[0], weights=None)


def test_what_happens_to_the_array_later_changes_nothing():
    X, y = blobs()
    t = trainer(X=X, y=y, seed=1)
    X[:] = 0
    assert t.train() == trainer(seed=1).train()


def test_rows_of_more_dimensions_are_flattened_for_distances():
    X, y = blobs()
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    options = {"weights": "distance", "X_test": X[:9].reshape(9, 1, 2)}
    t = trainer(X=X.reshape(60, 1, 2), model=model, **options)
    np.testing.assert_allclose(t.sample_weights, distance_weights(X, X[:9]))
    assert t.train(X.reshape(60, 1, 2), y)["accuracy"][-1] == 1.0
