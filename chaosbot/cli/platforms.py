"""`chaosbot platforms`: whose webhooks chaosbot speaks, and the page of each."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from chaosbot.cli import verb
from chaosbot.cli._console import make_console
from chaosbot.cli._options import ListAsJson
from chaosbot.cli._registry import show_registry
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.platform import PLATFORMS, Platform
from chaosbot.core.units import format_duration

app = verb()
_SHOWN = 80


@app.command()
def platforms(
    name: Annotated[str | None, typer.Argument(help="Show the page of this platform.", show_default=False)] = None,
    as_json: ListAsJson = False,
) -> None:
    """List the platforms, or show one: how it signs and delivers, its options and its events.

    Examples:

    - `chaosbot platforms`
    - `chaosbot platforms slack`
    """
    show_registry(PLATFORMS, name, "chaosbot send {name} --list", as_json=as_json)
    if name is None or as_json:
        return
    try:
        platform = PLATFORMS.build(name, {})
    except ConfigError:  # it has an option that must be given
        return
    for line in _facts(platform):
        make_console().print(escape(line), highlight=False)


def _facts(platform: Platform) -> list[str]:
    rules, names = platform.delivery(), list(platform.golden(Dice(0)))
    lines = [f"Usual path: {platform.default_path}"]
    if platform.proof:
        lines.append(f"Proof of origin: {platform.proof} ({'a signature' if platform.signs else 'the secret itself'})")
    if not rules.retries:
        again = "never"
    elif rules.schedule_s:
        again = "after " + ", ".join(format_duration(pause) for pause in rules.schedule_s)
    else:
        again = f"for {format_duration(rules.expiry_s)}, with growing pauses"
    lines.append(f"Waits {format_duration(rules.answer_wait_s)} for an answer; delivers again: {again}")
    flows = [journey for journey in platform.journeys() if journey.ordered]
    lines += [f"Journey {one.name}: {' → '.join(task.name.partition('/')[2] for task in one.tasks)}" for one in flows]
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        lines.append(f"Events ({len(names)}): {', '.join(names[:_SHOWN])}{more}")
    return lines
