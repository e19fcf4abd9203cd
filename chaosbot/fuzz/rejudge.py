"""Sends steps to a target and asks a check about that alone: what shrinking and replay have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count
from time import monotonic
from typing import Final

import msgspec

from chaosbot.checks._cases import overloaded
from chaosbot.checks._join import SHRINKING, Join
from chaosbot.core.case import Case, Segment
from chaosbot.core.check import CHECKS, History
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried, Event, ProbeSeen
from chaosbot.core.kit import IDS
from chaosbot.core.observation import Grew
from chaosbot.core.platform import Platform
from chaosbot.core.verdict import Judgement, Verdict
from chaosbot.fuzz import process
from chaosbot.fuzz.attribution import Attribution
from chaosbot.fuzz.findings import CaseSteps
from chaosbot.fuzz.recorder import CaseRecorder
from chaosbot.fuzz.requests import Signer, renewed, slow, split, unsigned, with_body
from chaosbot.fuzz.scenario import NOBODY
from chaosbot.fuzz.target import CampaignTarget, CaseResult

_NUMBER: Final = re.compile(r"(?<!\d)(\d{1,9})(?!\d)")


class Rejudge:
    """Asks one check about one handful of cases.

    Args:
        target: The target.
        recorder: Where the attempts' events go, under the stage ``shrink``.
        seen: What can be seen.
        attribution: Charges deaths and hangs.
        calls: The mock's calls so far.
    """

    def __init__(
        self,
        target: CampaignTarget,
        recorder: CaseRecorder,
        seen: CampaignStarted,
        attribution: Attribution,
        calls: Callable[[], Sequence[ApiCalled]],
    ) -> None:
        self.target = target
        self.recorder = recorder
        self.seen = seen
        self.attribution = attribution
        self.calls = calls
        self._numbers = count()
        self._began = 0.0
        self._sent: list[Case] = []

    def ask(self, check: str, steps: CaseSteps) -> Judgement:
        """Sends the steps as deliveries of their own and returns what the check says of them."""
        place = Dice(self.target.spec.seed).at("rejudge", self.target.spec.endpoint.started, next(self._numbers))
        already = len(self.calls())
        self._began, self._sent = monotonic(), []
        built = CHECKS.build(check)
        events: list[Event] = [msgspec.structs.replace(self.seen, checks=(), accepted=())]
        for result in self._send(
            self._renewed(steps, place),
            measured=built.needs_isolation,
            calls=built.needs_calls and self.seen.replies == "mock",
            events=events,
        ):
            event, replies = self.recorder.tried(result)
            for reply in replies:
                self.recorder.emit(reply)
            events += replies
            # Events of the attempt itself are judged as cases; the journal keeps them apart by their stage.
            events.append(event)
            self.recorder.record(
                CaseResult(result.case, SHRINKING, result.outcome, result.sent, result.observations, result.health_s)
            )
        if self.seen.replies == "mock" and built.needs_calls:
            self.target.watch.all_replied(self._sent)
            events += [call for call in self.calls()[already:] if not call.in_answer]
        history = History.of(events)
        judgement = built.judge_safely(history)
        if built.needs_calls and not any(map(Join.of(history).calls, history.cases)):
            return Judgement(check, Verdict.INCONCLUSIVE, reason="the bot answered nothing that could be looked at")
        if not judgement.findings and any(overloaded(event) for event in events if isinstance(event, CaseTried)):
            return Judgement(
                check, Verdict.INCONCLUSIVE, reason="the target asks to wait (429 or 503 with Retry-After)"
            )
        return judgement

    def _renewed(self, steps: CaseSteps, place: Dice) -> CaseSteps:
        """The steps as new deliveries, from other users of the same tiers: a rate limit remembers who was here a moment ago."""
        peers = Peers(self.target.platform, place.at("peers"))
        others = tuple(tuple(peers.instead(case, self.target.resigned) for case in step) for step in steps)
        return renew_together(others, place, self.target.resigned)

    def _send(self, steps: CaseSteps, *, measured: bool, calls: bool, events: list[Event]) -> list[CaseResult]:
        results: list[CaseResult] = []
        for planned in steps:
            if measured:
                process.forget_peaks(self.target.pids)
            step = tuple(self._recalling(case, results) for case in planned)
            before = self.target.vitals() if measured else None
            bound = 12.0 if len(step) == 1 and slow(step[0]) else None
            self._sent += step
            if len(step) == 1 and calls and bound is None:
                sent = [self.target.fire_quietly(step[0], "replay")]
            elif len(step) == 1:
                sent = [self.target.fire(step[0], "replay", timeout_s=bound)]
            else:
                sent = self.target.volley(step, "replay")
            after = self.target.vitals() if measured and self.target.lives else None
            self.attribution.after(sent)
            if before is not None and after is not None:
                growth = max(0, after.peak - before.resident)
                sent[-1].observations.append(Grew(growth))
                events.append(ProbeSeen(0.0, "case-memory", ok=True, value=growth, detail=step[-1].name))
            results += sent
        return results

    def _recalling(self, case: Case, results: Sequence[CaseResult]) -> Case:
        """The case with the number that the bot has told this time."""
        told = next((result.case for result in reversed(results) if not result.case.recalls), None)
        if not case.recalls or told is None:
            return case
        if self.seen.replies == "mock":
            self.target.watch.replied(told)
        spoken = [reply for result in results for reply in self.recorder.tried(result)[1] if result.case is told]
        calls = [*spoken, *self.target.watch.replies(told, self._began)]
        numbers = numbers_in(calls, told)
        parts = split(case.request)
        if parts is None or len(numbers) <= case.nth:
            return case
        phrase = case.recalls.rstrip("0123456789") + numbers[case.nth]
        request = with_body(case.request, parts[1].replace(case.recalls.encode(), phrase.encode()))
        return case if request is None else replace(case, segments=(Segment(request),), recalls=phrase)


def numbers_in(calls: Iterable[ApiCalled], case: Case) -> list[str]:
    """The numbers that the bot told in reply to a case, each once."""
    texts = (call.text.replace(case.marker, "") for call in calls)
    return list(dict.fromkeys(number for text in texts for number in _NUMBER.findall(text)))


def renew_together(steps: CaseSteps, place: Dice, sign: Signer = unsigned) -> CaseSteps:
    """All cases as new deliveries; cases that shared a delivery id or a marker still do, and higher ids are higher still."""
    places: dict[tuple[object, str], Dice] = {}
    fresh = []
    for step in steps:
        row = []
        for case in step:
            key = (case.update_id, case.marker)
            own = places.setdefault(key, place.at(len(places)))
            row.append(renewed(case, own, sign, place))
        fresh.append(tuple(row))
    return tuple(fresh)


_ID: Final = re.compile(rb"(?<![\d.])\d{6,16}(?!\d)")
_LARGEST: Final = 1_000_000
"""Larger requests are not searched: what they show is their size."""
_ATTEMPTS: Final = 200
_NOBODIES: Final = range(NOBODY, NOBODY + 5 * IDS)


class Peers:
    """Who stands in for whom, the same in all cases of a sequence.

    Args:
        platform: Knows the users.
        dice: Chooses.
    """

    def __init__(self, platform: Platform, dice: Dice) -> None:
        self._platform = platform
        self._dice = dice
        self._chosen: dict[int, int] = {}

    def instead(self, case: Case, sign: Signer) -> Case:
        """The case with other users in it; as it is where it names none."""
        parts = split(case.request)
        if parts is None or len(case.request) > _LARGEST:
            return case
        rest = parts[0] + _ID.sub(lambda found: self._peer(found[0]), parts[1])
        if rest == case.request:
            return case
        segments = []
        for segment in case.segments:
            segments.append(Segment(rest[: len(segment.data)], segment.pause_s))
            rest = rest[len(segment.data) :]
        chat = self._chosen.get(case.chat, case.chat) if isinstance(case.chat, int) else case.chat
        return sign(case, replace(case, segments=tuple(segments), chat=chat)) or case

    def _peer(self, written: bytes) -> bytes:
        user = int(written)
        if user not in self._chosen:
            self._chosen[user] = self._choose(user)
        return str(self._chosen[user]).encode() if len(str(user)) == len(written) else written

    def _choose(self, user: int) -> int:
        for attempt in range(_ATTEMPTS):
            place = self._dice.at(user, attempt)
            if user in _NOBODIES:
                peer: int | None = NOBODY + place.integer(0, len(_NOBODIES) - 1)
            else:
                peer = self._platform.peer(user, place)
            if peer is None or len(str(peer)) != len(str(user)):
                break
            if peer not in self._chosen.values():  # two people stay two
                return peer
        return user
