"""Whatever is sent, the target answers with a status of its choice, never with a 5xx that nobody chose.

A 5xx means that an exception got to the top. The platform redelivers such an update for ever, and everything behind it waits.
503 or 429 with Retry-After is a choice (overload), and so is a status that the case itself allows.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from chaosbot.checks._cases import Breach, CaseCheck, Facts, answered, overloaded, says, signature, stem
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.exchange import Direction
from chaosbot.core.outcome import Fate
from chaosbot.core.verdict import Finding, Judgement, Severity, Threat, Verdict

_MANY: Final = 5
_PLAIN: Final = ("auth/wrong", "signed/foreign")
_SHAPE: Final = re.compile(
    r"(\d{3}):(?:\*\.|payload|update_kinds/|chats/|files/|json/(?:root|list)|shape/|structure/doubled)"
)


@dataclass(frozen=True)
class NoServerError(CaseCheck):
    """Nothing that is sent makes the target answer 5xx, or drop the connection without an answer."""

    def looks_at(self, tried: CaseTried, facts: Facts) -> bool:
        """Every case that got an answer, or was confirmed to get none."""
        return answered(tried) or "dropped" in tried.notes

    def breach(self, tried: CaseTried, calls: Sequence[ApiCalled], facts: Facts) -> Breach | None:
        """A status of 500 or more that the case does not allow."""
        severity = Severity.LOW if tried.threat is Threat.FORGER else Severity.MEDIUM
        if "dropped" in tried.notes:
            title = f"closes the connection without an answer to {tried.summary or tried.case}"
            return Breach(f"dropped:{stem(tried)}", title, severity, tried.threat, says(tried))
        status = tried.outcome.status or 0
        if status < 500 or overloaded(tried) or (tried.expect is not None and tried.expect.allows_status(status)):
            return None
        where = signature(tried.outcome.body)
        title = f"answers {status} to {tried.summary or tried.case}; an expected refusal is a 4xx"
        return Breach(f"{status}:{where or stem(tried)}", title, severity, tried.threat, says(tried))

    def judge(self, history: History) -> Judgement:
        """The cases of a campaign and, in a load run, the requests that no inbound fault met."""
        judgement = _strangers(_together(super().judge(history)))
        if not history.requests:
            return judgement
        hit = {
            exchange
            for exchange, faults in history.injections.items()
            if any(fault.direction is Direction.INBOUND for fault in faults)
        }
        clean = [request for request in history.requests if request.exchange not in hit]
        by_status: dict[tuple[int, str], int] = {}
        for request in clean:
            outcome = request.outcome
            if outcome.fate is not Fate.ANSWERED or (outcome.status or 0) < 500:
                continue
            if outcome.status == 503 and any(name == "retry-after" for name, _ in outcome.headers):
                continue
            key = (outcome.status or 0, request.kind or "")
            by_status[key] = by_status.get(key, 0) + 1
        found = tuple(
            Finding(
                self.name,
                f"answers {status} to valid updates while the calls that it makes fail",
                Severity.HIGH,
                Threat.NETWORK,
                f"load:{status}",
                category=kind,
                summary=f"{count} of {len(clean)} requests that no inbound fault met",
                occurrences=count,
                stateful=True,
            )
            for (status, kind), count in sorted(by_status.items())
        )
        merged: dict[str, Finding] = {}
        for finding in found:
            merged.setdefault(finding.bucket, finding)
        findings = judgement.findings + tuple(merged.values())
        verdict = Verdict.FAIL if findings else Verdict.PASS if clean or judgement.judged else judgement.verdict
        return Judgement(self.name, verdict, findings, judged=judgement.judged + len(clean))


def _strangers(judgement: Judgement) -> Judgement:
    """Makes one finding of all that strangers send, where a wrong secret alone is answered so already."""
    split = {finding.bucket: finding.bucket.partition(":") for finding in judgement.findings}
    causes = {split[finding.bucket][0]: finding for finding in judgement.findings if split[finding.bucket][2] in _PLAIN}
    kept: dict[str, Finding] = {}
    for finding in judgement.findings:
        cause = causes.get(split[finding.bucket][0]) if finding.threat is Threat.FORGER else None
        into = cause or finding
        already = kept[into.bucket].occurrences if into.bucket in kept else 0
        kept[into.bucket] = replace(into, occurrences=already + finding.occurrences)
    return replace(judgement, findings=tuple(kept.values()))


def _together(judgement: Judgement) -> Judgement:
    """Makes one finding of many members that are answered alike: the target does not expect an update to be other than described."""
    shapes: dict[str, list[Finding]] = defaultdict(list)
    for finding in judgement.findings:
        match = _SHAPE.match(finding.bucket)
        if match is not None:
            shapes[match[1]].append(finding)
    merged = {status: found for status, found in shapes.items() if len(found) >= _MANY}
    if not merged:
        return judgement
    gone = {finding.id for found in merged.values() for finding in found}
    kept = [finding for finding in judgement.findings if finding.id not in gone]
    for status, found in merged.items():
        named = ", ".join(sorted({finding.bucket.partition(":")[2] for finding in found}))
        first = min(found, key=lambda finding: (list(Severity).index(finding.severity), finding.bucket))
        kept.append(
            replace(
                first,
                bucket=f"{status}:shape",
                title=f"answers {status} to whatever it does not expect in an update ({len(found)} places)",
                category="shape",
                summary=f"{first.summary}; the same for {named}",
                occurrences=sum(finding.occurrences for finding in found),
            )
        )
    return replace(judgement, findings=tuple(kept))
