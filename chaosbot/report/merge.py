"""Merging what checks said live, while the run went on, with what they say of the whole history.

Rules: one judgement a check; a finding is the same when its id is; live judgements add up (each speaks of its own cases), the
refolded one speaks of all, so occurrences are the larger of the two; what one of them knows and the other does not (the
bytes, the reproduction) is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from chaosbot.core.verdict import Finding, Judgement, Severity, Verdict


def _looked(one: Judgement) -> bool:
    return bool(one.judged or one.findings or one.assertions or one.crashed or one.verdict is Verdict.FAIL)


def _added(one: Judgement, two: Judgement, *, live: bool) -> Judgement:
    """Two judgements of one check as one; a part that had nothing to look at has no say."""
    if not (_looked(one) and _looked(two)):
        kept, other = (one, two) if _looked(one) else (two, one)
        return replace(kept, reason=kept.reason or ("" if _looked(kept) else other.reason))
    findings: dict[str, Finding] = {finding.id: finding for finding in one.findings}
    for finding in two.findings:
        findings[finding.id] = _same(findings[finding.id], finding, live=live) if finding.id in findings else finding
    assertions = {assertion.name: assertion for assertion in (*one.assertions, *two.assertions)}
    worse = one if Verdict.worst([one.verdict, two.verdict]) is one.verdict else two
    return Judgement(
        one.check,
        worse.verdict,
        tuple(findings.values()),
        tuple(assertions.values()),
        worse.reason,
        one.judged + two.judged if live else max(one.judged, two.judged),
        tuple(dict((*one.details, *two.details)).items()),
        one.crashed or two.crashed,
    )


def _same(one: Finding, two: Finding, *, live: bool) -> Finding:
    return replace(
        two,
        occurrences=one.occurrences + two.occurrences if live else max(one.occurrences, two.occurrences),
        category=two.category or one.category,
        case=two.case or one.case,
        summary=two.summary or one.summary,
        request=two.request or one.request,
        reproduce=two.reproduce or one.reproduce,
        curl=two.curl or one.curl,
        stateful=one.stateful or two.stateful,
    )


def merged_judgements(
    live: Iterable[Judgement], refolded: Iterable[Judgement], muted: frozenset[str] = frozenset()
) -> tuple[Judgement, ...]:
    """One judgement a check, in order of first appearance, without the findings that were muted."""
    found: dict[str, Judgement] = {}
    for one in live:
        found[one.check] = _added(found[one.check], one, live=True) if one.check in found else one
    for one in refolded:
        # Live bytes were shrunk; the refold may only know the first case that showed it.
        found[one.check] = _added(one, found[one.check], live=False) if one.check in found else one
    return tuple(_without(one, muted) for one in found.values())


def _without(judgement: Judgement, muted: frozenset[str]) -> Judgement:
    """A judgement whose only findings were muted has nothing against the target any more."""
    loud = tuple(finding for finding in judgement.findings if finding.id not in muted)
    if len(loud) == len(judgement.findings):
        return judgement
    quiet = not loud and judgement.verdict is Verdict.FAIL
    verdict = Verdict.worst(one.verdict for one in judgement.assertions) if judgement.assertions else Verdict.PASS
    return replace(judgement, findings=loud, verdict=verdict if quiet else judgement.verdict)


def merged_findings(judgements: Sequence[Judgement]) -> tuple[Finding, ...]:
    """All findings, the worst first, then by check and id."""
    found = {finding.id: finding for judgement in judgements for finding in judgement.findings}
    order = list(Severity)
    return tuple(sorted(found.values(), key=lambda one: (order.index(one.severity), one.check, one.id)))
