"""What is known of one client connection: its byte faults, the exchanges under way on it, where it may lead.

Rules:

- Rules of scope CONNECTION are decided once for each connection; a plan that changes, or a window that opens, decides what is
  new and leaves what was decided.
- Byte faults that were armed for one exchange act until the next one begins on the connection.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, assert_never

from chaosbot.addons._mitm import EXCHANGE, Carrier, Later
from chaosbot.addons.exchange_context import ExchangeContext
from chaosbot.addons.services import Services
from chaosbot.addons.spec import ListenerSpec, is_loopback
from chaosbot.core.effect import BytesEffect, MessageAction, StreamDirection
from chaosbot.core.exchange import Exchange, connection_key
from chaosbot.injection.bytestream import refusal
from chaosbot.injection.engine import ArmedFault, ConnectionContext
from chaosbot.transport import bracketed


class ClientConnection:
    """One client connection.

    Args:
        services: The worker's engine.
        carrier: mitmproxy's side of the connection.
        number: Its ordinal.

    Attributes:
        upstream_host: What a Host header that named the proxy itself becomes.
    """

    def __init__(self, services: Services, carrier: Carrier, number: int) -> None:
        self.carrier = carrier
        self.listener = carrier.listener
        self.number = number
        self.upstream_host = _host_header(self.listener)
        direction = self.listener.direction
        self._services = services
        bare = Exchange(connection_key(direction, number), direction, number, "", "", upstream=self.listener.name)
        self._faults = ConnectionContext(services.rules, bare)
        self._lasting: tuple[BytesEffect, ...] = ()
        self._contexts: list[ExchangeContext] = []
        self._lingering: list[ArmedFault] = []
        if carrier.bytes is not None:
            carrier.bytes.acted = self._faults.acted

    # ── byte faults ──────────────────────────────────────────────────────────────────────────────────────────────────

    def rearm(self) -> None:
        """Decides what is new in the plan and applies what is open now."""
        self._admit()
        self._lasting = self._faults.lasting()
        self._apply()

    def _apply(self) -> None:
        if self.carrier.bytes is not None:
            self.carrier.bytes.set_effects(self._lasting, self._faults.armed())

    def welcome(self) -> Later | None:
        """The connection is new: it is served, or refused."""
        self.rearm()
        farewell = refusal(self._lasting)
        if farewell is None or self.carrier.bytes is None:
            return None
        for effect in self._lasting:
            if refusal((effect,)) is not None:
                self._faults.acted(effect)
        return self.carrier.bytes.refuse(farewell)

    def arm(self, context: ExchangeContext) -> None:
        """Applies what was armed for an exchange."""
        if context.byte_faults:
            for armed, effect in context.byte_faults:
                self._faults.arm(armed, effect)
            self._apply()

    # ── exchanges ────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, context: ExchangeContext) -> None:
        """An exchange begins; byte faults of those that are over end."""
        over = [each for each in self._contexts if each.over]
        if any(each.byte_faults for each in over):
            self._admit()
        self._contexts = [each for each in self._contexts if not each.over]
        self._contexts.append(context)
        if self._faults.disarm([each.exchange for each in over]):
            self._apply()

    def _admit(self) -> None:
        if self.carrier.bytes is not None:
            self.carrier.bytes.admit()

    def message(self, flow: Any) -> Later | None:
        """A WebSocket message passes."""
        message = flow.websocket.messages[-1]
        context: ExchangeContext | None = vars(flow).get(EXCHANGE)
        if context is None or not context.disturb or message.injected:
            return None
        context.messages += 1
        return disturb(self._services, context, message)

    def linger(self, armed: list[ArmedFault]) -> None:
        """These faults act as long as the connection is there."""
        self._lingering += armed

    def leave(self) -> None:
        """The connection is over, and so is everything on it."""
        self._admit()
        for context in self._contexts:
            self._services.finish(context)
        self._faults.end()
        self._services.rules.end(self._lingering)

    # ── where it may go ──────────────────────────────────────────────────────────────────────────────────────────────

    def may_connect(self, host: str, port: int) -> bool:
        """Whether the allow-list lets a connection through; never to the proxy itself."""
        spelled = f"{host}:{port}"
        if spelled in self.carrier.own:
            return False
        if (host, port) == self.listener.address:
            return True
        if self.listener.upstream == "" and is_loopback(host):
            return True
        return any(fnmatchcase(name, glob) for glob in self._services.spec.allow_hosts for name in (host, spelled))


def _host_header(listener: ListenerSpec) -> str:
    """What a Host header that named the proxy itself becomes."""
    address = listener.address
    if address is None:
        return ""
    default = 443 if listener.upstream.startswith("https:") else 80
    host = bracketed(address[0])
    return host if address[1] == default else f"{host}:{address[1]}"


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
                # A text must stay UTF-8 on its way through: there a character changes, in binary messages a byte.
                content = message.content.decode() if message.is_text else message.content.decode("latin-1")
                if content:
                    at = dice.at("byte").integer(0, len(content) - 1)
                    content = content[:at] + chr(ord(content[at]) ^ 1) + content[at + 1 :]
                    message.content = content.encode() if message.is_text else content.encode("latin-1")
            case MessageAction.CLOSE:
                message.drop()
                carrier.close_websocket(context.flow, effect.code)
            case MessageAction.HALF_FRAME:
                message.drop()
                carrier.send_half_frame(context.flow, message)
            case _:
                assert_never(effect.action)
        services.applied(armed, context, f"{effect.action} of message {context.messages}")
