"""Distribution alignment: predicted classes as frequent as they should be."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class DistributionAlignment(nn.Module):
    r"""Scale probabilities so that classes are, over time, as frequent as in the target.

    .. math:: \tilde p_k \propto p_k \, t_k / m_k

    m is the running mean of the model's probabilities of unlabelled rows, t the target (ReMixMatch:
    Berthelot et al., ICLR 2020; as in SoftMatch, Chen et al., ICLR 2023).

    Parameters
    ----------
    target : {"uniform", "labeled"}, default "uniform"
        Equal shares; or the running mean of the probabilities of labelled rows.
    decay : float, default 0.999
        Of the running means.
    """

    mean: Tensor
    wanted: Tensor

    def __init__(
        self, target: Literal["uniform", "labeled"] = "uniform", decay: float = 0.999
    ) -> None:
        super().__init__()
        if target not in ("uniform", "labeled"):
            raise ValueError(f"target={target!r}: choose 'uniform' or 'labeled'")
        self.target, self.decay = target, decay

    def start(self, classes: int, device: torch.device) -> None:
        """Begin with no mean, and equal shares as target."""
        # Zero is no mean of probabilities: the first batch's replaces it.
        self.register_buffer("mean", torch.zeros(classes, device=device))
        self.register_buffer("wanted", torch.full((classes,), 1 / classes, device=device))

    @torch.no_grad()
    def forward(self, p: Tensor, labeled: Tensor) -> Tensor:
        """Align probabilities of unlabelled rows, (U, K), seen beside those of labelled ones."""
        batch = p.mean(0)
        self.mean = batch if not self.mean.any() else batch.lerp(self.mean, self.decay)
        if self.target == "labeled":
            self.wanted = labeled.mean(0).lerp(self.wanted, self.decay)
        # 1e-6 as in the official code of SoftMatch: a class that was never predicted stays finite.
        aligned = p * (self.wanted + 1e-6) / (self.mean + 1e-6)
        return aligned / aligned.sum(1, keepdim=True)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"target={self.target!r}, decay={self.decay}"
