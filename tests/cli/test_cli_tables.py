"""Promises of `semideep weights`, and of how all commands read and refuse tables."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_runner import (
    X_TEST,
    X,
    ran,
    refused,
    run,
)
from sklearn.preprocessing import StandardScaler

import semideep_ext
from semideep_ext import diagnose_weights, distance_weights

OF_THE_OP = ["--lambda", "0.8"]  # the op's own default, where median is that of the command


@pytest.mark.filterwarnings("ignore::semideep_ext.WeightsWarning")  # of cosine on raw columns
def test_weights_are_those_of_the_op(cancer):
    ran("weights", *cancer, "--metric", "cosine", "--lambda", "0.8", "-o", "weights.npy")
    np.testing.assert_array_equal(np.load("weights.npy"), distance_weights(X, X_TEST, "cosine"))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".tsv", ".parquet"])
def test_weights_have_the_same_bits_in_every_format(small, suffix):
    from pyarrow import parquet

    ran("weights", *small, *OF_THE_OP, "-o", f"w{suffix}")
    readers = {
        ".npy": np.load,
        ".npz": lambda path: np.load(path)["weight"],
        ".csv": lambda path: np.loadtxt(path, skiprows=1),
        ".tsv": lambda path: np.loadtxt(path, skiprows=1),
        ".parquet": lambda path: parquet.read_table(path)["weight"].to_numpy(),
    }
    x, y = [[0, 1], [1, 0.5], [2, 3.5], [0.5, 1.5]], [[0, 1], [1, 2.0]]
    np.testing.assert_array_equal(readers[suffix](f"w{suffix}"), distance_weights(x, y))
    assert sorted(os.listdir()) == sorted(["test.csv", "train.csv", f"w{suffix}"])


def test_a_dash_writes_csv_on_stdout_and_nothing_else(small):
    header, *lines = ran("weights", *small, "-o", "-").stdout.splitlines()
    assert (header, len([float(line) for line in lines])) == ("weight", 4)


def test_json_is_one_document_with_weights_and_diagnostics(small):
    found = json.loads(ran("weights", *small, "--json").stdout)
    assert diagnose_weights(found["weights"]).effective_sample_size == pytest.approx(
        found["diagnostics"]["effective_sample_size"]
    )
    assert found["features"] == ["a", "b"] and (found["n"], found["m"]) == (4, 2)
    assert found["lambda"] == pytest.approx(
        semideep_ext.median_lambda([[0, 1], [1, 0.5], [2, 3.5], [0.5, 1.5]], [[0, 1], [1, 2.0]])
    )


def test_the_summary_says_what_the_weights_amount_to(small):
    shown = ran("weights", *small, *OF_THE_OP, "--normalize").stdout
    w = distance_weights([[0, 1], [1, 0.5], [2, 3.5], [0.5, 1.5]], [[0, 1], [1, 2.0]])
    assert f"{diagnose_weights(w).effective_sample_size:.1f} of 4" in shown
    assert "euclidean, exponential, lambda 0.8" in shown


def test_standardize_scales_by_the_training_rows(cancer):
    ran("weights", *cancer, *OF_THE_OP, "--standardize", "-o", "w.npy")
    scaler = StandardScaler().fit(X)
    expected = distance_weights(scaler.transform(X), scaler.transform(X_TEST))
    np.testing.assert_allclose(np.load("w.npy"), expected, rtol=1e-12)


@pytest.mark.filterwarnings("default")
def test_raw_columns_of_unequal_spread_get_a_hint_on_stderr(cancer):
    assert "--standardize makes them equal" in run("weights", *cancer).stderr
    assert "--standardize" not in run("weights", *cancer, "--standardize").stderr


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line_on_stderr(cancer):
    shown = run("weights", *cancer, "--metric", "hamming", "--json")
    assert shown.stderr.startswith("warning: the 284 weights (metric='hamming') are constant")
    assert shown.stderr.count("\n") == 1 and json.loads(shown.stdout)["output"] is None


def test_auto_says_which_metric_and_why(cancer):
    shown = ran("weights", *cancer, "--standardize", "--metric", "auto")
    assert "metric euclidean: most of the 30 columns are continuous" in shown.stderr


@pytest.mark.filterwarnings("ignore::semideep_ext.WeightsWarning")
def test_normalize_holds_where_weights_underflow(small):
    Path("test.csv").write_text("a,b\n1000,1000\n")
    raw = json.loads(ran("weights", *small, *OF_THE_OP, "--json").stdout)
    scaled = json.loads(ran("weights", *small, *OF_THE_OP, "--normalize", "--json").stdout)
    assert max(raw["weights"]) == 0.0
    assert np.mean(scaled["weights"]) == pytest.approx(1.0)


def test_columns_are_matched_by_name_and_may_be_chosen_or_left_out(small):
    small = [*small, *OF_THE_OP]
    both = ran("weights", *small, "--json").stdout
    assert ran("weights", *small, "--columns", "a,b", "--json").stdout == both
    only = json.loads(ran("weights", *small, "--drop", "b", "--json").stdout)
    expected = distance_weights([[0.0], [1.0], [2.0], [0.5]], [[0.0], [1.0]])
    np.testing.assert_array_equal(only["weights"], expected)
    assert json.loads(ran("weights", *small, "--columns", "a", "--json").stdout) == only


def test_arrays_and_parquet_give_the_weights_of_the_csv(small):
    import pyarrow as pa
    from pyarrow import parquet

    x, y = np.array([[0, 1], [1, 0.5], [2, 3.5], [0.5, 1.5]]), np.array([[0, 1], [1, 2.0]])
    np.save("train.npy", x)
    np.save("test.npy", y)
    np.savez("train.npz", rows=x, label=[0, 1, 1, 0])
    np.savez("test.npz", rows=y)
    parquet.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "y": [0, 1, 1, 0]}), "train.parquet")
    parquet.write_table(pa.table({"b": y[:, 1], "a": y[:, 0]}), "test.parquet")
    expected = distance_weights(x, y)
    for files in (
        ["train.npy", "test.npy"],
        ["train.npz", "test.npz", "--label", "label"],
        ["train.parquet", "test.parquet", "--label", "y"],
        ["train.parquet", "test.csv", "--label", "y"],
    ):
        found = json.loads(ran("weights", *files, *OF_THE_OP, "--json").stdout)
        np.testing.assert_array_equal(found["weights"], expected)


PLAIN = "a,b,y\n0.0,1.0,no\n1.0,0.5,yes\n2.0,3.5,yes\n0.5,1.5,no\n"
DIALECTS = {
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "a byte-order mark": "\ufeff" + PLAIN,
    "a byte-order mark and quotes": "\ufeff" + PLAIN.replace("a,b,y", '"a","b","y"'),
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "CR": PLAIN.replace("\n", "\r"),
    "quoted commas": PLAIN.replace("no", '"no, never"'),
    "quoted numbers": PLAIN.replace("3.5", '" 3.5 "'),
    "no last newline": PLAIN.rstrip(),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_csv_gives_the_same_in_every_dialect(small, dialect):
    assert Path("train.csv").read_text() == PLAIN
    expected = ran("weights", *small, "--json").stdout
    Path("train.csv").write_bytes(DIALECTS[dialect].encode())
    assert ran("weights", *small, "--json").stdout == expected


@pytest.mark.filterwarnings("ignore::semideep_ext.WeightsWarning")
def test_names_may_hold_commas_and_be_given_twice(small):
    Path("train.csv").write_text('"a, in cm",b,y\n1,2,no\n3,4,yes\n')
    files = ["train.csv", "train.csv", "--label", "y", "--json"]
    chosen = ["--columns", "a, in cm", "--columns", "b,b"]
    assert json.loads(ran("weights", *files, *chosen).stdout)["features"] == ["a, in cm", "b"]
    assert json.loads(ran("weights", *files, "--drop", "a, in cm").stdout)["features"] == ["b"]


@pytest.mark.filterwarnings("ignore::semideep_ext.WeightsWarning")
def test_categories_of_parquet_are_labels_but_no_features(small):
    rows = pd.DataFrame({"a": [0.0, 1, 2, 3], "y": pd.Categorical(["n", "m", "n", "m"])})
    rows.to_parquet("rows.parquet")
    files = ["rows.parquet", "rows.parquet"]
    options = ["--label", "y", "--model", "linear", "--json"]
    assert "accuracy" in json.loads(ran("train", *files, *options).stdout)["scores"]
    said = refused("weights", *files)
    assert "rows.parquet, row 0 (the first is 0), column 'y': 'n' is no number" in said


FAULTS = {
    "no number": (
        "a,b,y\n0,1,no\n1,many,no\n2,more,no\n",
        "train.csv, line 3, column 'b': 'many' is no number; encode the column as numbers, or "
        "leave it out: --drop 'b' (--label if it holds the labels) (1 more in this column)",
    ),
    "missing": ("a,b,y\n0,1,no\n1,,no\n", "train.csv, line 3, column 'b': the value is missing"),
    "NA": ("a,b,y\n0,1,no\nNA,2,no\n", "train.csv, line 3, column 'a': the value is missing"),
    "nan": ("a,b,y\n0,1,no\n1,nan,no\n", "train.csv, line 3, column 'b': the value is missing"),
    "infinite": ("a,b,y\n0,1,no\n1,-inf,no\n", "train.csv, line 3, column 'b': -inf is not finite"),
    "too narrow": (
        "a,b,y\n0,1,no\n1,2\n",
        "train.csv, line 3: 2 fields where the header has 3; column 'y' is missing",
    ),
    "too wide": (
        "a,b,y\n0,1,no,5\n1,2,no\n",
        "train.csv, line 2: 4 fields where the header has 3; '5' is too many",
    ),
    "decimal commas": (
        "a;b;y\n0,5;1;no\n",
        "train.csv, line 2, column 'a': '0,5' is no number; write it with a point and without",
    ),
    "after blank and quoted lines": (
        'a,b,y\n\n0,1,"n\no"\n1,x,no\n',
        "train.csv, line 5, column 'b': 'x' is no number",
    ),
    "equal names": ("a,a,b,y\n1,1,1,no\n", "train.csv: 2 columns are called 'a'; rename them"),
    "no header": ("1,2,3\n4,5,6\n", "train.csv, line 1: all fields are numbers"),
    "no rows": ("a,b,y\n", "train.csv holds no rows"),
    "empty": ("", "train.csv is empty"),
    "a column too few": (
        "a,y\n1,no\n",
        "train.csv has no column 'b', which test.csv has (2 columns there, 2 in the test rows); "
        "add it, or --drop it",
    ),
    "a column too many": (
        "a,b,c,y\n1,2,3,no\n",
        "test.csv has no column 'c', which train.csv has (4 columns there, 2 in the test rows)",
    ),
    "no label": ("a,b\n1,2\n", "train.csv has no column 'y', which --label names; it has 'a', 'b'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_csv_are_named_by_file_line_and_column(small, fault):
    text, said = FAULTS[fault]
    Path("train.csv").write_text(text)
    assert refused("weights", *small).startswith(f"semideep weights: {said}")


def test_faults_of_the_test_rows_name_their_file(small):
    Path("test.csv").write_text("b,a\n1,0\n,2\n")
    assert "test.csv, line 3, column 'b': the value is missing" in refused("weights", *small)


def test_faults_of_arrays_are_named_by_row_and_column(small):
    np.save("train.npy", [[0.0, 1.0], [2.0, np.nan]])
    np.save("test.npy", [[0.0, 1.0, 2.0]])
    said = refused("weights", "train.npy", "train.npy")
    assert "train.npy, row 1 (the first is 0), column '1': the value is NaN" in said
    np.save("train.npy", [[0.0, 1.0]])
    said = refused("weights", "train.npy", "test.npy")
    assert "train.npy has no column '2', which test.npy has (2 columns there, 3 in" in said
    np.save("flat.npy", [0.0])
    assert "flat.npy holds an array of shape (1,)" in refused("weights", "flat.npy", "test.npy")
    np.savez("two.npz", a=[[1.0]], b=[[1.0]])
    assert "two.npz holds a of shape (1, 1), b of shape (1, 1); allowed is one" in refused(
        "weights", "two.npz", "test.npy"
    )
    np.save("objects.npy", np.array([[None]]), allow_pickle=True)
    assert "objects.npy cannot be read" in refused("weights", "objects.npy", "test.npy")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_files_that_were_cut_short_are_refused_by_name(small, suffix):
    ran("weights", *small, "-o", f"whole{suffix}")
    Path(f"cut{suffix}").write_bytes(Path(f"whole{suffix}").read_bytes()[:100])
    assert refused("weights", f"cut{suffix}", "test.csv").startswith(
        f"semideep weights: cut{suffix}"
    )
    Path(f"text{suffix}").write_text("no such file at all")
    assert f"text{suffix}" in refused("weights", f"text{suffix}", "test.csv")


@pytest.mark.filterwarnings("ignore::semideep_ext.WeightsWarning")
def test_an_array_is_known_by_what_it_holds_not_by_its_suffix(small):
    np.save("rows.npy", [[0.0], [1.0]])
    Path("rows.npy").rename("rows.npz")
    assert json.loads(ran("weights", "rows.npz", "rows.npz", "--json").stdout)["n"] == 2


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["absent.csv", "test.csv"], "absent.csv: no such file"),
        (["folder.csv", "test.csv"], "folder.csv: a folder, not a file"),
        (["train.xls", "test.csv"], "train.xls: suffix '.xls' is unknown; allowed are .csv"),
        (["train.csv", "latin.csv"], "latin.csv: the text is not UTF-8"),
        (["train.csv", "bad.parquet"], "bad.parquet: "),
    ],
    ids=str,
)
def test_files_that_cannot_be_read_are_one_line(small, files, said):
    Path("folder.csv").mkdir()
    Path("latin.csv").write_bytes("a,b\n1,\xe9\n".encode("latin-1"))
    Path("bad.parquet").write_bytes(b"no parquet at all")
    assert said in refused("weights", *files, "--label", "y")


def test_the_facts_of_json_are_the_diagnostics_of_the_package(small):
    found = json.loads(ran("weights", *small, "--json").stdout)
    expected = dataclasses.asdict(diagnose_weights(found["weights"]))
    assert found["diagnostics"] == {**expected, "problems": list(expected["problems"])}
