"""Many runs: in several processes, each finished run on disk at once, none done twice.

A file of runs holds one JSON object per line, with "spec" (what was asked) and "result". Only the
process that asked writes to it; a line is written by one call and synced before the next run is
waited for. What a kill leaves unfinished is at most a torn last line, which is cut off.
"""

from __future__ import annotations

import functools
import json
import math
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from semideep_ext._files import write_atomically
from semideep_ext._progress import progress_bar

Spec = dict[str, Any]


def run_all(
    specs: list[Spec],
    execute: Callable[[Spec], dict[str, Any]],
    path: Path,
    n_jobs: int = 1,
    resume: bool = True,
    verbose: bool = True,
) -> list[dict[str, Any]]:
    """Execute every spec that the file does not hold yet.

    Parameters
    ----------
    specs : list of dict
        JSON-serialisable; equal specs are one run.
    execute : callable
        Takes a spec and returns a JSON-serialisable dict. For n_jobs other than 1 it is pickled by
        cloudpickle, so functions of notebooks, closures and lambdas will do.
    path : Path
        The file of runs.
    n_jobs : int, default 1
        Processes, as in joblib: -1 is one per core. 1 runs here.
    resume : bool, default True
        False forgets those runs of the file that are asked for.
    verbose : bool, default True
        Show a progress bar on stderr.

    Returns
    -------
    list of dict
        One result per spec, in the order of specs, as read from the file: NaN and infinite numbers
        are NaN.
    """
    wanted = {_key(spec): spec for spec in specs}
    found = _read(path)
    if not resume:
        found = {key: line for key, line in found.items() if key not in wanted}
        _rewrite(path, found)
    todo = [spec for key, spec in wanted.items() if key not in found]
    with (
        open(path, "ab") as file,
        progress_bar("", len(wanted), verbose, len(wanted) - len(todo), "run") as bar,
        closing(_execute(todo, execute, n_jobs)) as finished,
    ):
        for spec, result in finished:
            line = json.dumps({"spec": spec, "result": _plain(result)}, allow_nan=False)
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            found[_key(spec)] = line
            bar.update()
    return [_with_nan(json.loads(found[_key(spec)])["result"]) for spec in specs]


def _execute(
    specs: list[Spec], execute: Callable[[Spec], dict[str, Any]], n_jobs: int
) -> Generator[tuple[Spec, dict[str, Any]]]:
    """Yield each spec with its result as it is finished."""
    if n_jobs == 1 or len(specs) < 2:
        for spec in specs:
            yield spec, execute(spec)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=n_jobs, backend="loky", return_as="generator_unordered")
    done = False
    try:
        yield from parallel(delayed(_work)(spec, execute, os.getpid()) for spec in specs)
        done = True
    finally:
        if not done:  # interrupted or failed: no process goes on with what nobody waits for
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _work(
    spec: Spec, execute: Callable[[Spec], dict[str, Any]], parent: int
) -> tuple[Spec, dict[str, Any]]:
    _end_with(parent)
    return spec, execute(spec)


@functools.cache
def _end_with(parent: int) -> None:
    """End this process soon after its parent, which may be killed without a chance to say so."""
    if os.getppid() != parent:  # the parent itself, on a machine of one core
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _key(spec: Spec) -> str:
    return json.dumps(spec, sort_keys=True)


def _read(path: Path) -> dict[str, str]:
    """Lines by the key of their spec; a torn last line is cut off the file."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole, newline, torn = content.rpartition(b"\n")
    if torn:
        with open(path, "r+b") as file:
            file.truncate(len(whole) + len(newline))
    lines = {}
    for number, line in enumerate(whole.decode().split("\n") if newline else (), start=1):
        try:
            lines[_key(json.loads(line)["spec"])] = line
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: line {number} is not a run ({error}); remove that line, move the file "
                "away, or give another output_dir"
            ) from error
    return lines


def _rewrite(path: Path, lines: dict[str, str]) -> None:
    write_atomically(path, lambda f: f.write("".join(f"{v}\n" for v in lines.values()).encode()))


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: {"nan": true} stands for them."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"nan": True}
    return value


def _with_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return math.nan if value == {"nan": True} else {k: _with_nan(v) for k, v in value.items()}
    return [_with_nan(v) for v in value] if isinstance(value, list) else value
