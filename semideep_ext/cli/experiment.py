"""`semideep experiment`."""

from __future__ import annotations

import functools
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semideep_ext.cli import _options as o
from semideep_ext.cli import _parsers as p
from semideep_ext.cli._console import print_json, show_table
from semideep_ext.cli._extras import require, require_networks, wants_progress
from semideep_ext.cli._models import make_mlp
from semideep_ext.cli._summary import effective_rows
from semideep_ext.weighting.defaults import BATCH_SIZE, EPOCHS, LEARNING_RATE, TEST_SIZES

if TYPE_CHECKING:
    import numpy as np

SCORES = ("accuracy", "f1", "auc")
EXAMPLES = """\b
Examples:
  semideep experiment --dataset breast_cancer --test-sizes --report
  semideep experiment --dataset rows.csv --label y --test-size 0.5 --seeds 10 --jobs -1"""


def experiment(
    dataset: Annotated[
        str,
        typer.Option(
            help=f"breast_cancer, digits, iris or wine; or a file of labelled rows: {o.ROWS}."
        ),
    ],
    label: o.MaybeLabel = None,
    columns: o.Columns = None,
    drop: o.Drop = None,
    test_size: Annotated[
        list[float] | None,
        typer.Option(help="Share of test rows; may be given several times. Default: 0.2."),
    ] = None,
    test_sizes: Annotated[
        bool, typer.Option("--test-sizes", help=f"Short for the shares {TEST_SIZES}.")
    ] = False,
    seeds: Annotated[
        int,
        typer.Option(
            parser=p.at_least(1), metavar="INTEGER", help="Splits; an interval needs two."
        ),
    ] = 5,
    epochs: o.Epochs = EPOCHS,
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose metric and lambda on training rows.")
    ] = False,
    metrics: o.Metrics = o.DEFAULT_METRICS,
    lambdas: o.Lambdas = o.DEFAULT_LAMBDAS,
    hidden: o.Hidden = o.DEFAULT_HIDDEN,
    learning_rate: o.LearningRate = LEARNING_RATE,
    batch_size: o.BatchSize = BATCH_SIZE,
    device: o.Device = None,
    seed: Annotated[
        int, typer.Option(parser=p.at_least(0), metavar="INTEGER", help="Of the first split.")
    ] = 42,
    jobs: Annotated[
        int,
        typer.Option(parser=p.parse_jobs, metavar="INTEGER", help="Processes; -1 is one per core."),
    ] = 1,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Take finished runs from the folder.")
    ] = True,
    output_dir: o.OutputDir = "results",
    report: Annotated[
        bool, typer.Option("--report", help="Write experiment_report.md and .html there.")
    ] = False,
    progress: o.Progress = None,
    as_json: o.Json = False,
) -> None:
    """Compare weightings over several splits.

    Networks are trained unweighted, with distance weights and with inverse distances: on the same
    splits, from the same parameters, on features scaled by the training rows. What is chosen is
    chosen on training rows.
    """
    if test_sizes and test_size:
        raise typer.BadParameter("give --test-size or --test-sizes", param_hint="--test-sizes")
    shares = list(TEST_SIZES) if test_sizes else list(dict.fromkeys(test_size or [0.2]))
    if not all(0 < share < 1 for share in shares):
        raise typer.BadParameter(f"{shares}: give shares between 0 and 1", param_hint="--test-size")
    show_progress = wants_progress(progress)
    require("this command", "experiment", "pandas", *(["joblib"] if jobs != 1 else []))
    if report:
        require("--report", "experiment", "jinja2", "matplotlib.figure", "scipy.stats")
    require_networks()
    import numpy as np

    from semideep_ext.experiments.experiment import ExperimentRunner
    from semideep_ext.weighting.diagnostics import WeightsWarning

    X, y, name = _rows(dataset, label, columns, drop)
    runner = ExperimentRunner(
        functools.partial(make_mlp, X.shape[1], hidden, len(np.unique(y))),
        metrics,
        lambdas,
        shares,
        seed,
        device,
        output_dir,
        n_seeds=seeds,
        n_jobs=jobs,
        resume=resume,
    )
    options: dict[str, Any] = {
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "epochs": epochs,
        "tune_hyperparams": tune,
        "verbose": show_progress,
    }
    if len(shares) > 1:
        table = runner.run_test_size_experiment(X, y, name, **options)
    else:
        table = runner.run_dataset_experiment(X, y, name, test_size=shares[0], **options)
    for note in runner.notes:
        warnings.warn(note, WeightsWarning, stacklevel=1)
    table["effective_rows"] = table["effective_share"] * table["n_train"]
    written = str(Path(output_dir, "experiment_report.html")) if report else None
    if as_json:
        rows = table.to_dict("records")
        print_json({"dataset": name, "output_dir": output_dir, "report": written, "runs": rows})
    else:
        _show(table, output_dir, written)
    if report:
        runner.generate_report()


def _rows(
    dataset: str, label: str | None, columns: list[str] | None, drop: list[str] | None
) -> tuple[np.ndarray, np.ndarray, str]:
    from semideep_ext.cli._data import load_labelled
    from semideep_ext.experiments.datasets import DATASETS, load_dataset

    if dataset in DATASETS:
        if label or columns or drop:
            raise typer.BadParameter(
                f"--label, --columns and --drop are for files, not for {dataset}",
                param_hint="--dataset",
            )
        return *load_dataset(dataset), dataset
    if not os.path.splitext(dataset)[1]:
        raise typer.BadParameter(
            f"{dataset!r} is neither one of {', '.join(DATASETS)} nor a file {o.ROWS}",
            param_hint="--dataset",
        )
    if label is None:
        raise typer.BadParameter("a file of rows needs it", param_hint="--label")
    return *load_labelled(dataset, label, columns, drop), Path(dataset).stem


def _show(table: Any, output_dir: str, written: str | None) -> None:
    """Means over seeds; whether they differ is for the report to say."""
    shown = [*SCORES, "effective_rows", "n_train"]
    means = table.groupby(["dataset", "weight_type"], sort=False)[shown].mean()
    rows = [
        (*index, *map(float, scores), effective_rows(effective, round(n)))
        for index, (*scores, effective, n) in zip(means.index, means.to_numpy(), strict=True)
    ]
    header = ("dataset", "weights", *SCORES, "effective rows")
    show_table(header, rows, "means over splits")
    end = written or "(--report says which differences are shown, with intervals)"
    print(f"written to {output_dir}; report: {end}")
