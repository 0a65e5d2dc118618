"""The command line: `python -m semideep_ext demo` and `python -m semideep_ext info`.

Exit codes: 0 done, 1 could not be done (one line says why), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence


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
    options = _parser().parse_args(arguments)
    try:
        if options.command == "demo":
            from semideep_ext.demo import run_demo

            run_demo(options.seeds, options.epochs, options.output_dir)
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
    commands.add_parser("info", help="show versions, instruction sets and metrics")
    return parser


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
