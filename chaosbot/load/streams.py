"""WebSocket clients: a trio task each, since a stream is long-lived and its messages are few.

Each connection is a request of the run (planned, started, completed when the handshake was accepted, else failed) with the
handshake as its latency, and a second one, ``SCENARIO:session``, that fails when the server ends it without a normal close (1000,
1001) or before its first message: a token refused after the upgrade is an error. Messages are counted as ``SCENARIO:message``; the note at the end holds rates, gaps between two
messages of one connection and, where messages carry their time (``ts``), their latency.
"""

from __future__ import annotations

import contextlib
import math
import os
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import orjson
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from chaosbot.core.event import Noted
from chaosbot.core.journey import StreamAction, StreamSpec
from chaosbot.core.outcome import Fate
from chaosbot.load.engine import LoadEngine
from chaosbot.load.histogram import microseconds, quantile
from chaosbot.load.pending import PendingRequest, RequestLabel

TOKEN_VARIABLE: Final = "WS_AUTH_TOKEN"  # noqa: S105 - a variable's name
STREAM_SHARE: Final = 4
"""One user in so many is a client of a stream, where a platform has streams."""
_MOST_SAMPLES: Final = 200_000
_FINE_CLOSES: Final = {1000, 1001}
_CHUNK: Final = 1 << 16


@dataclass
class StreamTally:
    """What a scenario's clients saw; samples are bounded, counts are not."""

    connections: int = 0
    refused: int = 0
    dropped: int = 0
    failed_connects: Counter[str] = field(default_factory=Counter)
    closes: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    received: int = 0
    connect_us: list[int] = field(default_factory=list)
    gap_us: list[int] = field(default_factory=list)
    latency_us: list[int] = field(default_factory=list)

    def took(self, samples: list[int], seconds: float) -> None:
        """Keeps a sample; beyond the bound the oldest half is thinned out, so that the run's whole length stays covered."""
        samples.append(int(max(seconds, 0.0) * 1e6))
        if len(samples) > _MOST_SAMPLES:
            del samples[::2]

    def data(self, seconds: float) -> dict[str, Any]:
        """The note's figures."""

        def spread(samples: list[int]) -> dict[str, float]:
            shown = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
            return (
                {
                    name: round(quantile(microseconds([one * 1e-6 for one in samples]), share) * 1e3, 3)
                    for name, share in shown.items()
                }
                if samples
                else {}
            )

        return {
            "connections": self.connections,
            "refused": self.refused,
            "dropped": self.dropped,
            "failed_connects": dict(self.failed_connects),
            "closes": dict(self.closes),
            "messages": self.messages,
            "messages_per_s": round(self.messages / max(seconds, 1e-9), 2),
            "bytes": self.received,
            "connect_ms": spread(self.connect_us),
            "gap_ms": spread(self.gap_us),
            "latency_ms": spread(self.latency_us),
        }


class StreamClients:
    """All stream clients of this process.

    Args:
        engine: The run that they are part of.
        specs: The scenarios, which clients take in turn.
        clients: When each client is there: (number, from, to) in seconds after the start.
    """

    def __init__(
        self, engine: LoadEngine, specs: tuple[StreamSpec, ...], clients: list[tuple[int, float, float]]
    ) -> None:
        self._engine = engine
        self._specs = specs
        self._clients = clients
        self._token = os.environ.get(TOKEN_VARIABLE, "")
        self.tallies = {spec.name: StreamTally() for spec in specs}
        self.connected = 0
        self.over = False

    async def run(self) -> None:
        """Runs all clients."""
        began = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                for number, come, go in self._clients:
                    nursery.start_soon(self._client, number, come, go)
        finally:
            self._note(trio.current_time() - began)

    def _note(self, seconds: float) -> None:
        engine = self._engine
        for name, tally in self.tallies.items():
            text = f"{name}: {tally.connections} connections, {tally.messages} messages"
            engine.hooks.emit(
                Noted(engine.loop.clock() - engine.origin, "stream", text, {"name": name} | tally.data(seconds))
            )

    async def _client(self, number: int, come: float, go: float) -> None:
        spec = self._specs[number % len(self._specs)]
        dice = self._engine.dice.at("stream", spec.name, number)
        start = self._engine.start - self._engine.loop.clock() + trio.current_time()
        # A burst is everybody within a moment; the others come when the plan says.
        first = start + (dice.uniform(0, spec.spread_s) if spec.action is StreamAction.BURST else come)
        await trio.sleep_until(first)
        visit = 0
        while trio.current_time() < start + go:
            stay = dice.at("stay", visit).uniform(*spec.stay_s) or math.inf
            with trio.move_on_at(min(trio.current_time() + stay, start + go)):
                await self._visit(spec, number, visit)
            visit += 1
            await trio.sleep(max(dice.at("pause", visit).uniform(*spec.pause_s), 0.01))

    async def _visit(self, spec: StreamSpec, number: int, visit: int) -> None:
        """One connection, from the handshake to its end."""
        engine, tally = self._engine, self.tallies[spec.name]
        clock = engine.loop.clock
        pending = PendingRequest(self, number, b"", RequestLabel(f"{spec.name}:connect", "stream"), None, clock())
        pending.exchange_label = f"stream-{number}-{visit}"
        pending.started = pending.due
        engine.aggregator.planned()
        engine.aggregator.started()
        client: StreamClient | None = None
        try:
            client = await self._connect(spec, pending)
        except BaseException:
            # Left in the middle of the handshake: the run is over, or the client's time.
            self._ended(pending, Fate.CANCELLED, "left before the handshake was complete")
            raise
        if client is None:
            tally.refused += 1
            tally.failed_connects[pending.error_kind or str(pending.fate)] += 1
            return
        tally.connections += 1
        tally.took(tally.connect_us, pending.ended - pending.started)
        self.connected += 1
        session = PendingRequest(self, number, b"", RequestLabel(f"{spec.name}:session", "stream"), None, clock())
        session.exchange_label = f"stream-{number}-{visit}-session"
        session.started = session.due
        engine.aggregator.planned()
        engine.aggregator.started()
        before = tally.messages
        fate, detail = Fate.ANSWERED, ""
        status: int | None = 101
        try:
            await self._listen(client, spec, tally)
            # The server ended it. That is its right after it has spoken, if it says that all is well.
            fine = client.close_code in _FINE_CLOSES and tally.messages > before
            how = f"closed with {client.close_code}" if client.close_code else "closed without a goodbye"
            if not fine:
                fate, detail, status = Fate.CLOSED, how, None
            tally.closes[str(client.close_code or "none")] += 1
        finally:
            self.connected -= 1
            session.slow = "session"  # how long a session lasts is its client's wish, and no latency of the target's
            session.fate, session.detail, session.status, session.ended = fate, detail, status, clock()
            engine.aggregator.ended(session)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 0.5):
                await client.leave()

    async def _listen(self, client: StreamClient, spec: StreamSpec, tally: StreamTally) -> None:
        clock = self._engine.loop.clock
        for message in spec.messages:
            await client.say(message)
        last = clock()
        while True:
            messages = await client.receive()
            if messages is None:
                tally.dropped += 1
                return
            now = clock()
            for message in messages:
                tally.messages += 1
                tally.received += len(message)
                tally.took(tally.gap_us, now - last)
                last = now
                self._engine.aggregator.now.tasks[f"{spec.name}:message"] += 1
                stamp = _stamp(message)
                if stamp is not None:
                    tally.took(tally.latency_us, time.time() - stamp)

    async def _connect(self, spec: StreamSpec, pending: PendingRequest) -> StreamClient | None:
        engine = self._engine
        path = spec.path
        if spec.token_param and self._token:
            path += f"{'&' if '?' in path else '?'}{spec.token_param}={quote(self._token, safe='')}"
        fate, detail = Fate.CONNECT_TIMEOUT, "not connected in time"
        with trio.move_on_after(engine.target.connect_timeout_s):
            try:
                client = StreamClient(await _dial(engine))
                detail = await client.shake(engine.spec.endpoint.host, path)
                if not detail:
                    self._ended(pending, Fate.ANSWERED, "", 101)
                    return client
                fate = Fate.ANSWERED if client.status else Fate.PROTOCOL
                await client.leave()
                self._ended(pending, fate, detail, client.status)
                return None
            except ssl.SSLError as error:
                fate, detail = Fate.TLS, str(error.reason)
            except ConnectionRefusedError as error:
                fate, detail = Fate.REFUSED, error.strerror or "refused"
            except (OSError, trio.BrokenResourceError) as error:
                fate, detail = Fate.RESET, str(error) or "reset"
        self._ended(pending, fate, detail)
        return None

    def _ended(self, pending: PendingRequest, fate: Fate, detail: str, status: int | None = None) -> None:
        if pending.fate is None:
            pending.fate, pending.detail, pending.status, pending.ended = (
                fate,
                detail,
                status,
                self._engine.loop.clock(),
            )
            self._engine.aggregator.ended(pending)

    def finished(self, pending: PendingRequest) -> None:
        """Stream clients end their requests themselves."""


class StreamClient:
    """One WebSocket connection, speaking wsproto over a trio stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._pieces: list[bytes] = []
        self._early: list[Event] = []
        self.status: int | None = None
        self.close_code: int | None = None
        """What the server's close frame said; None when there was none."""

    async def shake(self, host: str, path: str) -> str:
        """Does the handshake; returns why it was refused, or nothing."""
        await self._stream.send_all(self._protocol.send(Request(host=host, target=path)))
        while True:
            events = await self._events()
            for place, event in enumerate(events):
                if isinstance(event, AcceptConnection):
                    self._early = events[place + 1 :]  # a server may speak with its handshake
                    return ""
                if isinstance(event, RejectConnection):
                    self.status = event.status_code
                    return f"refused with {event.status_code}"
                if isinstance(event, CloseConnection):
                    return f"closed with {event.code}"
            if self._protocol.state is ConnectionState.CLOSED:
                return "closed during the handshake"

    async def _events(self) -> list[Event]:
        data = await self._stream.receive_some(_CHUNK)
        try:
            self._protocol.receive_data(bytes(data) or None)
            return list(self._protocol.events())
        except ProtocolError as error:
            return [CloseConnection(1002, str(error))]

    async def say(self, message: bytes) -> None:
        """Sends a text message."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError):
            await self._stream.send_all(self._protocol.send(TextMessage(message.decode())))

    async def receive(self) -> list[bytes] | None:
        """The next messages (pings are answered); None when the server ended the connection."""
        while True:
            try:
                events, self._early = self._early or await self._events(), []
            except (trio.BrokenResourceError, OSError):
                return None
            whole: list[bytes] = []
            for event in events:
                if isinstance(event, Message):
                    data = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
                    self._pieces.append(data)
                    if event.message_finished:
                        whole.append(b"".join(self._pieces))
                        self._pieces.clear()
                elif isinstance(event, Ping):
                    with contextlib.suppress(trio.BrokenResourceError, ProtocolError):
                        await self._stream.send_all(self._protocol.send(event.response()))
                elif isinstance(event, CloseConnection):
                    self.close_code = int(event.code)
                    return whole or None
            if whole:
                return whole
            if self._protocol.state is ConnectionState.CLOSED:
                return None

    async def leave(self) -> None:
        """Says goodbye and hangs up."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError, OSError):
            if self._protocol.state is ConnectionState.OPEN:
                await self._stream.send_all(self._protocol.send(CloseConnection(1000)))
        await trio.aclose_forcefully(self._stream)


async def _dial(engine: LoadEngine) -> trio.abc.Stream:
    target = engine.target
    sock = trio.socket.socket(target.family, trio.socket.SOCK_STREAM)
    try:
        await sock.connect(target.address)
    except BaseException:
        sock.close()
        raise
    stream: trio.abc.Stream = trio.SocketStream(sock)
    if target.tls is not None:
        secured = trio.SSLStream(stream, target.tls, server_hostname=target.server_name, https_compatible=True)
        await secured.do_handshake()
        stream = secured
    return stream


def _stamp(message: bytes) -> float | None:
    """The Unix time that a message carries, when it does."""
    if b'"ts"' not in message:
        return None
    with contextlib.suppress(orjson.JSONDecodeError, AttributeError):
        stamp = orjson.loads(message).get("ts")
        # Seconds; a plausible range keeps counters of the same name out.
        if isinstance(stamp, (int, float)) and 1e9 < stamp < 1e11:
            return float(stamp)
    return None
