"""Augmentations of tables, rows (n, D) of numbers on any scale.

Each fits the scale of the data by itself, and none clamps: standardised columns have no bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semideep_ext.weighting.checks import check_number


@dataclass(frozen=True)
class GaussianNoise:
    """Add noise of `scale` times each column's standard deviation, by default in the batch.

    Parameters
    ----------
    scale : float, default 0.1
    deviations : Tensor, shape (D,), optional
        Of all rows; needed where a batch has few.

    Examples
    --------
    >>> constant = torch.ones(5, 2)
    >>> bool((GaussianNoise()(constant) == constant).all())
    True
    """

    scale: float = 0.1
    deviations: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse what is no size of noise."""
        check_number("scale", self.scale, zero=True)

    def __call__(self, x: Tensor) -> Tensor:
        """Give noisy rows."""
        deviations = x.std(0, correction=0) if self.deviations is None else self.deviations
        return x + self.scale * deviations * torch.randn_like(x)


@dataclass(frozen=True)
class FeatureDropout:
    """Set each value to its column's mean with probability p; 0 for standardised columns.

    Unlike dropout inside a network the others are not scaled up: rows keep their place.

    Examples
    --------
    >>> FeatureDropout(1.0)(torch.tensor([[1.0], [3.0]]))
    tensor([[2.],
            [2.]])
    """

    p: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        _check_share("p", self.p)

    def __call__(self, x: Tensor) -> Tensor:
        """Give rows with values dropped."""
        return torch.where(torch.rand_like(x) < self.p, x.mean(0), x)


@dataclass(frozen=True)
class ScarfCorruption:
    """Replace a share of each row's values by those of other rows in the same columns.

    SCARF (Bahri et al., ICLR 2022), whose share of .6 serves to learn features without labels.
    Where a row must keep its class, replace fewer: a tenth, as `default_augmentations` does. The
    new values are those that the column really has, and rows stay within the data.

    Parameters
    ----------
    share : float, default 0.6
        Of the columns, rounded down, drawn anew for each row.
    pool : Tensor, shape (P, D), optional
        Rows to draw from; by default those of the batch.

    Examples
    --------
    >>> ScarfCorruption(1.0, pool=torch.tensor([[7.0, 8.0]]))(torch.zeros(1, 2))
    tensor([[7., 8.]])
    """

    share: float = 0.6
    pool: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        _check_share("share", self.share)

    def __call__(self, x: Tensor) -> Tensor:
        """Give corrupted rows."""
        pool = x if self.pool is None else self.pool
        corrupted = int(self.share * x.shape[1])
        # Where the largest of random numbers stand is a random choice of each row's columns.
        columns = torch.rand(x.shape, device=x.device).topk(corrupted, sorted=False).indices
        rows = torch.randint(len(pool), columns.shape, device=x.device)
        return x.scatter(1, columns, pool[rows, columns])


def mixup(x: Tensor, other: Tensor, weight: float | Tensor) -> Tensor:
    """Mix rows: weight x + (1 - weight) other (Zhang et al., ICLR 2018).

    Parameters
    ----------
    x, other : Tensor, shape (n, ...)
        Rows, or their targets.
    weight : float, or Tensor of shape (n,)
        One for all rows, or one a row.

    Examples
    --------
    >>> mixup(torch.ones(2, 1), torch.zeros(2, 1), torch.tensor([1.0, 0.25]))
    tensor([[1.0000],
            [0.2500]])
    """
    if isinstance(weight, Tensor) and weight.ndim:
        weight = weight.reshape(-1, *[1] * (x.ndim - 1))
    return weight * x + (1 - weight) * other


def mixing_weights(alpha: float, n: int, like: Tensor) -> Tensor:
    """Draw n weights of mixup from Beta(alpha, alpha), (n,)."""
    check_number("alpha", alpha)
    concentration = torch.full((n,), alpha, dtype=like.dtype, device=like.device)
    return torch.distributions.Beta(concentration, concentration).sample()


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r}: give a share of the columns, from 0 to 1")
