"""Build, test and measure on a machine with a card, in one run of at most ten minutes.

    python benchmarks/gpu.py                       # everything: benchmarks/results/<gpu>.json
    python benchmarks/gpu.py --steps build,tests   # some steps: build/gpu/results.json
    python benchmarks/gpu.py --device cpu --quick  # a dry run of what needs no card: the same

Needs no network: torch >= 2.10, setuptools >= 77, cmake, ninja and the CUDA toolkit must be there.
GPU_OUT names a folder that gets results and logs too; SEMIDEEP_COMMIT names the commit where git
cannot; CUDAARCHS the architecture (default: that of the card). The exit status is 1 where a step
failed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

import gpu_steps  # noqa: E402
import gpu_watch  # noqa: E402
import record  # noqa: E402
from gpu_process import CannotRunError, Options, tail  # noqa: E402

TICK = 0.5  # seconds between looks at what runs
GRACE = 5.0  # for a step that was asked to stop


@dataclass(frozen=True)
class Step:
    run: Any
    limit: float  # seconds
    group: int  # steps of a group run together; those that measure time run alone


STEPS = {
    "facts": Step(gpu_steps.facts, 20, 0),
    "build": Step(gpu_steps.build, 120, 1),
    "tests": Step(gpu_steps.tests, 130, 2),
    "accuracy": Step(gpu_steps.accuracy, 130, 2),
    "sanitizers": Step(gpu_watch.sanitizers, 130, 2),
    "compile": Step(gpu_steps.compile_peers, 130, 2),
    "benchmark": Step(gpu_steps.benchmark, 230, 3),
    "profile": Step(gpu_watch.profile, 60, 4),
}
TOTAL = 570.0  # seconds


# --- one step, in a process of its own ------------------------------------------------------------


def run_step(name: str, options: Options) -> int:
    """Run a step; its results, and last how it ended, go to files."""

    def save(found: dict[str, Any]) -> None:
        record.save(found, options.folder / f"{name}.json")

    try:
        problems = STEPS[name].run(options, save)
        end = {"status": "failed" if problems else "passed", "problems": problems}
    except CannotRunError as reason:
        end = {"status": "cannot run", "problems": [str(reason)]}
    record.save(end, options.folder / f"{name}.end.json")
    return 0


# --- all steps ------------------------------------------------------------------------------------


class Running:
    """A step's process."""

    def __init__(self, name: str, limit: float, options: Options) -> None:
        self.name, self.folder = name, options.folder
        self.start = time.monotonic()
        self.deadline = self.start + limit
        self.log = (self.folder / f"{name}.log").open("w")
        command = [sys.executable, HERE / "gpu.py", "--step", name, "--device", options.device]
        command += ["--folder", options.folder, *["--quick"] * options.quick]
        paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
        self.process = subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that all it started can be stopped
        )
        self.stopped = False

    def over(self) -> bool:
        """Whether it has ended; past its time it is stopped."""
        if self.process.poll() is None and time.monotonic() > self.deadline:
            self.stop()
        return self.process.poll() is not None

    def stop(self) -> None:
        self.stopped = True
        for number in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GRACE)

    def end(self) -> dict[str, Any]:
        """How it ended."""
        self.log.close()
        seconds = time.monotonic() - self.start
        end = read(self.folder / f"{self.name}.end.json")
        if self.stopped:
            limit = self.deadline - self.start
            end = {"status": "out of time", "problems": [f"stopped after {limit:.0f} s"]}
        elif end is None:
            said = tail((self.folder / f"{self.name}.log").read_text(errors="replace"))
            end = {"status": "failed", "problems": [f"{self.name} died: {said}"]}
        return {**end, "seconds": seconds}


def read(path: Path) -> Any:
    """Return what a file holds; None where there is none yet."""
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return None


class Results:
    """What all steps have found so far, in a file that is written anew whenever there is news.

    That is benchmarks/results/<gpu>.json if all steps are asked for, on a card.
    """

    def __init__(self, names: list[str], options: Options, path: Path | None) -> None:
        self.names, self.options, self.path = names, options, path
        self.parts: dict[str, Any] = {}
        self.ends: dict[str, Any] = {}
        self.written: dict[str, Any] = {}
        started = datetime.datetime.now(datetime.timezone.utc)
        self.date = started.isoformat(timespec="seconds")
        for name in STEPS:  # of an earlier run, perhaps of another commit
            for suffix in ("json", "end.json"):
                (options.folder / f"{name}.{suffix}").unlink(missing_ok=True)

    def update(self) -> None:
        for name in self.names:
            part = read(self.options.folder / f"{name}.json")
            self.parts |= {} if part is None else {name: part}
        results = {"date": self.date, "steps": dict(self.ends), **self.parts}
        if results == self.written:
            return
        self.written = results
        path = self.where()
        for folder in (path.parent, *self.out()):
            folder.mkdir(parents=True, exist_ok=True)
            record.save(results, folder / path.name)

    def where(self) -> Path:
        gpu = self.parts.get("facts", {}).get("device", {}).get("name")
        complete = gpu and set(self.names) == set(STEPS) and not self.options.quick
        default = record.results_path(device=gpu) if complete else None
        return self.path or default or self.options.folder / "results.json"

    def out(self) -> list[Path]:
        return [Path(out).resolve()] if (out := os.environ.get("GPU_OUT")) else []

    def copy_logs(self) -> None:
        for out in self.out():
            logs = [self.options.folder.rglob(pattern) for pattern in ("*.log", "*.csv")]
            for file in itertools.chain(*logs):
                if file.parent != out:
                    shutil.copy2(file, out)


def run_all(names: list[str], options: Options, path: Path | None, total: float) -> bool:
    """Run steps, a group after the other; return whether none failed."""
    last = time.monotonic() + total
    results = Results(names, options, path)
    for group in sorted({STEPS[name].group for name in names}):
        running = []
        for name in names:
            if STEPS[name].group == group:
                limit = min(STEPS[name].limit, last - time.monotonic())
                no_card = results.ends.get("facts", {}).get("status") == "failed"
                if no_card or limit < GRACE:
                    reason = "there is no card" if no_card else "no time is left"
                    results.ends[name] = {"status": "not begun", "problems": [reason]}
                    continue
                print(f"{name} ...", flush=True)
                running.append(Running(name, limit, options))
        try:
            while running:
                time.sleep(TICK)
                for step in [step for step in running if step.over()]:
                    running.remove(step)
                    results.ends[step.name] = step.end()
                    print(line(step.name, results.ends[step.name]), flush=True)
                results.update()
        finally:  # where this process is interrupted
            for step in running:
                step.stop()
        results.copy_logs()
    results.update()
    print(summary(results.ends, results.parts.get("benchmark")))
    print(f"results: {results.where()}")
    return all(end["status"] in ("passed", "cannot run") for end in results.ends.values())


def line(name: str, end: dict[str, Any]) -> str:
    problems = end["problems"]
    said = f": {problems[0]}" if problems else ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{name:<11} {end['status']:<12}{end.get('seconds', 0):6.0f} s{said}{more}"


def summary(ends: dict[str, Any], benchmark: dict[str, Any] | None) -> str:
    """The table that stands last."""
    lines = ["", *(line(name, end) for name, end in ends.items())]
    if benchmark:
        import report  # needs what the build step builds

        kinds = dict.fromkeys((cell["dtype"], cell["backward"]) for cell in benchmark["cells"])
        for dtype, backward in kinds:
            title = f"{dtype}, forward{' and backward' if backward else ''}:"
            lines += ["", title, "", *report.rows(benchmark, dtype, backward)]
    return "\n".join([*lines, ""])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the rows")
    parser.add_argument("--steps", default=",".join(STEPS), help="default: all")
    parser.add_argument("--total", type=float, default=TOTAL, help=f"seconds, default {TOTAL:.0f}")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "gpu")
    parser.add_argument("--results", type=Path, help="default: benchmarks/results/<gpu>.json")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    chosen = parser.parse_args(argv)
    names = chosen.steps.split(",")
    for name in names:
        if name not in STEPS:
            parser.error(f"--steps {name}: there are {', '.join(STEPS)}")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    options = Options(chosen.device, chosen.quick, chosen.folder.resolve())
    if chosen.step:
        return run_step(chosen.step, options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # lets run_all stop its steps
    return 0 if run_all(names, options, chosen.results, chosen.total) else 1


if __name__ == "__main__":
    sys.exit(main())
