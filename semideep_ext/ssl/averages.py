"""Exponential averages of a model's parameters: teachers, and what is evaluated in its place."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from semideep_ext._modules import unwrapped


def averaged_steps(steps: int) -> int:
    """Give the steps that an average covers at most: a tenth of a training of so many steps.

    The papers' thousand is less than that of their own trainings.

    Examples
    --------
    >>> averaged_steps(600)
    60
    """
    return max(1, steps // 10)


class WeightAverage(nn.Module):
    r"""Average of a model's parameters over the steps of training.

    .. math:: \theta'_t = a \theta'_{t-1} + (1 - a) \theta_t, \quad a = \min(1 - 1/(t+1), decay)

    Early in training the average follows the model closely: a is 1/2 at the first step (t = 1), as
    in the code of Tarvainen & Valpola (2017).

    Parameters
    ----------
    model : nn.Module
        Is copied; its copy takes no gradient.
    decay : float
        Largest a, at least 0 and below 1.
    statistics : {"copied", "own"}, default "copied"
        Those of batch norm are copied from the model; or the average gathers its own, in training
        mode, as a teacher does.
    """

    def __init__(
        self, model: nn.Module, decay: float, statistics: Literal["copied", "own"] = "copied"
    ) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay!r} of an average: give a number in [0, 1)")
        self.module = copy.deepcopy(unwrapped(model)).requires_grad_(False)
        self.decay, self.statistics = decay, statistics

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take the model after its step number `step`, of which the first is 1, into the average.

        Raises
        ------
        ValueError
            If the model has other parameters than the one that was copied.
        """
        model = unwrapped(model)
        mine, theirs = (dict(m.named_parameters()) for m in (self.module, model))
        if [(n, p.shape) for n, p in mine.items()] != [(n, p.shape) for n, p in theirs.items()]:
            raise ValueError("the model has other parameters than when its average was started")
        if mine:
            average = get_ema_multi_avg_fn(min(1 - 1 / (step + 1), self.decay))
            average(list(mine.values()), list(theirs.values()), step)
        if self.statistics == "copied":
            for own, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
                own.copy_(buffer)
