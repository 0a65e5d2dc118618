"""Pairs of metric and lambda to choose from, and the weights that each gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from semideep_ext.estimators.selection.rows import Rows
from semideep_ext.op.functional import distance_weights
from semideep_ext.op.metrics import METRICS, check_metric
from semideep_ext.weighting.defaults import LAMBDAS, SELECTED_METRICS
from semideep_ext.weighting.diagnostics import diagnose_weights
from semideep_ext.weighting.normalisation import mean_one
from semideep_ext.weighting.scales import resolve_lambda

__all__ = ["make_candidates"]


def make_candidates(
    metrics: Sequence[Any] | None,
    lambda_values: Sequence[Any] | None,
    rows: Rows,
    normalize: bool,
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Describe the candidates, and weigh the labelled rows by each.

    Returns
    -------
    table : list of dict
        One per pair: metric, lambda_, lambda_given, effective_share, problems.
    weights : ndarray, shape (len(table), N)

    Raises
    ------
    ValueError
        For empty lists, an unknown metric, or a lambda that is no number > 0.
    """
    metrics = SELECTED_METRICS if metrics is None else metrics
    lambdas = LAMBDAS if lambda_values is None else lambda_values
    for name, values, example in (
        ("metrics", metrics, list(METRICS)),
        ("lambda_values", lambdas, list(LAMBDAS)),
    ):
        if isinstance(values, str) or not np.iterable(values) or not len(values):
            raise ValueError(f"{name}={values!r}: give a list of one or more, such as {example}")
    for metric in metrics:
        if not callable(metric):
            check_metric(metric)
    table: list[dict[str, Any]] = []
    weights = []
    x, y = rows.features, rows.unlabeled
    for metric in metrics:
        numbers = [float(resolve_lambda(given, x, y, metric)) for given in lambdas]
        log_w = distance_weights(x, y, metric, numbers, log=True).astype(np.float64)
        w = mean_one(log_w) if normalize else np.exp(log_w)
        weights.append(w)
        table += map(_described, [metric] * len(lambdas), numbers, lambdas, w)
    return table, np.concatenate(weights)


def _described(metric: Any, lambda_: float, given: Any, w: np.ndarray) -> dict[str, Any]:
    d = diagnose_weights(w)
    return {
        "metric": metric,
        "lambda_": lambda_,
        "lambda_given": given,
        "effective_share": d.effective_sample_size / d.n,
        "problems": d.problems,
    }
