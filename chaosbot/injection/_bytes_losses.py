"""The stages that lose or damage bytes: silence, reset, cut and corruption. The rules stand in `_bytes_stages`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from chaosbot.core.effect import CorruptBytes, CutAfter, Farewell, ResetConnection, Silence
from chaosbot.injection._bytes_stages import E, Item, Mark, Stage


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
