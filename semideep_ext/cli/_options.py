"""Options that several commands share: one place for their names and help."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from semideep_ext.cli import _parsers as p
from semideep_ext.cli._models import MODELS, TASKS
from semideep_ext.op.metrics import METRICS
from semideep_ext.weighting.defaults import HIDDEN, LAMBDAS, SELECTED_METRICS

# Suffixes of outputs, "-" for stdout: those that hold columns of any kind, and all.
COLUMNS = (".csv", ".tsv", ".parquet", "-")
ARRAYS = (".npy", ".npz", *COLUMNS)
ROWS = ".csv, .tsv, .parquet, .npy or .npz"
DEFAULT_METRICS = ",".join(SELECTED_METRICS)
DEFAULT_LAMBDAS = ",".join(map(str, LAMBDAS))
DEFAULT_LAMBDA = "median"  # of any data some rows are near, as with no number
DEFAULT_HIDDEN = ",".join(map(str, HIDDEN))

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
        callback=p.one_of((*METRICS, "auto")),
        help="Distance; auto chooses by the kind of data.",
    ),
]
Lambda = Annotated[
    Any,
    typer.Option(
        "--lambda",
        metavar="NUMBER|median",
        parser=p.parse_lambda,
        help="Decay of the weights; median is 1 / (median distance).",
    ),
]
Metrics = Annotated[
    Any,
    typer.Option(
        "--metrics", metavar="LIST", parser=p.many_of(METRICS), help="Metrics, separated by commas."
    ),
]
Lambdas = Annotated[
    Any,
    typer.Option(
        "--lambdas", metavar="LIST", parser=p.parse_lambdas, help="Decays, separated by commas."
    ),
]
Model = Annotated[str, typer.Option("--model", metavar="|".join(MODELS), callback=p.one_of(MODELS))]
Task = Annotated[str, typer.Option("--task", metavar="|".join(TASKS), callback=p.one_of(TASKS))]
Hidden = Annotated[
    Any,
    typer.Option(
        "--hidden", metavar="LIST", parser=p.parse_hidden, help="mlp: widths of the hidden layers."
    ),
]
Epochs = Annotated[
    int,
    typer.Option(
        "--epochs", parser=p.at_least(1), metavar="INTEGER", help="mlp: passes over the rows."
    ),
]
LearningRate = Annotated[
    Any,
    typer.Option(
        "--learning-rate", parser=p.parse_positive, metavar="NUMBER", help="mlp: of Adam."
    ),
]
BatchSize = Annotated[
    int,
    typer.Option("--batch-size", parser=p.at_least(1), metavar="INTEGER", help="mlp: rows a step."),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        callback=p.check_device,
        help="mlp: cpu or cuda. Default: cuda where there is one.",
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", parser=p.at_least(0), metavar="INTEGER", help="Of all that is random."),
]
OutputDir = Annotated[
    str, typer.Option("--output-dir", callback=p.check_folder, help="A folder; made if missing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Progress = Annotated[
    bool | None,
    typer.Option(
        "--progress/--no-progress", help="Progress bar on stderr. Default: if it is a terminal."
    ),
]
