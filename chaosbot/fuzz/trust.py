"""The trust stage: what a target believes of a genuine-looking delivery, and what it loses of several in one.

| trial | sent | seen |
|---|---|---|
| doubts | what a platform says must not be believed (`Examples.doubts`), beside the same by right | what the target calls or answers |
| presses | a button that only the admin was shown meanwhile, pressed by others (`Examples.presses`) | the same |
| batches | several updates in one delivery, with and without something odd among them (`Examples.batches`) | who is answered |
| silence | a few health requests, first of all | whether calls are made at all, as they were before |
| losses | a delivery that makes the target call its API, the first call of which fails (as the next, where no people talk with the target; else the outbound stage does it) | whether what was acknowledged arrives all the same |
| outages | the same, while all calls fail | how often it calls again |

Rules:

- Doubts and batches are sent one at a time; what the target does until it is quiet is theirs. Each is tried twice.
- Where the rightful delivery has no effect that can be seen, nothing is told, so nothing is judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from time import monotonic, sleep
from typing import Any, Final

from chaosbot.checks._outbound import OUTAGE, reached, speaks, succeeded
from chaosbot.core.case import Case, Change, Expect, Reach, Role, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled, OutboundTried, TrustTried
from chaosbot.core.exchange import Direction
from chaosbot.core.fault import FAULTS
from chaosbot.core.marker import MARKER
from chaosbot.core.plan import Matcher, Rule, Scope
from chaosbot.core.platform import Doubt
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext, Disturbances
from chaosbot.fuzz.replies import POLL_S
from chaosbot.fuzz.served import gone_silent
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.stages import observe
from chaosbot.fuzz.troubles import PLAIN, Trouble

_TRIES: Final = 2
_IN_ANSWER_S: Final = 0.05
"""The pause between two deliveries where effects are seen in answers alone."""
_FIRST_S: Final = 1.0
_LEAST_S: Final = 0.3
_LONGEST_S: Final = 6.0
"""A target that calls without end is not waited for."""
_TIMES: Final = 4.0
_SHORTEST: Final = 3
"""Shorter ids may stand in a text for something else."""
_KEPT: Final = 200
_OUTAGE_S: Final = 2.0
_PRESSED: Final = 4
"""So many of the admin's buttons are pressed by others."""
_ASKED: Final = 12
"""So many kinds are tried to find one that makes the target call."""
_DIGITS: Final = re.compile(r"\d+")
_ODD: Final = Expect(frozenset({2, 4}), reach=Reach.AT_MOST_ONCE)


def run_trust(context: CampaignContext, clock: Clock) -> None:
    """Batches and doubts one by one, then outages."""
    # Where people talk with the target, the stages before this one ask them.
    if context.store.seen.replies == "mock" and not context.platform.tiers and gone_silent(context):
        return
    trials = _Trials(context, clock)
    for trial in (trials.batches, trials.doubts, trials.outages):
        if not clock.over():
            trial()
            context.show("trust", 0)


# ── doubts and batches ────────────────────────────────────────────────────────────────────────────────────────────────


class _Trials:
    """Sends one delivery after the other and listens to what the target does."""

    def __init__(self, context: CampaignContext, clock: Clock) -> None:
        self.context = context
        self.clock = clock
        self._dice = context.dice.at("trust", context.spec.endpoint.started)
        self._last = ""
        self._acknowledged = False
        self._delay_s = 0.0
        self._shown: dict[str, set[str]] = {"rightful": set(), "plain": set()}
        self._pressed: set[str] = set()

    def doubts(self) -> None:
        """All that a platform doubts."""
        endpoint, places = self.context.spec.endpoint, [self._dice.at("doubt", one) for one in range(_TRIES + 1)]
        self._doubted([self.context.platform.doubts(endpoint, place) for place in places])

    def _presses(self) -> None:
        """The buttons that only those who may were shown so far, by others."""
        endpoint, places = self.context.spec.endpoint, [self._dice.at("press", one) for one in range(_TRIES + 1)]
        for data in sorted(self._shown["rightful"] - self._shown["plain"] - self._pressed):
            if len(self._pressed) < _PRESSED:
                self._pressed.add(data)
                self._doubted([self.context.platform.presses(endpoint, place, data) for place in places])

    def _doubted(self, rounds: Sequence[Iterator[Doubt]]) -> None:
        """Each doubt: who may, who claims nothing, and whoever claims it, twice."""
        done: dict[bytes, tuple[str, ...]] = {}

        def once(request: bytes, doubt: Doubt, which: str) -> tuple[str, ...]:
            if request not in done:
                done[request] = self._deeds(request, doubt, which)
            return done[request]

        told: set[tuple[str, str]] = set()
        for first, *again in zip(*rounds, strict=True):
            if self.clock.over():
                return
            rightful = once(first.rightful, first, "rightful")
            if not rightful:
                continue
            plain = once(first.plain, first, "plain") if first.plain is not None else ()
            claim = (first.check, first.name.rpartition("/")[2])
            if set(rightful) <= set(plain) or claim in told:
                continue  # everybody gets it, or the same was told of another kind
            told.add(claim)
            tries = tuple(self._tried(one, number) for number, one in enumerate(again))
            self._tell(first.check, first.name, first.summary, first.threat, rightful, plain, tries)
            self._presses()

    def batches(self) -> None:
        """Each batch: its members alone, all together, and with something odd among them."""
        if self.context.store.seen.replies != "mock":
            return
        # A target answers no update twice, so nobody's is sent twice.
        rounds = [self.context.platform.batches(self._dice.at("batch", number)) for number in range(1 + 2 * _TRIES)]
        whole: dict[str, bool] = {}
        for alone, *again in zip(*rounds, strict=True):
            if self.clock.over():
                return
            if not whole and not all(self._served((one,), one, alone.name) for one in alone.members):
                return  # a single one is not answered either
            everybody = tuple(f"member {number + 1}" for number in range(len(alone.members)))
            place = alone.name.partition("-")[0]
            if place not in whole:
                seen = tuple(self._served(one.members, one.whole, one.name) for one in again[:_TRIES])
                whole[place] = all(set(one) == set(everybody) for one in seen)
                what = "several updates in one delivery"
                self._tell(alone.check, f"{place}-whole", what, Threat.NETWORK, everybody, (), seen)
            if whole[place]:
                seen = tuple(self._served(one.members, one.mixed, one.name) for one in again[_TRIES:])
                self._tell(alone.check, alone.name, alone.summary, Threat.NETWORK, everybody, (), seen)

    def outages(self) -> None:
        """Each trouble of the whole API, for as long as a hasty target needs to show it; what is called is in the history."""
        context = self.context
        if context.disturbances is None or context.store.seen.replies != "mock" or context.platform.tiers:
            return
        calling = self._calling()
        for trouble in PLAIN if calling else ():
            if self.clock.over() or self._loses(context.disturbances, calling, trouble):
                break
        for trouble in PLAIN if calling else ():
            if self.clock.over():
                return
            with context.disturbances.during([_rule(f"trust/{trouble.name}", trouble)]):
                request = self._made(calling, self._dice.at("outage", trouble.name))
                began = monotonic()
                self._calls(
                    request,
                    f"{OUTAGE}{trouble.name}",
                    f"a {calling} while every call {trouble.what}",
                    set(),
                    calm=False,
                )
                sleep(max(0.0, began + _OUTAGE_S - monotonic()))

    def _loses(self, disturbances: Disturbances, calling: str, trouble: Trouble) -> bool:
        """Whether what was acknowledged never arrives when its first call meets the trouble; told when it is so twice, or not."""
        recorder, target = self.context.recorder, self.context.target
        lost: list[OutboundTried] = []
        for number in range(_TRIES):
            name, sent, before = f"once/{trouble.name}-{number}", recorder.now(), len(target.calls())
            request = self._made(calling, self._dice.at("once", trouble.name, number))
            until = monotonic() + self._patience_s + trouble.wait_s
            with disturbances.during([_rule(name, trouble, first=1)]):
                calls = self._calls(request, name, f"a {calling} whose first call {trouble.what}", set(), calm=False)
                failed = next((call for call in calls if speaks(call) and not succeeded(call)), None)
                if failed is None or failed.chat is None or not self._acknowledged:
                    return False  # it met another call, or the platform delivers it again
                while not (arrived := self._arrived(failed.chat, before)) and monotonic() < until:
                    if self.clock.should_stop():
                        return False
                    sleep(POLL_S)
            now = recorder.now()
            tried = OutboundTried(now, trouble.name, failed.method, name, failed.chat, sent, now, lossless=True)
            if arrived:
                recorder.emit(tried)
                return False
            lost.append(tried)
        for tried in lost:
            recorder.emit(tried)
        return True

    def _arrived(self, chat: int | str, before: int) -> bool:
        """Whether any later call to a chat succeeded."""
        return any(reached(call) for call in self.context.target.calls()[before:] if str(call.chat) == str(chat))

    def _made(self, golden: str, place: Dice) -> bytes:
        """A golden update as a delivery of its own."""
        platform = self.context.platform
        return platform.encode(self.context.spec.endpoint, platform.fresh(platform.golden(place)[golden], place))

    def _calling(self) -> str:
        """A golden update that makes the target call; empty where none of the first does."""
        platform, place = self.context.platform, self._dice.at("calling")
        known = platform.golden(place)
        for name in list(dict.fromkeys((platform.canary(), *known)))[:_ASKED]:
            if self.clock.over():
                return ""
            update = platform.fresh(known[name], place.at(name))
            request = platform.encode(self.context.spec.endpoint, update)
            calls = self._calls(request, f"calling/{name}", f"a {name}", set())
            if any(not call.in_answer for call in calls):
                return name
        return ""

    def _served(self, members: Sequence[Any], update: Any, name: str) -> tuple[str, ...]:
        """Which of the members of an update are answered."""
        platform, endpoint = self.context.platform, self.context.spec.endpoint
        facts = [platform.read(platform.encode(endpoint, one)) for one in members]
        chats = [str(one.chat) if one is not None else "" for one in facts]
        calls = self._calls(platform.encode(endpoint, update), f"batch/{name}", "several updates", set(chats))
        heard = {str(call.chat) for call in calls}
        return tuple(f"member {number + 1}" for number, chat in enumerate(chats) if chat in heard)

    def _tried(self, doubt: Doubt, number: int) -> tuple[str, ...]:
        """What is done because of the doubtful delivery, after what it repeats."""
        if doubt.before is not None:
            self._deeds(doubt.before, doubt, f"before-{number}")
        return self._deeds(doubt.doubtful, doubt, str(number))

    def _deeds(self, request: bytes, doubt: Doubt, which: str) -> tuple[str, ...]:
        """What the target does because of a request, in words that are the same for the next one."""
        facts = self.context.platform.read(request)
        ids = {str(one) for one in (facts.chat, facts.user, facts.tenant) if one is not None} if facts else set()
        own = {str(facts.chat)} if facts is not None and facts.chat is not None else set()
        calls = self._calls(request, f"doubt/{doubt.name}/{which}", doubt.summary, own)
        if doubt.plain is not None and which in self._shown:
            self._shown[which].update(data for call in calls for data in call.buttons)
        return tuple(dict.fromkeys(f"{call.method}: {_plain(call.text, ids)}"[:_KEPT] for call in calls))

    def _calls(self, request: bytes, name: str, summary: str, chats: set[str], *, calm: bool = True) -> list[ApiCalled]:
        """Sends a request, waits until the target is quiet, and records; the calls that were made meanwhile, but for others' chats.

        While the target's calls fail (not `calm`), a late answer or none is the trouble's doing.
        """
        context, target = self.context, self.context.target
        facts = context.platform.read(request)
        case = Case(
            name,
            "trust",
            Threat.USER,
            (Segment(request),),
            _ODD,
            summary,
            chat=facts.chat if facts is not None else None,
            update_id=facts.update_id if facts is not None else None,
            user=facts.user if facts is not None else None,
            change=Change(Mechanism.BEHAVIOUR, "trust"),
            role=Role.SETUP,
        )
        others = {str(one.chat) for one in context.recorder.cases.values() if one.chat is not None} - chats
        before = len(target.calls())
        result = target.fire(case, "trust")
        self._acknowledged = result.outcome.ok
        self._until_quiet(before)
        # A look at the target costs a health request, so only what looks wrong gets one.
        if calm and target.suspicious(result):
            observe(context, [result])
        else:
            context.recorder.record(result)
        self._last = name
        mine = [call for call in target.calls()[before:] if not call.in_answer and str(call.chat) not in others]
        return [*context.recorder.tried(result)[1], *mine]

    @property
    def _patience_s(self) -> float:
        """How long the first call is waited for: by what those of this stage took, once there were some."""
        if self._delay_s:
            return max(_LEAST_S, _TIMES * self._delay_s)
        return min(self.context.target.watch.patience_s, _FIRST_S)

    def _until_quiet(self, before: int) -> None:
        """Waits as long as the target's replies usually take, and then until none has come for a while."""
        target = self.context.target
        if not self.context.spec.bot_api:
            sleep(_IN_ANSWER_S)
            return
        began, count = monotonic(), before
        until, longest = began + self._patience_s, began + _LONGEST_S
        while monotonic() < min(until, longest) and not self.clock.should_stop():
            now = len(target.calls())
            if now > count:
                if count == before:
                    self._delay_s = max(self._delay_s, monotonic() - began)
                count, until = now, monotonic() + target.watch.gap_s
            sleep(POLL_S)

    def _tell(
        self,
        check: str,
        name: str,
        what: str,
        threat: Threat,
        rightful: tuple[str, ...],
        plain: tuple[str, ...],
        tries: tuple[tuple[str, ...], ...],
    ) -> None:
        recorder = self.context.recorder
        recorder.emit(TrustTried(recorder.now(), check, name, self._last, what, threat, rightful, plain, tries))


def _rule(name: str, trouble: Trouble, first: int | None = None) -> Rule:
    """The trouble for the target's calls: all, or so many first ones."""
    fault = FAULTS.build(trouble.fault, trouble.options)
    return Rule(name, fault, Matcher(direction=Direction.OUTBOUND), scope=Scope.EXCHANGE, first=first)


def _plain(text: str, ids: set[str]) -> str:
    """A text without markers, ids and numbers."""
    text = MARKER.sub("", text)
    for one in sorted(ids, key=len, reverse=True):
        if len(one) >= _SHORTEST:
            text = text.replace(one, "ID")
    return _DIGITS.sub("#", text).strip()
