"""`semideep demo`."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from semideep_ext.cli import _options as o
from semideep_ext.cli import _parsers as p
from semideep_ext.cli._console import print_json
from semideep_ext.cli._extras import require, require_networks

EXAMPLES = "\b\nExample:\n  semideep demo --seeds 5 --output-dir pictures"


def demo(
    seeds: Annotated[
        int, typer.Option(parser=p.at_least(2), metavar="INTEGER", help="Splits.")
    ] = 10,
    epochs: Annotated[
        int, typer.Option(parser=p.at_least(1), metavar="INTEGER", help="Per split.")
    ] = 40,
    output_dir: o.OutputDir = "demo_output",
    as_json: o.Json = False,
) -> None:
    """Compare the weightings on breast-cancer data."""
    require("this command", "experiment", "matplotlib.figure", "scipy.stats")
    require_networks()
    from semideep_ext.experiments.demo import run_demo

    if not as_json:
        run_demo(seeds, epochs, output_dir)
        return
    with contextlib.redirect_stdout(sys.stderr):
        table = run_demo(seeds, epochs, output_dir)
    print_json({"output_dir": output_dir, "table": table})
