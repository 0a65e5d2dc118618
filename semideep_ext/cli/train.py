"""`semideep train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semideep_ext.cli import _options as o
from semideep_ext.cli import _parsers as p
from semideep_ext.cli._console import print_json, show_table, wants_progress

if TYPE_CHECKING:
    import numpy as np

    from semideep_ext.cli._data import Data
    from semideep_ext.cli._fits import Fit

WEIGHTS = ("distance", "idw", "none")
EXAMPLES = """\b
Examples:
  semideep train train.csv test.csv --label diagnosis --standardize --predictions predicted.csv
  semideep train train.csv test.csv --label y --epochs 200 --checkpoint run.safetensors --resume
  semideep train train.csv test.csv --label price --task regression --model boosting --json"""


def train(
    train: o.Train,
    test: o.Test,
    label: o.Label,
    model: o.Model = "mlp",
    task: o.Task = "classification",
    weights: Annotated[
        str,
        typer.Option(
            metavar="|".join(WEIGHTS),
            callback=p.one_of(WEIGHTS),
            help="Of the formula; 1/(d + 0.001); or unweighted.",
        ),
    ] = "distance",
    metric: o.Metric = "euclidean",
    lambda_: o.Lambda = "0.8",
    normalize: Annotated[
        bool,
        typer.Option("--normalize/--no-normalize", help="Divide the weights by their mean."),
    ] = True,
    standardize: o.Standardize = False,
    columns: o.Columns = None,
    drop: o.Drop = None,
    hidden: o.Hidden = "16",
    epochs: o.Epochs = 100,
    learning_rate: o.LearningRate = 0.001,
    batch_size: o.BatchSize = 32,
    device: o.Device = None,
    seed: o.Seed = 0,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            callback=p.output_file(".safetensors", ".joblib"),
            help="The trained model. mlp: .safetensors, after every epoch; others: .joblib.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="mlp: go on from the checkpoint, if there is one.")
    ] = False,
    predictions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            callback=p.output_file(*o.COLUMNS),
            help=f"For the test rows: {', '.join(o.COLUMNS[:-1])}, or - for CSV on stdout.",
        ),
    ] = None,
    progress: o.Progress = None,
    as_json: o.Json = False,
) -> None:
    """Train on weighted rows; predict and score test rows.

    Scores are given if the test rows have the column of the labels, too. It is read for them only.
    """
    from semideep_ext.cli._data import load, settle_metric
    from semideep_ext.cli._fits import Settings, fit
    from semideep_ext.cli._outputs import write_columns

    p.check_outputs(
        [train, test], {"--predictions": predictions, "--checkpoint": checkpoint}, as_json
    )
    _check_checkpoint(model, checkpoint, resume)
    data = load(train, test, label, columns, drop, standardize, task)
    if weights != "none":
        metric = settle_metric(data, metric)
    settings = Settings(
        model,
        task,
        weights,
        metric,
        lambda_,
        normalize,
        hidden,
        epochs,
        learning_rate,
        batch_size,
        device,
        seed,
        checkpoint,
        resume,
        wants_progress(progress),
    )
    fitted = fit(data, settings)
    if predictions is not None:
        write_columns(predictions, _prediction_columns(fitted))
    found = {
        "model": model,
        "task": task,
        "weights": weights,
        "metric": None if weights == "none" else metric,
        "diagnostics": _diagnostics(fitted),
        "scores": _scores(data, fitted, task, f"{test}, column {label!r}"),
        "history": fitted.history,
        "predictions": predictions,
        "checkpoint": checkpoint,
        **data.facts(),
    }
    if as_json:
        print_json(found)
    elif predictions != "-":
        _show(found)


def _check_checkpoint(model: str, checkpoint: str | None, resume: bool) -> None:
    suffix = ".safetensors" if model == "mlp" else ".joblib"
    if checkpoint is not None and Path(checkpoint).suffix.lower() != suffix:
        raise typer.BadParameter(
            f"{checkpoint!r}: for --model {model} the suffix is {suffix}", param_hint="--checkpoint"
        )
    if resume and (checkpoint is None or model != "mlp"):
        raise typer.BadParameter("it needs --model mlp and --checkpoint", param_hint="--resume")


def _prediction_columns(fitted: Fit) -> dict[str, np.ndarray]:
    columns = {"prediction": fitted.predictions}
    if fitted.probabilities is not None and fitted.classes is not None:
        for label, p in zip(fitted.classes.tolist(), fitted.probabilities.T, strict=True):
            columns[f"probability_{label}"] = p
    return columns


def _scores(data: Data, fitted: Fit, task: str, name: str) -> dict[str, float] | None:
    """Score by the test rows' labels, as `WeightedTrainer.evaluate` does."""
    if data.y_test is None:
        return None
    from semideep_ext.training.tasks import make_task

    scorer = make_task(task, data.labels, len(data.X), None)
    targets = scorer.targets(data.y_test, len(data.X_test), name).numpy()
    p = fitted.predictions if fitted.probabilities is None else fitted.probabilities
    return scorer.scores(targets, p)


def _diagnostics(fitted: Fit) -> dict[str, Any] | None:
    from semideep_ext.weighting.diagnostics import diagnose_weights

    w = fitted.sample_weights
    return None if w is None else dataclasses.asdict(diagnose_weights(w))


def _show(found: dict[str, Any]) -> None:
    d, scores = found["diagnostics"], found["scores"]
    rows = [("rows", f"{found['n']} towards {found['m']}, {len(found['features'])} features")]
    if d is None:
        rows.append(("weights", "none"))
    else:
        rows.append(("weights", f"{found['weights']}, {found['metric']}"))
        rows.append(("effective rows", f"{d['effective_sample_size']:.1f} of {d['n']} (Kish)"))
    if found["history"]:
        rows.append(("last training loss", f"{found['history']['train_loss'][-1]:.4g}"))
    rows += [(name, f"{value:.4f}") for name, value in (scores or {}).items()]
    if scores is None:
        rows.append(("scores", "none: the test rows have no labels"))
    rows += [(k, found[k]) for k in ("predictions", "checkpoint") if found[k]]
    show_table(("", ""), rows)
