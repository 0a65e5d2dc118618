"""All commands in one application, and what becomes of their errors."""

from __future__ import annotations

import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from semideep_ext.cli import bench, demo, experiment, info, select, train, weights
from semideep_ext.cli._console import say
from semideep_ext.cli._warnings import Warnings

__all__ = ["app"]


class _Commands(TyperGroup):
    """Turns errors that the user can mend into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with warnings.catch_warnings(), Warnings() as shown:
                warnings.showwarning = shown
                return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of stdout has seen enough
            raise
        except (ValueError, ImportError, OSError, MemoryError) as error:
            say(f"semideep {ctx.invoked_subcommand}: {error or type(error).__name__}")
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    help="Weigh labelled rows by their nearness to unlabelled ones; train, choose and compare.",
    epilog="Exit codes: 0 done, 1 the data or the machine do not allow it, 2 wrong usage, 130 "
    "interrupted. Results go to stdout; progress, warnings and errors to stderr.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,  # errors stay on one line, which scripts can search
    pretty_exceptions_enable=False,
)
for module in (weights, select, train, experiment, bench, demo, info):
    name = module.__name__.rpartition(".")[2]
    app.command(name, epilog=module.EXAMPLES)(getattr(module, name))
