"""The public op: `distance_weights`, and `kernel_matmul`, the product it is a case of."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semideep_ext.op import (  # derivatives adds to registration
    blocks,
    derivatives,  # noqa: F401
    registration,
)
from semideep_ext.op.arguments import ArrayLike
from semideep_ext.op.batch import fold, in_graph
from semideep_ext.op.metrics import KERNELS, METRICS
from semideep_ext.op.question import Question, read

__all__ = ["distance_weights", "kernel_matmul"]

DEFAULT_EPS = 1e-3


def distance_weights(
    x: ArrayLike,
    y: ArrayLike,
    metric: Any = "euclidean",
    lambda_: Any = 0.8,
    *,
    y_weight: ArrayLike | None = None,
    kernel: str = "exponential",
    eps: Any = DEFAULT_EPS,
    log: bool = False,
) -> Any:
    r"""Weight each row of x by its closeness to the rows of y.

    .. math:: w_i = \frac{1}{M} \sum_j \exp(-\lambda \, d(x_i, y_j))

    after equation (2) of arXiv 2505.14345. The N x M matrix is never stored: memory is that of x
    and y.

    Parameters
    ----------
    x : (..., N, D) tensor, array or DataFrame
        Rows to weigh. Batch dimensions broadcast against those of `y`, as in `torch.cdist`.
    y : (..., M, D) tensor, array or DataFrame
        Rows to be close to; M >= 1. Same dtype and device as `x`.
    metric : str or callable, default "euclidean"
        A name in `semideep_ext.METRICS`, or a function of two sets of rows, (n, D) and (M, D), that
        returns their distances, (n, M); it is called on blocks of rows of x.
    lambda_ : float, 0-d tensor or 1-d tensor of L values, default 0.8
        Decay, > 0, in units of 1/distance; may require grad. With L values all results come from
        one pass over the distances. Unused by kernel "inverse".
    y_weight : (M,) or (..., M), optional
        Non-negative importance of the rows of y, normalised to sum 1. Default 1/M each.
    kernel : {"exponential", "inverse"}, default "exponential"
        exp(-lambda d), or 1 / (d + eps), the inverse distance weighting baseline of the paper.
    eps : float or 0-d tensor, default 1e-3
        Only for kernel "inverse": a duplicate of a row of y contributes 1/eps, so this bounds the
        weights. It is in units of the distance.
    log : bool, default False
        Return log w, from a running log-sum-exp that neither underflows nor overflows.

    Returns
    -------
    (..., N) tensor or array
        The weights; (..., L, N) for 1-d `lambda_`. A tensor if x or y is one, else a numpy array.
        float64 for float64 rows, float32 for all others. For kernel "exponential", 0 <= w <= 1
        (with `y_weight`, to rounding).
        A NaN in a row of x makes its weight NaN; one in y makes every weight NaN.

    Raises
    ------
    ValueError
        For shapes, dtypes or devices that do not go together, M = 0, an unknown metric or kernel,
        lambda_ or eps that is not finite and > 0, negative or all-zero y_weight, and rows that
        require grad under a metric without gradients. The message says what was given and what to
        change.

    Notes
    -----
    Differentiable, twice, in x, y, y_weight and lambda_ for euclidean, sqeuclidean and cosine; in
    y_weight and lambda_ for hamming and jaccard. The relative error of gradients under log=True
    grows as 1e-16 lambda d, beyond their dtype's precision only where lambda d is in the millions.
    Sums of both signs (gradients, and products with v of both signs) are as accurate as their
    dtype for the sum of their terms' magnitudes.
    The derivatives of torch.func, and forward mode, work too, but not inside torch.compile, nor
    torch.func.grad, vjp and jacrev with a callable metric.

    Results have the same bits for any number of threads and any split of x into calls, on one
    instruction set.

    Edge cases: equal rows have distance 0. A zero row has cosine distance 1 from every row, two
    empty sets (zero rows) have jaccard distance 0, and no features (D = 0) mean distance 0.
    hamming compares raw values; integers of any size and, between arrays, strings are compared
    exactly. DataFrames must have the same columns in the same order.

    Values (lambda_ > 0, y_weight >= 0) are not checked inside torch.compile and torch.vmap, where
    they cannot be read. Neither are they on CUDA, where reading would wait for the device: wrong
    ones give NaN there, and jaccard does not warn. A call on CUDA waits for nothing and can be
    captured in a graph, if lambda_ is a number or, like y_weight, a tensor on the device of x.

    Examples
    --------
    >>> import torch, semideep_ext
    >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> y = torch.tensor([[0.0, 0.0]])
    >>> semideep_ext.distance_weights(x, y, lambda_=1.0)
    tensor([1.0000, 0.0067])
    """
    return _answer(read(x, y, metric, lambda_, kernel, eps, y_weight=y_weight, log=log))


def kernel_matmul(
    x: ArrayLike,
    y: ArrayLike,
    v: ArrayLike,
    metric: Any = "euclidean",
    lambda_: Any = 0.8,
    *,
    kernel: str = "exponential",
    eps: Any = DEFAULT_EPS,
) -> Any:
    r"""Multiply the kernel matrix of two sets of rows with v, without storing the matrix.

    .. math:: out_{ic} = \sum_j k(d(x_i, y_j)) \, v_{jc}

    Sample weights, kernel regression, density estimates, label propagation and MMD are this product
    with different v.

    Parameters
    ----------
    x : (..., N, D) tensor, array or DataFrame
        Left rows.
    y : (..., M, D) tensor, array or DataFrame
        Right rows, M >= 1.
    v : (M,) or (..., M, C) tensor or array
        What is summed. A tensor has the device of x.
    metric, lambda_, kernel, eps
        As in `distance_weights`.

    Returns
    -------
    (..., N, C) tensor or array
        (..., N) for 1-d v. With 1-d `lambda_` of L values, (..., L, N, C). Dtype as in
        `distance_weights`.

    Raises
    ------
    ValueError
        As in `distance_weights`, and for v that does not have M rows.

    Notes
    -----
    Differentiable in v, and otherwise as `distance_weights`.

    Examples
    --------
    Nadaraya-Watson regression:

    >>> import torch
    >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    >>> sums = kernel_matmul(x, y, torch.tensor([[10.0, 1.0], [30.0, 1.0]]), lambda_=2.0)
    >>> sums[:, 0] / sums[:, 1]
    tensor([10.3597, 20.0000])
    """
    return _answer(read(x, y, metric, lambda_, kernel, eps, v=v))


def _answer(question: Question) -> Any:
    """Return (..., L, N, C), without the L and the C where the arguments have none."""
    callable_ = callable(question.metric)
    batch, out = (blocks.weighted_sum if callable_ else _fused_sum)(question)
    if question.total is not None:
        out = out - question.total.log() if question.log else out / question.total
    out = out.reshape(*batch, *question.levels, out.shape[-2], *question.columns)
    if out.dtype != question.dtype:
        out = out.to(question.dtype)
    return _as_array(out) if question.as_array else out


def _fused_sum(question: Question) -> tuple[torch.Size, Tensor]:
    """Run the compiled op: the batch, and (*batch, L, N, C), or (1, L, N, C) without a batch."""
    names = question.metric, question.kernel
    has_log = KERNELS[question.kernel].has_log
    batch, (x, y, v, parameter) = fold(question)
    if question.log and has_log:
        out = registration.kernel_log_sum(x, y, v, parameter, *names).unsqueeze(-1)
        if in_graph():
            # The op saves its result, of which no view may leave a graph (see `remade`). Inductor
            # drops clones; this copy it keeps.
            out = torch.maximum(out, out)
    else:
        out = registration.kernel_matmul(x, y, v, parameter, None, None, *names)
        out = out.log() if question.log else out
    merges = METRICS[question.metric].sum_of == "common"
    if merges and question.x.is_cpu and registration.values_merged():
        warn_that_jaccard_merges()
    if batch:
        out = out.reshape(*batch, *out.shape[1:])
    return batch, out


def _as_array(out: Tensor) -> np.ndarray:
    if out.requires_grad:
        raise ValueError(
            "lambda_, eps, y_weight or v requires grad, but x and y are arrays, and so would be "
            "the result, which carries no gradient: pass x and y as tensors"
        )
    return out.numpy()


_jaccard_warned = False


def warn_that_jaccard_merges() -> None:
    """Warn, once a process, that the cast to "zero or not" merges different values."""
    global _jaccard_warned
    if _jaccard_warned:
        return
    _jaccard_warned = True
    warnings.warn(
        "metric='jaccard' only asks whether a value is zero, and these rows hold values other "
        "than 0 and 1: binarise them with your own threshold, or choose another metric",
        UserWarning,
        stacklevel=5,  # the caller of the op
    )
