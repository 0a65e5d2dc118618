"""Promises of what a trainer reads, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
import torch
from blobs import blobs, trainer
from torch import nn

from semideep_ext.op.functional import distance_weights
from semideep_ext.training.trainer import WeightedTrainer


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


@pytest.mark.parametrize("dtype", [str, "category"])
def test_columns_of_text_are_refused(dtype):
    with pytest.raises(ValueError, match="X_train is not numeric"):
        trainer(X=pd.DataFrame({"a": ["x"] * 60}, dtype=dtype))


NUMPY_DTYPES = ["bool", "int8", "uint16", "uint64", "float16", "longdouble"]
TORCH_DTYPES = [torch.bool, torch.int8, torch.uint16, torch.bfloat16, torch.float16]
PANDAS_DTYPES = ["Int8", "boolean", "Float32", "category"]


@pytest.mark.parametrize("dtype", [*NUMPY_DTYPES, *TORCH_DTYPES, *PANDAS_DTYPES], ids=str)
def test_numbers_of_any_dtype_train_like_float64(dtype):
    X = (blobs()[0] > 0).astype(float)
    options = {"seed": 1, "weights": "distance"}
    if dtype in TORCH_DTYPES:
        rows = torch.tensor(X).to(dtype)
    else:
        rows = pd.DataFrame(X).astype(dtype) if dtype in PANDAS_DTYPES else X.astype(dtype)
    converted = trainer(X=rows, X_test=rows[:9], **options)
    plain = trainer(X=X, X_test=X[:9], **options)
    np.testing.assert_allclose(converted.sample_weights, plain.sample_weights, rtol=1e-6)
    assert converted.train(rows, blobs()[1])["val_loss"] == pytest.approx(
        plain.train(X, blobs()[1])["val_loss"], rel=1e-5
    )


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (None, "X_train is missing"),
        (torch.eye(60).to_sparse(), r"sparse: .* pass X_train.to_dense\(\)"),
        (np.zeros((60, 2), complex), "X_train is not numeric"),
        (torch.zeros(60, 2, dtype=torch.complex64), "X_train must be real"),
        (np.zeros((60, 2), "datetime64[s]"), "X_train is not numeric"),
        (blobs()[0][:, 0], r"X_train has shape \(60,\); allowed is \(rows, features\)"),
        (np.zeros((0, 2)), r"X_train has shape \(0, 2\)"),
        ([[1, 2], [3]] * 30, "give rows of one length"),
    ],
    ids=["none", "sparse", "complex", "complex tensor", "dates", "1-d", "empty", "ragged"],
)
def test_what_is_no_table_of_numbers_is_refused(rows, found):
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=found):
        WeightedTrainer(nn.Linear(2, 2), rows, blobs()[1], weights=None)


def test_validation_without_rows_is_refused():
    with pytest.raises(ValueError, match=r"X_val has shape \(0, 2\)"):
        trainer().train(np.zeros((0, 2)), [])


def test_one_row_trains_and_scores():
    X, y = blobs(n=1)
    t = trainer(X=X, y=y, weights="distance", X_test=X, normalize=True, batch_size=100)
    history = t.train(X, y)
    assert history["accuracy"][-1] == 1.0
    np.testing.assert_array_equal(t.predict(X), y)


def test_labels_of_one_class_train():
    t = trainer(y=["a"] * 60)
    t.train(blobs()[0], ["a"] * 60)
    assert set(t.predict(blobs()[0])) == {"a"}
    np.testing.assert_array_equal(t.predict_proba(blobs()[0]), np.ones((60, 1)))


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


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("kind", [list, np.array, pd.Series], ids=lambda kind: kind.__name__)
def test_rows_without_a_label_are_unlabelled(missing, kind):
    y = ["a", "b", missing, *"ab" * 28, "a"]
    t = trainer(y=np.array(y, dtype=object) if kind is np.array else kind(y))
    assert t.classes_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(np.flatnonzero(~t.labeled_), [2])
    with pytest.raises(ValueError, match="y_val has no label at row 1"):
        t.train(blobs()[0][:2], ["a", missing])


@pytest.mark.parametrize("kind", [list, lambda y: np.array(y, dtype=object)], ids=["list", "array"])
def test_labels_that_do_not_sort_are_refused(kind):
    with pytest.raises(
        ValueError, match=r"y_train holds labels of types .*: int, str; give labels"
    ):
        trainer(y=kind(["a", 1] * 30))


def test_masked_labels_are_refused():
    with pytest.raises(ValueError, match="y_train is a masked array"):
        trainer(y=np.ma.masked_array(blobs()[1], mask=blobs()[1] == 1))


@pytest.mark.parametrize(
    ("option", "value"), [("batch_size", 0), ("epochs", -1), ("batch_size", 2.5), ("epochs", "10")]
)
def test_impossible_settings_are_refused(option, value):
    with pytest.raises(ValueError, match=f"{option}={value!r}"):
        trainer(**{option: value})


def test_rows_without_a_label_in_pandas_are_unlabelled():
    labels = pd.Series(["a", "b"] * 30, dtype="string")
    labels[4] = pd.NA
    np.testing.assert_array_equal(np.flatnonzero(~trainer(y=labels).labeled_), [4])


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
    t = trainer(normalize=False, X=X.reshape(60, 1, 2), model=model, **options)
    np.testing.assert_allclose(t.sample_weights, distance_weights(X, X[:9]))
    assert t.train(X.reshape(60, 1, 2), y)["accuracy"][-1] == 1.0
