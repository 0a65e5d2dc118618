"""The README's section and the plots, from a results file.

python benchmarks/report.py benchmarks/results/<cpu>.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semideep_ext.benchmark.bench import milliseconds
from semideep_ext.benchmark.contestants import OURS
from semideep_ext.plots import OKABE_ITO

if TYPE_CHECKING:  # a table needs no matplotlib
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
HEADER = (
    "| cell (N x M x D) | semideep_ext | fastest peer | peer / ours | torch.compile / ours "
    "| target | share of ceiling | error | MiB, ours and peer |"
)
# Of the ceiling that binds: in cells with many features, and in the others.
SHARES = {"D >= 512": 0.85, "else": 0.75}


def target_share(cell: dict[str, Any]) -> float:
    if "share" in cell["target"]:
        return cell["target"]["share"]
    return SHARES["D >= 512" if cell["d"] >= 512 else "else"]


# --- text -----------------------------------------------------------------------------------------


def target(cell: dict[str, Any]) -> str:
    """The cell's target, beside what was reached where no other column says so."""
    wanted, found = cell["target"], cell["summary"]
    if "overhead_us" in wanted:
        return (
            f"{found['overhead_us']:+.0f} µs over torch.cdist alone, "
            f"at most {wanted['overhead_us']:+.0f}"
        )
    if "backward" in wanted:
        return f"backward {found['backward']:.1f} x forward, at most {wanted['backward']:g} x"
    if "keops" in wanted:
        reached = f"{found['keops']:.2g}" if "keops" in found else "not measured"
        return f"pykeops / ours {reached}, at least {wanted['keops']:g}"
    return f"at least {wanted['ratio']:g}" if "ratio" in wanted else ""


def share(cell: dict[str, Any]) -> str:
    found = cell["summary"]
    return f"{found['share']:.0%} of {found['ceiling']}" if "share" in found else ""


def sentence(cell: dict[str, Any]) -> str:
    """One line for the terminal."""
    found = cell["summary"]
    parts = [f"{found['best_peer']} / ours {found['ratio']:.2f}"] if "ratio" in found else []
    parts += [f"target: {target(cell)}"] if cell["target"] else []
    if "share" in found:
        parts.append(f"{share(cell)}, floor {milliseconds(found['floor'])} ms")
    for name, outcome in cell["beside"].items():
        parts.append(f"{name} {milliseconds(outcome['seconds'])} ms")
    return "; ".join(parts)


def row(cell: dict[str, Any]) -> str:
    found, contestants = cell["summary"], cell["contestants"]
    ours, peer = contestants[OURS], contestants.get(found.get("best_peer"))
    compiled = contestants.get("torch.compile", {}).get("seconds")
    memory = [outcome["peak_mib"] for outcome in (ours, peer) if outcome]
    entries = [
        cell["name"].removesuffix(" backward").replace(f" {cell['dtype']}", ""),
        f"{milliseconds(ours['seconds'])} ms",
        f"{milliseconds(peer['seconds'])} ms ({found['best_peer']})" if peer else "none",
        f"{found['ratio']:.2g}" if peer else "",
        f"{compiled / ours['seconds']:.2g}" if compiled else "",
        target(cell),
        share(cell),
        f"{ours['error']:.0e}",
        ", ".join("?" if mib is None else f"{mib:.0f}" for mib in memory),
    ]
    return f"| {' | '.join(entries)} |"


def rows(results: dict[str, Any], dtype: str, backward: bool) -> list[str]:
    found = [
        row(cell)
        for cell in results["cells"]
        if (cell["dtype"], cell["backward"]) == (dtype, backward)
    ]
    return [HEADER, "|" + "---|" * (HEADER.count("|") - 1), *found]


def section(results: dict[str, Any], scaling: bool) -> str:
    """What stands between the README's markers, with or without the picture of scaling."""
    rates, peers = results["ceilings"]["median"], results["versions"]
    listed = ", ".join(f"{peer} {version}" for peer, version in peers.items() if peer != OURS)
    lines = [
        f"On {results['cpu']}, {results['config']['threads']} threads (1 for the small calls), "
        f"commit {results['commit']}, {results['date'][:10]}. Peers: {listed}.",
        f"Ceilings of the same run: {rates['fma_float32']:.0f} GFLOP/s of float32 FMA, "
        f"{rates['sqrt_exp_float32']:.1f} G sqrt and exp, {rates['exp_float32']:.1f} G exp, "
        f"{rates['popcount']:.1f} G words of population count, {rates['read']:.0f} GB/s read.",
        "",
        "float32, forward:",
        "",
        *rows(results, "float32", backward=False),
        "",
        "float32, forward and backward:",
        "",
        *rows(results, "float32", backward=True),
        "",
        "<details><summary>float64</summary>",
        "",
        *rows(results, "float64", backward=False),
        "",
        "Forward and backward:",
        "",
        *rows(results, "float64", backward=True),
        "",
        "</details>",
        "",
        "![Ratio to the fastest peer and share of the ceiling, per cell](docs/bench.png)",
    ]
    if scaling:
        lines += ["", "![Time and memory from 10^3 to 10^6 rows on both sides](docs/scaling.png)"]
    lines += [
        "",
        "A shape of your own, beside what you have installed:",
        "",
        "    python -m semideep_ext bench --metric cosine --n 2000 --m 1000 --d 64",
    ]
    return "\n".join(lines)


def fill(readme: str, text: str) -> str:
    """Replace what stands between the markers."""
    filled, count = re.subn(
        r"(<!-- bench -->\n).*(<!-- /bench -->)",
        lambda found: f"{found[1]}{text}\n{found[2]}",
        readme,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError("README.md needs one pair of markers <!-- bench --> and <!-- /bench -->")
    return filled


# --- pictures -------------------------------------------------------------------------------------

STYLES = {
    ("float32", False): ("float32 forward", OKABE_ITO[0], "o"),
    ("float32", True): ("float32 forward + backward", OKABE_ITO[1], "s"),
    ("float64", False): ("float64 forward", OKABE_ITO[2], "^"),
    ("float64", True): ("float64 forward + backward", OKABE_ITO[3], "D"),
}


def plot(results: dict[str, Any]) -> Figure:
    """Ratio to the fastest peer and share of the ceiling: a line per cell, marks at the targets."""
    from matplotlib.figure import Figure

    cells = results["cells"]
    figure = Figure(figsize=(11, 0.3 * len(cells) + 1.8), layout="constrained")
    ratios, shares = figure.subplots(1, 2, sharey=True)
    for (dtype, backward), (label, color, marker) in STYLES.items():
        style = {"color": color, "marker": marker, "linestyle": "none", "label": label}
        for axes, kind, unit in ((ratios, "ratio", 1), (shares, "share", 0.01)):
            at = [
                i
                for i, cell in enumerate(cells)
                if (cell["dtype"], cell["backward"]) == (dtype, backward)
                and kind in cell["summary"]
            ]
            axes.plot([cells[i]["summary"][kind] / unit for i in at], at, **style)
    marks = {"color": "black", "marker": "|", "markersize": 14, "linestyle": "none"}
    at = [i for i, cell in enumerate(cells) if "ratio" in cell["target"]]
    ratios.plot([cells[i]["target"]["ratio"] for i in at], at, label="target", **marks)
    at = [i for i, cell in enumerate(cells) if "share" in cell["summary"]]
    shares.plot([100 * target_share(cells[i]) for i in at], at, label="target", **marks)
    ratios.axvline(1, color="0.7", linewidth=1, zorder=0)
    ratios.set_xscale("log")
    ratios.set_xlabel("time of the fastest peer / ours")
    shares.set_xlim(left=0)
    shares.set_xlabel("share of the ceiling (%)")
    ratios.set_ylabel("cell: metric N x M x D")
    ratios.set_yticks(range(len(cells)), [cell["name"] for cell in cells])
    ratios.set_ylim(len(cells) - 0.5, -0.5)
    for axes in (ratios, shares):
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
    handles, labels = ratios.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    return figure


def plot_scaling(results: dict[str, Any]) -> Figure:
    """Time and memory over N = M; each line ends where its contestant was dropped."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    times, memory = figure.subplots(1, 2)
    markers = "os^Dv<>P*"
    for i, (name, points) in enumerate(results["points"].items()):
        ran = [point for point in points if "seconds" in point]
        style = {"color": OKABE_ITO[i % len(OKABE_ITO)], "marker": markers[i % len(markers)]}
        if name == OURS:
            style |= {"linewidth": 3, "zorder": 3}
        sizes = [point["n"] for point in ran]
        times.plot(sizes, [point["seconds"] for point in ran], label=name, **style)
        known = [point for point in ran if point["peak_mib"] is not None]
        # A logarithmic axis has no zero, and less than this is noise of the page counts.
        peaks = [max(point["peak_mib"], 0.1) for point in known]
        memory.plot([point["n"] for point in known], peaks, **style)
    for axes, label in ((times, "seconds a call"), (memory, "MiB beyond the rows, at least 0.1")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(f"N = M ({results['metric']}, D = {results['d']}, {results['dtype']})")
        axes.set_ylabel(label)
        axes.grid(color="0.9")
    figure.legend(loc="outside upper center", ncols=5)
    return figure


def publish(path: Path, root: Path = ROOT) -> None:
    """Fill the README and draw the plot from a results file."""
    results = json.loads(path.read_text())
    readme = root / "README.md"
    scaling = (root / "docs" / "scaling.png").exists()
    readme.write_text(fill(readme.read_text(), section(results, scaling)))
    plot(results).savefig(root / "docs" / "bench.png", dpi=110)
    print(f"{path} -> {readme}, {root / 'docs' / 'bench.png'}")


def publish_scaling(path: Path, root: Path = ROOT) -> None:
    """Draw the scaling plot from a results file."""
    picture = root / "docs" / "scaling.png"
    plot_scaling(json.loads(path.read_text())).savefig(picture, dpi=110)
    print(f"{path} -> {picture}")


if __name__ == "__main__":
    publish(Path(sys.argv[1]))
