"""`semideep train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from semideep_ext.cli import _options as o
from semideep_ext.cli import _parsers as p
from semideep_ext.cli._console import print_json, say, show_table
from semideep_ext.cli._extras import require_networks, require_writer, wants_progress
from semideep_ext.cli._summary import decay, effective_rows, sizes
from semideep_ext.ssl.methods import METHODS
from semideep_ext.weighting.defaults import BATCH_SIZE, EPOCHS, LEARNING_RATE
from semideep_ext.weighting.weightings import UNWEIGHTED, WEIGHTINGS

EXAMPLES = """\b
Examples:
  semideep train train.csv test.csv --label diagnosis --standardize --predictions predicted.csv
  semideep train train.csv test.csv --label y --epochs 200 --checkpoint run.safetensors --resume
  semideep train half_labelled.csv test.csv --label y --standardize --method vat
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
            metavar="|".join(WEIGHTINGS),
            callback=p.one_of(WEIGHTINGS),
            help="; ".join(f"{name}: {w.title}" for name, w in WEIGHTINGS.items()) + ".",
        ),
    ] = "distance",
    metric: o.Metric = "euclidean",
    lambda_: o.Lambda = o.DEFAULT_LAMBDA,
    normalize: Annotated[
        bool,
        typer.Option("--normalize/--no-normalize", help="Divide the weights by their mean."),
    ] = True,
    standardize: o.Standardize = False,
    columns: o.Columns = None,
    drop: o.Drop = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=p.one_of(METHODS),
            help="mlp: learn from unlabelled rows, too: those of TRAIN whose cell of the label is "
            f"empty, else the test rows. One of {', '.join(METHODS)}.",
        ),
    ] = None,
    hidden: o.Hidden = o.DEFAULT_HIDDEN,
    epochs: o.Epochs = EPOCHS,
    learning_rate: o.LearningRate = LEARNING_RATE,
    batch_size: o.BatchSize = BATCH_SIZE,
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
    The same model is trained without weights then, and its scores stand beside; with --method also
    those of the model trained without the method, on the same labelled batches.
    """
    outputs = {"--predictions": predictions, "--checkpoint": checkpoint}
    p.check_outputs([train, test], outputs, as_json)
    _check_checkpoint(model, checkpoint, resume)
    if method is not None and model != "mlp":
        raise typer.BadParameter("it needs --model mlp", param_hint="--method")
    show_progress = wants_progress(progress)
    require_writer("--predictions", predictions)
    if model == "mlp":
        require_networks("--model mlp")
    from semideep_ext.cli._data import (
        advise_on_test_rows,
        advise_on_unlabelled_rows,
        load,
        settle_metric,
    )
    from semideep_ext.cli._fits import Settings, fit, score
    from semideep_ext.cli._outputs import write_columns
    from semideep_ext.weighting.scales import resolve_lambda

    data = load(train, test, label, columns, drop, standardize, task, True, method)
    advise_on_test_rows(data)
    if weights != UNWEIGHTED:
        metric = settle_metric(data, metric)
        lambda_ = float(resolve_lambda(lambda_, data.X, data.resembled, metric))
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
        show_progress,
        method,
    )
    if method is not None:
        advise_on_unlabelled_rows(data, train)
    fitted = fit(data, settings)
    if predictions is not None:
        write_columns(predictions, fitted.columns())
    scores, unweighted = score(data, fitted, task), None
    supervised = None if fitted.supervised is None else score(data, fitted.supervised, task)
    if scores is not None and weights != UNWEIGHTED:
        unweighted = score(data, fit(data, settings.unweighted()), task)
    if scores is not None and scores.get("r2", 0.0) < 0:
        say(f"note: r2 {scores['r2']:.3g} is below 0: the mean of the test labels is nearer")
    found = {
        "model": model,
        "task": task,
        "weights": weights,
        "metric": None if weights == UNWEIGHTED else metric,
        "lambda": lambda_ if WEIGHTINGS[weights].kernel == "exponential" else None,
        "diagnostics": fitted.diagnostics(),
        "scores": scores,
        "unweighted": unweighted,
        "method": method,
        "supervised": supervised,
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


def _show(found: dict[str, Any]) -> None:
    d, scores, unweighted = found["diagnostics"], found["scores"], found["unweighted"]
    rows = [sizes(found)]
    if found["method"] is not None:
        rows.append(("method", found["method"]))
    if d is None:
        rows.append(("weights", "none"))
    else:
        rows.append(("weights", f"{found['weights']}, {found['metric']}{decay(found['lambda'])}"))
        effective = effective_rows(d["effective_sample_size"], d["n"])
        rows.append(("effective rows", f"{effective} (Kish)"))
    if found["history"]:
        rows.append(("last training loss", f"{found['history']['train_loss'][-1]:.4g}"))
    rows += [(k, found[k]) for k in ("predictions", "checkpoint") if found[k]]
    if scores is None:
        rows.append(("scores", "none: the test rows have no labels that can be scored by"))
    show_table(("", ""), rows)
    if scores is not None:
        own = "unweighted" if d is None else "weighted"
        columns = {own: scores}
        if found["method"] is not None:
            columns = {found["method"]: scores, "supervised": found["supervised"]}
        if d is not None:
            columns["unweighted"] = unweighted
        lines = [(name, *(column[name] for column in columns.values())) for name in scores]
        show_table(("score", *columns), lines)
