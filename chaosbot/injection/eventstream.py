"""Disturbs a stream of server-sent events, event by event. Pure: bytes in, steps out, and whoever carries them waits.

Rules:

- An event ends with an empty line, whatever its line ends are; what comes after the last one is passed on as one more.
- Effects act in their order, each on what the one before has left. They count the events of the original stream.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, assert_never

from chaosbot.core.effect import (
    CutEvents,
    EditEvents,
    Ending,
    EventsEffect,
    InsertEvents,
    PaceEvents,
    SplitEvents,
    StallEvents,
)
from chaosbot.core.units import format_duration

_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_MOST_EVENT: Final = 1 << 20
"""An event longer than this is passed on in pieces: it is none."""
_PINGS: Final = 10_000


class Step(NamedTuple):
    """Wait, then send, then perhaps end."""

    data: bytes = b""
    wait_s: float = 0.0
    ending: Ending | None = None


@dataclass(slots=True)
class _Active:
    effect: EventsEffect
    acted: Callable[[str], None]
    matched: int = 0
    told: bool = False

    def tell(self, detail: str) -> None:
        if not self.told:
            self.told = True
            self.acted(detail)


class EventStream:
    """One stream on its way to its client."""

    def __init__(self) -> None:
        self._active: list[_Active] = []
        self._rest = b""
        self._count = 0
        self.over = False

    def add(self, effect: EventsEffect, acted: Callable[[str], None]) -> None:
        """One more effect; `acted` hears, once, what it did."""
        self._active.append(_Active(effect, acted))

    @property
    def unframed(self) -> bool:
        """Whether the answer must have no framing, so that the connection's end is its end."""
        return any(isinstance(one.effect, CutEvents) and one.effect.ending is Ending.EOF for one in self._active)

    def feed(self, data: bytes) -> Iterator[Step]:
        """What becomes of more bytes of the stream."""
        self._rest += data
        while not self.over:
            found = _END.search(self._rest)
            end = found.end() if found else _MOST_EVENT
            if found is None and len(self._rest) < _MOST_EVENT:
                return
            event, self._rest = self._rest[:end], self._rest[end:]
            yield from self._event(event)

    def end(self) -> Iterator[Step]:
        """What becomes of the stream's end."""
        if self._rest and not self.over:
            yield from self._event(self._rest)
        if not self.over:
            self.over = True
            yield Step(ending=Ending.CLEAN)

    def _event(self, event: bytes) -> Iterator[Step]:
        number, self._count = self._count, self._count + 1
        steps = [Step(event)]
        for one in self._active:
            steps = list(self._changed(one, event, number, steps))
            if steps and steps[-1].ending is not None:
                self.over = True
                break
        yield from steps

    @staticmethod
    def _changed(one: _Active, event: bytes, number: int, steps: list[Step]) -> Iterator[Step]:
        """The steps of one event, changed by one effect."""
        effect = one.effect
        match effect:
            case CutEvents():
                met = effect.until and re.search(effect.until, event)
                if met or number == effect.after:
                    one.tell(f"the stream ends ({effect.ending}) after {number} events")
                    yield Step(event[: effect.keep_bytes] + effect.last, ending=effect.ending)
                    return
                yield from steps
            case StallEvents():
                if number == effect.after:
                    one.tell(f"silent after {number} events for {format_duration(effect.seconds)}")
                    count = min(_PINGS, math.ceil(effect.seconds / effect.every_s)) if effect.every_s else 0
                    for _ in range(count):
                        yield Step(effect.ping, effect.every_s)
                    if not count:
                        yield Step(b"", effect.seconds)
                yield from steps
            case PaceEvents():
                one.tell(f"an event each {format_duration(effect.pause_s)}")
                yield Step(b"", effect.pause_s if number else 0.0)
                yield from steps
            case EditEvents():
                times = 1
                if re.search(effect.matching, event):
                    place, one.matched = one.matched - effect.skip, one.matched + 1
                    if place >= 0 and (effect.count is None or place < effect.count):
                        times = effect.times
                        one.tell(f"event {number} {'left out' if not times else f'sent {times} times'}")
                for _ in range(times):
                    yield from steps
            case SplitEvents():
                one.tell(f"in pieces of {effect.size} bytes")
                for step in steps:
                    if step.wait_s:
                        yield Step(b"", step.wait_s)
                    for place in range(0, len(step.data), effect.size):
                        yield Step(step.data[place : place + effect.size], effect.pause_s if place else 0.0)
            case InsertEvents():
                yield from steps
                if number % effect.every == effect.every - 1:
                    one.tell(f"{len(effect.data)} bytes after every {effect.every} events")
                    yield Step(effect.data)
            case _:
                assert_never(effect)
