"""`chaosbot profiles`: what is on the shelf of profiles, and the page of each."""

from __future__ import annotations

from typing import Annotated

import typer

from chaosbot.cli._shelf import show_shelf
from chaosbot.cli._verb import verb
from chaosbot.model.profile import PROFILES

app = verb()


@app.command()
def profiles(
    name: Annotated[str | None, typer.Argument(help="Show the page of this profile.", show_default=False)] = None,
) -> None:
    """List the profiles, or show one with its options.

    Examples:

    - `chaosbot profiles`
    - `chaosbot profiles soak`
    """
    show_shelf(PROFILES, name, "chaosbot load --profile {name} URL")
