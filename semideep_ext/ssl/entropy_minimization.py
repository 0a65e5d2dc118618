"""Entropy minimisation: decision boundaries away from the rows (Grandvalet & Bengio, 2004)."""

from __future__ import annotations

from torch import nn

from semideep_ext.ssl.method import Batch, Losses, Method
from semideep_ext.ssl.outputs import entropy
from semideep_ext.ssl.ramps import LAINE_AILA, Ramp


class EntropyMinimization(Method):
    r"""Mean entropy of the predictions for unlabelled rows.

    .. math:: L_u = -\frac{1}{U} \sum_j \sum_k p_k(u_j) \log p_k(u_j)

    Parameters
    ----------
    weight : float, default 1.0
        The paper chooses it, up to 1, by cross-validation.
    ramp : Ramp, default Sigmoid(80 / 300)
        Without one, the first predictions, which are guesses, are made sure of.
    mu, ema
        See `Method`.

    Notes
    -----
    Labelled and unlabelled rows share one pass, so that batch norm sees both.
    """

    name = "entropy"

    def __init__(
        self,
        weight: float = 1.0,
        ramp: Ramp = LAINE_AILA,
        mu: int = 1,
        ema: float | None = None,
    ) -> None:
        super().__init__(weight, ramp, mu, ema)

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        labeled, unlabeled = batch.joint(model, batch.x, batch.u)
        loss = entropy(batch.logits(unlabeled)).mean()
        return self.losses(batch, batch.supervised(labeled, batch.y, batch.w), loss)
