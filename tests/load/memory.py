"""Virtual time: the real engine, users and frames under a mock clock; only the sockets are in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from trio.testing import MockClock

from chaosbot.core.dice import Dice
from chaosbot.core.outcome import Fate
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.core.profile import PROFILES
from chaosbot.load.cast import cast_of
from chaosbot.load.engine import LoadEngine, RunHooks
from chaosbot.load.event_loop import EventLoop
from chaosbot.load.pending import PendingRequest
from chaosbot.load.spec import LoadSpec, Wish
from chaosbot.load.target import LoadTarget

NOWHERE = LoadTarget(2, ("127.0.0.1", 1), "memory", "memory", None, 5.0, 30.0)


class MemoryConnection:
    """A connection to a target in memory: it answers after a drawn time, or fails, as its dice say."""

    fates = (Fate.ANSWERED,)
    latency = (0.005, 0.05)

    def __init__(self, loop: EventLoop, target: LoadTarget) -> None:
        self._loop = loop
        self._target = target
        self.pending: PendingRequest | None = None
        self.deadline = 0.0

    def fire(self, shot: PendingRequest) -> None:
        now = self._loop.clock()
        self.pending, shot.started, self.deadline = shot, now, now + self._target.timeout_s
        dice = Dice(3).at(shot.ordinal, shot.attempt)
        fate = dice.at("fate").choice(self.fates)
        if fate is not Fate.TIMEOUT:
            self._loop.at(now + dice.uniform(*self.latency), lambda: self._end(shot, fate))

    def _end(self, shot: PendingRequest, fate: Fate, ended: float | None = None) -> None:
        if self.pending is not shot:
            return
        self.pending = None
        shot.fate, shot.ended = fate, self._loop.clock() if ended is None else ended
        shot.status = (
            Dice(4).at(shot.ordinal, shot.attempt).choice((200, 200, 200, 500)) if fate is Fate.ANSWERED else None
        )
        if fate is Fate.ANSWERED and len(self.fates) == 1:
            shot.status = 200
        shot.owner.finished(shot)

    def expire(self, now: float) -> None:
        if self.pending is not None and now >= self.deadline:
            self._end(self.pending, Fate.TIMEOUT, self.deadline)

    def abandon(self) -> None:
        if self.pending is not None:
            self._end(self.pending, Fate.CANCELLED)

    def hang_up(self) -> None:
        """Nothing to close."""


def virtual(
    profile: str,
    options: dict[str, Any],
    line: Any = MemoryConnection,
    companion: Any = None,
    stop_at: float = 0.0,
    grain_s: float = 0.0,
    wishes: Callable[[float], Wish] = lambda _: Wish(),
    **more: Any,
) -> tuple[LoadEngine, list[Any]]:
    """Runs a plan in virtual time; `wishes` says what a person wants at each second."""
    events: list[Any] = []
    engines: list[LoadEngine] = []

    async def main() -> None:
        begun = trio.current_time()
        hooks = RunHooks(
            events.append,
            lambda: bool(stop_at) and trio.current_time() - begun >= stop_at,
            wish=lambda: wishes(trio.current_time() - begun),
        )
        spec = LoadSpec("http://memory/", Endpoint("memory"), "telegram", 11, PROFILES.build(profile, options), **more)
        source = PLATFORMS.build("telegram")
        engine = LoadEngine(
            spec,
            NOWHERE,
            source,
            hooks,
            cast_of(spec, source).journeys,
            loop=EventLoop(trio.current_time, sockets=False, grain_s=grain_s),
            make_connection=line,
        )
        if companion is not None:
            engine.background.append(lambda: companion(engine))
        engines.append(engine)
        await engine.run()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return engines[0], events
