"""Labels of training and test rows, and which rows have one: a cell may be empty, or hold -1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from semideep_ext.cli._cells import as_label, is_missing, is_number, listed
from semideep_ext.cli._console import say
from semideep_ext.cli._tables import Table
from semideep_ext.weighting.labels import labeled_rows

UNLABELLED = -1
# Up to so many numbers may be classes, whatever they are; of more, whole ones may be, with rows for
# each of three folds.
FEW_CLASSES, ROWS_OF_A_CLASS = 20, 3


@dataclass(frozen=True)
class Labels:
    """Labels of the rows that have one, (n,), and which rows of the file these are, (N,)."""

    values: np.ndarray
    given: np.ndarray
    marks: list[Any]  # what stands in the column where there is no label


def read_labels(table: Table, name: str, task: str | None) -> Labels:
    """Read the labels of training rows; for task "regression" these are numbers.

    Raises
    ------
    ValueError
        For a label of a regression that is no number, and for -1 among labels that are text.
    """
    cells = table.values(name)
    given = _are_given(cells)
    if task == "regression":
        return _labels(table.numbers(name, allow_missing=True)[given], given, cells)
    labels = _as_array(cell for cell in cells if not is_missing(cell))
    if are_measured(labels):  # of which -1 is one
        return _labels(labels, given, cells)
    if labels.dtype.kind == "U":
        _refuse_mark(table, name, cells)
    else:
        labelled = labeled_rows(labels, UNLABELLED)
        given[given], labels = labelled, labels[labelled]
    return _labels(labels, given, cells)


def read_test_labels(table: Table, name: str, task: str, known: np.ndarray) -> Labels | None:
    """Read the labels of test rows; None if there are none, or one that is not among the known.

    The latter is said on stderr, since it means that there are no scores.
    """
    cells = table.values(name)
    given = _are_given(cells)
    if task == "regression":
        values = table.numbers(name, allow_missing=True)[given]
        return _labels(values, given, cells) if given.any() else None
    classes = {label: label for label in known.tolist()}
    is_text = known.dtype.kind == "U"
    labels = [str(cell).strip() if is_text else as_label(cell) for cell in cells]
    if not is_text and UNLABELLED not in classes:
        given &= np.array([label != UNLABELLED for label in labels])
    labels = [label for label, is_there in zip(labels, given, strict=True) if is_there]
    unseen = sorted(set(labels).difference(classes), key=repr)
    if unseen:
        say(
            f"note: {table.path}, column {name!r} holds labels that no training row has: "
            f"{listed(unseen)}; predictions are made, but not scored"
        )
    if unseen or not labels:
        return None
    return _labels(np.array([classes[label] for label in labels], known.dtype), given, cells)


def check_labels(labels: np.ndarray, task: str, place: str, remedy: str) -> None:
    """Refuse labels from which a task cannot be learned.

    Parameters
    ----------
    labels : ndarray, shape (n,)
    task : {"classification", "regression"}
    place : str
        File and column, for the error.
    remedy : str
        What to do about numbers that are no classes.

    Raises
    ------
    ValueError
        If there are none; for classes, if all are equal or `are_measured`.
    """
    if not labels.size:
        raise ValueError(f"{place}: no row has a label")
    if task == "regression":
        return
    distinct = np.unique(labels)
    if len(distinct) < 2:
        raise ValueError(f"{place}: all labels are {distinct[0]}; two are needed")
    if are_measured(labels):
        raise ValueError(
            f"{place}: {len(distinct)} distinct numbers in {labels.size} rows are no classes; "
            f"{remedy}"
        )


def are_measured(labels: np.ndarray) -> bool:
    """Tell numbers that are no classes: more than 20, with fractions or fewer than 3 rows each.

    Examples
    --------
    >>> are_measured(np.arange(30)), are_measured(np.arange(300) % 30)
    (True, False)
    >>> are_measured((np.arange(300) % 30 / 2).astype(str))
    True
    """
    distinct = np.unique(labels).tolist()
    if len(distinct) <= FEW_CLASSES or not all(map(is_number, distinct)):
        return False
    fractions = any(float(number) % 1 for number in distinct)
    return fractions or len(labels) < ROWS_OF_A_CLASS * len(distinct)


def _labels(values: np.ndarray, given: np.ndarray, cells: list[Any]) -> Labels:
    marks = [cell for cell, is_there in zip(cells, given.tolist(), strict=True) if not is_there]
    return Labels(values, given, sorted({repr(mark): mark for mark in marks}.values(), key=repr))


def _are_given(cells: list[Any]) -> np.ndarray:
    return np.array([not is_missing(cell) for cell in cells])


def _as_array(cells: Iterable[Any]) -> np.ndarray:
    """Labels as numbers, if all are; else as the text that they are."""
    cells = list(cells)
    labels = [as_label(cell) for cell in cells]
    if any(isinstance(label, str) for label in labels):
        return np.array([str(cell).strip() for cell in cells])
    return np.array(labels)


def _refuse_mark(table: Table, name: str, cells: list[Any]) -> None:
    rows = [row for row, cell in enumerate(cells) if as_label(cell) == UNLABELLED]
    if rows:
        more = f" ({len(rows) - 1} more in this column)" if rows[1:] else ""
        raise ValueError(
            f"{table.place(rows[0])}, column {name!r}: {cells[rows[0]]!r} among labels that are "
            f"text{more}; of an unlabelled row leave the cell empty, and call a class otherwise"
        )
