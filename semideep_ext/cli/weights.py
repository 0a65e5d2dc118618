"""`semideep weights`."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from semideep_ext.cli import _options as o
from semideep_ext.cli import _parsers as p
from semideep_ext.cli._console import print_json, show_table
from semideep_ext.op.metrics import KERNELS

EXAMPLES = """\b
Examples:
  semideep weights train.csv test.csv --metric cosine --lambda 0.8 -o weights.npy
  semideep weights train.csv test.csv --label diagnosis --standardize --lambda median
  semideep weights train.parquet test.parquet --columns age,bmi -o - | head"""


def weights(
    train: o.Train,
    test: o.Test,
    metric: o.Metric = "euclidean",
    lambda_: o.Lambda = "0.8",
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

    w_i = (1/M) sum_j exp(-lambda d(x_i, y_j)), in the order of the training rows.
    """
    p.check_outputs([train, test], {"--output": output}, as_json)
    from semideep_ext.cli._data import load, settle_metric
    from semideep_ext.cli._outputs import write_columns
    from semideep_ext.op.functional import distance_weights
    from semideep_ext.weighting.diagnostics import warn_if_degenerate
    from semideep_ext.weighting.normalisation import mean_one
    from semideep_ext.weighting.scales import resolve_lambda

    data = load(train, test, label, columns, drop, standardize)
    metric = settle_metric(data, metric)
    number = resolve_lambda(lambda_, data.X, data.X_test, metric)
    w = distance_weights(data.X, data.X_test, metric, number, kernel=kernel, log=normalize)
    w = mean_one(w) if normalize else w
    diagnostics = warn_if_degenerate(w, metric, kernel)
    if output is not None:
        write_columns(output, {"weight": w})

    facts: dict[str, Any] = {
        "metric": metric,
        "lambda": float(number) if kernel == "exponential" else None,
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
    decay = "" if facts["lambda"] is None else f", lambda {facts['lambda']:.6g}"
    rows = [
        ("rows", f"{facts['n']} towards {facts['m']}, {len(facts['features'])} features"),
        ("weights", f"{facts['metric']}, {facts['kernel']}{decay}"),
        ("effective rows", f"{d['effective_sample_size']:.1f} of {d['n']} (Kish)"),
        ("smallest, mean, largest", f"{d['min']:.4g}, {d['mean']:.4g}, {d['max']:.4g}"),
        ("share of the largest 1 %", f"{d['top_share']:.1%}"),
        ("problems", ", ".join(d["problems"]) or "none"),
        ("written to", facts["output"] or "no file (-o FILE writes one)"),
    ]
    show_table(("", ""), rows)
