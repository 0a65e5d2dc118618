"""Interpolation consistency training (ICT: Verma et al., IJCAI 2019)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from semideep_ext.ssl.augment.tables import mixing_weights, mixup
from semideep_ext.ssl.method import Batch, Losses
from semideep_ext.ssl.outputs import consistency
from semideep_ext.ssl.ramps import Ramp, Sigmoid
from semideep_ext.ssl.teacher import Taught
from semideep_ext.weighting.checks import check_number


class ICT(Taught):
    r"""Predict, between two unlabelled rows, what lies between the teacher's predictions for them.

    .. math:: L_u = \frac{1}{U K} \sum_j \| p(l u_j + (1-l) u'_j) -
        softmax(l z'(u_j) + (1-l) z'(u'_j)) \|^2, \quad l \sim Beta(\alpha, \alpha)

    with one l for each batch, u' a permutation of u, and logits z' of a teacher, the average of the
    parameters, which predicts and is scored in place of the model. The labelled loss is mixed up,
    too: l loss(y) + (1-l) loss(y') at l x + (1-l) x', with an l of its own. Where numbers are
    predicted, these stand for p and z'.

    Parameters
    ----------
    alpha : float, default 0.1
        1 for CIFAR-10, .1 for SVHN in the paper.
    weight : float, optional
        100 in the paper, and in the presets. See `Method` for None, which is smaller the fewer rows
        have labels, and was better where these are few (`docs/methods_evidence.md`).
    ramp : Ramp, default Sigmoid(0.25)
    decay : float, default 0.999
        Largest decay of the teacher, see `averages.WeightAverage`.
    mu : int, default 1
        See `Method`.

    Notes
    -----
    The student passes mixed labelled and mixed unlabelled rows together, so that batch norm sees
    both. The teacher runs in training mode, and gathers statistics of its own.

    Examples
    --------
    >>> ICT.preset("svhn").alpha
    0.1
    """

    name = "ict"
    tasks = ("classification", "regression")
    presets: ClassVar = {
        "cifar10": {"alpha": 1.0, "weight": 100.0},
        "svhn": {"alpha": 0.1, "weight": 100.0},
    }

    def __init__(
        self,
        alpha: float = 0.1,
        weight: float | None = None,
        ramp: Ramp | None = None,
        decay: float = 0.999,
        mu: int = 1,
    ) -> None:
        super().__init__(weight, ramp or Sigmoid(0.25), decay, mu)
        check_number("alpha", alpha)
        self.alpha = alpha

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        l_x, l_u = mixing_weights(self.alpha, 2, batch.u)
        x_other, u_other = (_shuffled(rows) for rows in (batch.x, batch.u))
        taught = self.taught(batch, batch.u)
        target = batch.predict(mixup(taught, taught[u_other], l_u))
        labeled, unlabeled = batch.joint(
            model,
            mixup(batch.x, batch.x[x_other], l_x),
            mixup(batch.u, batch.u[u_other], l_u),
        )
        y, w = batch.y[x_other], None if batch.w is None else batch.w[x_other]
        supervised = mixup(
            batch.supervised(labeled, batch.y, batch.w), batch.supervised(labeled, y, w), l_x
        )
        return self.losses(batch, supervised, consistency(batch.predict(unlabeled), target))


def _shuffled(rows: Tensor) -> Tensor:
    return torch.randperm(len(rows), device=rows.device)
