"""`semideep bench`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from semideep_ext.cli import _options as o
from semideep_ext.cli import _parsers as p
from semideep_ext.cli._console import print_json, say
from semideep_ext.op.metrics import METRICS

if TYPE_CHECKING:
    from semideep_ext.benchmark.cells import Cell

BYTES = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20}
SECONDS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
NOTABLE = 1.0  # seconds of a call; all contestants take some hundred times as long
EXAMPLES = "\b\nExample:\n  semideep bench --metric cosine --n 2000 --m 1000 --d 64"


def bench(
    n: Annotated[int, typer.Option(parser=p.at_least(1), metavar="INTEGER", help="Rows of x.")],
    m: Annotated[int, typer.Option(parser=p.at_least(1), metavar="INTEGER", help="Rows of y.")],
    d: Annotated[int, typer.Option(parser=p.at_least(1), metavar="INTEGER", help="Features.")],
    metric: Annotated[
        str, typer.Option(metavar="|".join(METRICS), callback=p.one_of(METRICS))
    ] = "euclidean",
    dtype: Annotated[
        str,
        typer.Option(metavar="float32|float64", callback=p.one_of(["float32", "float64"])),
    ] = "float32",
    backward: Annotated[bool, typer.Option("--backward", help="With the gradients.")] = False,
    bits: Annotated[bool, typer.Option("--bits", help="hamming on 0 and 1.")] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            parser=p.at_least(1), metavar="INTEGER", help="Default: as many as torch uses."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="cpu|cuda", callback=p.one_of(["cpu", "cuda"]))
    ] = "cpu",
    as_json: o.Json = False,
) -> None:
    """Time the weights of one shape beside other libraries."""
    if backward and not METRICS[metric].differentiable:
        others = ", ".join(name for name, other in METRICS.items() if other.differentiable)
        raise typer.BadParameter(
            f"metric {metric} has no gradient with respect to rows; leave it out, or use --metric "
            f"with one of {others}",
            param_hint="--backward",
        )
    if bits and metric != "hamming":
        raise typer.BadParameter(
            f"it is for --metric hamming, not {metric}: leave it out", param_hint="--bits"
        )
    try:
        from semideep_ext.benchmark.bench import compete, table, versions
        from semideep_ext.benchmark.cells import Cell
        from semideep_ext.benchmark.contestants import UnsupportedError
        from semideep_ext.op.testing import DEVICES
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}: pip install 'semideep_ext[bench]'") from error

    if device not in DEVICES:
        raise ValueError(f"--device {device}: no card, or no kernels for it; give cpu")
    cell = Cell(metric, n, m, d, dtype, backward, bits, threads, device)
    _check_size(cell)
    try:
        outcomes = compete(cell)
    except UnsupportedError as error:
        raise ValueError(f"n={n}, m={m}, d={d}: {error}; give fewer rows") from error
    if as_json:
        found = {"cell": dataclasses.asdict(cell), "versions": versions(), "contestants": outcomes}
        print_json(found)
    else:
        print(table(outcomes))


def _check_size(cell: Cell) -> None:
    """Refuse what does not fit into memory, before anything is drawn; say what takes long."""
    from semideep_ext.benchmark.cells import check_memory, seconds_expected

    check_memory(cell)
    seconds = seconds_expected(cell)
    if seconds > NOTABLE:
        size = f"n={cell.n}, m={cell.m}, d={cell.d}"
        say(f"note: {size}: about {_with_unit(seconds, SECONDS)} a call")


def _with_unit(value: float, units: Mapping[str, float]) -> str:
    """Write a number in the largest unit of which it is more than one."""
    unit = next((unit for unit, size in units.items() if value > size), [*units][-1])
    return f"{value / units[unit]:.3g} {unit}"
