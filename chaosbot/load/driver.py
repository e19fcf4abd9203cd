"""`drive`: runs a load and tells what happened; colourless on the outside, trio within.

Ctrl-C and `should_stop` end a run within a second: the last interval is written, requests on their way are counted as
cancelled, and the result says how it ended.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import trio

from chaosbot.core.arrival import GeneratorHealth
from chaosbot.core.event import Event, IntervalMeasured, Noted
from chaosbot.core.platform import EPOCH
from chaosbot.load.aggregator import RequestCounts
from chaosbot.load.assembly import asks_platform, assemble, check
from chaosbot.load.engine import RunHooks
from chaosbot.load.shards import LoadProcesses, connections_of, target_of
from chaosbot.load.spec import LoadResult, LoadSpec, Wish
from chaosbot.load.target import reserve_descriptors
from chaosbot.workers import StartWorker, Worker

MOST_NAMED: Final = 8
"""So many limits of processes are told; one overloaded machine may have a hundred."""


def drive(
    spec: LoadSpec,
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool] = lambda: False,
    on_interval: Callable[[IntervalMeasured], None] | None = None,
    phase: Callable[[], str] | None = None,
    faults: Callable[[], tuple[str, ...]] | None = None,
    wish: Callable[[], Wish] = Wish,
    start_worker: StartWorker = Worker,
    look: Callable[[], None] = lambda: None,
) -> LoadResult:
    """Runs a load.

    Args:
        spec: What to run.
        emit: Takes the run's events; called from this thread.
        should_stop: Asked twenty times a second whether the run shall end.
        on_interval: Sees each interval too (live views).
        phase: The phase that the run is in; intervals carry it.
        faults: The faults that are active; intervals carry them.
        wish: What a person wants of the load meanwhile.
        start_worker: Starts the processes that share the plan; those of a cluster run on other machines.
        look: Makes sure that the target takes the platform's requests; called where any are sent.

    Raises:
        TargetRefused: The target is neither loopback nor allowed.
        TargetUnusable: Nothing listens there; nothing was sent.
        UsageError: Too few file descriptors, a bad journey file, a figure that the profile does not have.
    """
    made = check(spec)
    if asks_platform(made):
        look()
    target = target_of(spec)
    # Shards have descriptors of their own; the largest share is reckoned with room for an uneven split.
    elsewhere = start_worker is not Worker
    room = spec.connections if elsewhere else reserve_descriptors(connections_of(spec))
    target.knock()
    if elsewhere:
        spec = dataclasses.replace(spec, token_env=made[1].token_env)
    endpoint = spec.endpoint
    if endpoint.started == EPOCH:
        # Delivery ids are counted from the run's own start, or a bot that knows the last run's takes them for repetitions.
        endpoint = dataclasses.replace(endpoint, started=int(time.time()))
    started = time.monotonic() if spec.started is None else spec.started
    spec = dataclasses.replace(spec, connections=min(spec.connections, room), endpoint=endpoint, started=started)
    hooks = RunHooks(emit, should_stop, on_interval, phase, faults, wish)
    if spec.processes > 1 or elsewhere:
        crew = LoadProcesses(spec, hooks, start_worker)
        each = crew.run()
        worst = GeneratorHealth(
            crew.total.planned,
            crew.total.dropped,
            max((one.lateness_p99_s for one in each.values()), default=0.0),
            max((one.busy_share for one in each.values()), default=0.0),
        )
        return _conclude(spec, crew.total, crew.how, crew.start, worst, emit, each=each, undelivered=crew.undelivered)
    engine = assemble(spec, target, hooks, made=made)
    # Interrupts wait for a checkpoint, so no counter is ever torn; the loop has one every few milliseconds.
    trio.run(engine.run, restrict_keyboard_interrupt_to_checkpoints=True)
    generator, knee = engine.aggregator.generator(), None
    more: tuple[str, ...] = ()
    if (search := engine.search) is not None:
        # A search overloads on purpose: what counts is whether the generator kept up where the target did.
        knee = search.search.good
        generator = dataclasses.replace(generator, dropped=0, lateness_p99_s=search.lateness_p99_s, busy_share=0.0)
        if search.limited:
            more = (
                f"the knee may lie above {knee:g}/s: beyond it the generator was late; give it a machine of its own",
            )
    return _conclude(spec, engine.aggregator.total, engine.how, engine.start, generator, emit, more, knee=knee)


def _conclude(
    spec: LoadSpec,
    total: RequestCounts,
    how: str,
    start: float,
    generator: GeneratorHealth,
    emit: Callable[[Event], None],
    more: tuple[str, ...] = (),
    *,
    knee: float | None = None,
    each: Mapping[str, GeneratorHealth] = MappingProxyType({}),
    undelivered: float = 0.0,
) -> LoadResult:
    """Sums a run up and says whether the generator was its limit, and which of its processes."""
    now = time.monotonic()
    if how != "completed":
        # Who stops a run drops what waits; that is not the generator's fault.
        generator = dataclasses.replace(generator, dropped=0)
        each = {name: dataclasses.replace(one, dropped=0) for name, one in each.items()}
    limits = [f"{name}: {limit}" for name, one in each.items() for limit in one.limits()] or generator.limits()
    left_out = (f"and {len(limits) - MOST_NAMED} more",) if len(limits) > MOST_NAMED else ()
    reasons = (*limits[:MOST_NAMED], *left_out, *more)
    emit(
        Noted(
            now - (spec.started or start),
            "generator",
            "; ".join(reasons) or "the generator kept up",
            {
                "valid": not reasons,
                "lateness_p99_s": generator.lateness_p99_s,
                "busy_share": generator.busy_share,
                "planned": total.planned,
                "dropped": total.dropped,
                "undelivered": undelivered,
                **({"knee": knee} if knee is not None else {}),
            },
        )
    )
    return LoadResult(
        how=how,
        planned=total.planned,
        started=total.started,
        completed=total.completed,
        failed=total.failed,
        timed_out=total.timed_out,
        cancelled=total.cancelled,
        dropped=total.dropped,
        duration_s=now - start,
        reasons=reasons,
        knee=knee,
        undelivered=undelivered,
    )
