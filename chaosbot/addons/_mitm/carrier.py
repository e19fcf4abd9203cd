"""One client connection with its HTTP layers, whoever runs it: chaosbot's own core, or somebody's mitmproxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import HttpLayer
from mitmproxy.proxy.layers.http._events import RequestData, ResponseData
from mitmproxy.proxy.layers.websocket import Fragmentizer, WebSocketMessageInjected
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.websocket import WebSocketMessage

from chaosbot.addons._mitm import ByteCarrier
from chaosbot.addons._mitm.http import Say, ScriptedHttp
from chaosbot.addons.spec import ListenerSpec
from chaosbot.injection._bytes_ends import _undelivered, reset


class HandlerCarrier:
    """A client connection that one of mitmproxy's connection handlers performs.

    Args:
        handler: The handler.
        listener: Where the connection came in.
        own: The listener's addresses as a Host header spells them.
    """

    layer_class: type[ScriptedHttp] = ScriptedHttp

    def __init__(self, handler: ConnectionHandler, listener: ListenerSpec, own: frozenset[str]) -> None:
        self.handler = handler
        self.listener = listener
        self.own = own
        self.gone = False
        self.on_gone: set[Callable[[], None]] = set()
        self.layers: list[ScriptedHttp] = []
        self.reasons: dict[Any, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def bytes(self) -> ByteCarrier | None:
        """None: these sockets belong to mitmproxy."""
        return None

    # ── what the HTTP layers ask for ─────────────────────────────────────────────────────────────────────────────────

    def left(self) -> None:
        """The client has gone."""
        self.gone = True
        for call in tuple(self.on_gone):
            call()

    def reason(self, server: Connection) -> str:
        """Why a connection to an upstream ended, where more is known than that it did."""
        return self.reasons.get(server, "")

    def flush(self) -> None:
        """Sends what was written and is still collected."""

    def pending(self, connection: Connection) -> int:
        """Bytes that were written to a connection and have not left the process."""
        transport = self._transport(connection)
        return 0 if transport is None else transport.get_write_buffer_size()

    def undelivered(self, connection: Connection) -> int:
        """Bytes that were written to a connection and that its peer's kernel has not taken yet."""
        transport = self._transport(connection)
        return 0 if transport is None else _undelivered(transport)

    def reset(self, connection: Connection) -> None:
        """Ends a connection with a real RST."""
        transport = self._transport(connection)
        if transport is not None:
            reset(transport)

    def close(self, connection: Connection) -> None:
        """Ends a connection with a FIN."""
        io = self.handler.transports.get(connection)
        if io is not None and io.writer is not None:
            io.writer.close()

    def hold(self, connection: Connection, *, on: bool) -> None:
        """Reads no more from a connection, or again; these sockets are mitmproxy's to read."""

    def _transport(self, connection: Connection) -> asyncio.Transport | None:
        self.flush()
        io = self.handler.transports.get(connection)
        transport: asyncio.Transport | None = getattr(io.writer, "transport", None) if io is not None else None
        return transport

    # ── what the exchange engine asks for ────────────────────────────────────────────────────────────────────────────

    def release(self) -> None:
        """Ends all waiting in the HTTP layers."""
        for layer in self.layers:
            layer.release()

    def repeat_message(self, flow: Any, message: Any) -> None:
        """Sends a WebSocket message once more."""
        copy = WebSocketMessage(message.type, message.from_client, message.content, injected=True)
        self.inject(WebSocketMessageInjected(flow, copy))

    def close_websocket(self, flow: Any, code: int) -> None:
        """Closes a WebSocket as if the server had: both sides get the close frame."""
        place = self._place(flow)
        if place is not None:
            layer, stream = place
            frame = b"\x88\x02" + code.to_bytes(2, "big")
            self.say(layer, lambda: layer.event_to_child(stream, ResponseData(stream.stream_id, frame)))

    def send_half_frame(self, flow: Any, message: Any) -> None:
        """Sends half of a message's frame, then ends the connection that it goes to."""
        place = self._place(flow)
        if place is None:
            return
        layer, stream = place
        down = not message.from_client
        connection = layer.context.client if down else flow.server_conn
        side = stream.child_layer.client_ws if down else stream.child_layer.server_ws

        def half() -> Iterator[Any]:
            frame = b"".join(side.send(part) for part in Fragmentizer([], message.is_text)(message.content))
            kind = ResponseData if down else RequestData
            half_of_it = frame[: max(1, len(frame) // 2)]
            yield from layer.event_to_child(layer.connections[connection], kind(stream.stream_id, half_of_it))
            yield commands.CloseConnection(connection)

        self.say(layer, half)

    def _place(self, flow: Any) -> tuple[ScriptedHttp, Any] | None:
        """The HTTP layer and the stream that a flow runs on."""
        for layer in self.layers:
            for stream in layer.streams.values():
                if stream.flow is flow:
                    return layer, stream
        return None

    def say(self, layer: ScriptedHttp, make: Callable[[], Any]) -> None:
        """Lets a layer's commands be performed, as if it had come upon them itself."""
        self.inject(Say(layer, make))

    def inject(self, event: events.Event) -> None:
        """Lets the connection handle an event."""
        task = asyncio.get_running_loop().create_task(self.handler.server_event(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def substitute(chooser: Any, carrier: HandlerCarrier) -> None:
    """Puts a layer that follows scripts in the place of an HTTP layer that was just chosen (hook `next_layer`)."""
    layers = chooser.context.layers
    if chooser.layer is None or not layers or type(layers[-1]) is not HttpLayer:
        return
    plain = layers.pop()
    scripted = carrier.layer_class(chooser.context, plain.mode, carrier)
    carrier.layers.append(scripted)
    if chooser.layer is plain:
        chooser.layer = scripted
    else:
        layers[-2].child_layer = scripted
