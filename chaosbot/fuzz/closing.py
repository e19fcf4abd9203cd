"""The end of a campaign: every check judges the whole history; each finding gets its smallest case and its directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from chaosbot.checks._cases import AREA, KIND
from chaosbot.checks._likeness import PLAIN
from chaosbot.core.case import Case
from chaosbot.core.check import CHECKS, History
from chaosbot.core.errors import TargetUnusable
from chaosbot.core.event import ApiCalled, Judged, Noted, ProbeSeen, Trouble
from chaosbot.core.verdict import Finding, Judgement, Severity, Verdict
from chaosbot.fuzz import corpus as corpora
from chaosbot.fuzz import findings as disk
from chaosbot.fuzz._anatomy import skeleton
from chaosbot.fuzz.minimize import enough, minimize
from chaosbot.fuzz.patience import CHECK, steps_of
from chaosbot.fuzz.rejudge import Rejudge
from chaosbot.fuzz.spec import CampaignResult, Clock

if TYPE_CHECKING:
    from chaosbot.fuzz.workshop import Workshop

_EACH_S: Final = 1.5
"""Most time for shrinking one finding."""
_KEPT: Final = 64 * 1024
"""So much of its request stands in the finding itself."""
_NOT_SHRUNK: Final = frozenset({"no_death", "no_hang", "canary_answered", "bounded_resources", "pre_auth_cost"})
"""Each attempt at these costs a restart, a stall or a measurement."""
_ORDER: Final = {severity: number for number, severity in enumerate(Severity)}


def close_campaign(
    shop: Workshop, names: Sequence[str], clock: Clock, calls: Callable[[], Sequence[ApiCalled]], *, complete: bool
) -> CampaignResult:
    """Judges, shrinks, writes, remembers.

    Args:
        shop: The campaign's parts.
        names: The checks that judge.
        clock: Until when shrinking may go on.
        calls: The mock's calls.
        complete: Whether every stage had its turn and the target is there.
    """
    recorder, spec = shop.recorder, shop.spec
    try:
        if not shop.target.settle():
            recorder.emit(Trouble(recorder.now(), "fuzz", "the last canary was not answered: effects may be missing"))
    except TargetUnusable as error:
        recorder.emit(Trouble(recorder.now(), "fuzz", str(error)))
        complete = False
    # Replies to a burst may take longer than the canary's.
    shop.target.replied([case.marker for case in recorder.cases.values() if case.check == CHECK])
    vitals = shop.target.vitals()
    if vitals is not None:
        recorder.emit(ProbeSeen(recorder.now(), "fuzz-descriptors", ok=True, value=vitals.descriptors, detail="end"))
    history = History.of([*recorder.events, *(call for call in calls() if call.via != "reply")])
    muted = corpora.accepted(spec.baseline)
    rejudge = Rejudge(shop.target, recorder, shop.ledger.facts, shop.attribution, calls)
    judgements: list[Judgement] = []
    remembered: list[tuple[str, disk.Reproducer]] = []
    quiet: list[str] = []
    same: list[str] = []
    for name in names:
        judgement = _with_sequences(shop, CHECKS.build(name).judge_safely(history))
        loud: list[Finding] = []
        every = [_finish(shop, found, rejudge, clock) for found in judgement.findings]
        kept = _distinct(every)
        same += {finding.id for finding, _ in every} - {finding.id for finding, _ in kept}
        for finished, reproducer in kept:
            if reproducer is not None:
                remembered.append((finished.id, reproducer))
            if finished.id in muted:
                quiet.append(finished.id)
                continue
            if reproducer is not None and spec.findings is not None:
                disk.write(spec.findings, finished, reproducer, spec.address, spec.endpoint.secret)
            loud.append(finished)
        judgements.append(_settled(judgement, loud, complete=complete))
    for judgement in judgements:
        recorder.emit(Judged(recorder.now(), judgement))
    corpora.remember(spec, remembered, complete=complete)
    if same:
        recorder.emit(Noted(recorder.now(), AREA, f"{len(same)} findings came down to others", {"muted": sorted(same)}))
    if quiet:
        recorder.emit(
            Noted(
                recorder.now(), AREA, f"{len(quiet)} known findings are muted by the baseline", {"muted": sorted(quiet)}
            )
        )
    found = sorted(
        (finding for judgement in judgements for finding in judgement.findings),
        key=lambda finding: (_ORDER[finding.severity], finding.check, finding.bucket),
    )
    unjudged = tuple(
        (judgement.check, judgement.reason) for judgement in judgements if judgement.verdict is Verdict.INCONCLUSIVE
    )
    by_stage = dict(recorder.by_stage)
    return CampaignResult(
        tuple(found), tuple(judgements), unjudged, sum(by_stage.values()), by_stage, tuple(sorted(quiet)), complete
    )


def _with_sequences(shop: Workshop, judgement: Judgement) -> Judgement:
    """Adds what a sequence showed by itself and what drowns among all other cases (a chat that many share)."""
    known = {finding.bucket for finding in judgement.findings}
    implied = CHECKS.get(judgement.check).implied
    more = tuple(
        Finding(
            found.check,
            found.breach.title,
            found.breach.severity,
            found.breach.threat,
            bucket,
            "sequence",
            found.case.name,
            found.breach.summary,
            occurrences=found.met,
            stateful=True,
        )
        for (check, bucket), found in shop.ledger.found.items()
        if check == judgement.check and found.sequence and not {bucket, implied.get(bucket)} & known
    )
    if not more:
        return judgement
    return replace(
        judgement, verdict=Verdict.FAIL, findings=judgement.findings + more, judged=max(1, judgement.judged), reason=""
    )


def _settled(judgement: Judgement, loud: list[Finding], *, complete: bool) -> Judgement:
    """The judgement with the findings that count; a campaign that was cut short passes nothing."""
    if judgement.findings and not loud:
        return replace(judgement, findings=(), verdict=Verdict.PASS if complete else Verdict.INCONCLUSIVE)
    if judgement.verdict is Verdict.PASS and not complete:
        return replace(judgement, verdict=Verdict.INCONCLUSIVE, reason="the campaign did not reach its end")
    return replace(judgement, findings=tuple(loud))


def _distinct(
    finished: Sequence[tuple[Finding, disk.Reproducer | None]],
) -> list[tuple[Finding, disk.Reproducer | None]]:
    """Leaves out a valid update that came down to the same as what is known to break: it breaks for that reason.

    Only where nothing is known of the cause (`KIND`); the same structure with another value in it may be another bug.
    """
    named: dict[tuple[str, str], int] = {}
    kept: list[tuple[Finding, disk.Reproducer | None]] = []
    for finding, reproducer in sorted(finished, key=lambda entry: KIND in entry[0].bucket):
        structure = skeleton(reproducer.steps[-1][-1]) if reproducer is not None and not finding.stateful else ""
        key = finding.bucket.partition(":")[0], structure
        if structure and KIND in finding.bucket and key in named:
            known, its = kept[named[key]]
            kept[named[key]] = replace(known, occurrences=known.occurrences + finding.occurrences), its
            continue
        if KIND not in finding.bucket:
            named.setdefault(key, len(kept))
        kept.append((finding, reproducer))
    return kept


def _steps(shop: Workshop, finding: Finding) -> disk.Steps | None:
    """What to send to show a finding."""
    known = shop.ledger.found.get((finding.check, finding.bucket))
    if known is not None and known.sequence:
        return known.sequence
    if finding.check == CHECK:
        return steps_of(shop.recorder.cases, finding.case)
    case = known.case if known is not None else shop.recorder.cases.get(finding.case)
    if case is None:
        return None
    if finding.check == "effect_at_most_once":
        same = [other for other in shop.recorder.cases.values() if other.update_id == case.update_id]
        if len(same) > 1:
            return tuple((other,) for other in same)
    steps: list[tuple[Case, ...]] = []
    if case.control:
        control = shop.recorder.cases.get(case.control)
        nothing = [other for name, other in shop.recorder.cases.items() if name.startswith("control/nothing")]
        plain = [
            other
            for name, other in shop.recorder.cases.items()
            if other.control == case.control and PLAIN.search(name) and name != case.name
        ]
        steps += [(other,) for other in (control, *nothing[:1], *plain[:1]) if other is not None]
    return (*steps, (case,))


def _finish(shop: Workshop, finding: Finding, rejudge: Rejudge, clock: Clock) -> tuple[Finding, disk.Reproducer | None]:
    """The finding with its smallest case and the lines that show it again."""
    spec = shop.spec
    steps = _steps(shop, finding)
    if steps is None:
        return finding, None
    single = len(steps) == 1 and len(steps[0]) == 1
    if single and finding.check not in _NOT_SHRUNK and not finding.stateful:
        until = min(monotonic() + _EACH_S, clock.until)
        # What the case shows by itself: the finding may speak for several mechanisms at once.
        alone = {other.bucket for other in rejudge.ask(finding.check, steps).findings} if not clock.over() else set()

        def still(attempt: Case) -> bool:
            if not alone or monotonic() >= until or clock.over():
                return False
            return any(other.bucket in alone for other in rejudge.ask(finding.check, ((attempt,),)).findings)

        original = steps[0][0]
        smallest = minimize(original, still, sign=shop.target.resigned)
        finding = replace(finding, title=finding.title + enough(original, smallest))
        steps = ((smallest,),)
    last = steps[-1][-1]
    aged = shop.target.resigned(last, last, 3600)
    perishable = aged is not None and aged.request != last.request
    needs_calls = any(check.name == finding.check and check.needs_calls for check in shop.ledger.checks)
    reproducer = disk.Reproducer(
        finding.check,
        finding.bucket,
        spec.platform,
        spec.endpoint.path,
        steps,
        finding.title,
        spec.secret_env,
        spec.malformed,
        needs_calls,
        spec.address.url,
        spec.endpoint.time,
        perishable,
    )
    home = (spec.findings / finding.id) if spec.findings is not None else None
    line = f"chaosbot replay {home}" if home is not None else ""
    curl = disk.curl(last, spec.address, spec.endpoint.secret, spec.secret_env) if single and not perishable else ""
    finished = replace(
        finding,
        case=last.name,
        request=disk.beginning(last.request, spec.endpoint.secret, _KEPT),
        reproduce=line,
        curl=curl,
        stateful=finding.stateful or not single,
    )
    return finished, reproducer
