"""What a proxy is to be: its listeners, its plan, its bounds. Frozen values that travel to the workers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote, urlsplit

from chaosbot.core.errors import ConfigError
from chaosbot.core.exchange import Direction
from chaosbot.core.mock import MOCKS, PREFIX, Mock, is_mock, mock_of
from chaosbot.core.plan import FaultPlan
from chaosbot.journal import Redactor
from chaosbot.transport import UNIX, is_loopback

__all__ = ["MOCK", "SCHEMES", "ListenerSpec", "ProxySpec", "is_loopback"]

MOCK = PREFIX
SCHEMES = ("http", "https", "tcp")


@dataclass(frozen=True)
class ListenerSpec:
    """One address to listen on and what lies behind it.

    Args:
        direction: Which way its exchanges run.
        upstream: ``http://host:port`` or ``http://unix:/run/bot.sock`` (with a path: in front of every request's own), ``https://host``, ``tcp://host:port``; ``mock:NAME`` for a mock inside the
            worker; empty for a regular forward proxy.
        host: The address to listen on; the path of a Unix socket.
        port: The port; 0 takes a free one.
        name: What events and rules call the upstream of an outbound direction.
        api: ``mock:NAME`` of what knows the API behind it, where the upstream does not say; by default what is called as the upstream.
        own: Whether the upstream is a mock's server of this run, which is told each exchange's id.
    """

    direction: Direction
    upstream: str
    host: str = "127.0.0.1"
    port: int = 0
    name: str = ""
    api: str = ""
    own: bool = False

    def __post_init__(self) -> None:
        """Refuses upstreams that nobody can connect to."""
        if self.upstream == "":
            return
        if is_mock(self.upstream):
            mock_of(self.upstream)
            return
        try:
            parts = urlsplit(self.upstream)
            piped = parts.scheme == "tcp"
            usable = parts.scheme in SCHEMES and parts.hostname and (self._socket or parts.port or not piped)
            usable = usable and (self._socket.startswith("/") or parts.netloc != UNIX)
            usable = usable and (self._path in ("", "/") or not piped)
            usable = usable and not parts.query and not parts.fragment and "@" not in parts.netloc
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError(
                self.upstream,
                "is no upstream; write http://HOST:PORT, https://HOST (either with a path in front of all others), tcp://HOST:PORT, one of these with unix:/run/NAME.sock in place of the host, or mock:",
            )

    @property
    def _socket(self) -> str:
        """The path of the upstream's Unix socket; empty where it is none."""
        parts = urlsplit(self.upstream)
        return unquote(parts.path.partition(":")[0]) if parts.netloc == UNIX else ""

    @property
    def _path(self) -> str:
        parts = urlsplit(self.upstream)
        return parts.path.partition(":")[2] if parts.netloc == UNIX else parts.path

    @property
    def origin(self) -> str:
        """Scheme and authority as requests to the upstream name them."""
        parts = urlsplit(self.upstream)
        return f"{parts.scheme}://{'localhost' if self._socket else parts.netloc}"

    def mock(self, default: str) -> Mock | None:
        """The mock that knows the API behind it, whether it answers here or only reads what the target called.

        Args:
            default: The mock of the platform's own API, for an outbound direction without a name; empty for none.
        """
        if is_mock(self.upstream):
            return mock_of(self.upstream, default)
        if self.api:
            # Its server has it; a worker that cannot find it only knows less of what faults answered.
            known = self.api.removeprefix(PREFIX).partition(";")[0] in MOCKS
            return mock_of(self.api, default) if known else None
        name = self.name or (default if self.direction is Direction.OUTBOUND else "")
        return MOCKS.build(name) if name in MOCKS else None

    @cached_property  # asked for by every exchange
    def address(self) -> tuple[str, int] | None:
        """The upstream's host and port; None when there is no single one."""
        if self.upstream == "" or is_mock(self.upstream):
            return None
        parts = urlsplit(self.upstream)
        return self._socket or parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @cached_property
    def base(self) -> str:
        """The path in front of every request's own; empty for most upstreams."""
        return "" if self.address is None else self._path.rstrip("/")

    @property
    def pipe(self) -> tuple[Direction, str, int, str] | None:
        """Its direction, host, port and name, for a byte pipe; None when it carries HTTP."""
        if self.address is None or not self.upstream.startswith("tcp:"):
            return None
        return (self.direction, *self.address, self.name)


@dataclass(frozen=True)
class ProxySpec:
    """A proxy.

    Args:
        listeners: Where it listens; both directions may be there at once.
        seed: The run's seed.
        plan: The faults from the start.
        platform: Reads what inbound exchanges are about.
        workers: Processes; a plan that counts is served by one.
        allow_hosts: Hosts that may be connected to besides the listeners' upstreams and, for a forward proxy, loopback: names,
            ``name:port`` or globs.
        http2: Whether HTTP/2 is spoken with clients (over TLS) that offer it.
        header_control: Whether a client's ``x-chaosbot-fault`` header may name the rules that meet its request.
        started: `time.monotonic()` at the start of the run, so that all events share one clock; 0 means now.
        confdir: Where the CA lives that signs for TLS clients; empty takes the user's own (`chaosbot.addons.ca`).
        upstream_ca: PEM file with the CA that upstreams' certificates are checked against; empty takes the usual ones.
        upstream_cert: PEM file with the certificate and key that upstreams are shown; empty shows none.
        insecure_upstream: Whether upstreams' certificates go unchecked.
        record: Record the traffic (`Proxy.recording`), with this taken out; None records nothing.
    """

    listeners: tuple[ListenerSpec, ...]
    seed: int
    plan: FaultPlan
    platform: str = ""
    workers: int = 1
    allow_hosts: tuple[str, ...] = ()
    http2: bool = False
    header_control: bool = False
    started: float = 0.0
    confdir: str = ""
    upstream_ca: str = ""
    upstream_cert: str = ""
    insecure_upstream: bool = False
    record: Redactor | None = None
