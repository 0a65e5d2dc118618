"""What a checkpoint remembers of a training, and what must be the same to go on from it.

Random states are no part of it: they follow from (seed, epoch), see `processes.seed_everything`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Resumable:
    """A training as a checkpoint sees it, between two epochs.

    Attributes
    ----------
    settings : dict
        What must agree, by the name that an error gives it.
    parts : dict
        Objects with state_dict and load_state_dict, by name; None where there is none.
    callbacks : list
        Those that have a state.
    """

    settings: dict[str, Any]
    parts: dict[str, Any]
    callbacks: list[Any]

    def state(self) -> dict[str, Any]:
        """Give settings and states."""
        return {
            "settings": {name: _plain(value) for name, value in self.settings.items()},
            "callbacks": [callback.state_dict() for callback in self.callbacks],
            **{name: part and part.state_dict() for name, part in self.parts.items()},
        }

    def restore(self, state: dict[str, Any], path: str) -> None:
        """Load the states.

        Raises
        ------
        ValueError
            If the settings differ; each that does is named. Nothing is changed then.
        """
        mine, theirs = self.state()["settings"], state["settings"]
        differing = [
            f"{name}: {_shown(theirs.get(name), mine.get(name))}"
            for name in {**theirs, **mine}
            if theirs.get(name) != mine.get(name)
        ]
        if differing:
            raise ValueError(
                f"{path} is a checkpoint of another training (there, here): {'; '.join(differing)};"
                " build the trainer as it was, or choose another file"
            )
        for name, part in self.parts.items():
            if part is not None and state[name] is not None:
                part.load_state_dict(state[name])
        for callback, own in zip(self.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(own)


def shapes(module: nn.Module) -> dict[str, str]:
    """Give dtype and shape of each tensor of a module."""
    return {
        name: f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}"
        for name, t in module.state_dict().items()
    }


def digest(values: np.ndarray | None) -> str | None:
    """Hash the bits of an array."""
    return None if values is None else hashlib.sha256(values.tobytes()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Give JSON as it is, of anything else enough to know it again."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return list(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if callable(value):
        # As another process names it: without the address in memory.
        return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    return digest(np.asarray(value.detach().cpu() if torch.is_tensor(value) else value, float))


def _shown(theirs: Any, mine: Any) -> str:
    """Both values; of dicts, the first entry that differs."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        name = next(n for n in {**theirs, **mine} if theirs.get(n) != mine.get(n))
        return f"{name} is {theirs.get(name)}, {mine.get(name)}"
    return f"{theirs}, {mine}"
