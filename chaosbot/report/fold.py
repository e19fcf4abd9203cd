"""The fold: a run's history becomes its report.

Rules:

- Pure: the same history gives the same report, live or read back from the journal.
- It never raises for what a history holds; what it cannot read it names in `reasons`, and that is never a pass.
- The verdict is the worst of findings (FAIL), judgements and promises; of trouble, a torn journal, a broken fault, a crashed
  check, a probe that never saw anything (INCONCLUSIVE); and INVALID where the generator was the limit. Nothing judged is
  INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from chaosbot.core.check import CHECKS, Check, History
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ChaosbotError
from chaosbot.core.event import Noted, RunStarted, Steered
from chaosbot.core.profile import PHASES
from chaosbot.core.verdict import Assertion, Finding, Judgement, Subject, Verdict
from chaosbot.report import intervals, ledger, reasons, slo, timeline
from chaosbot.report.coverage import circuits_of, coverage_of
from chaosbot.report.intervals import generator_of
from chaosbot.report.models import models_of
from chaosbot.report.soak import drift_assertions, soak_of
from chaosbot.report.values import WHOLE_RUN, Recovery, Report, Second

_NOBODY = RunStarted(0.0, "unknown", "unknown", 0, "unknown", "")


def fold(history: History, *, checks: Sequence[str] | None = None) -> Report:
    """Folds a run.

    Args:
        history: Everything that happened.
        checks: Which checks judge it; by default those that the run's settings name, or all of the registry. A check named
            here, or by `--check`, that found nothing to look at makes the run inconclusive, since somebody asked for it.
    """
    start = history.start or _NOBODY
    dice = Dice(start.seed)
    end_s = history.last_s
    seconds = intervals.seconds_of(history)
    load = intervals.load_of(history, seconds.seconds, dice)
    episodes = timeline.episodes_of(history, seconds.seconds)
    spans = timeline.spans_of(history, episodes, end_s)
    # Without load there are no requests of chaosbot's own to show by window.
    windows = timeline.windows_of(spans, seconds.seconds) if seconds.seconds else ()
    recovery = timeline.recoveries_of(spans, episodes, seconds.seconds, end_s)
    faults = ledger.faults_of(history, episodes)
    deliveries = ledger.deliveries_of(history, end_s)
    circuits = circuits_of(history)
    generator = generator_of(history, seconds.seconds, measured=seconds.measured)
    judgements, unjudged, troubled, subjects = _judge(history, checks)
    evidence = slo.Evidence(
        *_scopes(history, spans, recovery, seconds.seconds),
        generator,
        circuits,
        deliveries,
        recovery,
        dice,
        faulted=any(row.applied for row in faults),
        intervals=history.intervals,
    )
    soak = soak_of(history, seconds.seconds, _away(spans, recovery), start.settings)
    promises = slo.promises_of(start.settings, loaded=load is not None)
    assertions = (
        *(assertion for judgement in judgements for assertion in judgement.assertions),
        *slo.judge(promises, evidence),
        *drift_assertions(soak, start.settings),
        *_traffic(history, start),
        *_metastable(recovery),
    )
    # What only a whole run shows is shown again by that run.
    command = str(start.settings.get("command") or "")
    findings = tuple(
        finding if finding.reproduce else replace(finding, reproduce=command) for finding in _worst_first(judgements)
    )
    found = [
        *reasons.of_findings(findings),
        *reasons.of_assertions(assertions),
        *reasons.of_generator(generator),
        *reasons.of_refusals(history, load),
        *reasons.of_streams(load, promises, faulted=evidence.faulted),
        *reasons.of_troubles(history, seconds.unreadable, faults, windows),
        *((Verdict.INCONCLUSIVE, reason) for reason in troubled),
        *(
            (judgement.verdict, f"{judgement.check}: {judgement.reason or judgement.verdict.value}")
            for judgement in judgements
            if judgement.verdict is not Verdict.PASS and not judgement.findings and not judgement.assertions
        ),
    ]
    judged = [judgement for judgement in judgements if judgement.judged or judgement.findings or judgement.assertions]
    if not judged and not assertions:
        found.append(
            (Verdict.INCONCLUSIVE, "nothing was judged: no check found anything to look at, no promise applied")
        )
    verdict = Verdict.worst([Verdict.PASS, *(one for one, _ in found)])
    remarks = [
        *reasons.of_pass(verdict, judged, assertions),
        *reasons.of_idle_rules(faults),
        *reasons.of_notes(history),
        *reasons.of_steering(history),
    ]
    order = list(Verdict)
    ranked = sorted(found, key=lambda item: -order.index(item[0]))
    return Report(
        verdict=verdict,
        reasons=tuple(dict.fromkeys([*(text for _, text in ranked), *remarks])),
        verb=start.verb,
        version=start.version,
        seed=start.seed,
        target=start.target,
        started=start.started,
        duration_s=max(0.0, end_s),
        how=history.end.how if history.end is not None else "torn",
        findings=findings,
        assertions=assertions,
        judgements=judgements,
        unjudged=unjudged,
        subjects=subjects,
        load=load,
        coverage=coverage_of(history, seconds.seconds),
        faults=faults,
        episodes=episodes,
        windows=windows,
        recovery=recovery,
        deliveries=deliveries,
        models=models_of(history),
        circuits=circuits,
        soak=soak,
        generator=generator,
        environment=start.environment,
        settings=start.settings,
        notes=tuple((note.area, note.text) for note in history.all(Noted)),
        events=len(history.events),
        steered=tuple((one.t, one.what, one.value) for one in history.all(Steered)),
    )


def _metastable(recovery: Sequence[Recovery]) -> list[Assertion]:
    """Faults that are gone and still hold the target down, as broken promises; where there are none, nothing is said."""
    reason = "the fault is gone and goodput stays below the baseline's band"
    return [
        Assertion(f"goodput returns: {one.fault}", "< 10 s", one.watched_s, Verdict.FAIL, reason=reason)
        for one in recovery
        if one.metastable
    ]


def _away(spans: Sequence[tuple[str, float, float, str]], recovery: Sequence[Recovery]) -> list[tuple[float, float]]:
    """The spans that say nothing about the target in the calm: faults, the time until recovery, a burst."""
    away = [(start, end) for name, start, end, _ in spans if name in ("fault", "burst")]
    return away + [(one.ended_s, one.ended_s + one.seconds) for one in recovery if one.seconds is not None]


def _traffic(history: History, start: RunStarted) -> tuple[Assertion, ...]:
    """What a proxy beside somebody else's client promises: that traffic met it. Its rules speak for themselves."""
    if start.verb != "proxy":
        return ()
    refused = passed = connections = 0
    for seen, met in history.exchanges_with_faults():
        if seen is None:
            connections += 1
        elif seen.by == "proxy" and not met:
            refused += 1
        else:
            passed += 1
    passed = passed or connections  # a byte pipe knows no exchanges, only connections that met a fault
    reason = f"the upstream answered none of {refused} exchanges" if refused else "nothing came through the proxy"
    verdict = Verdict.PASS if passed else Verdict.INCONCLUSIVE
    return (Assertion("traffic", "> 0", float(passed), verdict, reason="" if passed else reason),)


def _scopes(
    history: History,
    spans: Sequence[tuple[str, float, float, str]],
    recovery: Sequence[Recovery],
    seconds: Sequence[Second],
) -> tuple[Mapping[str, Sequence[Second]], Mapping[str, str]]:
    """The seconds that promises are judged on, by window name, and what these windows are in words; see `slo`."""
    warm = [(start, end) for name, start, end, _ in timeline.phases_of(history, float("inf")) if name == "warmup"]
    counted = [second for second in seconds if not any(a <= second.at_s + 0.5 < b for a, b in warm)] or list(seconds)
    away = _away(spans, recovery)
    # A second that a fault reached into even partly says nothing about the calm.
    calm = [second for second in counted if not any(a < second.at_s + 1 and second.at_s < b for a, b in away)]
    named = {name: [s for n, a, b, _ in spans if n == name for s in timeline.inside(counted, a, b)] for name in PHASES}
    calm = calm if sum(second.finished for second in calm) else counted
    left_out = ["warm-up"] * (len(counted) < len(seconds))
    whole = _outside(left_out)
    if len(calm) < len(counted):
        met = {name for name, *_ in spans}
        left_out += [word for name, word in (("fault", "faults"), ("burst", "burst")) if name in met]
    return {**named, "all": counted, "": calm}, {"all": whole, "": _outside(left_out)}


def _outside(left_out: Sequence[str]) -> str:
    return f"outside of {', '.join(left_out)}" if left_out else WHOLE_RUN


def _judge(
    history: History, names: Sequence[str] | None
) -> tuple[tuple[Judgement, ...], tuple[tuple[str, str], ...], list[str], tuple[tuple[str, Subject], ...]]:
    """Lets the checks judge; what they said, those that had nothing to look at, what went wrong, and what they planned to judge."""
    judgements: list[Judgement] = []
    troubled: list[str] = []
    chosen, asked = names, set(names or _named_checks(history, "more_checks"))
    if chosen is None:
        usual = _named_checks(history, "checks") or _all_checks(troubled)
        chosen = list(dict.fromkeys((*usual, *_named_checks(history, "more_checks"))))
    for name in chosen:
        try:
            check: Check = CHECKS.build(name)
        except (ChaosbotError, TypeError) as error:
            troubled.append(f"check {name} cannot be built: {error}")
            continue
        judgements.append(_reproduced(check.judge_safely(history), history))
    troubled += [reason for one in judgements if (reason := reasons.of_gaps(one))]
    subjects = tuple((one.check, subject) for one in judgements for subject in one.subjects)
    idle = [one for one in judgements if not (one.judged or one.findings or one.assertions or one.crashed)]
    # A check that judged nothing but failed all the same did see something.
    idle = [one for one in idle if one.verdict is not Verdict.FAIL]
    unjudged = tuple((one.check, one.reason or "found nothing to look at") for one in idle)
    asked = {name.replace("-", "_") for name in asked}
    troubled += [f"{check}: asked for, but {reason}" for check, reason in unjudged if check in asked]
    return tuple(one for one in judgements if one not in idle), unjudged, troubled, subjects


def _named_checks(history: History, key: str) -> list[str]:
    """The checks that the run's settings name: ``checks`` in place of the usual ones, ``more_checks`` besides."""
    named = history.start.settings.get(key) if history.start is not None else None
    return [name for name in named if isinstance(name, str)] if isinstance(named, (list, tuple)) else []


def _reproduced(judgement: Judgement, history: History) -> Judgement:
    """The judgement with the smallest requests that a campaign worked out, and the lines that show its findings again."""
    known = history.reproductions
    findings = tuple(
        replace(
            finding,
            case=shown.case,
            summary=shown.summary,
            request=shown.request,
            reproduce=shown.reproduce,
            curl=shown.curl,
            stateful=shown.stateful,
        )
        if (shown := known.get(finding.id)) is not None
        else finding
        for finding in judgement.findings
    )
    return replace(judgement, findings=findings)


def _worst_first(judgements: Sequence[Judgement]) -> tuple[Finding, ...]:
    """All findings, the worst first, then by check and id."""
    found = (finding for judgement in judgements for finding in judgement.findings)
    return tuple(sorted(found, key=lambda one: (one.severity.rank, one.check, one.id)))


def _all_checks(troubled: list[str]) -> Iterable[str]:
    try:
        return [name for name in CHECKS.names() if not CHECKS.get(name).on_demand]
    except (ChaosbotError, TypeError, ImportError) as error:
        troubled.append(f"the registry of checks cannot be read: {error}")
        return ()
