"""What a request costs is bounded: a small body never becomes a large memory, and nothing is kept for ever.

Case by case the peak that one request leaves behind is compared with its size (a gzip bomb, a flood of keys); over a whole run the
level of memory is compared between its thirds under the same load.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._cases import Breach, CaseCheck, Facts, says, stem
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.registry import option
from chaosbot.core.stats import median
from chaosbot.core.verdict import Finding, Judgement, Severity, Threat, Verdict

_NOTE: Final = "memory:"
_FEW: Final = 30
_SHORTEST_S: Final = 20.0


def growth_of(tried: CaseTried) -> int | None:
    """What the target's peak grew by; None where it was not measured."""
    return next((int(note.removeprefix(_NOTE)) for note in tried.notes if note.startswith(_NOTE)), None)


@dataclass(frozen=True)
class BoundedResources(CaseCheck):
    """Memory stays within bounds."""

    most: int = option("size", "the most that one request may make memory grow", 64 * 1024 * 1024, primary=True)
    leak: int = option("size", "the most that memory may grow under a steady load", 24 * 1024 * 1024)

    def looks_at(self, tried: CaseTried, facts: Facts) -> bool:
        """Cases whose cost was measured, from senders who know the secret."""
        return tried.threat is not Threat.FORGER and growth_of(tried) is not None

    def breach(self, tried: CaseTried, calls: Sequence[ApiCalled], facts: Facts) -> Breach | None:
        """The peak grew by more than a request may cost."""
        growth = growth_of(tried) or 0
        if growth <= self.most:
            return None
        title = f"one request makes memory grow by {growth // 2**20} MB: {tried.summary or tried.case}"
        return Breach(f"peak:{stem(tried)}", title, Severity.HIGH, tried.threat, says(tried))

    def silence(self, history: History, facts: Facts) -> Judgement | None:
        """Without a look at memory nothing is judged."""
        silent = super().silence(history, facts)
        if silent is None and not facts.memory:
            reason = "needs --pid or --metrics: the target's memory is not readable"
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        return silent

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
            f"memory grows steadily under load: {growth / 2**20:.0f} MB in {span * 2 / 3:.0f} s",
            Severity.HIGH,
            Threat.LOAD,
            "leak",
            category="soak",
            summary=f"medians of three thirds: {first / 2**20:.0f}, {middle / 2**20:.0f}, {last / 2**20:.0f} MB",
            stateful=True,
        )
        return Judgement(self.name, Verdict.FAIL, (finding,), judged=len(looks))
