"""`chaosbot mock`: the APIs that a bot calls, served alone."""

from __future__ import annotations

from typing import Annotated

import typer

from chaosbot.cli import verb
from chaosbot.cli._finish import conclude, running
from chaosbot.cli._listeners import address_of
from chaosbot.cli._options import Json, Out, Quiet, Seed, Watched, Web, choose_seed, read_option
from chaosbot.config import defaults
from chaosbot.core import units
from chaosbot.core.mock import MOCKS, mock_of
from chaosbot.mocks.server import MockListener
from chaosbot.session.proxying import serve_mocks

app = verb()


@app.command(cls=Watched)
def mock(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help=f"Which: {', '.join(MOCKS.names())}; options follow as NAME;option=value.",
            show_default=defaults.MOCK,
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="HOST:PORT to listen on; further mocks take the next ports, port 0 takes free ones.")
    ] = "127.0.0.1:8081",
    duration: Annotated[str | None, typer.Option(help="Stop after this time.", show_default=False)] = None,
    seed: Seed = None,
    out: Out = None,
    web: Web = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve the API that a bot calls until Ctrl-C, without faults, and record what the bot called.

    Faults stand in front of a mock: `chaosbot proxy URL --outbound mock:NAME`.

    Examples:

    - `chaosbot mock telegram --listen 127.0.0.1:8081`
    - `chaosbot mock --duration 1m --out calls`
    """
    host, port = address_of("--listen", listen)
    chosen = [mock_of(name, defaults.MOCK) for name in names or (defaults.MOCK,)]
    listeners = []
    for number, each in enumerate(chosen):
        alike = sum(other.name == each.name for other in chosen[:number])  # each has a name of its own: llm, llm-2
        name = f"{each.name}-{alike + 1}" if alike else each.name
        listeners.append(MockListener(each, host, port + number if port else 0, name))
    total_s = read_option("--duration", duration, units.duration) if duration else None
    target = ", ".join(each.upstream for each in listeners)
    with running("mock", target, choose_seed(seed), out, quiet=quiet, as_json=as_json, total_s=total_s, web=web) as (
        run,
        watch,
    ):
        serve_mocks(run, listeners, total_s, watch.say)
    raise conclude(run, quiet=quiet, as_json=as_json)
