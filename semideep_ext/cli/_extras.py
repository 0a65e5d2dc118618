"""What options need beyond the package itself: asked for before anything is computed."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

_NETWORKS = ("safetensors.torch", "accelerate")
_WRITERS = {".parquet": ("cli", "pyarrow.parquet"), ".png": ("experiment", "matplotlib.figure")}


def require(option: str, extra: str, *modules: str) -> None:
    """Import modules, or say which extra brings them.

    Raises
    ------
    ImportError
        If one is missing, or cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            missing = error.name or module
            raise ImportError(
                f"{option} needs {missing}: pip install 'semideep_ext[{extra}]'"
            ) from error


def require_networks(option: str = "this command") -> None:
    """Import what `WeightedTrainer` needs."""
    require(option, "train", *_NETWORKS)


def require_writer(option: str, path: str | None) -> None:
    """Import what writes a file of that suffix."""
    suffix = "" if path is None else Path(path).suffix.lower()
    if suffix in _WRITERS:
        require(f"{option} {path}", *_WRITERS[suffix])


def wants_progress(asked: bool | None) -> bool:
    """Show progress if asked to; by default where somebody watches and there is tqdm."""
    if asked:
        require("--progress", "train", "tqdm")
    watched = sys.stderr.isatty() and find_spec("tqdm") is not None
    return watched if asked is None else asked
