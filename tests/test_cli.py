"""Promises of semideep_ext.cli: results on stdout, the rest on stderr, four exit codes."""

import csv
import dataclasses
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

import semideep_ext
from semideep_ext import cli, demo, diagnose_weights, distance_weights
from semideep_ext.cli.app import app

PACKAGE_FOLDER = str(Path(semideep_ext.__file__).parent.parent)
COMMANDS = ("weights", "select", "train", "experiment", "bench", "demo", "info")
DATA = load_breast_cancer()
FEATURES = DATA.feature_names.tolist()
LABELS = np.array(["malignant", "benign"])[DATA.target]
X, X_TEST, Y, Y_TEST = train_test_split(
    DATA.data, LABELS, test_size=0.5, random_state=0, stratify=LABELS
)
DEMO_PARAMETERS = inspect.signature(demo.run_demo).parameters.values()


def write_csv(path, header, *columns):
    with open(path, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cancer():
    """Write train.csv and test.csv of the breast-cancer rows, with the label "diagnosis"."""
    write_csv("train.csv", [*FEATURES, "diagnosis"], *X.T.tolist(), Y)
    write_csv("test.csv", [*FEATURES, "diagnosis"], *X_TEST.T.tolist(), Y_TEST)
    return ["train.csv", "test.csv", "--label", "diagnosis"]


@pytest.fixture
def small():
    """Write small files that lack nothing."""
    Path("train.csv").write_text("a,b,y\n0.0,1.0,no\n1.0,0.5,yes\n2.0,3.5,yes\n0.5,1.5,no\n")
    Path("test.csv").write_text("b,a\n1.0,0.0\n2.0,1.0\n")
    return ["train.csv", "test.csv", "--label", "y"]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="semideep")


def ran(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


def refused(*arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def misused(*arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr


def subprocess_of(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "semideep_ext", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, and so these tests among them, start with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "PYTHONPATH": PACKAGE_FOLDER, "OMP_NUM_THREADS": "1"},
        **options,
    )


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::semideep_ext.WeightsWarning")  # of cosine on raw columns
def test_weights_are_those_of_the_op(cancer):
    ran("weights", *cancer, "--metric", "cosine", "--lambda", "0.8", "-o", "weights.npy")
    np.testing.assert_array_equal(np.load("weights.npy"), distance_weights(X, X_TEST, "cosine"))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".tsv", ".parquet"])
def test_weights_have_the_same_bits_in_every_format(small, suffix):
    from pyarrow import parquet

    ran("weights", *small, "-o", f"w{suffix}")
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
    found = json.loads(ran("weights", *small, "--json", "--lambda", "median").stdout)
    assert diagnose_weights(found["weights"]).effective_sample_size == pytest.approx(
        found["diagnostics"]["effective_sample_size"]
    )
    assert found["features"] == ["a", "b"] and (found["n"], found["m"]) == (4, 2)
    assert found["lambda"] == pytest.approx(
        semideep_ext.median_lambda([[0, 1], [1, 0.5], [2, 3.5], [0.5, 1.5]], [[0, 1], [1, 2.0]])
    )


def test_the_summary_says_what_the_weights_amount_to(small):
    shown = ran("weights", *small, "--normalize").stdout
    w = distance_weights([[0, 1], [1, 0.5], [2, 3.5], [0.5, 1.5]], [[0, 1], [1, 2.0]])
    assert f"{diagnose_weights(w).effective_sample_size:.1f} of 4" in shown
    assert "euclidean, exponential, lambda 0.8" in shown


def test_standardize_scales_by_the_training_rows(cancer):
    ran("weights", *cancer, "--standardize", "-o", "w.npy")
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
    raw = json.loads(ran("weights", *small, "--json").stdout)
    scaled = json.loads(ran("weights", *small, "--normalize", "--json").stdout)
    assert max(raw["weights"]) == 0.0
    assert np.mean(scaled["weights"]) == pytest.approx(1.0)


# --- reading tables -------------------------------------------------------------------------------


def test_columns_are_matched_by_name_and_may_be_chosen_or_left_out(small):
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
        found = json.loads(ran("weights", *files, "--json").stdout)
        np.testing.assert_array_equal(found["weights"], expected)


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
    assert "two.npz holds 2 arrays of shape (N, D) (a, b)" in refused(
        "weights", "two.npz", "test.npy"
    )
    np.save("objects.npy", np.array([[None]]), allow_pickle=True)
    assert "objects.npy cannot be read" in refused("weights", "objects.npy", "test.npy")


def test_a_missing_label_is_refused_by_line(small):
    Path("train.csv").write_text("a,b,y\n0,1,no\n1,2,yes\n2,3,\n")
    said = refused("select", *small)
    assert "train.csv, line 4, column 'y': the label is missing; fill it in, or leave" in said


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["absent.csv", "test.csv"], "absent.csv: no such file"),
        (["train.xls", "test.csv"], "train.xls: suffix '.xls' is unknown; allowed are .csv"),
        (["train.csv", "latin.csv"], "latin.csv: the text is not UTF-8"),
        (["train.csv", "bad.parquet"], "bad.parquet: "),
    ],
    ids=str,
)
def test_files_that_cannot_be_read_are_one_line(small, files, said):
    Path("latin.csv").write_bytes("a,b\n1,\xe9\n".encode("latin-1"))
    Path("bad.parquet").write_bytes(b"no parquet at all")
    assert said in refused("weights", *files, "--label", "y")


# --- select and train -----------------------------------------------------------------------------

FEW = ["--standardize", "--metrics", "euclidean,cosine", "--lambdas", "0.5,median"]


def test_select_gives_the_table_of_the_function(cancer):
    found = json.loads(
        ran("select", *cancer, *FEW, "--plot", "heat.png", "-o", "scores.csv", "--json").stdout
    )
    scaler = StandardScaler().fit(X)
    expected = semideep_ext.select_best_distance_metric(
        LogisticRegression(max_iter=1000),
        scaler.transform(X),
        Y,
        scaler.transform(X_TEST),
        ["euclidean", "cosine"],
        [0.5, "median"],
        verbose=False,
    )
    assert (found["metric"], found["lambda"], found["score"]) == tuple(expected)
    assert [row["mean"] for row in found["table"]] == [row["mean"] for row in expected.table]
    with open("scores.csv") as f:
        rows = list(csv.DictReader(f))
    assert [float(row["mean"]) for row in rows] == [row["mean"] for row in expected.table]
    assert [row["lambda_given"] for row in rows] == ["0.5", "median"] * 2
    assert Path("heat.png").read_bytes().startswith(b"\x89PNG")


def test_select_prints_a_table_with_the_best(cancer):
    shown = ran("select", *cancer, *FEW).stdout.splitlines()
    assert " ".join(shown[0].split()) == "metric lambda score std. error effective problems"
    first = [line.split()[0] for line in shown[1:]]
    assert first == ["euclidean", "euclidean", "cosine", "cosine", "unweighted", "best:"]


def test_select_trains_networks_too(small):
    rows = [(i % 5, i % 3, "no" if i % 2 else "yes") for i in range(12)]
    write_csv("train.csv", ["a", "b", "y"], *zip(*rows, strict=True))
    options = ["--model", "mlp", "--hidden", "4", "--epochs", "1", "--metrics", "euclidean"]
    found = json.loads(ran("select", *small, *options, "--lambdas", "1", "--json").stdout)
    assert found["metric"] == "euclidean" and len(found["table"][0]["scores"]) == 3


def test_the_labels_of_the_test_rows_play_no_part_in_select(cancer):
    before = ran("select", *cancer, *FEW, "--json").stdout
    write_csv("test.csv", FEATURES, *X_TEST.T.tolist())
    assert ran("select", *cancer, *FEW, "--json").stdout == before


def test_train_predicts_scores_and_leaves_a_checkpoint(cancer):
    options = ["--standardize", "--epochs", "4", "--learning-rate", "0.01"]
    files = ["--predictions", "predicted.csv", "--checkpoint", "run.safetensors"]
    found = json.loads(ran("train", *cancer, *options, *files, "--json").stdout)
    with open("predicted.csv") as f:
        rows = list(csv.DictReader(f))
    right = np.mean([row["prediction"] for row in rows] == Y_TEST)
    assert found["scores"]["accuracy"] == pytest.approx(right) and right > 0.8
    assert {"probability_benign", "probability_malignant"} <= rows[0].keys()
    assert len(found["history"]["train_loss"]) == 4 and Path("run.safetensors").exists()
    assert found["diagnostics"]["mean"] == pytest.approx(1.0)

    longer = [*options, "--epochs", "6", "--hidden", "16", *files, "--json"]
    resumed = json.loads(ran("train", *cancer, *longer, "--resume").stdout)
    assert resumed["history"]["train_loss"][:4] == found["history"]["train_loss"]
    assert resumed == json.loads(ran("train", *cancer, *longer).stdout)


@pytest.mark.parametrize("model", ["linear", "forest", "boosting"])
def test_train_takes_estimators_whose_file_predicts_from_raw_rows(cancer, model):
    import joblib

    options = ["--standardize", "--model", model, "--checkpoint", "m.joblib", "--predictions", "-"]
    header, *lines = ran("train", *cancer, *options).stdout.splitlines()
    assert header == "prediction,probability_benign,probability_malignant"
    predicted = [line.split(",")[0] for line in lines]
    assert np.mean(predicted == Y_TEST) > 0.9
    assert joblib.load("m.joblib").predict(X_TEST).tolist() == predicted


@pytest.mark.parametrize("model", ["mlp", "linear"])
def test_train_predicts_numbers(small, model):
    Path("train.csv").write_text("a,b,y\n0,1,0.5\n1,2,1.5\n2,3,2.5\n3,4,3.5\n")
    Path("test.csv").write_text("a,b,y\n0,1,0.5\n3,4,3.5\n")
    options = ["--task", "regression", "--model", model, "--epochs", "2", "--json"]
    found = json.loads(ran("train", *small, *options).stdout)
    assert found["scores"].keys() == {"mse", "mae", "r2"}
    if model == "linear":
        assert found["scores"]["r2"] > 0.8


@pytest.mark.parametrize("weights", ["distance", "idw", "none"])
def test_train_without_test_labels_gives_no_scores(small, weights):
    options = ["--model", "linear", "--weights", weights, "--json"]
    found = json.loads(ran("train", *small, *options).stdout)
    assert found["scores"] is None
    assert (found["diagnostics"] is None) == (weights == "none")


def test_train_refuses_a_label_that_it_has_not_seen(small):
    Path("test.csv").write_text("a,b,y\n1,2,perhaps\n")
    said = refused("train", *small, "--model", "linear")
    assert "test.csv, column 'y' holds labels that y_train does not: ['perhaps']" in said


def test_train_refuses_a_single_class(small):
    Path("train.csv").write_text("a,b,y\n1,2,no\n1,3,no\n")
    assert "train.csv, column 'y': all labels are no; two are" in refused("train", *small)


# --- experiment -----------------------------------------------------------------------------------


QUICK = ["--seeds", "2", "--epochs", "1", "--output-dir", "out"]


def test_experiment_compares_three_weightings_and_writes_a_report():
    shown = ran("experiment", "--dataset", "breast_cancer", "--test-sizes", "--report", *QUICK)
    assert {f"breast_cancer_test{p}" for p in (10, 50, 90)} <= set(shown.stdout.split())
    assert Path("out/experiment_report.html").exists()
    assert Path("out/experiment_report.md").exists()


def test_experiment_takes_a_file_and_prints_json(cancer):
    options = ["--label", "diagnosis", "--test-size", "0.5", "--json"]
    found = json.loads(ran("experiment", "--dataset", "train.csv", *options, *QUICK).stdout)
    assert found["dataset"] == "train" and found["report"] is None
    assert [run["weight_type"] for run in found["runs"]] == ["none", "distance", "idw"] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset", "cancer"], "'cancer' is neither one of breast_cancer"),
        (["--dataset", "rows.csv"], "a file of rows needs it"),
        (["--dataset", "iris", "--label", "y"], "are for files, not for iris"),
        (["--dataset", "iris", "--test-size", "1.5"], "give shares between 0 and 1"),
        (["--dataset", "iris", "--test-size", "0.5", "--test-sizes"], "give --test-size or"),
    ],
    ids=str,
)
def test_experiment_says_what_is_allowed(arguments, said):
    assert said in misused("experiment", *arguments)


# --- demo, info and what holds for all ------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch):
    """Record the calls to the demo instead of running it."""
    calls = []

    def record(*arguments):
        calls.append(arguments)
        print("the table")
        return [{"method": "baseline", "mean": float("nan")}]

    monkeypatch.setattr(demo, "run_demo", record)
    return calls


def test_demo_passes_its_options_on(calls):
    options = ["--seeds", "3", "--epochs", "7", "--output-dir", "here"]
    assert "the table" in ran("demo", *options).stdout
    assert calls == [(3, 7, "here")]


def test_the_defaults_are_those_of_run_demo(calls):
    assert cli.main(["demo"]) == 0
    assert calls == [tuple(p.default for p in DEMO_PARAMETERS)]


def test_json_replaces_what_the_demo_prints(calls):
    shown = ran("demo", "--json")
    assert json.loads(shown.stdout)["table"] == [{"method": "baseline", "mean": None}]
    assert shown.stderr == "the table\n"


def test_info_shows_the_configuration(monkeypatch):
    from semideep_ext.config import config

    assert ran("info").stdout.startswith("semideep_ext")
    assert json.loads(ran("info", "--json").stdout) == config()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command):
    shown = ran(command, "--help").stdout
    assert f"\n    semideep {command} " in shown and "--json" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["unknown"], "No such command 'unknown'"),
        (["demo", "--seeds", "1"], "'1': give an integer of at least 2"),
        (["demo", "--seeds", "many"], "'many': give an integer"),
        (["demo", "--epochs", "0"], "'0': give an integer of at least 1"),
        (["demo", "--unknown"], "No such option: --unknown"),
        (["weights", "a.csv"], "Missing argument 'TEST'"),
        (["weights", "a.csv", "b.csv", "--metric", "far"], "'far' is not one of euclidean, sq"),
        (
            ["weights", "a.csv", "b.csv", "--lambda", "0"],
            "'0': give a finite number > 0, or median",
        ),
        (["weights", "a.csv", "b.csv", "--lambda", "big"], "'big': give a finite number > 0"),
        (["weights", "a.csv", "b.csv", "-o", "w.xls"], "'w.xls': allowed are .npy, .npz"),
        (["weights", "a.csv", "b.csv", "-o", "no/w.npy"], "the folder no does not exist"),
        (["weights", "a.csv", "b.csv", "-o", "-", "--json"], "cannot hold both JSON and CSV"),
        (["select", "a.csv", "b.csv"], "Missing option '--label'"),
        (["select", "a.csv", "b.csv", "--label", "y", "--metrics", "cosine,far"], "'far' is not"),
        (["train", "a.csv", "b.csv", "--label", "y", "--hidden", "a"], "'a': give widths such as"),
        (["train", "a.csv", "b.csv", "--label", "y", "--resume"], "needs --model mlp and"),
        (
            ["train", "a.csv", "b.csv", "--label", "y", "--checkpoint", "m.joblib"],
            "for --model mlp the suffix is .safetensors",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_exits_with_2_and_says_what_is_allowed(arguments, said):
    assert said in misused(*arguments)


def test_main_returns_the_exit_code():
    assert [cli.main(["info"]), cli.main(["unknown"])] == [0, 2]


def test_interrupting_exits_with_130_and_one_line(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_demo", interrupted)
    result = run("demo")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    assert refused("demo", "--output-dir", tmp_path / "file").startswith("semideep demo: ")


def test_what_is_missing_is_named_with_its_extra(small, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'semideep_ext[cli]'" in refused("weights", *small)
    monkeypatch.delitem(sys.modules, "semideep_ext.cli.app")
    monkeypatch.setitem(sys.modules, "typer", None)
    assert cli.main(["info"]) == 1
    said = "the command line needs typer: pip install 'semideep_ext[cli]'\n"
    assert capsys.readouterr().err == said


def test_progress_goes_to_stderr_and_stdout_holds_nothing_but_json(cancer):
    process = subprocess_of("select", *cancer, *FEW, "--progress", "--json")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert json.loads(out)["table"] and "fits: 100%" in err


def test_a_process_exits_with_1_for_bad_data(small):
    Path("test.csv").write_text("a,b\n1,x\n")
    process = subprocess_of("weights", *small)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (1, "") and "test.csv, line 2, column 'b'" in err


def test_ctrl_c_ends_a_training_without_a_traceback(small):
    options = ["--epochs", "1000000", "--checkpoint", "run.safetensors"]
    process = subprocess_of("train", *small, *options)
    while not Path("run.safetensors").exists() and process.poll() is None:
        time.sleep(0.05)  # it is training once the first checkpoint is there
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted" and "Traceback" not in err
    assert sorted(os.listdir()) == ["run.safetensors", "test.csv", "train.csv"]


def test_a_reader_that_has_seen_enough_is_no_error(small):
    with subprocess_of("weights", *small, "-o", "-") as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1 and "Traceback" not in err


def test_the_facts_of_json_are_the_diagnostics_of_the_package(small):
    found = json.loads(ran("weights", *small, "--json").stdout)
    expected = dataclasses.asdict(diagnose_weights(found["weights"]))
    assert found["diagnostics"] == {**expected, "problems": list(expected["problems"])}
