"""The end of a campaign: each finding gets its smallest case and its directory.

The report judges the history (`chaosbot.report.fold`). The same pure judgement is asked here, in order to know what to shrink and
write; what reaches the report from here are requests and command lines, by finding id, never a verdict.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from chaosbot.core.case import Case
from chaosbot.core.check import Check, History
from chaosbot.core.errors import TargetUnusable
from chaosbot.core.event import ApiCalled, Judged, Noted, ProbeSeen, Trouble
from chaosbot.core.verdict import Finding, Judgement, Verdict
from chaosbot.fuzz import findings as disk
from chaosbot.fuzz.minimize import enough, minimize
from chaosbot.fuzz.rejudge import Rejudge
from chaosbot.fuzz.served import gone_silent, hangs
from chaosbot.fuzz.spec import CampaignResult, Clock
from chaosbot.fuzz.troubles import GROUP

if TYPE_CHECKING:
    from chaosbot.fuzz.context import CampaignContext

_EACH_S: Final = 1.5
"""Most time for shrinking one finding."""
_SETTLE_S: Final = 8.0
"""The longest that the last health request is waited for."""
_LOOK_S: Final = 0.1
_KEPT: Final = 64 * 1024
"""So much of its request stands in the finding itself."""


def close_campaign(
    context: CampaignContext, clock: Clock, calls: Callable[[], Sequence[ApiCalled]], *, complete: bool
) -> CampaignResult:
    """Judges, shrinks, writes, remembers.

    Args:
        context: The campaign's parts.
        clock: Until when shrinking may go on.
        calls: The mock's calls.
        complete: Whether every stage had its turn and the target is there.
    """
    # However late it is, a target that is well is waited for: what is not sent any more tells nothing of it.
    context.target.until = max(context.target.until, monotonic() + _SETTLE_S)
    if complete:
        for look in context.afterwards:
            look()
    if not clock.should_stop():  # what it would be asked from then on says nothing about it
        complete = _settle(context) and complete
    recorder, spec = context.recorder, context.spec
    for call in calls():
        if not call.in_answer:  # those the recorder has
            recorder.events.append(call)
    history = recorder.events.history()
    rejudge = Rejudge(context.target, recorder, context.store.seen, context.attribution, calls)
    judgements: list[Judgement] = []
    remembered: list[tuple[str, disk.Reproducer]] = []
    for check in context.store.asked:
        judgement = check.judge_safely(history)
        finished: list[Finding] = []
        for found in judgement.findings:
            finding, reproducer = _finish(context, check, found, history, rejudge, clock)
            finished.append(finding)
            if reproducer is not None:
                remembered.append((finding.id, reproducer))
                if spec.findings is not None:
                    disk.write(spec.findings, finding, reproducer, spec.address, spec.endpoint.secret)
        judgement = replace(judgement, findings=tuple(finished))
        if judgement.verdict is Verdict.PASS and not complete:
            # A campaign that was cut short passes nothing.
            judgement = replace(judgement, verdict=Verdict.INCONCLUSIVE, reason="the campaign did not reach its end")
        judgements.append(judgement)
        recorder.emit(Judged(recorder.now(), judgement))
    while complete and monotonic() < min(context.held_until, clock.until) and not clock.should_stop():
        sleep(_LOOK_S)
    if not complete:
        recorder.emit(Trouble(recorder.now(), "fuzz", "the campaign did not reach its end"))
    disk.remember(spec, remembered, complete=complete)
    muted = _muted(context, history)
    if muted:
        text = f"{len(muted)} known findings are muted by the baseline"
        recorder.emit(Noted(recorder.now(), "fuzz", text))
    every = (finding for judgement in judgements for finding in judgement.findings)
    unjudged = (
        (judgement.check, judgement.reason) for judgement in judgements if judgement.verdict is Verdict.INCONCLUSIVE
    )
    by_stage = dict(recorder.by_stage)
    return CampaignResult(
        tuple(sorted(every, key=lambda finding: (finding.severity.rank, finding.check, finding.cause))),
        tuple(judgements),
        tuple(unjudged),
        sum(by_stage.values()),
        by_stage,
        muted,
        complete,
    )


def _settle(context: CampaignContext) -> bool:
    """Waits until the target is done with what was sent; whether it is still there."""
    recorder, target = context.recorder, context.target
    alive = True
    try:
        # Where nobody writes and nothing was ever answered, the next one need not be either.
        silent = context.store.seen.replies == "none" and not context.platform.tiers
        settled = target.health().ok if silent else target.settle(max(5.0, 2 * target.watch.patience_s))
        # Who is busy is waited for, who makes no call any more is not.
        talks = context.store.seen.replies == "mock" and bool(context.platform.tiers)
        if not settled and not (talks and gone_silent(context)) and not hangs(context):
            what = (
                "the last health request was not answered: effects may be missing; a target that limits its own calls, or is still busy "
                "with what was sent, needs those limits off in the test setup, or a longer --duration"
            )
            recorder.emit(Trouble(recorder.now(), "fuzz", what))
    except TargetUnusable as error:
        recorder.emit(Trouble(recorder.now(), "fuzz", str(error)))
        alive = False
    # Replies to a burst may take longer than the health request's.
    patient = {check.name for check in context.store.asked if check.awaits_replies}
    if context.store.seen.replies == "mock":
        target.watch.all_replied([case for case in recorder.cases.values() if case.check in patient])
    vitals = target.vitals()
    if vitals is not None:
        recorder.emit(ProbeSeen(recorder.now(), "fuzz-descriptors", ok=True, value=vitals.descriptors, detail="end"))
    return alive


def _muted(context: CampaignContext, history: History) -> tuple[str, ...]:
    """Ids of findings that the baseline accepts and the history shows."""
    accepted = history.accepted
    if not accepted:
        return ()
    shown = {finding.id for check in context.store.asked for finding in check.judge(history).findings}
    return tuple(sorted(accepted & shown))


def _steps(context: CampaignContext, check: Check, finding: Finding, history: History) -> disk.CaseSteps:
    """What to send to show a finding; empty where nothing that was sent does."""
    known = context.store.found.get((check.name, finding.cause))
    if known is not None and known.sequence:
        return known.sequence
    cases = context.recorder.cases
    if known is not None and not check.needs_calls:
        return ((known.case,),)
    named = check.reproducer(history, finding.case)
    steps = (tuple(cases[name] for name in step if name in cases) for step in named)
    return tuple(step for step in steps if step)


def _finish(
    context: CampaignContext, check: Check, finding: Finding, history: History, rejudge: Rejudge, clock: Clock
) -> tuple[Finding, disk.Reproducer | None]:
    """The finding with its smallest case and the lines that show it again."""
    spec = context.spec
    steps = _steps(context, check, finding, history)
    if not steps or any(case.group == GROUP for step in steps for case in step):
        return finding, None
    single = len(steps) == 1 and len(steps[0]) == 1
    if single and check.shrinkable and not finding.stateful:
        smallest = _shrunk(context, check, steps[0][0], rejudge, clock)
        finding = replace(finding, summary=finding.summary + enough(steps[0][0], smallest))
        steps = ((smallest,),)
    last = steps[-1][-1]
    aged = context.target.resigned(last, last, 3600)
    perishable = aged is not None and aged.request != last.request
    reproducer = disk.Reproducer(
        finding.check,
        str(finding.cause),
        spec.platform,
        spec.endpoint.path,
        steps,
        finding.title,
        spec.secret_env,
        spec.malformed,
        check.needs_calls,
        spec.address.url,
        spec.endpoint.time,
        perishable,
        spec.accept_status,
    )
    home = (spec.findings / finding.id) if spec.findings is not None else None
    line = f"chaosbot replay {shlex.quote(str(home))}" if home is not None else ""
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


def _shrunk(context: CampaignContext, check: Check, case: Case, rejudge: Rejudge, clock: Clock) -> Case:
    """The smallest case that shows what this one shows by itself."""
    until = min(monotonic() + _EACH_S, clock.until)
    # The finding may speak for several mechanisms at once.
    alone = {other.cause for other in rejudge.ask(check.name, ((case,),)).findings} if not clock.over() else set()

    def still(attempt: Case) -> bool:
        if not alone or monotonic() >= until or clock.over():
            return False
        return any(other.cause in alone for other in rejudge.ask(check.name, ((attempt,),)).findings)

    return minimize(case, still, sign=context.target.resigned)
