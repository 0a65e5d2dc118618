"""`semideep info`."""

from __future__ import annotations

from semideep_ext.cli import _options as o
from semideep_ext.cli._console import print_json

EXAMPLES = "\b\nExample:\n  semideep info --json"


def info(as_json: o.Json = False) -> None:
    """Show versions, instruction set and metrics."""
    import semideep_ext
    from semideep_ext.op.config import config

    if as_json:
        print_json(config())
    else:
        semideep_ext.show_config()
