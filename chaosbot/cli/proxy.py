"""`chaosbot proxy`: faults between a client and a webhook, or between a bot and the APIs that it calls."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from chaosbot.cli import verb
from chaosbot.cli._exchanges import Exchanges
from chaosbot.cli._finish import conclude, running
from chaosbot.cli._listeners import address_of, authority, client_certificate, exports
from chaosbot.cli._options import (
    AllowHost,
    Json,
    Linger,
    Out,
    PlatformName,
    PlatformOptions,
    Prometheus,
    Quiet,
    Seed,
    UnixSocket,
    Watched,
    Web,
    choose_platform,
    choose_seed,
    read_option,
    target_of,
)
from chaosbot.config import defaults
from chaosbot.config.experiment import plan_schema
from chaosbot.config.fit import plan_for
from chaosbot.config.outputs import check_output
from chaosbot.config.plan import plan_to_mapping
from chaosbot.config.renamed import OUTBOUND, with_new_word
from chaosbot.config.replay import Recording, read_recording
from chaosbot.core import units
from chaosbot.core.errors import ConfigError
from chaosbot.session.proxying import ProxyRequest, composed, serve

app = verb()


@app.command(cls=Watched)
def proxy(
    upstream: Annotated[
        str | None,
        typer.Argument(
            help="Where to pass traffic on, e.g. http://127.0.0.1:8000 or tcp://127.0.0.1:5432; without one a forward proxy.",
            show_default=False,
        ),
    ] = None,
    unix: UnixSocket = None,
    listen: Annotated[
        str, typer.Option(help="HOST:PORT to listen on (port 0 takes a free one), or unix:PATH.")
    ] = "127.0.0.1:8080",
    plan: Annotated[Path | None, typer.Option(help="A fault plan (TOML or YAML).", show_default=False)] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="A fault, e.g. 'latency:250ms±50ms;p=0.3'; repeatable.", show_default=False),
    ] = None,
    outbound: Annotated[
        str | None,
        typer.Option(
            help="A second direction for the bot's own calls: 'mock' answers as the Bot API ('mock:NAME' as another), a base URL passes through, "
            "'forward' takes a bot that has HTTPS_PROXY set wherever it wants; several with commas, each may be named: NAME=URL.",
            show_default=False,
        ),
    ] = None,
    outbound_listen: Annotated[
        str, typer.Option(help="Where the outbound direction listens; further upstreams take the next ports.")
    ] = "127.0.0.1:8081",
    platform: PlatformName = defaults.PLATFORM,
    platform_option: PlatformOptions = None,
    control: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Runtime control there: Toxiproxy's HTTP API for TCP proxies of its own, and /plan for this one.",
            show_default=False,
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN_DIR", help="Apply a recorded run's faults again, to the same exchanges.", show_default=False
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the traffic to this HAR file, secrets taken out.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    duration: Annotated[str | None, typer.Option(help="Stop after this time.", show_default=False)] = None,
    http2: Annotated[bool, typer.Option("--http2", help="Offer HTTP/2.")] = False,
    http: Annotated[
        bool,
        typer.Option("--http", help="Parse HTTP also where byte faults alone would run on a direct pipe."),
    ] = False,
    header_control: Annotated[
        bool, typer.Option("--header-control", help="Let clients ask for faults by header; for tests only.")
    ] = False,
    upstream_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="PEM file with the authority of https:// upstreams, if not a public one.",
            show_default=False,
        ),
    ] = None,
    upstream_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="PEM file with the certificate to show to https:// upstreams.", show_default=False
        ),
    ] = None,
    upstream_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="PEM file with its key, unless the certificate's file holds it.", show_default=False
        ),
    ] = None,
    insecure_upstream: Annotated[
        bool, typer.Option("--insecure-upstream", help="Do not check the certificates of https:// upstreams.")
    ] = False,
    print_env: Annotated[
        bool, typer.Option("--print-env", help="Print the exports that send a client through this proxy, and stop.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of plan files and stop.")] = False,
    seed: Seed = None,
    out: Out = None,
    allow_host: AllowHost = None,
    web: Web = None,
    prometheus: Prometheus = None,
    linger: Linger = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a fault-injection proxy beside any client until Ctrl-C.

    Examples:

    - `chaosbot proxy http://127.0.0.1:8000 --fault 'latency:250ms±50ms;p=0.3'`
    - `chaosbot proxy http://127.0.0.1:8000 --fault 'lost_ack;first=3' --outbound mock`
    - `chaosbot proxy --plan plan.toml --seed 7 http://127.0.0.1:8000`
    - `chaosbot proxy http://127.0.0.1:8000 --control 127.0.0.1:8474` – then any Toxiproxy client
    - `chaosbot proxy http://127.0.0.1:8000 --replay chaosbot-runs/20260101-120000-proxy`
    - `eval "$(chaosbot proxy --print-env)"` – then run the client
    """
    upstream = target_of(upstream, unix)
    address = address_of("--listen", listen, sockets=not print_env)  # no client finds a socket by its environment
    if schema:
        typer.echo(json.dumps(plan_schema(), indent=2))
        return
    if print_env:
        typer.echo(exports(address))
        return
    if record:
        check_output("--record", record)
    recording = _recording(replay, plan, fault, seed)
    with ExitStack() as stack:
        request = ProxyRequest(
            upstream=upstream or "",
            listen=address,
            outbound=with_new_word(outbound, OUTBOUND, "--outbound") if outbound else "",
            outbound_listen=address_of("--outbound-listen", outbound_listen, sockets=True) if outbound else address,
            platform=choose_platform(platform, platform_option),
            control=address_of("--control", control) if control else None,
            record=record,
            workers=workers,
            duration_s=read_option("--duration", duration, units.duration) if duration else None,
            http2=http2,
            http=http,
            header_control=header_control,
            upstream_ca=authority(upstream_ca),
            upstream_cert=stack.enter_context(client_certificate(upstream_cert, upstream_key)),
            insecure_upstream=insecure_upstream,
            allow_hosts=tuple(allow_host or ()),
            replayed=recording is not None,
        )
        chosen = recording.seed if recording else choose_seed(seed)
        faults = recording.plan if recording else plan_for(request.ground, plan, fault or ())
        composition = composed(request, faults, chosen)
        with running(
            "proxy",
            upstream or "forward proxy",
            chosen,
            out,
            settings={"plan": plan_to_mapping(faults), "platform": request.platform},
            quiet=quiet,
            as_json=as_json,
            total_s=request.duration_s,
            web=web,
            prometheus=prometheus,
            linger=linger,
            view=Exchanges,
        ) as (run, watch):
            serve(run, request, composition, watch.say)
    raise conclude(run, quiet=quiet, as_json=as_json)


def _recording(
    directory: Path | None, plan: Path | None, faults: list[str] | None, seed: int | None
) -> Recording | None:
    if directory is None:
        return None
    if plan or faults or seed is not None:
        raise ConfigError("--replay", "brings its own plan and seed; leave --plan, --fault and --seed out")
    return read_recording(directory)
