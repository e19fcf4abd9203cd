"""Disturbs the messages of a WebSocket."""

from __future__ import annotations

from typing import Any, assert_never

from chaosbot.addons.exchange_context import ExchangeContext
from chaosbot.addons.services import Services
from chaosbot.core.effect import MessageAction, StreamDirection


async def disturb(services: Services, context: ExchangeContext, message: Any) -> None:
    """Applies the disturbances of a message's connection to it, in the plan's order."""
    stream = StreamDirection.UP if message.from_client else StreamDirection.DOWN
    carrier = context.carrier
    for armed, effect in context.disturb:
        dice = effect.dice.at("message", context.messages)
        if effect.stream not in (None, stream) or message.dropped or not dice.chance(effect.share):
            continue
        match effect.action:
            case MessageAction.DELAY:
                await services.pause(effect.seconds, carrier)
            case MessageAction.DROP:
                message.drop()
            case MessageAction.DUPLICATE:
                carrier.repeat_message(context.flow, message)
            case MessageAction.CORRUPT:
                content = bytearray(message.content)
                if content:
                    at = dice.at("byte").integer(0, len(content) - 1)
                    # A text must stay UTF-8 on its way through: only bits of ASCII characters are flipped there.
                    content[at] = content[at] ^ 1 if content[at] < 128 or not message.is_text else content[at]
                    message.content = bytes(content)
            case MessageAction.CLOSE:
                message.drop()
                carrier.close_websocket(context.flow, effect.code)
            case MessageAction.HALF_FRAME:
                message.drop()
                carrier.send_half_frame(context.flow, message)
            case _:
                assert_never(effect.action)
        services.applied(armed, context, f"{effect.action} of message {context.messages}")
