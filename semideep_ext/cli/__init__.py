"""The command line: `semideep`, or `python -m semideep_ext`.

Results go to stdout; progress, warnings and errors to stderr. Exit codes: 0 done, 1 the data or the
machine do not allow it (one line says why), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default `sys.argv[1:]`.

    Returns
    -------
    int

    Examples
    --------
    >>> main(["info", "--unknown"])
    2
    """
    try:
        from semideep_ext.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        needs = f"the command line needs {error.name}: pip install 'semideep_ext[cli]'"
        print(needs, file=sys.stderr)
        return 1
    try:
        app(None if arguments is None else list(arguments), prog_name="semideep")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 0
    return 0
