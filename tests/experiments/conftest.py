"""A finished experiment, and witnesses of what an experiment calls."""

import sys
import types
import warnings

import pytest
from experiment_runs import run, runner

from semideep_ext import WeightsWarning
from semideep_ext.estimators.selection import MetricSelection
from semideep_ext.experiments import runs


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Run one experiment; gives its runner, table and folder."""
    folder = tmp_path_factory.mktemp("results")
    runner_ = runner(folder)
    return runner_, run(runner_), folder


@pytest.fixture
def runs_counted(monkeypatch):
    """Specs of the runs that are executed rather than read from a file."""
    executed = []
    fit = runs.fit_and_score

    def counted(model_factory, split, kind, metric, lambda_, seed, **rest):
        executed.append((kind, seed))
        return fit(model_factory, split, kind, metric, lambda_, seed, **rest)

    monkeypatch.setattr(runs, "fit_and_score", counted)
    return executed


@pytest.fixture
def selection(monkeypatch):
    """Stand in for a selection that finds no weighting better; gives what it was called with."""
    calls = []

    def select_best_distance_metric(model, X_train, y_train, X_test, **options):
        calls.append({"model": model, "X": X_train, "y": y_train, "X_test": X_test, **options})
        found = MetricSelection("cosine", 0.5, 0.9)
        found.weighting, found.sentence = "none", "no weighting is shown better"
        warnings.warn(found.sentence, WeightsWarning, stacklevel=2)
        return found

    fake = types.ModuleType("semideep_ext.estimators.selection")
    fake.select_best_distance_metric = select_best_distance_metric
    monkeypatch.setitem(sys.modules, "semideep_ext.estimators.selection", fake)
    return calls
