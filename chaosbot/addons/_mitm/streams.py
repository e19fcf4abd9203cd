"""One exchange inside mitmproxy, with a bound on what is held of it: what is longer passes as it comes.

Rules:

- A body that grows beyond the bound is decided by what has come of it: the hook of its head is called once more, with `stream` set.
- What was answered without its body has the rest of it thrown away.
- A WebSocket message beyond the bound passes in fragments, and no hook sees it whole (`LONG`).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http import HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import RequestData, ResponseData
from mitmproxy.proxy.layers.http._hooks import HttpRequestHeadersHook, HttpResponseHeadersHook
from mitmproxy.proxy.layers.websocket import Fragmentizer, WebsocketLayer
from wsproto.frame_protocol import Opcode

from chaosbot.addons._mitm import LONG, MOST_ANSWER, MOST_MESSAGE, MOST_REQUEST

Commands = Generator[Any, Any, Any]


class BoundedStream(HttpStream):
    """mitmproxy's stream, which holds no more than the bounds say."""

    def check_body_size(self, request: bool) -> Commands:
        """A piece of a body that is held has come (or none yet)."""
        if request:
            if len(self.request_body_buf) > MOST_REQUEST:
                yield from self._pass_request()
        elif len(self.response_body_buf) > MOST_ANSWER:
            yield from self._pass_answer()
        return False

    def _pass_request(self) -> Commands:
        flow, held = self.flow, bytes(self.request_body_buf)
        self.request_body_buf = type(self.request_body_buf)()
        if flow.response is not None:
            return  # answered by its head
        flow.request.data.content = held
        flow.request.stream = True
        yield HttpRequestHeadersHook(flow)
        flow.request.data.content = None
        if (yield from self.check_killed(True)):
            return
        if flow.request.stream:
            yield from self.start_request_stream()
            yield from self.client_state(RequestData(self.stream_id, held))

    def _pass_answer(self) -> Commands:
        flow, held = self.flow, bytes(self.response_body_buf)
        self.response_body_buf = type(self.response_body_buf)()
        assert flow.response is not None  # noqa: S101 - its body is coming
        flow.response.stream = True
        yield HttpResponseHeadersHook(flow)
        if (yield from self.check_killed(True)):
            return
        yield from self.start_response_stream()
        yield from self.server_state(ResponseData(self.stream_id, held))

    def passthrough(self, event: events.Event) -> Commands:
        """Bytes of what the exchange has become: a WebSocket, a tunnel."""
        yield from super().passthrough(event)
        inside = self.child_layer
        if isinstance(inside, WebsocketLayer) and vars(inside)["_paused"] is None and hasattr(inside, "server_ws"):
            yield from self._pass_message(inside.client_ws, inside.server_ws, RequestData, self.context.server)
            yield from self._pass_message(inside.server_ws, inside.client_ws, ResponseData, self.context.client)

    def _pass_message(self, source: Any, drain: Any, kind: Any, connection: Any) -> Commands:
        """Lets what has come of a message that is too long pass, as a fragment."""
        if sum(map(len, source.frame_buf)) <= MOST_MESSAGE:
            return
        held = b"".join(source.frame_buf)
        source.frame_buf = [b""]
        is_text = _decoder(source).opcode is Opcode.TEXT
        vars(self.flow).setdefault(LONG, set()).add(kind is RequestData)
        part = drain.send(Fragmentizer([], is_text).msg(held, message_finished=False))
        yield SendHttp(kind(self.stream_id, part), connection)


def _decoder(connection: Any) -> Any:
    """What knows the kind of the message that is coming, of a wsproto connection."""
    return vars(vars(connection)["_proto"])["_message_decoder"]
