"""The one list of semi-supervised methods: their names, and where each stands.

Nothing here reads torch, so that `semideep --help` can name them.
"""

from __future__ import annotations

import importlib
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


def make_method(method: Any, **options: Any) -> Any:
    """Give a method as it is, or make the one of that name.

    Raises
    ------
    ValueError
        For what is neither, such as a class that nobody built.
    """
    if isinstance(method, str):
        return method_class(method)(**options)
    from semideep_ext.ssl.method import Method

    if not isinstance(method, Method):
        raise ValueError(
            f"method={method!r}: give one of {', '.join(METHODS)}, or an object, built rather than "
            "the class: FixMatch(), say"
        )
    return method
