"""Promise: which rows are labelled is one convention, whatever holds the labels."""

import numpy as np
import pandas as pd
import pytest

from semideep_ext import WeightsWarning
from semideep_ext.weighting.checks import as_array
from semideep_ext.weighting.labels import is_unlabeled, labeled_rows, plain_labels

FIRST_TWO = [True, True, False, True]


@pytest.mark.parametrize(
    "y",
    [
        np.array([0, 1, -1, 1]),
        np.array([0.0, 1.0, -1.0, 1.0]),
        np.array([0, 1, -1, 1], dtype=np.int8),
        np.array([0, 1, -1, 1], dtype=object),
        np.array(["a", "b", -1, "b"], dtype=object),
        np.array(["a", "b", -1.0, "b"], dtype=object),
        ["a", "b", -1, "b"],
        ["a", "b", None, "b"],
        ["a", "b", float("nan"), "b"],
        np.array(["a", "b", np.nan, "b"], dtype=object),
        np.array([0, 1, np.nan, 1]),
        pd.Series(["a", "b", None, "b"]),
        pd.Series(["a", "b", pd.NA, "b"], dtype="string"),
        pd.Series(["a", "b", None, "b"], dtype="category"),
        pd.Series([0, 1, pd.NA, 1], dtype="Int64"),
        pd.Series([0, 1, -1, 1], dtype="Int64"),
        pd.Series([True, False, pd.NA, True], dtype="boolean"),
    ],
    ids=lambda y: f"{type(y).__name__} of {getattr(y, 'dtype', 'any')}",
)
def test_minus_one_and_no_label_mark_a_row_in_every_container(y):
    assert labeled_rows(as_array(y, "y")).tolist() == FIRST_TWO


@pytest.mark.parametrize("text", ["-1", "-1.0", " -1", b"-1"])
@pytest.mark.parametrize(
    "hold",
    [np.array, lambda v: np.array(v, dtype=object), list],
    ids=["array", "object array", "list"],
)
def test_minus_one_as_text_is_refused_with_the_ways_to_mark_rows(text, hold):
    others = [b"a", b"b"] if isinstance(text, bytes) else ["a", "b"]
    with pytest.raises(ValueError, match=r"at row 2 \(1 such in all\).*None; .*unlabeled=None"):
        labeled_rows(as_array(hold([*others, text]), "y"))


@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
def test_minus_one_as_text_is_refused_as_pandas_reads_it(dtype):
    y = pd.Series(["cat", "dog", "-1"]).astype(dtype)
    with pytest.raises(ValueError, match="holds the text '-1' at row 2"):
        labeled_rows(as_array(y, "y"))


@pytest.mark.parametrize("dtype", [None, object])
def test_text_may_be_the_mark(dtype):
    y = np.array(["a", "b", "?", "-1"], dtype=dtype)
    assert labeled_rows(y, unlabeled="?").tolist() == [True, True, False, True]
    assert labeled_rows(y, unlabeled="-1").tolist() == [True, True, True, False]
    assert labeled_rows(np.array([b"a", b"b", b"?", b"b"]), unlabeled="?").tolist() == FIRST_TWO


@pytest.mark.parametrize("mark", [np.nan, pd.NA, float("nan")])
def test_nan_as_the_mark_leaves_minus_one_a_class(mark):
    y = np.array([0, -1, np.nan, 1])
    assert labeled_rows(y, unlabeled=mark).tolist() == FIRST_TWO
    with pytest.raises(ValueError, match="holds the text 'nan'"):
        labeled_rows(np.array(["a", np.nan]), unlabeled=np.nan)


def test_none_as_the_mark_says_that_every_row_is_labelled():
    assert labeled_rows(np.array(["a", "-1"]), unlabeled=None).all()
    with pytest.raises(ValueError, match=r"holds None at row 1 .*every row is labelled"):
        labeled_rows(np.array(["a", None]), unlabeled=None)


def test_minus_one_beside_one_number_is_a_class_and_a_warning_says_so():
    with pytest.warns(WeightsWarning, match="-1 and 1.0 only: both are taken as classes"):
        labeled = labeled_rows(np.array([-1, 1, np.nan]))
    assert labeled.tolist() == [True, True, False]
    assert is_unlabeled(np.array([-1, 1, np.nan])).tolist() == [True, False, True]


@pytest.mark.parametrize(("y", "mark"), [(["a", "a", -1], -1), ([3, 3, 99], 99)])
def test_a_mark_beside_one_text_or_a_chosen_mark_is_no_class(y, mark):
    assert labeled_rows(as_array(y, "y"), mark).tolist() == [True, True, False]


def test_numbers_in_an_array_of_objects_become_numbers_and_text_stays():
    assert plain_labels(np.array([0, 1], dtype=object)).dtype.kind == "i"
    assert plain_labels(np.array(["a", 1], dtype=object)).tolist() == ["a", 1]
