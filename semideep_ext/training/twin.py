"""The supervised twin: what the same training gives without a semi-supervised method."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn


class Twin:
    """The same model, trained on the same labelled batches without a method, to compare with.

    It has the optimizer, scheduler, weights and random numbers of the model, and as many steps.
    """

    def __init__(self, model: nn.Module, optimizer: Any, scheduler: Any) -> None:
        # Together, so that the optimizer's copy is that of the copied parameters.
        copied = copy.deepcopy((model, optimizer, scheduler))
        self.model: nn.Module = copied[0]
        self.optimizer, self.scheduler = copied[1:]
        if self.scheduler is not None:
            # The copy does not count the optimizer's steps, of which it asks one before its first.
            self.scheduler._step_count = max(2, self.scheduler._step_count)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint must hold."""
        return {name: part and part.state_dict() for name, part in vars(self).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name, part in vars(self).items():
            if part is not None:
                part.load_state_dict(state[name])
