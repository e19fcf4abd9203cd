"""The stages of a faulty stream: what each byte effect does to a stream, as pure bookkeeping over time.

Rules:

- No I/O and no clock: times come in with the items and go out with them. A stage computes when its next item leaves from the
  times alone, so a caller that looks late gets the same times as one that looks early.
- Items are bytes or a `Mark`. A stage never changes their order. Marks travel behind the bytes that came before them.
- What a byte count triggers keeps its place in the stream; what a clock triggers (`alarm`) overtakes it.
- A stage that is removed gives back what it holds (`flush`); one that has swallowed bytes closes the connection instead, for
  what is missing can never be mended.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from enum import Enum
from typing import ClassVar, Generic, TypeAlias, TypeVar

from chaosbot.core.effect import (
    BytesEffect,
    CorruptBytes,
    CutAfter,
    Farewell,
    HoldBytes,
    HoldClose,
    PaceBytes,
    ResetConnection,
    Shape,
    Silence,
    SliceBytes,
)


class Mark(Enum):
    """What travels in a stream beside bytes."""

    END = "end"  # the source has finished; its other direction goes on
    FIN = "fin"  # both sides are closed in good order
    RST = "rst"  # both sides are reset


Item: TypeAlias = bytes | Mark
E = TypeVar("E", bound=BytesEffect)

# A paced stream wakes at most this often for each write: smooth enough for a reader, cheap enough for a loop.
_PACE_STEP_S = 0.02
_KIB = 1024


class Stage(Generic[E]):
    """One effect on one direction of one connection; as it stands here, it passes everything on at once.

    Args:
        effect: What it performs.
        now: When it begins to act.
    """

    most_held: ClassVar[int] = 64 * _KIB
    """With more than this inside, the source should stop to send."""

    def __init__(self, effect: E, now: float) -> None:
        self.effect = effect
        self.since = now
        self.acted = False
        self.held = 0
        self._clock = now  # nothing leaves before this
        self._queue: deque[tuple[float, Item]] = deque()

    def feed(self, t: float, item: Item) -> None:
        """Takes an item in."""
        self._queue.append((t, item))
        if isinstance(item, bytes):
            self.held += len(item)

    def due(self) -> float | None:
        """When the next item leaves; None when nothing is inside."""
        return max(self._clock, self._queue[0][0]) if self._queue else None

    def pop(self) -> tuple[float, Item]:
        """Gives out the next item with the time at which it leaves."""
        leaves = self.due()
        if leaves is None:
            raise IndexError("nothing is inside")
        _, item = self._queue.popleft()
        if isinstance(item, bytes):
            self.held -= len(item)
        self._clock = leaves
        return leaves, item

    def alarm(self) -> tuple[float, Mark] | None:
        """What the clock alone triggers, and when."""
        return None

    def update(self, effect: E, now: float) -> None:
        """The effect's figures have changed; what was counted stays counted."""
        self.effect = effect
        self._clock = max(self._clock, now)

    def flush(self) -> list[Item]:
        """The effect is over: gives out everything that is inside."""
        items = [item for _, item in self._queue]
        self._queue.clear()
        self.held = 0
        return items


class _Cutter(Stage[E]):
    """A stage that gives the first item out in pieces."""

    def _split(self, size: int) -> bytes:
        """Takes the first `size` bytes off the first item."""
        t, item = self._queue[0]
        if not isinstance(item, bytes):
            raise TypeError("only bytes can be cut")
        if size >= len(item):
            self._queue.popleft()
            piece = item
        else:
            piece = item[:size]
            self._queue[0] = (t, item[size:])
        self.held -= len(piece)
        return piece

    def feed(self, t: float, item: Item) -> None:
        """Takes an item in, large ones in blocks, so that cutting the front off stays cheap."""
        block = 16 * _KIB
        if isinstance(item, bytes) and len(item) > block:
            for start in range(0, len(item), block):
                super().feed(t, item[start : start + block])
        else:
            super().feed(t, item)


class HoldStage(Stage[HoldBytes]):
    """Each chunk leaves a delay after it arrived, never before the one in front of it."""

    # A long fat connection: what is under way for seconds must not slow its sender down.
    most_held = 8 * _KIB * _KIB

    def __init__(self, effect: HoldBytes, now: float) -> None:
        super().__init__(effect, now)
        self._offset = 0
        self._previous: float | None = None
        self._delay: float | None = None  # of the first chunk inside

    def due(self) -> float | None:
        """The arrival of the first chunk plus the delay that was drawn for it."""
        if not self._queue:
            return None
        if self._delay is None:
            law, dice = self.effect.law, self.effect.dice
            if law.shape is not Shape.CONSTANT:
                # Keyed by where the chunk starts: how a sender's bytes fall into chunks differs from run to run.
                dice = dice.at("offset", self._offset)
            self._delay = law.draw(dice, self._previous)
        leaves = self._queue[0][0] + self._delay
        return max(self._clock, leaves)

    def pop(self) -> tuple[float, Item]:
        """Gives out the first chunk."""
        leaves, item = super().pop()
        self._previous, self._delay = self._delay, None
        self._offset += len(item) if isinstance(item, bytes) else 0
        self.acted = True
        return leaves, item

    def update(self, effect: HoldBytes, now: float) -> None:
        """What is inside is measured by the new law too, still from its arrival."""
        super().update(effect, now)
        self._delay = None


class PaceStage(_Cutter[PaceBytes]):
    """Bytes leave at a rate, on a clock: a late look does not slow them down, a pause does not save up for a burst."""

    def due(self) -> float | None:
        """When the next piece has taken its time."""
        if not self._queue:
            return None
        arrived, item = self._queue[0]
        start = max(self._clock, arrived)
        return start + self._piece(item) / self.effect.bytes_per_s

    def _piece(self, item: Item) -> int:
        if not isinstance(item, bytes):
            return 0
        return min(len(item), max(1, int(self.effect.bytes_per_s * _PACE_STEP_S)))

    def pop(self) -> tuple[float, Item]:
        """Gives out as much as a step of the clock allows."""
        leaves = self.due()
        if leaves is None or not isinstance(self._queue[0][1], bytes):
            return super().pop()
        self._clock, self.acted = leaves, True
        return leaves, self._split(self._piece(self._queue[0][1]))


class SliceStage(_Cutter[SliceBytes]):
    """Chunks are cut small, with a pause after each piece."""

    def __init__(self, effect: SliceBytes, now: float) -> None:
        super().__init__(effect, now)
        self._offset = 0

    def pop(self) -> tuple[float, Item]:
        """Gives out one slice."""
        leaves = self.due()
        if leaves is None or not isinstance(self._queue[0][1], bytes):
            return super().pop()
        effect = self.effect
        low, high = max(1, effect.average - effect.variation), max(1, effect.average + effect.variation)
        size = effect.dice.at("slice", self._offset).integer(low, high)
        piece = self._split(size)
        self._offset += len(piece)
        self._clock, self.acted = leaves + effect.pause_s, True
        return leaves, piece


class HoldCloseStage(Stage[HoldClose]):
    """The end waits; bytes do not."""

    def due(self) -> float | None:
        """At once for bytes, later for an end in good order."""
        plain = super().due()
        if plain is not None and self._queue[0][1] in (Mark.END, Mark.FIN):
            return max(plain, self._queue[0][0] + self.effect.seconds)
        return plain

    def pop(self) -> tuple[float, Item]:
        """Gives out the next item."""
        leaves, item = super().pop()
        self.acted = self.acted or item in (Mark.END, Mark.FIN)
        return leaves, item


class SilenceStage(Stage[Silence]):
    """A black hole: takes everything, gives nothing, and closes after a while or when it is lifted."""

    def feed(self, t: float, item: Item) -> None:
        """Swallows it; bytes start the wait for the close anew."""
        self.acted = True
        if isinstance(item, bytes):
            self.since = max(self.since, t)

    def alarm(self) -> tuple[float, Mark] | None:
        """The close, counted from the last bytes that were swallowed, or from when the silence fell."""
        after = self.effect.close_after_s
        return None if after is None else (self.since + after, Mark.FIN)

    def flush(self) -> list[Item]:
        """Lifted: the bytes in between are lost, so the connection ends."""
        return [Mark.FIN]


class _TriggerStage(Stage[E], ABC):
    """A stage that lets a number of bytes pass, then acts; whatever comes after them is swallowed."""

    def __init__(self, effect: E, now: float) -> None:
        super().__init__(effect, now)
        self.passed = 0
        self.triggered = False

    @abstractmethod
    def _limit(self) -> int | None:
        """How many bytes pass; None when they are not counted."""

    @abstractmethod
    def _trigger(self, t: float) -> None:
        """The count is reached."""

    def feed(self, t: float, item: Item) -> None:
        """Passes what the count still allows."""
        limit = self._limit()
        if self.triggered:
            return
        if limit is None or not isinstance(item, bytes):
            super().feed(t, item)
            return
        allowed = item[: max(0, limit - self.passed)]
        if allowed:
            self.passed += len(allowed)
            super().feed(t, allowed)
        if self.passed >= limit:
            self.triggered = self.acted = True
            self._trigger(t)


class ResetStage(_TriggerStage[ResetConnection]):
    """A reset: a time after the start, or (so long) after a number of bytes."""

    def _limit(self) -> int | None:
        return self.effect.after_bytes

    def feed(self, t: float, item: Item) -> None:
        """As its base; the source's end counts as the first byte where that would reset: no FIN passes before a RST."""
        if item is Mark.END and self.effect.after_bytes == 0 and not self.triggered:
            self.triggered = self.acted = True
            self._trigger(t)
        else:
            super().feed(t, item)

    def _trigger(self, t: float) -> None:
        Stage.feed(self, t + (self.effect.after_s or 0.0), Mark.RST)

    def alarm(self) -> tuple[float, Mark] | None:
        """The reset that counts from the start."""
        if self.effect.after_bytes is not None or self.effect.after_s is None:
            return None
        return self.since + self.effect.after_s, Mark.RST


class CutStage(_TriggerStage[CutAfter]):
    """So many bytes, then an end."""

    def _limit(self) -> int | None:
        return self.effect.count

    def _trigger(self, t: float) -> None:
        match self.effect.farewell:
            case Farewell.FIN:
                Stage.feed(self, t, Mark.FIN)
            case Farewell.RST:
                Stage.feed(self, t, Mark.RST)
            case Farewell.SILENCE:
                pass

    def flush(self) -> list[Item]:
        """Lifted: after a silence that has swallowed bytes the connection ends."""
        items = super().flush()
        if self.triggered and self.effect.farewell is Farewell.SILENCE:
            items.append(Mark.FIN)
        return items


class CorruptStage(Stage[CorruptBytes]):
    """Flips single bits; which ones depends on the dice and the place in the stream alone, not on chunks."""

    def __init__(self, effect: CorruptBytes, now: float) -> None:
        super().__init__(effect, now)
        self._offset = 0
        self._strikes = 0
        self._next = self._after(effect.skip)

    def _after(self, offset: int) -> float:
        """The next offset to strike, from `offset` on: one draw for each strike instead of one for each byte."""
        share = self.effect.share
        if share <= 0:
            return math.inf
        if share >= 1:
            return offset
        fraction = self.effect.dice.at("gap", self._strikes).fraction()
        gap = math.log1p(-fraction) / math.log1p(-share)
        return offset + math.floor(gap) if gap < 1e15 else math.inf

    def feed(self, t: float, item: Item) -> None:
        """Takes a chunk in, damaged."""
        if isinstance(item, bytes):
            end = self._offset + len(item)
            if self._next < end:
                damaged = bytearray(item)
                while self._next < end:
                    bit = self.effect.dice.at("bit", self._strikes).integer(0, 7)
                    damaged[int(self._next) - self._offset] ^= 1 << bit
                    self._strikes += 1
                    self._next = self._after(int(self._next) + 1)
                item, self.acted = bytes(damaged), True
            self._offset = end
        super().feed(t, item)

    def update(self, effect: CorruptBytes, now: float) -> None:
        """The new share counts from here."""
        super().update(effect, now)
        self._next = self._after(max(effect.skip, self._offset))
