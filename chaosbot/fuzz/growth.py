"""The growth stage: hundreds of updates of one kind, and memory and descriptors are read between.

First all rounds of inline queries, where the target answers them, in half of the stage's time: what it keeps of those is small, and fits for
long into what other things have left behind. Then long texts of one user in one chat, so that what a target remembers of each user and chat
stays what it is; ordinary ones, which most targets answer with a hint or not at all. A healthy target keeps an id and no more; one whose
garbage is collected late levels off after some rounds. Then a few rounds of each other kind (edits, presses, new users, new groups), each with
something new in it, and of those that made the target hold more, as many as tell.

What a target still has to do is no leak (a bot that acknowledges first and answers from a queue, on a busy machine or at the pace that its API
allows): where something grows while answers are outstanding, looking begins anew, and it is waited for between rounds.

It comes before anything heavy: what a target has once held hides what it keeps. Rounds end early where nothing grows; where something
does, or where there were too few to tell, they go on for a while when the stage's time is over. Judged by `bounded_resources`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic, sleep
from typing import Any, Final

from chaosbot.checks.bounded_resources import KEPT, Kept, grows, looks_of
from chaosbot.core.case import Case, Change
from chaosbot.core.dice import Dice
from chaosbot.core.event import ProbeSeen
from chaosbot.core.kit import FRESH, IDS
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.replies import POLL_S
from chaosbot.fuzz.spec import Clock

ROUNDS: Final = 40
_FEWEST: Final = 9
"""Rounds after which it may end early."""
_SCOUTS: Final = 4
"""Rounds of each other kind after which it may end early."""
_IGNORED: Final = 2
"""Rounds of a kind after which it ends where the target calls nothing for it."""
_IN_GROUP: Final = 72
_IN_PRIVATE: Final = 24
_TEXT: Final = "слово " * 600 + "🙂"
"""Long enough that keeping it shows: 3602 UTF-16 units, about 20 KB of JSON; with one character beyond 16 bits Python keeps four bytes of each (PEP 393)."""
_QUERIES: Final = "inline_query"
_QUERYING: Final = 0.5
"""The part of the stage's time that inline queries may take."""
_QUERY: Final = "слово " * 38
"""An inline query has at most 256 characters; a number comes before this."""
_USER: Final = FRESH + 10 * IDS
_ASKERS: Final = 16
_GROUP: Final = -3_800_000_000
_QUIET_S: Final = 0.05
_BEHIND_S: Final = 1.5
"""So long a target is waited for that is behind, after one round."""
_MOST_BEHIND_S: Final = 6.0
"""And after all rounds of a kind."""
_SLOW_S: Final = 0.25
"""Where a round takes longer, the next ones are half as long: how many rounds there were tells more than how many updates."""
_SPARSEST: Final = 4
_HALF: Final = 0.5
_RIGHT: Final = frozenset({2, 429})
"""Whom so much is sent to may ask for less of it (RFC 6585, section 4)."""
_LONGER_S: Final = 12.0
"""So much longer than its time the stage goes on until it knows whether something grows without end."""


def run_growth(context: CampaignContext, clock: Clock) -> None:
    """Sends rounds of updates and notes, after each, what the target holds: with the number of updates so far as the detail."""
    slow = context.target.latency_s > context.spec.latency_s
    if slow or not context.store.seen.memory or not context.platform.greets:
        return
    queries, texts, *others = (
        _Rounds(context, kind) for kind in (_QUERIES, *(kind for kind in KEPT if kind != _QUERIES))
    )
    try:
        halfway = Clock(monotonic() + _QUERYING * clock.left(), clock.should_stop)
        while queries.go_on(ROUNDS) and not _over(halfway, 0.0):
            queries.send()
        while texts.go_on(_FEWEST) and not _over(clock, _LONGER_S):
            texts.send()
        for one in others:
            while one.go_on(_SCOUTS) and not _over(clock, 0.0):
                one.send()
        # What may have grown most comes first.
        for one in sorted((one for one in (*others, queries) if one.suspicious), key=lambda one: -one.each):
            while one.go_on(_FEWEST) and not _over(clock, _LONGER_S / 2):
                one.send()
    finally:
        for one in (queries, texts, *others):
            one.tell()


def _slope(looks: Sequence[tuple[int, float]]) -> float:
    (sent, held), (sent_last, held_last) = looks[0], looks[-1]
    return (held_last - held) / max(1, sent_last - sent)


def _over(clock: Clock, longer_s: float) -> bool:
    return clock.should_stop() or monotonic() >= clock.until + longer_s


class _Rounds:
    """The rounds of one kind."""

    def __init__(self, context: CampaignContext, kind: str) -> None:
        self.context = context
        self.kind = kind
        self.done = 0
        self._sent = 0
        self._step = 1
        self._lost = False
        self._called = False
        self._behind_s = 0.0
        self._seen: list[ProbeSeen] = []
        self._waits: bool | None = None
        """Whether the target is waited for; None until something grows."""
        self._chats: set[str] = set()

    def send(self) -> None:
        """Sends a round and looks at the target."""
        context = self.context
        nths = range(0, _IN_GROUP + _IN_PRIVATE, self._step)
        cases = [case for nth in nths if (case := self._case(nth)) is not None]
        began, calls = monotonic(), len(context.target.calls())
        for result in context.target.volley(cases, "growth"):
            context.recorder.record(result)
        self._step = min(_SPARSEST, 2 * self._step) if monotonic() - began > _SLOW_S else self._step
        self._sent += len(cases)
        self.done += 1
        self._chats = {str(case.chat) for case in cases}
        sleep(_QUIET_S)
        behind = bool(self._waits) and self._is_behind()
        self._called = self._called or len(context.target.calls()) > calls
        if behind:
            return
        vitals = context.target.vitals() if cases and context.target.lives else None
        self._lost = vitals is None
        if vitals is None:
            return
        for row, value in zip(KEPT[self.kind], (vitals.resident, vitals.descriptors), strict=True):
            seen = ProbeSeen(context.recorder.now(), row.probe, ok=True, value=value, detail=str(self._sent))
            self._seen.append(seen)
        context.show("growth", ROUNDS)

    def tell(self) -> None:
        """Emits what was seen."""
        for seen in self._seen:
            self.context.recorder.emit(seen)

    def _is_behind(self) -> bool:
        """Waits until the target says nothing more in the chats of the last round (from then on after each); whether that was in vain."""
        began = last = monotonic()
        target, seen = self.context.target, len(self.context.target.calls())
        while (now := monotonic()) - last < max(_QUIET_S, target.watch.gap_s):
            if now - began >= _BEHIND_S or target.should_stop():
                self._step = _SPARSEST
                self._behind_s += now - began
                self._lost = self._behind_s >= _MOST_BEHIND_S
                return True
            sleep(POLL_S)
            new = target.calls()[seen:]
            seen += len(new)
            if any(str(call.chat) in self._chats for call in new):
                last = monotonic()
                self._waits = True
        return False

    def go_on(self, fewest: int) -> bool:
        """Whether another round tells more: there were too few, or something grows."""
        if self._lost or self.done >= ROUNDS or (self.kind and self.done >= _IGNORED and not self._called):
            return False
        looks = self._looks()
        if min(map(len, looks.values())) < fewest:
            return True
        grown = any(grows(found, row.each, steadily=False) for row, found in looks.items())
        if grown and self._waits is None:
            self._waits = False
            self._is_behind()
            if self._waits:
                self._seen.clear()
        return grown

    def _looks(self) -> dict[Kept, list[tuple[int, float]]]:
        """What was seen so far, by row: how many updates had been sent, and what was held."""
        return {row: looks_of(self._seen, row) for row in KEPT[self.kind]}

    @property
    def each(self) -> float:
        """How much more the target holds for each update, as a multiple of the least that is no noise."""
        looks = {} if self._lost else self._looks()
        return max((_slope(found) / row.each for row, found in looks.items() if len(found) >= _SCOUTS), default=0.0)

    @property
    def suspicious(self) -> bool:
        """Whether so much more is held that more rounds are worth it; memory grows in steps."""
        return self.each >= _HALF

    def _case(self, nth: int) -> Case | None:
        context, platform = self.context, self.context.platform
        place = context.dice.at("growth", context.spec.endpoint.started, self.done, nth, *filter(None, [self.kind]))
        update = self._update(place, nth)
        if update is None and not self.kind and not platform.tiers:  # nobody in particular writes there
            update = platform.say(_TEXT, place) or platform.fresh(platform.golden(place)[platform.canary()], place)
        if update is None:
            return None
        name = "/".join(filter(None, ("growth", self.kind, f"{self.done}-{nth}")))
        case = context.case(update, place, name, "one of many updates")
        expect = replace(case.expect, statuses=_RIGHT)
        return replace(
            case, group="state", threat=Threat.LOAD, change=Change(Mechanism.SCENARIO, "growth"), expect=expect
        )

    def _update(self, place: Dice, nth: int) -> Any:
        say = self.context.platform.say
        user = _USER + self.context.dice.at("growth").integer(0, 10**6)
        number = self.done * (_IN_GROUP + _IN_PRIVATE) + nth
        match self.kind:
            case kind if kind == _QUERIES:
                return say(f"{number} {_QUERY}", place, user=user + nth % _ASKERS, kind=self.kind)
            case "callback_query":
                return say(f"chaosbot:{number}", place, user=user, kind=self.kind)
            case "user":
                return say("hello", place, user=user + 10**7 + number)
            case "group":
                return say("hello", place, user=user, chat=_GROUP - 1 - number)
            case kind:
                return say(_TEXT, place, user=user, kind=kind, chat=_GROUP if nth < _IN_GROUP else None)
