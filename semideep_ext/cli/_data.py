"""Training and test rows of two files: the same features in the same order, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semideep_ext.cli._console import say
from semideep_ext.cli._tables import Table, read_table

# Of deviations of the columns: beyond it, one column makes up 99 % of a squared distance.
UNEQUAL = 10.0


@dataclass(frozen=True)
class Data:
    """Rows of both files; labels where a file has them."""

    X: np.ndarray
    X_test: np.ndarray
    y: np.ndarray | None
    y_test: np.ndarray | None
    features: list[str]
    scaler: Any = None  # a fitted StandardScaler, if the rows are standardised

    @property
    def labels(self) -> np.ndarray:
        """Labels of the training rows, which `load` has made sure of where there is a task."""
        return np.asarray(self.y)

    def facts(self) -> dict[str, Any]:
        """Sizes, for JSON."""
        return {"n": len(self.X), "m": len(self.X_test), "features": self.features}


def load(
    train: str,
    test: str,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    standardize: bool = False,
    task: str | None = None,
) -> Data:
    """Read both files; columns are matched by name.

    Parameters
    ----------
    train, test : str
        Files as `read_table` takes them.
    label : str, optional
        Column that is no feature; the test rows need not have it.
    columns : sequence of str, optional
        Features. Default: all columns of the training rows but label and drop, which the test rows
        must have too, and no others.
    drop : sequence of str, optional
    standardize : bool, default False
        Scale by mean and deviation of the training rows.
    task : {"classification", "regression"}, optional
        What the labels of the training rows are for; without it there need be none.

    Raises
    ------
    ValueError
        For columns that are not there or do not match, cells that are no finite numbers, and
        labels from which the task cannot be learned.
    """
    known = read_table(train)
    tests = known if test == train else read_table(test)
    dropped = _names(drop, [*known.columns, *tests.columns])
    features = _names(columns, known.columns)
    for option, names in (
        ("--label", [label] if label is not None else []),
        ("--columns", features),
        ("--drop", [name for name in dropped if name not in tests.columns]),
    ):
        _check_has(known, names, f"which {option} names")
    if label is not None and label in features:
        raise ValueError(f"--columns names {label!r}, which is the --label: it cannot be a feature")
    features = features or [n for n in known.columns if n != label and n not in dropped]
    features = [name for name in features if name not in dropped]
    if not features:
        raise ValueError(f"{train}: no column is left as a feature; it has {_listed(known)}")
    _check_has(
        tests, features, f"which {train} has ({_counts(known, tests)}); add it, or --drop it"
    )
    further = [n for n in tests.columns if n not in (*features, *dropped, label)]
    if further and not columns:
        raise ValueError(
            f"{train} has no column {further[0]!r}, which {test} has ({_counts(known, tests)}); "
            "add it, or --drop it"
        )
    X, X_test = (np.column_stack([t.numbers(n) for n in features]) for t in (known, tests))
    y, y_test = (_labels(t, label, task) for t in (known, tests))
    if task is not None and y is None:
        raise ValueError(f"{train}: every label in column {label!r} is missing")
    if task == "classification" and len(np.unique(np.asarray(y))) < 2:
        raise ValueError(
            f"{train}, column {label!r}: all labels are {np.asarray(y)[0]}; two are needed"
        )
    scaler = None
    if standardize:
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(X)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
    return Data(X, X_test, y, y_test, features, scaler)


def load_labelled(
    path: str, label: str, columns: Sequence[str] | None, drop: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Read one file of labelled rows, with the options of `load`; gives X and y."""
    data = load(path, path, label, columns, drop, task="classification")
    return data.X, data.labels


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


def _names(given: Sequence[str] | None, known: Any) -> list[str]:
    """Split at commas what is not itself the name of a column."""
    parts = [[text] if text in known else text.split(",") for text in given or ()]
    names = [name if name in known else name.strip() for part in parts for name in part]
    return list(dict.fromkeys(names))


def _check_has(table: Table, names: Sequence[str], why: str) -> None:
    for name in names:
        if name not in table.columns:
            raise ValueError(f"{table.path} has no column {name!r}, {why}; it has {_listed(table)}")


def _counts(known: Table, tests: Table) -> str:
    return f"{len(known.columns)} columns there, {len(tests.columns)} in the test rows"


def _listed(table: Table) -> str:
    names = list(table.columns)
    more = f", ... ({len(names)} in all)" if len(names) > 8 else ""
    return ", ".join(map(repr, names[:8])) + more


def _labels(table: Table, label: str | None, task: str | None) -> np.ndarray | None:
    if label is None or label not in table.columns:
        return None
    labels = table.labels(label)
    return table.numbers(label) if task == "regression" and labels is not None else labels
