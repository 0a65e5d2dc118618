"""Training and test rows of two files: the same features in the same order, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semideep_ext.cli._cells import listed
from semideep_ext.cli._columns import advise_on_row_numbers, choose_features
from semideep_ext.cli._console import say
from semideep_ext.cli._labels import Labels, check_labels, read_labels, read_test_labels
from semideep_ext.cli._tables import Table, read_table

# Of deviations of the columns: beyond it, one column makes up 99 % of a squared distance.
UNEQUAL = 10.0


@dataclass(frozen=True)
class Data:
    """Rows of both files, as numbers.

    Attributes
    ----------
    X, y : ndarray, shapes (n, D) and (n,)
        Training rows and their labels. Without a column of labels y is None.
    resembled : ndarray, shape (m, D)
        What training rows are weighed by: the test rows, then training rows without a label.
    n_test : int
        How many of these are test rows.
    test_labels : Labels or None
        What predictions are scored by.
    features : list of str
    scaler : StandardScaler or None
        Fitted on X, if the rows are standardised.
    """

    X: np.ndarray
    y: np.ndarray | None
    resembled: np.ndarray
    n_test: int
    test_labels: Labels | None
    features: list[str]
    scaler: Any = None

    @property
    def labels(self) -> np.ndarray:
        """Labels of the training rows, which `load` has made sure of where there is a task."""
        return np.asarray(self.y)

    @property
    def test_rows(self) -> np.ndarray:
        """Rows to predict, shape (n_test, D)."""
        return self.resembled[: self.n_test]

    @property
    def unlabelled(self) -> np.ndarray:
        """Rows for a semi-supervised method: training rows without a label, else the test rows."""
        without_label = self.resembled[self.n_test :]
        return without_label if len(without_label) else self.test_rows

    @property
    def others(self) -> np.ndarray | None:
        """Rows to resemble that `unlabelled` does not hold, which are resembled anyway."""
        return self.test_rows if len(self.resembled) > self.n_test else None

    def facts(self) -> dict[str, Any]:
        """Sizes, for JSON."""
        return {"n": len(self.X), "m": len(self.resembled), "features": self.features}


def load(
    train: str,
    test: str,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    standardize: bool = False,
    task: str | None = None,
    scored: bool = False,
    method: str | None = None,
) -> Data:
    """Read both files; columns are matched by name.

    Parameters
    ----------
    train, test : str
        Files as `read_table` takes them.
    label : str, optional
        Column that is no feature; the test rows need not have it. Training rows without a label
        are rows to resemble.
    columns : sequence of str, optional
        Features. Default: all columns of the training rows but label, drop and an index, which the
        test rows must have too, and no others.
    drop : sequence of str, optional
    standardize : bool, default False
        Scale by mean and deviation of the training rows.
    task : {"classification", "regression"}, optional
        What the labels of the training rows are for; without it there need be none.
    scored : bool, default False
        Whether predictions will be scored by the labels of the test rows; else these are not read.
    method : str, optional
        A semi-supervised method that learns from rows without a label.

    Raises
    ------
    ValueError
        For columns that are not there or do not match, cells that are no finite numbers, and
        labels from which the task cannot be learned.
    """
    known = read_table(train)
    tests = known if test == train else read_table(test)
    features = choose_features(known, tests, label, columns, drop)
    X, resembled = _rows(known, features), _rows(tests, features)
    n_test, y, test_labels = len(resembled), None, None
    if not columns:
        advise_on_row_numbers(train, X, features)
    if label is not None:
        labels = read_labels(known, label, task)
        if task is not None:
            place, remedy = f"{train}, column {label!r}", "--task regression takes them as numbers"
            check_labels(labels.values, task, place, remedy)
        if labels.values.size:
            fate = f"{method} learns from them" if method else "not trained on"
            _say_unlabelled(train, labels, f"resembled as the test rows are, {fate}")
            resembled = np.concatenate([resembled, X[~labels.given]])
            X, y = X[labels.given], labels.values
        if scored and task is not None and label in tests.columns:
            test_labels = read_test_labels(tests, label, task, labels.values)
    scaler = None
    if standardize:
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(X)
        X, resembled = scaler.transform(X), scaler.transform(resembled)
    return Data(X, y, resembled, n_test, test_labels, features, scaler)


def load_labelled(
    path: str, label: str, columns: Sequence[str] | None, drop: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Read the rows of one file that have a class, with the options of `load`; gives X and y."""
    table = read_table(path)
    features = choose_features(table, table, label, columns, drop)
    X, labels = _rows(table, features), read_labels(table, label, "classification")
    if not columns:
        advise_on_row_numbers(path, X, features)
    place, remedy = (
        f"{path}, column {label!r}",
        "join them into a few, as classes are compared here",
    )
    check_labels(labels.values, "classification", place, remedy)
    _say_unlabelled(path, labels, "left out")
    return X[labels.given], labels.values


def settle_metric(data: Data, metric: str) -> str:
    """Replace "auto", saying why on stderr; advise on the scale of the columns."""
    if metric == "auto":
        from semideep_ext.weighting.auto import auto_select_distance_metric

        metric, reason = auto_select_distance_metric(data.X, return_reason=True)
        say(f"metric {metric}: {reason}")
    advise_scaling(data, [metric])
    return metric


def advise_scaling(data: Data, metrics: Sequence[str]) -> None:
    """Say on stderr that few columns decide the distances, if so."""
    if data.scaler is not None:
        return
    spread = data.X.std(0)
    spread = spread[spread > 0]
    matters = set(metrics) - {"hamming", "jaccard"}
    if matters and spread.size and spread.max() > UNEQUAL * spread.min():
        say(
            f"note: the features' deviations range from {spread.min():.2g} to {spread.max():.2g}, "
            "so that those of the largest decide the distances; --standardize makes them equal"
        )


def advise_on_test_rows(data: Data) -> None:
    """Say on stderr that the rows to be scored are rows of the training, if all are."""
    if data.test_labels is None:
        return
    trained = _hashable(data.X, data.labels)
    scored = _hashable(data.test_rows[data.test_labels.given], data.test_labels.values)
    if set(scored) <= set(trained):
        say(
            "note: every test row is a training row, label included, so that the scores tell "
            "nothing of other rows: hold rows back to test on"
        )


def advise_on_unlabelled_rows(data: Data, path: str) -> None:
    """Say on stderr that a method learns from the test rows, if so."""
    if data.others is None:
        say(
            f"note: every row of {path} has a label: the method learns from the test rows, whose "
            "labels it does not see"
        )


def _hashable(X: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, Any]]:
    return list(zip(map(np.ndarray.tobytes, X), labels.tolist(), strict=True))


def _rows(table: Table, features: Sequence[str]) -> np.ndarray:
    return np.column_stack([table.numbers(name) for name in features])


def _say_unlabelled(path: str, labels: Labels, fate: str) -> None:
    if labels.marks:
        count = f"{(~labels.given).sum()} of {len(labels.given)} rows"
        say(f"note: {path}: {count} have no label but {listed(labels.marks)}: {fate}")
