"""More processes for the stages whose cases are independent: threads would share one interpreter and gain nothing.

Each helper sends its own part of the mutations, or generates by its own seed, judges by the answers alone, and hands back what
happened when the stage is over. The bot's calls are joined by the campaign's own process, which sees the mock.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event as Flag
from time import monotonic
from typing import Final

from chaosbot.core.dice import Dice
from chaosbot.core.errors import WorkerDied
from chaosbot.core.event import CampaignStarted, Event
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

_GRACE_S: Final = 5.0


@dataclass(frozen=True)
class HelperResult:
    """What a helper hands back."""

    events: list[Event]
    found: list[KnownCause]
    by_stage: dict[str, int]


def _help(
    spec: CampaignSpec,
    stage: str,
    seen: CampaignStarted,
    names: tuple[str, ...],
    until: float,
    stop: Flag,
    pipe: Connection,
) -> None:
    """A helper process; `until` is on the machine's monotonic clock, which all processes share."""
    enforce(spec.allow)
    platform = platform_of(spec.platform)
    target = CampaignTarget(spec, platform, tuple, stop.is_set)
    recorder = CaseRecorder(spec, platform, lambda _event: None)
    recorder.store = FindingStore(names, seen)
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
        TABLE[stage].load()(context, Clock(until, stop.is_set))
    finally:
        pipe.send(HelperResult(recorder.events, list(recorder.store.found.values()), dict(recorder.by_stage)))
        pipe.close()
        target.close()


class CampaignHelpers:
    """The helpers of one stage.

    Args:
        context: The campaign's parts.
        stage: What they work at.
        until: Monotonic time at which they stop.
    """

    def __init__(self, context: CampaignContext, stage: str, until: float) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._context = context
        self._stop = spawn.Event()
        self._until = until
        self._helpers: list[tuple[SpawnProcess, Connection]] = []
        names = tuple(check.name for check in context.store.checks)
        for part in range(1, context.spec.workers if TABLE[stage].divisible else 1):
            spec = replace(
                context.spec,
                seed=context.spec.seed if stage == "mutations" else Dice(context.spec.seed).at("helper", part).number(),
                part=part,
                bot_api=False,
                start_cmd=None,
                corpus=None,
                findings=None,
            )
            mine, theirs = spawn.Pipe(duplex=False)
            process = spawn.Process(
                target=_help, args=(spec, stage, context.store.seen, names, until, self._stop, theirs), daemon=True
            )
            process.start()
            theirs.close()
            self._helpers.append((process, mine))

    def gather(self) -> None:
        """Takes in what the helpers did.

        Raises:
            WorkerDied: One of them ended without a word.
        """
        if monotonic() < self._until and self._context.target.should_stop():
            self._stop.set()
        for process, pipe in self._helpers:
            try:
                result: HelperResult | None = (
                    pipe.recv() if pipe.poll(max(0.0, self._until - monotonic()) + _GRACE_S) else None
                )
            except EOFError:
                result = None
            process.join(_GRACE_S)
            if process.is_alive():
                process.kill()
            if result is None:
                raise WorkerDied(f"fuzz helper {process.pid}: ended with code {process.exitcode} and without a result")
            for event in result.events:
                self._context.recorder.emit(event)
            self._context.recorder.by_stage.update(result.by_stage)
            for found in result.found:
                self._context.store.offer(found.check, found.cause, found.case)
