"""`chaosbot proxy`: faults between a client and a webhook, or between a bot and the APIs that it calls."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from chaosbot.addons.proxy import Proxy, ProxySpec
from chaosbot.cli._exchanges import Exchanges
from chaosbot.cli._finish import conclude, running
from chaosbot.cli._listeners import OUTBOUND_WORDS, address_of, authority, by_pipe, exports, listener
from chaosbot.cli._options import (
    AllowHost,
    Json,
    Out,
    PlatformName,
    PlatformOptions,
    Prometheus,
    Quiet,
    Seed,
    Watched,
    Web,
    choose_platform,
    choose_seed,
    read_option,
)
from chaosbot.cli._verb import verb
from chaosbot.config.fit import Ground, check_fit
from chaosbot.config.plan import parse_fault, plan_from, plan_of, plan_to_mapping, read_plan
from chaosbot.config.renamed import OUTBOUND, with_new_word
from chaosbot.config.replay import Recording, read_recording
from chaosbot.control.metrics import EventMetrics
from chaosbot.control.server import ControlServer
from chaosbot.core import units
from chaosbot.core.errors import ConfigError
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan, Rule
from chaosbot.core.platform import platform_of
from chaosbot.session.run import Run, ignore_signals

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
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on; port 0 takes a free one.")] = "127.0.0.1:8080",
    plan: Annotated[Path | None, typer.Option(help="A fault plan (TOML or YAML).", show_default=False)] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="A fault, e.g. 'latency:250ms±50ms;p=0.3;path=/webhook/*'; repeatable.", show_default=False),
    ] = None,
    outbound: Annotated[
        str | None,
        typer.Option(
            help="A second direction for the bot's own calls: 'mock' answers as the Bot API, a base URL passes through, "
            "'forward' takes a bot that has HTTPS_PROXY set wherever it wants.",
            show_default=False,
        ),
    ] = None,
    outbound_listen: Annotated[str, typer.Option(help="Where the outbound direction listens.")] = "127.0.0.1:8081",
    platform: PlatformName = "telegram",
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
    insecure_upstream: Annotated[
        bool, typer.Option("--insecure-upstream", help="Do not check the certificates of https:// upstreams.")
    ] = False,
    print_env: Annotated[
        bool, typer.Option("--print-env", help="Print the exports that send a client through this proxy, and stop.")
    ] = False,
    seed: Seed = None,
    out: Out = None,
    allow_host: AllowHost = None,
    web: Web = None,
    prometheus: Prometheus = None,
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
    address = address_of("--listen", listen)
    if print_env:
        typer.echo(exports(address))
        return
    if record and not os.access(record.parent, os.W_OK):
        raise ConfigError(f"--record {record}", "its directory is not there or not writable; make it first")
    limit = read_option("--duration", duration, units.duration) if duration else None
    platform = choose_platform(platform, platform_option)
    recording = _recording(replay, plan, fault, seed)
    chosen = recording.seed if recording else choose_seed(seed)
    ground = Ground(upstream or "", bool(outbound), http2, platform_of(platform).tiers)
    faults = recording.plan if recording else _faults(plan, fault, ground)
    needs_http = http or http2 or header_control or control is not None or record is not None or recording is not None
    way = (upstream or "") if needs_http else by_pipe(upstream or "", faults)
    allowed = tuple(allow_host or ())
    listeners = [listener(Direction.INBOUND, way, address, allowed)]
    if outbound:
        outbound = with_new_word(outbound, OUTBOUND, "--outbound")
        behind = OUTBOUND_WORDS.get(outbound, outbound)
        listeners.append(
            listener(Direction.OUTBOUND, behind, address_of("--outbound-listen", outbound_listen), allowed)
        )
    controlled = address_of("--control", control) if control else None
    spec = ProxySpec(
        listeners=tuple(listeners),
        seed=chosen,
        plan=faults,
        platform=platform,
        workers=workers,
        allow_hosts=allowed,
        http2=http2,
        header_control=header_control,
        upstream_ca=authority(upstream_ca),
        insecure_upstream=insecure_upstream,
    )
    with running(
        "proxy",
        upstream or "forward proxy",
        chosen,
        out,
        settings={"plan": plan_to_mapping(faults), "platform": platform},
        quiet=quiet,
        as_json=as_json,
        total_s=limit,
        web=web,
        prometheus=prometheus,
        view=Exchanges,
    ) as (run, watch):
        spec = replace_fields(spec, started=run.started, record=run.redactor if record else None)
        figures = EventMetrics()
        if controlled:
            run.listeners.append(figures.take)
        with ExitStack() as stack:
            started = stack.enter_context(_started(run, spec))
            watch.say(f"listening on [bold]{started.url(Direction.INBOUND)}[/] → {_whither(upstream or 'forward')}")
            if way.startswith("tcp:") and way != upstream:
                watch.say("byte faults only: a direct pipe without HTTP parsing (--http parses it and shows exchanges)")
            if outbound:
                watch.say(f"outbound on [bold]{started.url(Direction.OUTBOUND)}[/] → {_whither(outbound)}")
            if controlled:
                server = ControlServer(
                    *controlled,
                    chosen,
                    run.emit,
                    _Holder(started, faults, ground),
                    metrics=figures.text,
                    origin=run.started,
                    allow_hosts=allowed,
                )
                stack.callback(server.stop)
                server.start()
                watch.say(f"control on [bold]{server.url}[/] (Toxiproxy's API, and /plan)")
            watch.say(
                f"{len(faults.rules)} rule{'' if len(faults.rules) == 1 else 's'}; Ctrl-C ends it and writes the report"
            )
            until = time.monotonic() + limit if limit else float("inf")
            while time.monotonic() < until and not run.stopping.wait(0.2):
                pass
            # Ctrl-C is how a proxy ends; that is no interruption.
            ignore_signals()
            run.stopping.clear()
            run.reason = ""
        if record and started.recording is not None:
            started.recording.save(record)
            watch.say(f"{len(started.recording)} exchanges recorded in {escape(str(record))}")
    raise conclude(run, quiet=quiet, as_json=as_json)


@contextmanager
def _started(run: Run, spec: ProxySpec) -> Iterator[Proxy]:
    proxy = Proxy(spec, run.emit)
    proxy.launch()
    try:
        with run.interruptible():
            proxy.ready()
        yield proxy
    finally:
        proxy.stop()


class _Holder:
    """The plan in force, for the control API."""

    def __init__(self, proxy: Proxy, plan: FaultPlan, ground: Ground) -> None:
        self._proxy = proxy
        self._plan = plan
        self._ground = ground

    def read(self) -> dict[str, Any]:
        """The plan as a plan file would say it."""
        return plan_to_mapping(self._plan)

    def replace(self, plan: dict[str, Any]) -> None:
        """Puts another plan in force, on live connections too."""
        built = plan_from(plan, "/plan")
        check_fit(built, self._ground, "/plan")
        self._proxy.replace_plan(built)
        self._plan = built


def _whither(upstream: str) -> str:
    return "wherever the client asks" if upstream == "forward" else escape(upstream)


def _faults(file: Path | None, texts: list[str] | None, ground: Ground) -> FaultPlan:
    """The rules of the file and of the options; none that could never happen here."""
    rules: list[Rule] = []
    if file is not None:
        written = read_plan(file)
        check_fit(written, ground, str(file))
        rules += written.rules
    for text in texts or ():
        rule = parse_fault(text)
        check_fit(FaultPlan((rule,)), ground, f"--fault '{text}'")
        rules.append(rule)
    return plan_of(rules)


def _recording(
    directory: Path | None, plan: Path | None, faults: list[str] | None, seed: int | None
) -> Recording | None:
    if directory is None:
        return None
    if plan or faults or seed is not None:
        raise ConfigError("--replay", "brings its own plan and seed; leave --plan, --fault and --seed out")
    return read_recording(directory)
