"""`semideep weights`."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from semideep_ext.cli import _options as o
from semideep_ext.cli import _parsers as p
from semideep_ext.cli._console import print_json, show_table
from semideep_ext.cli._extras import require_writer
from semideep_ext.cli._summary import decay, effective_rows, sizes
from semideep_ext.op.metrics import KERNELS

EXAMPLES = """\b
Examples:
  semideep weights train.csv test.csv --metric cosine --lambda 0.8 -o weights.npy
  semideep weights train.csv test.csv --label diagnosis --standardize
  semideep weights train.parquet test.parquet --columns age,bmi -o - | head"""


def weights(
    train: o.Train,
    test: o.Test,
    metric: o.Metric = "euclidean",
    lambda_: o.Lambda = o.DEFAULT_LAMBDA,
    kernel: Annotated[
        str,
        typer.Option(
            metavar="|".join(KERNELS),
            callback=p.one_of(KERNELS),
            help="exp(-lambda d), or 1/(d + 0.001).",
        ),
    ] = "exponential",
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Divide the weights by their mean.")
    ] = False,
    standardize: o.Standardize = False,
    label: o.MaybeLabel = None,
    columns: o.Columns = None,
    drop: o.Drop = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            callback=p.output_file(*o.ARRAYS),
            help=f"{', '.join(o.ARRAYS[:-1])}, or - for CSV on stdout. Default: only a summary.",
        ),
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Weigh training rows by nearness to test rows.

    w_i = (1/M) sum_j exp(-lambda d(x_i, y_j)), in the order of the training rows. With --label,
    those without a label get no weight: they are among the y_j.
    """
    p.check_outputs([train, test], {"--output": output}, as_json)
    require_writer("--output", output)
    from semideep_ext.cli._data import load, settle_metric
    from semideep_ext.cli._outputs import write_columns
    from semideep_ext.op.functional import distance_weights
    from semideep_ext.weighting.diagnostics import warn_if_degenerate
    from semideep_ext.weighting.normalisation import mean_one
    from semideep_ext.weighting.scales import resolve_lambda

    data = load(train, test, label, columns, drop, standardize)
    metric = settle_metric(data, metric)
    number = float(resolve_lambda(lambda_, data.X, data.resembled, metric))
    w = distance_weights(data.X, data.resembled, metric, number, kernel=kernel, log=normalize)
    w = mean_one(w) if normalize else w
    diagnostics = warn_if_degenerate(w, metric, kernel)
    if output is not None:
        write_columns(output, {"weight": w})

    facts: dict[str, Any] = {
        "metric": metric,
        "lambda": number if kernel == "exponential" else None,
        "kernel": kernel,
        **data.facts(),
        "diagnostics": dataclasses.asdict(diagnostics),
        "output": output,
    }
    if as_json:
        print_json(facts if output else {**facts, "weights": w})
    elif output != "-":
        _show(facts)


def _show(facts: dict[str, Any]) -> None:
    d = facts["diagnostics"]
    rows = [
        sizes(facts),
        ("weights", f"{facts['metric']}, {facts['kernel']}{decay(facts['lambda'])}"),
        ("effective rows", f"{effective_rows(d['effective_sample_size'], d['n'])} (Kish)"),
        ("smallest, mean, largest", f"{d['min']:.4g}, {d['mean']:.4g}, {d['max']:.4g}"),
        ("share of the largest 1 %", f"{d['top_share']:.1%}"),
        ("problems", ", ".join(d["problems"]) or "none"),
        ("written to", facts["output"] or "no file (-o FILE writes one)"),
    ]
    show_table(("", ""), rows)
