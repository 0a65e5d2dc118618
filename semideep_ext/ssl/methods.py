"""The one list of semi-supervised methods: their names, and where each stands.

Nothing here reads torch, so that `semideep --help` can name them.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from typing import Any

METHODS = {
    "pseudo-label": "pseudo_label.PseudoLabel",
    "entropy": "entropy_minimization.EntropyMinimization",
    "pi-model": "pi_model.PiModel",
    "temporal-ensembling": "temporal_ensembling.TemporalEnsembling",
    "mean-teacher": "mean_teacher.MeanTeacher",
    "vat": "vat.VAT",
    "ict": "ict.ICT",
    "mixmatch": "mixmatch.MixMatch",
    "fixmatch": "fixmatch.FixMatch",
    "uda": "uda.UDA",
    "defixmatch": "defixmatch.DeFixMatch",
    "noisy-student": "noisy_student.NoisyStudent",
    "cross-consistency": "cross_consistency.CrossConsistency",
    "mlsn": "mlsn.MLSN",
}


def method_class(name: str) -> Any:
    """Give the class of that name.

    Raises
    ------
    ValueError
        For any other name.

    Examples
    --------
    >>> method_class("fixmatch").__name__
    'FixMatch'
    """
    if name not in METHODS:
        raise ValueError(f"method={name!r}: choose one of {', '.join(METHODS)}")
    module, _, attribute = METHODS[name].partition(".")
    return getattr(importlib.import_module(f"semideep_ext.ssl.{module}"), attribute)


def make_method(method: Any, *, steps: int | None = None, **options: Any) -> Any:
    """Give a method as it is, or make the one of that name.

    Parameters
    ----------
    method : str or Method
    steps : int, optional
        Steps that averages of parameters should cover, where the default covers more: about 1,000,
        which is right for trainings of 10,000 and more. An object keeps what it has; a warning says
        so if its average covers more than five times as many.
    **options
        Of the method's class.

    Raises
    ------
    ValueError
        For what is neither, such as a class that nobody built.
    """
    if isinstance(method, str):
        made = method_class(method)
        parameters = inspect.signature(made).parameters
        for name in {"ema", "decay"} & parameters.keys() - options.keys():
            if steps is not None and parameters[name].default is not None:
                options[name] = min(parameters[name].default, max(0.0, 1 - 1 / steps))
        return made(**options)
    from semideep_ext.ssl.method import Method

    if not isinstance(method, Method):
        raise ValueError(
            f"method={method!r}: give one of {', '.join(METHODS)}, or an object, built rather than "
            "the class: FixMatch(), say"
        )
    if steps is not None:
        _warn_of_lag(method, steps)
    return method


def _warn_of_lag(method: Any, steps: int) -> None:
    for name in ("ema", "decay"):
        decay = getattr(method, name, None)
        if decay is not None and 1 / (1 - decay) > 5 * steps:
            warnings.warn(
                f"{name}={decay} averages the parameters of about {1 / (1 - decay):,.0f} steps, "
                f"which is much of this training: predictions come late. Give {name}="
                f"{1 - 1 / steps:.3g}, {type(method).__name__}'s name in place of the object, or "
                "train for longer",
                stacklevel=5,
            )
