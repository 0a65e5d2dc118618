"""What options may hold: parsers and checks, each with an error that says what is allowed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import typer


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
        values = [part.strip() for part in text.split(",")]
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


def parse_positive(text: str, otherwise: str = "") -> float:
    """Read a finite number > 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise typer.BadParameter(f"{text!r}: give a finite number > 0{otherwise}")
    return value


def parse_lambda(text: str) -> float | str:
    """Read a positive number or "median"."""
    text = text.strip()
    return text if text == "median" else parse_positive(text, ", or median")


def parse_jobs(text: str) -> int:
    """Read a number of processes; -1 is one per core."""
    return -1 if text == "-1" else at_least(1)(text)


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
        if Path(path).suffix.lower() not in suffixes:
            raise typer.BadParameter(f"{path!r}: allowed are {', '.join(suffixes)}")
        if Path(path).is_dir():
            raise typer.BadParameter(f"{path!r} is a folder: give the name of a file")
        if not Path(path).absolute().parent.is_dir():
            raise typer.BadParameter(f"{path!r}: the folder {Path(path).parent} does not exist")
        return path

    return check


def check_outputs(inputs: Sequence[str], outputs: Mapping[str, str | None], as_json: bool) -> None:
    """Refuse outputs, by their options, that would replace an input or mix with JSON."""
    for option, path in outputs.items():
        if path == "-" and as_json:
            raise typer.BadParameter(
                "stdout cannot hold both JSON and CSV: leave one of them out", param_hint="--json"
            )
        same = (os.path.samefile(i, path) for i in inputs if path and os.path.exists(i))
        if path and os.path.exists(path) and any(same):
            raise typer.BadParameter(
                f"{path!r} holds the rows that are read: give another name", param_hint=option
            )


def check_folder(path: str) -> str:
    """Check, before anything is computed, that a folder is there or can be made."""
    if Path(path).exists() and not Path(path).is_dir():
        raise typer.BadParameter(f"{path!r} is a file: give a folder")
    return path


def check_device(name: str | None) -> str | None:
    """Check that torch knows the device and has it."""
    if name is None:
        return None
    import torch

    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or not (number.isdecimal() or name == kind):
        raise typer.BadParameter(f"{name!r}: give cpu, cuda, or a card by number, as in cuda:1")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"--device {name}: torch sees {torch.cuda.device_count()} cards; leave it out, or give "
            "cpu"
        )
    return name
