"""`drive`: runs a load and tells what happened; colourless on the outside, trio within.

Ctrl-C and `should_stop` end a run within a second: the last frame is written, requests on their way are counted as
cancelled, and the result says how it ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import trio

from chaosbot.errors import TargetRefused
from chaosbot.load.engine import Engine, Surroundings
from chaosbot.load.frames import Recorder
from chaosbot.load.spec import LoadResult, LoadSpec
from chaosbot.load.target import Target, reserve_descriptors
from chaosbot.model.dialect import DIALECTS
from chaosbot.model.event import Event, FrameTaken, Noted
from chaosbot.model.profile import Workload

_LOOPBACK = ("localhost", "::1")


def drive(
    spec: LoadSpec,
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool] = lambda: False,
    on_frame: Callable[[FrameTaken], None] | None = None,
    phase: Callable[[], str] | None = None,
    faults: Callable[[], tuple[str, ...]] | None = None,
) -> LoadResult:
    """Runs a load.

    Args:
        spec: What to run.
        emit: Takes the run's events; called from this thread.
        should_stop: Asked ten times a second whether the run shall end.
        on_frame: Sees each frame too (live views).
        phase: The phase that the run is in; frames carry it.
        faults: The faults that are active; frames carry them.

    Raises:
        TargetRefused: The target is neither loopback nor allowed.
        TargetUnusable: Nothing listens there; nothing was sent.
        UsageError: Too few file descriptors, a bad journey file, a figure that the profile does not have.
    """
    guard(spec.url, spec.allow_hosts)
    target = Target.resolve(
        spec.url, verify=spec.verify, ca=spec.ca, connect_timeout_s=spec.connect_timeout_s, timeout_s=spec.timeout_s
    )
    reserve_descriptors(connections_of(spec))
    target.knock()
    outside = Surroundings(emit, should_stop, on_frame, phase, faults)
    engine = Engine(spec, target, DIALECTS.build(spec.dialect), outside)
    # Interrupts wait for a checkpoint, so no counter is ever torn; the loop has one every few milliseconds.
    trio.run(engine.run, restrict_keyboard_interrupt_to_checkpoints=True)
    return conclude(engine.recorder, engine.how, time.monotonic() - engine.start, emit)


def guard(url: str, allowed: tuple[str, ...]) -> None:
    """Refuses a target that is neither loopback nor named.

    Raises:
        TargetRefused: With the remedy.
    """
    host = urlsplit(url).hostname or ""
    if host not in _LOOPBACK and not host.startswith("127.") and host not in allowed:
        raise TargetRefused(
            f"{url}: '{host}' is not this machine, and load may hurt it; nothing was sent; "
            f"if it is yours, allow it with --allow-host {host}"
        )


def connections_of(spec: LoadSpec) -> int:
    """How many connections a run may open at once."""
    _, workload, pacer = spec.shaped()
    if workload is Workload.CLOSED:
        return int(pacer.peak)
    # An open workload needs at most what arrives within one timeout.
    return min(spec.connections, int(pacer.peak * spec.timeout_s) + 1)


def conclude(recorder: Recorder, how: str, duration_s: float, emit: Callable[[Event], None]) -> LoadResult:
    """Sums a run up and says whether the generator was its limit."""
    total, generator = recorder.total, recorder.generator()
    reasons = generator.limits()
    emit(
        Noted(
            duration_s,
            "generator",
            "; ".join(reasons) or "the generator kept up",
            {
                "valid": not reasons,
                "lateness_p99_s": generator.lateness_p99_s,
                "busy_share": generator.busy_share,
                "planned": total.planned,
                "dropped": total.dropped,
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
        duration_s=duration_s,
        reasons=reasons,
    )
