"""Disturbs the messages of a WebSocket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, assert_never

from mitmproxy.proxy import commands
from mitmproxy.proxy.layers.http._events import RequestData, ResponseData
from mitmproxy.proxy.layers.websocket import Fragmentizer, WebSocketMessageInjected
from mitmproxy.websocket import WebSocketMessage

from chaosbot.addons._mitm.http import WatchedHttp
from chaosbot.addons.hub import Hub
from chaosbot.core.effect import MessageAction, StreamDirection
from chaosbot.injection.visit import Visit


async def disturb(hub: Hub, layers: Sequence[WatchedHttp], visit: Visit, message: Any) -> None:
    """Lets a message meet the disturbances of its connection, in the plan's order."""
    stream = StreamDirection.UP if message.from_client else StreamDirection.DOWN
    for fired, effect in visit.disturb:
        place = effect.dice.at("message", visit.messages)
        if effect.stream not in (None, stream) or message.dropped or not place.chance(effect.share):
            continue
        match effect.action:
            case MessageAction.DELAY:
                await hub.pause(effect.seconds, visit.handler)
            case MessageAction.DROP:
                message.drop()
            case MessageAction.DUPLICATE:
                copy = WebSocketMessage(message.type, message.from_client, message.content, injected=True)
                visit.handler.handle(WebSocketMessageInjected(visit.flow, copy))
            case MessageAction.CORRUPT:
                content = bytearray(message.content)
                if content:
                    at = place.at("byte").integer(0, len(content) - 1)
                    # A text must stay UTF-8 on its way through: only bits of ASCII characters are flipped there.
                    content[at] = content[at] ^ 1 if content[at] < 128 or not message.is_text else content[at]
                    message.content = bytes(content)
            case MessageAction.CLOSE:
                message.drop()
                _close(layers, visit, effect.code)
            case MessageAction.HALF_FRAME:
                message.drop()
                _half(layers, visit, message)
            case _:
                assert_never(effect.action)
        hub.ledger.applied(fired, visit.exchange, f"{effect.action} of message {visit.messages}")


def _place(layers: Sequence[WatchedHttp], visit: Visit) -> tuple[Any, Any] | None:
    """The HTTP layer and the stream that a WebSocket runs on."""
    for layer in layers:
        for stream in layer.streams.values():
            if stream.flow is visit.flow:
                return layer, stream
    return None


def _close(layers: Sequence[WatchedHttp], visit: Visit, code: int) -> None:
    """As if the server had closed with this code: both sides hear it."""
    place = _place(layers, visit)
    if place is not None:
        layer, stream = place
        frame = b"\x88\x02" + code.to_bytes(2, "big")
        layer.say(lambda: layer.event_to_child(stream, ResponseData(stream.stream_id, frame)))


def _half(layers: Sequence[WatchedHttp], visit: Visit, message: Any) -> None:
    """Half of the frame goes out, then the connection that it goes to ends."""
    place = _place(layers, visit)
    if place is None:
        return
    layer, stream = place
    down = not message.from_client
    connection = layer.context.client if down else visit.flow.server_conn
    side = stream.child_layer.client_ws if down else stream.child_layer.server_ws

    def say() -> Iterator[Any]:
        frame = b"".join(side.send(part) for part in Fragmentizer([], message.is_text)(message.content))
        half = frame[: max(1, len(frame) // 2)]
        kind = ResponseData if down else RequestData
        yield from layer.event_to_child(layer.connections[connection], kind(stream.stream_id, half))
        yield commands.CloseConnection(connection)

    layer.say(say)
