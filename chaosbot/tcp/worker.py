"""A proxy worker that serves byte pipes alone: it loads no mitmproxy. `chaosbot.addons.proxy` starts it where no listener needs HTTP.

It answers the same requests as `chaosbot.addons.worker`, and sends the same events.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from chaosbot.core.dice import Dice
from chaosbot.core.event import RuleTallied
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan
from chaosbot.injection.engine import RuleEngine
from chaosbot.tcp.server import pipe_of
from chaosbot.transport.access import enforce
from chaosbot.workers import AsyncParent


class PipesSpec(NamedTuple):
    """The pipes of one worker.

    Args:
        upstreams: For each inherited socket its direction, and the upstream's host, port and name.
        seed: The run's seed.
        plan: The faults from the start.
        workers: How many workers serve the same sockets.
        started: `time.monotonic()` at the start of the run.
        allow_hosts: Hosts that may be connected to besides loopback and the upstreams.
    """

    upstreams: tuple[tuple[Direction, str, int, str], ...]
    seed: int
    plan: FaultPlan
    workers: int
    started: float
    allow_hosts: tuple[str, ...]


class PipeService:
    """Serves the pipes of one process.

    Args:
        spec: What they are to be.
        parent: Takes the events.
        index: The worker's number; its connections are counted from there in steps of `spec.workers`.
    """

    def __init__(self, spec: PipesSpec, parent: AsyncParent, index: int) -> None:
        def now() -> float:
            return time.monotonic() - spec.started

        self._rules = RuleEngine(spec.plan, Dice(spec.seed), parent.send, now, announces=index == 0)
        self._pipes = [
            pipe_of(upstream, sock, self._rules, parent.send, now, index=index, workers=spec.workers)
            for sock, upstream in zip(parent.sockets, spec.upstreams, strict=True)
        ]

    async def start(self) -> None:
        """Begins to accept."""
        for pipe in self._pipes:
            await pipe.start()

    def answer(self, request: tuple[str, Any]) -> Sequence[RuleTallied] | None:
        """Does what the parent wants."""
        word, value = request
        match word:
            case "plan":
                self._rules.set_plan(value)
            case "phase":
                self._rules.phase = value
            case "clear" | "stop":
                self._rules.set_plan(FaultPlan())
            case "flush":
                return None  # the reply follows everything that was sent before
            case _:
                raise ValueError(f"unknown request {word!r}")
        for pipe in self._pipes:
            pipe.refresh()
        return list(self._rules.tallies()) if word == "stop" else None


async def serve(parent: AsyncParent, spec: PipesSpec, index: int) -> None:
    """The worker's function: serves until the parent wants it to end."""
    enforce((*spec.allow_hosts, *(host for _direction, host, _port, _name in spec.upstreams)))
    service = PipeService(spec, parent, index)
    await service.start()
    parent.answer = service.answer
    parent.ready()
    await parent.stopping.wait()
