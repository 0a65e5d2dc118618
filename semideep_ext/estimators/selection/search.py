"""The search itself: every candidate on every fold, from the same starts."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.base import is_regressor
from sklearn.utils import _safe_indexing

from semideep_ext._progress import progress_bar
from semideep_ext.estimators.fit_weighted import fit_weighted
from semideep_ext.estimators.seeds import seed_of
from semideep_ext.estimators.selection.candidates import make_candidates
from semideep_ext.estimators.selection.choice import MetricSelection, choose
from semideep_ext.estimators.selection.models import model_maker
from semideep_ext.estimators.selection.rows import make_folds, read_rows
from semideep_ext.estimators.selection.scoring import make_scoring
from semideep_ext.weighting.diagnostics import WeightsWarning
from semideep_ext.weighting.weightings import UNWEIGHTED

__all__ = ["select_best_distance_metric"]


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
    random_state: Any = 0,
    groups: Any = None,
    unlabeled: Any = -1,
    **net_options: Any,
) -> MetricSelection:
    r"""Choose metric and lambda by cross-validation on the training rows, or unweighted training.

    For every fold and every pair of metric and lambda, a fresh model is trained on the other folds,
    with weights towards the unlabelled rows, and scored on the fold; so is one without weights.
    Labels of X_test are never asked for.

    Parameters
    ----------
    model : nn.Module, callable or scikit-learn estimator
        A module is copied for each fit and starts from its given state; a callable makes a new
        module or estimator for each fit; an estimator is cloned. Modules are trained by
        `WeightedTrainer`; estimators by their fit with sample_weight, of a pipeline the last step.
        The argument itself is not trained.
    X_train : array, DataFrame or Tensor, shape (N, ...)
        Distances are taken between the rows as they are, flattened to (N, D), and not as a pipeline
        would transform them: scale them first, by what these rows say.
    y_train : array-like, shape (N,)
        Rows without a label are unlabelled, too; see `unlabeled`.
    X_test : array, DataFrame or Tensor, shape (M, ...), or None
        Unlabelled rows.
    metrics : sequence of str or callables, default euclidean, cosine, hamming, jaccard
    lambda_values : sequence of float or "median", default 0.5, 0.7, 0.8, 0.9, 1.0
        All lambdas of a metric come from one pass over the distances. "median" is
        1 / (median distance between training and test rows), see `median_lambda`.
    cv : int, splitter or iterable of splits, default 3
        A number means that many shuffled folds, stratified by class (not for regressors). Only
        labelled rows are split; splits that are given number the rows of X_train.
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
    random_state : int, RandomState or None, default 0
        Of the folds and of torch in each fit: candidates see the same folds, starts and batches.
        None takes others in each call.
    groups : array-like, shape (N,), optional
        For a `cv` that keeps groups together, such as `GroupKFold`.
    unlabeled : label or None, default -1
        The mark of unlabelled rows in y_train, as in `DistanceWeightedClassifier`; for a regressor
        NaN is the mark.
    **net_options
        For modules: epochs (default 50), learning_rate, batch_size, loss_fn and device, as in
        `WeightedTrainer`.

    Returns
    -------
    MetricSelection
        Unpacks into best metric, best lambda, best score. `.weighting` says whether this is better
        than unweighted training by more than a standard error, `.sentence` says it in words, and
        `.table` holds all scores and differences.

    Raises
    ------
    ValueError
        For an unknown metric, empty lists, rows that hold NaN or infinity (row and column named),
        a fold of one class to train on, an estimator without sample_weight, a scorer without one
        where scores are to be importance weighted, net_options for an estimator, or scores that are
        all NaN.
    TypeError
        For an unknown option or a model that is none of the three.

    Warns
    -----
    WeightsWarning
        The sentence, if no weighting is shown better than unweighted training.

    Notes
    -----
    Importance-weighted cross-validation (Sugiyama et al., JMLR 8 (2007) 985-1005) weighs row i by
    p_test(x_i) / p_train(x_i), estimated as

    .. math:: \frac{\frac{1}{M} \sum_j k(x_i, y_j)}{\frac{1}{N} \sum_j k(x_i, x_j)}, \quad
              k(a, b) = \exp(-\lambda \, d(a, b))

    with d from `auto_select_distance_metric` and lambda from `median_lambda`.

    Examples
    --------
    Labels are true near the test rows, around 0, and false around 6:

    >>> from sklearn.linear_model import LogisticRegression
    >>> X, near = np.random.default_rng(0).normal(size=(80, 1)), np.arange(80) < 40
    >>> y = (X[:, 0] > 0) == near
    >>> X = X + 6 * ~near[:, None]
    >>> found = select_best_distance_metric(
    ...     LogisticRegression(), X, y, X[:20], ["euclidean"], [1.0], verbose=False,
    ...     importance_weighted=True)
    >>> metric, lambda_, score = found
    >>> found.weighting, metric, lambda_
    ('distance', 'euclidean', 1.0)
    >>> print(found.sentence.split(":")[0])
    euclidean with lambda 1 is better than unweighted training
    """
    make = model_maker(model, net_options)
    seed = seed_of(random_state)
    with _seeded(seed):
        probe = make()
    regression = is_regressor(probe)
    rows = read_rows(X_train, y_train, X_test, unlabeled, regression)
    score = make_scoring(scoring, importance_weighted, probe, rows, regression)
    folds = make_folds(cv, rows, groups, regression, seed)
    table, weights = make_candidates(metrics, lambda_values, rows, normalize)
    weights = np.concatenate([np.ones((1, len(rows.labels))), weights])  # unweighted is the first

    scores = np.empty((len(weights), len(folds)))
    cells = itertools.product(enumerate(folds), enumerate(weights))
    with progress_bar("fits", scores.size, verbose) as bar:
        for (i, fold), (j, w) in cells:
            train = fold[0]
            with _seeded(seed + i):
                fitted = fit_weighted(
                    make(), _safe_indexing(rows.given, train), rows.labels[train], w[train]
                )
                scores[j, i] = score(fitted, rows, fold)
            bar.update()
    found = choose(table, scores, score.name)
    if found.weighting == UNWEIGHTED:
        warnings.warn(found.sentence, WeightsWarning, stacklevel=2)
    return found


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Fix torch's random numbers, and give the caller's back."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
