"""Which listeners a proxy has and what serves each: a byte pipe, mitmproxy or a mock; and the one place where proxies are started."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from time import monotonic
from typing import Final

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.config import defaults
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Event
from chaosbot.core.exchange import Direction
from chaosbot.core.mock import MOCKS, PREFIX, Mock, Upstream, is_mock, mock_of, upstreams_of
from chaosbot.core.plan import FaultPlan
from chaosbot.core.platform import platform_of
from chaosbot.mocks.server import MockListener, MockServer
from chaosbot.tcp.server import runs_on_pipe
from chaosbot.transport import UNIX, Address, bracketed, checked_address, guard, is_socket

_MOCK_KEY: Final = re.compile(r" \w+_API_KEY=mock")


def listener(direction: Direction, upstream: str, address: tuple[str, int], allow_hosts: Sequence[str]) -> ListenerSpec:
    """One direction of the proxy.

    Raises:
        ConfigError: The upstream is none.
        TargetRefused: It is neither this machine nor allowed.
    """
    made = ListenerSpec(direction, upstream, *address)
    if made.address is not None:
        host, port = made.address
        guard(host, allow_hosts, port=port)
    return made


def upstreams(outbound: str, platform: str) -> tuple[Upstream, ...]:
    """The APIs that the target's own calls go to; what has no name is the platform's own."""
    return upstreams_of(outbound, platform_of(platform).api_mock or defaults.MOCK)


def check_upstreams(outbound: str, platform: str, allow_hosts: Sequence[str]) -> None:
    """Refuses upstreams that must not be spoken to; nothing is looked up.

    Raises:
        ConfigError: One is no URL.
        TargetRefused: One is neither loopback nor allowed.
    """
    for each in upstreams(outbound, platform):
        if each.where and not is_mock(each.where):
            checked_address(each.where, allow_hosts, where="outbound")


def outbound_listeners(
    outbound: str, platform: str, address: tuple[str, int], allow_hosts: Sequence[str]
) -> tuple[ListenerSpec, ...]:
    """One listener for each upstream of the target: the first at the address, the others at the next ports.

    Raises:
        ConfigError: An upstream is none.
        TargetRefused: One is neither this machine nor allowed.
    """
    host, port = address
    found = upstreams(outbound, platform)
    if is_socket(host) and len(found) > 1:
        raise ConfigError(f"--outbound-listen unix:{host}", "is one socket for several upstreams; take HOST:PORT")
    return tuple(
        replace(
            listener(Direction.OUTBOUND, each.where, (host, port + number if port else 0), allow_hosts), name=each.name
        )
        for number, each in enumerate(found)
    )


def tell_addresses(urls: Mapping[str, str], outbound: str, platform: str, say: Callable[[str], None]) -> None:
    """Says under which base URL the target must reach each upstream, with the settings that lead there.

    Args:
        urls: The base URLs by the upstreams' names.
        outbound: The upstreams.
        platform: What has no name is this platform's.
        say: Takes lines for the person (rich markup).
    """
    for each in upstreams(outbound, platform):
        say(f"the bot's base URL of {each.name} must be [bold]{urls[each.name]}[/]")
        mock = knowing(each)
        for line in mock.hints(urls[each.name]) if mock is not None else ():
            # A real API wants the bot's own key.
            say("  " + (line if is_mock(each.where) else _MOCK_KEY.sub("", line)).replace("[", r"\["))


def knowing(upstream: Upstream) -> Mock | None:
    """The mock that knows the API of an upstream."""
    if is_mock(upstream.where):
        return mock_of(upstream.where)
    return MOCKS.build(upstream.name) if upstream.name in MOCKS else None


def by_pipe(upstream: str, plan: FaultPlan) -> str:
    """The upstream as a byte pipe reaches it where faults of bytes are all there is; otherwise as it is."""
    if not (upstream.startswith("http://") and plan.rules and runs_on_pipe(plan)):
        return upstream
    place = Address.parse(upstream, where="upstream")
    if place.path != "/":
        return upstream
    return f"tcp://{UNIX}{place.host}" if place.on_socket else f"tcp://{bracketed(place.host)}:{place.port}"


@contextmanager
def launched(spec: ProxySpec, emit: Callable[[Event], None]) -> Iterator[Proxy]:
    """A proxy whose addresses are taken and whose workers are starting; `Proxy.ready` waits for them. It ends with the block.

    Mocks whose answers are streams get a server of their own behind it.

    Raises:
        PortBusy: An address is taken.
        UsageError: An address is none of this machine's.
    """
    with ExitStack() as stack:
        server: MockServer | None = None
        own = platform_of(spec.platform).api_mock or defaults.MOCK
        named = (replace(each, upstream=PREFIX + own) if each.upstream == PREFIX else each for each in spec.listeners)
        spec = replace(spec, listeners=tuple(named))
        served = [
            (number, MockListener(mock, name=each.name or mock.name))
            for number, each in enumerate(spec.listeners)
            if is_mock(each.upstream) and (mock := each.mock(own)) is not None and mock.streams
        ]
        if served:
            spec = replace(spec, started=spec.started or monotonic())
            server = stack.enter_context(MockServer([each for _, each in served], emit, spec.started, spec.seed))
            listeners = list(spec.listeners)
            for number, each in served:
                behind = listeners[number]
                url = server.urls[each.upstream]
                listeners[number] = replace(behind, upstream=url, name=each.upstream, api=behind.upstream, own=True)
            spec = replace(spec, listeners=tuple(listeners))
        proxy = Proxy(spec, emit)
        proxy.behind = None if server is None else server.sync
        proxy.launch()
        stack.callback(proxy.stop)
        yield proxy
