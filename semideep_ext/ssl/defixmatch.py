"""DeFixMatch: FixMatch less its own bias (Schmutz, Humbert & Mattei, ICLR 2023)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from semideep_ext.ssl.alignment import DistributionAlignment
from semideep_ext.ssl.augment import Augmentation
from semideep_ext.ssl.fixmatch import FixMatch
from semideep_ext.ssl.method import Batch, Data
from semideep_ext.ssl.ramps import Ramp
from semideep_ext.ssl.thresholds import FixedThreshold, Threshold


class DeFixMatch(FixMatch):
    r"""FixMatch's unlabelled loss, less the same loss of the labelled rows.

    .. math:: L_u = \frac{1}{U} \sum_j H(u_j) - \frac{1}{B} \sum_i w_i H(x_i)

    where H is FixMatch's loss of a row, whose labels are guessed for the labelled rows, too. Where
    labelled rows are drawn as the others are, its mean is 0: the risk stays unbiased, so that a
    wrong assumption costs variance, no more. With weights, it stays so where these are the density
    ratio. The labelled loss is the mean of that of weak and of strong views.

    Parameters
    ----------
    weight : float, default 0.5
        1 in the paper and in the presets. Half of the labelled loss is that of strong views, so
        that above .5 more is taken off than there is, and nothing bounds the sum from below: with
        few labels the labelled loss grows without end (`docs/methods_evidence.md`).
    threshold, alignment, weak, strong, ramp, mu, ema
        As in `FixMatch`. The threshold is a fixed one: the others count unlabelled rows.

    Notes
    -----
    One pass over both views of labelled and unlabelled rows, so that batch norm sees all of them.
    """

    name = "defixmatch"
    presets: ClassVar = {"cifar10": {"weight": 1.0}, "cifar100": {"weight": 1.0}}

    def __init__(
        self,
        weight: float = 0.5,
        threshold: float | Threshold = 0.95,
        alignment: DistributionAlignment | None = None,
        weak: Augmentation | None = None,
        strong: Augmentation | None = None,
        ramp: Ramp | None = None,
        mu: int = 7,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__(weight, threshold, alignment, weak, strong, ramp, mu, ema)

    def start(self, model: nn.Module, data: Data) -> None:
        """Refuse a threshold that counts rows."""
        if not isinstance(self.threshold, FixedThreshold):
            raise ValueError(
                f"threshold={self.threshold!r}: DeFixMatch applies it to labelled rows, too, which "
                "would be counted as unlabelled ones; give a number"
            )
        super().start(model, data)

    def views(self, batch: Batch) -> dict[str, Tensor]:
        """Give the rows that go through the model, by what they are."""
        return super().views(batch) | {"strong x": self._augmentations[1](batch.x)}

    def on_labeled(self, batch: Batch, outputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Give the labelled loss, and the loss of the labelled rows as if they had no labels."""
        p = batch.logits(outputs["x"].detach()).softmax(1)
        losses = self.threshold(p) * self.divergence(p, batch.logits(outputs["strong x"]))
        both = [batch.supervised(outputs[part], batch.y, batch.w) for part in ("x", "strong x")]
        weighted = losses if batch.w is None else batch.w * losses
        return (both[0] + both[1]) / 2, weighted.mean()
