"""What is known of one client connection: its byte faults, the exchanges under way on it, where it may lead.

Rules:

- Rules of scope CONNECTION are decided once for each connection; a plan that changes, or a window that opens, decides what is
  new and leaves what was decided.
- Byte faults that were armed for one exchange act until the next one begins on the connection.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from chaosbot.addons._mitm import Carrier, Later
from chaosbot.addons.services import Services
from chaosbot.addons.spec import ListenerSpec, is_loopback
from chaosbot.addons.websocket import disturb
from chaosbot.core.effect import BytesEffect
from chaosbot.core.exchange import Exchange
from chaosbot.core.plan import Rule, Scope
from chaosbot.injection.bytestream import refusal
from chaosbot.injection.visit import Fired, Visit

_CONNECTION = frozenset({Scope.CONNECTION})


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
        self._bare = Exchange(f"{direction}-connection-{number}", direction, number, "", "")
        self._decided: dict[Rule, Fired | None] = {}
        self._visits: list[Visit] = []
        self._owners: dict[int, tuple[Fired, Exchange]] = {}
        self._lasting: tuple[BytesEffect, ...] = ()
        self._lingering: list[Fired] = []
        if carrier.bytes is not None:
            carrier.bytes.acted = self._acted

    # ── byte faults ──────────────────────────────────────────────────────────────────────────────────────────────────

    def rearm(self) -> None:
        """Decides what is new in the plan and applies what is open now."""
        moment = self._services.ledger.moment
        lasting: list[BytesEffect] = []
        rules = self._services.ledger.rules
        self._decided = {rule: armed for rule, armed in self._decided.items() if rule in rules}
        for rule in rules:
            if rule.scope is not Scope.CONNECTION or not rule.window.open_at(moment):
                continue
            if rule not in self._decided:
                found = self._services.ledger.decide(self._bare, _CONNECTION, only=rule)
                self._decided[rule] = found[0] if found else None
            armed = self._decided[rule]
            for effect in armed.decision.effects if armed is not None else ():
                self._owners[id(effect)] = (armed, self._bare)  # type: ignore[assignment]  # not None, or no effects
                lasting.append(effect)  # type: ignore[arg-type]  # scope CONNECTION is for byte faults only
        self._lasting = tuple(lasting)
        self._apply()

    def _apply(self) -> None:
        if self.carrier.bytes is not None:
            armed = tuple(effect for visit in self._visits for _armed, effect in visit.armed)
            self.carrier.bytes.set_effects(self._lasting, armed)

    def welcome(self) -> Later | None:
        """The connection is new: it is served, or refused."""
        self.rearm()
        farewell = refusal(self._lasting)
        if farewell is None or self.carrier.bytes is None:
            return None
        for effect in self._lasting:
            if refusal((effect,)) is not None:
                self._acted(effect)
        return self.carrier.bytes.refuse(farewell)

    def arm(self, visit: Visit) -> None:
        """Applies what was armed for an exchange."""
        if visit.armed:
            for armed, effect in visit.armed:
                self._owners[id(effect)] = (armed, visit.exchange)
            self._apply()

    def _acted(self, effect: BytesEffect) -> None:
        owner = self._owners.get(id(effect))
        if owner is not None:
            self._services.ledger.applied(*owner, type(effect).__name__)

    # ── exchanges ────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, visit: Visit) -> None:
        """An exchange begins; byte faults of those that are over end."""
        over = [each for each in self._visits if each.over]
        if any(visit.armed for visit in over):
            self._admit()
        self._visits = [each for each in self._visits if not each.over]
        self._visits.append(visit)
        self._disarm(over)

    def _admit(self) -> None:
        if self.carrier.bytes is not None:
            self.carrier.bytes.admit()

    def _disarm(self, visits: list[Visit]) -> None:
        changed = False
        for visit in visits:
            for armed, effect in visit.armed:
                changed = True
                self._owners.pop(id(effect), None)
                self._services.ledger.missed(armed, visit.exchange)
        if changed:
            self._apply()

    def message(self, flow: Any) -> Later | None:
        """A WebSocket message passes."""
        message = flow.websocket.messages[-1]
        visit: Visit | None = flow.metadata.get("chaosbot")
        if visit is None or not visit.disturb or message.injected:
            return None
        visit.messages += 1
        return disturb(self._services, visit, message)

    def linger(self, armed: list[Fired]) -> None:
        """These faults act as long as the connection is there."""
        self._lingering += armed

    def leave(self) -> None:
        """The connection is over, and so is everything on it."""
        self._admit()
        for visit in self._visits:
            self._services.finish(visit)
        self._disarm(self._visits)
        self._services.end(self._lingering)
        for armed in self._decided.values():
            if armed is not None:
                self._services.ledger.missed(armed, self._bare)
                self._services.ledger.end(armed)

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
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return host if address[1] == default else f"{host}:{address[1]}"
