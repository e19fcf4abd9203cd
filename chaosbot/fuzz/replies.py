"""Watches the calls that the target makes, and learns how long its replies take.

A bot may acknowledge first and reply seconds later. How long is worth waiting is learned from the target's own habit: the delays of
the replies seen so far, from sending a case to the first call in its chat. Bounds keep a silent target from costing more.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from time import monotonic, sleep
from typing import Final

import msgspec

from chaosbot.checks._join import chats_of
from chaosbot.core.case import Case
from chaosbot.core.event import ApiCalled, CaseTried

POLL_S: Final = 0.02
_QUICK_S: Final = 0.005
_FIRST_S: Final = 3.0
"""Patience before any reply was seen."""
_LEAST_S: Final = 0.4
_MOST_S: Final = 6.0
_KEPT: Final = 400
"""So many delays are remembered."""
_GAP_S: Final = 0.25
"""The least pause after which a target counts as quiet; longer where its replies come in pieces, up to `_MOST_GAP_S`."""
_MOST_GAP_S: Final = 1.5
_LEAST_GAP_S: Final = 0.12
_TIMES: Final = 8
"""A target whose replies come whole and at once is quiet after so many times what they take."""
_HABIT: Final = 40
"""So many replies show a habit."""
_MOST_CALLS: Final = 500
"""So many calls to one chat are remembered, the latest: a target that repeats a refused call without end makes thousands."""
_PIECES: Final = 0.15
"""From this share of replies on that come in pieces, the next one is expected to do so."""


class ReplyWatch:
    """The target's calls so far, by what joins them to a case.

    Args:
        calls: The calls so far; grows.
        should_stop: Whether to give up waiting.
    """

    def __init__(self, calls: Callable[[], Sequence[ApiCalled]], should_stop: Callable[[], bool]) -> None:
        self._calls = calls
        self._should_stop = should_stop
        self._lock = threading.Lock()
        self._looked = 0
        self._by_chat: dict[str, deque[tuple[float, ApiCalled]]] = defaultdict(lambda: deque(maxlen=_MOST_CALLS))
        self._by_marker: dict[str, list[tuple[float, ApiCalled]]] = defaultdict(list)
        self._by_callback: dict[str, list[tuple[float, ApiCalled]]] = defaultdict(list)
        self._sent: dict[str, float] = {}
        self._spoke: dict[str, float] = {}
        self._shared: set[str] = set()
        self._delays: list[float] = []
        self._gaps: list[float] = []

    @property
    def patience_s(self) -> float:
        """How long a first reply is waited for, in seconds."""
        if not self._delays:
            return _FIRST_S
        usual = self._delays[min(len(self._delays) - 1, int(len(self._delays) * 0.98))]
        return min(_MOST_S, max(_LEAST_S, usual * 1.3 + 0.3))

    @property
    def gap_s(self) -> float:
        """The pause after which the target counts as quiet, in seconds: longer where its replies usually come in pieces."""
        if len(self._gaps) < max(2.0, _PIECES * len(self._delays)):
            if len(self._delays) < _HABIT:
                return _GAP_S
            seen = 1.3 * self._gaps[-1] if self._gaps else 0.0
            return min(_GAP_S, max(_LEAST_GAP_S, seen, _TIMES * self._delays[int(len(self._delays) * 0.9)]))
        usual = self._gaps[min(len(self._gaps) - 1, int(len(self._gaps) * 0.9))]
        return min(_MOST_GAP_S, max(_GAP_S, usual * 1.3))

    def sending(self, case: Case) -> None:
        """Notes when a case leaves; delays are learned only in chats that one case uses."""
        if case.chat is not None:
            with self._lock:
                chat = str(case.chat)
                if chat in self._sent:
                    self._shared.add(chat)
                self._sent[chat] = monotonic()

    def look(self) -> None:
        """Takes in the calls since the last look; a call that is taken in late seems to have come late."""
        calls, now = self._calls(), monotonic()
        with self._lock:
            new = calls[self._looked :]
            self._looked += len(new)
            for call in new:
                seen = (now, call)
                for mark in call.markers:
                    self._by_marker[mark].append(seen)
                if call.callback:
                    self._by_callback[call.callback].append(seen)
                for chat in chats_of(call):
                    if speaks(call):
                        self._learn(chat, now)
                    self._by_chat[chat].append(seen)

    def _learn(self, chat: str, now: float) -> None:
        earlier, self._spoke[chat] = self._spoke.get(chat), now
        sent = self._sent.get(chat)
        if sent is None or chat in self._shared:
            return
        if earlier is None or earlier < sent:
            if len(self._delays) < _KEPT:
                insort(self._delays, now - sent)
        # Between two messages of one reply.
        elif len(self._gaps) < _KEPT:
            insort(self._gaps, now - earlier)

    def replies(self, case: Case, since: float = 0.0) -> list[ApiCalled]:
        """The calls that may be a case's: with its marker, to its press, or in its chat after `since` (monotonic seconds)."""
        self.look()
        with self._lock:
            found = [*self._by_marker.get(case.marker, ())] if case.marker else []
            if case.callback:
                found += self._by_callback.get(case.callback, ())
            if case.chat is not None:
                found += [seen for seen in self._by_chat.get(str(case.chat), ()) if seen[0] >= since]
        return list({id(call): call for _, call in found}.values())

    def replied(self, case: Case, within_s: float | None = None, since: float = 0.0) -> bool:
        """Waits until a reply to a case is seen; by default as long as the target's habit suggests."""
        until = monotonic() + (self.patience_s if within_s is None else within_s)
        while True:
            if any(speaks(call) for call in self.replies(case, since)):
                return True
            if monotonic() >= until or self._should_stop():
                return False
            sleep(POLL_S)

    def quiet(self, case: Case, since: float, *, replied: bool = False, usual: int = 0) -> bool:
        """Waits until a case's chat is quiet: replied to and then silent, or silent for as long as the habit suggests.

        Args:
            case: What was sent.
            since: When it left (monotonic seconds).
            replied: Whether a reply stood in the webhook's answer already.
            usual: So many calls are all that comes of it, where that is known: with the last of them the waiting ends.

        Returns:
            Whether it is quiet; false where waiting was given up.
        """
        until = monotonic() + self.patience_s
        seen = 0
        last = monotonic() if replied else None
        while not self._should_stop():
            found = sum(speaks(call) for call in self.replies(case, since))
            if usual and found >= usual:
                return True
            if found > seen:
                seen, last = found, monotonic()
            now = monotonic()
            if (last is not None and now - last >= self.gap_s) or (last is None and now >= until):
                return True
            sleep(_QUICK_S if usual else POLL_S)
        return False

    def all_replied(self, cases: Iterable[Case], within_s: float = inf) -> None:
        """Waits until every case has a reply, or no further one has come for as long as the habit suggests; at most so long."""
        waiting = list(cases)
        until, last = monotonic() + self.patience_s, monotonic() + within_s
        while waiting and monotonic() < min(until, last) and not self._should_stop():
            left = [case for case in waiting if not any(speaks(call) for call in self.replies(case))]
            if len(left) < len(waiting):
                waiting, until = left, monotonic() + self.patience_s
            else:
                sleep(POLL_S)


def without_echo(calls: Iterable[ApiCalled], tried: Iterable[CaseTried]) -> Iterator[ApiCalled]:
    """The calls without the commands that they only repeat: that of the case before it in its chat, and of one whose marker it holds."""
    marked: dict[str, str] = {}
    by_chat: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for one in tried:
        marked[one.marker] = one.command or ""
        insort(by_chat[str(one.chat)], (one.sent, one.command or ""))
    for call in calls:
        before = by_chat[str(call.chat)]
        place = bisect_right(before, (call.t, "\uffff"))
        wrote = {marked.get(mark, "") for mark in call.markers} | {command for _, command in before[place - 1 : place]}
        repeated = "|".join(re.escape(command) for command in sorted(wrote) if command)
        if not repeated:
            yield call
            continue
        text = re.sub(rf"/(?:{repeated})(?!\w)", "", call.text, flags=re.IGNORECASE)
        yield msgspec.structs.replace(call, text=text)


def speaks(call: ApiCalled) -> bool:
    """Whether a call says or shows something, unlike a note that the bot is typing."""
    return bool(call.text) or call.message is not None or bool(call.markers)
