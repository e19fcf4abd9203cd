"""What the checks over a fuzz campaign share: the facts of the campaign, breaches, and how they fold into findings.

Rules:

- A breach is decided by a pure function of one tried case, the calls that the bot made because of it, and the campaign's facts.
  The engine asks it live, in order to shrink; `CaseCheck.judge` asks the same function over the history, so both agree.
- Breaches of one check with one bucket are one finding. A bucket names the mechanism, never only the status.
- A check that needs to see the bot's calls and cannot says INCONCLUSIVE.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from chaosbot.core.case import Reach
from chaosbot.core.check import Check, History
from chaosbot.core.event import ApiCalled, CaseTried, Noted
from chaosbot.core.outcome import Fate
from chaosbot.core.verdict import Finding, Judgement, Severity, Threat, Verdict

AREA: Final = "fuzz"
SHRINKING: Final = "shrink"
"""The stage of attempts at a smaller case: they show what is known already."""
NO_CAMPAIGN: Final = "no fuzz campaign in this run"
NEEDS_CALLS: Final = "needs --bot-api: the bot's calls were not seen"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the campaign found out about its own sight before it began.

    Args:
        replies: Where the bot's replies are seen: ``mock``, ``body`` (in the webhook's answer) or ``none``.
        malformed: The policy for malformed requests: ``reject``, ``ack`` or ``any``.
        memory: Whether the target's memory can be read.
        echoes: Whether the bot repeats what it is told.
        muted: Ids of findings that people have accepted (the baseline).
        asked: The checks that were asked for; empty asks for all.
    """

    replies: str = "none"
    malformed: str = "any"
    memory: bool = False
    echoes: bool = False
    muted: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()

    @property
    def sees_calls(self) -> bool:
        """Whether the bot's calls are seen at all."""
        return self.replies != "none"

    @classmethod
    def of(cls, history: History) -> Facts:
        """Reads the facts that the campaign noted; the mock counts as seen when calls were recorded."""
        data: dict[str, Any] = {}
        muted: set[str] = set()
        for noted in history.all(Noted):
            if noted.area == AREA:
                muted.update(noted.data.get("muted", ()))
                data.update(noted.data if "replies" in noted.data else {})
        if not data:
            return cls("mock" if history.all(ApiCalled) else "none", muted=frozenset(muted))
        return cls(
            str(data["replies"]),
            str(data.get("malformed", "any")),
            bool(data.get("memory")),
            bool(data.get("echoes")),
            frozenset(muted),
            frozenset(data.get("checks", ())),
        )


@dataclass(frozen=True, slots=True)
class Breach:
    """One case broke one check, for one reason."""

    bucket: str
    title: str
    severity: Severity
    threat: Threat
    summary: str = ""
    category: str = ""
    stateful: bool = False


def unjudgeable(history: History, facts: Facts, check: str) -> str | None:
    """Why a check that compares what the bot did cannot judge this run; None when it can."""
    if not history.cases:
        return NO_CAMPAIGN
    if not facts.sees_calls:
        return NEEDS_CALLS
    if facts.asked and check not in facts.asked:
        return "not asked for (--check)"
    return None


class CaseCheck(Check):
    """A check that is judged case by case.

    `needs_calls` says that it looks at what the bot did afterwards, so that it is judged when the calls have come in.
    """

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = False

    @abstractmethod
    def looks_at(self, tried: CaseTried, facts: Facts) -> bool:
        """Whether this case says anything about the rule."""

    @abstractmethod
    def breach(self, tried: CaseTried, calls: Sequence[ApiCalled], facts: Facts) -> Breach | None:
        """How the case broke the rule; None when it kept it."""

    def judge(self, history: History) -> Judgement:
        """Asks `breach` for every case of the run."""
        facts = Facts.of(history)
        silent = self.silence(history, facts)
        if silent is not None:
            return silent
        tally = Tally(self.name, facts.muted)
        join = Join(history)
        lacking: dict[str, set[str]] = {}
        for tried in history.cases:
            if tried.stage != SHRINKING and self.looks_at(tried, facts):
                breach = self.breach(tried, join.calls(tried), facts)
                tally.look(tried, breach)
                if breach is not None and KIND in breach.bucket:
                    start = breach.bucket.partition(KIND)[0]
                    lacks = {f"{start}*.{note.removeprefix(LACKS)}" for note in tried.notes if note.startswith(LACKS)}
                    lacking[breach.bucket] = lacking.get(breach.bucket, lacks) & lacks
        # A valid update without a member breaks for the same reason as one from which that member was taken.
        tally.settle((bucket, cause) for bucket, causes in lacking.items() for cause in sorted(causes))
        return tally.judgement()

    def silence(self, history: History, facts: Facts) -> Judgement | None:
        """Why nothing is judged; None when there is something to look at."""
        if not history.cases:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NO_CAMPAIGN)
        if facts.asked and self.name not in facts.asked:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason="not asked for (--check)")
        if self.needs_calls and not facts.sees_calls:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NEEDS_CALLS)
        return None


_FEW_OWNERS: Final = 2


class Join:
    """Finds the calls that a case made the bot do.

    By the marker first; by the chat where that is the case's own (or, when nothing carries the marker, shared with one other case
    only). Never by time.

    Args:
        history: The run.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        owners: dict[str, set[str]] = defaultdict(set)
        for tried in history.cases:
            if tried.chat is not None:
                owners[str(tried.chat)].add(tried.marker)
        self._own = {chat for chat, markers in owners.items() if len(markers) == 1}
        self._narrow = {chat for chat, markers in owners.items() if len(markers) <= _FEW_OWNERS}

    def calls(self, tried: CaseTried) -> list[ApiCalled]:
        """The calls that belong to a case."""
        marked = self._history.calls_by_marker.get(tried.marker, []) if tried.marker else []
        if tried.chat is None or str(tried.chat) not in (self._own if marked else self._narrow):
            return marked
        # A call with somebody else's marker in this chat belongs to whoever planted that one.
        placed = [call for call in self._history.calls_by_chat.get(str(tried.chat), ()) if not call.markers]
        return [*marked, *placed] if placed else marked


@dataclass
class Tally:
    """Breaches on their way to a judgement: one finding for each bucket, the shortest case in front."""

    check: str
    muted: frozenset[str] = frozenset()
    judged: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)

    def look(self, tried: CaseTried, breach: Breach | None) -> None:
        """Counts one case that was looked at."""
        self.judged += 1
        if breach is not None:
            self.add(breach, tried.case, tried.group)

    def add(self, breach: Breach, case: str, group: str = "") -> None:
        """Counts one breach."""
        known = self.findings.get(breach.bucket)
        if known is not None:
            self.findings[breach.bucket] = replace(known, occurrences=known.occurrences + 1)
            return
        self.findings[breach.bucket] = Finding(
            self.check,
            breach.title,
            breach.severity,
            breach.threat,
            breach.bucket,
            breach.category or group,
            case,
            breach.summary,
            stateful=breach.stateful,
        )

    def settle(self, implied: Iterable[tuple[str, str]]) -> None:
        """Counts a bucket that follows from another one as that other one, where both are there."""
        for bucket, cause in implied:
            if bucket in self.findings and cause in self.findings:
                more = self.findings.pop(bucket)
                known = self.findings[cause]
                self.findings[cause] = replace(known, occurrences=known.occurrences + more.occurrences)

    def judgement(self, *, nothing: str = "no case of this run looks at it") -> Judgement:
        """The judgement; with nothing looked at it is inconclusive."""
        found = tuple(finding for finding in self.findings.values() if finding.id not in self.muted)
        if found:
            return Judgement(self.check, Verdict.FAIL, found, judged=self.judged)
        if not self.judged:
            return Judgement(self.check, Verdict.INCONCLUSIVE, reason=nothing)
        return Judgement(self.check, Verdict.PASS, judged=self.judged)


LACKS: Final = "lacks:"
"""Notes of members that updates of this kind mostly have and this one has not."""
KIND: Final = "kind:"
"""Begins the mechanism of a valid update: what it is about is not known yet."""
_VARIANT: Final = re.compile(r"[-_ ]?\d+.*$")
_FRAME: Final = re.compile(
    r'File \\?"[^"]*?([^"/\\]+)\\?", line (\d+), in (\w+)|at (?:\S+ )?\(?(?:[^()\s]*/)?([^()\s/]+\.[cm]?[jt]s):(\d+)'
)


def stem(tried: CaseTried) -> str:
    """The mechanism that a case stands for: what several cases have in common that break for one reason.

    | case | mechanism |
    |---|---|
    | a member changed (mutations, shape, buttons, messages) | ``*.member``, whatever the update's kind; ``payload`` for the payload itself |
    | a valid update (golden, generated, update kinds) | ``kind:`` and its kind |
    | no JSON by any reading (noted as ``no-json``) | ``json/invalid`` |
    | a head with bytes beyond ASCII, one without secret or signature | ``head/not-ascii``, ``head/no-secret`` |
    | nesting | ``structure/depth`` |
    | anything else | its group and the first word of its own name |
    """
    if tried.stage == "sequences":
        return "sequence"
    parts = tried.case.split("/")
    word = word_of(tried.case)
    if parts[0] == "mutation" and len(parts) >= 4:
        path = parts[-2].split(".")
        if len(path) > 1:
            return f"*.{path[1]}"
        # Where updates have kinds, the member at the top that is named after it is the payload.
        whole = "payload" if path[0] == parts[1] or parts[1] == "command" else f"*.{path[0]}"
        return "update_id" if path[0] == "update_id" else whole
    if word == "payload":
        return "payload"
    if tried.group == "shape" and len(parts) >= 3:
        return f"*.{word.split('.')[0]}"
    if tried.group in ("callbacks", "messages") and word not in ("costly", "naughty", "valid"):
        return f"*.{word}"
    if parts[0] in ("golden", "generated") or (tried.group == "update_kinds" and word in (tried.kind, "command")):
        return f"kind:{tried.kind}"
    if "head-not-ascii" in tried.notes:
        return "head/not-ascii"
    if "no-secret" in tried.notes and tried.threat is Threat.FORGER:
        return "head/no-secret"
    if tried.group == "structure" and word in ("deep", "nested"):
        return "structure/depth"
    invalid = tried.group == "json" and tried.expect is not None and not tried.expect.allows_status(200)
    if invalid or ("no-json" in tried.notes and tried.threat is not Threat.FORGER):
        return "json/invalid"
    return f"{tried.group}/{word}"


def word_of(name: str) -> str:
    """The first word of a case's own name, without its number: ``json/truncated-3`` is ``truncated``."""
    word = name.rsplit("/", maxsplit=1)[-1].split("~", 1)[0]
    return _VARIANT.sub("", word).split("-", 1)[0] or word


def signature(body: bytes) -> str:
    """Where a body says that the target broke (innermost frame of a traceback); empty when it says nothing."""
    frames = _FRAME.findall(body.decode("utf-8", "replace"))
    if not frames:
        return ""
    python = [frame for frame in frames if frame[0]]
    chosen = python[-1] if python else frames[0]
    return ":".join(part for part in chosen if part)


def answered(tried: CaseTried) -> bool:
    """Whether a whole HTTP answer came."""
    return tried.outcome.fate is Fate.ANSWERED and tried.outcome.status is not None


def overloaded(tried: CaseTried) -> bool:
    """Whether the target asked for patience in the way that it should."""
    return tried.outcome.status in (429, 503) and any(name == "retry-after" for name, _ in tried.outcome.headers)


def forged(tried: CaseTried) -> bool:
    """Whether the case comes from somebody without the secret and must have no effect."""
    return tried.threat is Threat.FORGER and tried.expect is not None and tried.expect.reach is Reach.NONE


def says(tried: CaseTried) -> str:
    """What was sent and what came back, in one line."""
    outcome = tried.outcome
    came = f"{outcome.status}" if outcome.status is not None else str(outcome.fate)
    took = f" after {outcome.total_s:.1f} s" if outcome.total_s >= 0.5 else ""
    return f"{tried.summary or tried.case} → {came}{took}"


def texts(calls: Iterable[ApiCalled]) -> list[str]:
    """The texts that the bot sent."""
    return [call.text for call in calls if call.text]
