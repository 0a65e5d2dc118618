"""The processor's name. Imports nothing of the package: benchmarks/record.py reads it unbuilt."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu_name() -> str:
    """Name the processor as well as the system allows.

    Examples
    --------
    >>> cpu_name() != ""
    True
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine() or "unknown"
