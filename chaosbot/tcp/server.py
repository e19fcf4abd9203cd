"""The direct byte pipe: a TCP proxy for plans that have byte faults only. No HTTP is parsed, so it is fast and serves any protocol.

Rules:

- A new plan, a window that opens or closes and a new phase reach existing connections at once.
- Nothing waits: a plan is put in force, and connections end, within a turn of the loop, whatever the peers do.
- A stopped pipe can be started again; it goes on counting its connections, so its dice do not start again.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace

from chaosbot.core.dice import Dice
from chaosbot.core.effect import BytesEffect, Farewell
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Event, Noted, RuleTallied, Trouble
from chaosbot.core.exchange import Depth, Direction, Exchange, connection_key
from chaosbot.core.plan import FaultPlan
from chaosbot.injection.bytestream import refusal, refuse
from chaosbot.injection.engine import ConnectionContext, RuleEngine, WindowTimer, needs_connection_only
from chaosbot.tcp.link import Link

CONNECT_TIMEOUT_S = 10.0
_ACCEPTS_AT_ONCE = 128
_ACCEPT_AGAIN_S = 1.0


def runs_on_pipe(plan: FaultPlan) -> bool:
    """Whether a plan needs no HTTP: byte faults only, targeted by direction and upstream at most."""
    return all(map(needs_connection_only, plan.rules))


def _checked(plan: FaultPlan) -> FaultPlan:
    """The plan, when a byte pipe can run it.

    Raises:
        ConfigError: It needs HTTP.
    """
    for rule in plan.rules:
        if rule.fault.depth is not Depth.BYTES:
            raise ConfigError(
                f"rule '{rule.name}'",
                f"{rule.fault.name} acts on the {rule.fault.depth}; a byte pipe knows byte faults only; use an HTTP proxy",
            )
        if rule.match.needs_exchange:
            raise ConfigError(
                f"rule '{rule.name}'",
                "asks for more than the direction; a byte pipe knows no requests; drop the conditions or use an HTTP proxy",
            )
    return plan


@dataclass
class Traffic:
    """Bytes of one stream: what came from its source, and what its target was given."""

    received: int = 0
    sent: int = 0


class PipeServer:
    """Serves a listening socket: each connection is piped to the upstream through the plan's byte effects.

    Args:
        sock: A listening TCP socket (`listen`), which the server owns from now on; None when `start` brings it.
        upstream_host: Where the upstream is.
        upstream_port: Its port.
        plan: Byte faults, targeted by direction and upstream at most.
        dice: The run's dice.
        direction: Which direction it serves.
        emit: Takes the events.
        clock: Seconds since the run started.
        phase: The phase that runs.
        label: Tells several pipes of a run apart in exchange ids.
        upstream: The name of the API that lies behind it.
        rules: The engine that decides, when it serves other transports too and holds the plan; the pipe makes its own otherwise.
        numbers: Ordinals of the connections; several processes of one run share one numbering.

    Raises:
        ConfigError: The plan needs HTTP.
    """

    def __init__(
        self,
        sock: socket.socket | None,
        upstream_host: str,
        upstream_port: int,
        *,
        plan: FaultPlan | None = None,
        dice: Dice | None = None,
        direction: Direction = Direction.INBOUND,
        emit: Callable[[Event], None] = lambda _event: None,
        clock: Callable[[], float] | None = None,
        phase: str = "",
        label: str = "",
        upstream: str = "",
        rules: RuleEngine | None = None,
        numbers: Iterator[int] | None = None,
    ) -> None:
        started = time.monotonic()
        self.upstream = (upstream_host, upstream_port)
        self._sock = sock
        self._direction = direction
        self._emit = emit
        self._clock = clock or (lambda: time.monotonic() - started)
        self._label = label or str(direction)
        self._name = upstream
        self._rules = rules or RuleEngine(
            _checked(plan or FaultPlan()), dice or Dice(0), emit, self._clock, phase=phase
        )
        self._windows = WindowTimer(self._rules, self.refresh)
        self._numbers = numbers or itertools.count(1)
        self._live: dict[int, tuple[Link, ConnectionContext]] = {}
        self._past = (Traffic(), Traffic())
        self._accepted = 0
        self._serving = False
        self._arriving: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._upstream_down = False
        self._idle = asyncio.Event()

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
        return self._rules.plan

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._live)

    @property
    def accepted(self) -> int:
        """How many connections there were."""
        return self._accepted

    @property
    def traffic(self) -> tuple[Traffic, Traffic]:
        """Bytes up and down, of all connections so far."""
        up, down = replace(self._past[0]), replace(self._past[1])
        for link, _ in self._live.values():
            _count(link, up, down)
        return up, down

    async def start(self, sock: socket.socket | None = None) -> None:
        """Begins to accept; after a `stop` it needs a new socket."""
        self._sock = sock or self._sock
        if self._sock is None:
            raise RuntimeError("a pipe needs a socket to listen on")
        self._serving = True
        self._watch()
        self._windows.start()

    async def stop(self) -> None:
        """Stops to accept, ends all connections and frees the address."""
        self._serving = False
        self._windows.stop()
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for conn in self._arriving:  # of tasks that never ran
            conn.close()
        self._arriving.clear()
        for link, _ in list(self._live.values()):
            link.abort()
        # Aborted transports report their loss in the next turn of the loop.
        if self._live:
            self._idle.clear()
            await self._idle.wait()

    def set_plan(self, plan: FaultPlan) -> None:
        """Replaces the plan, on existing connections too.

        Raises:
            ConfigError: The plan needs HTTP; the old one stays.
        """
        self._rules.set_plan(_checked(plan))
        self.refresh()

    def set_phase(self, phase: str) -> None:
        """Another phase runs: rules that are bound to phases come and go."""
        self._rules.phase = phase
        self.refresh()

    def refresh(self) -> None:
        """Brings all connections in line with plan, moment and phase, and comes back when a window opens or closes."""
        if not self._serving:
            return
        self._rules.look_at_windows()
        for link, context in list(self._live.values()):
            link.admit()
            link.set_effects(context.lasting())
        self._windows.restart()

    def tallied(self) -> tuple[RuleTallied, ...]:
        """What each rule came to, rules of former plans included."""
        return tuple(self._rules.tallies())

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────

    # asyncio's own server would do, but for its end: a connection that it is accepting while it is closed is neither served
    # nor closed.

    def _watch(self) -> None:
        if self._serving and self._sock is not None:
            asyncio.get_running_loop().add_reader(self._sock, self._accept, self._sock)

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                conn, _address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors or memory: clients wait in the backlog until some are free again.
                self._emit(Trouble(self._clock(), f"pipe {self._label}", f"cannot accept: {error.strerror}"))
                loop = asyncio.get_running_loop()
                loop.remove_reader(sock)
                loop.call_later(_ACCEPT_AGAIN_S, self._watch)
                return
            conn.setblocking(False)
            self._arriving.add(conn)
            self._run(self._adopt(conn))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _adopt(self, conn: socket.socket) -> None:
        self._arriving.discard(conn)
        self._accepted += 1
        link = Link(next(self._numbers), self._begin, self._end, self._acted)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: link.client, conn)
        except OSError:
            conn.close()

    def _begin(self, link: Link) -> None:
        if not self._serving:
            link.abort()
            return
        key = connection_key(self._label, link.number)
        connection = Exchange(key, self._direction, link.number, "", "", upstream=self._name)
        context = ConnectionContext(self._rules, connection, bare=True)
        self._live[link.number] = link, context
        link.accepted()
        effects = context.lasting()
        farewell = refusal(effects)
        if farewell is not None:
            context.acted(next(effect for effect in effects if refusal((effect,)) is not None))
            if farewell is Farewell.SILENCE:
                link.abandon()
            refuse(link.ends, farewell)
            return
        if effects:
            link.set_effects(effects)
        if link.ends.over:
            return
        self._run(self._connect(link))

    async def _connect(self, link: Link) -> None:
        host, port = self.upstream
        try:
            await link.connect(host, port, CONNECT_TIMEOUT_S)
        except OSError as error:
            if not self._upstream_down:
                self._upstream_down = True
                why = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
                text = f"{host}:{port} cannot be reached: {why}"
                self._emit(Noted(self._clock(), "upstream", text))
            link.ends.close()
        else:
            self._upstream_down = False

    def _acted(self, link: Link, effect: BytesEffect) -> None:
        live = self._live.get(link.number)
        if live is not None:
            live[1].acted(effect)

    def _end(self, link: Link) -> None:
        link.admit()
        live = self._live.pop(link.number, None)
        if live is not None:
            _count(link, *self._past)
            live[1].end()
        if not self._live:
            self._idle.set()


def pipe_of(
    upstream: tuple[Direction, str, int, str],
    sock: socket.socket,
    rules: RuleEngine,
    emit: Callable[[Event], None],
    clock: Callable[[], float],
    *,
    index: int,
    workers: int,
) -> PipeServer:
    """A worker's pipe, whose rules decide for other transports too.

    Args:
        upstream: The direction, and the upstream's host, port and name.
        sock: The inherited listening socket.
        rules: The worker's rules.
        emit: Takes the events.
        clock: Seconds since the run started.
        index: The worker's number; its connections are counted from there in steps of `workers`.
        workers: How many workers serve the same sockets.
    """
    direction, host, port, name = upstream
    numbers = itertools.count(index + 1, max(1, workers))
    return PipeServer(
        sock, host, port, direction=direction, upstream=name, emit=emit, clock=clock, rules=rules, numbers=numbers
    )


def _count(link: Link, up: Traffic, down: Traffic) -> None:
    up.received += link.client.received
    up.sent += link.up.sent
    down.received += link.server.received
    down.sent += link.down.sent
