"""What a request costs is bounded: a small body never becomes a large memory, and nothing is kept for ever.

Case by case the peak that one request leaves behind is compared with its size (a gzip bomb, a flood of keys); over a whole run the
level of memory is compared between its thirds under the same load.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Final

from chaosbot.checks._cases import NEEDS_MEMORY, CaseCheck, Violation, cause_of, says, sight
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried, ProbeSeen
from chaosbot.core.observation import Grew, observed
from chaosbot.core.registry import option
from chaosbot.core.stats import median
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict

_FEW: Final = 30
_SHORTEST_S: Final = 20.0
_ENOUGH: Final = 18
"""Rounds of the growth stage after which growth is no warming up."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is looked at between the rounds of the growth stage.

    Args:
        probe: The probe's name.
        each: The growth for each update from which on it is no noise.
        what: What a target does that grows.
        sent: What was sent, in the plural.
        unit: What the summary counts in.
        size: How much one unit is.
    """

    probe: str
    each: float
    what: str
    sent: str
    unit: str
    size: float = 1.0


_KINDS: Final = {
    "": (12_288.0, "update", "ordinary updates of one chat"),
    "inline_query": (4_096.0, "inline query", "inline queries"),
    "edited_message": (12_288.0, "edited message", "edits"),
    "callback_query": (4_096.0, "pressed button", "presses"),
    "user": (8_192.0, "new user", "messages, each of somebody new"),
    "group": (8_192.0, "new group", "messages, each in another group"),
}
"""What the growth stage sends, by kind: the least growth in bytes, one of them, and all of them.

A target may know its users and groups, and what it caches of a query has an end: more than a few KB of each is more than that.
"""


def _kept(kind: str) -> tuple[Kept, Kept]:
    least, each, sent = _KINDS[kind]
    name = f"/{kind}" if kind else ""
    return (
        Kept(f"kept-memory{name}", least, f"keeps something of every {each}", sent, "MB", 2.0**20),
        Kept(f"kept-descriptors{name}", 0.2, f"leaves something open after every {each}", sent, "descriptors"),
    )


KEPT: Final = {kind: _kept(kind) for kind in _KINDS}
"""What is looked at, memory and descriptors, by the kind of what is sent meanwhile."""


def looks_of(probes: Iterable[ProbeSeen], row: Kept) -> list[tuple[int, float]]:
    """How many updates had been sent, and what was held then, at each look at a row."""
    return [
        (int(one.detail), float(one.value))
        for one in probes
        if one.probe == row.probe and isinstance(one.value, (int, float))
    ]


def grows(looks: Sequence[tuple[int, float]], each: float, *, steadily: bool = True) -> bool:
    """Whether what is held grows by at least `each` with every update, from the second third of the looks to the last.

    Args:
        looks: How many updates were sent, and what was held then.
        each: The least growth for an update.
        steadily: Whether it must grow nearly as much as from the first third to the second, and from most looks to the next; a
            process that warms up does neither.
    """
    third = len(looks) // 3
    parts = (looks[:third], looks[third : 2 * third], looks[2 * third :])
    # Rounds of slow targets become smaller, so what counts is how much more each update adds.
    middles = [(median([float(sent) for sent, _ in part]), median([held for _, held in part])) for part in parts]
    early, late = map(_slope, middles, middles[1:])
    if late < each or not steadily:
        return late >= each
    steps = sorted(map(_slope, looks[third:], looks[third + 1 :]))
    return late >= early / 2 > 0 and steps[len(steps) // 4] >= late / 3


def _slope(before: tuple[float, float], after: tuple[float, float]) -> float:
    return (after[1] - before[1]) / (after[0] - before[0])


@dataclass(frozen=True)
class BoundedResources(CaseCheck):
    """Memory stays within bounds."""

    needs_isolation: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False

    most: int = option("size", "the most that one request may make memory grow", 64 * 1024 * 1024, primary=True)
    leak: int = option("size", "the most that memory may grow under a steady load", 24 * 1024 * 1024)

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Cases whose cost was measured, from senders who know the secret."""
        return tried.threat is not Threat.FORGER and observed(tried.observations, Grew) is not None

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """The peak grew by more than a request may cost."""
        grew = observed(tried.observations, Grew)
        if grew is None or grew.size <= self.most:
            return None
        title = f"one request makes memory grow far beyond its size: {tried.summary or tried.case}"
        summary = f"{says(tried)}; memory grew by {grew.size // 2**20} MB"
        return Violation(cause_of(tried, "peak"), title, Severity.HIGH, tried.threat, summary)

    def silence(self, history: History) -> str | None:
        """Without a look at memory nothing is judged."""
        reason = super().silence(history)
        return NEEDS_MEMORY if reason is None and not sight(history).memory else reason

    def judge(self, history: History) -> Judgement:
        """The cases of a campaign, and the level of memory under load."""
        judgement = super().judge(history)
        for more in (self._level(history), self._kept(history)):
            if more is not None and judgement.judged:
                findings = judgement.findings + more.findings
                verdict = Verdict.FAIL if findings else Verdict.worst([judgement.verdict, more.verdict])
                judgement = Judgement(self.name, verdict, findings, judged=judgement.judged + more.judged)
            elif more is not None:
                judgement = more
        return judgement

    def _kept(self, history: History) -> Judgement | None:
        """What is kept of each of many alike updates (stage growth)."""
        found: list[Finding] = []
        judged = 0
        for row in chain.from_iterable(KEPT.values()):
            looks = looks_of(history.probes, row)
            judged += len(looks) >= _ENOUGH
            if len(looks) < _ENOUGH or not grows(looks, row.each):
                continue
            more = (looks[-1][1] - looks[0][1]) / row.size
            said = f"{looks[-1][0] - looks[0][0]} {row.sent}: {more:.1f} {row.unit} more, and no end of it"
            cause = RootCause("kept", place=row.probe)
            found.append(
                Finding(
                    self.name, row.what, Severity.HIGH, Threat.LOAD, cause, category="soak", summary=said, stateful=True
                )
            )
        if not judged:
            return None
        return Judgement(self.name, Verdict.FAIL if found else Verdict.PASS, tuple(found), judged=judged)

    def _level(self, history: History) -> Judgement | None:
        looks = [
            (probe.t, float(probe.value))
            for probe in history.probes
            if probe.probe == "memory" and probe.ok and isinstance(probe.value, (int, float))
        ]
        if len(looks) < _FEW or looks[-1][0] - looks[0][0] < _SHORTEST_S:
            return None
        # The first quarter is warming up: caches fill, pools grow.
        steady = [value for _, value in looks[len(looks) // 4 :]]
        third = len(steady) // 3
        first, middle, last = (
            median(part) for part in (steady[:third], steady[third : 2 * third], steady[2 * third :])
        )
        growth = last - first
        # Three medians that rise evenly are a leak; a single step is a cache or a pool that found its size.
        if growth <= self.leak or middle - first < growth / 4 or last - middle < growth / 4:
            return Judgement(self.name, Verdict.PASS, judged=len(looks))
        span = looks[-1][0] - looks[len(looks) // 4][0]
        finding = Finding(
            self.name,
            "memory grows steadily under load",
            Severity.HIGH,
            Threat.LOAD,
            RootCause("leak"),
            category="soak",
            summary=f"medians of three thirds: {first / 2**20:.0f}, {middle / 2**20:.0f}, {last / 2**20:.0f} MB; "
            f"{growth / 2**20:.0f} MB in {span * 2 / 3:.0f} s",
            stateful=True,
        )
        return Judgement(self.name, Verdict.FAIL, (finding,), judged=len(looks))
