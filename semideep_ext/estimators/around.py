"""Estimators around one of ours, which may take its mark of unlabelled rows for a class."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import BaseEnsemble


def refuse_mark_as_class(estimator: Any, mark: Any, found: bool) -> None:
    """Refuse to be fitted for an estimator that learns or scores the mark as a class.

    A voting or calibrated classifier makes classes of all that y holds, and hands on numbers of
    classes, in which the mark can no longer be told. Pipelines and searches hand y on as it is.
    Nothing that `fit` is given tells who calls it, so the calls under way are looked through.

    Parameters
    ----------
    estimator : estimator
        The one that is being fitted.
    mark : label
    found : bool
        Whether the mark stands in the y that it was given.

    Raises
    ------
    ValueError
        Naming the estimator around it.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        outer = frame.f_locals.get("self")
        if not isinstance(outer, BaseEstimator) or outer is estimator:
            continue
        if _has_class(outer, mark) or (found and isinstance(outer, BaseEnsemble)):
            own, other = type(estimator).__name__, type(outer).__name__
            raise ValueError(
                f"{other} around {own} takes the mark {mark!r} of unlabelled rows for a class: put "
                f"it inside, {own}({other}(...)), where it sees the labelled rows alone"
            )


def _has_class(estimator: Any, mark: Any) -> bool:
    """Tell whether the mark is among its classes; beside one other, it is a class to us, too."""
    classes = getattr(estimator, "classes_", None)
    return isinstance(classes, np.ndarray) and len(classes) > 2 and mark in classes.tolist()
