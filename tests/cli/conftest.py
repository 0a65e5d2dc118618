"""Files that the tests of the command line read, each test in a folder of its own."""

from pathlib import Path

import pytest
from cli_runner import FEATURES, X_TEST, Y_TEST, X, Y, write_csv


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
