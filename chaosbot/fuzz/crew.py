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

from chaosbot.checks._cases import Facts, stem
from chaosbot.core.dice import Dice
from chaosbot.core.errors import WorkerDied
from chaosbot.core.event import Event
from chaosbot.core.platform import platform_of
from chaosbot.fuzz.attribution import Attribution
from chaosbot.fuzz.ledger import Found, Ledger
from chaosbot.fuzz.recorder import Recorder
from chaosbot.fuzz.slowlane import SlowLane
from chaosbot.fuzz.spec import CampaignSpec, Clock
from chaosbot.fuzz.stages import run_stage
from chaosbot.fuzz.target import Target
from chaosbot.fuzz.workshop import Workshop
from chaosbot.transport import enforce

SHARED: Final = frozenset({"mutations", "generated"})
_GRACE_S: Final = 5.0


@dataclass(frozen=True)
class Haul:
    """What a helper hands back."""

    events: list[Event]
    found: list[Found]
    by_stage: dict[str, int]


def _help(
    spec: CampaignSpec, stage: str, facts: Facts, names: tuple[str, ...], until: float, stop: Flag, pipe: Connection
) -> None:
    """A helper process; `until` is on the machine's monotonic clock, which all processes share."""
    enforce(spec.allow)
    platform = platform_of(spec.platform)
    target = Target(spec, platform, tuple, stop.is_set)
    recorder = Recorder(spec, platform, lambda _event: None)
    recorder.ledger = Ledger(names, facts)
    attribution = Attribution(target, lambda trial: stem(recorder.tried(trial)[0]), recorder.canary)
    target.look()
    shop = Workshop(
        spec, platform, target, attribution, recorder, recorder.ledger, SlowLane(target), lambda _stage, _planned: None
    )
    try:
        run_stage(stage, shop, Clock(until, stop.is_set))
    finally:
        pipe.send(Haul(recorder.events, list(recorder.ledger.found.values()), dict(recorder.by_stage)))
        pipe.close()
        target.close()


class Crew:
    """The helpers of one stage.

    Args:
        shop: The campaign's parts.
        stage: What they work at.
        until: Monotonic time at which they stop.
    """

    def __init__(self, shop: Workshop, stage: str, until: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._shop = shop
        self._stop = context.Event()
        self._until = until
        self._helpers: list[tuple[SpawnProcess, Connection]] = []
        names = tuple(check.name for check in shop.ledger.checks)
        for part in range(1, shop.spec.workers if stage in SHARED else 1):
            spec = replace(
                shop.spec,
                seed=shop.spec.seed if stage == "mutations" else Dice(shop.spec.seed).at("helper", part).number(),
                part=part,
                bot_api=False,
                start_cmd=None,
                corpus=None,
                findings=None,
            )
            mine, theirs = context.Pipe(duplex=False)
            process = context.Process(
                target=_help, args=(spec, stage, shop.ledger.facts, names, until, self._stop, theirs), daemon=True
            )
            process.start()
            theirs.close()
            self._helpers.append((process, mine))

    def gather(self) -> None:
        """Takes in what the helpers did.

        Raises:
            WorkerDied: One of them ended without a word.
        """
        if monotonic() < self._until and self._shop.target.should_stop():
            self._stop.set()
        for process, pipe in self._helpers:
            try:
                haul: Haul | None = pipe.recv() if pipe.poll(max(0.0, self._until - monotonic()) + _GRACE_S) else None
            except EOFError:
                haul = None
            process.join(_GRACE_S)
            if process.is_alive():
                process.kill()
            if haul is None:
                raise WorkerDied(f"fuzz helper {process.pid}: ended with code {process.exitcode} and without a result")
            for event in haul.events:
                self._shop.recorder.emit(event)
            self._shop.recorder.by_stage.update(haul.by_stage)
            for found in haul.found:
                self._shop.ledger.offer(found.check, found.breach, found.case)
