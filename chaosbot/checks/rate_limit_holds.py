"""The bot's own limits hold: nobody is answered more often in a minute than their tier may ask.

A limit that does not hold lets one person use up the paid APIs behind the bot. Only a bot that promises limits can break them, so this
check judges runs that ask for it: ``--check rate_limit_holds``, or ``checks`` of an experiment.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._directions import NEEDS_CALLS
from chaosbot.core.check import Check, History
from chaosbot.core.event import ApiCalled
from chaosbot.core.registry import option
from chaosbot.core.stats import most_within
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict

WINDOW_S: Final = 60.0
TOLD: Final = 2
"""So many answers beyond the limit may say that it was reached; where it is said more often, its words are known by that."""
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class RateLimitHolds(Check):
    """No more answers in a minute than a user's tier may have.

    A bot may count in fixed minutes, so up to twice the limit within any sixty seconds is right.
    """

    needs_calls: ClassVar[bool] = True
    on_demand: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False

    guest: int = option("count", "messages in a minute of a guest", 5)
    user: int = option("count", "of a user", 20)
    developer: int = option("count", "of a developer", 50)
    admin: int = option("count", "of an admin", 1000)

    def judge(self, history: History) -> Judgement:
        """Compares what each user asked in private with what came back to them."""
        if not history.all(ApiCalled):
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NEEDS_CALLS)
        asked: dict[tuple[int | str, str], list[float]] = defaultdict(list)
        for request in history.requests:
            if request.user is not None and request.chat == request.user and request.outcome.ok:
                asked[request.user, request.tier].append(request.t)
        answers: dict[int | str, list[ApiCalled]] = defaultdict(list)
        for call in history.all(ApiCalled):
            if call.chat is not None and call.method.startswith(("send", "copy", "forward")):
                answers[call.chat].append(call)
        firsts = {_words(min(answers[user], key=lambda call: call.t)) for user, _ in asked if answers[user]}
        judged, broken, worst = 0, 0, (0, 0, "")
        for (user, tier), times in asked.items():
            most = 2 * getattr(self, tier, 0) + TOLD if tier in ("guest", "user", "developer", "admin") else 0
            if not most or most_within(times, WINDOW_S) <= most:
                continue  # asked so little that the limit says nothing
            judged += 1
            found = most_within(_served(answers[user], firsts), WINDOW_S)
            if found > most:
                broken += 1
                worst = max(worst, (found, getattr(self, tier), tier))
        if not judged:
            reason = (
                "nobody asked more than twice their limit in a minute; use few users (--class admin=1) or a higher rate"
            )
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        if not broken:
            return Judgement(self.name, Verdict.PASS, judged=judged)
        count, limit, tier = worst
        finding = Finding(
            self.name,
            "answers more often in a minute than a user's tier may ask",
            Severity.MEDIUM,
            Threat.USER,
            RootCause("rate-limit"),
            category="load",
            summary=f"{count} answers to one {tier} within a minute, the limit is {limit}; {broken} of {judged} users",
            occurrences=broken,
            stateful=True,
        )
        return Judgement(self.name, Verdict.FAIL, (finding,), judged=judged)


def _words(call: ApiCalled) -> str:
    return _NUMBER.sub("#", call.text)


def _served(answers: Sequence[ApiCalled], firsts: Collection[str]) -> list[float]:
    """When a user was served: without the text (numbers aside) that comes most often, where it is nobody's first answer, which no limit meets."""
    later = Counter(words for call in answers if (words := _words(call)) not in firsts)
    refusal = next((words for words, count in later.most_common(1) if count > TOLD), None)
    return [call.t for call in answers if _words(call) != refusal]
