"""What the tests of the command line share: how it is called, and breast-cancer rows."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from typer.testing import CliRunner

import semideep_ext
from semideep_ext.cli.app import app

PACKAGE_FOLDER = str(Path(semideep_ext.__file__).parent.parent)


DATA = load_breast_cancer()


FEATURES = DATA.feature_names.tolist()


LABELS = np.array(["malignant", "benign"])[DATA.target]


X, X_TEST, Y, Y_TEST = train_test_split(
    DATA.data, LABELS, test_size=0.5, random_state=0, stratify=LABELS
)


def write_csv(path, header, *columns):
    with open(path, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))


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


FEW = ["--standardize", "--metrics", "euclidean,cosine", "--lambdas", "0.5,median"]
