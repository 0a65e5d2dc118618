"""Temporal ensembling: agree with the average of one's earlier outputs (Laine & Aila, 2017)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from semideep_ext.ssl.augment import Augmentation
from semideep_ext.ssl.method import Batch, Data, Losses, Noisy, numbers_of
from semideep_ext.ssl.ramps import LAINE_AILA, Ramp


class TemporalEnsembling(Noisy):
    r"""Squared difference to an exponential average of what the model said of the same row.

    .. math:: Z_t = a Z_{t-1} + (1 - a) p_t, \quad
        L_u = \frac{1}{R K} \sum_r \| p(r) - Z_{t-1}(r) / (1 - a^{t-1}) \|^2

    over labelled and unlabelled rows r, where t counts how often the row was seen. A row that is
    seen for the first time has no target, and adds nothing.

    Parameters
    ----------
    weight : float, optional
        Default 100 times the share of labelled rows.
    ramp : Ramp, default Sigmoid(80 / 300)
    momentum : float, default 0.6
        a of the formula.
    augment : callable, optional
        Noise on a batch of rows; by default the weak augmentation of `augment`.
    mu, ema
        See `Method`.

    Notes
    -----
    Remembers K + 1 numbers a row, and needs `Batch.x_index` and `u_index`. Labelled and unlabelled
    rows share one pass, so that batch norm sees both.
    """

    name = "temporal-ensembling"
    presets: ClassVar = {"cifar10": {}, "svhn": {}}
    sums: Tensor  # (labelled rows, then unlabelled ones; classes)
    seen: Tensor  # how often each row was

    def __init__(
        self,
        weight: float | None = None,
        ramp: Ramp = LAINE_AILA,
        momentum: float = 0.6,
        augment: Augmentation | None = None,
        mu: int = 1,
        ema: float | None = None,
    ) -> None:
        super().__init__(weight, ramp, mu, ema)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum!r}: give a number in [0, 1)")
        self.momentum, self.augment = momentum, augment

    def start(self, model: nn.Module, data: Data) -> None:
        """Forget every row."""
        super().start(model, data)
        n, device = data.labeled + data.unlabeled, data.example.device
        self.register_buffer("sums", torch.zeros(n, data.classes or 1, device=device))
        self.register_buffer("seen", torch.zeros(n, dtype=torch.int64, device=device))

    def forward(self, model: nn.Module, batch: Batch) -> Losses:
        """Give the losses of a batch."""
        x_index = numbers_of(batch.x_index, "x_index", type(self).__name__)
        u_index = numbers_of(batch.u_index, "u_index", type(self).__name__)
        index = torch.cat([x_index, u_index + self.started().labeled])
        outputs = batch.outputs(model, self.noisy(torch.cat([batch.x, batch.u])))
        p = batch.predict(outputs)
        target = self.target(index)
        known = (self.seen[index] > 0).to(p.dtype)
        loss = (known * (p - target).square().mean(1)).mean()
        self._remember(index, p.detach())
        return self.losses(batch, batch.supervised(outputs[: len(batch.x)], batch.y, batch.w), loss)

    def target(self, index: Tensor) -> Tensor:
        """Give the average of the outputs of these rows so far, (n, K); 0 where there is none."""
        weight = 1 - self.momentum ** self.seen[index]
        return self.sums[index] / torch.where(weight > 0, weight, 1.0)[:, None]

    def _remember(self, index: Tensor, p: Tensor) -> None:
        self.sums[index] = p.to(self.sums.dtype).lerp(self.sums[index], self.momentum)
        self.seen[index] += 1
