"""The HTTP layer of a proxied connection, with a hand on the bytes between HTTP and TLS.

Rules:

- An exchange without a `Script` passes untouched; one with a script has each event of its answer (or request) looked at on its
  way to the connection. What is written here is plaintext: TLS, where there is any, comes below.
- Pauses are wake-ups that the layer asks for, never sleeps; a body made while it is sent waits for room in the socket.
- `release` ends all waiting at once: what trickles leaves, what is being made ends, what was silenced is closed.
- What mitmproxy answers of its own accord (400, 502) is written by `answers.own_error`, so that no check blames the target.
"""

from __future__ import annotations

import html
import math
import re
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, Protocol, assert_never

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layers
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HTTPMode, HttpStream
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server

from chaosbot.addons._mitm import MOST_WAITING, SCRIPT
from chaosbot.addons._mitm.interim import PassingClient
from chaosbot.addons._mitm.streams import BoundedStream
from chaosbot.addons.answers import own_error
from chaosbot.addons.script import Script
from chaosbot.core.effect import Ending, Farewell
from chaosbot.injection.eventstream import EventStream

Commands = Generator[Any, Any, None]

MOST_HEAD: Final = 256 << 10
"""A longer head of a request or an answer is refused, as are such trailers and lines between chunks; usual servers allow 8 to 64 KiB."""
_ROOM: Final = 512 * 1024
_EVENT: Final = 256
"""Bytes that one event takes beside its data."""
_POLL_S: Final = 0.002
_LONGEST_NAP_S: Final = 0.25
_SETTLE_POLLS: Final = 100
_ANSWERED_IN_HTTP1: Final = (
    "the client speaks HTTP/2 with prior knowledge, the upstream answered in HTTP/1; use an HTTP/1 client"
)
# As mitmproxy writes an error page: its status, and the message in its one paragraph.
_OWN_ERROR: Final = re.compile(rb"HTTP/1\.1 (\d{3}) .*<p>(.*)</p>", re.DOTALL)


class Sockets(Protocol):
    """The connection that carries the layer.

    Attributes:
        gone: Whether the client has left.
        reasons: Why connections to upstreams end, where more is known than that they do.
    """

    gone: bool
    reasons: dict[Any, str]

    def left(self) -> None:
        """The client has gone."""

    def reason(self, server: Connection) -> str:
        """Why a connection to an upstream ended, where more is known than that it did."""

    def flush(self) -> None:
        """Sends what was written and is still collected."""

    def pending(self, connection: Connection) -> int:
        """Bytes that were written to a connection and have not left the process."""

    def undelivered(self, connection: Connection) -> int:
        """Bytes that were written to a connection and that its peer's kernel has not taken yet."""

    def reset(self, connection: Connection) -> None:
        """Ends a connection with a real RST."""

    def close(self, connection: Connection) -> None:
        """Ends a connection with a FIN."""

    def hold(self, connection: Connection, *, on: bool) -> None:
        """Reads no more from a connection, or again."""


class Say(events.Event):
    """Asks a layer, from outside of the conversation, to give commands now (the end of a WebSocket, half a frame)."""

    def __init__(self, layer: ScriptedHttp, make: Callable[[], Commands]) -> None:
        self.layer = layer
        self.make = make


class TaggingServer(Http1Server):
    """mitmproxy's HTTP/1 server; the errors that it answers of its own accord are marked as the proxy's."""

    def send(self, event: HttpEvent) -> Commands:
        """Sends a part of an answer."""
        said = super().send(event)
        return self._tagged(said) if isinstance(event, ResponseProtocolError) else said

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        """Reads a request's head; the only bytes that this gives out itself are an error's."""
        return self._tagged(super().read_headers(event))

    @staticmethod
    def _tagged(said: Commands) -> Commands:
        for command in said:
            written = _OWN_ERROR.match(command.data) if isinstance(command, commands.SendData) else None
            if written is not None:  # not one that was tagged before, by a call of this within this
                text = html.unescape(written[2].decode("utf-8", "replace"))
                yield commands.SendData(command.connection, own_error(int(written[1]), text))
            else:
                yield command


class ScriptedHttp(layers.HttpLayer):
    """mitmproxy's HTTP layer, following scripts.

    Args:
        context: As mitmproxy makes it.
        mode: How requests name their destination.
        sockets: The connection that carries the layer.
    """

    stream_class: type[HttpStream] = BoundedStream

    def __init__(self, context: Context, mode: HTTPMode, sockets: Sockets) -> None:
        super().__init__(context, mode)
        self.sockets = sockets
        self.scripts: dict[int, Script] = {}
        self.trickles: dict[int, deque[bytes]] = {}
        self.timers: dict[commands.Command, Callable[[], Commands]] = {}
        self.silenced = False
        self.held: set[Connection] = set()

    def make_stream(self, stream_id: int) -> Commands:
        """An exchange begins."""
        self.streams[stream_id] = self.stream_class(self.context.fork(), stream_id)
        return self.event_to_child(self.streams[stream_id], events.Start())

    def _handle_event(self, event: events.Event) -> Commands:
        yield from self._conduct(event)
        if self.trickles:
            yield from self._overflow()
        if self.held or (isinstance(event, events.DataReceived) and self.streams):
            self._regulate(event)

    def _overflow(self) -> Commands:
        """An answer trickles as it comes, a request when it is complete; where much of that waits, before."""
        for number, script in tuple(self.scripts.items()):
            if not script.trickling and self.trickles.get(number):
                yield from self._trickle(number, script)
            if not script.trickling_up and sum(map(len, self.trickles.get(-number, ()))) > MOST_WAITING:
                yield from self._trickle_up(number, self.streams[number].flow.server_conn, script)

    def _regulate(self, event: events.Event) -> None:
        """Reads from a connection only while what came from it does not wait inside, for a pause or because it trickles."""
        peers = {event.connection, *self.held} if isinstance(event, events.DataReceived) else tuple(self.held)
        for peer in peers:
            on = self._waiting(peer) > MOST_WAITING
            if on is not (peer in self.held):
                (self.held.add if on else self.held.discard)(peer)
                self.sockets.hold(peer, on=on)

    def _waiting(self, peer: Connection) -> int:
        """Bytes that came from a connection and wait inside."""
        from_client = peer is self.context.client
        kind = RequestData if from_client else ResponseData
        total = 0
        parser: Any = self.connections.get(peer)
        if isinstance(parser, Http1Server) and parser.state == parser.wait:
            total += len(parser.buf)  # requests that came before the answer to the one before them
        for number, stream in self.streams.items():
            if not from_client and stream.context.server is not peer:
                continue
            for paused in filter(None, (stream, stream.child_layer)):
                for each in vars(paused)["_paused_event_queue"]:
                    if isinstance(each, kind) or (isinstance(each, events.DataReceived) and each.connection is peer):
                        total += len(each.data) + _EVENT
            total += sum(map(len, self.trickles.get(-number if from_client else number, ())))
            if not from_client and (script := self.scripts.get(number)) is not None:
                total += sum(len(step.data) + _EVENT for step in script.steps)
        return total

    def _conduct(self, event: events.Event) -> Commands:
        if isinstance(event, events.Wakeup) and event.command in self.timers:
            yield from self.timers.pop(event.command)()
        elif isinstance(event, Say):
            if event.layer is self:
                yield from event.make()
            else:  # the layer that is meant lies deeper, behind a CONNECT
                for stream in list(self.streams.values()):
                    yield from self.event_to_child(stream, event)
        else:
            if isinstance(event, events.Start) and self.context.client.alpn not in (b"h2", b"h3"):
                self.connections.setdefault(self.context.client, TaggingServer(self.context.fork()))
            elif isinstance(event, events.ConnectionClosed) and event.connection is self.context.client:
                self.sockets.left()
            elif isinstance(event, events.DataReceived) and self._answers_in_http1(event):
                self.sockets.reasons[event.connection] = _ANSWERED_IN_HTTP1
                yield commands.CloseConnection(event.connection)
                event = events.ConnectionClosed(event.connection)
            parser = self._parser_of(event.connection) if isinstance(event, events.DataReceived) else None
            if type(parser) is Http1Client:
                PassingClient.in_place_of(parser)
            yield from super()._handle_event(event)
            if isinstance(event, events.DataReceived):
                yield from self._bound_head(self._parser_of(event.connection))

    def _answers_in_http1(self, event: events.DataReceived) -> bool:
        """Whether an upstream that was spoken to in HTTP/2 answers in HTTP/1: h2 would take it for a frame of 4.7 MB and wait."""
        peer = event.connection
        return peer is not self.context.client and peer.alpn == b"h2" and event.data.startswith(b"HTTP/1.")

    def _parser_of(self, connection: Connection) -> Any:
        """What reads a connection's bytes; on one to an upstream, tunnels and TLS are above it."""
        parser: Any = self.connections.get(connection)
        while (below := getattr(parser, "child_layer", None)) is not None:
            parser = below
        return parser

    def _bound_head(self, parser: Any) -> Commands:
        """Ends a connection whose peer sends a head, a chunk's line or trailers without an end: mitmproxy would keep all of it."""
        if not isinstance(parser, Http1Connection) or len(parser.buf) <= MOST_HEAD:
            return
        if parser.state == parser.read_headers:
            part = "a head"
        elif parser.state == parser.read_body:
            part = "trailers, or a chunk's line,"
        else:
            return
        parser.buf = type(parser.buf)()
        what = f"{part} of more than {MOST_HEAD >> 10} KiB"
        from_client = parser.conn is self.context.client
        if from_client and parser.response is None:
            yield commands.SendData(parser.conn, own_error(431, what))
        yield commands.CloseConnection(parser.conn)
        stream = self.streams.get(parser.stream_id) if parser.stream_id is not None else None
        if stream is not None:
            # The class's own code means 400 or 502: a number in mitmproxy 11.0, a member of an enumeration, and to be named, in 12.3.
            failed = parser.ReceiveProtocolError
            yield from self.event_to_child(stream, failed(stream.stream_id, what, failed.code))

    def event_to_child(self, child: Any, event: events.Event) -> Commands:
        """Passes an event on, by the script of its exchange when there is one."""
        if not isinstance(child, HttpStream):
            if isinstance(event, (ResponseHeaders, ResponseData, ResponseEndOfMessage)):
                script = self._script(event)
                if script is not None and script.for_answer:
                    return self._answer(child, event, script)
                if script is not None and isinstance(event, ResponseEndOfMessage):
                    self.scripts.pop(event.stream_id, None)
            elif isinstance(event, (RequestHeaders, RequestData, RequestEndOfMessage)):
                script = self._script(event)
                if script is not None and (script.dribble_up or script.cut_request):
                    return self._request(child, event, script)
            elif isinstance(event, ResponseProtocolError) and (script := self.scripts.pop(event.stream_id, None)):
                if script.outlived:
                    return iter(())  # type: ignore[return-value]  # no commands: its client has seen another end
                script.finish()
        elif isinstance(event, ResponseProtocolError) and (why := self.sockets.reason(child.flow.server_conn)):
            event = ResponseProtocolError(event.stream_id, why, event.code)
        return super().event_to_child(child, event)

    def _script(self, event: Any) -> Script | None:
        known = self.scripts.get(event.stream_id)
        if known is None and (stream := self.streams.get(event.stream_id)) is not None:
            script: Script | None = vars(stream.flow).get(SCRIPT)
            if script is not None:
                self.scripts[event.stream_id] = script
            return script
        return known

    def _later(self, seconds: float, then: Callable[[], Commands]) -> Commands:
        command = commands.RequestWakeup(seconds)
        self.timers[command] = then
        yield command

    # ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _answer(self, child: Any, event: Any, script: Script) -> Commands:
        if script.ended is None and script.stops:
            return  # the farewell was said; nothing more goes out
        if script.raw_count is not None and not script.raw:
            return  # bytes in the answer's place are being made
        if script.frame is not None or (script.stops and not isinstance(child, Http1Server)):
            yield from self._h2_farewell(child, event.stream_id, script)
            return
        if isinstance(event, ResponseHeaders) and script.raw is not None:
            if script.raw_count is None:
                yield commands.SendData(self.context.client, script.raw)
                yield from self._farewell(script)
            elif script.raw:
                yield from self._make_raw(script, script.raw, script.raw_count)
            return
        if script.events is not None:
            yield from self._answer_events(child, event, script, script.events)
            return
        if isinstance(event, ResponseEndOfMessage):
            if script.stops:
                yield from self._farewell_after_trickle(event.stream_id, script)
            elif script.stream is not None:
                yield from self._make_body(child, event, script, script.stream.count)
            else:
                yield from self._end_after_trickle(child, event, script)
            return
        data = b""
        for command in super().event_to_child(child, event):
            if isinstance(command, commands.SendData) and command.connection is self.context.client:
                data += command.data
            else:
                yield command
        if isinstance(event, ResponseHeaders) and script.most_body is not None:
            script.most_bytes = len(data) + script.most_body
        if script.most_bytes is not None:
            data = data[: script.most_bytes]
            script.most_bytes -= len(data)
        if script.dribble is not None and isinstance(event, ResponseData):
            self.trickles.setdefault(event.stream_id, deque()).append(data)
        elif data:
            yield commands.SendData(self.context.client, data)

    def _answer_events(self, child: Any, event: Any, script: Script, events_: EventStream) -> Commands:
        """A part of an answer that is a stream of events: what becomes of it is queued, and sent when its time has come."""
        if isinstance(event, ResponseHeaders):
            yield from super().event_to_child(child, event)
            return
        script.complete = isinstance(event, ResponseEndOfMessage)
        if script.outlived:
            if script.complete:
                self.scripts.pop(event.stream_id, None)
            return
        script.steps += events_.feed(event.data) if isinstance(event, ResponseData) else events_.end()
        if not script.pumping:
            script.pumping = True
            yield from self._pump(child, event.stream_id, script)

    def _pump(self, child: Any, stream_id: int, script: Script, *, waited: bool = False) -> Commands:
        """Sends what is queued of a stream of events; comes back when the next step's time has come."""
        while script.steps and not self.sockets.gone:
            step = script.steps[0]
            if step.wait_s and not waited and not script.released:
                yield from self._nap(step.wait_s, script, partial(self._pump, child, stream_id, script, waited=True))
                return
            waited = False
            script.steps.popleft()
            if step.data:
                yield from super().event_to_child(child, ResponseData(stream_id, step.data))
            if step.ending is None:
                continue
            script.steps.clear()
            if step.ending in (Ending.CLEAN, Ending.EOF):
                yield from self._end(child, ResponseEndOfMessage(stream_id), script)
            else:
                script.farewell = Farewell(step.ending)
                yield from (
                    self._farewell(script)
                    if isinstance(child, Http1Server)
                    else self._h2_farewell(child, stream_id, script)
                )
            return
        script.pumping = False

    def _trickle(self, stream_id: int, script: Script) -> Commands:
        """Sends the next piece of what trickles, and comes back for more."""
        waiting = self.trickles.get(stream_id)
        data = b"".join(waiting) if waiting else b""
        size = len(data) if script.released or script.dribble is None else script.dribble.chunk
        # More of an answer that streams may come; the pause holds between its pieces as well.
        more = script.dry is None and not script.released
        script.trickling = size < len(data) or (bool(data) and more)
        if data:
            yield commands.SendData(self.context.client, data[:size])
        if script.trickling and script.dribble is not None:
            self.trickles[stream_id] = deque([data[size:]])
            yield from self._nap(script.dribble.pause_s, script, partial(self._trickle, stream_id, script))
            return
        # No pause after the last piece: its reader may ask for the record at once.
        self.trickles.pop(stream_id, None)
        if script.dry is not None:
            yield from script.dry()

    def _nap(self, seconds: float, script: Script, then: Callable[[], Commands]) -> Commands:
        """A pause that a release cuts short."""
        if seconds <= 0 or script.released:
            yield from self._later(0, then)
        elif seconds <= _LONGEST_NAP_S:
            yield from self._later(seconds, then)
        else:
            yield from self._later(_LONGEST_NAP_S, partial(self._nap, seconds - _LONGEST_NAP_S, script, then))

    def _farewell_after_trickle(self, stream_id: int, script: Script) -> Commands:
        yield from self._when_dry(stream_id, script, partial(self._farewell, script))

    def _end_after_trickle(self, child: Any, event: Any, script: Script) -> Commands:
        yield from self._when_dry(event.stream_id, script, partial(self._end, child, event, script))

    def _when_dry(self, stream_id: int, script: Script, then: Callable[[], Commands]) -> Commands:
        """The answer has come to its end: `then` follows when all of it has trickled out."""
        script.dry = then
        if not script.trickling:
            yield from self._trickle(stream_id, script)

    def _end(self, child: Any, event: Any, script: Script) -> Commands:
        """The answer is complete; what may come is the unannounced end of the connection."""
        if script.events is None or script.complete:
            self.scripts.pop(event.stream_id, None)
        else:
            self.scripts[event.stream_id] = script  # what still comes of the upstream's answer is swallowed
        if script.close_idle is not None:
            idle = script.close_idle
            script.farewell = idle.farewell
            # Asked for before the end is passed on: the connection may take its next request at that very moment.
            yield from self._nap(idle.after_s, script, partial(self._farewell, script))
        else:
            script.finish()
        yield from super().event_to_child(child, event)

    def _make_raw(self, script: Script, block: bytes, left: int) -> Commands:
        """Sends a block again and again: as much as there is room for, then comes back."""
        script.raw = b""  # begun
        while left and not script.released and self.sockets.pending(self.context.client) < _ROOM:
            yield commands.SendData(self.context.client, block[:left])
            left -= min(left, len(block))
        if left and not script.released and not self.sockets.gone:
            yield from self._later(_POLL_S, partial(self._make_raw, script, block, left))
        else:
            yield from self._farewell(script)

    def _make_body(self, child: Any, event: Any, script: Script, left: int) -> Commands:
        """Makes the body while it is sent: as much as there is room for, then comes back."""
        assert script.stream is not None  # noqa: S101 - the only caller looked
        pattern = script.stream.pattern * math.ceil(65536 / len(script.stream.pattern))
        while left and not script.released and self.sockets.pending(self.context.client) < _ROOM:
            size = min(left, len(pattern))
            yield from super().event_to_child(child, ResponseData(event.stream_id, pattern[:size]))
            left -= size
        if self.sockets.gone:
            script.finish()
        elif script.released and left:
            yield from self._farewell(script)
        elif left:
            yield from self._later(_POLL_S, partial(self._make_body, child, event, script, left))
        else:
            yield from self._end(child, event, script)

    # ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _farewell(self, script: Script) -> Commands:
        script.finish()
        match script.farewell:
            case Farewell.FIN:
                yield commands.CloseConnection(self.context.client)
            case Farewell.RST:
                yield from self._reset(0)
            case Farewell.SILENCE:
                self.silenced = True
            case _:
                assert_never(script.farewell)

    def _reset(self, polls: int) -> Commands:
        """A real RST to the client, behind the bytes that were sent: the kernel would throw them away."""
        if polls < _SETTLE_POLLS and self.sockets.undelivered(self.context.client):
            yield from self._later(_POLL_S, partial(self._reset, polls + 1))
        else:
            self.sockets.reset(self.context.client)

    def _h2_farewell(self, child: Any, stream_id: int, script: Script) -> Commands:
        """On HTTP/2 one stream is reset; GOAWAY, and a farewell that is RST, concern the whole connection."""
        frame, self.scripts[stream_id] = script.frame, script
        script.finish()
        if frame is not None and frame.frame == "GOAWAY":
            child.h2_conn.close_connection(frame.error_code)
            yield commands.SendData(self.context.client, child.h2_conn.data_to_send())
            yield commands.CloseConnection(self.context.client)
        elif frame is None and script.farewell is Farewell.RST:
            yield from self._reset(0)
        elif frame is not None or script.farewell is Farewell.FIN:
            child.h2_conn.reset_stream(stream_id, frame.error_code if frame is not None else 2)
            yield commands.SendData(self.context.client, child.h2_conn.data_to_send())
        script.raw = b""  # what still comes of this stream's answer is swallowed
        script.frame = None

    # ── the request ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _request(self, child: Any, event: Any, script: Script) -> Commands:
        server = None
        for command in super().event_to_child(child, event):
            if script.dribble_up is not None and isinstance(command, commands.SendData):
                self.trickles.setdefault(-event.stream_id, deque()).append(command.data)
                server = command.connection
            else:
                yield command
        if isinstance(event, RequestEndOfMessage):
            stream = self.streams.get(event.stream_id)
            server = server or (stream.flow.server_conn if stream is not None else None)
            script.asked = True
            if server is not None and not script.trickling_up:
                yield from self._trickle_up(event.stream_id, server, script)

    def _trickle_up(self, stream_id: int, server: Any, script: Script) -> Commands:
        data = b"".join(self.trickles.pop(-stream_id, ()))
        script.trickling_up = bool(data)
        if data and script.dribble_up is not None:
            size = len(data) if script.released else script.dribble_up.chunk
            yield commands.SendData(server, data[:size])
            self.trickles[-stream_id] = deque([data[size:]])
            again = partial(self._trickle_up, stream_id, server, script)
            yield from self._nap(script.dribble_up.pause_s, script, again)
            return
        if not script.asked:
            return
        match script.cut_request:
            case Farewell.FIN:
                yield commands.CloseTcpConnection(server, half_close=True)
            case Farewell.RST:
                self.sockets.reset(server)
            case None | Farewell.SILENCE:
                pass
            case _:
                assert_never(script.cut_request)

    # ── from outside ─────────────────────────────────────────────────────────────────────────────────────────────────

    def release(self) -> None:
        """Ends all waiting of this layer."""
        for script in self.scripts.values():
            script.released = True
        if self.silenced:
            self.sockets.close(self.context.client)
