"""FixMatch: sure labels of weak views, learned on strong ones (Sohn et al., NeurIPS 2020)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from semideep_ext.ssl.alignment import DistributionAlignment
from semideep_ext.ssl.augment import Augmentation
from semideep_ext.ssl.ramps import Ramp
from semideep_ext.ssl.thresholds import Threshold
from semideep_ext.ssl.weak_strong import WeakStrong


class FixMatch(WeakStrong):
    r"""Cross entropy of a strongly augmented row to the sure label of its weakly augmented self.

    .. math:: L_u = \frac{1}{U} \sum_j 1[\max_k p_k(weak(u_j)) \ge t] \,
        H(\arg\max_k p_k(weak(u_j)), p(strong(u_j)))

    The mean is over all rows of the batch, also those below the threshold. Labels carry no
    gradient. The labelled rows are weakly augmented.

    Parameters
    ----------
    weight : float, default 1.0
    threshold : float or Threshold, default 0.95
        `thresholds` has those of FlexMatch, FreeMatch and SoftMatch.
    alignment : DistributionAlignment, optional
    weak, strong : callable, optional
        Of a batch of rows; by default what `augment.default_augmentations` chooses.
    ramp : Ramp, optional
        The paper needs none: few rows pass the threshold in the beginning.
    mu : int, default 7
        Unlabelled rows in a batch, per labelled one.
    ema : float, optional, default 0.999
        See `Method`.

    Notes
    -----
    One pass over labelled, weak and strong rows, so that batch norm sees all of them. The paper
    trains with SGD, Nesterov momentum .9, learning rate .03, weight decay 5e-4 (CIFAR-100: 1e-3)
    and the schedule cos(7 pi k / 16 K), batches of 64 labelled rows.

    Examples
    --------
    >>> FixMatch(threshold=0.9).threshold
    FixedThreshold(value=0.9)
    """

    name = "fixmatch"
    presets: ClassVar = {
        "cifar10": {},
        "cifar100": {},
        "svhn": {},
        "stl10": {},
        "imagenet": {"weight": 10.0, "threshold": 0.7, "mu": 5},
    }

    def __init__(
        self,
        weight: float = 1.0,
        threshold: float | Threshold = 0.95,
        alignment: DistributionAlignment | None = None,
        weak: Augmentation | None = None,
        strong: Augmentation | None = None,
        ramp: Ramp | None = None,
        mu: int = 7,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__(weight, threshold, alignment, weak, strong, ramp, mu, ema)

    def divergence(self, p: Tensor, logits: Tensor) -> Tensor:
        """Give each row's cross entropy to the most probable class."""
        return F.cross_entropy(logits, p.argmax(1), reduction="none")
