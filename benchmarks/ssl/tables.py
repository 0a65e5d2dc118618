"""Tables and pictures of benchmarks/results/ssl.json: paired differences and their intervals."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import torch
from scipy import stats
from tasks import TASKS

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE, PICTURE = ROOT / "docs" / "methods_evidence.md", ROOT / "docs" / "ssl_moons.png"


def accuracies(runs: list[dict[str, Any]]) -> dict[tuple[str, bool], np.ndarray]:
    """By method and whether weighted: accuracy in per cent, by seed."""
    scores: dict[tuple[str, bool], dict[int, float]] = {}
    for run in runs:
        by_seed = scores.setdefault((run["method"], run["weighted"]), {})
        by_seed[run["seed"]] = 100 * run["accuracy"]
    return {key: np.array([by[s] for s in sorted(by)]) for key, by in scores.items()}


def paired(values: np.ndarray, reference: np.ndarray) -> str:
    """Mean difference and its 95 % interval; a star where it leaves 0 out."""
    differences = values - reference
    if np.ptp(differences) < 1e-9:
        return f"{differences.mean():+.1f}"
    low, high = stats.ttest_1samp(differences, 0).confidence_interval()
    star = "*" if low > 0 or high < 0 else ""
    return f"{differences.mean():+.1f} [{low:+.1f}, {high:+.1f}]{star}"


def table(runs: list[dict[str, Any]]) -> list[str]:
    """Make a Markdown table of one task: accuracy, differences to supervised training, cost."""
    scores = accuracies(runs)
    reference = scores["supervised", False]
    lines = [
        "| method | accuracy | against supervised | with weights, against supervised | ms a step |",
        "|---|---|---|---|---|",
    ]
    for method in dict.fromkeys(run["method"] for run in runs):
        alone, weighted = (scores.get((method, w)) for w in (False, True))
        first = "" if method == "supervised" else paired(alone, reference)
        second = "" if weighted is None else paired(weighted, reference)
        times = [r["milliseconds_a_step"] for r in runs if r["method"] == method]
        cost = f"{np.median(times):.1f}"
        cells = [method, f"{alone.mean():.1f}", first, second, cost]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def summary(found: dict[str, Any]) -> list[str]:
    """Make a Markdown table of all tasks: each method's difference to supervised training."""
    scores = {name: accuracies(measured["runs"]) for name, measured in found.items()}
    methods = dict.fromkeys(method for by in scores.values() for method, _ in by)
    lines = [
        "| method | " + " | ".join(TASKS[name].title for name in found) + " |",
        "|---|" + "---|" * len(found),
    ]
    for method in methods:
        cells = []
        for by in scores.values():
            own, reference = by[method, False], by["supervised", False]
            cells.append(f"{own.mean():.1f}" if own is reference else paired(own, reference))
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def page(found: dict[str, Any]) -> str:
    """Put the tables of all tasks on one page."""
    lines = [
        "# Semi-supervised methods against supervised training",
        "",
        "Accuracy on test rows in per cent, mean over seeds; paired differences with 95 % "
        "intervals (Student's t), a star where the interval leaves 0 out. Made by `make bench-ssl` "
        "(`benchmarks/ssl/run.py` says what was held equal) from `benchmarks/results/ssl.json`; "
        "no setting is a task's own. Where our defaults are not the paper's, for the reasons that "
        "stand in the method's documentation, the paper's settings (those of SCARF, too) are a row "
        'of their own, "published". Our defaults were chosen by looking at all tasks but two: '
        "digits with 25 a class and Fashion-MNIST show what they are worth elsewhere. Times are "
        "medians of trainings side by side on a shared machine: they compare within a table only, "
        "roughly.",
    ]
    lines += ["", "## All tasks", "", "Accuracy of supervised training, and differences to it:", ""]
    lines += summary(found)
    for name, measured in found.items():
        task = TASKS[name]
        lines += ["", f"## {task.title}", ""]
        facts = f"{task.unlabeled:,} rows without a label, {task.steps} steps"
        lines += [f"{facts}, {measured['seeds']} seeds, commit {measured['commit']}.", ""]
        lines += table(measured["runs"])
    return "\n".join(lines) + "\n"


def boundaries() -> Any:
    """Draw what each method makes of two moons, for the first seed."""
    from run import train

    from semideep_ext.plots._figure import OKABE_ITO, panels
    from semideep_ext.ssl.methods import METHODS

    task = TASKS["two-moons"]
    split = task.draw(0, None)
    names = [None, *METHODS]
    figure, drawn = panels(len(names), 5, (15, 8))
    low, high = split.X_unlabeled.min(0) - 0.3, split.X_unlabeled.max(0) + 0.3
    a, b = np.meshgrid(*(np.linspace(*edge, 150) for edge in zip(low, high, strict=True)))
    grid = np.stack([a.ravel(), b.ravel()], 1).astype(np.float32)
    for axes, name in zip(drawn, names, strict=True):
        torch.manual_seed(0)
        trainer = train(task, split, 0, name, False)
        trainer.train()
        p = trainer.predict_proba(grid)[:, 1].reshape(a.shape)
        axes.contourf(a, b, p, levels=20, cmap="RdBu_r", alpha=0.5, vmin=0, vmax=1)
        axes.contour(a, b, p, levels=[0.5], colors="black", linewidths=1)
        axes.scatter(*split.X_unlabeled.T, s=2, color="grey")
        for k, colour in ((0, OKABE_ITO[0]), (1, OKABE_ITO[1])):
            rows = split.X[split.y == k]
            axes.scatter(*rows.T, s=40, color=colour, edgecolor="black", zorder=3)
        accuracy = trainer.evaluate(split.X_test, split.y_test)["accuracy"]
        axes.set_title(f"{name or 'supervised'}: {100 * accuracy:.1f} %", fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


if __name__ == "__main__":
    from run import RESULTS

    PAGE.write_text(page(json.loads(RESULTS.read_text())))
    boundaries().savefig(PICTURE, dpi=90)
