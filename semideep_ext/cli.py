"""The command line: `python -m semideep_ext demo`, `... bench` and `... info`.

Exit codes: 0 done, 1 could not be done (one line says why), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence

from semideep_ext.metrics import METRICS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default `sys.argv[1:]`.

    Returns
    -------
    int

    Raises
    ------
    SystemExit
        With code 2 for wrong usage, 0 for --help.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "bench":
        _check_bench(options, parser)
    try:
        if options.command == "demo":
            from semideep_ext.demo import run_demo

            run_demo(options.seeds, options.epochs, options.output_dir)
        elif options.command == "bench":
            _bench(options)
        else:
            import semideep_ext

            semideep_ext.show_config()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (ImportError, OSError) as error:
        print(f"semideep_ext {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="semideep_ext", description="Distance-based sample weights for classifiers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="compare the weightings on breast-cancer data")
    demo.add_argument("--seeds", type=_at_least(2), default=10, help="splits (default 10)")
    demo.add_argument("--epochs", type=_at_least(1), default=40, help="per split (default 40)")
    demo.add_argument("--output-dir", default="demo_output", help="default demo_output")
    bench = commands.add_parser(
        "bench", help="time the weights of one shape beside other libraries"
    )
    bench.add_argument("--metric", choices=METRICS, default="euclidean", help="default euclidean")
    for rows_or_features, what in (("--n", "rows of x"), ("--m", "rows of y"), ("--d", "features")):
        bench.add_argument(rows_or_features, type=_at_least(1), required=True, help=what)
    bench.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    bench.add_argument("--backward", action="store_true", help="with the gradients of x and y")
    bench.add_argument("--bits", action="store_true", help="hamming on 0 and 1, not 4 categories")
    bench.add_argument("--threads", type=_at_least(1), help="default: as many as torch uses")
    bench.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default cpu")
    bench.add_argument("--json", action="store_true", help="print JSON instead of a table")
    commands.add_parser("info", help="show versions, instruction sets and metrics")
    return parser


def _check_bench(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if options.backward and not METRICS[options.metric].differentiable:
        others = ", ".join(name for name, metric in METRICS.items() if metric.differentiable)
        parser.error(
            f"--backward: metric {options.metric} has no gradient with respect to rows; leave it "
            f"out, or use --metric with one of {others}"
        )
    if options.bits and options.metric != "hamming":
        parser.error(f"--bits is for --metric hamming, not {options.metric}: leave it out")


def _bench(options: argparse.Namespace) -> None:
    try:
        from semideep_ext.bench import compete, table, versions
        from semideep_ext.cells import Cell
        from semideep_ext.testing import DEVICES
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}: pip install semideep_ext[bench]") from error

    if options.device not in DEVICES:
        raise ImportError(f"--device {options.device}: no card, or no kernels for it; give cpu")
    fields = (field.name for field in dataclasses.fields(Cell))
    cell = Cell(**{name: getattr(options, name) for name in fields})
    outcomes = compete(cell)
    if options.json:
        found = {"cell": dataclasses.asdict(cell), "versions": versions(), "contestants": outcomes}
        print(json.dumps(found, indent=1))
    else:
        print(table(outcomes))


def _at_least(smallest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = smallest - 1
        if number < smallest:
            raise argparse.ArgumentTypeError(f"{text!r}: give an integer of at least {smallest}")
        return number

    return parse
