"""What the checks over a fuzz campaign share: violations, their root causes, and how they fold into findings.

Rules:

- A violation is decided by a pure function of one tried case, the calls that the target made because of it, and what the campaign
  could see. `CaseCheck.judge` asks it once for every case of the history. A campaign asks it as well, in order to steer: what to
  shrink, and what to stop repeating.
- Violations of one check with one root cause are one finding. A root cause names the mechanism, never only the status.
- A check that needs to see the target's calls and cannot is INCONCLUSIVE.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from chaosbot.checks._join import SHRINKING, Join
from chaosbot.core.case import Reach
from chaosbot.core.check import Check, History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.kit import FRESH
from chaosbot.core.observation import HeadNotAscii, Lacks, NoProof, NotJson, observed
from chaosbot.core.outcome import Fate
from chaosbot.core.verdict import Finding, Judgement, Mechanism, RootCause, Severity, Subject, Threat, Verdict

ASKED: Final = "auth/right-asked"
"""The case in which somebody new asks with the right secret what the forged requests ask."""
MADE_UP_IDS: Final = frozenset({"update_id", "update_kinds/id", "numbers/id"})
"""Places of changes that give a case another delivery id: it may be that of an earlier one."""
NO_CAMPAIGN: Final = "no fuzz campaign in this run"
NEEDS_CALLS: Final = "needs --bot-api: the bot's calls were not seen"
NOT_ASKED: Final = "not asked for (--check)"
NEEDS_MEMORY: Final = "needs --pid or --metrics: the target's memory is not readable"


@dataclass(frozen=True, slots=True)
class Violation:
    """One case violated one check, for one reason.

    Args:
        cause: The root cause.
        title: The finding's title; without measured figures.
        severity: How bad it is.
        threat: Who can cause it.
        summary: What was sent and what came back, with figures.
        category: Where it belongs; empty takes the case's group.
        stateful: Whether one request alone does not show it.
        instead: Root causes that explain this one where they are found as well: both are one finding then.
    """

    cause: RootCause
    title: str
    severity: Severity
    threat: Threat
    summary: str = ""
    category: str = ""
    stateful: bool = False
    instead: frozenset[RootCause] = frozenset()


def sight(history: History) -> CampaignStarted:
    """What the campaign could see; without one, calls are seen where calls were recorded."""
    return history.campaign or CampaignStarted(0.0, "mock" if history.all(ApiCalled) else "none")


def unjudgeable(history: History, check: Check) -> str | None:
    """Why a check over cases cannot judge this run; None when it can."""
    seen = sight(history)
    if not history.cases:
        return NO_CAMPAIGN
    if seen.checks and check.name not in seen.checks:
        return NOT_ASKED
    if check.needs_calls and not seen.sees_calls:
        return NEEDS_CALLS
    return None


class CaseCheck(Check):
    """A check that is judged case by case."""

    live: ClassVar[bool] = True

    @abstractmethod
    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Whether this case says anything about the rule."""

    @abstractmethod
    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """How the case violated the rule; None when it kept it."""

    def judge(self, history: History) -> Judgement:
        """Asks `violation` for every case of the run."""
        reason = self.silence(history)
        if reason is not None:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        seen = sight(history)
        violations = Violations(self.name)
        join, relevant = Join.of(history), self.relevant(history)
        for tried in history.cases:
            if tried.stage != SHRINKING and left(tried) and self.looks_at(tried, seen):
                calls = [call for call in join.calls(tried) if relevant(call)]
                violations.look(tried, self.violation(tried, calls, seen))
        return violations.judgement()

    def relevant(self, history: History) -> Callable[[ApiCalled], bool]:  # noqa: ARG002 - for those that need it
        """Which of the calls that belong to a case say anything about the rule; by default all."""
        return lambda _call: True

    def silence(self, history: History) -> str | None:
        """Why nothing is judged; None when there is something to look at."""
        return unjudgeable(history, self)


GENERATED: Final = "generated"
"""The stage of generated updates."""
ANY_MEMBER: Final = "*"
"""Stands for any member of an update among the causes that explain another."""


@dataclass
class Violations:
    """Violations on their way to a judgement: one finding for each root cause, the first case in front."""

    check: str
    judged: int = 0
    findings: dict[RootCause, Finding] = field(default_factory=dict)
    _instead: dict[RootCause, frozenset[RootCause]] = field(default_factory=dict)
    _subjects: dict[str, str] = field(default_factory=dict)

    def look(self, tried: CaseTried, violation: Violation | None) -> None:
        """Counts one case that was looked at."""
        self.judged += 1
        if violation is not None:
            self.add(violation, tried.case, tried.group)

    def add(self, violation: Violation, case: str, group: str = "") -> None:
        """Counts one violation."""
        cause = violation.cause
        known = self.findings.get(cause)
        if known is not None:
            self.findings[cause] = replace(known, occurrences=known.occurrences + 1)
            # What explains one finding must explain every case of it.
            self._instead[cause] &= violation.instead
            return
        self._instead[cause] = violation.instead
        self.findings[cause] = Finding(
            self.check,
            violation.title,
            violation.severity,
            violation.threat,
            cause,
            violation.category or group,
            case,
            violation.summary,
            stateful=violation.stateful,
        )

    def plan(self, subject: str, reason: str = "") -> None:
        """Notes something that was to be judged, and why it was not; what was judged once is judged."""
        if not reason or subject not in self._subjects:
            self._subjects[subject] = reason

    def explained(self) -> dict[RootCause, Finding]:
        """The findings, those that another one explains counted as that other one."""
        found = dict(self.findings)
        for cause, instead in self._instead.items():
            better = next((one for one in sorted(instead) if one != cause and one in found), None)
            if better is None and RootCause(cause.symptom, Mechanism.MEMBER, ANY_MEMBER) in instead:
                members = (one for one in sorted(found) if one.mechanism is Mechanism.MEMBER)
                better = next((one for one in members if one.symptom == cause.symptom), None)
            if better is not None:
                gone = found.pop(cause)
                found[better] = replace(found[better], occurrences=found[better].occurrences + gone.occurrences)
        return found

    def judgement(self, *, nothing: str = "no case of this run looks at it") -> Judgement:
        """The judgement; with nothing looked at it is inconclusive."""
        found = tuple(self.explained().values())
        subjects = tuple(Subject(name, reason) for name, reason in self._subjects.items())
        if found:
            return Judgement(self.check, Verdict.FAIL, found, judged=self.judged, subjects=subjects)
        if not self.judged:
            return Judgement(self.check, Verdict.INCONCLUSIVE, reason=nothing, subjects=subjects)
        return Judgement(self.check, Verdict.PASS, judged=self.judged, subjects=subjects)


_LOOSE: Final = frozenset({Mechanism.MEMBER, Mechanism.PAYLOAD, Mechanism.SHAPE})
_TRICK: Final = "escalation/"
_PLACES: Final = 40
"""So many places are named in a finding's summary."""


def together(judgement: Judgement, does: Callable[[str], str], *, one: bool = False) -> Judgement:
    """One finding for all places in which an update is not as described, and one for all kinds that break the target.

    How many of them a campaign comes to depends on the machine; what the target does not look at is one mistake, and one id.

    Args:
        judgement: What was found, place by place.
        does: What the target does, by symptom.
        one: Whether kinds and places are one as well.
    """
    groups: dict[RootCause, list[Finding]] = defaultdict(list)
    kept: list[Finding] = []
    shapes = {finding.cause.symptom for finding in judgement.findings if finding.cause.mechanism in _LOOSE}
    for finding in judgement.findings:
        cause = finding.cause
        if cause.place.startswith(_TRICK) and cause.symptom in shapes:
            # A trick for rights that only breaks the target does so by its shape, as other updates do.
            cause = replace(cause, mechanism=Mechanism.SHAPE)
        if cause.mechanism is Mechanism.KIND or (one and cause.mechanism in _LOOSE):
            groups[RootCause(cause.symptom, Mechanism.KIND)].append(finding)
        elif cause.mechanism in _LOOSE:
            groups[RootCause(cause.symptom, Mechanism.SHAPE)].append(finding)
        else:
            kept.append(finding)
    for cause, found in groups.items():
        first = min(found, key=lambda finding: (finding.severity.rank, finding.cause))
        places = sorted({finding.cause.place or "the payload" for finding in found})
        named = ", ".join(places[:_PLACES]) + (f" and {len(places) - _PLACES} more" if len(places) > _PLACES else "")
        what = "valid updates" if cause.mechanism is Mechanism.KIND else "updates that are not as it expects"
        where = "kinds" if cause.mechanism is Mechanism.KIND else "places"
        title = first.title if len(places) == 1 else f"{does(cause.symptom)}: {what}, of several {where}"
        kept.append(
            replace(
                first,
                cause=cause,
                title=title,
                category=first.category if len(places) == 1 else "shape",
                summary=first.summary if len(places) == 1 else f"{first.summary}; {len(places)} {where}: {named}",
                occurrences=sum(finding.occurrences for finding in found),
            )
        )
    return replace(judgement, findings=tuple(kept))


_FRAME: Final = re.compile(
    r'File \\?"[^"]*?([^"/\\]+)\\?", line (\d+), in (\w+)|at (?:\S+ )?\(?(?:[^()\s]*/)?([^()\s/]+\.[cm]?[jt]s):(\d+)'
)


def cause_of(tried: CaseTried, symptom: str) -> RootCause:
    """The root cause of a violation that this case shows: what sets it off is what the case changes.

    What is wrong with the request as a whole (its head, its syntax) explains more than the technique of the catalogue that made it so.
    """
    change = tried.change
    if tried.scenario:
        return RootCause(symptom, Mechanism.SCENARIO)
    if change.mechanism in (Mechanism.TECHNIQUE, Mechanism.SHAPE, Mechanism.SYNTAX):
        if observed(tried.observations, HeadNotAscii):
            return RootCause(symptom, Mechanism.HEAD, "not-ascii")
        if observed(tried.observations, NoProof) and tried.threat is Threat.FORGER:
            return RootCause(symptom, Mechanism.HEAD, "no-proof")
        if observed(tried.observations, NotJson) and tried.threat is not Threat.FORGER:
            return RootCause(symptom, Mechanism.SYNTAX)
    if tried.stage == GENERATED and change.mechanism is Mechanism.KIND:
        # The kind as such is fine, or its plain example has shown otherwise already (`lacking`).
        return RootCause(symptom, Mechanism.SHAPE, change.place)
    return RootCause(symptom, change.mechanism, change.place)


def lacking(tried: CaseTried, cause: RootCause) -> frozenset[RootCause]:
    """The root causes that explain a valid update's: the members that it lacks and most of its kind have.

    A generated update changes many members at once; one that is known to set off the same symptom explains it.
    """
    members = [one.member for one in tried.observations if isinstance(one, Lacks)]
    named = frozenset(RootCause(cause.symptom, Mechanism.MEMBER, f"*.{member}") for member in members)
    if tried.stage == GENERATED and tried.change.mechanism is Mechanism.KIND:
        kind = RootCause(cause.symptom, Mechanism.KIND, cause.place)
        return named | {kind, RootCause(cause.symptom, Mechanism.MEMBER, ANY_MEMBER)}
    return named if cause.mechanism is Mechanism.KIND else frozenset()


def frame(body: bytes) -> str:
    """Where a body says that the target broke (innermost frame of a traceback); empty when it says nothing."""
    frames = _FRAME.findall(body.decode("utf-8", "replace"))
    if not frames:
        return ""
    python = [one for one in frames if one[0]]
    chosen = python[-1] if python else frames[0]
    return ":".join(part for part in chosen if part)


def left(tried: CaseTried) -> bool:
    """Whether the case was sent, or something was seen of it; one for which no time was left says nothing about the target."""
    return tried.outcome.fate is not Fate.CANCELLED or bool(tried.observations)


def answered(tried: CaseTried) -> bool:
    """Whether a whole HTTP answer came."""
    return tried.outcome.fate is Fate.ANSWERED and tried.outcome.status is not None


def overloaded(tried: CaseTried) -> bool:
    """Whether the target asked to be sent less in the way that it should."""
    return tried.outcome.status in (429, 503) and any(name == "retry-after" for name, _ in tried.outcome.headers)


def right(tried: CaseTried, seen: CampaignStarted) -> bool:
    """Whether its status is one that the case expects or, for a valid update, one that the run's person calls right (`--accept-status`)."""
    expect, status = tried.expect, tried.outcome.status or 0
    if expect is None:
        return False
    return expect.allows_status(status) or (expect.allows_status(200) and status in seen.accept_status)


def telling(tried: CaseTried, seen: CampaignStarted) -> bool:
    """Whether it can be told if it was refused: not by a 4xx with which the target takes valid updates as well, unless its calls are seen."""
    return answered(tried) and (seen.sees_calls or not tried.outcome.taken or (tried.outcome.status or 0) < 400)


def forged(tried: CaseTried) -> bool:
    """Whether the case comes from a sender without the secret and must have no effect."""
    return tried.threat is Threat.FORGER and tried.expect is not None and tried.expect.reach is Reach.NONE


def acts(tried: CaseTried, calls: Sequence[ApiCalled]) -> bool:
    """Whether a forged request took effect: what it says is repeated, or something was called because of its chat, which is its alone."""
    # The chat of a forged request that nobody new writes may be somebody's real one.
    own = isinstance(tried.user, int) and tried.user >= FRESH and str(tried.user) == str(tried.chat)
    return any(own or tried.marker in call.markers for call in calls)


def silently(judgement: Judgement, history: History, symptom: str) -> tuple[Judgement, Finding | None]:
    """Leaves out what was acknowledged and did nothing, where the same with the right secret is answered: it was refused silently.

    Returns:
        The judgement without, and one of the findings that were left out.
    """
    control = history.case(ASKED)
    if control is None or not Join.of(history).calls(control):
        return judgement, None
    silent = [finding for finding in judgement.findings if finding.cause.symptom == symptom]
    rest = tuple(finding for finding in judgement.findings if finding not in silent)
    if not silent:
        return judgement, None
    verdict = Verdict.FAIL if rest else Verdict.PASS
    count = sum(finding.occurrences for finding in silent)
    return replace(judgement, verdict=verdict, findings=rest), replace(silent[0], occurrences=count)


def says(tried: CaseTried) -> str:
    """What was sent and what came back, in one line."""
    outcome = tried.outcome
    came = f"{outcome.status}" if outcome.status is not None else str(outcome.fate)
    took = f" after {outcome.total_s:.1f} s" if outcome.total_s >= 0.5 else ""
    return f"{tried.summary or tried.case} → {came}{took}"


def texts(calls: Iterable[ApiCalled]) -> list[str]:
    """The texts that the bot sent."""
    return [call.text for call in calls if call.text]
