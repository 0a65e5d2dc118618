"""The file format of checkpoints: one safetensors file, with all but the tensors as JSON in it.

One file, because two cannot be replaced in one moment. The JSON stands in the file's metadata, so
`safetensors.safe_open(path, "pt").metadata()` shows it. Nothing is pickled: a checkpoint from a
stranger can be wrong, but runs no code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semideep_ext._files import write_atomically

VERSION = 2
_KEY = "semideep_ext"
_REMEDY = "allowed is a file that WeightedTrainer.save_checkpoint or callbacks.Checkpoint wrote"


def write_checkpoint(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write nested dicts, lists and tuples of tensors, arrays, numbers and strings, atomically.

    Raises
    ------
    ValueError
        For a value of any other type; its place in `state` is named.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "state.safetensors")
    ...     write_checkpoint(path, {"step": 3, "betas": (0.9, 0.999), 0: torch.ones(2)})
    ...     read_checkpoint(path)
    {'step': 3, 'betas': (0.9, 0.999), 0: tensor([1., 1.])}
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    text = json.dumps({"version": VERSION, "state": _encode(state, "state", tensors)})
    content = save(tensors, {_KEY: text})
    write_atomically(path, lambda f: f.write(content))


def read_checkpoint(path: str | os.PathLike[str]) -> Any:
    """Read what `write_checkpoint` wrote, tensors on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no checkpoint, is damaged, or has a later version.
    """
    from safetensors import SafetensorError, safe_open

    path = os.fspath(path)
    try:
        with safe_open(path, framework="pt") as f:
            header = (f.metadata() or {}).get(_KEY)
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({error}); {_REMEDY}") from error
    if header is None:
        raise ValueError(f"{path}: a safetensors file, but no checkpoint; {_REMEDY}")
    content = json.loads(header)
    if content["version"] != VERSION:
        raise ValueError(
            f"{path}: a checkpoint of version {content['version']}; this semideep_ext reads "
            f"version {VERSION}: go on with the semideep_ext that wrote it"
        )
    return _decode(content["state"], tensors)


def _encode(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """JSON of the value; tensors go into `tensors`, under the name of their place."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        # A clone: safetensors refuses tensors that share memory, such as tied weights.
        tensors[place] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": place}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        tensors[place] = torch.from_numpy(value.copy())
        return {"array": place}
    if isinstance(value, (list, tuple)):
        items = [_encode(item, f"{place}.{i}", tensors) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict):
        items = [
            [_encode(key, f"{place} key", tensors), _encode(item, f"{place}.{key}", tensors)]
            for key, item in value.items()
        ]
        return {"dict": items}
    raise ValueError(
        f"{place} is a {type(value).__name__}, which a checkpoint cannot hold; allowed are "
        "tensors, numeric arrays, numbers, strings, None, and dicts, lists and tuples of them: "
        "leave it out of the state_dict"
    )


def _decode(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, list):
        return [_decode(item, tensors) for item in node]
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    decoders: dict[str, Callable[[], Any]] = {
        "tensor": lambda: tensors[content],
        "array": lambda: tensors[content].numpy(),
        "tuple": lambda: tuple(_decode(item, tensors) for item in content),
        "dict": lambda: {_decode(k, tensors): _decode(v, tensors) for k, v in content},
    }
    return decoders[kind]()
