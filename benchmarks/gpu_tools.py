"""What the tools of a card's toolkit print, as data."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
# The line that a tool ends with, and the number of faults in it.
_SUMMARY = re.compile(
    r"^=+ (?:ERROR SUMMARY: (\d+) errors?|RACECHECK SUMMARY: (\d+) hazards? displayed.*)", re.M
)
# Where a machine's owner does not let these tools at the card: no fault of what is examined.
_NOT_ALLOWED = (
    "ERR_NVGPUCTRPERM",
    "does not have permission",
    "Device not supported",
    "device is not supported",
    "Unable to attach",
    "Failed to initialize",
    "Failed to prepare",
    "already in use by another",
    "not supported on this",
)

SMI_FIELDS = (
    "name",
    "driver_version",
    "clocks.sm",
    "clocks.max.sm",
    "temperature.gpu",
    "power.draw",
    "power.limit",
    "utilization.gpu",
)

# Of one launch: the time, who is busy how much of it (percent of peak), what a thread needs.
METRICS = {
    "nanoseconds": "gpu__time_duration.sum",
    "sm": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "issue": "smsp__issue_active.avg.pct_of_peak_sustained_active",
    "fma": "sm__inst_executed_pipe_fma.avg.pct_of_peak_sustained_active",
    "alu": "sm__inst_executed_pipe_alu.avg.pct_of_peak_sustained_active",
    "special functions": "sm__inst_executed_pipe_xu.avg.pct_of_peak_sustained_active",
    "fp64": "sm__pipe_fp64_cycles_active.avg.pct_of_peak_sustained_active",
    "tensor": "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
    "load store": "sm__inst_executed_pipe_lsu.avg.pct_of_peak_sustained_active",
    "l1": "l1tex__throughput.avg.pct_of_peak_sustained_active",
    "l2": "lts__throughput.avg.pct_of_peak_sustained_elapsed",
    "dram": "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "warps": "sm__warps_active.avg.pct_of_peak_sustained_active",
    "registers": "launch__registers_per_thread",
    "shared bytes": "launch__shared_mem_per_block",
    "blocks": "launch__grid_size",
}


def smi(line: str) -> dict[str, Any]:
    """Name the values of a line of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`."""
    found = dict(zip(SMI_FIELDS, map(str.strip, line.split(",")), strict=True))
    return {field: _number(text) for field, text in found.items()}


def _number(text: str) -> Any:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return text


def not_allowed(output: str) -> str | None:
    """Return the line in which a tool says that it may not, or cannot, run here."""
    own = (line for line in output.splitlines() if line.startswith("=="))  # not the program's
    lines = (line.strip("= \t") for line in own)
    return next((line for line in lines if any(text in line for text in _NOT_ALLOWED)), None)


def sanitizer(output: str) -> int | None:
    """Return the number of faults in a tool's summary; None where there is no summary.

    No summary means that the tool did not run to its end, whatever its exit status.
    """
    found = _SUMMARY.findall(output)
    return int("".join(found[-1])) if found else None


def ncu(text: str) -> list[dict[str, Any]]:
    """Return a dict for each launch, in order: "kernel", and each of METRICS that was measured."""
    names = {metric: name for name, metric in METRICS.items()}
    table = [line for line in text.splitlines() if line.startswith('"')]
    launches: dict[str, dict[str, Any]] = {}
    for row in csv.DictReader(table):
        launch = launches.setdefault(row["ID"], {"kernel": row["Kernel Name"]})
        if row["Metric Name"] in names:
            launch[names[row["Metric Name"]]] = _number(row["Metric Value"])
    return list(launches.values())


def unknown_metrics(output: str) -> set[str]:
    """Return the metrics that ncu says it does not know."""
    wanted = re.findall(r"Failed to find metric (?:regex:)?\^?([\w.]+)", output)
    return {metric for metric in METRICS.values() if any(metric.startswith(w) for w in wanted)}


def of_cells(
    launches: list[dict[str, Any]], names: list[str], mark: str, ours: str
) -> dict[str, list[dict[str, Any]]]:
    """Give launches to cells: one whose kernel has `mark` in its name begins the next cell.

    Kernels without `ours` in their name are left out.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    remaining = iter(names)
    current: list[dict[str, Any]] = []
    for launch in launches:
        if mark in launch["kernel"]:
            current = found.setdefault(next(remaining), [])
        elif ours in launch["kernel"]:
            current.append(launch)
    return found


def junit(path: Path, device: str) -> dict[str, Any]:
    """Return how many tests passed and were skipped, and names and reasons of those that failed.

    "passed" counts those that have the device among their parameters, as in test_it[cuda-float32].
    A file that lacks a tool of the developers cannot be collected: "missing" has the reason.
    """
    found: dict[str, Any] = {"passed": 0, "others passed": 0, "skipped": 0}
    found |= {"failed": {}, "missing": {}}
    for case in ET.parse(path).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        fault = case.find("failure") if case.find("failure") is not None else case.find("error")
        if fault is not None:
            text = f"{fault.get('message')}\n{fault.text}"
            lacking = re.search(r"ModuleNotFoundError: (No module named '[^']+')", text)
            if fault.tag == "error" and fault.get("message") == "collection failure" and lacking:
                found["missing"][name] = lacking[1]
            else:
                found["failed"][name] = (fault.get("message") or "")[:300]
        elif case.find("skipped") is not None:
            found["skipped"] += 1
        else:
            on_device = device in name.partition("[")[2]
            found["passed" if on_device else "others passed"] += 1
    return found
