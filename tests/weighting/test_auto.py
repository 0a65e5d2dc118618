"""Promises of the rules of thumb: semideep's, with jaccard for sparse binary rows."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from semideep_ext import (
    auto_select_distance_metric,
)
from semideep_ext.op.metrics import METRICS


def rules_of_semideep(X):
    """The rules as README and code of semideep 0.0.1 state them."""
    if np.isin(X, [0, 1]).all():
        return "hamming"
    few = np.mean([len(np.unique(column)) < 10 for column in X.T])
    return "hamming" if few > 0.5 else "cosine" if X.shape[1] > 50 else "euclidean"


@settings(deadline=None)
@given(
    X=arrays(
        np.float64,
        st.tuples(st.integers(1, 30), st.sampled_from([1, 2, 3, 50, 51])),
        elements=st.integers(-20, 20),
    ),
    binary=st.booleans(),
)
def test_the_rules_of_semideep_are_kept_but_for_sparse_binary_rows(X, binary):
    X = (X > 10).astype(float) if binary else X
    metric = auto_select_distance_metric(X)
    sparse = np.isin(X, [0, 1]).all() and X.mean() < 0.1
    assert metric == ("jaccard" if sparse else rules_of_semideep(X))


@pytest.mark.parametrize(
    ("X", "metric", "reason"),
    [
        (np.eye(20), "jaccard", "5 % of them are 1 (fewer than 10 %)"),
        (np.eye(10), "hamming", "all values are 0 or 1"),
        (np.arange(40).reshape(20, 2) % 9, "hamming", "2 of 2 columns have fewer than 10"),
        (np.arange(1020.0).reshape(20, 51), "cosine", "51 columns are more than 50"),
        (np.arange(40.0).reshape(20, 2), "euclidean", "most of the 2 columns are continuous"),
        (np.array([["a"], ["b"]]), "hamming", "no numbers"),
    ],
)
def test_the_reason_is_given_on_request(X, metric, reason):
    assert auto_select_distance_metric(X) == metric
    chosen, why = auto_select_distance_metric(X, return_reason=True)
    assert chosen == metric in METRICS and reason in why


@pytest.mark.parametrize("convert", [pd.DataFrame, torch.tensor, np.ndarray.tolist])
def test_the_rules_read_rows_of_every_kind(convert):
    assert auto_select_distance_metric(convert(np.arange(40.0).reshape(20, 2))) == "euclidean"
    assert auto_select_distance_metric(convert(np.eye(20, dtype=bool))) == "jaccard"


def test_columns_of_mixed_kinds_are_read_one_by_one():
    frame = pd.DataFrame({"a": list("xyz") * 10, "b": np.arange(30.0), "c": np.arange(30)})
    assert auto_select_distance_metric(frame) == "euclidean"
    assert auto_select_distance_metric(frame[["a", "b"]].assign(d="x")) == "hamming"


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA], ids=str)
def test_a_missing_value_does_not_make_text_of_numbers(missing):
    column = pd.Series(np.arange(30.0), dtype="Float64")
    column[3] = missing
    frame = pd.DataFrame({"a": column, "b": column.astype(object), "c": "x"})
    assert auto_select_distance_metric(frame[["a", "b"]]) == "euclidean"
    assert auto_select_distance_metric(frame) == "euclidean"


@pytest.mark.parametrize("X", [np.zeros(3), np.zeros((0, 2)), np.zeros((2, 0))])
def test_rows_to_read_must_be_there(X):
    with pytest.raises(ValueError, match="allowed is"):
        auto_select_distance_metric(X)
