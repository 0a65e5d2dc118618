"""What Mean Teacher, ICT and MLSN share: a teacher, the average of the parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from semideep_ext.ssl.averages import WeightAverage
from semideep_ext.ssl.method import Batch, Data, Method
from semideep_ext.ssl.ramps import Ramp


class Taught(Method):
    """A method with a teacher, which predicts and is scored in place of the model.

    It runs in training mode, without gradient, and gathers batch statistics of its own, so that
    averaging the parameters alone is right.
    """

    def __init__(self, weight: float | None, ramp: Ramp | None, decay: float, mu: int) -> None:
        super().__init__(weight, ramp, mu)
        self.decay = decay
        self.teacher: WeightAverage | None = None

    def start(self, model: nn.Module, data: Data) -> None:
        """Begin with the model as teacher."""
        super().start(model, data)
        self.teacher = WeightAverage(model, self.decay, "own").to(data.example.device)

    @torch.no_grad()
    def taught(self, batch: Batch, rows: Tensor) -> Tensor:
        """Give the teacher's outputs."""
        return batch.outputs(self._average().module.train(), rows)

    def after_step(
        self, model: nn.Module, optimizer: Any = None, progress: float | None = None
    ) -> None:
        """Average the parameters."""
        super().after_step(model, optimizer, progress)
        self._average().update(model, int(self.steps))

    def evaluated(self, model: nn.Module) -> nn.Module:
        """Give the teacher."""
        return self._average().module

    def _average(self) -> WeightAverage:
        self.started()
        assert self.teacher is not None
        return self.teacher
