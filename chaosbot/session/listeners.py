"""Which listeners a proxy has and what serves each: a byte pipe, mitmproxy or a mock; and the one place where proxies are started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from chaosbot.addons.proxy import MOCK, ListenerSpec, Proxy, ProxySpec
from chaosbot.core.event import Event
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan
from chaosbot.tcp.server import runs_on_pipe
from chaosbot.transport import guard

OUTBOUND_WORDS: Final = {"mock": MOCK, "forward": ""}
"""What the outbound direction may be besides a base URL to pass through to."""


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


def by_pipe(upstream: str, plan: FaultPlan) -> str:
    """The upstream as a byte pipe reaches it where faults of bytes are all there is; otherwise as it is."""
    if not (upstream.startswith("http://") and plan.rules and runs_on_pipe(plan)):
        return upstream
    parts = urlsplit(upstream)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"tcp://{host}:{parts.port or 80}"


@contextmanager
def launched(spec: ProxySpec, emit: Callable[[Event], None]) -> Iterator[Proxy]:
    """A proxy whose addresses are taken and whose workers are starting; `Proxy.ready` waits for them. It ends with the block.

    Raises:
        PortBusy: An address is taken.
        UsageError: An address is none of this machine's.
    """
    proxy = Proxy(spec, emit)
    proxy.launch()
    try:
        yield proxy
    finally:
        proxy.stop()
