"""The command line: one file per verb; parse, build, run, exit code.

Verbs are imported when they are called, so `chaosbot faults` does not wait for the load engine, and ``chaosbot --help`` imports
none. Every error that chaosbot raises on purpose ends here as one line and its exit code: 0 pass, 1 findings or failed assertions,
2 usage or configuration, 3 inconclusive or invalid. An error that nobody foresaw says nothing about the target, so it is 3 as well.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import typer
from typer.core import TyperGroup

from chaosbot.cli._aliases import understood
from chaosbot.config.renamed import RenamedWarning
from chaosbot.config.settings import PREFIX, find_settings
from chaosbot.core.errors import ChaosbotError, UnknownName, brief
from chaosbot.core.visible import one_line

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "Start here": {
        "demo": "Break an embedded bot and see which of its planted bugs are found.",
        "init": "Write a commented experiment file.",
        "doctor": "Check the environment, the target and the bot's way to its API.",
    },
    "Break a webhook or a bot": {
        "send": "Send one genuine, signed delivery of a platform.",
        "run": "Drive load through the proxy while faults act, and judge what the bot did.",
        "proxy": "Run a fault-injection proxy beside any client.",
        "fuzz": "Send what no well-behaved platform sends.",
        "mock": "Serve the API that a bot calls, and record its calls.",
        "load": "Drive virtual users or arrivals and judge what came back.",
    },
    "Look at what came out": {
        "report": "Fold a run's events into its reports again, or compare two runs.",
        "replay": "Send a finding's request again.",
        "shrink": "Find the smallest fault plan that still breaks what a run broke.",
    },
    "Look things up": {
        "faults": "List the faults, or explain one.",
        "checks": "List the checks, or explain one.",
        "platforms": "List the platforms whose webhooks are spoken, or explain one.",
        "profiles": "List the load profiles, or explain one.",
        "config": "Show where options come from when they are not typed.",
        "ca": "Print where the certificate authority is, for clients that must trust it.",
        "addon": "Print the script that brings faults into mitmdump, mitmproxy or mitmweb.",
        "completion": "Print the script that completes commands in bash, zsh or fish.",
        "locustfile": "Print the file that brings chaosbot's virtual users into Locust.",
    },
}
"""Each verb is a file of this folder; the line is what ``chaosbot --help`` says of it."""
VERBS: Final[Mapping[str, str]] = {name: line for group in GROUPS.values() for name, line in group.items()}

PANELS: Final[Mapping[str, tuple[str, ...]]] = {
    "The target": (
        *(
            "--platform",
            "--platform-option",
            "--secret-env",
            "--allow-host",
            "--bot-api",
            "--bot-api-port",
            "--outbound",
        ),
        *(
            "--outbound-listen",
            "--malformed",
            "--accept-status",
            "--bugs",
            "--start-cmd",
            "--guide",
            "--guide-include",
            "--unix",
            "--ca",
            "--insecure",
            "--cert",
            "--key",
            "--upstream-ca",
        ),
        *(
            "--upstream-cert",
            "--upstream-key",
            "--insecure-upstream",
            "--pid",
            "--metrics",
            "--metric",
            "--health",
            "--circuits",
        ),
    ),
    "What comes out": (
        *(
            "--out",
            "--json",
            "--quiet",
            "--web",
            "--prometheus",
            "--remote-write",
            "--otlp",
            "--linger",
            "--bodies",
            "--format",
            "--export-pytest",
            "--record",
            "--schema",
            "--list",
        ),
    ),
}
"""Headings of a verb's page, and the options below each; all others stand below "Options"."""
PANEL_OF: Final = {option: panel for panel, options in PANELS.items() for option in options}

BadUsage: Final = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])
"""What typer raises for options and arguments that do not do; the library that it stands on has moved from release to release."""


def verb() -> typer.Typer:
    """An empty command for one verb: its help is written as Markdown, and it has no options that are not its own."""
    return typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


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
        for parameter in command.params:
            if parameter.param_type_name == "option":
                told = cast("Any", parameter)
                told.rich_help_panel = PANEL_OF.get(parameter.opts[0])
                told.show_envvar = False  # they all follow one rule, which `chaosbot config` tells
                told.envvar = f"{PREFIX}_{cmd_name}_{_key(parameter)}".upper()
        command.epilog = f"Options can be set by a file or by {PREFIX}_{cmd_name.upper()}_OPTION, too: chaosbot config"
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that is named; an unknown name is told with the nearest one."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in VERBS:
            raise UnknownName.of("verb", args[0], VERBS)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature is the base's
        """Writes the verbs by group. Plain text: what draws tables takes longer to load than all of this takes to run."""
        width = max(map(len, VERBS))
        lines = [
            "Usage: chaosbot [-V | --version] [-h | --help] VERB …",
            "",
            *(chaosbot.__doc__ or "").strip().splitlines(),
        ]
        for group, verbs in GROUPS.items():
            lines += ["", f"{group}:", *(f"  {name:{width}}  {line}" for name, line in verbs.items())]
        lines += ["", "chaosbot VERB --help explains a verb with examples."]
        formatter.write(
            "\n".join(line.removeprefix("    ") if line.startswith("    ") else line for line in lines) + "\n"
        )

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb; an interruption is passed on as such, where some releases of the base make an exit code of it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None


def _key(parameter: Any) -> str:
    """What an option is called in files and in the environment: its long form, with underscores."""
    return str(max(parameter.opts, key=len)).lstrip("-").replace("-", "_")


def long_options(command: Any) -> dict[str, str]:
    """A verb's options as files name them, and the parameter of each."""
    return {_key(one): str(one.name) for one in command.params if one.param_type_name == "option"}


def repeatable_options(command: Any) -> set[str]:
    """Of a verb's options those that may be given several times."""
    return {_key(one) for one in command.params if one.param_type_name == "option" and one.multiple}


app = typer.Typer(
    cls=Verbs,
    invoke_without_command=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": PREFIX},
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
        False, "--version", "-V", callback=_version, is_eager=True, help="Print the version."
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
    name = context.invoked_subcommand
    settings = find_settings(Path.cwd(), VERBS)
    command = cast("Verbs", context.command).get_command(context, name)
    if command is not None and settings.verbs:
        context.default_map = {name: settings.options(name, long_options(command), repeatable_options(command))}


def main(begin: Callable[[], None] | None = None) -> None:
    """Runs the command line and exits.

    Args:
        begin: Called when everything is imported and the verb begins.
    """
    complete = _prepare_streams()
    warnings.showwarning = _warn
    warnings.simplefilter("once", RenamedWarning)
    code = _code(begin)
    # All is said: one that comes while the process ends changes nothing of its code.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        _lost_output(error)
        code = 3
    if not complete and code < 2:
        _say("standard output is closed, so nothing was printed; what was kept is in the run's directory")
        code = 3
    # The process is over: its garbage need not be looked for, which with so many modules takes a tenth of a second.
    gc.freeze()
    sys.exit(code)


def _code(begin: Callable[[], None] | None) -> int:
    """Runs the command line; the exit code, with one line on standard error where something is wrong."""
    try:
        code = app(understood(sys.argv[1:]), prog_name="chaosbot", standalone_mode=False, obj=begin)
    except ChaosbotError as error:
        _say(str(error))
        return error.exit_code
    except BadUsage as error:
        told = brief(" ".join(error.format_message().split())).rstrip(".")
        help_line = f"{error.ctx.command_path if error.ctx else 'chaosbot'} --help"
        _say(f"{told[:1].lower()}{told[1:]}; see: {help_line}")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted")
        return 3
    except SystemExit:  # what draws tables ends the process when its reader has gone
        _lost_output(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
        return 3
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            _say(f"{str(error.filename)[:60]}…: the name is too long for this file system; choose a shorter one")
            return 2
        if error.errno in (errno.EMFILE, errno.ENFILE):
            _say(
                "no more files can be opened (too many are open); raise the limit (ulimit -n 4096), or use fewer workers"
            )
            return 3
        full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS)
        if full and error.filename is not None:
            _say(
                f"{brief(str(error.filename))}: cannot be written ({error.strerror}); what was kept is in the run's directory"
            )
            return 3
        if (full or error.errno in (errno.EPIPE, errno.EBADF, errno.EIO)) and error.filename is None:
            _lost_output(error)
            return 3
        return _unforeseen(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no finding
        return _unforeseen(error)
    return code if isinstance(code, int) else 0


def _unforeseen(error: Exception) -> int:
    """Shows an error of chaosbot's own, which must not look like a finding (1) or like wrong usage (2)."""
    traceback.print_exc()
    _say(
        f"an error of chaosbot itself ({type(error).__name__}); the target was not judged; please report what stands above"
    )
    return 3


def _lost_output(error: Exception) -> None:
    """Standard output cannot be written: said once, and nothing more is tried."""
    why = getattr(error, "strerror", None) or str(error)
    _say(f"standard output cannot be written ({why}); what was kept is in the run's directory")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - the interpreter flushes once more at its end
        try:
            os.dup2(nowhere.fileno(), 1)
        except OSError:
            return


def _prepare_streams() -> bool:
    """Standard streams that are closed lead nowhere, and a character that their encoding lacks becomes a question mark.

    Returns:
        Whether there is a standard output.
    """
    complete = sys.stdout is not None
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for the whole process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    return complete


def _say(line: str) -> None:
    """One line on standard error, as far as it can be written."""
    try:
        sys.stderr.write(f"chaosbot: {one_line(line)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def _warn(message: Warning | str, category: type[Warning], *_where: Any, **_more: Any) -> None:
    """Shows a warning as one line on standard error."""
    if issubclass(category, RenamedWarning):
        _say(f"warning: {message}")
