"""Promise: a DataFrame gives what the numbers of its `.astype(float)` give."""

import decimal

import numpy as np
import pandas as pd
import pytest
import torch

from semideep_ext import distance_weights, kernel_matmul, median_lambda, preprocess_features
from semideep_ext.op.arguments import to_numpy

pa = pytest.importorskip("pyarrow")

NULLABLE = ["Int8", "Int64", "UInt64", "Float32", "Float64", "boolean"]
ARROW = ["uint8", "int64", "float", "double", "bool"]
VALUES, MISSING = [1, 0, 1], [1, None, 0]


def column(dtype, values):
    return pd.DataFrame({"a": pd.array(values, dtype=dtype)})


def beside(frame, other):
    return frame.assign(b=other)


WHOLE = {
    "dummies": pd.get_dummies(pd.DataFrame({"size": [1.5, 2.0, 3.0], "color": ["r", "g", "r"]})),
    "sparse dummies": pd.get_dummies(pd.DataFrame({"c": ["r", "g", "r"], "n": 1.5}), sparse=True),
    "integers and booleans": pd.DataFrame({"a": [1, 2, 3], "b": [True, False, True]}),
    "float32 and booleans": pd.DataFrame({"a": np.float32([1, 2, 3]), "b": [True, False, True]}),
    "one name twice": pd.DataFrame([[1.5, 2], [2.5, 0]], columns=["a", "a"]),
    "decimals": column(pd.ArrowDtype(pa.decimal128(5, 2)), [decimal.Decimal("1.5")] * 3),
}
for name in [*NULLABLE, *(f"{dtype}[pyarrow]" for dtype in ARROW)]:
    WHOLE[name] = column(name, VALUES)
    WHOLE[f"{name} and floats"] = beside(column(name, VALUES), [0.5, 1.5, 2.5])
    WHOLE[f"{name} and booleans"] = beside(column(name, VALUES), [True, False, True])
    WHOLE[f"{name} with NA"] = column(name, MISSING)
    WHOLE[f"{name} with NA and floats"] = beside(column(name, MISSING), [0.5, 1.5, 2.5])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", ["euclidean", "hamming"])
@pytest.mark.parametrize("case", WHOLE)
def test_columns_of_numbers_are_their_floats(case, metric):
    frame = WHOLE[case]
    floats = np.stack([frame.iloc[:, i].astype(float) for i in range(frame.shape[1])], axis=1)
    np.testing.assert_array_equal(to_numpy("x", frame), floats)
    w = distance_weights(frame, frame.iloc[:1], metric)
    np.testing.assert_allclose(w, distance_weights(floats, floats[:1], metric), rtol=1e-6)


def test_columns_without_rows_are_numbers():
    frame = pd.DataFrame({"a": pd.array([], dtype="Int64"), "b": np.zeros(0)})
    assert distance_weights(frame, WHOLE["Int64 and floats"]).shape == (0,)


def test_large_integers_are_not_rounded():
    frame = beside(column("Int64", [2**60, 2**60 + 1]), [True, True])
    assert to_numpy("x", frame)[:, 0].tolist() == [2**60, 2**60 + 1]


def test_a_plain_frame_is_not_copied():
    array = np.ones((3, 2))
    assert np.shares_memory(to_numpy("x", pd.DataFrame(array, copy=False)), array)


@pytest.mark.parametrize("dtype", ["boolean", "bool[pyarrow]", "Float64"])
def test_a_column_of_values_is_its_floats(dtype):
    rows = np.zeros((3, 1))
    values = pd.Series(pd.array(MISSING, dtype=dtype))
    assert np.isnan(kernel_matmul(rows, rows, values)).all()
    assert kernel_matmul(rows, rows, values.dropna().repeat([1, 2])).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="y_weight must be finite and non-negative"):
        distance_weights(rows, rows, y_weight=values)


def test_every_entry_point_reads_frames_so():
    frame = beside(WHOLE["dummies"], pd.array([3, 1, 2], dtype="Int64"))
    floats = frame.astype(float)
    assert median_lambda(frame) == median_lambda(floats)
    for actual, expected in zip(
        preprocess_features(frame, frame), preprocess_features(floats, floats), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)
    rows = torch.tensor(floats.to_numpy())
    assert torch.equal(distance_weights(rows, frame), distance_weights(rows, rows))


NO_NUMBERS = {
    "text": pd.Series(["u", "v", "u"]),
    "categories": pd.Series(["u", "v", "u"], dtype="category"),
    "flags as categories": pd.Series([True, None, True], dtype="category"),
    "Arrow text": pd.Series(["u", "v", "u"], dtype=pd.ArrowDtype(pa.string())),
    "objects": pd.Series([1.5, 2, True], dtype=object),
    "periods": pd.Series(pd.period_range("2020", periods=3)),
}


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_columns_of_anything_else_are_refused_but_compared(case):
    frame = pd.DataFrame({"a": NO_NUMBERS[case], "b": [1.0, 2.0, 1.0]})
    with pytest.raises(ValueError, match="x holds values of dtype object: numbers or booleans"):
        distance_weights(frame, frame)
    d = -np.log(distance_weights(frame, frame.iloc[:1], "hamming", 1.0))
    a = frame["a"].tolist()
    differences = [np.nan if pd.isna(a[i]) else (a[i] != a[0]) + (i == 1) for i in range(3)]
    np.testing.assert_allclose(d, np.array(differences) / 2, atol=1e-12)
