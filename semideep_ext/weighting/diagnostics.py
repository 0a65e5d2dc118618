"""What a vector of weights amounts to, and warnings when it amounts to nothing.

Constant or underflowed weights are legal numbers but useless weights, so both are reported instead
of being trained on in silence.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from semideep_ext.op.metrics import KERNELS

# Models train in float32: a weight below its smallest normal number is lost, whatever held it.
SMALLEST_WEIGHT = float(np.finfo(np.float32).tiny)
# With a standard deviation below 1 % of the mean, training cannot be told from unweighted training.
SMALLEST_SPREAD = 0.01
# The variance of a weighted mean is that of so many equally weighted rows (Kish): below a tenth of
# them, what weighting may gain in bias is lost tenfold in variance.
SMALLEST_SHARE = 0.1

_WHY_CONSTANT = {
    "hamming": "on continuous columns almost every feature of every pair differs, so all distances "
    "are near 1; bin or round the columns, or use metric='euclidean' or 'cosine'",
    "jaccard": "it reads each feature as zero or non-zero, and on continuous columns almost none "
    "is zero; binarise the columns, or use metric='euclidean' or 'cosine'",
}


class WeightsWarning(UserWarning):
    """The weights are valid numbers, but training with them does not do what was meant."""


@dataclass(frozen=True)
class WeightDiagnostics:
    """What a vector of weights amounts to; see `diagnose_weights`.

    Attributes
    ----------
    n : int
        Number of weights.
    effective_sample_size : float
        Kish's (sum w)^2 / sum w^2: the number of equally weighted rows that carry as much.
    min, max, mean : float
        Smallest, largest and mean weight; NaN if there are none.
    top_share : float
        Share of the total carried by the largest 1 % (at least one) of the weights.
    problems : tuple of str
        Any of "constant" (standard deviation below 1 % of the mean), "collapsed" (the effective
        sample size is below a tenth of n) and "underflow" (a weight below the smallest normal
        float32); empty if all is well.
    """

    n: int
    effective_sample_size: float
    min: float
    max: float
    mean: float
    top_share: float
    problems: tuple[str, ...]


def diagnose_weights(w: Any) -> WeightDiagnostics:
    """Summarise weights and find what makes them useless.

    Parameters
    ----------
    w : array-like or Tensor, shape (N,)
        Non-negative weights.

    Returns
    -------
    WeightDiagnostics

    Raises
    ------
    ValueError
        If w is not 1-d, or holds NaN, infinite or negative values.

    Examples
    --------
    >>> d = diagnose_weights([1.0, 1.0, 2.0])
    >>> round(d.effective_sample_size, 3), d.top_share, d.problems
    (2.667, 0.5, ())
    """
    w = check_weights(w, "w")
    if w.size == 0:
        return WeightDiagnostics(0, 0.0, math.nan, math.nan, math.nan, math.nan, ())
    top = w.max()
    v = w / top if top > 0 else w  # squares neither overflow nor underflow
    total = v.sum()
    largest = np.sort(v)[-max(1, w.size // 100) :].sum()
    problems = []
    if w.size > 1 and v.std() <= SMALLEST_SPREAD * v.mean():
        problems.append("constant")
    effective = float(total**2 / (v**2).sum()) if top > 0 else 0.0
    if 0 < effective < SMALLEST_SHARE * w.size:
        problems.append("collapsed")
    if w.min() < SMALLEST_WEIGHT:
        problems.append("underflow")
    return WeightDiagnostics(
        n=w.size,
        effective_sample_size=effective,
        min=float(w.min()),
        max=float(top),
        mean=float(w.mean()),
        top_share=float(largest / total) if top > 0 else math.nan,
        problems=tuple(problems),
    )


def warn_if_degenerate(
    w: Any, metric: str | Callable[..., Any] = "euclidean", kernel: str = "exponential"
) -> WeightDiagnostics:
    """Diagnose weights and warn, saying what to change, if they make training useless.

    Parameters
    ----------
    w : array-like or Tensor, shape (N,)
        Weights.
    metric, kernel : str or callable, default "euclidean"; str, default "exponential"
        What the weights were computed with; the advice depends on it.

    Returns
    -------
    WeightDiagnostics

    Warns
    -----
    WeightsWarning
        Once per problem found.

    Examples
    --------
    >>> warn_if_degenerate([0.2, 0.5, 0.7]).problems
    ()
    """
    d = diagnose_weights(w)
    name = metric if isinstance(metric, str) else getattr(metric, "__name__", repr(metric))
    is_decay = KERNELS[kernel].parameter == "lambda"
    if "underflow" in d.problems:
        lost = int((check_weights(w, "w") < SMALLEST_WEIGHT).sum())
        message = (
            f"{lost} of {d.n} weights (metric={name!r}) are below {SMALLEST_WEIGHT:.1e}, the "
            "smallest normal float32, so those rows do not count. "
        )
        if is_decay:
            message += (
                "Use a smaller lambda_, standardise the features, or work with the logarithm "
                "(distance_weights(..., log=True))."
            )
        else:
            message += "Standardise the features."
        warnings.warn(message, WeightsWarning, stacklevel=2)
    if "collapsed" in d.problems:
        change = "use a smaller lambda_ ('median' fits the distances), or " if is_decay else ""
        warnings.warn(
            f"the {d.n} weights (metric={name!r}) amount to {d.effective_sample_size:.3g} rows "
            f"(Kish's effective sample size, less than a tenth), so that the model is fitted to "
            f"few rows: {change}standardise the features",
            WeightsWarning,
            stacklevel=2,
        )
    if "constant" in d.problems and d.max > 0:
        why = _WHY_CONSTANT.get(
            name,
            "all rows are about equally far from the test rows; use a larger lambda_, standardise "
            "the features, or use another metric",
        )
        warnings.warn(
            f"the {d.n} weights (metric={name!r}) are constant to within 1 % "
            f"(from {d.min:.6g} to {d.max:.6g}), which is unweighted training: {why}.",
            WeightsWarning,
            stacklevel=2,
        )
    return d


def check_weights(w: Any, name: str, n: int | None = None) -> np.ndarray:
    """Return w as a float64 array of shape (n,), or say what is wrong with it.

    Parameters
    ----------
    w : array-like or Tensor
        Weights.
    name : str
        What the error message calls them.
    n : int, optional
        The length they must have.

    Raises
    ------
    ValueError
        If w is not 1-d, not of length n, or holds NaN, infinite or negative values.

    Examples
    --------
    >>> check_weights([1, 2], "weights", 2)
    array([1., 2.])
    """
    try:
        w = np.asarray(w.detach().cpu() if torch.is_tensor(w) else w, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: not numbers ({error}); give one number per row") from error
    if w.ndim != 1:
        raise ValueError(f"{name}: shape {w.shape}; allowed is one weight per row, shape (N,)")
    if n is not None and w.size != n:
        raise ValueError(f"{name}: {w.size} weights for {n} training rows; give one weight per row")
    bad = np.flatnonzero(~(np.isfinite(w) & (w >= 0)))
    if bad.size:
        raise ValueError(
            f"{name}: weight {w[bad[0]]} at row {bad[0]} ({bad.size} such in all); allowed are "
            "finite values >= 0; remove NaN and infinite rows from the data and compute them again"
        )
    return w
