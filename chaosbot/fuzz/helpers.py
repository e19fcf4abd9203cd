"""More processes for the stages whose cases are independent: threads would share one interpreter and gain nothing.

Each helper sends its own part of the mutations, or of the rounds of generated updates, judges by the answers alone, and hands back what
happened when the stage is over. The bot's calls are joined by the campaign's own process, which sees the mock.
"""

from __future__ import annotations

import os
import queue
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from chaosbot.core.errors import WorkerDied
from chaosbot.core.event import CampaignStarted, Event, Trouble
from chaosbot.core.platform import platform_of
from chaosbot.fuzz.attribution import Attribution
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.recorder import CaseRecorder, FindingStore, KnownCause
from chaosbot.fuzz.shared_chats import SharedChats
from chaosbot.fuzz.slow_cases import SlowCases
from chaosbot.fuzz.spec import CampaignSpec, Clock
from chaosbot.fuzz.stages import TABLE
from chaosbot.fuzz.target import CampaignTarget
from chaosbot.transport import enforce
from chaosbot.workers import AnyWorker, Parent, StartWorker, Worker

_GRACE_S: Final = 5.0


@dataclass(frozen=True)
class HelperResult:
    """What a helper hands back."""

    events: list[Event]
    found: list[KnownCause]
    by_stage: dict[str, int]


def assist(
    parent: Parent, spec: CampaignSpec, stage: str, seen: CampaignStarted, names: tuple[str, ...], secret_env: str
) -> None:
    """A helper process: hears on its own clock when the run began and until when it works, and does its part of a stage."""
    enforce(spec.allow)
    if secret_env:
        spec = replace(spec, endpoint=replace(spec.endpoint, secret=os.environ[secret_env]))
    parent.ready()
    told = parent.receive()
    if told is None:
        return
    started, until = told
    spec = replace(spec, started=started)

    def should_stop() -> bool:
        return parent.stopping

    platform = platform_of(spec.platform)
    target = CampaignTarget(spec, platform, tuple, should_stop)
    recorder = CaseRecorder(spec, platform, lambda _event: None)
    recorder.store, recorder.stopped = FindingStore(names, seen), should_stop
    attribution = Attribution(target, lambda result: result.case.change, recorder.health)
    target.look()
    context = CampaignContext(
        spec,
        platform,
        target,
        attribution,
        recorder,
        recorder.store,
        SlowCases(target),
        SharedChats(target),
        lambda _stage, _planned: None,
    )
    try:
        TABLE[stage].load()(context, Clock(until, should_stop))
    finally:
        parent.send(HelperResult(list(recorder.events), list(recorder.store.found.values()), dict(recorder.by_stage)))
        target.close()


class CampaignHelpers:
    """The helpers of one stage.

    Args:
        context: The campaign's parts.
        stage: What they work at.
        until: Monotonic time at which they stop.
        start_worker: Starts each of them, here or on another machine.
    """

    def __init__(self, context: CampaignContext, stage: str, until: float, start_worker: StartWorker = Worker) -> None:
        self._context = context
        self._until = until
        self._stage = stage
        self._helpers: list[tuple[AnyWorker, queue.SimpleQueue[HelperResult | str]]] = []
        names = tuple(check.name for check in context.store.checks)
        endpoint, secret_env = context.spec.endpoint, ""
        if start_worker is not Worker and endpoint.secret and os.environ.get(context.spec.secret_env):
            endpoint, secret_env = replace(endpoint, secret=""), context.spec.secret_env
        for part in range(1, context.spec.workers if TABLE[stage].divisible else 1):
            spec = replace(
                context.spec,
                endpoint=endpoint,
                part=part,
                bot_api=False,
                start_cmd=None,
                guide=False,
                corpus=None,
                findings=None,
            )
            said: queue.SimpleQueue[HelperResult | str] = queue.SimpleQueue()
            worker = start_worker(
                f"fuzz helper {part}",
                "chaosbot.fuzz.helpers:assist",
                spec,
                stage,
                context.store.seen,
                names,
                secret_env,
                on_message=said.put,
                on_death=said.put,
            )
            worker.send((context.spec.started + worker.clock_s, until + worker.clock_s))
            self._helpers.append((worker, said))

    def gather(self) -> None:
        """Takes in what the helpers did; of one that is lost, it says what the stage misses now."""
        try:
            if monotonic() < self._until and self._context.target.should_stop():
                for worker, _ in self._helpers:
                    worker.tell_to_stop()
            for worker, said in self._helpers:
                self._take_in(worker, said)
        finally:
            for worker, _ in self._helpers:
                worker.kill()

    def _take_in(self, worker: AnyWorker, said: queue.SimpleQueue[HelperResult | str]) -> None:
        try:
            worker.ready(max(0.0, self._until - monotonic()) + _GRACE_S)
            result = said.get(timeout=max(0.0, self._until - monotonic()) + _GRACE_S)
        except queue.Empty:
            result = f"has no result {_GRACE_S:g} s after the stage's end"
        except WorkerDied as error:
            result = str(error).removeprefix(worker.name).strip()
        if isinstance(result, str):
            spec = self._context.spec
            missing = f"{worker.name} {result}; {1 / spec.workers:.0%} of the stage '{self._stage}' is missing"
            self._context.recorder.emit(Trouble(monotonic() - spec.started, "fuzz", missing))
            return
        for event in result.events:
            self._context.recorder.emit(event)
        self._context.recorder.by_stage.update(result.by_stage)
        for found in result.found:
            self._context.store.offer(found.check, found.cause, found.case)
