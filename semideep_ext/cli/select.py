"""`semideep select`."""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semideep_ext.cli import _options as o
from semideep_ext.cli import _parsers as p
from semideep_ext.cli._console import print_json, say, show_table
from semideep_ext.cli._extras import require_networks, require_writer, wants_progress
from semideep_ext.cli._summary import effective_rows
from semideep_ext.weighting.defaults import BATCH_SIZE, EPOCHS, LEARNING_RATE

if TYPE_CHECKING:
    import numpy as np

WRITTEN = (
    "metric",
    "lambda_given",
    "lambda_",
    "mean",
    "standard_error",
    "effective_share",
    "effective_rows",
)
EXAMPLES = """\b
Examples:
  semideep select train.csv test.csv --label diagnosis --standardize
  semideep select train.csv test.csv --label y --metrics euclidean,cosine --lambdas 0.5,median \\
    --model mlp --epochs 20 --plot scores.png -o scores.csv"""


def _check_scoring(name: str | None) -> str | None:
    if name is None:
        return None
    from sklearn.metrics import get_scorer_names

    return p.one_of(get_scorer_names())(name)


def select(
    train: o.Train,
    test: o.Test,
    label: o.Label,
    metrics: o.Metrics = o.DEFAULT_METRICS,
    lambdas: o.Lambdas = o.DEFAULT_LAMBDAS,
    model: o.Model = "linear",
    task: o.Task = "classification",
    cv: Annotated[int, typer.Option(parser=p.at_least(2), metavar="INTEGER", help="Folds.")] = 3,
    scoring: Annotated[
        str | None,
        typer.Option(callback=_check_scoring, help="A scorer of scikit-learn. Default: f1, or r2."),
    ] = None,
    importance_weighted: Annotated[
        bool,
        typer.Option("--importance-weighted", help="Weigh scores by the ratio of densities."),
    ] = False,
    standardize: o.Standardize = False,
    columns: o.Columns = None,
    drop: o.Drop = None,
    hidden: o.Hidden = o.DEFAULT_HIDDEN,
    epochs: o.Epochs = EPOCHS,
    learning_rate: o.LearningRate = LEARNING_RATE,
    batch_size: o.BatchSize = BATCH_SIZE,
    device: o.Device = None,
    seed: o.Seed = 0,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", callback=p.output_file(".png"), help="Heat map: a .png file."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            callback=p.output_file(*o.COLUMNS[:-1]),
            help="The table as a file.",
        ),
    ] = None,
    progress: o.Progress = None,
    as_json: o.Json = False,
) -> None:
    """Choose metric and lambda by cross-validation.

    Only training rows are scored; labels of the test rows are not used.
    """
    p.check_outputs([train, test], {"--output": output, "--plot": plot}, as_json)
    if model == "mlp" and task == "regression":
        raise typer.BadParameter(
            "mlp is for classification here: choose another", param_hint="--model"
        )
    show_progress = wants_progress(progress)
    require_writer("--output", output)
    require_writer("--plot", plot)
    if model == "mlp":
        require_networks("--model mlp")
    import numpy as np

    from semideep_ext.cli._data import advise_scaling, load
    from semideep_ext.cli._models import make_estimator, make_mlp
    from semideep_ext.cli._outputs import write_columns
    from semideep_ext.estimators.selection import select_best_distance_metric
    from semideep_ext.weighting.diagnostics import WeightsWarning

    data = load(train, test, label, columns, drop, standardize, task)
    advise_scaling(data, metrics)
    options: dict[str, Any] = {}
    if model == "mlp":
        classes = len(np.unique(data.labels))
        chosen: Any = functools.partial(make_mlp, data.X.shape[1], hidden, classes)
        options = {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size}
        options["device"] = device
    else:
        chosen = make_estimator(model, task, seed)
    with warnings.catch_warnings():
        # The sentence says so, beside the table.
        warnings.filterwarnings("ignore", "no weighting is shown better", WeightsWarning)
        found = select_best_distance_metric(
            chosen,
            data.X,
            data.labels,
            data.resembled,
            metrics,
            lambdas,
            cv,
            show_progress,
            scoring=scoring,
            importance_weighted=importance_weighted,
            random_state=seed,
            **options,
        )
    n = len(data.X)
    table = [{**row, "effective_rows": row["effective_share"] * n} for row in found.table]
    _warn_of_collapsed(table)
    if as_json:
        print_json(
            {
                "metric": found.metric,
                "lambda": found.lambda_,
                "score": found.score,
                "weighting": found.weighting,
                "sentence": found.sentence,
                "unweighted": found.unweighted,
                "table": table,
                **data.facts(),
            }
        )
    else:
        _show(found, table, n)
    if output is not None:
        write_columns(output, {name: _column(table, name) for name in WRITTEN})
    if plot is not None:
        _draw(table, plot)


def _warn_of_collapsed(table: list[dict[str, Any]]) -> None:
    collapsed = [row for row in table if "collapsed" in row["problems"]]
    if collapsed:
        say(
            f"warning: with {len(collapsed)} of {len(table)} pairs of metric and lambda, the "
            "weights amount to less than a tenth of the rows (Kish): --lambdas median fits the "
            "distances, as smaller numbers may"
        )


def _column(table: list[dict[str, Any]], name: str) -> np.ndarray:
    import numpy as np

    values = [row[name] for row in table]
    return np.array([str(v) for v in values] if name == "lambda_given" else values)


def _draw(table: list[dict[str, Any]], path: str) -> None:
    from semideep_ext._files import write_atomically
    from semideep_ext.plots import plot_selection

    figure = plot_selection(table)
    write_atomically(path, lambda f: figure.savefig(f, format="png", dpi=120))


def _show(found: Any, table: list[dict[str, Any]], n: int) -> None:
    rows = [
        (
            row["metric"],
            str(row["lambda_given"]),
            row["mean"],
            row["standard_error"],
            f"{row['difference']:+.4f}",
            effective_rows(row["effective_rows"], n),
            ", ".join(row["problems"]),
        )
        for row in table
    ]
    none = found.unweighted
    all_rows = effective_rows(n, n)
    rows.append(("unweighted", "", none["mean"], none["standard_error"], "", all_rows, ""))
    header = ("metric", "lambda", found.scoring, "std. error", "difference", "effective rows")
    show_table((*header, "problems"), rows)
    print(found.sentence)
