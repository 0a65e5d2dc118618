"""Promises of how labels are read: which rows have one, what a class is, what is scored."""

import csv
import datetime
import json
import random
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_runner import ran, refused, write_csv
from sklearn.datasets import load_diabetes

from semideep_ext import diagnose_weights, distance_weights
from semideep_ext.cli import _fits, _labels

LINEAR = ["--label", "y", "--model", "linear", "--predictions", "p.csv"]


def write(path, labels, header="a,y"):
    """Write rows whose feature is their number, in an order that is not that of the labels."""
    rows = [f"{i % 7 + i / 9},{label}" for i, label in enumerate(labels)]
    Path(path).write_text("\n".join([header, *rows]) + "\n")


def classes():
    with open("p.csv") as f:
        header = next(csv.reader(f))
    return [name.removeprefix("probability_") for name in header[1:]]


@pytest.mark.parametrize("mark", ["", " ", "NA", "n/a", "?", "NaN", "null", "None", "<NA>"])
def test_a_missing_label_has_the_marks_of_a_missing_feature(mark):
    write("train.csv", ["1", "0", mark, "1", "0"] * 3)
    write("test.csv", ["1", "0"])
    shown = ran("train", "train.csv", "test.csv", *LINEAR)
    assert classes() == ["0", "1"]
    assert f"3 of 15 rows have no label but {mark!r}: resembled as the test rows" in shown.stderr
    assert "12 towards 5," in shown.stdout


def test_labels_are_stripped_of_blanks():
    write("train.csv", ["cat", " cat", "dog ", "dog"])
    write("test.csv", [" dog", "cat"])
    found = json.loads(ran("train", "train.csv", "test.csv", *LINEAR, "--json").stdout)
    assert classes() == ["cat", "dog"] and found["scores"] is not None


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_minus_one_among_numbers_marks_rows_to_resemble(suffix):
    a, y = np.array([0.0, 1, 2, 3, 4, 9]), np.array([0, 1, 2, 0, 1, -1])
    if suffix == ".npz":
        np.savez("train.npz", rows=a[:, None], y=y)
        np.savez("test.npz", rows=[[0.5]])
    else:
        frame = pd.DataFrame({"0": a, "y": y})
        test = pd.DataFrame({"0": [0.5]})
        for rows, path in ((frame, f"train{suffix}"), (test, f"test{suffix}")):
            rows.to_csv(path, index=False) if suffix == ".csv" else rows.to_parquet(path)
    files = [f"train{suffix}", f"test{suffix}"]
    shown = ran("train", *files, *LINEAR, "--json")
    assert classes() == ["0", "1", "2"]
    assert "1 of 6 rows have no label but" in shown.stderr
    weights = distance_weights(
        a[:5, None], [[0.5], [9.0]], lambda_=json.loads(shown.stdout)["lambda"]
    )
    expected = diagnose_weights(weights / weights.mean())
    found = json.loads(shown.stdout)["diagnostics"]
    assert found["effective_sample_size"] == pytest.approx(expected.effective_sample_size)
    shown = json.loads(ran("weights", *files, "--label", "y", "--json").stdout)
    assert (shown["n"], shown["m"], len(shown["weights"])) == (5, 2, 5)


def test_a_regression_takes_minus_one_as_a_number_and_empty_cells_as_unlabelled():
    write("train.csv", ["-1", "-2", "", "3", "2.5"])
    write("test.csv", ["-1", ""])
    options = [*LINEAR, "--task", "regression", "--json"]
    shown = ran("train", "train.csv", "test.csv", *options)
    assert "1 of 5 rows have no label but ''" in shown.stderr
    found = json.loads(shown.stdout)
    assert (found["n"], found["m"]) == (4, 3) and found["scores"]["mse"] >= 0


def test_minus_one_among_text_is_refused_with_the_way_to_mark_rows():
    write("train.csv", ["cat", "dog", "-1", "cat", "dog", "-1"])
    write("test.csv", ["cat"])
    said = refused("train", "train.csv", "test.csv", *LINEAR)
    assert "train.csv, line 4, column 'y': '-1' among labels that are text (1 more in" in said
    assert "leave the cell empty" in said


@pytest.mark.filterwarnings("default")
def test_minus_one_and_one_are_two_classes_with_a_warning():
    write("train.csv", ["-1", "1"] * 4)
    write("test.csv", ["-1", "1"])
    shown = ran("train", "train.csv", "test.csv", *LINEAR, "--json")
    assert classes() == ["-1", "1"] and json.loads(shown.stdout)["scores"] is not None
    assert "warning: y holds -1 and 1 only: both are taken as classes" in shown.stderr


def test_test_rows_without_a_label_are_predicted_and_not_scored():
    write("train.csv", ["0", "1", "0", "1", "-1"])
    write("test.csv", ["0", "1", "-1", "NA"])
    found = json.loads(ran("train", "train.csv", "test.csv", *LINEAR, "--json").stdout)
    with open("p.csv") as f:
        predicted = [row["prediction"] for row in csv.DictReader(f)]
    right = np.mean([p == label for p, label in zip(predicted[:2], "01", strict=True)])
    assert len(predicted) == 4 and found["scores"]["accuracy"] == right


def test_experiment_leaves_unlabelled_rows_out():
    random.seed(0)
    rows = [(random.random(), random.random(), ("", "0", "1")[i % 3]) for i in range(60)]
    write_csv("rows.csv", ["a", "b", "y"], *zip(*rows, strict=True))
    options = ["--label", "y", "--seeds", "1", "--epochs", "1", "--json"]
    shown = ran("experiment", "--dataset", "rows.csv", *options)
    assert "20 of 60 rows have no label but '': left out" in shown.stderr
    first = json.loads(shown.stdout)["runs"][0]
    assert first["n_train"] + first["n_val"] + first["n_test"] == 40


@pytest.mark.parametrize("command", ["train", "select", "experiment"])
@pytest.mark.parametrize("labels", ["diabetes", "fractions"])
def test_numbers_that_are_no_classes_are_refused_in_a_short_line(command, labels):
    y = load_diabetes().target if labels == "diabetes" else np.arange(420) % 42 / 4
    write("train.csv", y)
    files = ["train.csv", "train.csv"] if command != "experiment" else ["--dataset", "train.csv"]
    said = refused(command, *files, "--label", "y")
    assert f"{len(np.unique(y))} distinct numbers in {len(y)} rows are no classes" in said
    assert len(said) < 200
    assert command == "experiment" or "--task regression takes them" in said


def test_many_classes_of_several_rows_each_are_classes():
    write("train.csv", np.arange(120) % 30)
    ran("train", "train.csv", "train.csv", *LINEAR)
    assert len(classes()) == 30


def test_labels_are_numbers_only_if_each_is_written_as_one():
    for labels, expected in (
        (["007", "07", "7"], ["007", "07", "7"]),
        (["+1", "1", "0"], ["+1", "0", "1"]),
        (["1_0", "10", "2"], ["10", "1_0", "2"]),
        (["1.1", "1.10", "1.2"], ["1.1", "1.10", "1.2"]),
        (["12345678901234567890", "12345678901234567891"],) * 2,
        (["infinity", "1"], ["1", "infinity"]),
        (["1.0", "0", "2.00"], ["0", "1", "2"]),
        (["0.5", "10", "1.5"], ["0.5", "1.5", "10"]),
    ):
        write("train.csv", labels * 3)
        ran("train", "train.csv", "train.csv", *LINEAR)
        assert classes() == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0.0, 1.0, None], ["0", "1"]),
        (pd.array([0, 1, None], dtype="Int64"), ["0", "1"]),
        (pd.array([True, False, None], dtype="boolean"), ["False", "True"]),
        (pd.Categorical([" u", "v", None]), ["u", "v"]),
        ([Decimal("1"), Decimal("2"), None], ["1", "2"]),
        (
            [datetime.date(2020, 1, 2), datetime.date(2021, 1, 2), None],
            ["2020-01-02", "2021-01-02"],
        ),
    ],
)
def test_labels_of_parquet_are_classes_of_any_type(labels, expected):
    rows = pd.DataFrame({"a": [0.0, 1.0, 2.0], "y": labels})
    pd.concat([rows] * 4).to_parquet("train.parquet", index=False)
    rows[["a"]].to_parquet("test.parquet", index=False)
    shown = ran("train", "train.parquet", "test.parquet", *LINEAR)
    assert classes() == expected and "8 towards 7," in shown.stdout


@pytest.mark.parametrize("turned", [False, True])
def test_labels_of_floats_and_of_integers_are_the_same(turned):
    spelt = [["1.0", "0.0"] * 4, ["1", "0"]]
    for path, labels in zip(
        ["train.csv", "test.csv"], reversed(spelt) if turned else spelt, strict=True
    ):
        write(path, labels)
    found = json.loads(ran("train", "train.csv", "test.csv", *LINEAR, "--json").stdout)
    assert classes() == ["0", "1"] and found["scores"] is not None


@pytest.mark.parametrize("model", ["mlp", "linear"])
def test_an_unknown_test_label_is_found_before_training_and_predictions_are_made(
    monkeypatch, model
):
    write("train.csv", ["no", "yes"] * 4)
    write("test.csv", ["no", "perhaps", *(f"label {i}" for i in range(50))])
    events, fit = [], _fits.fit
    monkeypatch.setattr(_labels, "say", events.append)
    monkeypatch.setattr(_fits, "fit", lambda *a: events.append("trained") or fit(*a))
    shown = ran("train", "train.csv", "test.csv", *LINEAR, "--model", model, "--epochs", "1")
    said, *then = events
    assert "test.csv, column 'y' holds labels that no training row has: 'label 0'" in said
    assert "(51 in all); predictions are made, but not scored" in said
    assert then == ["trained"]  # once: without scores there is no reference
    assert len(Path("p.csv").read_text().splitlines()) == 53
    assert "none: the test rows have no labels that can be scored by" in shown.stdout


@pytest.mark.parametrize("test", ["train.csv", "./train.csv", "copy.csv"])
def test_scores_of_training_rows_are_called_so(test):
    write("train.csv", ["0", "1"] * 5)
    header, *rows = Path("train.csv").read_text().splitlines()
    Path("copy.csv").write_text("\n".join([header, *rows[::-1]]))
    said = "every test row is a training row, label included"
    assert said in ran("train", "train.csv", test, *LINEAR).stderr
    write("other.csv", ["1", "0"] * 5)
    assert said not in ran("train", "train.csv", "other.csv", *LINEAR).stderr
