"""Which pseudo-labels are used: one object, shared by the methods that ask.

Each is called with the probabilities of a batch of unlabelled rows and gives a weight for each row,
0 or 1 or between.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semideep_ext.ssl.method import numbers_of
from semideep_ext.weighting.checks import check_number


class Threshold(nn.Module):
    """Base class: `start`, and a weight for each row."""

    def start(self, classes: int, unlabeled: int, device: torch.device) -> None:
        """Make what is remembered between batches."""

    def forward(self, p: Tensor, index: Tensor | None = None) -> Tensor:
        """Weigh the rows of a batch.

        Parameters
        ----------
        p : Tensor, shape (U, K)
            Probabilities, without gradient.
        index : Tensor of int64, shape (U,), optional
            Numbers of the rows.

        Returns
        -------
        Tensor, shape (U,)
        """
        raise NotImplementedError

    def penalty(self, mask: Tensor, logits: Tensor) -> Tensor | None:
        """Give what is added to the unlabelled loss, 0-d, or None.

        Parameters
        ----------
        mask : Tensor, shape (U,)
            What the call gave for this batch.
        logits : Tensor, shape (U, K)
            Of the strongly augmented rows, with gradient.
        """
        return None


class FixedThreshold(Threshold):
    """Use a row whose largest probability is at least `value`.

    Examples
    --------
    >>> FixedThreshold(0.9)(torch.tensor([[0.95, 0.05], [0.4, 0.6]]))
    tensor([1., 0.])
    """

    def __init__(self, value: float = 0.95) -> None:
        super().__init__()
        _check_probability("value", value)
        self.value = value

    def forward(self, p: Tensor, index: Tensor | None = None) -> Tensor:
        """Weigh the rows of a batch."""
        return (p.amax(1) >= self.value).to(p.dtype)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"value={self.value}"


class FlexMatchThreshold(Threshold):
    r"""Lower the threshold of classes that are learned slowly (FlexMatch: Zhang et al., 2021).

    .. math:: T_k = \frac{\beta_k}{2 - \beta_k} \, value, \quad \beta_k = \sigma_k / \max_l \sigma_l

    sigma_k counts the unlabelled rows that were last predicted, with probability >= `value`, as
    class k. While most rows were never so (warm-up), their number takes part in the maximum.

    Parameters
    ----------
    value : float, default 0.95
    warm_up : bool, default True
    """

    selected: Tensor

    def __init__(self, value: float = 0.95, warm_up: bool = True) -> None:
        super().__init__()
        _check_probability("value", value)
        self.value, self.warm_up = value, warm_up

    def start(self, classes: int, unlabeled: int, device: torch.device) -> None:
        """Begin with no row predicted: class number K stands for that."""
        self.classes = classes
        self.register_buffer(
            "selected", torch.full((unlabeled,), classes, dtype=torch.int64, device=device)
        )

    def thresholds(self) -> Tensor:
        """Threshold of each class, (K,)."""
        counts = self.selected.bincount(minlength=self.classes + 1)
        largest = (counts if self.warm_up else counts[:-1]).amax().clamp(min=1)
        beta = counts[:-1] / largest
        return self.value * beta / (2 - beta)

    @torch.no_grad()
    def forward(self, p: Tensor, index: Tensor | None = None) -> Tensor:
        """Weigh the rows of a batch by the thresholds before it; then remember its labels."""
        index = numbers_of(index, "u_index", "FlexMatchThreshold")
        confidence, label = p.max(1)
        mask = (confidence >= self.thresholds()[label]).to(p.dtype)
        sure = confidence >= self.value
        self.selected[index[sure]] = label[sure]
        return mask

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"value={self.value}, warm_up={self.warm_up}"


class FreeMatchThreshold(Threshold):
    r"""Let thresholds follow the model's confidence (FreeMatch: Wang et al., ICLR 2023).

    .. math:: T_k = \tau \, \tilde p_k / \max_l \tilde p_l

    tau is the running mean of the largest probability, p~ that of all probabilities; both begin at
    1/K. `fairness` times sum_k a_k log b_k is added to the loss, with a ~ p~ / h~ and b ~ p / h
    normalised, where p is the mean over the batch's rows in use of their strongly augmented
    versions, and h~, h the shares of the predicted classes.

    Parameters
    ----------
    decay : float, default 0.999
    fairness : float, default 0.01
        .05 in the paper for few labels; .01 in its code.
    """

    confidence: Tensor
    mean: Tensor
    shares: Tensor

    def __init__(self, decay: float = 0.999, fairness: float = 0.01) -> None:
        super().__init__()
        check_number("fairness", fairness, zero=True)
        self.decay, self.fairness = decay, fairness

    def start(self, classes: int, unlabeled: int, device: torch.device) -> None:
        """Begin with equal shares."""
        equal = torch.full((classes,), 1 / classes, device=device)
        self.register_buffer("confidence", equal[0].clone())
        self.register_buffer("mean", equal)
        self.register_buffer("shares", equal.clone())

    @torch.no_grad()
    def forward(self, p: Tensor, index: Tensor | None = None) -> Tensor:
        """Weigh the rows of a batch, which takes part in the means."""
        confidence, label = p.max(1)
        self.confidence = confidence.mean().lerp(self.confidence, self.decay)
        self.mean = p.mean(0).lerp(self.mean, self.decay)
        self.shares = _shares(label, p).lerp(self.shares, self.decay)
        thresholds = self.confidence * self.mean / self.mean.amax()
        return (confidence >= thresholds[label]).to(p.dtype)

    def penalty(self, mask: Tensor, logits: Tensor) -> Tensor | None:
        """Give the fairness term; None where no row is in use."""
        logits = logits[mask > 0]
        if not len(logits) or not self.fairness:
            return None
        p = logits.softmax(1)
        a = _per_share(self.mean, self.shares)
        b = _per_share(p.mean(0), _shares(p.argmax(1), p))
        return self.fairness * (a * (b + 1e-12).log()).sum()

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"decay={self.decay}, fairness={self.fairness}"


class SoftMatchThreshold(Threshold):
    r"""Weigh by a truncated Gaussian of the confidence (SoftMatch: Chen et al., ICLR 2023).

    .. math:: w = \exp(-n^2 \min(c - \mu, 0)^2 / (2 \sigma^2))

    mu and sigma^2 are running mean and variance of the confidence c, the largest probability; they
    begin at 1/K and 1. The paper aligns distributions beforehand: `DistributionAlignment`.

    Parameters
    ----------
    n_sigma : float, default 2.0
    decay : float, default 0.999
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, n_sigma: float = 2.0, decay: float = 0.999) -> None:
        super().__init__()
        check_number("n_sigma", n_sigma)
        self.n_sigma, self.decay = n_sigma, decay

    def start(self, classes: int, unlabeled: int, device: torch.device) -> None:
        """Begin with no knowledge of the confidence."""
        self.register_buffer("mean", torch.tensor(1 / classes, device=device))
        self.register_buffer("variance", torch.tensor(1.0, device=device))

    @torch.no_grad()
    def forward(self, p: Tensor, index: Tensor | None = None) -> Tensor:
        """Weigh the rows of a batch, which takes part in mean and variance."""
        confidence = p.amax(1)
        self.mean = confidence.mean().lerp(self.mean, self.decay)
        if len(p) > 1:
            self.variance = confidence.var().lerp(self.variance, self.decay)
        below = (confidence - self.mean).clamp(max=0)
        return (-(self.n_sigma**2) * below**2 / (2 * self.variance)).exp()

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"n_sigma={self.n_sigma}, decay={self.decay}"


def as_threshold(threshold: float | Threshold) -> Threshold:
    """Give a threshold as it is, and of a number a fixed one."""
    return threshold if isinstance(threshold, Threshold) else FixedThreshold(threshold)


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r}: give a probability from 0 to 1")


def _shares(labels: Tensor, p: Tensor) -> Tensor:
    """Share of each class among labels, (K,)."""
    return labels.bincount(minlength=p.shape[1]).to(p.dtype) / len(labels)


def _per_share(p: Tensor, shares: Tensor) -> Tensor:
    """P / shares, normalised; 0 for classes without a share."""
    ratio = torch.where(shares > 0, p / shares.clamp(min=1e-38), 0.0)
    return ratio / ratio.sum()
