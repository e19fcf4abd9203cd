"""Watches the calls that the target makes, and learns how long its replies take.

A bot may acknowledge first and reply seconds later. How long is worth waiting is learned from the target's own habit: the delays of
the replies seen so far, from sending a case to the first call in its chat, and whether they come before the delivery is answered: a
target that does first and answers then has no call left to wait for. Bounds keep a silent target from costing more.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right, insort
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from time import monotonic, sleep
from typing import Final

import msgspec

from chaosbot.checks._join import SEVERAL, chats_of
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
_LATELY_S: Final = 3.0
"""What the last seconds showed is how the target is now, as long as they showed enough: what else is asked meanwhile makes it slower."""
_GAP_S: Final = 0.25
"""The least pause after which a target counts as quiet; longer where its replies come in pieces, up to `_MOST_GAP_S`."""
_MOST_GAP_S: Final = 1.5
_LEAST_GAP_S: Final = 0.12
_BRIEF_S: Final = 0.06
"""So long a further call is waited for where the usual number of them has come."""
_TIMES: Final = 8
"""A target whose replies come whole and at once is quiet after so many times what they take."""
_FRESH: Final = 12
"""Who has asked no more often than this is nobody to whom others' doings are told."""
_MOSTLY: Final = 0.85
"""Such a part of the last replies is no later than is waited for; who is silent once is asked again where it matters."""
_FEW: Final = 8
"""So many replies say how slow the target is now."""
_HABIT: Final = 40
"""So many replies show a habit."""
_MOST_CALLS: Final = 500
"""So many calls to one chat are remembered, the latest: a target that repeats a refused call without end makes thousands."""
_MOST_ASKED: Final = 64
"""So many cases in one chat are remembered, the latest."""
_PIECES: Final = 0.15
"""From this share of replies on that come in pieces, the next one is expected to do so."""
_RARELY: Final = 0.03
"""So large a part of a target's replies may be followed by a longer pause than is waited for."""
_LATE: Final = 0.1
_SOON_S: Final = 1.0
"""So large a part of a target's calls may come so soon after its answers, and it still does first and answers then: others' doings may be told of."""
_LATE_TIMES: Final = 4
_TOO_LATE: Final = 2
"""A reply that takes at most so many times the patience, which was over before, is learned from all the same."""
_SETTLED_S: Final = 0.04
_SILENT_S: Final = 0.1
"""So long after its answer the calls of such a target are known here, and so long where none is known yet."""


class _Latest:
    """The latest durations of a kind, in seconds."""

    def __init__(self) -> None:
        self._in_turn: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def add(self, seconds: float) -> None:
        """Takes one in; the oldest goes when there are many."""
        self._in_turn.append((monotonic(), seconds))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._in_turn)

    def since(self, least: int) -> float:
        """The moment (monotonic seconds) of the last seconds' beginning, or an earlier one from which so many were taken in."""
        found = self._in_turn.copy()
        return min(monotonic() - _LATELY_S, found[-least][0]) if len(found) >= least else 0.0

    def after(self, moment: float) -> list[float]:
        """Those taken in since a moment, in their order of size."""
        return sorted(seconds for at, seconds in self._in_turn.copy() if at >= moment)

    def quantile(self, share: float, since: float = 0.0) -> float:
        """Such a share of those since then is shorter than this; there must be some."""
        return _quantile(self.after(since), share)


class ReplyWatch:
    """The target's calls so far, by what joins them to a case.

    Args:
        calls: The calls so far; grows. They may be taken in long after they came (an answer's, when its case is recorded).
        should_stop: Whether to give up waiting.
        started: When the run started (monotonic seconds), from which calls are timed.
    """

    def __init__(
        self, calls: Callable[[], Sequence[ApiCalled]], should_stop: Callable[[], bool], started: float = 0.0
    ) -> None:
        self._calls = calls
        self._started = started
        self._should_stop = should_stop
        self._lock = threading.RLock()
        self._looked = 0
        self._by_chat: dict[str, deque[tuple[float, ApiCalled]]] = defaultdict(lambda: deque(maxlen=_MOST_CALLS))
        self._by_marker: dict[str, list[tuple[float, ApiCalled]]] = defaultdict(list)
        self._by_callback: dict[str, list[tuple[float, ApiCalled]]] = defaultdict(list)
        self._by_text: dict[str, deque[tuple[float, str]]] = defaultdict(lambda: deque(maxlen=_MOST_ASKED))
        self._sent: dict[str, float] = {}
        self._listened: dict[str, float] = {}
        self._asked: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_MOST_ASKED))
        self._answered: dict[str, float] = {}
        self._spoke: dict[str, float] = {}
        self._awaited: Counter[str] = Counter()
        self._delays, self._gaps, self._lags = _Latest(), _Latest(), _Latest()
        self._before = self._after = 0
        self.answers_last = False
        """Whether deliveries were seen to be answered only when the calls that come of them are done."""

    @property
    def patience_s(self) -> float:
        """How long a first reply is waited for, in seconds."""
        return _patience_s(self.usual_s) if self._delays else _FIRST_S

    @property
    def brief_s(self) -> float:
        """How long a first reply is waited for by who asks much and has others ask meanwhile: by what most of the last replies took, in seconds.

        What else was asked before made the target slower than it is now, and one that is late holds nobody up.
        """
        return _patience_s(self._delays.quantile(_MOSTLY, self._delays.since(_FEW))) if self._delays else _FIRST_S

    @property
    def usual_s(self) -> float:
        """Within how many seconds nearly all replies come."""
        return self._delays.quantile(0.98) if self._delays else _FIRST_S

    @property
    def quick_s(self) -> float:
        """What the quickest replies take, which nothing has held up."""
        return self._delays.quantile(0.1) if self._delays else _FIRST_S

    @property
    def gap_s(self) -> float:
        """The pause after which the target counts as quiet, in seconds: longer where its replies usually come in pieces."""
        if len(self._delays) < _HABIT:
            return _GAP_S
        since = self._delays.since(_HABIT)
        delays, gaps = self._delays.after(since), self._gaps.after(since)
        usual = min(_GAP_S, max(_LEAST_GAP_S, _TIMES * _quantile(delays, 0.5)))
        if len(gaps) >= _PIECES * len(delays):
            return min(_MOST_GAP_S, max(usual, _quantile(gaps, 0.95) * 1.5))
        rare = int(_RARELY * len(delays))
        return max(usual, min(_GAP_S, 1.5 * gaps[-1 - rare] if rare < len(gaps) else 0.0))

    @property
    def prompt(self) -> bool:
        """Whether no call is left to wait for when a delivery is answered."""
        return self.answers_last and self._after <= _LATE * (self._before + self._after)

    @property
    def _settled_s(self) -> float:
        """How long it takes after an answer until the calls before it are known here, in seconds."""
        return min(_GAP_S, max(_SETTLED_S, 3 * self._lags.quantile(0.98) if self._lags else 0.0))

    def answered(self, case: Case) -> None:
        """Notes when a case's delivery is answered."""
        if case.chat is not None:
            with self._lock:
                self._answered[str(case.chat)] = monotonic()

    def sending(self, case: Case) -> None:
        """Notes when a case leaves."""
        if case.chat is not None:
            with self._lock:
                chat = str(case.chat)
                self._sent[chat] = now = monotonic()
                self._asked[chat].append(now)
                if self._awaited[chat]:
                    self._listened[chat] = now

    def asked(self, chat: int | str | None, came: float, within_s: float) -> bool:
        """Whether anybody, whichever stage it was, sent something in a chat so shortly before a moment (monotonic seconds)."""
        with self._lock:
            return any(0.0 <= came - sent <= within_s for sent in self._asked.get(str(chat), ()))

    def look(self) -> None:
        """Takes in the calls since the last look."""
        calls = self._calls()
        with self._lock:
            new = calls[self._looked :]
            self._looked += len(new)
            for call in new:
                came = self._started + call.t
                seen = (came, call)
                for mark in call.markers:
                    self._by_marker[mark].append(seen)
                if call.callback:
                    self._by_callback[call.callback].append(seen)
                for chat in chats_of(call):
                    if speaks(call):
                        self._learn(chat, came, call)
                    self._by_chat[chat].append(seen)
                    if call.text:
                        self._by_text[call.text].append((came, chat))

    def announced(self, call: ApiCalled) -> bool:
        """Whether the same text came to several chats in which nobody had asked anything: no answer to what somebody says meanwhile.

        An answer may be late, so that it is long ago at least that somebody has asked.
        """
        with self._lock:
            told = list(self._by_text.get(call.text, ()))
        lately_s, came_here = max(_FIRST_S, _LATE_TIMES * self.patience_s), self._started + call.t
        near = ((came, chat) for came, chat in told if abs(came - came_here) < lately_s)
        unasked = {chat for came, chat in near if not self.asked(chat, came, lately_s)}
        return len(unasked - {str(call.chat)}) >= SEVERAL

    def _learn(self, chat: str, came: float, call: ApiCalled) -> None:
        earlier, self._spoke[chat] = self._spoke.get(chat), came
        sent = self._sent.get(chat)
        if sent is None or came < sent:
            return
        answered = self._answered.get(chat, 0.0)
        if not sent <= answered < came:
            self._before += 1
        elif came < answered + _SOON_S:
            self._after += 1
        # What is sent in crowds shows the crowd's delays, not the target's.
        if self._listened.get(chat) != sent:
            return
        if earlier is None or earlier < sent:
            # What comes soon after the waiting was given up shows that it was too short.
            if self._awaited[chat] or came - sent <= _TOO_LATE * self.patience_s:
                self._delays.add(came - sent)
        elif not self._awaited[chat]:
            return
        elif len(self._asked[chat]) <= _FRESH and not self.announced(call):
            # Between two messages of one reply, and not what others' doings bring to the admin, or to all who want to be told.
            self._gaps.add(came - earlier)

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

    @contextmanager
    def awaiting(self, case: Case) -> Iterator[None]:
        """While entered, the delays of what comes to the case's chat are learned."""
        chat = str(case.chat)
        with self._lock:
            self._awaited[chat] += 1
            self._listened[chat] = self._sent.get(chat, 0.0)
        try:
            yield
        finally:
            with self._lock:
                self._awaited[chat] -= 1

    def replied(self, case: Case, within_s: float | None = None, since: float = 0.0) -> bool:
        """Waits until a reply to a case is seen; by default as long as the target's habit suggests."""
        until = monotonic() + (self.patience_s if within_s is None else within_s)
        with self.awaiting(case):
            while not any(speaks(call) for call in self.replies(case, since)):
                if monotonic() >= until or self._should_stop():
                    return False
                sleep(POLL_S)
        return True

    def quiet(
        self,
        case: Case,
        since: float,
        *,
        replied: bool = False,
        usual: int = 0,
        likely: int = 0,
        patience_s: float | None = None,
    ) -> bool:
        """Waits until a case's chat is quiet: replied to and then silent, or silent for as long as the habit suggests.

        Args:
            case: What was sent.
            since: When it left (monotonic seconds).
            replied: Whether a reply stood in the webhook's answer already.
            usual: So many calls are all that comes of it, where that is known: with the last of them the waiting ends.
            likely: So many calls mostly come of it: after the last of them a further one is waited for only briefly.
            patience_s: How long a first reply is waited for; by default as long as the habit suggests.

        Returns:
            Whether it is quiet; false where waiting was given up.
        """
        began = monotonic()
        until, gap_s = began + (self.patience_s if patience_s is None else patience_s), self.gap_s
        settled = began + self._settled_s if self.prompt else inf
        seen = 0
        last = began if replied else None
        if replied:
            with self._lock:
                self._delays.add(began - since)
        while not self._should_stop():
            replies = [call for call in self.replies(case, since) if speaks(call)]
            now = monotonic()
            if usual and len(replies) >= usual:
                return True
            if len(replies) > seen:
                if self._started + max(call.t for call in replies) <= began:
                    with self._lock:
                        self._lags.add(now - began)
                seen, last = len(replies), now
            if now >= (settled if last is not None else max(settled, began + _SILENT_S)):
                return True
            pause_s = min(gap_s, _BRIEF_S) if 0 < likely <= len(replies) else gap_s
            if (last is not None and now - last >= pause_s) or (last is None and now >= until):
                return True
            sleep(_QUICK_S if usual or likely or settled < inf else POLL_S)
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


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _patience_s(usual_s: float) -> float:
    return min(_MOST_S, max(_LEAST_S, usual_s * 1.3 + 0.3))


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
