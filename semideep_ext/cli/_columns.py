"""Which columns of two files are features: matched by name, without what numbers the rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from semideep_ext.cli._cells import listed
from semideep_ext.cli._console import say
from semideep_ext.cli._tables import Table

SHOWN = 8  # names in an error
# Of n distinct whole numbers in a range of R, random draws would all differ with a chance of about
# exp(-n^2 / 2R): below exp(-7), a tenth of a percent, they were counted rather than measured.
COUNTED = 7.0


def choose_features(
    known: Table,
    tests: Table,
    label: str | None,
    columns: Sequence[str] | None,
    drop: Sequence[str] | None,
) -> list[str]:
    """Name the features, in the order of the training rows; says what is left out as an index.

    Raises
    ------
    ValueError
        For columns that are not there or do not match.
    """
    dropped = _names(drop, known.columns.keys() | tests.columns.keys())
    given = _names(columns, known.columns)
    for option, names in (
        ("--label", [label] if label is not None else []),
        ("--columns", given),
        ("--drop", [name for name in dropped if name not in tests.columns]),
    ):
        _check_has(known, names, f"which {option} names")
    if label is not None and label in given:
        raise ValueError(f"--columns names {label!r}, which is the --label: it cannot be a feature")
    index = set() if columns else (known.index | tests.index).difference(dropped, {label})
    without = {*dropped, *index, label}
    features = [name for name in given or known.columns if name not in without]
    if not features:
        raise ValueError(f"{known.path}: no column is left as a feature; it has {_listed(known)}")
    counts = f"{len(known.columns)} columns there, {len(tests.columns)} in the test rows"
    _check_has(tests, features, f"which {known.path} has ({counts}); add it, or --drop it")
    taken = without.union(features)
    further = [] if columns else [name for name in tests.columns if name not in taken]
    if further:
        raise ValueError(
            f"{known.path} has no column {further[0]!r}, which {tests.path} has ({counts}); add "
            "it, or --drop it"
        )
    if index:
        say(
            f"note: left out, as an index or without a name: {listed(sorted(index))}; --columns "
            "takes such columns in"
        )
    return features


def advise_on_row_numbers(path: str, X: np.ndarray, features: Sequence[str]) -> None:
    """Say on stderr that columns of X, shape (N, D), look like numbers of rows, if so."""
    whole = (np.floor(X) == X).all(0).tolist()
    found = [features[i] for i, is_whole in enumerate(whole) if is_whole and _is_counted(X[:, i])]
    if found:
        say(
            f"note: {path}: distinct whole numbers, as row numbers are, in {listed(found)}; if "
            f"they say nothing of a row, leave them out: --drop {found[0]!r}"
        )


def _is_counted(numbers: np.ndarray) -> bool:
    n, span = len(numbers), float(np.ptp(numbers)) + 1
    return n * n > 2 * COUNTED * span and len(np.unique(numbers)) == n


def _names(given: Sequence[str] | None, known: Collection[str]) -> list[str]:
    """Split at commas what is not itself the name of a column."""
    parts = [[text] if text in known else text.split(",") for text in given or ()]
    names = [name if name in known else name.strip() for part in parts for name in part]
    return list(dict.fromkeys(names))


def _check_has(table: Table, names: Sequence[str], why: str) -> None:
    for name in names:
        if name not in table.columns:
            raise ValueError(f"{table.path} has no column {name!r}, {why}; it has {_listed(table)}")


def _listed(table: Table) -> str:
    return listed(list(table.columns), SHOWN)
