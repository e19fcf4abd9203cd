"""`chaosbot config`: shows where options come from when they are not typed."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from chaosbot.cli import VERBS, verb
from chaosbot.config.settings import FILE, PREFIX, PROJECT, find_settings

app = verb()


@app.command()
def config() -> None:
    """Show which options are set by a file or by the environment, and in which order they count.

    Example: a `chaosbot.toml` with `[load]` and `users = 50` below it, then `chaosbot config`
    """
    console = Console(emoji=False, highlight=False, soft_wrap=True)
    settings = find_settings(Path.cwd(), VERBS)
    console.print("[bold]order[/], the first that says something wins:")
    console.print("  1. the command line")
    console.print(f"  2. the environment: {PREFIX}_VERB_OPTION, for example {PREFIX}_LOAD_USERS=50")
    where = escape(settings.where) if settings.where else f"none found ({FILE}, or {PROJECT} with \\[tool.chaosbot])"
    console.print(f"  3. the nearest file from here upwards: {where}")
    console.print("  4. the option's own default, as --help shows it")
    lines = []
    for name in VERBS:
        command = typer.main.get_command(importlib.import_module(f"chaosbot.cli.{name}").app)
        options = {str(parameter.name) for parameter in command.params}
        said = settings.options(name, options)
        for option in sorted(options):
            variable = f"{PREFIX}_{name}_{option}".upper()
            if variable in os.environ:
                lines.append(f"  {name} {option} = {os.environ[variable]}  ({variable})")
            elif option in said:
                lines.append(f"  {name} {option} = {said[option]!r}  ({settings.where})")
    console.print("\n[bold]set here[/]:" if lines else "\nnothing is set here")
    for line in lines:
        console.print(escape(line))
