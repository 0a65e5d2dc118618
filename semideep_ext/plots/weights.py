"""Pictures of weights: how they spread, and which rows they favour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from semideep_ext.plots._figure import HATCHES, OKABE_ITO, panels
from semideep_ext.weighting.checks import check_features
from semideep_ext.weighting.diagnostics import check_weights, diagnose_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_weights(
    weights_by_metric: Mapping[str, Any], labels: Any = None, columns: int = 3
) -> Figure:
    """Draw one histogram of the weights per metric.

    Weights are divided by their mean, so that panels compare: 1 counts as an unweighted row.

    Parameters
    ----------
    weights_by_metric : mapping of str to array, shape (N,)
        Weights by the name that stands in the panel's title.
    labels : array-like, shape (N,), optional
        Classes; each gets a colour.
    columns : int, default 3
        Most panels in a row.

    Returns
    -------
    Figure
        The title of each panel says how many rows the weights amount to (Kish).

    Raises
    ------
    ValueError
        If there is nothing to draw, or labels and weights differ in length.

    Examples
    --------
    >>> figure = plot_weights({"euclidean": [1.0, 2.0, 3.0]}, labels=["a", "b", "a"])
    >>> print(figure.axes[0].get_title())
    euclidean
    2.571 of 3 rows effective
    """
    if not weights_by_metric:
        raise ValueError("weights_by_metric is empty; give a name and weights for each panel")
    figure, drawn = panels(len(weights_by_metric), columns)
    for axes, (name, weights) in zip(drawn, weights_by_metric.items(), strict=True):
        d = diagnose_weights(weights)
        if not d.n:
            raise ValueError(f"there are no weights of {name!r}; give at least one")
        w = _by_mean(np.asarray(weights, dtype=np.float64))
        classes = np.zeros(d.n, dtype=int) if labels is None else np.asarray(labels)
        if len(classes) != d.n:
            raise ValueError(f"{len(classes)} labels for {d.n} weights of {name!r}")
        # Constant weights get a bar of visible width, not bins around rounding errors.
        spread = "constant" not in d.problems
        bins = np.linspace(w.min(), w.max(), 31) if spread else np.array([0.97, 1.03]) * w.mean()
        for i, label in enumerate(np.unique(classes)):
            axes.hist(
                w[classes == label],
                bins=bins,
                color=OKABE_ITO[i % len(OKABE_ITO)],
                hatch=HATCHES[i % len(HATCHES)],
                edgecolor="white",
                alpha=0.7,
                label=str(label),
            )
        if not spread:
            axes.set_xlim(0, 2)
        axes.set_title(f"{name}\n{d.effective_sample_size:.4g} of {d.n} rows effective")
        axes.set_xlabel("weight / mean weight")
        axes.set_ylabel("rows")
        if labels is not None:
            axes.legend(title="class")
    return figure


def plot_density_ratio(weights: Any, X_train: Any, X_test: Any) -> Figure:
    """Draw weights against an estimate of the density ratio p_test(x) / p_train(x).

    The estimate is a classifier's: logistic regression tells test rows from training rows, and
    ratio(x) = (N / M) P(test | x) / P(train | x). Each row is scored by a model that was not fitted
    to it (5 folds). Where both sets come from one distribution, the true ratio is 1 everywhere.

    Parameters
    ----------
    weights : array-like, shape (N,)
    X_train : array-like, shape (N, D)
    X_test : array-like, shape (M, D)

    Returns
    -------
    Figure
        The title holds Spearman's rank correlation of the two.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a set has fewer than 5 rows.

    Examples
    --------
    >>> train, test = np.arange(10.0)[:, None], np.arange(5.0, 15.0)[:, None]
    >>> plot_density_ratio(np.linspace(0.1, 1, 10), train, test).axes[0].get_ylabel()
    'weight / mean weight'
    """
    w, train, test = _rows(weights, X_train, X_test)
    if min(len(train), len(test)) < 5:
        raise ValueError(
            f"{len(train)} training and {len(test)} test rows; 5 folds need at least 5 of each"
        )
    ratio = _density_ratio(train, test)
    figure, (axes,) = panels(1)
    axes.scatter(ratio, _by_mean(w), s=14, color=OKABE_ITO[0], alpha=0.6, linewidths=0)
    axes.axvline(1, color="0.6", linewidth=1, linestyle="--", zorder=0)
    axes.set_xscale("log")
    axes.set_xlabel("density ratio, test / train (logistic regression)")
    axes.set_ylabel("weight / mean weight")
    axes.set_title(f"rank correlation {_rank_correlation(ratio, w):.2f}", fontsize="medium")
    return figure


def plot_projection(weights: Any, X_train: Any, X_test: Any) -> Figure:
    """Draw training rows, coloured by weight, and test rows on their first two components (PCA).

    Parameters
    ----------
    weights : array-like, shape (N,)
    X_train : array-like, shape (N, D)
    X_test : array-like, shape (M, D)

    Returns
    -------
    Figure
        The components are those of all N + M rows; the axes say how much variance each holds.

    Raises
    ------
    ValueError
        If the shapes do not fit, or D < 2.

    Examples
    --------
    >>> train, test = np.eye(3), np.ones((2, 3))
    >>> plot_projection([1.0, 2.0, 3.0], train, test).axes[0].get_xlabel()
    'component 1 (44 % of variance)'
    """
    from sklearn.decomposition import PCA

    w, train, test = _rows(weights, X_train, X_test)
    if train.shape[1] < 2:
        raise ValueError("the rows have one feature; a projection to 2-D needs at least two")
    pca = PCA(n_components=2, svd_solver="full").fit(np.concatenate([train, test]))
    figure, (axes,) = panels(1, figsize=(4.8, 3.6))
    axes.scatter(
        *pca.transform(test).T, s=14, marker="x", color="0.65", linewidths=0.8, label="test rows"
    )
    shown = axes.scatter(
        *pca.transform(train).T, s=16, c=_by_mean(w), cmap="viridis", label="training rows"
    )
    figure.colorbar(shown, ax=axes, label="weight / mean weight")
    for set_label, i in ((axes.set_xlabel, 0), (axes.set_ylabel, 1)):
        share = pca.explained_variance_ratio_[i]
        set_label(f"component {i + 1} ({share:.0%} of variance)".replace("%", " %"))
    axes.legend(loc="best", fontsize="small")
    return figure


def _by_mean(w: np.ndarray) -> np.ndarray:
    mean = w.mean() if w.size else 1.0
    return w / (mean if mean > 0 else 1.0)


def _rows(weights: Any, X_train: Any, X_test: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    train, test = check_features(X_train, "X_train"), check_features(X_test, "X_test")
    if train.ndim != 2 or train.shape[1:] != test.shape[1:]:
        raise ValueError(
            f"X_train has shape {train.shape} and X_test {test.shape}; give 2-d arrays with the "
            "same columns"
        )
    return check_weights(weights, "weights", len(train)), train, test


def _density_ratio(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    is_test = np.repeat([0, 1], [len(train), len(test)])
    log_odds = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
        np.concatenate([train, test]),
        is_test,
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
        method="decision_function",
    )
    ratio: np.ndarray = len(train) / len(test) * np.exp(np.clip(log_odds[: len(train)], -50, 50))
    return ratio


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.stats import rankdata

    ranks = [rankdata(v) for v in (a, b)]
    spread = [np.ptp(r) for r in ranks]
    return float(np.corrcoef(*ranks)[0, 1]) if min(spread) > 0 else 0.0
