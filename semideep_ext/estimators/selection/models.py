"""What gives a fresh, unfitted estimator for each fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import clone
from torch import nn

from semideep_ext.estimators.net_classifier import NetClassifier

__all__ = ["model_maker"]

EPOCHS = 50  # as in semideep

NET_OPTIONS = ("epochs", "learning_rate", "batch_size", "loss_fn", "device")


def model_maker(model: Any, net_options: dict[str, Any]) -> Callable[[], Any]:
    """Return what gives a fresh estimator: a clone, a copy of a module, or what a function makes.

    Parameters
    ----------
    model : nn.Module, callable or scikit-learn estimator
    net_options : dict
        For modules; those of NET_OPTIONS.

    Raises
    ------
    TypeError
        For an unknown option; when called, for a model that is none of the three.
    """
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
