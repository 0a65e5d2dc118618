"""Where results go, and what they say of commit and processor. Needs nothing that must be built."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# By its path: the package cannot be imported before it is built.
cpu_name = runpy.run_path(str(HERE.parent / "semideep_ext" / "_machine.py"))["cpu_name"]


def commit() -> str:
    """Name the commit; where git does not know it, SEMIDEEP_COMMIT may."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        found = subprocess.run(command, cwd=HERE, capture_output=True, text=True).stdout.strip()
    except OSError:
        found = ""
    return found or os.environ.get("SEMIDEEP_COMMIT") or "unknown"


def results_path(suffix: str = "", device: str | None = None) -> Path:
    slug = re.sub(r"[^A-Za-z0-9]+", "-", device or cpu_name()).strip("-").lower()
    return HERE / "results" / f"{slug}{suffix}.json"


def save(results: dict[str, Any], path: Path) -> None:
    """Write results; who reads the file meanwhile finds the old ones or the new ones, whole."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(_rounded(results), indent=1) + "\n")
    fresh.replace(path)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
