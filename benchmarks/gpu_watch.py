"""Steps that watch kernels run: compute-sanitizer and ncu."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gpu_tools as tools
from gpu_process import HERE, CannotRunError, Options, Save, find_tool, run, tail


def sanitizers(options: Options, save: Save) -> list[str]:
    """Four tools on a small case, after each has found a fault that was planted for it."""
    program = find_tool("compute-sanitizer")
    small = [sys.executable, HERE / "gpu_small.py", options.device]
    found: dict[str, Any] = {}

    def one(tool: str) -> list[str]:
        command = [program, "--tool", tool]
        if tool in ("racecheck", "synccheck"):  # what torch's kernels do in a block is not ours
            command += ["--kernel-regex", "kns=semideep"]
        log = options.folder / f"{tool}-planted.log"
        _, output = run([*command, options.faults, tool], log)
        found[tool] = {"planted": tools.sanitizer(output)}
        reason = tools.not_allowed(output)
        if reason:
            found[tool]["cannot run"] = reason
            return []
        # Each tensor in memory of its own: what lies beyond its end is then nobody's.
        log = options.folder / f"{tool}.log"
        status, output = run([*command, *small], log, PYTORCH_NO_CUDA_MEMORY_CACHING="1")
        found[tool] |= {"faults": tools.sanitizer(output), "exit_status": status}
        found[tool]["done"] = " calls done" in output
        save(found)
        return sanitizer_problems(tool, found[tool], output)

    with ThreadPoolExecutor() as pool:
        problems = [p for several in pool.map(one, tools.SANITIZERS) for p in several]
    save(found)
    refused = {tool: entry["cannot run"] for tool, entry in found.items() if "cannot run" in entry}
    if refused and not problems:
        raise CannotRunError("; ".join(f"{tool}: {reason}" for tool, reason in refused.items()))
    return problems


def sanitizer_problems(tool: str, entry: dict[str, Any], output: str = "") -> list[str]:
    problems = []
    if not entry["planted"]:
        problems.append(f"{tool} did not find the planted fault")
    if entry["faults"] is None:
        problems.append(f"{tool} printed no summary: {tail(output)}")
    elif entry["faults"]:
        problems.append(f"{tool} found {entry['faults']} faults")
    if not entry["done"]:
        problems.append(f"the small case did not end under {tool}: {tail(output)}")
    return problems


# --- ncu ------------------------------------------------------------------------------------------


def profile(options: Options, save: Save) -> list[str]:
    """What limits the kernels of each profiled cell."""
    import bench
    import gpu_small

    ncu = find_tool("ncu")
    log = options.folder / "ncu.csv"
    metrics = set(tools.METRICS.values())
    script = [sys.executable, HERE / "gpu_small.py", options.device, "--profile"]
    for _ in range(3):  # versions of ncu know different metrics
        command = [ncu, "--profile-from-start", "off", "--csv", "--print-units", "base"]
        command += ["--kernel-name-base", "demangled", "--log-file", log]
        command += ["--metrics", ",".join(sorted(metrics))]
        status, output = run([*command, *script], options.folder / "ncu.log")
        said = output + (log.read_text() if log.exists() else "")
        unknown = tools.unknown_metrics(said) & metrics
        if not unknown:
            break
        metrics -= unknown
    reason = tools.not_allowed(said)
    if reason:
        raise CannotRunError(f"ncu: {reason}")
    names = [bench.name(cell) for cell in gpu_small.PROFILED]
    found = tools.of_cells(tools.ncu(said), names, gpu_small.MARK, "semideep")
    save(found)
    problems = [f"ncu saw no kernel in {name}" for name in names if not found.get(name)]
    return problems + ([f"ncu: exit status {status}: {tail(said)}"] if status else [])
