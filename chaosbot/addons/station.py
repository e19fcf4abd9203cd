"""One client connection at the proxy: its byte faults, its exchanges, its WebSocket messages.

Rules:

- Rules of scope CONNECTION are decided once for each connection; a plan that changes, or a window that opens, decides what is
  new and leaves what was decided.
- Byte faults that were armed for one exchange act until the next one begins on the connection.
"""

from __future__ import annotations

from collections.abc import Coroutine
from fnmatch import fnmatchcase
from typing import Any

from chaosbot.addons._mitm import http
from chaosbot.addons._mitm.connection import Handler
from chaosbot.addons.hub import Hub
from chaosbot.addons.spec import ListenerSpec, is_loopback
from chaosbot.addons.websocket import disturb
from chaosbot.core.effect import BytesEffect, Farewell, StreamDirection
from chaosbot.core.exchange import Exchange
from chaosbot.core.plan import Rule, Scope
from chaosbot.injection.bytestream import refusal, refuse
from chaosbot.injection.visit import Fired, Visit

_CONNECTION = frozenset({Scope.CONNECTION})


class Station:
    """One client connection.

    Args:
        hub: The worker's engine.
        handler: mitmproxy's side of it.
        listener: Where it came in.
        number: Its ordinal.
        own: The listener's own addresses, as a Host header spells them.

    Attributes:
        upstream_host: What a Host header that named the proxy itself becomes.
    """

    def __init__(self, hub: Hub, handler: Handler, listener: ListenerSpec, number: int, own: frozenset[str]) -> None:
        self.handler = handler
        self.listener = listener
        self.number = number
        self.own = own
        self.layers: list[http.WatchedHttp] = []
        self._hub = hub
        self._bare = Exchange(f"{listener.direction}-connection-{number}", listener.direction, number, "", "")
        self._decided: dict[Rule, Fired | None] = {}
        self._visits: list[Visit] = []
        self._owners: dict[int, tuple[Fired, Exchange]] = {}
        self._lasting: tuple[BytesEffect, ...] = ()
        self._lingering: list[Fired] = []
        self.upstream_host = _host_header(listener)
        handler.acted = self._acted

    # ── byte faults ──────────────────────────────────────────────────────────────────────────────────────────────────

    def rearm(self) -> None:
        """Decides what is new in the plan and applies what is open now."""
        moment = self._hub.ledger.moment
        lasting: list[BytesEffect] = []
        rules = self._hub.ledger.rules
        self._decided = {rule: fired for rule, fired in self._decided.items() if rule in rules}
        for rule in rules:
            if rule.scope is not Scope.CONNECTION or not rule.window.open_at(moment):
                continue
            if rule not in self._decided:
                found = self._hub.ledger.decide(self._bare, _CONNECTION, only=rule)
                self._decided[rule] = found[0] if found else None
            fired = self._decided[rule]
            for effect in fired.decision.effects if fired is not None else ():
                self._owners[id(effect)] = (fired, self._bare)  # type: ignore[assignment]  # not None, or no effects
                lasting.append(effect)  # type: ignore[arg-type]  # scope CONNECTION is for byte faults only
        self._lasting = tuple(lasting)
        self._apply()

    def _apply(self) -> None:
        armed = tuple(effect for visit in self._visits for _fired, effect in visit.armed)
        self.handler.client_reader.set_effects(self._lasting)
        self.handler.client_writer.set_effects((*self._lasting, *armed))
        self.handler.send_upward(
            tuple(effect for effect in armed if getattr(effect, "stream", None) is StreamDirection.UP)
        )

    def welcome(self) -> Coroutine[Any, Any, None] | None:
        """The connection is new: it is served, or refused."""
        self.rearm()
        farewell = refusal(self._lasting)
        if farewell is None:
            return None
        for effect in self._lasting:
            if refusal((effect,)) is not None:
                self._acted(effect)
        self.handler.client.error = "refused"
        refuse(self.handler.ends, farewell)
        return self._listen_only() if farewell is Farewell.SILENCE else None

    async def _listen_only(self) -> None:
        while self._lasting and await self.handler.client_reader.read(1 << 16):
            pass

    def arm(self, visit: Visit) -> None:
        """Applies what was armed for an exchange."""
        if visit.armed:
            for fired, effect in visit.armed:
                self._owners[id(effect)] = (fired, visit.exchange)
            self._apply()

    def _acted(self, effect: BytesEffect) -> None:
        owner = self._owners.get(id(effect))
        if owner is not None:
            self._hub.ledger.applied(*owner, type(effect).__name__)

    # ── exchanges ────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, visit: Visit) -> None:
        """An exchange begins; byte faults of those that are over end."""
        over = [each for each in self._visits if each.over]
        if any(visit.armed for visit in over):
            self.handler.admit()
        self._visits = [each for each in self._visits if not each.over]
        self._visits.append(visit)
        self._disarm(over)

    def _disarm(self, visits: list[Visit]) -> None:
        changed = False
        for visit in visits:
            for fired, effect in visit.armed:
                changed = True
                self._owners.pop(id(effect), None)
                self._hub.ledger.missed(fired, visit.exchange)
        if changed:
            self._apply()

    def watch(self, layer: Any) -> None:
        """An HTTP layer came into being on this connection."""
        self.layers.append(http.watch(self.handler, layer))

    def message(self, flow: Any) -> Coroutine[Any, Any, None] | None:
        """A WebSocket message passes."""
        message = flow.websocket.messages[-1]
        # mitmproxy keeps all messages of a connection; one is enough.
        del flow.websocket.messages[:-1]
        visit: Visit | None = flow.metadata.get("chaosbot")
        if visit is None or not visit.disturb or message.injected:
            return None
        visit.messages += 1
        return disturb(self._hub, self.layers, visit, message)

    def release(self) -> None:
        """Ends all waiting."""
        for layer in self.layers:
            layer.release()

    def linger(self, fired: list[Fired]) -> None:
        """These faults act as long as the connection is there."""
        self._lingering += fired

    def leave(self) -> None:
        """The connection is over, and so is everything on it."""
        self.handler.admit()
        for visit in self._visits:
            self._hub.finish(visit)
        self._disarm(self._visits)
        self._hub.end(self._lingering)
        for fired in self._decided.values():
            if fired is not None:
                self._hub.ledger.missed(fired, self._bare)
                self._hub.ledger.end(fired)

    # ── where it may go ──────────────────────────────────────────────────────────────────────────────────────────────

    def may_connect(self, host: str, port: int) -> bool:
        """Whether the allow-list lets a connection through; never to the proxy itself."""
        spelled = f"{host}:{port}"
        if spelled in self.own:
            return False
        if (host, port) == self.listener.address:
            return True
        if self.listener.upstream == "" and is_loopback(host):
            return True
        return any(fnmatchcase(name, glob) for glob in self._hub.spec.allow_hosts for name in (host, spelled))


def _host_header(listener: ListenerSpec) -> str:
    """What a Host header that named the proxy itself becomes."""
    address = listener.address
    if address is None:
        return ""
    default = 443 if listener.upstream.startswith("https:") else 80
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return host if address[1] == default else f"{host}:{address[1]}"
