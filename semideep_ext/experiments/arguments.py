"""Checks of what `ExperimentRunner` is given."""

from __future__ import annotations

import importlib
import math
import numbers
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from semideep_ext.experiments.datasets import load_dataset
from semideep_ext.op.metrics import check_metric
from semideep_ext.weighting.checks import check_features, check_whole
from semideep_ext.weighting.labels import labeled_rows, plain_labels, read_labels


def require(package: str, purpose: str) -> Any:
    """Import an optional package before any work is done, or say what to install."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs {package}: pip install 'semideep_ext[experiment]'"
        ) from error


def check_report_packages() -> None:
    """Refuse to begin what ends in a report where its packages are missing."""
    for package in ("jinja2", "matplotlib"):
        require(package, "the HTML report")


def check_factory(model_factory: Any) -> None:
    """Refuse a model, which every run would go on training."""
    if isinstance(model_factory, nn.Module) or not callable(model_factory):
        raise ValueError(
            f"model_factory is a {type(model_factory).__name__}: give a function that returns "
            "a new model at each call, such as lambda: nn.Linear(4, 2)"
        )


def as_list(name: str, values: Any, default: tuple[Any, ...]) -> list[Any]:
    """Make a list of at least one entry."""
    values = default if values is None else values
    if isinstance(values, str) or not hasattr(values, "__len__") or not len(values):
        raise ValueError(f"{name}={values!r}: give a list of one or more, such as {list(default)}")
    return list(values)


def check_lists(metrics: list[Any], lambdas: list[Any], test_sizes: list[Any]) -> None:
    """Refuse lists that hold what is not allowed."""
    for metric in metrics:
        check_metric(metric)
    if not all(v == "median" or (_is_number(v) and 0 < v < math.inf) for v in lambdas):
        raise ValueError(f"lambda_values={lambdas}: give finite numbers > 0, or 'median'")
    if not all(_is_number(size) and 0 < size < 1 for size in test_sizes):
        raise ValueError(f"test_sizes={test_sizes}: give shares between 0 and 1")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real)


def check_counts(n_seeds: int, n_jobs: int, cv: int) -> None:
    """Refuse numbers of splits, processes and folds that are out of range."""
    for name, value, least in (("n_seeds", n_seeds, 1), ("cv", cv, 2), ("n_jobs", n_jobs, -1)):
        check_whole(name, value, least)
    if n_jobs == 0:
        raise ValueError("n_jobs=0: give a number of processes, or -1 for one per core")


def read_data(X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Check rows and labels; every row has a label, as every row may be tested on."""
    X = check_features(X, "X")
    y = read_labels(y, len(X), "y")
    labeled = labeled_rows(y)
    if not labeled.all():
        raise ValueError(
            f"y marks {(~labeled).sum()} rows as unlabelled (-1 or missing), the first at row "
            f"{labeled.argmin()}: an experiment scores every row that it tests on, so drop these; "
            "if -1 is a class, give it another name"
        )
    return X, plain_labels(y)


def name_data(X: Any, y: Any, name: str | None) -> tuple[Any, Any, str]:
    """Give rows, labels and a name for files; X may be the name of a dataset."""
    if isinstance(X, str):
        if y is not None:
            raise ValueError(f"X={X!r} names a dataset, which has its labels: leave out y")
        name = name or X
        X, y = load_dataset(X)
    if y is None:
        raise ValueError("y is missing: give the labels of X, or the name of a dataset as X")
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        raise ValueError(
            f"dataset_name={name!r} names files: give a string without path separators"
        )
    return X, y, name
