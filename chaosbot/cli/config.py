"""`chaosbot config`: shows where options come from when they are not typed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import typer
from rich.markup import escape

from chaosbot.cli import VERBS, Verbs, long_options, repeatable_options, verb
from chaosbot.cli._console import make_console
from chaosbot.cli._options import ListAsJson
from chaosbot.config.settings import FILE, PREFIX, PROJECT, find_settings

app = verb()


@app.command()
def config(as_json: ListAsJson = False) -> None:
    """Show which options are set by a file or by the environment, and in which order they count.

    Example: a `chaosbot.toml` with `[load]` and `users = 50` below it, then `chaosbot config`
    """
    settings = find_settings(Path.cwd(), VERBS)
    found = []
    for name in VERBS:
        command = Verbs(name="chaosbot").get_command(None, name)
        options = long_options(command)
        said = settings.options(name, options, repeatable_options(command))
        for option, parameter in sorted(options.items()):
            variable = f"{PREFIX}_{name}_{option}".upper()
            if variable in os.environ:
                found.append({"verb": name, "option": option, "value": os.environ[variable], "by": variable})
            elif parameter in said:
                found.append({"verb": name, "option": option, "value": said[parameter], "by": settings.where})
    if as_json:
        typer.echo(
            json.dumps({"file": settings.where or None, "set": found}, indent=2, ensure_ascii=False, default=str)
        )
        return
    console = make_console(highlight=False, soft_wrap=True)
    console.print("[bold]order[/], the first that says something wins:")
    console.print("  1. the command line")
    console.print(f"  2. the environment: {PREFIX}_VERB_OPTION, for example {PREFIX}_LOAD_USERS=50")
    where = escape(settings.where) if settings.where else f"none found ({FILE}, or {PROJECT} with \\[tool.chaosbot])"
    console.print(f"  3. the nearest file from here upwards: {where}")
    console.print("  4. the option's own default, as --help shows it")
    console.print("\n[bold]set here[/]:" if found else "\nnothing is set here")
    for one in found:
        value = one["value"] if isinstance(one["value"], str) and one["by"].startswith(PREFIX) else repr(one["value"])
        console.print(escape(f"  {one['verb']} {one['option']} = {value}  ({one['by']})"))
