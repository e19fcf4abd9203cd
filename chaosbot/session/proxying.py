"""A proxy that stands alone: composed, started, steered through the control API, and ended when it is told to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.config import defaults
from chaosbot.config.fit import Ground, check_fit
from chaosbot.config.plan import plan_from, plan_to_mapping
from chaosbot.control.server import ControlServer
from chaosbot.core.errors import EngineError
from chaosbot.core.exchange import Direction
from chaosbot.core.mock import is_mock, mock_of
from chaosbot.core.plan import FaultPlan
from chaosbot.core.platform import platform_of
from chaosbot.mocks.server import MockListener, MockServer
from chaosbot.session.listeners import by_pipe, launched, listener, outbound_listeners, upstreams
from chaosbot.session.run import Run, ignore_signals

_MAINTAINED: Final = 12
"""The oldest major release of mitmproxy that still gets fixes."""


@dataclass(frozen=True)
class ProxyRequest:
    """What a proxy is asked to be.

    Args:
        upstream: Where inbound traffic goes; empty for a forward proxy.
        listen: Host and port of the inbound direction.
        outbound: Where the target's own calls go: ``mock``, ``forward``, a base URL, or several with commas; empty for no such direction.
        outbound_listen: Host and port of the outbound direction; further upstreams take the next ports.
        platform: What updates are read as.
        control: Host and port of the control API; None for none.
        record: The HAR file that the traffic is written to; None for none.
        workers: Worker processes.
        duration_s: When it ends by itself; None for never.
        http2: Whether HTTP/2 is offered.
        http: Whether HTTP is parsed even where byte faults alone would run on a direct pipe.
        header_control: Whether clients may ask for faults by header.
        upstream_ca: PEM file of the authority of https upstreams; empty for the usual ones.
        upstream_cert: PEM file with the certificate and key that https upstreams are shown; empty shows none.
        insecure_upstream: Whether upstreams' certificates go unchecked.
        allow_hosts: Hosts that may be spoken to besides loopback.
        replayed: Whether the plan is a recorded run's, bound to its exchanges.
    """

    upstream: str = ""
    listen: tuple[str, int] = ("127.0.0.1", 8080)
    outbound: str = ""
    outbound_listen: tuple[str, int] = ("127.0.0.1", 8081)
    platform: str = defaults.PLATFORM
    control: tuple[str, int] | None = None
    record: Path | None = None
    workers: int = 1
    duration_s: float | None = None
    http2: bool = False
    http: bool = False
    header_control: bool = False
    upstream_ca: str = ""
    upstream_cert: str = ""
    insecure_upstream: bool = False
    allow_hosts: tuple[str, ...] = ()
    replayed: bool = False

    @property
    def ground(self) -> Ground:
        """What a plan is to run on."""
        names = [each.name for each in upstreams(self.outbound, self.platform)]
        return Ground(self.upstream, names, self.http2, platform_of(self.platform).tiers)

    @property
    def needs_http(self) -> bool:
        """Whether exchanges must be seen whatever the faults are."""
        return any(
            (
                self.http,
                self.http2,
                self.header_control,
                self.control is not None,
                self.record is not None,
                self.replayed,
            )
        )


@dataclass(frozen=True)
class Composition:
    """A proxy's listeners, and what a person should know of them.

    Args:
        spec: The proxy.
        transport: What carries the inbound connections, and why.
    """

    spec: ProxySpec
    transport: str


def composed(request: ProxyRequest, plan: FaultPlan, seed: int) -> Composition:
    """Decides what serves each direction.

    Raises:
        ConfigError: An upstream that is none.
        TargetRefused: An upstream that is neither this machine nor allowed.
    """
    way = request.upstream if request.needs_http else by_pipe(request.upstream, plan)
    listeners: list[ListenerSpec] = [listener(Direction.INBOUND, way, request.listen, request.allow_hosts)]
    listeners += outbound_listeners(request.outbound, request.platform, request.outbound_listen, request.allow_hosts)
    if not way.startswith("tcp:"):
        transport = "HTTP proxy (mitmproxy's core)"
    elif way == request.upstream:
        transport = "byte pipe (the upstream is tcp://)"
    else:
        transport = "byte pipe (byte faults only; no HTTP is parsed and no exchanges are shown, --http does both)"
    spec = ProxySpec(
        listeners=tuple(listeners),
        seed=seed,
        plan=plan,
        platform=request.platform,
        workers=request.workers,
        allow_hosts=request.allow_hosts,
        http2=request.http2,
        header_control=request.header_control,
        upstream_ca=request.upstream_ca,
        upstream_cert=request.upstream_cert,
        insecure_upstream=request.insecure_upstream,
    )
    return Composition(spec, transport)


def interception_note(spec: ProxySpec) -> str:
    """What a person should know before TLS is intercepted with an old mitmproxy; empty when there is nothing."""
    release = version("mitmproxy")
    if int(release.partition(".")[0]) >= _MAINTAINED or not any(each.upstream == "" for each in spec.listeners):
        return ""
    return (
        f"TLS is intercepted by mitmproxy {release}, all that Python {sys.version_info.major}.{sys.version_info.minor} gets; its "
        "libraries have published advisories (SECURITY.md): Python 3.12 and mitmproxy 12 are recommended"
    )


def serve(run: Run, request: ProxyRequest, composition: Composition, say: Callable[[str], None]) -> None:
    """Runs the proxy until its time is over or the run is told to stop, which is how a proxy ends.

    Args:
        run: The run.
        request: What was asked for.
        composition: What `composed` made of it.
        say: Takes lines for the person (rich markup).

    Raises:
        PortBusy: An address is taken.
        UsageError: An address is none of this machine's.
        EngineError: A worker did not start.
    """
    spec = replace(composition.spec, started=run.started, record=run.redactor if request.record else None)
    figures = None
    if request.control is not None:
        from chaosbot.control.metrics import EventMetrics  # noqa: PLC0415 - slow to import, and needed by the control API alone

        figures = EventMetrics()
        run.listeners.append(figures.take)
    run.warm_up()
    with ExitStack() as stack:
        proxy = stack.enter_context(launched(spec, run.emit))
        with run.interruptible():
            proxy.ready()
        say(f"listening on [bold]{proxy.url(Direction.INBOUND)}[/] → {_whither(request.upstream or 'forward')}")
        say(f"transport: {composition.transport}")
        run.note("transport", f"inbound: {composition.transport}")
        if note := interception_note(spec):
            say(note)
        for each in upstreams(request.outbound, request.platform):
            url = proxy.url(Direction.OUTBOUND, each.name)
            say(f"outbound on [bold]{url}[/] → {_whither(each.where or 'forward')}")
            for line in mock_of(each.where).hints(url) if is_mock(each.where) else ():
                say(f"  {_escaped(line)}")
        if not (spec.plan.counts and spec.workers > 1):
            run.steering.offer_rules(spec.plan, proxy.replace_plan)
        if request.control is not None and figures is not None:
            server = ControlServer(
                *request.control,
                spec.seed,
                run.emit,
                PlanHolder(proxy, spec.plan, request.ground),
                metrics=figures.text,
                origin=run.started,
                allow_hosts=request.allow_hosts,
            )
            stack.callback(server.stop)
            server.start()
            say(f"control on [bold]{server.url}[/] (Toxiproxy's API, and /plan)")
        count = len(spec.plan.rules)
        say(f"{count} rule{'' if count == 1 else 's'}; Ctrl-C ends it and writes the report")
        _until_stopped(run, request.duration_s)
    if request.record is not None and proxy.recording is not None:
        try:
            proxy.recording.save(request.record)
        except OSError as error:
            raise EngineError(
                f"--record {request.record}: cannot be written ({error.strerror}); the run's report is in {run.directory}"
            ) from None
        say(f"{len(proxy.recording)} exchanges recorded in {_escaped(str(request.record))}")


def serve_mocks(
    run: Run, listeners: Sequence[MockListener], duration_s: float | None, say: Callable[[str], None]
) -> None:
    """Serves mocks alone, without faults, until their time is over or the run is told to stop.

    Raises:
        PortBusy: An address is taken.
        EngineError: The server did not start.
    """
    with MockServer(listeners, run.emit, run.started, run.seed) as server:
        for name, url in server.urls.items():
            say(f"{_escaped(name)} on [bold]{url}[/]")
            for line in next(each.mock for each in listeners if each.upstream == name).hints(url):
                say(f"  {_escaped(line)}")
        _until_stopped(run, duration_s)


def _until_stopped(run: Run, duration_s: float | None) -> None:
    """Waits; Ctrl-C is how these end, and no interruption."""
    until = time.monotonic() + duration_s if duration_s else float("inf")
    while time.monotonic() < until and not run.stopping.wait(0.2):
        pass
    ignore_signals()
    run.stopping.clear()
    run.reason = ""


class PlanHolder:
    """The plan in force, for the control API.

    Args:
        proxy: The proxy.
        plan: The plan that it started with.
        ground: What a plan runs on.
    """

    def __init__(self, proxy: Proxy, plan: FaultPlan, ground: Ground) -> None:
        self._proxy = proxy
        self._plan = plan
        self._ground = ground

    def read(self) -> dict[str, Any]:
        """The plan as a plan file would say it."""
        return plan_to_mapping(self._plan)

    def replace(self, plan: dict[str, Any]) -> None:
        """Puts another plan in force, on live connections too.

        Raises:
            ConfigError: It is no plan, or has rules that can never happen here.
        """
        built = plan_from(plan, "/plan")
        check_fit(built, self._ground, "/plan")
        self._proxy.replace_plan(built)
        self._plan = built


def _whither(upstream: str) -> str:
    return "wherever the client asks" if upstream == "forward" else _escaped(upstream)


def _escaped(text: str) -> str:
    """A text that stands in markup as it is."""
    return text.replace("[", r"\[")
