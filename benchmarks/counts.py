"""Count the instructions of fixed cases under valgrind, beside the committed baseline.

    make bench-counts           # fails where a case takes over 3 % more than in the baseline
    make bench-counts-accept    # makes the counts of this machine the baseline

A count is the same in every run, so it shows what the noise of a timing would hide. It depends on
the compiler: counts of another one than the baseline's are printed, but prove nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

BASELINE = Path(__file__).parent / "results" / "instruction_counts.json"
MARGIN = 0.03
INSTRUCTION_SETS = ("default", "avx2")  # valgrind knows no AVX-512
SKIPPED = 77  # the driver's exit status where the instruction set is missing
# One instruction for all of memset would be counted once a byte, and drown what is looked for.
NO_STRING_INSTRUCTIONS = "glibc.cpu.hwcaps=-ERMS"
ACCEPT = "make bench-counts-accept"


class Count(NamedTuple):
    instructions: int
    pairs: int


class Counts(NamedTuple):
    build: str  # compiler, processor, flags
    cases: dict[str, dict[str, Count]]  # by instruction set, then by name


def as_baseline(counts: Counts) -> dict:
    instructions = {
        isa: {name: count.instructions for name, count in cases.items()}
        for isa, cases in counts.cases.items()
    }
    return {"build": counts.build, "instructions": instructions}


def change(now: int, before: int) -> str:
    return f"{100 * (now / before - 1):+.1f} %"


def compare(baseline: dict, counts: Counts) -> tuple[bool, str]:
    """Whether the counts pass, and what is to be said of them."""
    if baseline["build"] != counts.build:
        return True, f"not comparable: baseline is {baseline['build']}, this is {counts.build}"
    notes, failures, new, gains = [], [], 0, 0
    for isa, known in baseline["instructions"].items():
        if isa not in counts.cases:
            notes.append(f"{isa}: in the baseline, but cannot be counted here")
            continue
        lost = [name for name in known if name not in counts.cases[isa]]
        failures += [f"{isa} {name}: in the baseline, but no longer counted" for name in lost]
    for isa, cases in counts.cases.items():
        for name, (now, _) in cases.items():
            before = baseline["instructions"].get(isa, {}).get(name)
            new += before is None
            gains += before is not None and now < before * (1 - MARGIN)
            if before is not None and now > before * (1 + MARGIN):
                rise = change(now, before)
                failures.append(f"{isa} {name}: baseline {before:,}, now {now:,} ({rise})")
    if new:
        notes.append(f"not in the baseline: {new}; add them with {ACCEPT}")
    if gains:
        notes.append(f"more than {MARGIN:.0%} below: {gains}; keep the gain with {ACCEPT}")
    if failures:
        notes += [*failures, f"FAILED: find the cause; or, if it is worth this, {ACCEPT}"]
    else:
        notes.append(f"passed, none more than {MARGIN:.0%} above the baseline ({counts.build})")
    return not failures, "\n".join(notes)


def table(counts: Counts, baseline: dict | None) -> str:
    """Instructions a pair and, where comparable, the change since the baseline."""
    comparable = baseline is not None and baseline["build"] == counts.build
    known = baseline["instructions"] if comparable else {}
    lines = ["instructions a pair".ljust(42) + "".join(isa.rjust(22) for isa in counts.cases)]
    for name in dict.fromkeys(name for cases in counts.cases.values() for name in cases):
        line = name.ljust(42)
        for isa, cases in counts.cases.items():
            now, pairs = cases[name]
            before = known.get(isa, {}).get(name)
            line += f"{now / pairs:.1f}{f' ({change(now, before)})' if before else ''}".rjust(22)
        lines.append(line)
    return "\n".join(lines)


def dumped_totals(out_file: Path) -> list[int]:
    """Totals of what callgrind wrote after each case, to out_file.1, out_file.2 and so on."""
    totals = []
    while (part := Path(f"{out_file}.{len(totals) + 1}")).exists():
        totals.append(int(re.search(r"^totals: (\d+)", part.read_text(), re.MULTILINE)[1]))
    return totals


def count(driver: Path) -> Counts:
    """Run the driver under callgrind, with each instruction set that it and valgrind have."""
    build, counted = "", {}
    for isa in INSTRUCTION_SETS:
        with tempfile.TemporaryDirectory() as folder:
            out_file = Path(folder) / "counts"
            command = ["valgrind", "--quiet", "--tool=callgrind", "--toggle-collect=counted"]
            command += ["--dump-after=counted", f"--callgrind-out-file={out_file}"]
            wanted = {"SEMIDEEP_CPU_CAPABILITY": isa, "GLIBC_TUNABLES": NO_STRING_INSTRUCTIONS}
            done = subprocess.run(
                [*command, driver.resolve()],
                env={**os.environ, **wanted},
                capture_output=True,
                text=True,
            )
            totals = dumped_totals(out_file)
        if done.returncode == SKIPPED:
            print(f"instruction counts, {isa}: {done.stdout.strip()}")
            continue
        build, *lines = done.stdout.splitlines() or [""]
        if done.returncode or not lines or len(lines) != len(totals):
            raise SystemExit(
                f"{driver} under valgrind with {isa}: exit status {done.returncode}, "
                f"{len(lines)} cases, {len(totals)} counts\n{done.stdout}{done.stderr}"
            )
        counted[isa] = {}
        for line, total in zip(lines, totals, strict=True):
            name, pairs = line.split("\t")
            counted[isa][name] = Count(total, int(pairs))
    return Counts(build, counted)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("driver", type=Path, help="the program count_cases that CMake builds")
    parser.add_argument("--accept", action="store_true", help="write a new baseline")
    parser.add_argument("--optional", action="store_true", help="no failure without valgrind")
    arguments = parser.parse_args(argv)
    if not shutil.which("valgrind"):
        verdict = "SKIPPED" if arguments.optional else "FAILED"
        print(f"instruction counts: {verdict}, no valgrind here; install it: apt install valgrind")
        return 0 if arguments.optional else 1
    if not BASELINE.exists() and not arguments.accept:
        print(f"instruction counts: FAILED, no baseline {BASELINE}; write it: {ACCEPT}")
        return 1

    counts = count(arguments.driver)
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else None
    print(table(counts, baseline))
    if arguments.accept:
        BASELINE.write_text(json.dumps(as_baseline(counts), indent=1) + "\n")
        print(f"instruction counts: wrote {BASELINE}; commit it")
        return 0
    passed, text = compare(baseline, counts)
    print("\n".join(f"instruction counts: {line}" for line in text.splitlines()))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
