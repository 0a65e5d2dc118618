"""The steps of `make gpu`. Each is a process of its own and writes what it found to a file.

A step returns the problems that it met; what it says of itself it hands to `save`, as often as it
has news, so that a step that is stopped loses little.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gpu_tools as tools
import record
from gpu_process import HERE, ROOT, CannotRunError, Options, Save, find_tool, run, tail

TESTS_AT_ONCE = 8


# --- facts ----------------------------------------------------------------------------------------


def facts(options: Options, save: Save) -> list[str]:
    """What device, driver, versions and commit the results are of."""
    import torch

    found: dict[str, Any] = {
        "commit": record.commit(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "torch cuda": torch.version.cuda,
    }
    if options.device == "cuda":
        if not torch.cuda.is_available():
            return [f"torch {torch.__version__} sees no card"]
        of_card = torch.cuda.get_device_properties(0)
        found["device"] = {
            "name": of_card.name,
            "capability": f"{of_card.major}.{of_card.minor}",
            "multiprocessors": of_card.multi_processor_count,
            "memory_gib": of_card.total_memory / 2**30,
            "l2_mib": of_card.L2_cache_size / 2**20,
        }
    save(found)
    found["nvidia-smi"] = card_state(options)
    found["nvcc"] = tail(run([find_tool("nvcc"), "--version"], options.folder / "nvcc.log")[1], 2)
    save(found)
    return []


def card_state(options: Options) -> dict[str, Any]:
    """Clocks, temperature and power at this moment."""
    query = f"--query-gpu={','.join(tools.SMI_FIELDS)}"
    command = [find_tool("nvidia-smi"), query, "--format=csv,noheader,nounits"]
    status, output = run(command, options.folder / "nvidia-smi.log")
    if status:
        raise CannotRunError(f"nvidia-smi: {tail(output)}")
    return tools.smi(output.strip().splitlines()[0])


# --- build ----------------------------------------------------------------------------------------


def build(options: Options, save: Save) -> list[str]:
    """The modules in the tree; programs that measure ceilings and hold planted faults."""
    cuda = options.device == "cuda"
    commands: dict[str, list[Any]] = {
        "modules": [sys.executable, "setup.py", "build_ext", "--inplace"]
    }
    if cuda:
        nvcc = [find_tool("nvcc"), "-std=c++17", "-arch=native", "-lineinfo"]
        commands["ceilings"] = [*nvcc, "-O3", HERE / "ceilings.cu", "-o", options.ceilings]
        commands["faults"] = [*nvcc, "-O1", HERE / "planted_faults.cu", "-o", options.faults]
    else:
        flags = ["-std=c++20", "-O3", "-march=native", "-pthread"]
        commands["ceilings"] = ["c++", *flags, HERE / "ceilings.cpp", "-o", options.ceilings]
    environment = {
        "SEMIDEEP_CUDA": "on" if cuda else "off",
        "CUDAARCHS": os.environ.get("CUDAARCHS", "native"),
        "MAX_JOBS": os.environ.get("MAX_JOBS", str(os.cpu_count())),
    }
    if cuda:
        environment["CUDACXX"] = os.environ.get("CUDACXX", find_tool("nvcc"))
    found: dict[str, Any] = {}

    def one(name: str) -> str | None:
        start = time.monotonic()
        log = options.folder / f"build-{name}.log"
        status, output = run(commands[name], log, **environment)
        found[name] = {"status": status, "seconds": time.monotonic() - start}
        return f"{name}: {tail(output)}" if status else None

    with ThreadPoolExecutor() as pool:
        problems = [problem for problem in pool.map(one, commands) if problem]
    save(found)
    if not problems:
        code = "import semideep_ext, semideep_ext.op.testing as testing; print(*testing.DEVICES); "
        code += "semideep_ext.show_config()"
        status, output = run([sys.executable, "-c", code], options.folder / "built.log")
        found["devices"] = output.partition("\n")[0]
        save(found)
        if status or options.device not in found["devices"].split():
            problems.append(f"no kernels for {options.device}: {tail(output)}")
    return problems


# --- tests ----------------------------------------------------------------------------------------


def tests(options: Options, save: Save) -> list[str]:
    """Every test that names the device, a process for each file: a fault of the card ends one only.

    No plugin of pytest is needed.
    """
    found: dict[str, Any] = {"passed": 0, "others passed": 0, "skipped": 0}
    found |= {"failed": {}, "missing": {}, "files": {}}
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    if options.quick:
        files = [file for file in files if file.stem == "test_reference"]
    folder = options.folder / "tests"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()

    def one(file: Path) -> None:
        report = folder / f"{file.stem}.xml"
        command = [sys.executable, "-m", "pytest", file, "-q", "-k", options.device]
        command += ["-o", "addopts=", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command += ["-W", "ignore::pytest.PytestConfigWarning"]  # options of plugins not here
        start = time.monotonic()
        log = folder / f"{file.stem}.log"
        status, output = run(command, log, OMP_NUM_THREADS="2", OMP_WAIT_POLICY="passive")
        if report.exists():
            entry = tools.junit(report, options.device)
        else:  # the process died
            entry = {"passed": 0, "failed": {file.stem: f"exit status {status}: {tail(output)}"}}
        for key, value in entry.items():
            found[key] = found[key] | value if isinstance(value, dict) else found[key] + value
        seconds = time.monotonic() - start
        found["files"][file.stem] = {"passed": entry["passed"], "seconds": seconds}
        save(found)

    with ThreadPoolExecutor(TESTS_AT_ONCE) as pool:
        list(pool.map(one, files))
    problems = [f"{name}: {reason}" for name, reason in found["failed"].items()]
    if not found["passed"]:
        problems.append(f"no test ran on {options.device}")
    return problems


# --- accuracy -------------------------------------------------------------------------------------


def accuracy(options: Options, save: Save) -> list[str]:
    """Errors on fresh random and on adversarial data."""
    import gpu_accuracy

    seed = int.from_bytes(os.urandom(4), "little")
    return gpu_accuracy.run(options.device, options.quick, seed, save)["failures"]


# --- compile --------------------------------------------------------------------------------------


def compile_peers(options: Options, save: Save) -> list[str]:
    """What torch.compile will be asked for, so that the benchmark finds it in the cache on disk."""
    import gpu_cells

    start = time.monotonic()
    skipped = gpu_cells.compile_peers(options.device, options.quick)
    save({"seconds": time.monotonic() - start, "skipped": skipped})
    return []


# --- benchmark ------------------------------------------------------------------------------------


def benchmark(options: Options, save: Save) -> list[str]:
    """All cells beside all peers, and the ceilings of the same run."""
    import gpu_cells

    path = options.folder / "benchmark.json"
    results = gpu_cells.run(options.device, options.quick, options.ceilings, path)
    with contextlib.suppress(CannotRunError):
        results["nvidia-smi"] = card_state(options)
    save(results)
    return gpu_cells.problems(results)
