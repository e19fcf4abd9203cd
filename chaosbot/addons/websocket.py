"""Disturbs the messages of a WebSocket."""

from __future__ import annotations

from typing import Any, assert_never

from chaosbot.addons.services import Services
from chaosbot.core.effect import MessageAction, StreamDirection
from chaosbot.injection.visit import Visit


async def disturb(services: Services, visit: Visit, message: Any) -> None:
    """Applies the disturbances of a message's connection to it, in the plan's order."""
    stream = StreamDirection.UP if message.from_client else StreamDirection.DOWN
    carrier = visit.carrier
    for armed, effect in visit.disturb:
        dice = effect.dice.at("message", visit.messages)
        if effect.stream not in (None, stream) or message.dropped or not dice.chance(effect.share):
            continue
        match effect.action:
            case MessageAction.DELAY:
                await services.pause(effect.seconds, carrier)
            case MessageAction.DROP:
                message.drop()
            case MessageAction.DUPLICATE:
                carrier.repeat_message(visit.flow, message)
            case MessageAction.CORRUPT:
                content = bytearray(message.content)
                if content:
                    at = dice.at("byte").integer(0, len(content) - 1)
                    # A text must stay UTF-8 on its way through: only bits of ASCII characters are flipped there.
                    content[at] = content[at] ^ 1 if content[at] < 128 or not message.is_text else content[at]
                    message.content = bytes(content)
            case MessageAction.CLOSE:
                message.drop()
                carrier.close_websocket(visit.flow, effect.code)
            case MessageAction.HALF_FRAME:
                message.drop()
                carrier.send_half_frame(visit.flow, message)
            case _:
                assert_never(effect.action)
        services.applied(armed, visit, f"{effect.action} of message {visit.messages}")
