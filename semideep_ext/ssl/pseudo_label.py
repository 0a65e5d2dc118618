"""Pseudo-labels: the model's own prediction as the label of an unlabelled row (Lee, 2013)."""

from __future__ import annotations

from typing import ClassVar

from torch import nn
from torch.nn import functional as F

from semideep_ext.ssl.method import Batch, Losses, Method, pseudo_label_facts
from semideep_ext.ssl.ramps import Linear, Ramp


class PseudoLabel(Method):
    r"""Cross entropy to the class that the same forward pass finds most probable.

    .. math:: L_u = \frac{1}{U} \sum_j -\log p_{\hat y_j}(u_j), \quad \hat y_j = \arg\max_k p_k(u_j)

    The mean is over all rows of the batch, also those that a threshold leaves out. Labels are found
    anew in each step.

    Parameters
    ----------
    weight : float, default 3.0
    ramp : Ramp, default Linear(0.1, 0.6)
        Lee's T1 = 100 and T2 = 600 of 1,000: 0 before the first, linear up to the second. The paper
        does not say whether it counts epochs or steps; a ramp goes by shares of the training.
    threshold : float or None, default 0.95
        Least probability of a label that is used. Lee uses all (None, as in the presets); wrong
        ones can then make each other sure (`docs/methods_evidence.md`).
    mu, ema
        See `Method`.

    Notes
    -----
    Labelled and unlabelled rows share one pass, so that batch norm sees both.

    Examples
    --------
    >>> PseudoLabel.preset("pretrained").ramp
    Linear(begin=0.2, end=0.8)
    """

    name = "pseudo-label"
    presets: ClassVar = {
        "mnist": {"threshold": None},
        "pretrained": {"threshold": None, "ramp": Linear(0.2, 0.8)},
    }

    def __init__(
        self,
        weight: float = 3.0,
        ramp: Ramp | None = None,
        threshold: float | None = 0.95,
        mu: int = 1,
        ema: float | None = None,
    ) -> None:
        super().__init__(weight, ramp or Linear(0.1, 0.6), mu, ema)
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold={threshold!r}: give a probability from 0 to 1, or None")
        self.threshold = threshold

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        labeled, unlabeled = batch.joint(model, batch.x, batch.u)
        logits = batch.logits(unlabeled)
        confidence, label = logits.detach().softmax(1).max(1)
        mask = (confidence >= (self.threshold or 0.0)).to(logits.dtype)
        loss = (mask * F.cross_entropy(logits, label, reduction="none")).mean()
        facts = pseudo_label_facts(mask, label, batch.truth)
        return self.losses(batch, batch.supervised(labeled, batch.y, batch.w), loss, facts)
