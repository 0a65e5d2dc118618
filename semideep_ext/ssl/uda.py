"""UDA: unsupervised data augmentation for consistency (Xie et al., NeurIPS 2020)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from semideep_ext.ssl.alignment import DistributionAlignment
from semideep_ext.ssl.augment import Augmentation
from semideep_ext.ssl.method import Batch
from semideep_ext.ssl.outputs import kl_divergence
from semideep_ext.ssl.ramps import Ramp
from semideep_ext.ssl.thresholds import Threshold
from semideep_ext.ssl.weak_strong import WeakStrong
from semideep_ext.weighting.checks import check_number

ANNEALING = ("linear", "log", "exp")


class UDA(WeakStrong):
    r"""Divergence of a strongly augmented row from the sharpened prediction for its weak self.

    .. math:: L_u = \frac{1}{U} \sum_j 1[\max_k p_k(weak(u_j)) \ge t] \,
        KL(sharpen(p(weak(u_j)), T) \,\|\, p(strong(u_j)))

    The mean is over all rows of the batch. The target carries no gradient.

    Parameters
    ----------
    weight : float, default 1.0
    threshold : float or Threshold, default 0.8
    temperature : float, default 0.4
    annealing : {"linear", "log", "exp"}, optional
        Training signal annealing: labelled rows whose class is predicted with more than a
        probability that grows from 1/K to 1 over the training take no part, so that few labels are
        not learned by heart. "exp" for few labels, "log" for many.
    alignment, weak, strong, ramp, mu, ema
        As in `FixMatch`.

    Notes
    -----
    One pass over labelled, weak and strong rows, so that batch norm sees all of them.
    """

    name = "uda"
    presets: ClassVar = {"cifar10": {}, "svhn": {}}

    def __init__(
        self,
        weight: float = 1.0,
        threshold: float | Threshold = 0.8,
        temperature: float = 0.4,
        annealing: Literal["linear", "log", "exp"] | None = None,
        alignment: DistributionAlignment | None = None,
        weak: Augmentation | None = None,
        strong: Augmentation | None = None,
        ramp: Ramp | None = None,
        mu: int = 7,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__(weight, threshold, alignment, weak, strong, ramp, mu, ema)
        check_number("temperature", temperature)
        if annealing is not None and annealing not in ANNEALING:
            raise ValueError(f"annealing={annealing!r}: choose one of {ANNEALING}, or None")
        self.temperature, self.annealing = temperature, annealing

    def divergence(self, p: Tensor, logits: Tensor) -> Tensor:
        """Give each row's divergence from the sharpened target."""
        log_p = p.clamp(
            min=torch.finfo(p.dtype).tiny
        ).log()  # the logarithm of 0 has no product with 0
        return kl_divergence(log_p / self.temperature, logits)

    def on_labeled(self, batch: Batch, outputs: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Give the labelled loss of the rows that are not yet predicted too well."""
        if self.annealing is None:
            return super().on_labeled(batch, outputs)
        p = batch.logits(outputs["x"].detach()).softmax(1)
        most = annealed(self.annealing, batch.progress, p.shape[1])
        taught = (p.gather(1, batch.y[:, None])[:, 0] <= most).to(p.dtype)
        # A mean over the rows that take part, as in the official code.
        w = taught * len(taught) / taught.sum().clamp(min=1)
        return batch.supervised(outputs["x"], batch.y, w if batch.w is None else w * batch.w), None


def annealed(kind: str, progress: float, classes: int) -> float:
    """Largest probability of the right class at which a labelled row still takes part.

    Examples
    --------
    >>> [round(annealed("linear", progress, 4), 3) for progress in (0.0, 0.5, 1.0)]
    [0.25, 0.625, 1.0]
    """
    share = {
        "linear": progress,
        "log": 1 - math.exp(-5 * progress),
        "exp": math.exp(5 * (progress - 1)),
    }[kind]
    return share * (1 - 1 / classes) + 1 / classes
