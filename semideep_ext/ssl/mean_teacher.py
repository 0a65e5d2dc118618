"""Mean Teacher: agree with the average of one's earlier parameters (Tarvainen & Valpola, 2017)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from semideep_ext.ssl.augment import Augmentation
from semideep_ext.ssl.method import Batch, Losses, Noisy
from semideep_ext.ssl.outputs import consistency
from semideep_ext.ssl.ramps import LAINE_AILA, Ramp
from semideep_ext.ssl.teacher import Taught


class MeanTeacher(Noisy, Taught):
    r"""Squared difference between student and teacher, each with noise of its own.

    .. math:: L_u = \frac{1}{R K} \sum_r \sum_k (p_k(r; \theta, \xi) - p_k(r; \theta', \xi'))^2,
        \quad \theta'_t = a \theta'_{t-1} + (1 - a) \theta_t

    over labelled and unlabelled rows r, with a = min(1 - 1/(t+1), decay). No gradient goes to the
    teacher. It runs in training mode and gathers batch statistics of its own, so that averaging the
    parameters alone is right; it predicts and is scored in place of the model.

    Parameters
    ----------
    weight : float, optional
        Default 100 times the share of labelled rows; 1 where numbers are predicted.
    ramp : Ramp, default Sigmoid(80 / 300)
    decay : float, default 0.999
        .97 to .99 for short trainings and residual networks: the teacher averages over about
        1 / (1 - decay) steps.
    augment : callable, optional
        Noise on a batch of rows; by default the weak augmentation of `augment`.
    mu : int, default 1
        See `Method`.

    Notes
    -----
    Labelled and unlabelled rows share each pass, so that batch norm sees both.

    Examples
    --------
    >>> MeanTeacher.preset("svhn").weight
    1.0
    """

    name = "mean-teacher"
    tasks: ClassVar[tuple[str, ...]] = ("classification", "regression")
    presets: ClassVar = {
        "cifar10": {},
        "svhn": {"weight": 1.0},
        "resnet": {"decay": 0.97},
    }

    def __init__(
        self,
        weight: float | None = None,
        ramp: Ramp = LAINE_AILA,
        decay: float = 0.999,
        augment: Augmentation | None = None,
        mu: int = 1,
    ) -> None:
        super().__init__(weight, ramp, decay, mu)
        self.augment = augment

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        rows = torch.cat([batch.x, batch.u])
        outputs = batch.outputs(model, self.noisy(rows))
        target = batch.predict(self.taught(batch, self.noisy(rows)))
        labeled = batch.supervised(outputs[: len(batch.x)], batch.y, batch.w)
        return self.losses(batch, labeled, consistency(batch.predict(outputs), target))
