"""The environment of a run: the target, the proxy on both directions and the mock API, started in the right order and ended together.

The bot needs the outbound direction's address before it starts, and the proxy the bot's address before it listens. The embedded bot
therefore gets its listening socket's port first; an external one is told where to send its calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, cast
from urllib.parse import urlsplit

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.config import defaults
from chaosbot.core.event import ApiCalled
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan
from chaosbot.journal import EventSpool
from chaosbot.session.listeners import check_upstreams, launched, outbound_listeners
from chaosbot.session.run import Run
from chaosbot.session.target import DemoTarget, require_demo
from chaosbot.transport import Address, Tls, checked_address, permit, require_reachable

DEMO_TOKEN: Final = "123456789:chaosbot-demo-token-that-is-no-secret"  # noqa: S105 - of the embedded bot, which has no life outside


@dataclass(frozen=True)
class EnvironmentSpec:
    """What a run needs around it.

    Args:
        target: The webhook's URL; empty starts the embedded demo bot.
        bugs: Planted bugs of the embedded bot.
        secret: The webhook's secret.
        limits: Whether the embedded bot's rate limits hold.
        platform: The platform's name.
        plan: The faults at the start.
        outbound: ``mock``, ``off``, a base URL to pass through to, or several upstreams with commas.
        outbound_port: Where the first upstream listens, the others on the next ports; 0 takes free ports (an embedded bot is told which).
        inbound: Whether drivers go through the proxy.
        workers: Proxy worker processes.
        allow_hosts: Hosts that may be broken although they are not loopback.
        reachable: Whether the target must listen already; not when the campaign starts it.
        tls: How TLS is spoken with the target.
    """

    target: str = ""
    bugs: str = ""
    secret: str = ""
    limits: bool = False
    platform: str = defaults.PLATFORM
    plan: FaultPlan = field(default_factory=FaultPlan)
    outbound: str = "mock"
    outbound_port: int = 0
    inbound: bool = True
    workers: int = 1
    allow_hosts: tuple[str, ...] = ()
    reachable: bool = True
    tls: Tls = field(default_factory=Tls)


@dataclass
class Environment:
    """Everything that runs around the drivers.

    Args:
        webhook: The webhook's own URL.
        entry: Where drivers send: the proxy's inbound direction, or the webhook itself.
        proxy: The proxy; None when nothing needs one.
        demo: The embedded bot, when it is the target.
        upstreams: The base URL under which the target reaches each upstream, by name.
        spool: The target's calls so far (`ApiCalled`), as the mock saw them.
        tls: How TLS is spoken with the webhook.
    """

    webhook: str
    entry: str
    proxy: Proxy | None
    demo: DemoTarget | None
    upstreams: dict[str, str]
    spool: EventSpool
    tls: Tls = field(default_factory=Tls)

    def calls(self) -> Sequence[ApiCalled]:
        """The target's calls so far; a live view for what must wait for one."""
        return cast("Sequence[ApiCalled]", self.spool)

    @property
    def bot_api(self) -> str:
        """Base URL under which the target reaches its first upstream; empty when the outbound direction is off."""
        return next(iter(self.upstreams.values()), "")

    @property
    def health(self) -> str:
        """The embedded bot's health page; empty for other targets."""
        return f"{self.demo.url}/health" if self.demo else ""

    @property
    def metrics(self) -> str:
        """The embedded bot's Prometheus page; empty for other targets."""
        return f"{self.demo.url}/metrics" if self.demo else ""


def check_target(url: str, allow_hosts: Sequence[str], *, reachable: bool = True) -> Address:
    """Refuses a target that must not be broken or, where it should be `reachable` already, that is not there.

    Raises:
        ConfigError: It is no URL.
        TargetRefused: Neither loopback nor allowed; nothing was sent.
        TargetUnusable: Nothing listens there.
    """
    address = checked_address(url, allow_hosts)
    if reachable:
        require_reachable(address, allow_hosts)
    return address


def check_pages(allow_hosts: Sequence[str], **pages: str | None) -> None:
    """Refuses pages to look at (``metrics=URL``, ``health=URL``) that must not be spoken to; nothing is looked up.

    Raises:
        ConfigError: One is no URL.
        TargetRefused: One is neither loopback nor allowed.
    """
    for name, url in pages.items():
        if url:
            checked_address(url, allow_hosts, where=f"--{name}" if "." not in name else name)


@contextmanager
def prepared(run: Run, spec: EnvironmentSpec) -> Iterator[Environment]:
    """Starts what the spec asks for and ends it again, whatever happens in between.

    Raises:
        UsageError: The target is refused or not there, a port is taken.
        EngineError: A part did not start.
    """
    permit(spec.allow_hosts)
    check_upstreams(spec.outbound, spec.platform, spec.allow_hosts)
    calls = EventSpool()
    run.listeners.append(lambda event: calls.append(event) if isinstance(event, ApiCalled) else None)
    with ExitStack() as stack:
        demo = None
        if spec.target:
            webhook = spec.target
            address = check_target(webhook, spec.allow_hosts, reachable=spec.reachable)
        else:
            require_demo()
            demo = DemoTarget(bugs=spec.bugs, secret=spec.secret, limits=spec.limits, token=DEMO_TOKEN)
            stack.callback(demo.stop)  # its port is taken already
            webhook = demo.webhook
            address = Address.parse(webhook)
        outbound = outbound_listeners(spec.outbound, spec.platform, ("127.0.0.1", spec.outbound_port), spec.allow_hosts)
        inbound = (ListenerSpec(Direction.INBOUND, replace(address, path="").url),) if spec.inbound else ()
        listeners = (*inbound, *outbound)
        hosts = {item.address[0] for item in listeners if item.address is not None}
        proxy = None
        if listeners:
            proxy_spec = ProxySpec(
                listeners=listeners,
                seed=run.seed,
                plan=spec.plan,
                platform=spec.platform,
                workers=spec.workers,
                allow_hosts=tuple(sorted(hosts | set(spec.allow_hosts))),
                started=run.started,
            )
            proxy = stack.enter_context(launched(proxy_spec, run.emit))
        upstreams = {each.name: proxy.url(Direction.OUTBOUND, each.name) for each in outbound} if proxy else {}
        if demo is not None:
            demo.launch(next(iter(upstreams.values()), ""))
            stack.callback(demo.stop)
        with run.interruptible():
            if proxy is not None:
                proxy.ready()
            if demo is not None:
                demo.ready()
            if run.warming.is_alive():
                run.warming.join()  # the drivers shall have the machine for themselves
        entry = webhook
        if proxy and spec.inbound:
            parts = urlsplit(webhook)
            entry = proxy.url(Direction.INBOUND) + parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            yield Environment(webhook, entry, proxy, demo, upstreams, calls, spec.tls)
        finally:
            # The drivers have listened; what is left ends by itself, and whole.
            run.ending = True
