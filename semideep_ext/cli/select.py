"""`semideep select`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semideep_ext.cli import _options as o
from semideep_ext.cli import _parsers as p
from semideep_ext.cli._console import print_json, show_table, wants_progress

if TYPE_CHECKING:
    import numpy as np

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
    hidden: o.Hidden = "16",
    epochs: o.Epochs = 50,
    learning_rate: o.LearningRate = 0.001,
    batch_size: o.BatchSize = 32,
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
    import numpy as np

    from semideep_ext.cli._data import advise_scaling, load
    from semideep_ext.cli._models import make_estimator, make_mlp
    from semideep_ext.cli._outputs import write_columns
    from semideep_ext.estimators.selection import select_best_distance_metric

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
    found = select_best_distance_metric(
        chosen,
        data.X,
        data.labels,
        data.X_test,
        metrics,
        lambdas,
        cv,
        wants_progress(progress),
        scoring=scoring,
        importance_weighted=importance_weighted,
        random_state=seed,
        **options,
    )
    if plot is not None:
        _draw(found.table, plot)
    if output is not None:
        names = ("metric", "lambda_given", "lambda_", "mean", "standard_error", "effective_share")
        write_columns(output, {n: _column(found.table, n) for n in names})
    if as_json:
        print_json(
            {
                "metric": found.metric,
                "lambda": found.lambda_,
                "score": found.score,
                "unweighted": found.unweighted,
                "table": found.table,
                **data.facts(),
            }
        )
    else:
        _show(found)


def _column(table: list[dict[str, Any]], name: str) -> np.ndarray:
    import numpy as np

    values = [row[name] for row in table]
    return np.array([str(v) for v in values] if name == "lambda_given" else values)


def _draw(table: list[dict[str, Any]], path: str) -> None:
    from semideep_ext._files import write_atomically
    from semideep_ext.plots import plot_selection

    figure = plot_selection(table)
    write_atomically(path, lambda f: figure.savefig(f, format="png", dpi=120))


def _show(found: Any) -> None:
    rows = [
        (
            row["metric"],
            str(row["lambda_given"]),
            row["mean"],
            row["standard_error"],
            f"{row['effective_share']:.1%}",
            ", ".join(row["problems"]),
        )
        for row in found.table
    ]
    none = found.unweighted
    rows.append(("unweighted", "", none["mean"], none["standard_error"], "100.0%", ""))
    show_table(("metric", "lambda", "score", "std. error", "effective", "problems"), rows)
    print(f"best: {found.metric}, lambda {found.lambda_:.6g}, score {found.score:.4f}")
