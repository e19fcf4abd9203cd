"""Exchanges past mitmproxy's layers: one whole request, one whole answer, on connections that are there. What is sent is the same.

Rules:

- Taken is a request that came in one piece while nothing else was under way, whose head says nothing that HTTP/1.1 does not say of every
  exchange: a length, or no body; and an answer of the same kind. Everything else goes the long way, also in the middle of an exchange: then the
  layers get the state that they would have by now (`_unfold`).
- The hooks `request` and `response` are called as ever. Those of heads are not: they decide what becomes of bodies that have not come yet.
- What a hook wants (a pause, an answer of its own, a script) is done by the layers.
- `tests/addons/_mitm/test_direct.py` holds it equal to the plain layers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from mitmproxy import http
from mitmproxy.connection import Server
from mitmproxy.net.http import http1
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import HTTPMode, validate_request
from mitmproxy.proxy.layers.http._events import RequestEndOfMessage, ResponseEndOfMessage
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook, HttpResponseHook
from mitmproxy.proxy.layers.http._http1 import Http1Client

from chaosbot.addons._mitm import SCRIPT, Later
from chaosbot.addons._mitm.http import Commands, TaggingServer
from chaosbot.addons._mitm.quick import PromptStream, QuickCarrier, QuickConnection, QuickHttp

_SPECIAL: Final = re.compile(
    rb"\r\n(?:[ \t]|(content-length|connection|transfer-encoding|expect|upgrade|trailer)[ \t]*:[ \t]*([^\r]*))",
    re.IGNORECASE,
)
_NO_BODY: Final = frozenset({204, 304})
# mitmproxy's functions are not annotated.
_head_of: Final[Callable[[http.Request], bytes]] = http1.assemble_request_head
_answer_head: Final[Callable[[http.Response], bytes]] = http1.assemble_response_head
_closes: Final[Callable[[bytes, http.Headers], bool]] = http1.connection_close


def whole(data: bytes, *, length: bool) -> tuple[list[bytes], bytes] | None:
    """The lines of a message's head and its body, where the data are exactly one message that is framed by its length alone.

    Args:
        data: What came.
        length: Whether it must say its length; a message that need not has no body without one.
    """
    end = data.find(b"\r\n\r\n")
    if end <= 0:
        return None
    head = data[:end]
    lines = head.split(b"\r\n")
    if not lines[0] or not head.count(b"\r") == head.count(b"\n") == len(lines) - 1:
        return None
    size = -1
    for found in _SPECIAL.finditer(head):
        name, value = found.groups()
        if name is None:
            return None  # a line that goes on
        name, value = name.lower(), value.strip(b" \t")
        if name == b"content-length" and size < 0 and value.isdigit() and len(value) < 10:
            size = int(value)
        elif name != b"connection" or value.lower() != b"keep-alive":
            return None
    if (size < 0 and length) or len(data) - end - 4 != max(size, 0):
        return None
    return lines, data[end + 4 :]


@dataclass(slots=True)
class Direct:
    """An exchange that waits for its answer.

    Args:
        flow: Its flow.
        server: The upstream's connection.
        fields: The headers that came, before hooks saw them.
    """

    flow: http.HTTPFlow
    server: Server
    fields: tuple[tuple[bytes, bytes], ...]


class DirectHttp(QuickHttp):
    """The HTTP layer that handles simple exchanges itself."""

    under_way: Direct | None = None

    def _handle_event(self, event: events.Event) -> Commands:
        said = self.direct(event)
        yield from super()._handle_event(event) if said is None else said

    def direct(self, event: events.Event) -> Iterable[commands.Command] | None:
        """What follows from an event, where it belongs to a simple exchange; None leaves it to the layers."""
        waiting = self.under_way
        if waiting is None:
            if (
                type(event) is events.DataReceived
                and not self.streams
                and self.mode is HTTPMode.transparent
                and event.connection is self.context.client
            ):
                return self._asked(event.data)
            return None
        if type(event) is events.DataReceived and event.connection is waiting.server:
            said = self._answered(waiting, event.data)
            if said is not None:
                return said
        self._unfold(waiting)
        return None

    def _asked(self, data: bytes) -> Iterable[commands.Command] | None:
        """A request came from the client."""
        client = self.connections.get(self.context.client)
        if type(client) is not TaggingServer or client.buf or client.state != client.read_headers:
            return None
        server = self._upstream()
        message = None if server is None else whole(data, length=False)
        if message is None or server is None:
            return None
        try:
            request = http1.read_request_head(message[0])
        except ValueError:
            return None
        parts = request.data
        if (
            parts.authority
            or parts.http_version != b"HTTP/1.1"
            or request.method.upper() in ("HEAD", "CONNECT")
            or validate_request(self.mode, request, self.context.options.validate_inbound_headers)
        ):
            return None
        parts.host, parts.port = address = server.address  # type: ignore[misc]  # `_upstream` looked
        request.scheme = "http"
        parts.content = message[1]
        parts.timestamp_end = time.time()
        fields = parts.headers.fields
        flow = http.HTTPFlow(self.context.client, self.context.server)
        flow.request, flow.live = request, True
        later = self.sockets.handler.call(HttpRequestHook(flow))
        if (
            later is not None
            or flow.response is not None
            or flow.error is not None
            or SCRIPT in vars(flow)
            or (parts.host, parts.port) != address
            or parts.trailers
        ):
            return self._resume_request(flow, later)
        flow.server_conn = server
        self.under_way = Direct(flow, server, fields)
        return (commands.SendData(server, _head_of(request) + (parts.content or b"")),)

    def _answered(self, waiting: Direct, data: bytes) -> Iterable[commands.Command] | None:
        """An answer came from the upstream."""
        message = whole(data, length=True)
        if message is None or not data.startswith(b"HTTP/1.1 "):
            return None
        try:
            response = http1.read_response_head(message[0])
            if self.context.options.validate_inbound_headers:
                validate_headers(response)
        except ValueError:
            return None
        if not 200 <= response.status_code <= 599 or response.status_code in _NO_BODY:
            return None
        flow, parts = waiting.flow, response.data
        flow.response = response
        content = parts.content = message[1]
        parts.timestamp_end = time.time()
        fields = parts.headers.fields
        later = self.sockets.handler.call(HttpResponseHook(flow))
        request = flow.request
        if (
            later is not None
            or flow.error is not None
            or SCRIPT in vars(flow)
            or flow.response is not response
            or parts.headers.fields is not fields
            or parts.content is not content
            or (
                request.data.headers.fields is not waiting.fields
                and _closes(request.data.http_version, request.headers)
            )
        ):
            return self._resume_answer(waiting, later)
        self.under_way = None
        flow.live = False
        self._client().stream_id += 2
        return (commands.SendData(self.context.client, _answer_head(response) + content),)

    # ── upstreams ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _upstream(self) -> Server | None:
        """The connection that mitmproxy would take for a request of this listener, where it is there and idle."""
        wanted = self.context.server
        if wanted.tls or wanted.via:
            return None
        for connection in self.connections:
            if (
                isinstance(connection, Server)
                and connection.address == wanted.address
                and not connection.tls
                and not connection.via
                and connection.transport_protocol == "tcp"
            ):
                if connection in self.waiting_for_establishment or connection.error:
                    return None
                if connection.connected:
                    parser = self._parser_of(connection)
                    idle = isinstance(parser, Http1Client) and parser.request is None and parser.stream_id is None
                    return connection if idle and not parser.buf and parser.state == parser.read_headers else None
        return None

    def _client(self) -> Any:
        return self.connections[self.context.client]

    # ── the long way ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _stream(self, flow: http.HTTPFlow) -> PromptStream:
        """An exchange of mitmproxy's whose request has come."""
        client = self._client()
        client.request, client.request_done, client.state = flow.request, True, client.wait
        stream = PromptStream(self.context.fork(), client.stream_id, self.sockets.handler.call)
        stream.flow = flow
        stream.client_state, stream.server_state = stream.state_done, stream.state_wait_for_response_headers
        self.streams[client.stream_id] = stream
        return stream

    def _unfold(self, waiting: Direct) -> PromptStream:
        """Gives the layers the state of an exchange whose request was sent."""
        self.under_way = None
        stream = self._stream(waiting.flow)
        stream.context.server = waiting.server
        server = self._parser_of(waiting.server)
        server.stream_id, server.request, server.request_done = stream.stream_id, waiting.flow.request, True
        return stream

    def _resume_request(self, flow: http.HTTPFlow, later: Later | None) -> Commands:
        """Lets mitmproxy go on after the hook `request`, which was called."""
        stream = self._stream(flow)
        stream.client_state = stream.state_consume_request_body
        stream.request_body_buf += flow.request.raw_content or b""
        stream.called = (later,)
        return self.event_to_child(stream, RequestEndOfMessage(stream.stream_id))

    def _resume_answer(self, waiting: Direct, later: Later | None) -> Commands:
        """Lets mitmproxy go on after the hook `response`, which was called; the upstream's connection is idle again."""
        self.under_way = None
        stream = self._stream(waiting.flow)
        stream.context.server = waiting.server
        stream.server_state = stream.state_consume_response_body
        response = waiting.flow.response
        stream.response_body_buf += (response.raw_content if response is not None else None) or b""
        stream.called = (later,)
        return self.event_to_child(stream, ResponseEndOfMessage(stream.stream_id))


class DirectCarrier(QuickCarrier):
    """A connection whose HTTP layer handles simple exchanges itself."""

    layer_class = DirectHttp


class DirectConnection(QuickConnection):
    """A connection that asks its HTTP layer first, past the layers around it, where these do nothing with bytes."""

    carrier_class = DirectCarrier

    def _said(self, event: events.Event) -> Iterable[commands.Command]:
        layers: list[Any] = self.carrier.layers
        if len(layers) == 1 and not self.client.tls:
            said: Iterable[commands.Command] | None = layers[0].direct(event)
            if said is not None:
                return said
        return super()._said(event)
