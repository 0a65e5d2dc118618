"""Finished experiments: their rows, pictures and report, in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from semideep_ext._files import write_atomically
from semideep_ext.experiments.arguments import check_report_packages
from semideep_ext.experiments.comparison import Experiment
from semideep_ext.experiments.report import render_html, render_markdown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Results:
    """What `ExperimentRunner` can do with experiments once they are run.

    Parameters
    ----------
    output_dir : path-like
        Made if missing.
    """

    def __init__(self, output_dir: str | os.PathLike[str]) -> None:
        self.output_dir = Path(output_dir)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self._experiments: dict[str, Experiment] = {}

    @property
    def results(self) -> list[dict[str, Any]]:
        """Rows of all experiments so far."""
        return [row for experiment in self._experiments.values() for row in experiment.rows]

    def plot_metric_comparison(
        self, metric: str = "f1", figsize: tuple[float, float] = (12, 8)
    ) -> Figure:
        """Draw a score by dataset and method; also in METRIC_comparison.png.

        Parameters
        ----------
        metric : str, default "f1"
        figsize : (float, float), default (12, 8)
            Width and height in inches.

        Raises
        ------
        ValueError
            Before the first experiment, or for an unknown metric.
        """
        from semideep_ext.plots import plot_metric_comparison

        figure = plot_metric_comparison(_table(self._existing()), metric, figsize)
        return self._save_figure(f"{metric}_comparison.png", figure)

    def plot_test_size_impact(
        self, dataset_name: str, metric: str = "f1", figsize: tuple[float, float] = (10, 6)
    ) -> Figure:
        """Draw a score against the share of test rows; also in NAME_METRIC_vs_testsize.png.

        Parameters
        ----------
        dataset_name : str
            As given to `run_test_size_experiment`.
        metric : str, default "f1"
        figsize : (float, float), default (10, 6)
            Width and height in inches.

        Raises
        ------
        ValueError
            For a dataset without experiments, or an unknown metric.
        """
        from semideep_ext.plots import plot_test_size_impact

        own = [e for e in self._existing() if dataset_name in (e.family, e.name)]
        if not own:
            known = ", ".join(sorted({repr(e.family) for e in self._existing()}))
            raise ValueError(f"no experiment of dataset {dataset_name!r}; there are {known}")
        figure = plot_test_size_impact(_table(own), metric, figsize)
        return self._save_figure(f"{dataset_name}_{metric}_vs_testsize.png", figure)

    def generate_report(self) -> str:
        """Report all experiments so far, in experiment_report.md and experiment_report.html.

        Returns
        -------
        str
            The report in Markdown. The HTML page holds its pictures and needs no other file.

        Raises
        ------
        ImportError
            If jinja2 or matplotlib is missing: `check_report_packages` tells beforehand.
        """
        if not self._experiments:
            return "No results to report. Run experiments first."
        check_report_packages()
        experiments = self._existing()
        text = render_markdown(experiments)
        self._save_text("experiment_report.md", text)
        self._save_text("experiment_report.html", render_html(experiments))
        return text

    def _existing(self) -> list[Experiment]:
        if not self._experiments:
            raise ValueError("no results yet: call run_dataset_experiment first")
        return list(self._experiments.values())

    def _save_table(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        self._save_text(name, table.to_csv(index=False))
        return table

    def _save_figure(self, name: str, figure: Figure) -> Figure:
        self._save(name, lambda f: figure.savefig(f, format="png", dpi=100))
        return figure

    def _save_text(self, name: str, text: str) -> None:
        self._save(name, lambda f: f.write(text.encode()))

    def _save(self, name: str, write: Callable[[IO[bytes]], Any]) -> None:
        write_atomically(self.output_dir / name, write)


def _table(experiments: list[Experiment]) -> list[dict[str, Any]]:
    return [row for experiment in experiments for row in experiment.table]
