"""Promises of `semideep train --method` on half-labelled rows."""

import json

import numpy as np
import pytest
from cli_runner import FEATURES, X_TEST, Y_TEST, X, Y, misused, ran, write_csv

from semideep_ext.ssl.methods import METHODS

EPOCHS = ("--epochs", "3", "--standardize", "--seed", "1")


@pytest.fixture
def half(tmp_path, monkeypatch):
    """A file of which 240 of 284 rows have no label, and one with labels to score by."""
    monkeypatch.chdir(tmp_path)
    labels = np.where(np.arange(len(Y)) < 44, Y, "")
    write_csv("half.csv", ["diagnosis", *FEATURES], labels, *X.T)
    write_csv("test.csv", ["diagnosis", *FEATURES], Y_TEST, *X_TEST.T)
    return "half.csv", "test.csv", "--label", "diagnosis"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_from_rows_without_a_label(half, method):
    result = ran("train", *half, *EPOCHS, "--method", method, "--json")
    found = json.loads(result.stdout)
    assert found["method"] == method and found["n"] == 44
    assert found["scores"].keys() == found["supervised"].keys() == found["unweighted"].keys()
    assert all(0 <= found[key]["accuracy"] <= 1 for key in ("scores", "supervised", "unweighted"))
    assert len(found["history"]["unlabeled_loss"]) == 3
    assert f"resembled as the test rows are, {method} learns from them" in result.stderr


def test_the_supervised_twin_stands_in_the_table(half):
    printed = ran("train", *half, *EPOCHS, "--method", "vat").stdout
    header = next(line for line in printed.splitlines() if "supervised" in line)
    assert header.split() == ["score", "vat", "supervised", "unweighted"]
    plain = ran("train", *half, *EPOCHS, "--method", "vat", "--weights", "none").stdout
    header = next(line for line in plain.splitlines() if "supervised" in line)
    assert header.split() == ["score", "vat", "supervised"]
    without = json.loads(ran("train", *half, *EPOCHS, "--json").stdout)
    assert without["method"] is None and without["supervised"] is None


def test_without_unlabelled_rows_the_test_rows_are_learned_from(half):
    write_csv("whole.csv", ["diagnosis", *FEATURES], Y, *X.T)
    result = ran("train", "whole.csv", *half[1:], *EPOCHS, "--method", "entropy", "--json")
    assert "every row of whole.csv has a label: the method learns from the test" in result.stderr
    assert json.loads(result.stdout)["n"] == len(Y)


def test_a_method_goes_on_from_a_checkpoint(half):
    options = (*half, "--standardize", "--seed", "1", "--method", "mean-teacher", "--json")
    whole = json.loads(ran("train", *options, "--epochs", "4").stdout)
    kept = (*options, "--epochs", "4", "--checkpoint", "run.safetensors")
    first = json.loads(ran("train", *kept).stdout)
    again = json.loads(ran("train", *kept, "--resume").stdout)
    assert first["history"] == again["history"] == whole["history"]
    assert again["scores"] == whole["scores"] and again["supervised"] == whole["supervised"]


def test_regression_with_a_method(half):
    labels = np.where(np.arange(len(Y)) < 44, X[:, 0], np.nan)
    write_csv("numbers.csv", ["size", *FEATURES[1:]], labels, *X.T[1:])
    write_csv("scored.csv", ["size", *FEATURES[1:]], X_TEST[:, 0], *X_TEST.T[1:])
    options = ("--label", "size", "--task", "regression", *EPOCHS, "--json")
    found = json.loads(
        ran("train", "numbers.csv", "scored.csv", *options, "--method", "pi-model").stdout
    )
    assert {"mse", "r2"} <= found["supervised"].keys()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "fixmtach"), "is not one of pseudo-label"),
        (("--method", "vat", "--model", "forest"), "needs --model mlp"),
    ],
)
def test_misuse_is_refused(half, arguments, said):
    assert said in misused("train", *half, *arguments)
