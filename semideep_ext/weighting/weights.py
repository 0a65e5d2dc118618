"""Distance-based sample weights as objects.

    w_i = (1/M) * sum_j exp(-lambda * d(x_i, y_j))

Training rows that resemble the unlabelled test rows count for more (arXiv 2505.14345, equation 2).

- `DistanceWeights`: a module for weights computed inside a training loop, with gradients.
- `WeightComputer`: weights computed once, kept, saved and loaded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semideep_ext._files import write_atomically
from semideep_ext.op.arguments import to_tensor
from semideep_ext.op.functional import DEFAULT_EPS, distance_weights
from semideep_ext.op.libraries import check_device
from semideep_ext.op.metrics import check_kernel, check_metric
from semideep_ext.weighting.checks import check_number
from semideep_ext.weighting.diagnostics import check_weights, warn_if_degenerate
from semideep_ext.weighting.normalisation import mean_one
from semideep_ext.weighting.scales import resolve_lambda


class DistanceWeights(nn.Module):
    """Weights of the rows of x by their distances to the rows of y, inside a training loop.

    Gradients flow to x and y (features computed in the loop) for differentiable metrics, and to
    lambda if it is learnable. lambda is kept as its logarithm, hence positive at every step.

    Parameters
    ----------
    metric : str or callable, default "euclidean"
        A name in `semideep_ext.op.metrics.METRICS`, or a callable.
    lambda_ : float, default 0.8
        Decay; the start value if learnable.
    kernel : {"exponential", "inverse"}, default "exponential"
        exp(-lambda d), or 1/(d + eps).
    eps : float, default 1e-3
        For kernel="inverse": the weight of a duplicate row is at most 1/eps.
    learnable : bool, default False
        Make log(lambda) a parameter. It is in the state_dict either way.
    normalize : bool, default False
        Divide by the mean, so that the size of the training step does not depend on lambda.
        Computed from log w, so it is right where w itself underflows.

    Raises
    ------
    ValueError
        If lambda_ is not finite or not positive, the kernel is unknown, or learnable with
        kernel="inverse", which has no lambda.

    Examples
    --------
    >>> x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0]])
    >>> DistanceWeights(lambda_=0.5)(x, y)
    tensor([1.0000, 0.3679])
    >>> DistanceWeights(lambda_=0.5, normalize=True)(x, y).mean()
    tensor(1.)
    """

    log_lambda: Tensor

    def __init__(
        self,
        metric: str | Callable[..., Any] = "euclidean",
        lambda_: float = 0.8,
        *,
        kernel: str = "exponential",
        eps: float = DEFAULT_EPS,
        learnable: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        check_number("lambda_", lambda_)
        taken = check_kernel(kernel)
        if learnable and taken.parameter != "lambda":
            raise ValueError(
                f"learnable=True with kernel={kernel!r}: {taken.formula} has no lambda to learn; "
                "use kernel='exponential' or learnable=False"
            )
        if not callable(metric):
            check_metric(metric)
        check_number("eps", eps)
        self.metric, self.kernel, self.eps = metric, kernel, eps
        self.learnable, self.normalize = learnable, normalize
        # float64, so that exp(log(lambda_)) gives lambda_ back to the last digit of a float32.
        log_lambda = torch.tensor(math.log(lambda_), dtype=torch.float64)
        if learnable:
            self.log_lambda = nn.Parameter(log_lambda)
        else:
            self.register_buffer("log_lambda", log_lambda)

    @property
    def lambda_(self) -> Tensor:
        """The decay, a 0-d tensor; carries a gradient if learnable."""
        return self.log_lambda.exp()

    def forward(self, x: Tensor, y: Tensor, y_weight: Tensor | None = None) -> Tensor:
        """Weights of the rows of x.

        Parameters
        ----------
        x : Tensor, shape (N, D)
        y : Tensor, shape (M, D)
        y_weight : Tensor, shape (M,), optional
            Non-negative weights of the rows of y; default 1/M each.

        Returns
        -------
        Tensor, shape (N,)
        """
        w: Tensor = distance_weights(
            x,
            y,
            self.metric,
            self.lambda_,
            y_weight=y_weight,
            kernel=self.kernel,
            eps=self.eps,
            log=self.normalize,
        )
        return mean_one(w) if self.normalize else w

    def extra_repr(self) -> str:
        """Show the settings in the module's repr."""
        return (
            f"metric={self.metric!r}, lambda_={self.lambda_.item():.6g}, kernel={self.kernel!r}, "
            f"learnable={self.learnable}, normalize={self.normalize}"
        )


class WeightComputer:
    """Compute, keep, save and load the weights of training rows.

    Parameters
    ----------
    distance_metric : str or callable, default "euclidean"
        A name in `semideep_ext.op.metrics.METRICS`, or a callable.
    lambda_ : float or "median", default 0.8
        Decay: a higher value makes the weights more local. "median" is 1 / (median distance between
        training and test rows), as `semideep_ext.weighting.scales.median_lambda` gives it.
    device : str or torch.device, default "cpu"
        Where to compute, and where `get_tensor_weights` puts its result.
    normalize : bool, default False
        Divide the weights by their mean, as everything that trains does by default. False gives
        those of the formula, at most 1, as `semideep` does.

    Attributes
    ----------
    weights : ndarray of shape (N,), or None before `compute_weights` or `load_weights`

    Examples
    --------
    >>> computer = WeightComputer(lambda_=0.5)
    >>> computer.compute_weights(np.array([[0.0], [2.0]]), np.array([[0.0]])).round(4)
    array([1.    , 0.3679])
    >>> computer.get_tensor_weights([1])
    tensor([0.3679])
    """

    def __init__(
        self,
        distance_metric: str | Callable[..., Any] = "euclidean",
        lambda_: float | str = 0.8,
        device: str | torch.device = "cpu",
        *,
        normalize: bool = False,
    ) -> None:
        if not callable(distance_metric):
            check_metric(distance_metric)
        self.distance_metric = distance_metric
        self.lambda_ = lambda_
        self.device = torch.device(device)
        self.normalize = normalize
        self.weights: np.ndarray | None = None

    def compute_weights(self, X_train: Any, X_test: Any) -> np.ndarray:
        """Compute the weights of the training rows and keep them in `weights`.

        Parameters
        ----------
        X_train : array, DataFrame or Tensor, shape (N, D)
        X_test : array, DataFrame or Tensor, shape (M, D)

        Returns
        -------
        ndarray, shape (N,)

        Raises
        ------
        ValueError
            If the shapes do not fit, M = 0, lambda_ is not positive, a weight is NaN because the
            rows hold NaN or infinity, or `device` is CUDA and there are no CUDA kernels.

        Warns
        -----
        WeightsWarning
            If the weights are constant or underflowed.
        """
        check_device(self.device, self.distance_metric)
        if self.device.type != "cpu" or torch.is_tensor(X_train) or torch.is_tensor(X_test):
            X_train, X_test = (
                to_tensor(name, X).detach().to(self.device)
                for name, X in (("X_train", X_train), ("X_test", X_test))
            )
        lambda_ = resolve_lambda(self.lambda_, X_train, X_test, self.distance_metric)
        w = distance_weights(X_train, X_test, self.distance_metric, lambda_, log=self.normalize)
        w = w.cpu().numpy() if torch.is_tensor(w) else w
        if np.isnan(w).any():
            row = int(np.flatnonzero(np.isnan(w))[0])
            raise ValueError(
                f"the weight of training row {row} is {w[row]}: that row, or a row of X_test, "
                "holds NaN or infinity; drop or impute it"
            )
        w = mean_one(w) if self.normalize else w
        warn_if_degenerate(w, self.distance_metric)
        self.weights = w
        return w.copy()

    def get_tensor_weights(self, indices: Any = None) -> Tensor:
        """Give the weights as a float32 tensor on `device`: a copy.

        Parameters
        ----------
        indices : int array-like, slice or Tensor, optional
            Rows to select; default all.

        Raises
        ------
        ValueError
            If no weights were computed or loaded.
        """
        w = self._existing()
        if torch.is_tensor(indices):
            indices = indices.cpu().numpy()
        return torch.tensor(w if indices is None else w[indices], dtype=torch.float32).to(
            self.device
        )

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Save the weights as a .npy file: all of it or, whatever happens, none of it.

        Parameters
        ----------
        path : path-like
            ".npy" is appended if missing, as `numpy.save` does.

        Raises
        ------
        ValueError
            If no weights were computed or loaded.
        OSError
            If the file cannot be written; an older file of that name stays as it was.
        """
        w = self._existing()
        write_atomically(_with_npy(path), lambda f: np.save(f, w, allow_pickle=False))

    def load_weights(self, path: str | os.PathLike[str]) -> np.ndarray:
        """Load weights from a .npy file, keep them in `weights`, and return them.

        Parameters
        ----------
        path : path-like
            As given to `save_weights`: ".npy" is appended if there is no such file without it.

        Raises
        ------
        ValueError
            If the file is not a .npy file of N finite, non-negative floats (pickles and object
            arrays are never opened), or N differs from the number of weights already held.
        FileNotFoundError
            If there is no such file.
        """
        path = os.fspath(path) if os.path.isfile(path) else _with_npy(path)
        try:
            with open(path, "rb") as f:  # numpy leaves a path that it cannot read open
                w = np.load(f, allow_pickle=False)
        except OSError:
            raise
        except Exception as error:  # numpy lets many kinds out of a broken header
            raise ValueError(
                f"{path}: not a readable .npy file ({error}); allowed is one 1-d float array, "
                "as save_weights writes it; write the file again with save_weights"
            ) from error
        if not isinstance(w, np.ndarray):
            raise ValueError(f"{path}: a .npz archive; allowed is one .npy array; use save_weights")
        if w.dtype.kind != "f" or w.dtype.itemsize > 8:
            raise ValueError(
                f"{path}: dtype {w.dtype}; allowed are float16, float32 and float64; "
                "convert with .astype and save again"
            )
        n = None if self.weights is None else self.weights.size
        self.weights = check_weights(w, str(path), n).astype(w.dtype.newbyteorder("="))
        return self.weights.copy()

    def _existing(self) -> np.ndarray:
        if self.weights is None:
            raise ValueError("no weights yet: call compute_weights or load_weights first")
        return self.weights


def _with_npy(path: str | os.PathLike[str]) -> str:
    path = os.fspath(path)
    return path if path.endswith(".npy") else f"{path}.npy"
