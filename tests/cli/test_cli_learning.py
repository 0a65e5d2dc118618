"""Promises of `semideep select`, `train` and `experiment`."""

import csv
import json
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_runner import (
    FEATURES,
    FEW,
    X_TEST,
    Y_TEST,
    X,
    Y,
    misused,
    ran,
    refused,
    subprocess_of,
    write_csv,
)
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import semideep_ext
from semideep_ext import WeightsWarning


def test_select_gives_the_table_of_the_function(cancer):
    found = json.loads(
        ran("select", *cancer, *FEW, "--plot", "heat.png", "-o", "scores.csv", "--json").stdout
    )
    scaler = StandardScaler().fit(X)
    with pytest.warns(semideep_ext.WeightsWarning, match="no weighting is shown better"):
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
    assert (found["weighting"], found["sentence"]) == (expected.weighting, expected.sentence)
    assert [row["mean"] for row in found["table"]] == [row["mean"] for row in expected.table]
    with open("scores.csv") as f:
        rows = list(csv.DictReader(f))
    assert [float(row["mean"]) for row in rows] == [row["mean"] for row in expected.table]
    assert [row["lambda_given"] for row in rows] == ["0.5", "median"] * 2
    assert Path("heat.png").read_bytes().startswith(b"\x89PNG")


def test_select_prints_a_table_with_the_best(cancer):
    shown = ran("select", *cancer, *FEW).stdout.splitlines()
    header = "metric lambda f1 std. error difference effective rows problems"
    assert " ".join(shown[0].split()) == header
    first = [line.split()[0] for line in shown[1:]]
    assert first == ["euclidean", "euclidean", "cosine", "cosine", "unweighted", "no"]


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


@pytest.mark.parametrize("command", ["train", "select"])
def test_a_single_class_is_refused(small, command):
    Path("train.csv").write_text("a,b,y\n1,2,no\n1,3,no\n")
    assert "train.csv, column 'y': all labels are no; two are" in refused(command, *small)


def test_select_says_that_there_are_too_few_rows_for_the_folds(small):
    said = refused("select", *small, "--cv", "5")
    assert "cv=5 does not split 4 training rows" in said and "fewer folds" in said


def test_lists_may_have_spaces(cancer):
    options = ["--metrics", "euclidean, cosine", "--lambdas", "0.5, median", "--standardize"]
    assert len(json.loads(ran("select", *cancer, *options, "--json").stdout)["table"]) == 4


@pytest.mark.parametrize(("weights", "advised"), [("distance", True), ("none", False)])
def test_train_advises_on_the_scale_where_there_are_distances(cancer, weights, advised):
    options = ["--model", "forest", "--weights", weights]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WeightsWarning)
        assert ("--standardize makes" in ran("train", *cancer, *options).stderr) == advised


@pytest.mark.parametrize("model", ["mlp", "linear"])
def test_train_shows_the_same_model_without_weights_beside(cancer, model):
    options = ["--standardize", "--model", model, "--epochs", "3"]
    shown = ran("train", *cancer, *options).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert ["score", "weighted", "unweighted"] in lines
    found = json.loads(ran("train", *cancer, *options, "--json").stdout)
    alone = json.loads(ran("train", *cancer, *options, "--weights", "none", "--json").stdout)
    assert found["unweighted"] == alone["scores"] != found["scores"]
    assert alone["unweighted"] is None
    both = [f"{found[key]['auc']:.4f}" for key in ("scores", "unweighted")]
    assert ["auc", *both] in lines


def test_the_default_lambda_fits_rows_of_any_scale(cancer):
    for command in ("weights", "train"):
        options = ["--model", "forest"] if command == "train" else []
        shown = ran(command, *cancer, *options)
        (line,) = [line for line in shown.stdout.splitlines() if line.startswith("effective rows")]
        assert float(line.split()[2]) > 0.8 * len(X)
        found = json.loads(ran(command, *cancer, *options, "--json").stdout)
        assert found["lambda"] == semideep_ext.median_lambda(X, X_TEST)
        assert found["diagnostics"]["effective_sample_size"] > 0.8 * len(X)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("command", ["weights", "train", "select", "experiment"])
def test_few_effective_rows_are_a_warning_on_stderr(cancer, command):
    options = {
        "weights": ["--lambda", "0.8"],
        "train": ["--lambda", "0.8", "--model", "linear"],
        "select": ["--lambdas", "0.8,median", "--metrics", "euclidean"],
        "experiment": ["--tune", "--lambdas", "9", "--metrics", "euclidean", *QUICK],
    }[command]
    files = ["--dataset", "train.csv", *cancer[2:]] if command == "experiment" else cancer
    said = [line for line in ran(command, *files, *options).stderr.splitlines() if "Kish" in line]
    assert said and all(line.startswith("warning: ") for line in said)


def test_select_gives_effective_rows(cancer):
    options = ["--standardize", "--metrics", "euclidean", "--lambdas", "median"]
    (row,) = json.loads(ran("select", *cancer, *options, "--json").stdout)["table"]
    assert row["effective_rows"] == pytest.approx(row["effective_share"] * len(X))
    assert f" {row['effective_rows']:.1f} of {len(X)}" in ran("select", *cancer, *options).stdout


REGRESSION = ["--label", "target", "--task", "regression"]


@pytest.fixture
def diabetes():
    """Write halves of the diabetes rows, whose labels are about 150."""
    rows = load_diabetes(as_frame=True).frame
    train, test = train_test_split(rows, test_size=0.5, random_state=0)
    train.to_csv("train.csv", index=False)
    test.to_csv("test.csv", index=False)
    return ["train.csv", "test.csv", *REGRESSION]


def test_networks_predict_numbers_of_any_size(diabetes):
    options = ["--standardize", "--json", "--predictions", "p.csv"]
    found = json.loads(ran("train", *diabetes, *options).stdout)
    assert found["scores"]["r2"] > 0.25 and found["unweighted"]["r2"] > 0.25
    predicted, labels = pd.read_csv("p.csv")["prediction"], pd.read_csv("test.csv")["target"]
    assert found["scores"]["mae"] == pytest.approx(np.abs(predicted - labels).mean())
    for path in ("train.csv", "test.csv"):
        rows = pd.read_csv(path)
        rows.assign(target=1e9 * (rows["target"] + 1e3)).to_csv(path, index=False)
    again = json.loads(ran("train", *diabetes, *options).stdout)
    assert again["scores"]["r2"] == pytest.approx(found["scores"]["r2"], abs=1e-3)


def test_a_regression_goes_on_from_its_checkpoint(diabetes):
    options = [*diabetes, "--standardize", "--checkpoint", "m.safetensors", "--json"]
    ran("train", *options, "--epochs", "2")
    resumed = ran("train", *options, "--epochs", "4", "--resume").stdout
    assert resumed == ran("train", *options, "--epochs", "4").stdout


def test_an_r2_below_0_is_said(small):
    Path("train.csv").write_text("a,b,y\n0,1,1\n1,2,2\n2,3,3\n3,4,4\n")
    Path("test.csv").write_text("a,b,y\n0,1,4\n3,4,1\n")
    shown = ran("train", *small, "--task", "regression", "--model", "linear")
    assert "is below 0: the mean of the test labels is nearer" in shown.stderr


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
    first, weighted, _ = found["runs"][:3]
    assert first["effective_rows"] == first["n_train"]
    assert weighted["effective_rows"] == weighted["effective_share"] * weighted["n_train"]


def test_experiment_compares_weights_that_have_not_collapsed(cancer):
    options = ["--dataset", "train.csv", "--label", "diagnosis", *QUICK]
    found = json.loads(ran("experiment", *options, "--json").stdout)
    shares = [r["effective_share"] for r in found["runs"] if r["weight_type"] == "distance"]
    assert min(shares) > 0.8
    (line,) = [t for t in ran("experiment", *options).stdout.splitlines() if " distance " in t]
    n = found["runs"][1]["n_train"]
    assert line.rstrip().endswith(f"{np.mean(shares) * n:.1f} of {n}")


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


def test_an_interrupted_experiment_goes_on_where_it_was(cancer):
    command = ["experiment", "--dataset", "wine", "--seeds", "4", "--epochs", "30", "--json"]
    runs = Path("results", "wine_runs.jsonl")
    with subprocess_of(*command, "--progress") as process:
        while not runs.exists() or not runs.read_bytes().count(b"\n"):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=100)
    assert (process.returncode, out, err.splitlines()[-1]) == (130, "", "interrupted")
    left = runs.read_bytes()
    done = left.count(b"\n")
    assert 1 <= done < 12
    again = ran(*command, "--progress")
    assert f"{done}/12" in again.stderr and runs.read_bytes().startswith(left)
    assert len(json.loads(again.stdout)["runs"]) == 12
