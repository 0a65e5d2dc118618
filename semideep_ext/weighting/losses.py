"""Losses weighted per row.

    L = (1/N) * sum_i w_i * loss(target_i, f(x_i))

Equation 3 of arXiv 2505.14345. The mean divides by the number of rows N, not by the sum of the
weights: with the same weights, rows far from the test rows make a batch count for less.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

REDUCTIONS = ("none", "mean", "sum")
BINARY_LOSSES = (nn.BCEWithLogitsLoss, nn.BCELoss)
REGRESSION_LOSSES = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.PoissonNLLLoss)


class WeightedLoss(nn.Module):
    """Multiply each row's loss by its weight, then reduce.

    Parameters
    ----------
    base_loss : nn.Module or callable, optional
        Called as base_loss(predictions, targets); default `nn.CrossEntropyLoss()`. A module with a
        `reduction` is copied, and the copy set to reduction "none"; the argument is left as it is.
        A callable must give one loss per row.
    reduction : {"mean", "none", "sum"}, default "mean"
        How the N weighted losses are reduced.

    Raises
    ------
    ValueError
        If reduction is none of the three, or base_loss cannot be called with predictions.

    Notes
    -----
    Losses of shape (N, ...), as of multi-label or sequence targets, are averaged to one per row
    first. For `nn.CrossEntropyLoss`, a position with target `ignore_index` counts as loss 0.

    Examples
    --------
    >>> loss = WeightedLoss(nn.MSELoss())
    >>> loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0]), torch.tensor([1.0, 2.0]))
    tensor(9.5000)
    """

    def __init__(
        self,
        base_loss: nn.Module | Callable[[Tensor, Tensor], Tensor] | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction={reduction!r}: choose one of {', '.join(REDUCTIONS)}")
        if base_loss is None:
            base_loss = nn.CrossEntropyLoss()
        if not callable(base_loss) or isinstance(base_loss, type):
            raise ValueError(
                f"the loss is {base_loss!r}; give a module that is built, such as "
                "torch.nn.CrossEntropyLoss(), or a function of predictions and targets"
            )
        if isinstance(base_loss, nn.Module) and hasattr(base_loss, "reduction"):
            # Deep: moving a shallow copy to a device would move the argument's buffers with it.
            base_loss = copy.deepcopy(base_loss)
            base_loss.reduction = "none"  # type: ignore[assignment]
        self.base_loss = base_loss
        self.reduction = reduction

    def forward(self, predictions: Tensor, targets: Tensor, weights: Any = None) -> Tensor:
        """Weighted loss.

        Parameters
        ----------
        predictions : Tensor, shape (N, ...)
            What base_loss takes.
        targets : Tensor, shape (N, ...)
            What base_loss takes. For torch's BCE and regression losses, predictions of shape (N,)
            and (N, 1) both go with targets of shape (N,) or (N, 1), of any real dtype.
        weights : Tensor or array-like, shape (N,), optional
            Default 1 for each row.

        Returns
        -------
        Tensor
            0-d, or (N,) for reduction "none".

        Raises
        ------
        ValueError
            If the base loss does not give one loss per row, or weights is not of shape (N,).
        """
        if isinstance(self.base_loss, (*BINARY_LOSSES, *REGRESSION_LOSSES)):
            targets = _match_targets(predictions, targets)
        losses = self._per_row(self.base_loss(predictions, targets), len(predictions))
        if weights is not None:
            weights = torch.as_tensor(weights, dtype=losses.dtype, device=losses.device)
            if weights.shape != losses.shape:  # (N, 1) would broadcast to N x N
                raise ValueError(
                    f"weights of shape {tuple(weights.shape)} for {len(losses)} rows; "
                    f"allowed is one weight per row, shape ({len(losses)},)"
                )
            losses = losses * weights
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()

    def total(self, loss: Tensor, n: int) -> Tensor:
        """Sum over the n rows that gave this loss."""
        return loss * n if self.reduction == "mean" else loss.sum()

    @staticmethod
    def _per_row(losses: Tensor, n: int) -> Tensor:
        if losses.ndim == 0 or len(losses) != n:
            raise ValueError(
                f"base_loss gave a loss of shape {tuple(losses.shape)} for {n} rows; weighting "
                "needs one loss per row: build it with reduction='none', for example "
                "functools.partial(torch.nn.functional.cross_entropy, reduction='none')"
            )
        return losses if losses.ndim == 1 else losses.flatten(1).mean(1)


def _match_targets(predictions: Tensor, targets: Tensor) -> Tensor:
    """Give targets the dtype of the predictions, and (N,) or (N, 1) their shape too.

    Torch's regression losses would broadcast (N,) with (N, 1) to N x N, with a warning only.
    """
    if targets.shape != predictions.shape:
        n = len(predictions)
        column = {(n,), (n, 1)}
        if tuple(targets.shape) not in column or tuple(predictions.shape) not in column:
            raise ValueError(
                f"predictions of shape {tuple(predictions.shape)} and targets of shape "
                f"{tuple(targets.shape)}; this loss takes equal shapes, or (N,) with (N, 1); "
                "for a model with one output per class use WeightedCrossEntropyLoss"
            )
        targets = targets.reshape(predictions.shape)
    return targets.to(predictions.dtype)


class WeightedCrossEntropyLoss(WeightedLoss):
    """Cross entropy weighted per row, for a model with one output per class.

    Parameters
    ----------
    reduction : {"mean", "none", "sum"}, default "mean"
        How the N weighted losses are reduced.
    **cross_entropy_options
        Passed to `torch.nn.CrossEntropyLoss`: weight, ignore_index, label_smoothing. With these
        too the mean divides by N, where torch divides by the class weights' sum.

    Examples
    --------
    >>> loss = WeightedCrossEntropyLoss()
    >>> loss(torch.zeros(2, 4), torch.tensor([0, 3]), torch.tensor([1.0, 3.0]))
    tensor(2.7726)
    """

    def __init__(self, reduction: str = "mean", **cross_entropy_options: Any) -> None:
        super().__init__(nn.CrossEntropyLoss(**cross_entropy_options), reduction)


class WeightedBCEWithLogitsLoss(WeightedLoss):
    """Binary cross entropy on logits weighted per row, for a model with one output.

    Parameters
    ----------
    reduction : {"mean", "none", "sum"}, default "mean"
        How the N weighted losses are reduced.
    pos_weight : Tensor, optional
        As in `torch.nn.BCEWithLogitsLoss`: factor on the positive class.

    Examples
    --------
    >>> loss = WeightedBCEWithLogitsLoss()
    >>> loss(torch.zeros(2, 1), torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    tensor(1.3863)
    """

    def __init__(self, reduction: str = "mean", pos_weight: Tensor | None = None) -> None:
        super().__init__(nn.BCEWithLogitsLoss(pos_weight=pos_weight), reduction)
