"""Registers, shared memory and spills of the CUDA kernels, from the compiler's reports.

    make cuda-resources         # one target; fails where a kernel spills more than in the baseline
    make cuda-build             # the same for every target
    make cuda-resources-accept  # makes the figures of every target the baseline

A spill is a register that the compiler moved to memory, which a kernel pays for in each turn of its
loop. Reports of another release of nvcc than the baseline's are printed, but prove nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

BASELINE = Path(__file__).parent / "results" / "cuda_resources.json"
ACCEPT = "make cuda-resources-accept"

_RELEASE = re.compile(r"release ([\d.]+)")
_KERNEL = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


class Resources(NamedTuple):
    registers: int
    shared: int  # bytes, the static part alone
    stack: int  # bytes
    spills: int  # bytes stored and loaded


class Report(NamedTuple):
    release: str  # of nvcc
    kernels: dict[str, dict[str, Resources]]  # by target, then by name


def parse(text: str) -> Report:
    """Read what `nvcc --version` and `nvcc -Xptxas=-v` print; kernels by their mangled names."""
    releases = set(_RELEASE.findall(text))
    if len(releases) != 1:
        raise ValueError(f"reports of one release of nvcc are needed, got {sorted(releases)}")
    _, *parts = re.split(r"(?=Compiling entry function)", text)
    kernels: dict[str, dict[str, Resources]] = {}
    for part in parts:
        name, target = _KERNEL.search(part).groups()
        stack, stores, loads = map(int, _SPILLS.search(part).groups())
        shared = _SHARED.search(part)
        kernels.setdefault(target, {})[name] = Resources(
            int(_REGISTERS.search(part)[1]), int(shared[1]) if shared else 0, stack, stores + loads
        )
    return Report(releases.pop(), kernels)


def shorten(name: str) -> str:
    """A demangled kernel without its return type, namespaces and parameters."""
    name = re.sub(r"\((?!anonymous namespace).*", "", name.removeprefix("void "))
    return re.sub(r"\b(semideep|device|cuda)::|\(anonymous namespace\)::", "", name)


def demangled(report: Report) -> Report:
    names = sorted({name for kernels in report.kernels.values() for name in kernels})
    done = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    short = dict(zip(names, map(shorten, done.stdout.splitlines()), strict=True))
    kernels = {
        target: {short[name]: found for name, found in sorted(of_target.items())}
        for target, of_target in sorted(report.kernels.items())
    }
    return Report(report.release, kernels)


def as_baseline(report: Report) -> dict:
    return {"nvcc": report.release, "fields": Resources._fields, "kernels": report.kernels}


def write_baseline(report: Report) -> None:
    text = json.dumps(as_baseline(report), indent=1)
    one_line_a_kernel = re.sub(r"\[[^\]]*\]", lambda found: " ".join(found[0].split()), text)
    BASELINE.write_text(one_line_a_kernel + "\n")


def compare(baseline: dict, report: Report) -> tuple[bool, str]:
    """Whether no kernel spills more than in the baseline, and what is to be said of them."""
    if baseline["nvcc"] != report.release:
        return True, f"not comparable: baseline is nvcc {baseline['nvcc']}, this {report.release}"
    failures = []
    for target, kernels in report.kernels.items():
        known = baseline["kernels"].get(target, {})
        for name, now in kernels.items():
            allowed = Resources(*known[name]).spills if name in known else 0
            if now.spills > allowed:
                failures.append(f"{target} {name}: spills {now.spills} bytes, allowed {allowed}")
    if failures:
        end = f"FAILED: let the kernel hold less at a time; or, if it is worth this, {ACCEPT}"
        return False, "\n".join([*failures, end])
    kernels = sum(map(len, report.kernels.values()))
    return True, f"passed, none of {kernels} kernels spills more than in the baseline"


def table(report: Report) -> str:
    lines = []
    for target, kernels in report.kernels.items():
        lines.append(target.ljust(60) + "".join(f.rjust(11) for f in Resources._fields))
        for name, resources in kernels.items():
            lines.append(f"  {name:<58}" + "".join(str(value).rjust(11) for value in resources))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="the build folder of CMake")
    parser.add_argument("--accept", action="store_true", help="write a new baseline")
    arguments = parser.parse_args(argv)
    reports = sorted(arguments.build.rglob("*.ptxas"))
    if not reports or not shutil.which("c++filt"):
        missing = "no report: build semideep_cuda first" if not reports else "no c++filt (binutils)"
        print(f"CUDA resources: FAILED, {missing} ({arguments.build})")
        return 1
    report = demangled(parse("\n".join(path.read_text() for path in reports)))
    print(table(report))
    if arguments.accept:
        write_baseline(report)
        print(f"CUDA resources: wrote {BASELINE}; commit it")
        return 0
    if not BASELINE.exists():
        print(f"CUDA resources: FAILED, no baseline {BASELINE}; write it: {ACCEPT}")
        return 1
    passed, text = compare(json.loads(BASELINE.read_text()), report)
    print("\n".join(f"CUDA resources: {line}" for line in text.splitlines()))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
