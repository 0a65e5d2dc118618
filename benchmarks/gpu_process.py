"""What the steps of `make gpu` share: their options, and how they run other programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
# Where toolkits are installed and often not on PATH.
TOOL_FOLDERS = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer")
Save = Callable[[dict[str, Any]], None]


class CannotRunError(Exception):
    """Why a step is not possible on this machine: no fault of the software."""


@dataclass(frozen=True)
class Options:
    device: str
    quick: bool
    folder: Path  # of logs, parts of the results and programs

    @property
    def ceilings(self) -> Path:
        return self.folder / "ceilings"

    @property
    def faults(self) -> Path:
        return self.folder / "planted_faults"


def find_tool(name: str) -> str:
    nsight = map(str, sorted(Path("/opt/nvidia/nsight-compute").glob("*"), reverse=True))
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *TOOL_FOLDERS, *nsight])
    found = shutil.which(name, path=path)
    if not found:
        raise CannotRunError(f"{name} was not found on PATH or in {', '.join(TOOL_FOLDERS)}")
    return found


def run(command: Iterable[Any], log: Path, **environment: str) -> tuple[int, str]:
    """Run to the end; return exit status and output, which also goes to a log."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    log.write_text(done.stdout)
    return done.returncode, done.stdout


def tail(output: str, lines: int = 5) -> str:
    return " | ".join(output.strip().splitlines()[-lines:])[-1000:]
