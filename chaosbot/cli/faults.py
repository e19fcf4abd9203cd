"""`chaosbot faults`: what is on the registry of faults, and the page of each."""

from __future__ import annotations

from typing import Annotated

import typer

from chaosbot.cli import verb
from chaosbot.cli._options import ListAsJson
from chaosbot.cli._registry import show_registry
from chaosbot.core.fault import FAULTS

app = verb()


@app.command()
def faults(
    name: Annotated[str | None, typer.Argument(help="Show the page of this fault.", show_default=False)] = None,
    as_json: ListAsJson = False,
) -> None:
    """List the faults, or show one with its options.

    Examples:

    - `chaosbot faults`
    - `chaosbot faults latency`
    """
    show_registry(
        FAULTS, name, "chaosbot proxy http://127.0.0.1:8000 --fault '{name}'", column="depth", as_json=as_json
    )
