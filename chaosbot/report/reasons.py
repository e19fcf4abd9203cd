"""Why a verdict is what it is, in plain words, each reason with the verdict that it asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from chaosbot.core.check import ACCEPTED, History
from chaosbot.core.event import TRIALS, Noted, Steered
from chaosbot.core.outcome import Fate
from chaosbot.core.profile import Metric
from chaosbot.core.verdict import Assertion, Finding, Judgement, Severity, Verdict
from chaosbot.report.figures import measured
from chaosbot.report.intervals import recorded_whole
from chaosbot.report.slo import GENERATOR_LIMIT, Promise
from chaosbot.report.values import FaultRow, Generator, Load, Window

# A baseline that errs more than this is no steady state to compare with.
UNSTEADY = 0.05

MISSING = ("stream-missing", "users-missing")
"""Areas of the notes on scenarios and kinds of users for whom nobody took part."""

Reasons = list[tuple[Verdict, str]]


def of_findings(findings: Sequence[Finding]) -> Reasons:
    """How many findings, and the worst by its title."""
    if not findings:
        return []
    counts = Counter(finding.severity for finding in findings)
    parts = [f"{counts[severity]} {severity}" for severity in Severity if counts[severity]]
    noun, worst = ("finding", "") if len(findings) == 1 else ("findings", "; the worst")
    return [(Verdict.FAIL, f"{len(findings)} {noun}, {', '.join(parts)}{worst}: {findings[0].title}")]


def of_gaps(judgement: Judgement) -> str:
    """What a check could not judge of what it planned, where that is more than half; empty otherwise."""
    missed = [subject for subject in judgement.subjects if subject.reason]
    if len(missed) * 2 <= len(judgement.subjects):
        return ""
    (reason, _), *_ = Counter(subject.reason for subject in missed).most_common(1)
    named = ", ".join(subject.name for subject in missed[:4]) + (" …" if len(missed) > 4 else "")
    return f"{judgement.check}: judged {len(judgement.subjects) - len(missed)} of {len(judgement.subjects)}; {named}: {reason}"


def of_assertions(assertions: Sequence[Assertion]) -> Reasons:
    """Every promise that is not kept."""
    return [
        (
            one.verdict,
            f"{one.name} is {measured(one)}{f' {one.window}' * one.apart} (target {one.target}): {one.reason or one.verdict.value}",
        )
        for one in assertions
        # That the generator was the limit is said once, by the generator.
        if one.verdict is not Verdict.PASS and one.reason != GENERATOR_LIMIT
    ]


def of_generator(generator: Generator | None) -> Reasons:
    """Why the numbers may be the generator's own."""
    if generator is None:
        return []
    return [(Verdict.INVALID, f"the load generator was the limit: {reason}") for reason in generator.reasons]


def of_streams(load: Load | None, promises: Iterable[Promise], *, faulted: bool) -> Reasons:
    """Streams of which nothing is known: that nobody heard anything is no sign that all is well. One that fell silent breaks the habit that it
    had, unless a promise says how long it may be silent, or faults (which may cut a message off) happened.
    """
    rows = load.streams if load is not None else ()
    asked = {
        one.of for one in (Metric.parse(promise.metric) for promise in promises) if one.streams and one.source == "gap"
    }
    found = [(one.name, one.unknown or one.dry * (not faulted and not asked & {"", one.name})) for one in rows]
    return [(Verdict.INCONCLUSIVE, f"stream {name}: {why}") for name, why in found if why]


def of_refusals(history: History, load: Load | None) -> Reasons:
    """A load of recorded requests that were all refused: whether they should have been nobody said, and nothing else was seen."""
    settings = history.start.settings if history.start is not None else {}
    if load is None or load.failed or load.timed_out or settings.get(ACCEPTED) or not recorded_whole(history):
        return []
    statuses = Counter(one.outcome.status for one in history.requests if one.outcome.fate is Fate.ANSWERED)
    if not statuses or not all(status is not None and 400 <= status < 500 for status in statuses):
        return []
    told = ", ".join(str(status) for status, _ in statuses.most_common(3))
    why = f"every request was refused ({told}); look at host and paths, or say by --accept-status {told.split(',')[0]} that this is right"
    return [(Verdict.INCONCLUSIVE, why)]


def of_troubles(history: History, unreadable: int, faults: Sequence[FaultRow], windows: Sequence[Window]) -> Reasons:
    """What broke or could not be seen: nothing of it lets a run pass."""
    found: list[str] = []
    if history.torn or history.end is None:
        found.append("the journal breaks off: the run was killed, or its end was not recorded")
    found += history.damage
    if history.start is None:
        found.append("the journal has no beginning: nobody knows what ran")
    end = history.end
    if end is not None and end.how != "completed":
        found.append(f"the run was {end.how}{': ' + end.reason if end.reason not in ('', end.how) else ''}")
    for (where, what), times in Counter((one.where, one.what) for one in history.troubles).items():
        found.append(f"trouble in chaosbot's {where}: {what}" + (f" (× {times})" if times > 1 else ""))
    found += [f"fault {row.fault} (rule {row.rule}) broke {row.failed} times" for row in faults if row.failed]
    probes: dict[str, list[bool]] = {}
    for probe in history.probes:
        probes.setdefault(probe.probe, []).append(probe.ok)
    found += [f"probe {name} never saw anything in {len(oks)} looks" for name, oks in probes.items() if not any(oks)]
    if unreadable:
        found.append(f"{unreadable} histograms of metrics intervals cannot be read")
    for window in windows:
        if window.name == "baseline" and window.error_rate is not None and window.error_rate > UNSTEADY:
            found.append(f"no steady state: {window.error_rate:.1%} of the baseline's requests failed before any fault")
    planned = _planned(faults)
    if planned and not any(row.applied for row in planned):
        found.append("no fault of the plan happened: the run says nothing about resilience")
    return [(Verdict.INCONCLUSIVE, text) for text in found]


def of_idle_rules(faults: Sequence[FaultRow]) -> list[str]:
    """Rules that never matched, or matched and never acted: the run says nothing about their faults."""
    return [
        f"rule {row.rule} ({row.fault}) " + ("never matched" if not row.considered else "matched but never acted")
        for row in _planned(faults)
        if not row.applied
    ]


def _planned(faults: Sequence[FaultRow]) -> list[FaultRow]:
    """The rules that a person asked for; what a campaign tries besides, and its bot does not call, is no gap of the plan."""
    return [row for row in faults if not row.rule.startswith(TRIALS)]


def of_notes(history: History) -> list[str]:
    """What a reader must not miss: an upstream that was not there, a rule that a client asked for in vain, users with one id, who never ran."""
    told = ("upstream", "header_control", "metrics-push", "users", "stream-token")
    missing: dict[str, list[str]] = {}
    for note in history.all(Noted):
        if note.area in MISSING and "why" in note.data:
            missing.setdefault(str(note.data["why"]), []).append(str(note.data["name"]))
    return [
        *(note.text for note in history.all(Noted) if note.area in told),
        *(f"{', '.join(names)} {why}" for why, names in missing.items()),
    ]


def of_steering(history: History) -> list[str]:
    """That a person changed the run while it went on: it is no run of its plan."""
    told = [
        f"{one.what}{'' if one.value is None else f' {one.value}'} at {one.t:.0f} s" for one in history.all(Steered)
    ]
    shown = ", ".join(told[:5]) + (f" and {len(told) - 5} more" if len(told) > 5 else "")
    return [f"steered by hand, so not the run that was planned: {shown}"] if told else []


def of_pass(verdict: Verdict, judged: Sequence[Judgement], assertions: Sequence[Assertion]) -> list[str]:
    """What a pass rests on; nothing for any other verdict."""
    if verdict is not Verdict.PASS:
        return []
    looked = sum(judgement.judged for judgement in judged)
    parts = []
    if judged:
        parts.append(f"{len(judged)} check{'s' * (len(judged) != 1)} looked at {looked} things and found nothing")
    if assertions:
        parts.append(f"{len(assertions)} of {len(assertions)} promises hold")
    return ["; ".join(parts)]
