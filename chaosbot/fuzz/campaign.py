"""A campaign: the stages of `chaosbot.fuzz.spec.STAGES`, then every check's judgement and a directory for each finding.

Rules:

- Nothing is judged before the target has answered a valid update, and nothing while it is away.
- Every case that leaves becomes a `CaseTried`; a reply in a webhook's answer becomes an `ApiCalled` as well (`ApiCalled.in_answer`).
- Deliveries out of order come before all stages: a bot that compares delivery ids hears nothing after the catalogue's.
- Each stage has its share of the time and gives what it does not need to the next.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib import import_module
from math import inf
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Final

from chaosbot.core.case import Change
from chaosbot.core.check import CHECKS
from chaosbot.core.errors import TargetUnusable, brief
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried, Event, Noted, PhaseChanged, Trouble
from chaosbot.core.outcome import Fate
from chaosbot.core.plan import Rule
from chaosbot.core.platform import EPOCH, platform_of
from chaosbot.fuzz.attribution import Attribution
from chaosbot.fuzz.closing import close_campaign
from chaosbot.fuzz.context import CampaignContext, Disturbances
from chaosbot.fuzz.findings import accepted
from chaosbot.fuzz.helpers import CampaignHelpers
from chaosbot.fuzz.recorder import CaseRecorder, FindingStore
from chaosbot.fuzz.scenario import out_of_order
from chaosbot.fuzz.shared_chats import SharedChats
from chaosbot.fuzz.slow_cases import SlowCases
from chaosbot.fuzz.spec import STAGES, CampaignResult, CampaignSpec, Clock, Progress
from chaosbot.fuzz.stages import TABLE, catalogue, run_cases, take_shared
from chaosbot.fuzz.target import CampaignTarget, CaseResult, HealthReply
from chaosbot.workers import StartWorker, Worker

if TYPE_CHECKING:
    from chaosbot.fuzz.guide import Guide

_FIRST_REPLY_S: Final = 6.0
"""The longest that the first replies are waited for."""
_SHARED: Final = 0.4
"""The part of the time left that cases in shared chats may take before the sequences begin, which use the same chats."""
_LEAST_S: Final = 0.5
"""What a stage gets even when nothing is left."""
_LATE_S: Final = 6.0
"""So long after the campaign's time a stage still begins: those before it waited for a slow target, and it is brief then."""
_OVER_S: Final = 9.0
"""How long after the campaign's time a target that hangs is waited for."""
_CLOSING_S: Final = 0.14
"""The part of all time that is kept for shrinking and judging."""
_SWITCH_S: Final = 0.0005
_SELDOM: Final = 100
"""After so many collections of younger objects, all are looked through."""


class Campaign:
    """One campaign against one target; synchronous.

    Args:
        spec: What to do.
        emit: Where events go (called from the campaign's thread).
        calls: The mock's calls so far; grows while the campaign runs.
        progress: Told now and then how far the campaign is.
        disturb: Puts rules on the target's outbound calls in force, in place of those before; None leaves the calls alone.
        start_worker: Starts the processes that share stages, here or on another machine.
    """

    def __init__(
        self,
        spec: CampaignSpec,
        emit: Callable[[Event], None],
        calls: Callable[[], Sequence[ApiCalled]] | None = None,
        progress: Callable[[Progress], None] | None = None,
        disturb: Callable[[tuple[Rule, ...]], None] | None = None,
        start_worker: StartWorker = Worker,
    ) -> None:
        endpoint = spec.endpoint
        if endpoint.started == EPOCH:
            # Delivery ids count from the start: a second campaign with this seed must not look like a redelivery.
            endpoint = replace(endpoint, started=int(time()))
        self.spec = replace(spec, started=spec.started or monotonic(), endpoint=endpoint)
        self._calls: Callable[[], Sequence[ApiCalled]] = calls or tuple
        self._progress = progress
        self._disturb = disturb
        self._start_worker = start_worker
        self.platform = platform_of(self.spec.platform)
        self.recorder = CaseRecorder(self.spec, self.platform, emit)

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> CampaignResult:
        """Runs it to its end, or until `should_stop`.

        Raises:
            TargetRefused: The target is neither loopback nor allowed.
            TargetUnusable: It does not answer a valid update.
        """
        began = monotonic()
        clock = Clock(began + self.spec.duration_s, should_stop)
        self.recorder.stopped = should_stop
        target = CampaignTarget(self.spec, self.platform, self._calls, should_stop, self._guide())
        attribution = Attribution(target, self._mechanism, self.recorder.health)
        slow_cases = SlowCases(target)
        shared = SharedChats(target)
        attribution.beside = slow_cases.unanswered
        closing_s = self.spec.duration_s * _CLOSING_S
        longest = began + (self.spec.longest_s or 0.0)
        target.until = max(clock.until, longest) + _OVER_S
        complete, cut = True, False
        try:
            target.start()
            try:
                seen = see(target, self.recorder)
            except TargetUnusable:
                if not should_stop():
                    raise
                return CampaignResult((), (), (), 0, {}, complete=False)
            names = self.spec.checks or tuple(name for name in CHECKS.names() if CHECKS.get(name).live)
            store = self.recorder.store = FindingStore(names, seen)
            context = CampaignContext(
                self.spec,
                self.platform,
                target,
                attribution,
                self.recorder,
                store,
                slow_cases,
                shared,
                self._show(),
                Disturbances(self._disturb) if self._disturb is not None else None,
            )
            try:
                with _prompt_threads():
                    clock, complete, cut = self._stages(context, clock, closing_s, longest)
            except TargetUnusable as error:
                complete = False
                for late in shared.take():
                    self.recorder.record(late)
                self.recorder.emit(Trouble(self.recorder.now(), "fuzz", f"{error}{self._unreached()}"))
            if unsent := self._unsent():
                complete = False
                self.recorder.emit(Trouble(self.recorder.now(), "fuzz", unsent))
            if context.target.guide is not None:
                context.target.guide.tell_end(context)
            result = close_campaign(context, clock, self._calls, complete=complete and not should_stop())
            return replace(result, cut=cut)
        finally:
            slow_cases.close()
            shared.close()
            attribution.close()
            target.close()

    @property
    def _planned(self) -> tuple[str, ...]:
        """The stages that this campaign runs, in their order."""
        return tuple(
            name for name in STAGES if name in self.spec.stages and (self.spec.guide or not TABLE[name].guided)
        )

    def _guide(self) -> Guide | None:
        if not self.spec.guide:
            return None
        from chaosbot.fuzz.guide import Guide  # noqa: PLC0415 - few campaigns have one

        return Guide(self.spec.guide_include, self.spec.endpoint.secret)

    def _unsent(self) -> str:
        """Which of the cases that were asked for (`CampaignSpec.only`) were never sent; empty where all were."""
        if not self.spec.only or "catalogue" not in self.spec.stages:
            return ""
        events = (event for event in self.recorder.events if isinstance(event, CaseTried))
        sent = {event.case for event in events if event.outcome.fate is not Fate.CANCELLED}
        asked = [case.name for case in catalogue(self.spec, self.platform)]
        missing = [name for name in asked if name not in sent]
        if not missing:
            return ""
        named = ", ".join(missing[:4]) + (" …" if len(missing) > 4 else "")
        return (
            f"{len(missing)} of {len(asked)} cases of --case were never sent: {named}; give it more time (--duration)"
        )

    def _unreached(self) -> str:
        """What was not sent when the target went away."""
        begun = [name for name in STAGES if self.recorder.by_stage[name]]
        left = [name for name in self._planned if name not in begun]
        cut = f"; the stage {begun[-1]} was cut short" if begun else ""
        return cut + (f"; not reached: {', '.join(left)}" if left else "")

    def _stages(
        self, context: CampaignContext, clock: Clock, closing_s: float, longest: float
    ) -> tuple[Clock, bool, bool]:
        """Runs the stages; the clock as it stands then, whether all had their turn, and whether the catalogue was cut."""
        if context.target.small_ids:
            self._only_ids(context, clock)
            return clock, False, False
        complete, cut = True, False
        guide = context.target.guide
        if guide is not None:
            guide.tell_start(context)
        # Hypothesis takes a second to load, in which the first stages mostly wait.
        modules = sorted({TABLE[name].module for name in self._planned})
        threading.Thread(target=_load_ahead, args=(modules,), daemon=True).start()
        if "sequences" in self._planned:
            out_of_order(context)
        for name in self._planned:
            stage = TABLE[name]
            # A stage that runs whole has the longer time as its own, whatever those before it took.
            rest = max(clock.until + _LATE_S, longest - closing_s if stage.whole else 0.0)
            if clock.should_stop():
                return clock, False, cut
            if clock.over() and monotonic() >= rest:
                complete, cut = False, cut or stage.whole
                what = f"no time was left for the stage {name}; --duration gives more"
                context.recorder.emit(Trouble(self.recorder.now(), "fuzz", what))
                continue
            self.recorder.emit(PhaseChanged(self.recorder.now(), "fuzz", name))
            began = monotonic()
            run = stage.load()
            if stage.alone:
                left = clock.until - closing_s - monotonic()
                take_shared(context, Clock(monotonic() + left * _SHARED, clock.should_stop))
            left = clock.until - closing_s - monotonic()
            share = 1.0 if name == self._planned[-1] else stage.share
            until = monotonic() + max(_LEAST_S, left * share)
            most = max(until, longest - closing_s) if stage.whole else until
            context.until = monotonic() + left
            own = Clock(most, clock.should_stop)
            helpers = CampaignHelpers(context, name, most, self._start_worker)
            with context.silent() if stage.still else nullcontext():
                run(context, own)
            helpers.gather()
            if guide is not None:
                guide.tell_stage(context, name)
            if stage.guided and name != self._planned[-1]:
                # On top: the stages that a campaign without the guide has as well get the same time as there.
                more = monotonic() - began
                clock, longest = Clock(clock.until + more, clock.should_stop), longest + more
                context.target.until += more
            cut = cut or (stage.whole and own.over())
            late = max(0.0, monotonic() - until) if stage.whole else 0.0
            clock = Clock(max(clock.until, min(clock.until + late, longest)), clock.should_stop)
        self.recorder.emit(PhaseChanged(self.recorder.now(), "fuzz", "judging"))
        last = Clock(clock.until - closing_s / 2, clock.should_stop)
        take_shared(context, last)
        context.slow.collect(context.recorder, context.attribution, last)
        return clock, complete, cut

    def _only_ids(self, context: CampaignContext, clock: Clock) -> None:
        """Shows that ids of more than 32 bits are refused: each other stage would say the same, of every user."""
        cases = (case for case in catalogue(self.spec, self.platform) if case.name.startswith("identity/id-bits"))
        run_cases(context, cases, "catalogue", clock)
        what = "users whose ids need more than 32 bits are refused, so nothing else was tried; mend that first"
        self.recorder.emit(Trouble(self.recorder.now(), "fuzz", what))

    def _mechanism(self, result: CaseResult) -> Change:
        return result.case.change

    def _show(self) -> Callable[[str, int], None]:
        def show(stage: str, planned: int) -> None:
            if self._progress is not None:
                found = len(self.recorder.store.found) if self.recorder.store is not None else 0
                sent = sum(self.recorder.by_stage.values())
                self._progress(Progress(stage, sent, planned, found, self.spec.duration_s))

        return show


@contextmanager
def _prompt_threads() -> Iterator[None]:
    """While entered, no thread of this process holds up another one for long, so that what the target takes is the target's.

    By default a thread that computes is interrupted every 5 ms only, which each reading of a socket beside it waits for, and garbage is looked for
    among all events again and again, which stops every thread for a fifth of a second.
    """
    interval_s, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(*thresholds[:2], _SELDOM)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        gc.set_threshold(*thresholds)


def _load_ahead(modules: Sequence[str]) -> None:
    # What fails here fails again where the stage itself is loaded, and is said there.
    with suppress(Exception):
        for name in modules:
            import_module(name)


_COMMANDS: Final = ("/start", "/help")
"""What a bot that ignores plain texts most likely answers."""
_NO_MORE_S: Final = 1.5
"""So long after the last first reply, no other one is waited for."""


def see(target: CampaignTarget, recorder: CaseRecorder) -> CampaignStarted:
    """Makes sure that valid updates are acknowledged, and finds out where replies are seen and how fast answers are.

    Raises:
        TargetUnusable: They are not.
    """
    spec = target.spec
    healths = [target.health() for _ in range(5)]
    if not any(health.ok for health in healths):
        target.small_ids = True
        healths = [target.health() for _ in range(5)]
        if any(health.ok for health in healths):
            # What was only starting takes the others as well by now.
            target.small_ids = False
            target.small_ids = not target.health().ok
    last = healths[-1]
    if not any(health.ok for health in healths):
        outcome = last.outcome
        came = f"status {outcome.status}" if outcome.fate is Fate.ANSWERED else f"{outcome.fate} {outcome.detail}"
        refused = target.platform.refusal(outcome.status)
        hint = target.platform.secret_hint(spec.endpoint.secret, spec.secret_env) if refused else "is it the webhook?"
        raise TargetUnusable(
            f"{spec.address.url}: a valid {brief(spec.platform)} update gets {came}; a campaign needs a target that "
            f"acknowledges valid updates; {hint}"
        )
    for health in healths:
        recorder.health(health)
    if not any(health.outcome.ok for health in healths):
        # What was declared right and is all that valid updates get is its acknowledgement, of what is forged as well.
        target.takes = frozenset(health.outcome.status for health in healths if health.ok)
    replies = "none"
    if spec.bot_api and _replies(target, healths):
        replies = "mock"
    elif target.replies_in_answers or _in_answers(target):
        replies = "body"
    times = sorted(health.seconds for health in healths if health.ok)
    median = times[len(times) // 2]
    # A target that takes long for everything is slow, not hung; what counts is how far a case stands out.
    target.latency_s = max(spec.latency_s, 10 * median)
    started = CampaignStarted(
        recorder.now(),
        replies,
        spec.malformed,
        target.vitals() is not None,
        tuple(spec.checks or ()),
        tuple(sorted(accepted(spec.baseline))),
        round(target.latency_s, 3),
        round(median, 4),
        target.platform.expected(target.platform.canary()).within_s or 0.0,
        spec.accept_status,
    )
    recorder.emit(started)
    recorder.emit(Noted(recorder.now(), "fuzz", _sight(started)))
    return started


def _replies(target: CampaignTarget, healths: Sequence[HealthReply]) -> bool:
    """Whether the target's replies come to the mock; learns meanwhile how long they take."""
    until = monotonic() + _FIRST_REPLY_S
    waiting = [health.case for health in healths]
    # A bot may ignore what is no command.
    waiting += [case for text in _COMMANDS if (case := target.said(text)) is not None]
    for case in waiting[len(healths) :]:
        target.fire(case, "health")
    left, heard_at = list(waiting), inf
    while left and monotonic() < until and not target.should_stop():
        silent = [case for case in left if not target.watch.replied(case, 0.0)]
        left, heard_at = silent, heard_at if len(silent) == len(left) else monotonic()
        if len(left) <= len(waiting) // 2 and monotonic() > until - _FIRST_REPLY_S + target.watch.patience_s:
            break
        # What was not answered by now, after others were, will not be.
        if monotonic() > heard_at + max(_NO_MORE_S, 2 * target.watch.patience_s):
            break
        sleep(0.02)
    heard = [case for case in waiting if case not in left]
    if heard and not any(case.name == "health" for case in heard):
        target.answered = heard[0].summary
    return bool(heard)


def _in_answers(target: CampaignTarget) -> bool:
    """Whether the target answers a command in the webhook's answer, where it answers no text."""
    for text in _COMMANDS:
        case = target.said(text)
        if case is not None and target.replies_in(target.fire(case, "health").outcome):
            target.answered, target.replies_in_answers = text, True
            return True
    return False


def _sight(seen: CampaignStarted) -> str:
    """What the campaign can see, for people."""
    where = {
        "mock": "the bot's calls are seen at the mock",
        "body": "the bot's replies are seen in its webhook answers",
        "none": "the bot's calls are not seen (no --bot-api): effects cannot be judged",
    }[seen.replies]
    return f"{where}; memory is {'read' if seen.memory else 'not readable'}"


__all__ = ["Campaign", "CampaignResult", "CampaignSpec", "Progress"]
