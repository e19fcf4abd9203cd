"""WebSocket clients: a trio task each, since a stream is long-lived and its messages are few.

Each connection is a request of the run (planned, started, completed when the handshake was accepted, else failed) with the handshake as its
latency, and a second one, ``SCENARIO:session``, that fails when the server ends it without a normal close, before its first message or after
one that says an error, or when an `on_message` hook says that a message is wrong: a token refused after the upgrade is an error. Counted are
those on which nothing was said until their client left (quiet, unless the scenario is `silent`), that the server ended within their first
messages (early, unless it is `finite`), and that fell silent: of these the report says when the run is inconclusive. What clients saw goes into
each metrics interval as a `StreamInterval`.
"""

from __future__ import annotations

import contextlib
import math
import os
import ssl
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
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
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError

from chaosbot.core import hdr
from chaosbot.core.event import Noted, StreamInterval, Trouble
from chaosbot.core.journey import TOKEN_VARIABLE, StreamAction, StreamMessage, StreamSpec
from chaosbot.core.outcome import Fate
from chaosbot.core.stream_end import FINE_CLOSES, FIRST, Rhythm, names_error
from chaosbot.load.closed import MOST_ADDED
from chaosbot.load.engine import LoadEngine
from chaosbot.load.hooks import HookWatch, answers, blame, slow
from chaosbot.load.pending import PendingRequest, RequestLabel
from chaosbot.load.spec import Wish

NO_GOODBYE: Final = "1006"
"""How a connection ended whose server reset or closed it without a close frame (RFC 6455's code for that)."""
BAD_FRAME: Final = "bad_frame"
"""How one ended on which the server broke the protocol."""
TOO_LONG: Final = "too_long"
"""How one ended whose server sent a message without an end."""
ERROR_MESSAGE: Final = "error_message"
"""How one ended that the server closed normally after a message that says an error."""
_CHUNK: Final = 1 << 16
MOST_MESSAGE: Final = 16 << 20
"""A client hangs up (1009) on a server whose message is longer; Node's `ws` takes 100 MiB, Python's `websockets` 1 MiB."""


class _TooLong(Exception):
    """The server's message does not end."""


class _HookBroke(Exception):
    """A person's hook made a mistake of its own, which is none of the target's."""


@dataclass(slots=True)
class StreamTally:
    """What a scenario's clients saw since the last metrics interval."""

    connects: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    quiet: int = 0
    early: int = 0
    finished: int = 0
    dried: int = 0
    messages: int = 0
    received: int = 0
    connect: list[float] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)

    def interval(self, connected: int) -> StreamInterval:
        """The figures, with so many clients connected now."""

        def text(seconds: list[float]) -> str:
            return hdr.encode(hdr.cells(seconds))

        return StreamInterval(
            self.connects,
            dict(self.failed),
            dict(self.ends),
            self.broken,
            self.messages,
            self.received,
            connected,
            text(self.connect),
            text(self.gap),
            text(self.latency),
            self.quiet,
            self.early,
            self.finished,
            self.dried,
        )


class StreamClients:
    """All stream clients of this process.

    Args:
        engine: The run that they are part of.
        specs: The scenarios.
        clients: The scenario of each client, by its number among the users.
    """

    def __init__(self, engine: LoadEngine, specs: Iterable[StreamSpec], clients: Mapping[int, StreamSpec]) -> None:
        self._engine = engine
        self._clients = dict(clients)
        self._specs = {spec.name: spec for spec in specs}
        self._peak = self._known = max(int(engine.pacer.peak + 1e-9), 1)
        self._wanted: int | None = None  # users at work, when a person said how many
        self._changed = trio.Event()
        self._connections: dict[int, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self._token = os.environ.get(TOKEN_VARIABLE, "")
        self._tallies = {spec.name: StreamTally() for spec in self._specs.values()}
        self._rhythms = {name: Rhythm() for name in self._specs}
        self._open = Counter[str]()
        self._hooks_told: set[str] = set()
        self._tokenless: set[str] = set()
        self._watch = HookWatch()

    @property
    def connected(self) -> int:
        """Clients that are connected now."""
        return self._open.total()

    def intervals(self) -> dict[str, StreamInterval]:
        """What was seen since the last call."""
        told, self._tallies = self._tallies, {name: StreamTally() for name in self._tallies}
        return {name: tally.interval(self._open[name]) for name, tally in told.items()}

    async def run(self) -> None:
        """Runs all clients."""
        async with trio.open_nursery() as nursery:
            for number in self._clients:
                nursery.start_soon(self._client, number)
            self._nursery = nursery
            await trio.sleep_forever()  # a person may add clients until the run ends

    def steer(self, wish: Wish) -> None:
        """A person wants so many users, clients of streams among them, or none for now; without either the plan holds again."""
        self._wanted = 0 if wish.paused else None if wish.level is None else int(wish.level)
        for number in range(self._known, min(self._wanted or 0, self._peak + MOST_ADDED)):
            self._known = number + 1
            journey, who = self._engine.population.resident(number)
            if journey.name in self._specs and self._engine.shard.owns(who):
                self._clients[number] = self._specs[journey.name]
                if self._nursery is not None:
                    self._nursery.start_soon(self._client, number)
        now = self._engine.loop.clock() - self._engine.start
        for number, connection in self._connections.items():
            if self._until(number, now) <= now:
                connection.cancel()
        self._changed.set()
        self._changed = trio.Event()

    def _spans(self, number: int) -> list[tuple[float, float]]:
        """When the plan has a client there. A burst is everybody within a moment; the others come one after the other."""
        burst = self._clients[number].action is StreamAction.BURST
        return [(0.0 if burst else come, go) for come, go in self._engine.pacer.spans(number)]

    def _until(self, number: int, now: float) -> float:
        """Until when a client is there, in seconds after the start; minus infinity where it is not (before the start as well)."""
        if self._wanted is not None:
            return self._engine.pacer.duration_s if number < self._wanted else -math.inf
        return max((go for come, go in self._spans(number) if come <= now < go), default=-math.inf)

    async def _client(self, number: int) -> None:
        spec, end = self._clients[number], self._engine.pacer.duration_s
        dice = self._engine.dice.at("stream", spec.name, number)
        start = self._engine.start - self._engine.loop.clock() + trio.current_time()
        if spec.action is StreamAction.BURST:
            await trio.sleep_until(start + dice.uniform(0, spec.spread_s))
        visit = 0
        while (now := trio.current_time() - start) < end:
            until = self._until(number, now)
            if until <= now:
                plan = self._spans(number) if self._wanted is None else ()
                with trio.move_on_at(start + min((come for come, _ in plan if come > now), default=end)):
                    await self._changed.wait()
                continue
            stay = dice.at("stay", visit).uniform(*spec.stay_s) or math.inf
            with trio.move_on_at(start + min(now + stay, until)) as self._connections[number]:
                await self._visit(spec, number, visit)
            del self._connections[number]
            visit += 1
            await trio.sleep(max(dice.at("pause", visit).uniform(*spec.pause_s), 0.01))

    async def _visit(self, spec: StreamSpec, number: int, visit: int) -> None:
        """One connection, from the handshake to its end."""
        engine, name = self._engine, spec.name
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
            self._tallies[name].failed[pending.error_kind or str(pending.fate)] += 1
            self._tell_tokenless(spec)
            return
        self._tallies[name].connects += 1
        self._tallies[name].connect.append(pending.ended - pending.started)
        self._open[name] += 1
        session = PendingRequest(self, number, b"", RequestLabel(f"{spec.name}:session", "stream"), None, clock())
        session.exchange_label = f"stream-{number}-{visit}-session"
        session.started = session.due
        engine.aggregator.planned()
        engine.aggregator.started()
        fate, detail = Fate.ANSWERED, ""
        status: int | None = 101
        try:
            detail = await self._listen(client, spec, number)
            if detail:
                fate, status = Fate.CLOSED, None
                self._tallies[name].broken += 1
                self._tell_tokenless(spec)
        except _HookBroke as error:
            fate, status, detail = Fate.CANCELLED, None, str(error)
        finally:
            self._open[name] -= 1
            session.slow = "session"  # how long a session lasts is its client's wish, and no latency of the target's
            session.fate, session.detail, session.status, session.ended = fate, detail, status, clock()
            engine.aggregator.ended(session)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 0.5):
                await client.leave()

    async def _listen(self, client: StreamClient, spec: StreamSpec, number: int) -> str:
        """Reads until the server ends it; returns what was wrong with a message or with the end, or nothing."""
        clock = self._engine.loop.clock
        for message in spec.messages:
            await client.say(message)
        began = last = clock()
        count, longest = 0, 0.0
        newest = b""
        try:
            while True:
                messages = await client.receive()
                if messages is None:
                    if not count:
                        longest = math.inf  # it ended before its first message: an error, and no gap
                    return self._closed(spec, client.end, count, newest)
                now = clock()
                for message in messages:
                    count, gap, last, newest = count + 1, now - last, now, message
                    longest = max(longest, gap)
                    self._heard(spec, message, gap)
                    self._rhythms[spec.name].heard(gap, now - began)
                    wrong = await self._answer(client, spec, StreamMessage(message, count, number, now - began))
                    if wrong:
                        return wrong
        except _TooLong:
            self._tallies[spec.name].ends[TOO_LONG] += 1
            return f"a message of more than {MOST_MESSAGE >> 20} MiB"
        finally:
            if not (count or client.end or spec.silent):
                self._tallies[spec.name].quiet += 1
            if not client.end and self._rhythms[spec.name].broken_by(clock() - last):
                self._tallies[spec.name].dried += 1
            # A silence that nothing ended is a gap too, or a stream that dried up would have the best ones.
            if clock() - last > longest and not (spec.silent and not count):
                self._tallies[spec.name].gap.append(clock() - last)

    def _closed(self, spec: StreamSpec, code: str, count: int, newest: bytes) -> str:
        """The server ended it after so many messages; returns what is wrong with that, or nothing."""
        tally = self._tallies[spec.name]
        fine, refused = code in FINE_CLOSES, names_error(newest)
        tally.ends[ERROR_MESSAGE if fine and refused else code] += 1
        # To end it is its right after it has spoken, if it says that all is well.
        if not fine or not (count or spec.silent):
            return f"closed with {code}"
        if refused:
            return f"closed with {code} after a message that says an error"
        if count <= FIRST and not spec.finite:
            tally.early += 1
        else:
            tally.finished += 1
        return ""

    def _heard(self, spec: StreamSpec, message: bytes, gap_s: float) -> None:
        tally = self._tallies[spec.name]
        tally.messages += 1
        tally.received += len(message)
        tally.gap.append(gap_s)
        stamp = _stamp(message)
        if stamp is not None:
            tally.latency.append(max(time.time() - stamp, 0.0))

    async def _answer(self, client: StreamClient, spec: StreamSpec, message: StreamMessage) -> str:
        """Lets the scenario's hook look at a message and sends what it answers; returns what is wrong, or nothing."""
        if spec.on_message is None:
            return ""
        try:
            with self._watch:
                texts = answers(spec.on_message, message)
        except AssertionError as error:
            self._tallies[spec.name].ends["on_message"] += 1
            return f"on_message: {str(error) or 'the message is wrong'}"
        except BaseException as error:  # noqa: BLE001 - a person's code; the run goes on, and cannot be a pass
            what = blame(spec.on_message, error)
            self._tell_hook(spec, what)
            raise _HookBroke(f"on_message {what}") from None
        if what := slow(spec.on_message, self._watch.took_s):
            self._tell_hook(spec, what)
        for text in texts:
            await client.say(text)
        return ""

    def _tell_hook(self, spec: StreamSpec, what: str) -> None:
        """Says once that a hook is broken, with its line."""
        if spec.name in self._hooks_told:
            return
        self._hooks_told.add(spec.name)
        now = self._engine.loop.clock() - self._engine.origin
        self._engine.hooks.emit(Trouble(now, f"stream {spec.name}", f"on_message {what}"))

    def _tell_tokenless(self, spec: StreamSpec) -> None:
        """Says once, where connections fail, that their token is not set: which is why, most often."""
        if self._token or not spec.token_param or spec.name in self._tokenless:
            return
        self._tokenless.add(spec.name)
        text = f"{TOKEN_VARIABLE} is not set, so the clients of {spec.name} connect without a {spec.token_param}"
        self._engine.hooks.emit(Noted(self._engine.loop.clock() - self._engine.origin, "stream-token", text))

    async def _connect(self, spec: StreamSpec, pending: PendingRequest) -> StreamClient | None:
        engine = self._engine
        path = spec.path
        if spec.token_param and self._token:
            path += f"{'&' if '?' in path else '?'}{spec.token_param}={quote(self._token, safe='')}"
        fate, detail = Fate.CONNECT_TIMEOUT, "not connected in time"
        with trio.move_on_after(engine.target.connect_timeout_s):
            try:
                client = StreamClient(await _dial(engine))
                detail = await client.shake(engine.spec.endpoint.host, path, spec)
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
        self._size = 0
        self._early: list[Event] = []
        self._over = False
        self.status: int | None = None
        self.end = ""
        """How the server ended it: the close frame's code, `NO_GOODBYE` where there was none, `BAD_FRAME`."""

    async def shake(self, host: str, path: str, spec: StreamSpec) -> str:
        """Does the handshake; returns why it was refused, or nothing."""
        headers = [(name.encode(), value.encode()) for name, value in spec.headers]
        request = Request(host=host, target=path, subprotocols=list(spec.subprotocols), extra_headers=headers)
        await self._stream.send_all(self._protocol.send(request))
        while True:
            events = await self._events()
            for place, event in enumerate(events):
                if isinstance(event, AcceptConnection):
                    self._early = events[place + 1 :]  # a server may speak with its handshake
                    wanted = ", ".join(spec.subprotocols)
                    return f"accepted none of the subprotocols {wanted}" if wanted and not event.subprotocol else ""
                if isinstance(event, RejectConnection):
                    self.status = event.status_code
                    return f"refused with {event.status_code}"
                if isinstance(event, CloseConnection):
                    return f"no handshake of WebSocket: {event.reason}"
            if self._protocol.state is ConnectionState.CLOSED:
                return "closed during the handshake"

    async def _events(self) -> list[Event]:
        data = await self._stream.receive_some(_CHUNK)
        try:
            self._protocol.receive_data(bytes(data) or None)
            return list(self._protocol.events())
        except (ProtocolError, UnicodeError) as error:
            return [CloseConnection(1002, str(error))]

    async def say(self, message: str | bytes) -> None:
        """Sends a text message."""
        await self._send(TextMessage(message if isinstance(message, str) else message.decode()))

    async def receive(self) -> list[bytes] | None:
        """The next messages (pings are answered); None when the server ended the connection and everything before that was given."""
        while not self._over:
            try:
                events, self._early = self._early or await self._events(), []
            except (trio.BrokenResourceError, OSError):
                self._protocol.receive_data(None)
                events = list(self._protocol.events())
            whole: list[bytes] = []
            for event in events:
                if isinstance(event, Message):
                    data = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
                    self._pieces.append(data)
                    self._size += len(data)
                    if self._size > MOST_MESSAGE:
                        await self._refuse()
                    if event.message_finished:
                        whole.append(b"".join(self._pieces))
                        self._pieces.clear()
                        self._size = 0
                elif isinstance(event, Ping):
                    await self._send(event.response())
                elif isinstance(event, CloseConnection):
                    # What came with it is looked at first; the next call tells the end.
                    self._over = True
                    # The protocol stays open where it was us who could not read on.
                    self.end = BAD_FRAME if self._protocol.state is ConnectionState.OPEN else str(int(event.code))
                    await self._send(event.response())
            if whole:
                return whole
        return None

    async def _refuse(self) -> None:
        """Says that a message is too long."""
        self._pieces.clear()
        with trio.move_on_after(1):  # a server that only sends may not read
            await self._send(CloseConnection(CloseReason.MESSAGE_TOO_BIG))
        raise _TooLong

    async def leave(self) -> None:
        """Says goodbye, waits for the server's and hangs up: who hangs up on what is still unread resets the connection."""
        try:
            await self._send(CloseConnection(CloseReason.NORMAL_CLOSURE))
            while self._protocol.state is ConnectionState.LOCAL_CLOSING:
                await self._events()
        except (trio.BrokenResourceError, OSError):
            pass  # it has hung up itself
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _send(self, event: Event) -> None:
        """Sends what can still be sent."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError, OSError):
            await self._stream.send_all(self._protocol.send(event))


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
    """The Unix time that a message carries, in seconds or milliseconds; of a batch, that of its first part."""
    if b'"ts"' not in message:
        return None
    with contextlib.suppress(orjson.JSONDecodeError, AttributeError):
        whole = orjson.loads(message)
        stamp = (whole[0] if isinstance(whole, list) and whole else whole).get("ts")
        # A plausible range keeps counters of the same name out.
        if isinstance(stamp, (int, float)) and 1e9 < stamp < 1e11:
            return float(stamp)
        if isinstance(stamp, (int, float)) and 1e12 < stamp < 1e14:
            return stamp / 1000
    return None
