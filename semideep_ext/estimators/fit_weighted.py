"""Hand sample weights to a scikit-learn estimator, also through pipelines and searches."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from sklearn import config_context, get_config
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

_Search = GridSearchCV.__mro__[1]  # the base of all searches, which has no public name


def fit_weighted(estimator: Any, X: Any, y: Any, weights: np.ndarray) -> Any:
    """Fit an estimator with one weight per row, and return it.

    Of a pipeline, the last step gets the weights; of a search, the estimator that is searched, in
    fits and not in scores. Metadata routing changes nothing about this, unless a request for
    sample_weight was set to True in the estimator: then all of its requests are followed.

    Parameters
    ----------
    estimator : estimator
        Fitted in place.
    X, y : what the estimator takes
    weights : ndarray, shape (N,)

    Raises
    ------
    ValueError
        If the estimator takes no sample_weight, its metadata request refuses it, or it holds a
        resampler.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> model = fit_weighted(LinearRegression(), [[0], [1], [2]], [0, 1, 9], np.array([1, 1, 0]))
    >>> model.coef_.round(6)
    array([1.])
    """
    _refuse_resamplers(estimator)
    parameter, taker = _weight_parameter(estimator)
    if get_config()["enable_metadata_routing"]:
        if _refuses(taker):
            raise ValueError(
                f"{type(taker).__name__} has set_fit_request(sample_weight=False), but the "
                "weights are for it: leave the request open, or set it to True"
            )
        if _requests(estimator):
            return estimator.fit(X, y, sample_weight=weights)
    try:
        with config_context(enable_metadata_routing=False):
            return estimator.fit(X, y, **{parameter: weights})
    except ValueError as error:
        if "enable_metadata_routing=True" not in str(error):
            raise
        raise ValueError(
            f"{type(estimator).__name__} passes sample_weight on only where it was requested: call "
            "sklearn.set_config(enable_metadata_routing=True), and "
            "set_fit_request(sample_weight=True) on the estimators that it holds"
        ) from error


def _refuse_resamplers(estimator: Any) -> None:
    """Refuse what makes rows of its own inside, as imbalanced-learn's steps do."""
    for part in (estimator, *estimator.get_params(deep=True).values()):
        if hasattr(part, "fit_resample"):
            raise ValueError(
                f"{type(estimator).__name__} holds {type(part).__name__}, a resampler (it has "
                "fit_resample): the rows that it makes are not the rows that have weights; leave "
                "it out, and weigh the classes by class_weight='balanced' of the classifier"
            )


def _weight_parameter(estimator: Any) -> tuple[str, Any]:
    """Name the argument of fit that takes the weights, and what it hands them to."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        parameter, taker = _weight_parameter(last)
        return f"{name}__{parameter}", taker
    if isinstance(estimator, _Search):
        return _weight_parameter(estimator.estimator)
    if has_fit_parameter(estimator, "sample_weight") or _passes_on(estimator):
        return "sample_weight", estimator
    name = type(estimator).__name__
    change = "use an estimator whose fit has that argument"
    if any(c.__module__.startswith("skorch.") for c in type(estimator).__mro__):
        change = f"derive the net: class Net(SampleWeightMixin, {name}), from semideep_ext"
    raise ValueError(f"{name}.fit takes no sample_weight, so rows cannot be weighted: {change}")


def _passes_on(estimator: Any) -> bool:
    """Tell ensembles of scikit-learn whose fit hands **fit_params to what they hold."""
    if not type(estimator).__module__.startswith("sklearn."):
        return False
    arguments = inspect.signature(estimator.fit).parameters.values()
    return any(argument.kind is argument.VAR_KEYWORD for argument in arguments)


def _requests(estimator: Any) -> bool:
    """Tell whether the estimator, or anything in it, was told to ask for sample_weight."""
    try:
        return bool(get_routing_for_object(estimator).consumes("fit", {"sample_weight"}))
    except NotImplementedError:  # an estimator that knows no routing
        return False


def _refuses(estimator: Any) -> bool:
    try:
        routing = get_routing_for_object(estimator)
    except NotImplementedError:
        return False
    fit = getattr(routing, "fit", None)  # of a router, which holds others, there is none
    return fit is not None and fit.requests.get("sample_weight") is False
