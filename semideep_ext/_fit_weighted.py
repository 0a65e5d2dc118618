"""Hand sample weights to a scikit-learn estimator, also through pipelines and searches."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

_SEARCHES = (GridSearchCV, RandomizedSearchCV)


def fit_weighted(estimator: Any, X: Any, y: Any, weights: np.ndarray) -> Any:
    """Fit an estimator with one weight per row, and return it.

    Of a pipeline, the last step gets the weights; of a search, the estimator that is searched.

    Parameters
    ----------
    estimator : estimator
        Fitted in place; under metadata routing its unset requests for sample_weight are set too,
        so pass a clone.
    X, y : what the estimator takes
    weights : ndarray, shape (N,)

    Raises
    ------
    ValueError
        If the estimator takes no sample_weight, or its metadata request refuses it.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> model = fit_weighted(LinearRegression(), [[0], [1], [2]], [0, 1, 9], np.array([1, 1, 0]))
    >>> model.coef_.round(6)
    array([1.])
    """
    parameter = _weight_parameter(estimator)
    if get_config()["enable_metadata_routing"]:
        _request_weights(estimator)
        parameter = "sample_weight"  # routing passes it on by this name
    return estimator.fit(X, y, **{parameter: weights})


def _weight_parameter(estimator: Any) -> str:
    """Name the argument of fit that takes the weights, without metadata routing."""
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        return f"{name}__{_weight_parameter(last)}"
    if isinstance(estimator, _SEARCHES):
        return _weight_parameter(estimator.estimator)
    if has_fit_parameter(estimator, "sample_weight") or _passes_on(estimator):
        return "sample_weight"
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


def _request_weights(estimator: Any) -> None:
    """Set requests that the user left open as things are without routing."""
    if isinstance(estimator, Pipeline):
        *transformers, (_, last) = estimator.steps
        for _, transformer in transformers:
            _set_if_open(transformer, "fit", False)
        _request_weights(last)
    elif isinstance(estimator, _SEARCHES):
        _request_weights(estimator.estimator)
        _set_if_open(estimator.estimator, "score", False)
    elif _set_if_open(estimator, "fit", True) is False:
        raise ValueError(
            f"{type(estimator).__name__} has set_fit_request(sample_weight=False), but the "
            "weights are for it: leave the request open, or set it to True"
        )


def _set_if_open(estimator: Any, method: str, value: bool) -> Any:
    """Give the request for sample_weight that stands in the end."""
    setter = getattr(estimator, f"set_{method}_request", None)
    if setter is None or isinstance(estimator, Pipeline):
        return None
    requests = getattr(estimator.get_metadata_routing(), method).requests
    if "sample_weight" not in requests:
        return None
    if requests["sample_weight"] is None:
        setter(sample_weight=value)
        return value
    return requests["sample_weight"]
