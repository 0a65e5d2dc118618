"""What a result depends on: versions, machine and commit. No user name, host name or path."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib import metadata
from typing import Any

import torch

from semideep_ext._machine import cpu_name
from semideep_ext._version import __version__
from semideep_ext.op.config import config

_PACKAGES = ("numpy", "scikit-learn", "scipy", "pandas", "joblib", "matplotlib")


def manifest() -> dict[str, Any]:
    """Describe this environment.

    Returns
    -------
    dict
        date (UTC), versions, machine (cpu, cores, system, instruction set, gpu) and commit: that of
        the git repository that holds the working directory, "+changes" appended if tracked files
        differ from it; None outside a repository.

    Examples
    --------
    >>> sorted(manifest())
    ['commit', 'date', 'machine', 'versions']
    """
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "semideep_ext": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            **{name: _version(name) for name in _PACKAGES},
        },
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "instruction set": config()["instruction set"],
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "commit": _commit(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str | None:
    head, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "-uno")
    return head and head + ("+changes" if changes else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):  # no git here, or a repository on a slow disk
        return None
    return done.stdout.strip() if done.returncode == 0 else None
