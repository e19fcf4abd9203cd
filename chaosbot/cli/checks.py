"""`chaosbot checks`: what is on the registry of checks, and the page of each."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markdown import Markdown

from chaosbot.cli import verb
from chaosbot.cli._console import make_console
from chaosbot.cli._options import ListAsJson
from chaosbot.cli._registry import show_registry
from chaosbot.core.check import CHECKS
from chaosbot.report.guidance import guidance

app = verb()


@app.command()
def checks(
    name: Annotated[str | None, typer.Argument(help="Show the page of this check.", show_default=False)] = None,
    as_json: ListAsJson = False,
) -> None:
    """List the checks, or show one: its rule, why it matters, and how to fix what it finds in several frameworks.

    Examples:

    - `chaosbot checks`
    - `chaosbot checks no_hang`
    """
    if name is not None and not as_json:
        CHECKS.get(name)
        console = make_console()
        console.print(
            f"[bold]{name}[/]\n", Markdown(guidance(name)), f"\nUse it: [bold]chaosbot fuzz URL --check {name}[/]"
        )
        return
    show_registry(CHECKS, name, "chaosbot fuzz URL --check {name}", as_json=as_json)
