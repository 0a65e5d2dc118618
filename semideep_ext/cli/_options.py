"""Options that several commands share: one place for their names, checks and help."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from semideep_ext.metrics import METRICS

ROWS = ".csv, .tsv, .parquet, .npy or .npz"


def one_of(allowed: Iterable[str]) -> Callable[[str | None], str | None]:
    """Return a check that a value is one of the allowed."""
    allowed = list(allowed)

    def check(value: str | None) -> str | None:
        if value is not None and value not in allowed:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(allowed)}")
        return value

    return check


def many_of(allowed: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a parser of a comma-separated list of allowed values."""
    check = one_of(allowed)

    def parse(text: str) -> list[str]:
        values = text.split(",")
        for value in values:
            check(value)
        return values

    return parse


def at_least(least: int) -> Callable[[str], int]:
    """Return a parser of integers."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise typer.BadParameter(f"{text!r}: give an integer of at least {least}")
        return number

    return parse


def parse_lambda(text: str) -> float | str:
    """Read a positive number or "median"."""
    if text == "median":
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise typer.BadParameter(f"{text!r}: give a finite number > 0, or median")
    return value


def parse_lambdas(text: str) -> list[float | str]:
    """Read a comma-separated list for `parse_lambda`."""
    return [parse_lambda(part) for part in text.split(",")]


def parse_hidden(text: str) -> list[int]:
    """Read widths of hidden layers; empty for none."""
    widths = [part.strip() for part in text.split(",")] if text else []
    if not all(width.isdecimal() and int(width) > 0 for width in widths):
        raise typer.BadParameter(f"{text!r}: give widths such as 64,32, or '' for no hidden layer")
    return [int(width) for width in widths]


def output_file(*suffixes: str) -> Callable[[str | None], str | None]:
    """Return a check, before anything is computed, that a file can be written there."""

    def check(path: str | None) -> str | None:
        if path is None or (path == "-" and "-" in suffixes):
            return path
        if Path(path).suffix not in suffixes:
            raise typer.BadParameter(f"{path!r}: allowed are {', '.join(suffixes)}")
        if not Path(path).absolute().parent.is_dir():
            raise typer.BadParameter(f"{path!r}: the folder {Path(path).parent} does not exist")
        return path

    return check


Train = Annotated[str, typer.Argument(metavar="TRAIN", help=f"Training rows: {ROWS}.")]
Test = Annotated[str, typer.Argument(metavar="TEST", help="Test rows, with the same columns.")]
LABEL_HELP = "Column of the labels; not a feature."
Label = Annotated[str, typer.Option("--label", metavar="NAME", help=LABEL_HELP)]
MaybeLabel = Annotated[str | None, typer.Option("--label", metavar="NAME", help=LABEL_HELP)]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="LIST",
        help="Features, separated by commas. Default: all other columns.",
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option("--drop", metavar="LIST", help="Columns to leave out, separated by commas."),
]
Standardize = Annotated[
    bool,
    typer.Option(
        "--standardize",
        help="Scale features to mean 0 and deviation 1, by what the training rows say.",
    ),
]
Metric = Annotated[
    str,
    typer.Option(
        "--metric",
        metavar="|".join((*METRICS, "auto")),
        callback=one_of((*METRICS, "auto")),
        help="Distance; auto chooses by the kind of data.",
    ),
]
Lambda = Annotated[
    Any,
    typer.Option(
        "--lambda",
        metavar="NUMBER|median",
        parser=parse_lambda,
        help="Decay of the weights; median is 1 / (median distance).",
    ),
]
Metrics = Annotated[
    Any,
    typer.Option(
        "--metrics", metavar="LIST", parser=many_of(METRICS), help="Metrics, separated by commas."
    ),
]
Lambdas = Annotated[
    Any,
    typer.Option(
        "--lambdas", metavar="LIST", parser=parse_lambdas, help="Decays, separated by commas."
    ),
]
Hidden = Annotated[
    Any,
    typer.Option(
        "--hidden", metavar="LIST", parser=parse_hidden, help="mlp: widths of the hidden layers."
    ),
]
Epochs = Annotated[
    int,
    typer.Option(
        "--epochs", parser=at_least(1), metavar="INTEGER", help="mlp: passes over the rows."
    ),
]
LearningRate = Annotated[float, typer.Option("--learning-rate", help="mlp: of Adam.")]
BatchSize = Annotated[
    int,
    typer.Option("--batch-size", parser=at_least(1), metavar="INTEGER", help="mlp: rows a step."),
]
Device = Annotated[
    str | None, typer.Option("--device", help="mlp: cpu or cuda. Default: cuda where there is one.")
]
Seed = Annotated[
    int,
    typer.Option("--seed", parser=at_least(0), metavar="INTEGER", help="Of all that is random."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Progress = Annotated[
    bool | None,
    typer.Option(
        "--progress/--no-progress", help="Progress bar on stderr. Default: if it is a terminal."
    ),
]
