"""Promises of preprocess_features: semideep's arguments; all is learnt from training rows."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from semideep_ext import preprocess_features

TRAIN = np.array([[1.0, 10.0], [3.0, 30.0], [5.0, 20.0]])
TEST = np.array([[2.0, 40.0], [100.0, 50.0]])
FRAME = pd.DataFrame({"colour": ["red", "blue", "red"], "size": [1.0, 2.0, 3.0]})
OTHERS = pd.DataFrame({"colour": ["green", "blue"], "size": [2.0, 4.0]})


def test_both_sets_are_scaled_by_the_training_rows():
    train, test = preprocess_features(TRAIN, TEST)
    mean, deviation = TRAIN.mean(0), TRAIN.std(0)
    np.testing.assert_allclose(train, (TRAIN - mean) / deviation)
    np.testing.assert_allclose(test, (TEST - mean) / deviation)


def test_other_test_rows_leave_the_training_rows_as_they_are():
    np.testing.assert_array_equal(
        preprocess_features(TRAIN, TEST)[0], preprocess_features(TRAIN, 1000 * TEST)[0]
    )


def test_without_scaling_the_numbers_stay_and_the_arguments_too():
    before = TRAIN.copy()
    train, test = preprocess_features(TRAIN, TEST, scale=False)
    np.testing.assert_array_equal(train, TRAIN)
    np.testing.assert_array_equal(test, TEST)
    train[:] = 0
    np.testing.assert_array_equal(TRAIN, before)


@pytest.mark.parametrize("column", [0, "colour", -2])
def test_categories_become_a_column_each(column):
    train, test = preprocess_features(FRAME, OTHERS, [column], scale=False)
    np.testing.assert_array_equal(train, [[1, 0, 1], [2, 1, 0], [3, 0, 1]])  # size, blue, red
    np.testing.assert_array_equal(test, [[2, 0, 0], [4, 1, 0]])  # green is in no training row


def test_categories_are_not_scaled():
    train, _ = preprocess_features(FRAME, OTHERS, ["colour"])
    assert set(train[:, 1:].ravel()) == {0, 1} and train[:, 0].mean() == pytest.approx(0)


def test_a_single_name_and_a_column_named_twice_will_do():
    expected = preprocess_features(FRAME, OTHERS, ["colour"])
    for columns in ("colour", ["colour", 0]):
        for actual, wanted in zip(
            preprocess_features(FRAME, OTHERS, columns), expected, strict=True
        ):
            np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA], ids=str)
@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
def test_a_missing_category_is_one_of_its_own(missing, dtype):
    train = FRAME.assign(colour=pd.Series(["a", missing, "a"], dtype=dtype))
    test = OTHERS.assign(colour=pd.Series(["a", None], dtype=object))
    expected = [[1, 0], [0, 1], [1, 0]], [[1, 0], [0, 1]]
    for rows, wanted in zip(preprocess_features(train, test, ["colour"]), expected, strict=True):
        np.testing.assert_array_equal(rows[:, 1:], wanted)


@pytest.mark.parametrize("values", [[1, pd.NA, 1], [1.5, pd.NA, 1.5], [True, pd.NA, True]])
def test_a_missing_category_among_nullable_numbers_is_one_of_its_own(values):
    train = FRAME.assign(colour=pd.Series(values).convert_dtypes())
    assert train["colour"].dtype in (pd.Int64Dtype(), pd.Float64Dtype(), pd.BooleanDtype())
    rows, _ = preprocess_features(train, OTHERS.assign(colour=values[0]), ["colour"])
    np.testing.assert_array_equal(rows[:, 1:], [[1, 0], [0, 1], [1, 0]])


def test_a_missing_number_is_refused_with_its_place():
    frame = FRAME.assign(size=pd.Series([1.0, pd.NA, 3.0], dtype="Float64"))
    with pytest.raises(ValueError, match="X_train holds nan at row 1, column 'size'"):
        preprocess_features(frame, OTHERS, ["colour"])


def test_rows_of_categories_alone_will_do():
    train, test = preprocess_features(FRAME[["colour"]], OTHERS[["colour"]], ["colour"])
    assert train.shape == (3, 2) and test.shape == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TRAIN, TEST[:, :1]), r"\(3, 2\).*\(2, 1\)"),
        ((TRAIN, TEST, [2]), "categorical_features has 2; the columns are 0 to 1"),
        ((FRAME, OTHERS, ["weight"]), "has 'weight'; the columns are 0 to 1 and 'colour', 'size'"),
        ((FRAME, OTHERS), "X_train is not numeric"),
        ((TRAIN, [[np.nan, 1.0]]), "X_test holds nan at row 0, column 0"),
        ((FRAME, OTHERS[["size", "colour"]]), "another order"),
        ((FRAME.assign(size=np.nan), OTHERS, ["colour"]), "nan at row 0, column 'size'"),
        ((TRAIN, TEST, [1.5]), r"categorical_features has 1\.5"),
        ((TRAIN, TEST, [False, True]), "categorical_features has False"),
        ((sparse.csr_matrix(TRAIN), TEST), "a sparse matrix"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        preprocess_features(*arguments)
