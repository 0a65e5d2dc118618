"""The compiled libraries of the ops, loaded into torch; CUDA's is one that may be missing."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

from semideep_ext import _C

REINSTALL = (
    "install a torch with CUDA (https://pytorch.org/get-started) and the CUDA toolkit of its major "
    "version (nvcc on PATH), then run `SEMIDEEP_CUDA=on pip install --no-build-isolation "
    "--force-reinstall --no-deps .` in the sources of semideep_ext"
)


def _load_cuda(library: Path) -> str:
    """Load CUDA's library; return why there is none, or nothing."""
    if torch.version.cuda is None:
        return f"this torch, {torch.__version__}, has no CUDA"
    built, _, reason = _C.build_facts()["cuda"].partition(": ")  # a version of nvcc, or why not
    if built == "none":
        return f"semideep_ext has no CUDA kernels ({reason or 'no nvcc was found'})"
    if not library.exists():
        return f"{library.name}, built with the nvcc of CUDA {built}, was not installed"
    try:
        torch.ops.load_library(str(library))
    except OSError as error:
        return f"{library.name} cannot be loaded ({error.__cause__ or error})"
    return ""


def runs_on(device: torch.device) -> bool:
    """Whether the compiled ops run on a device."""
    return device.type in ("cpu", "meta") or (device.type == "cuda" and not CUDA_PROBLEM)


def check_device(device: torch.device, metric: object) -> None:
    """Refuse a device that the compiled ops do not run on; a callable metric runs on any."""
    if callable(metric) or runs_on(device):
        return
    if device.type == "cuda":
        reason, change = f"no CUDA kernels are loaded: {CUDA_PROBLEM}", f"; or {REINSTALL}"
    else:
        reason, change = "the kernels run on the CPU and on CUDA", ""
    raise ValueError(
        f"metric={metric!r} cannot run on {device}, {reason}. Move the rows with .cpu(){change}"
    )


_folder = Path(__file__).parents[1]  # where setup.py puts the libraries
torch.ops.load_library(str(_folder / "_torch.so"))
values_merged = ctypes.CDLL(str(_folder / "_torch.so")).semideep_values_merged
values_merged.restype = ctypes.c_bool
CUDA_PROBLEM = _load_cuda(_folder / "_torch_cuda.so")
