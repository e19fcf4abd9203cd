"""The command line: one file per verb; parse, build, run, exit code.

Verbs are imported when they are called, so `chaosbot faults` does not wait for the load engine. Every error that chaosbot raises
on purpose ends here as one line and its exit code: 0 pass, 1 findings or failed assertions, 2 usage or configuration,
3 inconclusive or invalid.
"""

from __future__ import annotations

import gc
import importlib
import sys
import warnings
from collections.abc import Callable
from typing import Any, Final, cast

import typer
from typer.core import TyperGroup

from chaosbot.cli._aliases import understood
from chaosbot.config.renamed import RenamedWarning
from chaosbot.core.errors import ChaosbotError

VERBS: Final = (
    "demo",
    "run",
    "proxy",
    "fuzz",
    "load",
    "replay",
    "report",
    "shrink",
    "init",
    "doctor",
    "faults",
    "checks",
    "profiles",
    "ca",
)
"""In the order of ``--help``: what a newcomer needs first comes first. Each is a file of this folder."""


BadUsage: Final = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])
"""What typer raises for options and arguments that do not do; the library that it stands on has moved from release to release."""


class Verbs(TyperGroup):
    """Finds a verb by importing its file."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is the base's
        """All verbs."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is the base's
        """The verb of this name; None when there is none."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"chaosbot.cli.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb; an interruption is passed on as such, where some releases of the base make an exit code of it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None


app = typer.Typer(
    cls=Verbs,
    invoke_without_command=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from chaosbot import __version__  # noqa: PLC0415 - only when asked for

        typer.echo(f"chaosbot {__version__}")
        raise typer.Exit


@app.callback()
def chaosbot(
    context: typer.Context,
    version: bool = typer.Option(  # noqa: ARG001 - its callback does the work
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Break webhooks and bots on purpose, before production does.

    Start with `chaosbot demo`: it finds the planted bugs of an embedded bot in about a minute. Then point `chaosbot run`
    at your own: `chaosbot run http://127.0.0.1:8000/webhook/telegram`.
    """
    if context.obj is not None:
        context.obj()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        return
    from chaosbot.transport.access import enforce  # noqa: PLC0415 - --help opens no socket

    enforce()


def _warn(message: Warning | str, category: type[Warning], *_where: Any, **_more: Any) -> None:
    """Shows a warning as one line on standard error."""
    if issubclass(category, RenamedWarning):
        sys.stderr.write(f"chaosbot: warning: {message}\n")


def main(begin: Callable[[], None] | None = None) -> None:
    """Runs the command line and exits.

    Args:
        begin: Called when everything is imported and the verb begins.
    """
    warnings.showwarning = _warn
    warnings.simplefilter("once", RenamedWarning)
    try:
        code = app(understood(sys.argv[1:]), prog_name="chaosbot", standalone_mode=False, obj=begin)
    except ChaosbotError as error:
        sys.stderr.write(f"chaosbot: {error}\n")
        sys.exit(error.exit_code)
    except BadUsage as error:
        told = " ".join(error.format_message().split()).rstrip(".")
        help_line = f"{error.ctx.command_path if error.ctx else 'chaosbot'} --help"
        sys.stderr.write(f"chaosbot: {told[:1].lower()}{told[1:]}; see: {help_line}\n")
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("chaosbot: interrupted\n")
        sys.exit(3)
    finally:
        # The process is over: its garbage need not be looked for, which with so many modules takes a tenth of a second.
        gc.freeze()
    sys.exit(code if isinstance(code, int) else 0)
