"""`chaosbot checks`: what is on the registry of checks, and the page of each."""

from __future__ import annotations

from typing import Annotated

import typer

from chaosbot.cli import verb
from chaosbot.cli._options import ListAsJson
from chaosbot.cli._registry import show_registry
from chaosbot.core.check import CHECKS

app = verb()


@app.command()
def checks(
    name: Annotated[str | None, typer.Argument(help="Show the page of this check.", show_default=False)] = None,
    as_json: ListAsJson = False,
) -> None:
    """List the checks, or show one with its options.

    Examples:

    - `chaosbot checks`
    - `chaosbot checks no_hang`
    """
    show_registry(CHECKS, name, "chaosbot fuzz URL --check {name}", as_json=as_json)
