"""What a request costs is bounded: a small body never becomes a large memory, and nothing is kept for ever.

Case by case the peak that one request leaves behind is compared with its size (a gzip bomb, a flood of keys); over a whole run the
level of memory is compared between its thirds under the same load.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._cases import NEEDS_MEMORY, CaseCheck, Violation, cause_of, says, sight
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Grew, observed
from chaosbot.core.registry import option
from chaosbot.core.stats import median
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict

_FEW: Final = 30
_SHORTEST_S: Final = 20.0


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
        load = self._level(history)
        if load is None:
            return judgement
        findings = judgement.findings + load.findings
        if not judgement.judged:
            return load
        verdict = Verdict.FAIL if findings else Verdict.worst([judgement.verdict, load.verdict])
        return Judgement(self.name, verdict, findings, judged=judgement.judged + load.judged)

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
