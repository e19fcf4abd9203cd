"""One direction of a connection with its byte effects, as a pure machine: bytes and times in, bytes and ends out.

Rules:

- The owner feeds what its source sends, takes what is due, performs it, and comes back at `due()`. The stream does no I/O.
- Effects act in the order of the plan. Effects of the other direction are none of its business, nor is `RefuseConnection`,
  which is over before a stream exists.
- A change of effects keeps the stages that stay (with what they counted and hold) and flushes the ones that go: bytes
  that were held leave at once, in order.
- After FIN or RST the stream is closed: it takes nothing in and gives nothing out.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias, assert_never

from chaosbot.core.effect import (
    BytesEffect,
    CorruptBytes,
    CutAfter,
    HoldBytes,
    HoldClose,
    PaceBytes,
    RefuseConnection,
    ResetConnection,
    Silence,
    SliceBytes,
    StreamDirection,
)
from chaosbot.injection._bytes_ends import Ends
from chaosbot.injection._bytes_stages import (
    CorruptStage,
    CutStage,
    HoldCloseStage,
    HoldStage,
    Item,
    Mark,
    PaceStage,
    ResetStage,
    SilenceStage,
    SliceStage,
    Stage,
)

AnyStage: TypeAlias = Stage[Any]
Acted: TypeAlias = Callable[[BytesEffect], None]


def _stage(effect: BytesEffect, now: float) -> AnyStage:
    match effect:
        case HoldBytes():
            return HoldStage(effect, now)
        case PaceBytes():
            return PaceStage(effect, now)
        case SliceBytes():
            return SliceStage(effect, now)
        case HoldClose():
            return HoldCloseStage(effect, now)
        case Silence():
            return SilenceStage(effect, now)
        case ResetConnection():
            return ResetStage(effect, now)
        case CutAfter():
            return CutStage(effect, now)
        case CorruptBytes():
            return CorruptStage(effect, now)
        case RefuseConnection():
            raise ValueError("a refused connection has no line")
        case _:
            assert_never(effect)


class ByteStream:
    """The effects on one direction of one connection.

    Args:
        stream: Which effects are its own.
        now: When it begins.
        acted: Called once for each effect, when it really did something.
    """

    def __init__(self, stream: StreamDirection, now: float = 0.0, acted: Acted | None = None) -> None:
        self.stream = stream
        self.closed = False
        self._acted = acted
        self._reported: list[BytesEffect] = []
        self._stages: list[AnyStage] = []
        self._silent: list[AnyStage] = []  # those whose effect has done nothing yet, so far as was reported
        self._out: list[tuple[float, Item]] = []
        self._latest = now

    @property
    def active(self) -> bool:
        """Whether it does anything to a stream at all; if not, its owner may pass bytes on directly."""
        return bool(self._stages or self._out or self.closed)

    @property
    def held(self) -> int:
        """Bytes inside."""
        return sum(stage.held for stage in self._stages)

    @property
    def room(self) -> bool:
        """Whether the source may go on to send."""
        for stage in self._stages:  # noqa: SIM110 - asked for every chunk: `all` takes twice the time
            if stage.held > stage.most_held:
                return False
        return True

    @property
    def resets(self) -> bool:
        """Whether its connection is to end by a reset: by the first byte, so that no FIN may pass in the other direction either."""
        return any(isinstance(stage, ResetStage) and stage.effect.after_bytes == 0 for stage in self._stages)

    @property
    def holds(self) -> bool:
        """Whether anything that was fed may still come out."""
        return bool(self._out) or any(stage.due() is not None for stage in self._stages)

    def feed(self, data: bytes, now: float) -> None:
        """The source sent bytes."""
        if data:
            self._put(data, now)

    def feed_end(self, now: float) -> None:
        """The source has finished."""
        self._put(Mark.END, now)

    def _put(self, item: Item, now: float) -> None:
        self._latest = max(self._latest, now)
        if self.closed:
            return
        if self._stages:
            self._stages[0].feed(self._latest, item)
        else:
            self._out.append((self._latest, item))

    def due(self) -> float | None:
        """When to come back; None when nothing is under way."""
        if self._out:
            return self._out[0][0]
        first = None
        for stage in self._stages:
            due = stage.due()
            if due is not None and (first is None or due < first):
                first = due
            alarm = stage.alarm()
            if alarm is not None and (first is None or alarm[0] < first):
                first = alarm[0]
        return first

    def take(self, now: float) -> list[Item]:
        """What leaves up to now, in order."""
        self._latest = max(self._latest, now)
        due = self.due()
        if due is None or due > now:
            self._report()
            return []
        self._run(now)
        alarms = [alarm for stage in self._stages if (alarm := stage.alarm()) is not None and alarm[0] <= now]
        if alarms:
            rings, mark = min(alarms, key=lambda alarm: alarm[0])
            for stage in self._stages:
                stage.acted = stage.acted or stage.alarm() == (rings, mark)
            self._out = [(t, item) for t, item in self._out if t <= rings]
            self._out.append((rings, mark))
        taken: list[Item] = []
        for _, item in self._out:
            taken.append(item)
            if item is Mark.FIN or item is Mark.RST:
                self.closed = True
                break
        self._out.clear()
        self._report()
        if self.closed:
            self._stages.clear()
            self._silent.clear()
        return taken

    def _run(self, now: float) -> None:
        """Moves everything that is due through the chain; items carry their own times, so one pass is enough."""
        for index, stage in enumerate(self._stages):
            after = self._stages[index + 1] if index + 1 < len(self._stages) else None
            while (due := stage.due()) is not None and due <= now:
                t, item = stage.pop()
                if after is None:
                    self._out.append((t, item))
                else:
                    after.feed(t, item)

    def _report(self) -> None:
        if self._acted is None or not self._silent:
            return
        for stage in tuple(self._silent):
            if stage.acted:
                self._silent.remove(stage)
                if not any(effect is stage.effect for effect in self._reported):
                    self._reported.append(stage.effect)
                    self._acted(stage.effect)

    def admit(self, now: float) -> float:
        """Reports what effects have done so far: what one holds it has held, whether or not it is let out any more.

        Returns:
            The stream's time.
        """
        self._latest = max(self._latest, now)
        self._run(self._latest)
        for stage in self._stages:
            stage.acted = stage.acted or stage.held > 0
        self._report()
        return self._latest

    def set_effects(self, effects: tuple[BytesEffect, ...], now: float) -> None:
        """From now on these effects act; what those that go have held leaves at once."""
        if self.closed:
            return
        now = self.admit(now)
        wanted = [
            effect for effect in effects if not isinstance(effect, RefuseConnection) and effect.stream is self.stream
        ]
        kept = _match(self._stages, wanted)
        staying = [stage for stage in kept if stage is not None]
        # From the end of the chain to its beginning: what lies nearer to the end is older and must leave first.
        for index in range(len(self._stages) - 1, -1, -1):
            stage = self._stages[index]
            if not any(stage is other for other in staying):
                self._pour(stage.flush(), index + 1, staying, now)
        for known, effect in zip(kept, wanted, strict=True):
            if known is not None and known.effect != effect:
                known.update(effect, now)
        self._stages = [
            _stage(effect, now) if found is None else found for found, effect in zip(kept, wanted, strict=True)
        ]
        self._silent = list(self._stages)

    def _pour(self, items: list[Item], index: int, staying: list[AnyStage], now: float) -> None:
        """Hands flushed items to the next stage that stays, or out."""
        target = next((stage for stage in self._stages[index:] if any(stage is other for other in staying)), None)
        for item in items:
            if target is None:
                self._out.append((now, item))
            else:
                target.feed(now, item)


def _match(stages: list[AnyStage], wanted: list[Any]) -> list[AnyStage | None]:
    """For each effect that is wanted, the stage that performs it already.

    Stages keep their order, or bytes would overtake each other: each match lies behind the one before. An effect that is
    there unchanged is preferred to one of its kind with other figures.
    """
    kept: list[AnyStage | None] = []
    start = 0
    for effect in wanted:
        rest = range(start, len(stages))
        same = next((index for index in rest if stages[index].effect == effect), None)
        if same is None:
            same = next(
                (
                    index
                    for index in rest
                    if type(stages[index].effect) is type(effect) and stages[index].effect not in wanted
                ),
                None,
            )
        kept.append(None if same is None else stages[same])
        start = start if same is None else same + 1
    return kept


class ClockedStream(ABC):
    """A stream that is looked after: its due times become timers of the loop."""

    def __init__(
        self, stream: StreamDirection, ends: Ends, effects: tuple[BytesEffect, ...] = (), acted: Acted | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._bytes = ByteStream(stream, self._loop.time(), acted)
        self._ends = ends
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        if effects:
            self.set_effects(effects)

    @property
    def held(self) -> int:
        """Bytes that wait inside."""
        return self._bytes.held

    def set_effects(self, effects: tuple[BytesEffect, ...]) -> None:
        """From now on these effects act, in this order; those of the other direction are ignored."""
        self._bytes.set_effects(effects, self._loop.time())
        self._pump()

    def admit(self) -> None:
        """Reports what effects have done so far, bytes that they still hold included."""
        self._bytes.admit(self._loop.time())

    def _pump(self) -> None:
        """Performs what is due and comes back when more is."""
        stream = self._bytes
        for item in stream.take(self._loop.time()):
            if isinstance(item, bytes):
                self._pass(item)
            else:
                self._mark(item)
        due = stream.due()
        if due != self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = None if due is None else self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = self._due = None
        self._pump()

    def _mark(self, mark: Mark) -> None:
        """An end comes out."""
        self._perform(mark)

    def _perform(self, mark: Mark) -> None:
        """Performs an end."""
        match mark:
            case Mark.END:
                self._finished()
            case Mark.FIN:
                self._ends.close()
                self._over()
            case Mark.RST:
                self._ends.reset()
                self._over()
            case _:
                assert_never(mark)

    @abstractmethod
    def _pass(self, data: bytes) -> None:
        """Bytes come out."""

    @abstractmethod
    def _finished(self) -> None:
        """The source's end comes out."""

    @abstractmethod
    def _over(self) -> None:
        """FIN or RST was performed."""

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None
