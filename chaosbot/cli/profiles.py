"""`chaosbot profiles`: what is on the registry of profiles, and the page of each."""

from __future__ import annotations

from typing import Annotated

import typer

from chaosbot.cli import verb
from chaosbot.cli._options import ListAsJson
from chaosbot.cli._registry import show_registry
from chaosbot.core.profile import PROFILES

app = verb()


@app.command()
def profiles(
    name: Annotated[str | None, typer.Argument(help="Show the page of this profile.", show_default=False)] = None,
    as_json: ListAsJson = False,
) -> None:
    """List the profiles, or show one with its options.

    Examples:

    - `chaosbot profiles`
    - `chaosbot profiles soak`
    """
    show_registry(PROFILES, name, "chaosbot load --profile {name} URL", as_json=as_json)
