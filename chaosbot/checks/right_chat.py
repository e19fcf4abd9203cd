"""A reply goes to the chat that it belongs to.

In a private chat the sender's id is the chat's id, so a bot that mixes them up looks right until it is used in a group.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._cases import MADE_UP_IDS, NEEDS_CALLS, CaseCheck, Violation, says
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.marker import digest
from chaosbot.core.verdict import Finding, Judgement, Mechanism, RootCause, Severity, Threat, Verdict

_SEVERAL: Final = 3
_TOGETHER_S: Final = 1.0
"""What somebody is told, and what is passed on of what they wrote, come so soon after each other."""
_ID: Final = re.compile(r"-?\d{5,}")


def _strays(chat: object, calls: Sequence[ApiCalled], callback: str | None = None) -> list[ApiCalled]:
    """The calls to other chats, when none went to the right one (a copy to a log chat is fine), nor where an interaction is answered."""
    placed = [call for call in calls if call.chat is not None and not (callback and call.callback == callback)]
    if any(str(call.chat) == str(chat) for call in placed):
        return []
    return placed


def _answered_at_home(history: History) -> Callable[[ApiCalled], bool]:
    """Tells of a call that repeats what somebody wrote elsewhere whether that one was told something as well, which repeats nothing.

    In a chat in which several lines go back and forth that may belong to any of them; then what comes elsewhere is passed on.
    """
    said = {
        chat: sorted(call.t for call in calls if call.text and not call.markers)
        for chat, calls in history.calls_by_chat.items()
    }
    wrote = {tried.marker: tried for tried in history.cases if tried.marker}

    def answered(call: ApiCalled) -> bool:
        for tried in filter(None, map(wrote.get, call.markers)):
            times = said.get(str(tried.chat), []) if str(tried.chat) != str(call.chat) else []
            after = bisect_left(times, tried.sent)
            if after < len(times) and times[after] <= call.t + _TOGETHER_S:
                return True
        return False

    return answered


@dataclass(frozen=True)
class RightChat(CaseCheck):
    """Replies go where they belong."""

    needs_calls = True

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Cases that know where their reply belongs."""
        # A chat id of the wrong type belongs nowhere, so no reply to it is a wrong one.
        odd = tried.change.mechanism in (Mechanism.MEMBER, Mechanism.PAYLOAD, Mechanism.SHAPE)
        # What has the id of another delivery may be answered as that one was.
        odd = odd or tried.change.place in MADE_UP_IDS
        # Whoever is compared with somebody else may be taken for them, who may write to others.
        return tried.chat is not None and bool(tried.marker) and not odd and not tried.control

    def relevant(self, history: History) -> Callable[[ApiCalled], bool]:
        """What is passed on is no reply, and nothing is in a chat that is told what several people write elsewhere: an operator's, or a log.

        What is written there may be meant for others, and whom it names may be made operators.
        """
        told: dict[str, set[int | str]] = defaultdict(set)
        for tried in history.cases:
            for call in history.calls_by_marker.get(tried.marker, ()) if tried.marker else ():
                if tried.user is not None and str(call.chat) not in (str(tried.chat), str(tried.user)):
                    told[str(call.chat)].add(tried.user)
        passed_on = {chat for chat, people in told.items() if len(people) >= _SEVERAL}
        # What has the id of another delivery may be answered as that one was.
        homes: dict[object, set[str]] = defaultdict(set)
        for tried in history.cases:
            homes[tried.update_id].add(str(tried.chat))
        twice = {chat for number, chats in homes.items() if number is not None and len(chats) > 1 for chat in chats}
        theirs = [tried for tried in history.cases if str(tried.chat) in passed_on]
        meant = {tried.marker for tried in theirs if tried.marker}
        passed_on |= {number for tried in theirs for number in _ID.findall(tried.summary)}
        answered = _answered_at_home(history)
        return lambda call: (
            call.origin is None
            and str(call.chat) not in passed_on
            and not meant.intersection(call.markers)
            and not (call.in_answer and str(call.chat) in twice)
            and not answered(call)
        )

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """All calls that carry its marker went elsewhere."""
        # A bot that brings people together passes on what they write, word by word; what names them, or holds several of their messages, is
        # about them. None of that is a reply.
        strays = [
            call
            for call in _strays(tried.chat, calls, tried.callback)
            if digest(call.text) != tried.wrote
            and str(tried.user) not in _ID.findall(call.text)
            and len(set(call.markers)) <= 1
        ]
        if not strays:
            return None
        title = f"replies to another chat than the update's: {tried.summary or tried.case}"
        summary = f"{says(tried)}; {strays[0].method} went to {strays[0].chat} instead of {tried.chat}"
        return Violation(RootCause("elsewhere"), title, Severity.HIGH, tried.threat, summary)

    def judge(self, history: History) -> Judgement:
        """The cases of a campaign and the requests of a load run."""
        judgement = super().judge(history)
        if not history.requests:
            return judgement
        if not history.all(ApiCalled):
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NEEDS_CALLS)
        strays: list[ApiCalled] = []
        looked = 0
        for request in history.requests:
            if request.marker and request.chat is not None and history.repeats_markers:
                calls = history.calls_by_marker.get(request.marker, [])
                looked += bool(calls)
                strays += _strays(request.chat, calls, request.callback)[:1]
        findings = judgement.findings
        if strays:
            findings += (
                Finding(
                    self.name,
                    "replies to another chat than the update's",
                    Severity.HIGH,
                    Threat.LOAD,
                    RootCause("elsewhere"),
                    summary=f"{len(strays)} of {looked} answered updates; first: {strays[0].method} to {strays[0].chat}",
                    occurrences=len(strays),
                    stateful=True,
                ),
            )
        verdict = Verdict.FAIL if findings else Verdict.PASS if looked or judgement.judged else Verdict.INCONCLUSIVE
        return Judgement(
            self.name,
            verdict,
            findings,
            reason=judgement.reason if not looked else "",
            judged=judgement.judged + looked,
        )
