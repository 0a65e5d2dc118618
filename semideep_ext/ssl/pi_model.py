"""The Pi model: two noisy passes should agree (Laine & Aila, ICLR 2017)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from semideep_ext.ssl.augment import Augmentation
from semideep_ext.ssl.batch_norm import statistics_kept
from semideep_ext.ssl.method import Batch, Losses, Noisy
from semideep_ext.ssl.outputs import consistency
from semideep_ext.ssl.ramps import LAINE_AILA, Ramp


class PiModel(Noisy):
    r"""Squared difference of the predictions of two passes, each with noise of its own.

    .. math:: L_u = \frac{1}{R K} \sum_r \sum_k (p_k(r; \xi_1) - p_k(r; \xi_2))^2

    over labelled and unlabelled rows r; dropout is part of the noise. p are probabilities, and
    where numbers are predicted these.

    Parameters
    ----------
    weight : float, optional
        Default 100 times the share of labelled rows; 1 where numbers are predicted.
    ramp : Ramp, default Sigmoid(80 / 300)
    augment : callable, optional
        Noise on a batch of rows; by default the weak augmentation of `augment`.
    detach_target : bool, default False
        Send no gradient through the second pass, as later code does; the paper's goes through both.
    mu, ema
        See `Method`.

    Notes
    -----
    Labelled and unlabelled rows share each of the two passes, so that batch norm sees both; its
    running statistics follow the first pass only.
    """

    name = "pi-model"
    tasks = ("classification", "regression")
    presets: ClassVar = {"cifar10": {}, "svhn": {}}

    def __init__(
        self,
        weight: float | None = None,
        ramp: Ramp = LAINE_AILA,
        augment: Augmentation | None = None,
        detach_target: bool = False,
        mu: int = 1,
        ema: float | None = None,
    ) -> None:
        super().__init__(weight, ramp, mu, ema)
        self.augment, self.detach_target = augment, detach_target

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        rows = torch.cat([batch.x, batch.u])
        first = batch.outputs(model, self.noisy(rows))
        with statistics_kept(model):
            target = batch.predict(batch.outputs(model, self.noisy(rows)))
        if self.detach_target:
            target = target.detach()
        loss = consistency(batch.predict(first), target)
        labeled = batch.supervised(first[: len(batch.x)], batch.y, batch.w)
        return self.losses(batch, labeled, loss)
