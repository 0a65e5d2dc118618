"""Compare weightings on a dataset: several splits, paired differences, a report that follows them.

`ExperimentRunner` trains unweighted, with distance weights and with inverse distances, on the same
splits, from the same parameters, on the same batches. What is chosen is chosen on training rows.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from semideep_ext.estimators.seeds import seed_of
from semideep_ext.experiments.arguments import (
    as_list,
    check_counts,
    check_factory,
    check_lists,
    name_data,
    read_data,
    require,
)
from semideep_ext.experiments.plan import Plan, result_row, run_plan
from semideep_ext.experiments.results import Results
from semideep_ext.experiments.runs import fit_and_score
from semideep_ext.experiments.splits import Split
from semideep_ext.experiments.sweep import run_all
from semideep_ext.weighting.defaults import LAMBDAS, SELECTED_METRICS, TEST_SIZES

if TYPE_CHECKING:
    import pandas as pd


class ExperimentRunner(Results):
    """Compare unweighted, distance-weighted and inverse-distance-weighted training.

    Parameters
    ----------
    model_factory : callable
        Takes nothing and returns a new nn.Module.
    distance_metrics : list of str, optional
        Metrics to choose from when tuning. Default euclidean, cosine, hamming and jaccard.
    lambda_values : list of float or "median", optional
        Values to choose from when tuning. Default 0.5, 0.7, 0.8, 0.9 and 1.0.
    test_sizes : list of float, optional
        Shares of test rows for `run_test_size_experiment`. Default 0.1, 0.5 and 0.9.
    random_state : int, RandomState or None, default 42
        Seed of the first split; the others count on from it. None draws one, which the manifest
        names.
    device : str or torch.device, optional
        Default "cuda" if available, else "cpu".
    output_dir : path-like, default "./results"
        Made if missing. Each dataset gets NAME_results.csv, NAME_runs.jsonl and NAME_manifest.json.
    n_seeds : int, default 1
        Splits, each with a seed of its own for split, parameters and batches. An interval needs at
        least 2; 10 is usual.
    n_jobs : int, default 1
        Processes side by side, as in joblib: -1 is one per core. Each run has one thread, and its
        bits are the same for any n_jobs.
    resume : bool, default True
        Take finished runs from NAME_runs.jsonl, where data, model, settings, versions and seed are
        the same. False does them again.
    cv : int, default 3
        Folds of the cross-validation over training rows when tuning.
    scale : bool, default True
        Standardise features, by mean and deviation of the training rows.

    Attributes
    ----------
    results : list of dict
        Rows of all experiments so far. An experiment of the same name replaces its rows.

    Raises
    ------
    ValueError
        For settings that are out of range, or an unknown metric.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> runner = ExperimentRunner(lambda: nn.Linear(4, 3), output_dir=folder.name, n_seeds=2)
    >>> table = runner.run_dataset_experiment(
    ...     "iris", epochs=1, tune_hyperparams=False, verbose=False
    ... )
    >>> table[["weight_type", "seed"]].values.tolist()[:3]
    [['none', 42], ['distance', 42], ['idw', 42]]
    >>> print(runner.generate_report().splitlines()[0])
    # Experiment Summary Report
    >>> folder.cleanup()
    """

    def __init__(
        self,
        model_factory: Callable[[], nn.Module],
        distance_metrics: Sequence[str] | None = None,
        lambda_values: Sequence[float | str] | None = None,
        test_sizes: Sequence[float] | None = None,
        random_state: Any = 42,
        device: str | torch.device | None = None,
        output_dir: str | os.PathLike[str] = "./results",
        *,
        n_seeds: int = 1,
        n_jobs: int = 1,
        resume: bool = True,
        cv: int = 3,
        scale: bool = True,
    ) -> None:
        check_factory(model_factory)
        self.model_factory = model_factory
        self.distance_metrics = as_list("distance_metrics", distance_metrics, SELECTED_METRICS)
        self.lambda_values = as_list("lambda_values", lambda_values, LAMBDAS)
        self.test_sizes = as_list("test_sizes", test_sizes, TEST_SIZES)
        check_lists(self.distance_metrics, self.lambda_values, self.test_sizes)
        check_counts(n_seeds, n_jobs, cv)
        self.random_state = seed_of(random_state)
        self.n_seeds, self.n_jobs, self.cv = int(n_seeds), int(n_jobs), int(cv)
        self.resume, self.scale = resume, scale
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        super().__init__(output_dir)

    @property
    def notes(self) -> list[str]:
        """Warnings about the weights, of all experiments so far, each once."""
        notes = (note for experiment in self._experiments.values() for note in experiment.notes)
        return list(dict.fromkeys(notes))

    def run_single_experiment(
        self,
        X_train: Any,
        y_train: Any,
        X_val: Any,
        y_val: Any,
        X_test: Any,
        y_test: Any,
        weight_type: str = "none",
        distance_metric: str = "euclidean",
        lambda_: float = 0.8,
        learning_rate: float = 0.001,
        batch_size: int = 32,
        epochs: int = 100,
        verbose: bool = False,
        *,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """Train one model on rows that are split and scaled already, and score it.

        Parameters
        ----------
        X_train, y_train, X_val, y_val, X_test, y_test : array-like
            Rows of shape (n, D) and labels of shape (n,). X_val and y_val may both be None.
        weight_type : {"none", "distance", "idw"}, default "none"
        distance_metric : str, default "euclidean"
        lambda_ : float, default 0.8
        learning_rate : float, default 0.001
        batch_size : int, default 32
        epochs : int, default 100
        verbose : bool, default False
            Show a progress bar over the epochs.
        seed : int, optional
            Default random_state.

        Returns
        -------
        dict
            weight_type, distance_metric and lambda ("n/a" if unweighted), training_time in seconds,
            test_size (test rows / all rows) and the scores of `WeightedTrainer.evaluate`.
        """
        split = Split(X_train, y_train, X_val, y_val, X_test, y_test)
        outcome = fit_and_score(
            self.model_factory,
            split,
            weight_type,
            distance_metric,
            lambda_,
            self.random_state if seed is None else seed,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            device=self.device,
            verbose=verbose,
        )
        return result_row(weight_type, distance_metric, lambda_, split.sizes, outcome)

    def run_dataset_experiment(
        self,
        X: Any,
        y: Any = None,
        dataset_name: str | None = None,
        test_size: float = 0.2,
        val_size: float = 0.1,
        learning_rate: float = 0.001,
        batch_size: int = 32,
        epochs: int = 100,
        tune_hyperparams: bool = True,
        verbose: bool = True,
    ) -> pd.DataFrame:
        """Compare the three weightings on one dataset, over n_seeds splits.

        Parameters
        ----------
        X : array, DataFrame or Tensor of shape (N, ...), or str
            Rows; or the name of a dataset in `semideep_ext.experiments.datasets`, without y.
        y : array-like, shape (N,)
            A label for each row, for any of them may be tested on.
        dataset_name : str
            Names the files. Default the name given as X.
        test_size : float, default 0.2
            Share of all rows to test on.
        val_size : float, default 0.1
            Share of the other rows to validate on; see `splits.make_split`.
        learning_rate : float, default 0.001
        batch_size : int, default 32
        epochs : int, default 100
        tune_hyperparams : bool, default True
            Choose metric and lambda by cross-validation over the training rows of each split: the
            best weighting, also where it is not shown better than none, as comparing the two is the
            experiment; the report counts where it was. False takes euclidean and "median".
        verbose : bool, default True
            Show a progress bar.

        Returns
        -------
        DataFrame
            A row per seed and weight_type with the keys of `run_single_experiment`, dataset, seed,
            n_train, n_val, n_test and effective_share (Kish); also in NAME_results.csv.

        Raises
        ------
        ValueError
            For data that cannot be split or trained on, and rows without a label.
        """
        pd = require("pandas", "an experiment")
        X, y, name = name_data(X, y, dataset_name)
        X, y = read_data(X, y)
        plan = Plan(
            name=name,
            seeds=[self.random_state + i for i in range(self.n_seeds)],
            test_size=test_size,
            val_size=val_size,
            learning_rate=learning_rate,
            batch_size=batch_size,
            epochs=epochs,
            scale=self.scale,
            device=str(self.device),
            metrics=self.distance_metrics,
            lambda_values=self.lambda_values,
            cv=self.cv,
            tune=tune_hyperparams,
        )
        sweep = functools.partial(
            run_all,
            path=self.output_dir / f"{name}_runs.jsonl",
            n_jobs=self.n_jobs,
            resume=self.resume,
            verbose=verbose,
        )
        experiment = run_plan(plan, self.model_factory, X, y, sweep)
        self._experiments[name] = experiment
        self._save_text(f"{name}_manifest.json", json.dumps(experiment.manifest, indent=1) + "\n")
        return self._save_table(f"{name}_results.csv", pd.DataFrame(experiment.rows))

    def run_test_size_experiment(
        self,
        X: Any,
        y: Any = None,
        dataset_name: str | None = None,
        val_size: float = 0.1,
        learning_rate: float = 0.001,
        batch_size: int = 32,
        epochs: int = 100,
        tune_hyperparams: bool = False,
        verbose: bool = True,
    ) -> pd.DataFrame:
        """Run `run_dataset_experiment` for each of test_sizes.

        Parameters are those of `run_dataset_experiment`. The experiments are called NAME_test10 and
        so on, by the percentage of test rows.

        Returns
        -------
        DataFrame
            The rows of all of them; also in NAME_all_test_sizes.csv.
        """
        pd = require("pandas", "an experiment")
        X, y, name = name_data(X, y, dataset_name)
        options = (val_size, learning_rate, batch_size, epochs, tune_hyperparams, verbose)
        tables = []
        for size in self.test_sizes:
            part = f"{name}_test{100 * size:g}"
            tables.append(self.run_dataset_experiment(X, y, part, size, *options))
            self._experiments[part] = replace(self._experiments[part], family=name)
        return self._save_table(f"{name}_all_test_sizes.csv", pd.concat(tables, ignore_index=True))
