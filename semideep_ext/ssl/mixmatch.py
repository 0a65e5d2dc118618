"""MixMatch: guess labels, sharpen, and mix everything (Berthelot et al., NeurIPS 2019)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semideep_ext.ssl.augment import Augmentation
from semideep_ext.ssl.augment.tables import mixing_weights, mixup
from semideep_ext.ssl.batch_norm import statistics_kept
from semideep_ext.ssl.method import Batch, Losses, Noisy, pseudo_label_facts
from semideep_ext.ssl.outputs import consistency, sharpen, soft_cross_entropy
from semideep_ext.ssl.ramps import Linear, Ramp
from semideep_ext.weighting.checks import check_number, check_whole

PUBLISHED_RAMP = Linear(0.0, 1 / 64)


class MixMatch(Noisy):
    r"""Cross entropy on mixed labelled rows, squared error on mixed unlabelled ones.

    1. q_j: probabilities of `views` augmentations of u_j, averaged, then sharpened by T.
    2. W: all augmented rows with their labels or guesses, shuffled.
    3. Each row is mixed with its partner in W, targets alike, by l' = max(l, 1-l) of its own,
       l ~ Beta(alpha, alpha).

    .. math:: L_x = \frac{1}{B} \sum_i w_i H(y'_i, p(x'_i)), \quad
        L_u = \frac{1}{U K} \sum_j \| q'_j - p(u'_j) \|^2

    Parameters
    ----------
    weight : float, default 75.0
        75 for CIFAR-10, 150 for CIFAR-100, 250 for SVHN.
    ramp : Ramp, default Linear(0, 0.5)
        The presets have the paper's Linear(0, 1 / 64), which are 16,000 of its steps. Of hundreds
        of steps they are a few: the guesses of a network that knows nothing yet can then make all
        rows one class (`docs/methods_evidence.md`).
    views : int, default 2
    temperature : float, default 0.5
    alpha : float, default 0.75
    augment : callable, optional
        By default the weak augmentation of `augment`.
    mu : int, default 1
    ema : float, default 0.999
        See `Method`.

    Notes
    -----
    The labelled loss is the cross entropy to mixed labels, weighted by `Batch.w`, in place of
    `Batch.supervised`: no other loss takes a class by halves. Running statistics of batch norm
    follow the mixed labelled rows only; other rows are normalised by statistics of their own, which
    are not kept.

    Examples
    --------
    >>> MixMatch.preset("svhn").weight
    250.0
    """

    name = "mixmatch"
    own_labeled_loss = True
    presets: ClassVar = {
        "cifar10": {"weight": 75.0, "ramp": PUBLISHED_RAMP},
        "cifar100": {"weight": 150.0, "ramp": PUBLISHED_RAMP},
        "svhn": {"weight": 250.0, "ramp": PUBLISHED_RAMP},
    }

    def __init__(
        self,
        weight: float = 75.0,
        ramp: Ramp | None = None,
        views: int = 2,
        temperature: float = 0.5,
        alpha: float = 0.75,
        augment: Augmentation | None = None,
        mu: int = 1,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__(weight, ramp or Linear(0.0, 0.5), mu, ema)
        check_whole("views", views, 1)
        check_number("temperature", temperature)
        check_number("alpha", alpha)
        self.views, self.temperature, self.alpha = views, temperature, alpha
        self.augment = augment

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        x = self.noisy(batch.x)
        views = [self.noisy(batch.u) for _ in range(self.views)]
        guess = self.guess(model, batch, views)
        labels = F.one_hot(batch.y, guess.shape[1]).to(guess.dtype)
        rows, targets = self.mixed(
            torch.cat([x, *views]), torch.cat([labels, *[guess] * self.views])
        )
        n = len(x)
        logits = batch.logits(batch.outputs(model, rows[:n]))
        with statistics_kept(model):
            unlabeled = batch.predict(batch.outputs(model, rows[n:]))
        losses = soft_cross_entropy(logits, targets[:n])
        labeled = (losses if batch.w is None else losses * batch.w).mean()
        facts = pseudo_label_facts(guess.new_ones(len(guess)), guess.argmax(1), batch.truth)
        return self.losses(batch, labeled, consistency(unlabeled, targets[n:]), facts)

    @torch.no_grad()
    def guess(self, model: nn.Module, batch: Batch, views: list[Tensor]) -> Tensor:
        """Sharpen the average of the predictions for the views of each unlabelled row, (U, K)."""
        with statistics_kept(model):
            predictions = [batch.predict(batch.outputs(model, view)) for view in views]
        return sharpen(torch.stack(predictions).mean(0), self.temperature)

    def mixed(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mix each row and its target with a partner; the row itself keeps the larger part."""
        partner = torch.randperm(len(rows), device=rows.device)
        part = mixing_weights(self.alpha, len(rows), targets)
        part = torch.maximum(part, 1 - part)
        return (
            mixup(rows, rows[partner], part.to(rows.dtype)),
            mixup(targets, targets[partner], part),
        )
