"""Modules under the names that they had before the package had wings.

`import semideep_ext.trainer` gives the module `semideep_ext.training.trainer` itself, so that old
code, old pickles and filters of warnings find what they name. One table instead of twenty files
that would each hold one line.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

HOMES = {
    "auto": "weighting.auto",
    "bench": "benchmark.bench",
    "callbacks": "training.callbacks",
    "cells": "benchmark.cells",
    "config": "op.config",
    "contestants": "benchmark.contestants",
    "datasets": "experiments.datasets",
    "demo": "experiments.demo",
    "diagnostics": "weighting.diagnostics",
    "experiment": "experiments.experiment",
    "functional": "op.functional",
    "losses": "weighting.losses",
    "metrics": "op.metrics",
    "nets": "estimators.skorch_nets",
    "preprocessing": "weighting.preprocessing",
    "report": "experiments.report",
    "scales": "weighting.scales",
    "selection": "estimators.selection",
    "testing": "op.testing",
    "trainer": "training.trainer",
    "transformer": "estimators.transformer",
    "unlabeled": "estimators.unlabeled",
    "weights": "weighting.weights",
}


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = name.rpartition(".")
        if package != "semideep_ext" or module not in HOMES:
            return None
        return ModuleSpec(name, _Moved(f"{package}.{HOMES[module]}"))


class _Moved(Loader):
    """Gives a module that has another name, and leaves it as it is."""

    def __init__(self, home: str) -> None:
        self._home = home

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._home)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # which the import has replaced by that of the old name


def install() -> None:
    """Let Python find modules under their old names."""
    sys.meta_path.append(_Finder())
