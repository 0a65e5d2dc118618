"""What this installation was built with and what it runs on."""

from __future__ import annotations

import platform

import torch

from semideep_ext import _C
from semideep_ext.op import metrics
from semideep_ext.op.libraries import CUDA_PROBLEM

__all__ = ["config", "show_config"]


def config() -> dict[str, str]:
    """Return the facts that `show_config` prints.

    Returns
    -------
    dict of str to str
        Build facts, the active instruction set and the versions in use.

    Examples
    --------
    >>> config()["instruction set"] in ("default", "avx2", "avx512", "avx512_vpopcntdq")
    True
    """
    facts = _C.build_facts()
    built = {f"build: {name}": value for name, value in facts.items()}
    targets = facts.get("cuda_targets", "")
    return {
        "semideep_ext": built.pop("build: version"),
        "instruction set": _C.cpu_capability(),
        "best instruction set here": _C.machine_capability(),
        "threads": str(torch.get_num_threads()),
        "cuda kernels": f"no: {CUDA_PROBLEM}" if CUDA_PROBLEM else f"yes: {targets}",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "metrics": ", ".join(metrics.METRICS),
        "kernel functions": ", ".join(metrics.KERNELS),
        **built,
    }


def show_config() -> None:
    """Print versions, build facts and the instruction set in use, one per line.

    Examples
    --------
    >>> show_config()  # doctest: +ELLIPSIS
    semideep_ext ...
    """
    facts = config()
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
