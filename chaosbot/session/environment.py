"""The environment of a run: the target, the proxy on both directions and the mock API, started in the right order and ended together.

The bot needs the outbound direction's address before it starts, and the proxy the bot's address before it listens. The embedded bot
therefore gets its listening socket's port first; an external one is told where to send its calls.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, cast

from chaosbot.config import defaults
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, EngineError, UsageError
from chaosbot.core.event import ApiCalled
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan
from chaosbot.core.platform import platform_of
from chaosbot.demo.bugs import parse_bugs
from chaosbot.journal import EventSpool
from chaosbot.session.run import Run
from chaosbot.transport import Address, Tls, checked_address, permit, require_reachable
from chaosbot.workers import Startable, Worker, listen

if TYPE_CHECKING:
    from chaosbot.addons.proxy import ListenerSpec, Proxy

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
        llm_spend: What calls of real language models may cost, in US dollars; more ends the run.
        prices: What models cost, before the usual prices.
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
    llm_spend: float = 1.0
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
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
        silent: The upstreams by which the target does not speak to its users (`Mock.speaks`).
    """

    webhook: str
    entry: str
    proxy: Proxy | None
    demo: DemoTarget | None
    upstreams: dict[str, str]
    spool: EventSpool
    tls: Tls = field(default_factory=Tls)
    silent: frozenset[str] = frozenset()

    def calls(self) -> Sequence[ApiCalled]:
        """The target's calls so far; a live view for what must wait for one."""
        return cast("Sequence[ApiCalled]", self.spool)

    @property
    def bot_api(self) -> str:
        """Base URL of the API by which the target speaks to its users; empty when the outbound direction is off."""
        return next((url for name, url in self.upstreams.items() if name not in self.silent), "")

    @property
    def models(self) -> str:
        """Base URL of the language models; empty when no upstream is one."""
        return next((url for name, url in self.upstreams.items() if name in self.silent), "")

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
    proxied = spec.inbound or spec.outbound != "off"
    if proxied:
        from chaosbot.session.listeners import check_upstreams  # noqa: PLC0415 - plain load needs no proxy, which takes a moment

        check_upstreams(spec.outbound, spec.platform, spec.allow_hosts)
    calls = EventSpool()
    run.listeners.append(lambda event: calls.append(event) if isinstance(event, ApiCalled) else None)
    if proxied or not spec.target:
        run.warm_up()  # where no part starts, that waits until the end
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
        outbound, proxy = _proxied(run, spec, address, stack) if proxied else ((), None)
        silent = _watch_models(run, spec, outbound)
        upstreams = {each.name: proxy.url(Direction.OUTBOUND, each.name) for each in outbound} if proxy else {}
        if demo is not None:
            speaking = (url for name, url in upstreams.items() if name not in silent)
            demo.launch(next(speaking, ""), next((upstreams[name] for name in sorted(silent)), ""))
            stack.callback(demo.stop)
        with run.interruptible():
            if proxy is not None:
                proxy.ready()
            if demo is not None:
                demo.ready()
            run.warmed_up()
        entry = webhook
        if proxy and spec.inbound:
            entry = proxy.url(Direction.INBOUND) + address.path
        try:
            yield Environment(webhook, entry, proxy, demo, upstreams, calls, spec.tls, silent)
        finally:
            # The drivers have listened; what is left ends by itself, and whole.
            run.ending = True


def _proxied(
    run: Run, spec: EnvironmentSpec, address: Address, stack: ExitStack
) -> tuple[tuple[ListenerSpec, ...], Proxy | None]:
    """The listeners of the outbound direction, and the proxy on both, which is starting."""
    from chaosbot.addons.proxy import ListenerSpec, ProxySpec  # noqa: PLC0415 - as above
    from chaosbot.session.listeners import launched, outbound_listeners  # noqa: PLC0415

    outbound = outbound_listeners(spec.outbound, spec.platform, ("127.0.0.1", spec.outbound_port), spec.allow_hosts)
    inbound = (ListenerSpec(Direction.INBOUND, replace(address, path="").url),) if spec.inbound else ()
    listeners = (*inbound, *outbound)
    hosts = {item.address[0] for item in listeners if item.address is not None}
    if not listeners:
        return outbound, None
    proxy_spec = ProxySpec(
        listeners=listeners,
        seed=run.seed,
        plan=spec.plan,
        platform=spec.platform,
        workers=spec.workers,
        allow_hosts=tuple(sorted(hosts | set(spec.allow_hosts))),
        started=run.started,
    )
    return outbound, stack.enter_context(launched(proxy_spec, run.emit))


def _watch_models(run: Run, spec: EnvironmentSpec, outbound: Sequence[ListenerSpec]) -> frozenset[str]:
    """The names of the upstreams by which the target does not speak to its users; their calls are watched from now on."""
    own = platform_of(spec.platform).api_mock or defaults.MOCK
    known = {each.name: mock for each in outbound if (mock := each.mock(own)) is not None and not mock.speaks}
    if known:
        from chaosbot.core.mock import is_mock  # noqa: PLC0415 - a load without a proxy needs none of these
        from chaosbot.core.prices import prices_with  # noqa: PLC0415

        real = any(not is_mock(each.upstream) for each in outbound if each.name in known)
        limit = spec.llm_spend if real else math.inf
        from chaosbot.session.models import ModelWatch  # noqa: PLC0415 - the providers' forms, which only this watch reads

        run.listeners.append(ModelWatch(limit, run.stop, run.note, prices_with(spec.prices)).notice)
    return frozenset(known)


# ── the embedded target ───────────────────────────────────────────────────────────────────────────────────────────────


START_S: Final = 60.0
"""How long the demo may take to listen; imports take about a second on a slow machine."""
END_S: Final = 1.0

WEBHOOK_PATH: Final = defaults.DEMO_PATH


def embedded_secret(seed: int) -> str:
    """The webhook secret of the embedded bot, where the environment names none: it protects nothing outside of its run."""
    return Dice(seed).at("demo", "secret").token(24)


def require_demo() -> None:
    """Looks for what the embedded bot is made of.

    Raises:
        UsageError: A plain install does not have it.
    """
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn", "structlog")):
        raise UsageError(
            "the embedded demo bot needs packages that a plain install leaves out; add them with: "
            "pip install 'chaosbot[demo]', or name the TARGET that you want to test"
        )


class DemoTarget(Startable):
    """The demo bot in a process of its own, on a port that is there from the beginning; it never outlives this process.

    Args:
        bugs: Planted bugs that are on: names with commas, ``fragile`` for all, empty for none.
        secret: The webhook secret that it asks for.
        bot_api: Base URL of the Bot API (the mock, or the proxy in front of it); `launch` may name another.
        models: Base URL of the language models, likewise; without one it has no agent.
        limits: Whether its per-user rate limits hold.
        token: The bot's token.

    Raises:
        ConfigError: There is no such bug, or a variable of the environment does not do.
    """

    def __init__(
        self,
        *,
        bugs: str = "",
        secret: str = "",
        bot_api: str = "",
        models: str = "",
        limits: bool = True,
        token: str = "",
    ) -> None:
        from chaosbot.demo.settings import DemoSettings  # noqa: PLC0415 - most targets are no demo

        try:
            self._settings = DemoSettings.from_environment(
                {**os.environ, defaults.SECRET_ENV: secret, **({"BOT_TOKEN": token} if token else {})},
                bugs=parse_bugs(bugs),
                bot_api=bot_api or None,
                models=models or None,
                limits=limits,
            )
        except ValueError as error:
            raise ConfigError("embedded bot", str(error)) from None
        self._sock = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._sock.getsockname()[1]}"
        self._worker: Worker | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process id; the bot itself is its child."""
        return self._worker.pid if self._worker else 0

    @property
    def webhook(self) -> str:
        """The webhook's URL."""
        return f"{self.url}{WEBHOOK_PATH}"

    def start(self) -> None:
        """Starts the process; returns when the bot serves.

        Raises:
            EngineError: It does not.
        """
        self.launch()
        self.ready()

    def launch(self, bot_api: str = "", models: str = "") -> None:
        """Starts the process without waiting for it; early requests wait in the socket's backlog."""
        self._settings = replace(
            self._settings, bot_api=bot_api or self._settings.bot_api, models=models or self._settings.models
        )
        self._worker = Worker(
            "embedded demo bot", "chaosbot.demo.supervisor:serve", self._settings, sockets=[self._sock]
        )

    def ready(self) -> None:
        """Waits until the bot serves.

        Raises:
            EngineError: It does not.
        """
        assert self._worker is not None  # noqa: S101 - for the type checker: it was launched
        try:
            self._worker.ready(START_S)
        except EngineError as error:
            raise EngineError(f"{error}; run `python -m chaosbot.demo` to see why") from None

    def restart(self) -> None:
        """Ends the bot and starts it again at the same place, with nothing remembered and without its agent."""
        self._end()
        self._settings = replace(self._settings, models=None)
        self.start()

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(END_S)

    def stop(self) -> None:
        """Ends it and gives its port back."""
        self._end()
        self._sock.close()
