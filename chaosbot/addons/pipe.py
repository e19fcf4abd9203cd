"""The direct byte pipe: a TCP proxy for plans that have byte faults only. No HTTP is parsed, so it is fast and serves any protocol.

Rules:

- A rule is decided once a connection, on dice keyed by the connection's ordinal, and the decision is recorded. It is decided
  anew only when the rule itself changes.
- A new plan, a window that opens or closes and a new phase reach existing connections at once.
- What really happened is told by the line (`acted`), not assumed: a fault that was decided but had nothing to act on is
  ``missed``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import get_args

from chaosbot.addons._pipe_link import Link
from chaosbot.addons.bytestream import refusal, refuse
from chaosbot.errors import ConfigError
from chaosbot.model.dice import Dice
from chaosbot.model.effect import BytesEffect, Farewell
from chaosbot.model.event import Event, Injected, Noted, RuleTallied
from chaosbot.model.exchange import Depth, Exchange, Lane
from chaosbot.model.plan import FaultPlan, Moment, Rule, Tally, Window, decide

CONNECT_TIMEOUT_S = 10.0
_BYTES_EFFECT = get_args(BytesEffect)


def runs_on_pipe(plan: FaultPlan) -> bool:
    """Whether a plan needs no HTTP: byte faults only, targeted by lane at most."""
    return all(rule.fault.depth is Depth.BYTES and not rule.match.needs_exchange for rule in plan.rules)


def next_change(window: Window, t: float) -> float | None:
    """When a window opens or closes next, in seconds of the run; None when it never does again."""
    if t < window.start_s:
        return window.start_s
    if window.length_s is None:
        return None
    if window.every_s is None:
        end = window.start_s + window.length_s
        return end if t < end else None
    period_start = t - (t - window.start_s) % window.every_s
    closes = period_start + window.length_s
    return closes if t < closes else period_start + window.every_s


@dataclass
class Traffic:
    """Bytes of one direction: what came from its source, and what its target was given."""

    received: int = 0
    sent: int = 0

    def add(self, received: int, sent: int) -> None:
        """Adds those of a connection."""
        self.received += received
        self.sent += sent


@dataclass
class _Armed:
    """A rule's decision for one connection."""

    rule: Rule
    effects: tuple[BytesEffect, ...] = ()
    applied: bool = False


@dataclass
class _Live:
    """A connection with what was decided for it, by rule name."""

    link: Link
    exchange: Exchange
    armed: dict[str, _Armed] = field(default_factory=dict)


class PipeServer:
    """Serves a listening socket: each connection is piped to the upstream through the plan's byte effects.

    Args:
        sock: A listening TCP socket (`listen`), which the server owns from now on; None when `start` brings it.
        upstream_host: Where the upstream is.
        upstream_port: Its port.
        plan: Byte faults, targeted by lane at most.
        dice: The run's dice.
        lane: Which lane it serves.
        emit: Takes the events.
        clock: Seconds since the run started.
        phase: The phase that runs.
        label: Tells several pipes of a run apart in exchange ids.
    """

    def __init__(
        self,
        sock: socket.socket | None,
        upstream_host: str,
        upstream_port: int,
        *,
        plan: FaultPlan | None = None,
        dice: Dice | None = None,
        lane: Lane = Lane.INBOUND,
        emit: Callable[[Event], None] = lambda _event: None,
        clock: Callable[[], float] | None = None,
        phase: str = "",
        label: str = "",
    ) -> None:
        started = time.monotonic()
        self.upstream = (upstream_host, upstream_port)
        self._sock = sock
        self._plan = _checked(plan or FaultPlan())
        self._dice = dice or Dice(0)
        self._lane = lane
        self._emit = emit
        self._clock = clock or (lambda: time.monotonic() - started)
        self._phase = phase
        self._label = label
        self._tally = Tally()
        self._counts: dict[str, Counter[str]] = {}
        self._known: dict[str, Rule] = {}
        self._live: dict[int, _Live] = {}
        self._number = 0
        self._past = (Traffic(), Traffic())
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._upstream_down = False
        self._idle = asyncio.Event()
        self._remember()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        if self._sock is None:
            raise RuntimeError("the pipe does not listen")
        name = self._sock.getsockname()
        return str(name[0]), int(name[1])

    @property
    def plan(self) -> FaultPlan:
        """The plan in force."""
        return self._plan

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._live)

    @property
    def accepted(self) -> int:
        """How many connections there were."""
        return self._number

    @property
    def traffic(self) -> tuple[Traffic, Traffic]:
        """Bytes up and down, of all connections so far."""
        up, down = replace(self._past[0]), replace(self._past[1])
        for live in self._live.values():
            _count(live.link, up, down)
        return up, down

    async def start(self, sock: socket.socket | None = None) -> None:
        """Begins to accept; after a `stop` it needs a new socket. Connections are counted on."""
        self._sock = sock = sock or self._sock
        if sock is None:
            raise RuntimeError("a pipe needs a socket to listen on")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=sock, backlog=1024)
        self._schedule()

    async def stop(self) -> None:
        """Stops to accept, ends all connections and frees the address."""
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for live in list(self._live.values()):
            live.link.abort()
        # Aborted transports report their loss in the next turn of the loop.
        if self._live:
            self._idle.clear()
            await self._idle.wait()
        self._server = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def set_plan(self, plan: FaultPlan) -> None:
        """Replaces the plan, on existing connections too.

        Raises:
            ConfigError: The plan needs HTTP.
        """
        self._plan = _checked(plan)
        self._remember()
        self.refresh()

    def set_phase(self, phase: str) -> None:
        """Another phase runs: rules that are bound to phases come and go."""
        self._phase = phase
        self.refresh()

    def refresh(self) -> None:
        """Brings all connections in line with plan, moment and phase."""
        for live in list(self._live.values()):
            live.link.set_effects(self._effects(live))
        self._schedule()

    def tallied(self) -> tuple[RuleTallied, ...]:
        """What each rule came to, rules of former plans included."""
        now = self._clock()
        return tuple(
            RuleTallied(
                now,
                name,
                rule.fault.name,
                Depth.BYTES,
                self._counts[name]["considered"],
                self._counts[name]["decided"],
                self._counts[name]["applied"],
                self._counts[name]["failed"],
            )
            for name, rule in self._known.items()
        )

    # ── plan and moment ──────────────────────────────────────────────────────────────────────────────────────────────

    def _remember(self) -> None:
        for rule in self._plan.rules:
            self._known[rule.name] = rule
            self._counts.setdefault(rule.name, Counter())

    def _moment(self) -> Moment:
        return Moment(self._clock(), self._phase)

    def _schedule(self) -> None:
        """Comes back when the next window opens or closes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._server is None:
            return
        now = self._clock()
        changes = [next_change(rule.window, now) for rule in self._plan.rules]
        change = min((t for t in changes if t is not None), default=None)
        if change is not None:
            # A hair later than the edge, so that rounding does not find the window as it was.
            self._timer = asyncio.get_running_loop().call_later(max(0.0, change - now) + 1e-4, self.refresh)

    def _effects(self, live: _Live) -> tuple[BytesEffect, ...]:
        """What acts on a connection now; decides what is not decided yet."""
        names = {rule.name for rule in self._plan.rules}
        for name in [name for name in live.armed if name not in names]:
            self._disarm(live, name)
        moment = self._moment()
        effects: list[BytesEffect] = []
        for rule in self._plan.rules:
            if not rule.window.open_at(moment):
                continue
            armed = live.armed.get(rule.name)
            if armed is None or armed.rule != rule:
                if armed is not None:
                    self._disarm(live, rule.name)
                armed = live.armed[rule.name] = self._arm(rule, live, moment)
            effects += armed.effects
        return tuple(effects)

    def _arm(self, rule: Rule, live: _Live, moment: Moment) -> _Armed:
        counts = self._counts[rule.name]
        try:
            decisions = decide(FaultPlan((rule,)), self._dice, live.exchange, moment, self._tally)
        except Exception as error:  # noqa: BLE001 - a broken fault must neither end the proxy nor look like a healthy run
            counts.update(considered=1, failed=1)
            self._inject(rule, live, "failed", f"{type(error).__name__}: {error}")
            return _Armed(rule)
        counts["considered"] += len(decisions)
        effects = tuple(
            effect for decision in decisions for effect in decision.effects if isinstance(effect, _BYTES_EFFECT)
        )
        if effects:
            counts["decided"] += 1
            self._tally.begin(rule)
        return _Armed(rule, effects)

    def _disarm(self, live: _Live, name: str) -> None:
        armed = live.armed.pop(name)
        if armed.effects:
            self._tally.end(armed.rule)
            if not armed.applied:
                self._inject(armed.rule, live, "missed", "")

    def _inject(self, rule: Rule, live: _Live, stage: str, detail: str) -> None:
        exchange = live.exchange
        self._emit(
            Injected(
                self._clock(),
                rule.name,
                rule.fault.name,
                Depth.BYTES,
                self._lane,
                exchange.key,
                stage,
                exchange.connection,
                detail,
            )
        )

    def _applied(self, live: _Live, effect: BytesEffect) -> None:
        for armed in live.armed.values():
            if not armed.applied and effect in armed.effects:
                armed.applied = True
                self._counts[armed.rule.name]["applied"] += 1
                self._inject(armed.rule, live, "applied", "")
                return

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _accept(self) -> asyncio.Protocol:
        self._number += 1
        return Link(self._number, self._begin, self._end, self._acted).client

    def _begin(self, link: Link) -> None:
        key = f"{self._label or self._lane}-connection-{link.number}"
        live = self._live[link.number] = _Live(link, Exchange(key, self._lane, link.number))
        link.accepted()
        effects = self._effects(live)
        farewell = refusal(effects)
        if farewell is not None:
            self._refuse(live, effects, farewell)
            return
        if effects:
            link.set_effects(effects)
        if link.ends.over:
            return
        task = asyncio.get_running_loop().create_task(self._connect(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, live: _Live, effects: tuple[BytesEffect, ...], farewell: Farewell) -> None:
        effect = next(effect for effect in effects if refusal((effect,)) is not None)
        self._applied(live, effect)
        if farewell is Farewell.SILENCE:
            live.link.abandon()
        refuse(live.link.ends, farewell)

    async def _connect(self, link: Link) -> None:
        host, port = self.upstream
        try:
            await link.connect(host, port, CONNECT_TIMEOUT_S)
        except OSError as error:
            if not self._upstream_down:
                self._upstream_down = True
                text = f"upstream {host}:{port} cannot be reached ({error.strerror or type(error).__name__})"
                self._emit(Noted(self._clock(), "upstream", text))
            link.ends.close()
        else:
            self._upstream_down = False

    def _acted(self, link: Link, effect: BytesEffect) -> None:
        live = self._live.get(link.number)
        if live is not None:
            self._applied(live, effect)

    def _end(self, link: Link) -> None:
        live = self._live.pop(link.number, None)
        if live is not None:
            _count(link, *self._past)
            for name in list(live.armed):
                self._disarm(live, name)
        if not self._live:
            self._idle.set()


def _count(link: Link, up: Traffic, down: Traffic) -> None:
    up.add(link.client.received, link.up.sent)
    down.add(link.server.received, link.down.sent)


def _checked(plan: FaultPlan) -> FaultPlan:
    for rule in plan.rules:
        if rule.fault.depth is not Depth.BYTES:
            raise ConfigError(
                f"rule '{rule.name}'",
                f"{rule.fault.name} acts on the {rule.fault.depth}; a byte pipe knows byte faults only; use an HTTP proxy",
            )
        if rule.match.needs_exchange:
            raise ConfigError(
                f"rule '{rule.name}'",
                "asks for more than the lane; a byte pipe knows no requests; drop the conditions or use an HTTP proxy",
            )
    return plan


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening socket, as a pipe (and mitmproxy) wants it.

    Raises:
        OSError: The address is taken or none of this machine's.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE)
    # IPv4 first: control clients split addresses at the colon.
    family, kind, proto, _, address = min(infos, key=lambda info: info[0] != socket.AF_INET)
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1024)
    except OSError:
        sock.close()
        raise
    with contextlib.suppress(OSError):
        sock.setblocking(False)
    return sock
