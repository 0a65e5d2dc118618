"""Metric and lambda by cross-validation on the training rows.

Weights need the unlabelled test rows, scores need labels; the labels of the test rows are no
argument of anything here.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone, is_regressor
from sklearn.metrics import check_scoring, f1_score, get_scorer_names, make_scorer
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils import _safe_indexing
from torch import nn

from semideep_ext._fit_weighted import fit_weighted
from semideep_ext._grid import LAMBDAS, SELECTED_METRICS
from semideep_ext._inputs import check_columns, column_names
from semideep_ext._net_estimator import NetClassifier
from semideep_ext._progress import progress_bar
from semideep_ext._training_data import check_features, check_labels
from semideep_ext.auto import auto_select_distance_metric
from semideep_ext.diagnostics import check_weights, diagnose_weights
from semideep_ext.functional import distance_weights
from semideep_ext.metrics import METRICS, check_metric
from semideep_ext.scales import median_lambda, resolve_lambda

__all__ = ["MetricSelection", "auto_select_distance_metric", "select_best_distance_metric"]

EPOCHS = 50  # as in semideep

NET_OPTIONS = ("epochs", "learning_rate", "batch_size", "loss_fn", "device")


class _Best(NamedTuple):
    metric: Any
    lambda_: float
    score: float


class MetricSelection(_Best):
    """The best metric, its lambda and its mean score: a tuple of three, with the table behind it.

    Attributes
    ----------
    metric : str or callable
    lambda_ : float
        The number, also where "median" was asked for.
    score : float
        Mean over folds. As the best of many it is optimistic: score on other data what is reported.
    table : list of dict
        One per metric and lambda, in the order tried: metric, lambda_ (the number), lambda_given
        (as asked for), mean, standard_error (standard deviation over folds / sqrt(folds); folds
        share training rows, so it is rough), scores (per fold), effective_share (Kish's share of
        the training rows that the weights amount to) and problems (as in `diagnose_weights`).
        `pandas.DataFrame(table)` and `semideep_ext.plots.plot_selection(table)` take it.
    unweighted : dict
        mean, standard_error and scores of training without weights, on the same folds.
    """

    table: list[dict[str, Any]]
    unweighted: dict[str, Any]


def select_best_distance_metric(
    model: Any,
    X_train: Any,
    y_train: Any,
    X_test: Any,
    metrics: Sequence[Any] | None = None,
    lambda_values: Sequence[Any] | None = None,
    cv: Any = 3,
    verbose: bool = True,
    *,
    scoring: Any = None,
    importance_weighted: Any = False,
    normalize: bool = True,
    random_state: int = 0,
    **net_options: Any,
) -> MetricSelection:
    r"""Choose metric and lambda by cross-validation on the training rows.

    For every fold and every pair of metric and lambda, a fresh model is trained on the other folds,
    with weights towards X_test, and scored on the fold. Labels of X_test are never asked for.

    Parameters
    ----------
    model : nn.Module, callable or scikit-learn estimator
        A module is copied for each fit and starts from its given state; a callable makes a new
        module or estimator for each fit; an estimator is cloned. Modules are trained by
        `WeightedTrainer`; estimators by their fit with sample_weight, of a pipeline the last step.
        The argument itself is not trained.
    X_train : array, DataFrame or Tensor, shape (N, D)
        Distances are taken between the rows as they are, not as a pipeline would transform them:
        scale them first, by what these rows say.
    y_train : array-like, shape (N,)
    X_test : array, DataFrame or Tensor, shape (M, D)
        Unlabelled rows.
    metrics : sequence of str or callables, default euclidean, cosine, hamming, jaccard
    lambda_values : sequence of float or "median", default 0.5, 0.7, 0.8, 0.9, 1.0
        All lambdas of a metric come from one pass over the distances. "median" is
        1 / (median distance between training and test rows), see `median_lambda`.
    cv : int, splitter or iterable of splits, default 3
        A number means that many shuffled folds, stratified by class (not for regressors).
    verbose : bool, default True
        Show a progress bar over the fits.
    scoring : str, scorer or None, default None
        As in scikit-learn. None: F1 of the second class for two classes, the mean weighted by class
        frequency for more (as `WeightedTrainer.evaluate` gives it), R^2 for a regressor.
    importance_weighted : bool or array-like of shape (N,), default False
        Weigh the rows of a fold in its score, so that the mean estimates the score on rows like
        X_test where these differ from the training rows. True: by the density ratio estimated in
        Notes, the same for every candidate, or each would be its own judge. Or weights of your own.
    normalize : bool, default True
        Divide the weights by their mean, so that candidates do not differ in step size or
        regularisation.
    random_state : int, default 0
        Of the folds and of torch in each fit: candidates see the same folds, starts and batches.
    **net_options
        For modules: epochs (default 50), learning_rate, batch_size, loss_fn and device, as in
        `WeightedTrainer`.

    Returns
    -------
    MetricSelection
        Unpacks into best metric, best lambda, best score; `.table` holds all scores with standard
        errors. Equal means: the first in the order tried.

    Raises
    ------
    ValueError
        For an unknown metric, empty lists, rows that hold NaN or infinity (row and column named),
        an estimator without sample_weight, a scorer without one where scores are to be importance
        weighted, net_options for an estimator, or scores that are all NaN.
    TypeError
        For an unknown option or a model that is none of the three.

    Notes
    -----
    Importance-weighted cross-validation (Sugiyama et al., JMLR 8 (2007) 985-1005) weighs row i by
    p_test(x_i) / p_train(x_i), estimated as

    .. math:: \frac{\frac{1}{M} \sum_j k(x_i, y_j)}{\frac{1}{N} \sum_j k(x_i, x_j)}, \quad
              k(a, b) = \exp(-\lambda \, d(a, b))

    with d from `auto_select_distance_metric` and lambda from `median_lambda`.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = np.array([[0.0], [1.0], [2.0], [8.0], [9.0], [10.0]]), [0, 0, 0, 1, 1, 1]
    >>> metric, lambda_, score = select_best_distance_metric(
    ...     LogisticRegression(), X, y, X, metrics=["euclidean"], verbose=False)
    >>> metric, lambda_, score
    ('euclidean', 0.5, 1.0)
    """
    features, test, labels = _check_data(X_train, y_train, X_test)
    make = _maker(model, net_options)
    with _seeded(random_state):
        probe = make()
    regression = is_regressor(probe)
    scorer = _scorer(scoring, probe, labels, regression)
    importance = _importance(importance_weighted, features, test)
    folds = list(_split(cv, regression, random_state, features, labels))
    table, weights = _candidates(metrics, lambda_values, features, test, normalize)
    rows = X_train if column_names(X_train) is not None else features

    scores = np.empty((len(weights), len(folds)))
    cells = itertools.product(enumerate(folds), enumerate(weights))
    with progress_bar("fits", scores.size, verbose) as bar:
        for (fold, (train, validation)), (i, w) in cells:
            with _seeded(random_state + fold):
                fitted = fit_weighted(make(), _safe_indexing(rows, train), labels[train], w[train])
                part = None if importance is None else importance[validation]
                scores[i, fold] = _score(
                    scorer, fitted, _safe_indexing(rows, validation), labels[validation], part
                )
            bar.update()
    unweighted, *summaries = map(_summary, scores)
    table = [{**entry, **summary} for entry, summary in zip(table, summaries, strict=True)]
    return _best(table, unweighted)


def _check_data(X: Any, y: Any, X_test: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, test = check_features(X, "X_train"), check_features(X_test, "X_test")
    check_columns("X_test", column_names(X_test), "X_train", column_names(X))
    if features.ndim != 2 or test.shape[1:] != features.shape[1:]:
        raise ValueError(
            f"X_train has shape {features.shape} and X_test {test.shape}; distances need 2-d "
            "arrays with the same columns"
        )
    return features, test, check_labels(y, len(features), "y_train")


def _maker(model: Any, net_options: dict[str, Any]) -> Callable[[], Any]:
    """Return what gives a fresh, unfitted estimator."""
    unknown = sorted(set(net_options) - set(NET_OPTIONS))
    if unknown:
        raise TypeError(
            f"unknown option {', '.join(unknown)}: allowed are {', '.join(NET_OPTIONS)}, for "
            "modules (labels of the test rows are never an argument)"
        )
    factory = callable(model) and not isinstance(model, nn.Module)
    factory = factory and (isinstance(model, type) or not hasattr(model, "fit"))

    def make() -> Any:
        made = model() if factory else model
        if isinstance(made, nn.Module):
            return NetClassifier(made, {"epochs": EPOCHS, **net_options})
        if not (hasattr(made, "fit") and hasattr(made, "get_params")):
            raise TypeError(
                f"model {'makes' if factory else 'is'} a {type(made).__name__}; allowed are a "
                "torch module, a scikit-learn estimator, and a function that makes one"
            )
        if net_options:
            raise ValueError(
                f"{', '.join(net_options)} given, which are options for modules, but the model is "
                f"a {type(made).__name__}: set them on the estimator"
            )
        return clone(made)

    return make


def _split(
    cv: Any, regression: bool, random_state: int, X: np.ndarray, y: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if not isinstance(cv, numbers.Integral):
        yield from check_cv(cv).split(X, y)
        return
    kind = KFold if regression else StratifiedKFold
    try:
        yield from kind(cv, shuffle=True, random_state=random_state).split(X, y)
    except ValueError as error:
        raise ValueError(
            f"cv={cv} does not split {len(X)} training rows ({error}); give more rows, or fewer "
            "folds (two at least), and classes as labels unless the model is a regressor"
        ) from error


def _candidates(
    metrics: Sequence[Any] | None,
    lambda_values: Sequence[Any] | None,
    X: np.ndarray,
    X_test: np.ndarray,
    normalize: bool,
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Describe the candidates, and weigh the training rows by each; unweighted comes first."""
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
    table, weights = [], [np.ones((1, len(X)))]
    for metric in metrics:
        numbers = [float(resolve_lambda(given, X, X_test, metric)) for given in lambdas]
        log_w = distance_weights(X, X_test, metric, numbers, log=True).astype(np.float64)
        w = _mean_one(log_w) if normalize else np.exp(log_w)
        weights.append(w)
        for given, number, row in zip(lambdas, numbers, w, strict=True):
            d = diagnose_weights(row)
            table.append(
                {
                    "metric": metric,
                    "lambda_": number,
                    "lambda_given": given,
                    "effective_share": d.effective_sample_size / d.n,
                    "problems": d.problems,
                }
            )
    return table, np.concatenate(weights)


def _mean_one(log_w: np.ndarray) -> np.ndarray:
    """Weights divided by their mean along the last axis, from their logarithms."""
    w: np.ndarray = np.exp(log_w - log_w.max(-1, keepdims=True))
    return w / w.mean(-1, keepdims=True)


def _importance(wanted: Any, X: np.ndarray, X_test: np.ndarray) -> np.ndarray | None:
    if isinstance(wanted, (bool, np.bool_)):
        if not wanted:
            return None
        metric = auto_select_distance_metric(X)
        lambda_ = median_lambda(X, X_test, metric)
        near_test = distance_weights(X, X_test, metric, lambda_, log=True)
        ratio = near_test - distance_weights(X, X, metric, lambda_, log=True)
        return _mean_one(ratio.astype(np.float64))
    return check_weights(wanted, "importance_weighted", len(X))


def _scorer(scoring: Any, estimator: Any, labels: np.ndarray, regression: bool) -> Any:
    if isinstance(scoring, (list, tuple, set, dict)):
        raise ValueError(f"scoring={scoring!r}: one score is needed to choose by; give one scorer")
    if isinstance(scoring, str) and scoring not in get_scorer_names():
        known = ", ".join(get_scorer_names())
        raise ValueError(f"scoring={scoring!r} is unknown: choose one of {known}; or give a scorer")
    if scoring is not None:
        return check_scoring(estimator, scoring=scoring)
    if regression:
        return check_scoring(estimator, scoring="r2")
    classes = np.unique(labels)
    if len(classes) == 2:
        return make_scorer(f1_score, zero_division=0, pos_label=classes[1])
    # A scorer may look for pos_label=1, f1_score's default, among the model's classes: always in
    # scikit-learn 1.6, and in any where a fold showed the model two of the classes only.
    return make_scorer(f1_score, zero_division=0, average="weighted", pos_label=None)


def _score(scorer: Any, fitted: Any, X: Any, y: np.ndarray, importance: np.ndarray | None) -> float:
    if importance is None:
        return float(scorer(fitted, X, y))
    try:
        return float(scorer(fitted, X, y, sample_weight=importance))
    except TypeError as error:
        raise ValueError(
            f"importance_weighted: the scorer {scorer!r} takes no sample_weight ({error}); use "
            "another scoring, or importance_weighted=False"
        ) from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Fix torch's random numbers, and give the caller's back."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _summary(scores: np.ndarray) -> dict[str, Any]:
    spread = scores.std(ddof=1) / math.sqrt(len(scores)) if len(scores) > 1 else math.nan
    return {
        "mean": float(scores.mean()),
        "standard_error": float(spread),
        "scores": scores.tolist(),
    }


def _best(table: list[dict[str, Any]], unweighted: dict[str, Any]) -> MetricSelection:
    best = max(table, key=lambda row: -math.inf if math.isnan(row["mean"]) else row["mean"])
    if math.isnan(best["mean"]):
        raise ValueError("every score is NaN: choose another scoring, or fewer folds (cv)")
    result = MetricSelection(best["metric"], best["lambda_"], best["mean"])
    result.table, result.unweighted = table, unweighted
    return result
