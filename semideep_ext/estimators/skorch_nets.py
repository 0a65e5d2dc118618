"""Sample weights for skorch nets, which have none of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from semideep_ext.weighting.diagnostics import check_weights

__all__ = ["SampleWeightMixin"]

_ROWS, _WEIGHTS = "rows", "sample_weight"


class SampleWeightMixin:
    """Give a skorch net the argument `sample_weight` of `fit`, to stand before the net's class.

    The loss is (1/N) sum_i w_i loss_i over the rows of a batch, in training and validation. Put
    such a net into `DistanceWeightedClassifier`, or anything else of scikit-learn that weighs rows.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> class Net(SampleWeightMixin, NeuralNetClassifier):
    ...     pass
    >>> _ = torch.manual_seed(0)
    >>> net = Net(torch.nn.Linear(1, 2), criterion=torch.nn.CrossEntropyLoss, train_split=None,
    ...           lr=1.0, verbose=0)
    >>> X, y = np.array([[-1], [1], [1]], dtype=np.float32), np.array([0, 1, 0])
    >>> net.fit(X, y, sample_weight=np.array([1.0, 1.0, 0.0])).predict(X)
    array([0, 1, 1])
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **fit_params: Any) -> Any:
        """Fit as the net does, each row's loss multiplied by its weight.

        Parameters
        ----------
        X : array or Tensor, shape (N, ...)
        y : array or Tensor, shape (N, ...)
        sample_weight : array-like, shape (N,), optional
        **fit_params
            As the net takes them.

        Raises
        ------
        ValueError
            If X is a DataFrame, dict or tuple, or there is not one finite weight >= 0 per row.
        """
        if sample_weight is not None:
            if not isinstance(X, (np.ndarray, torch.Tensor)):
                raise ValueError(
                    f"X is a {type(X).__name__}: with sample_weight, only an array or a tensor is "
                    "allowed; pass X.to_numpy(dtype='float32')"
                )
            weights = check_weights(sample_weight, "sample_weight", len(X))
            X = {_ROWS: X, _WEIGHTS: weights.astype(np.float32)}
        return super().fit(X, y, **fit_params)  # type: ignore[misc]

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Run the module on the rows alone."""
        return super().infer(x[_ROWS] if _is_weighted(x) else x, **fit_params)  # type: ignore[misc]

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, *args: Any, **options: Any) -> Any:
        """Take the weighted mean of the criterion's loss per row."""
        loss = super().get_loss  # type: ignore[misc]
        if not _is_weighted(X):
            return loss(y_pred, y_true, X, *args, **options)
        criterion = self.criterion_  # type: ignore[attr-defined]
        if not hasattr(criterion, "reduction"):
            raise ValueError(
                f"the criterion {type(criterion).__name__} has no reduction, so that its loss of "
                "each row is unknown; give it the attribute, as torch's losses have it"
            )
        reduction, criterion.reduction = criterion.reduction, "none"
        try:
            losses = loss(y_pred, y_true, X[_ROWS], *args, **options)
        finally:
            criterion.reduction = reduction
        losses = losses if losses.ndim == 1 else losses.flatten(1).mean(1)
        return (losses * X[_WEIGHTS].to(losses)).mean()


def _is_weighted(X: Any) -> bool:
    return isinstance(X, dict) and set(X) == {_ROWS, _WEIGHTS}
