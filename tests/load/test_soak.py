"""An hour under a mock clock: the real engine, users and frames; only the sockets are in memory."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosbot.core.event import IntervalMeasured, ProbeSeen
from chaosbot.core.outcome import Fate
from chaosbot.core.platform import PLATFORMS
from chaosbot.core.profile import PROFILES
from chaosbot.load.engine import LoadEngine
from chaosbot.load.sampling import sample

from .memory import MemoryConnection, virtual


class StormyLine(MemoryConnection):
    fates = (Fate.ANSWERED, Fate.ANSWERED, Fate.RESET, Fate.REFUSED, Fate.TIMEOUT, Fate.PROTOCOL)
    latency = (0.0, 3.0)


@pytest.mark.slow
@pytest.mark.parametrize("users", [25, 100])
def test_an_hour_of_many_users_loses_nothing_and_keeps_nothing(users: int) -> None:
    counts: list[int] = []

    def leak() -> Any:
        yield "memory", True, float(len(counts)), ""

    async def watch(engine: LoadEngine) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sample, leak, 60.0, engine.hooks.emit, lambda: engine.loop.clock() - engine.origin)
            for _ in range(3):
                await trio.sleep(1000)
                gc.collect()
                counts.append(len(gc.get_objects()))

    engine, events = virtual("soak", {"users": users}, companion=watch, grain_s=0.1)
    frames = [event for event in events if isinstance(event, IntervalMeasured)]
    total = engine.aggregator.total
    assert len(frames) in {3600, 3601}
    assert [frame.second for frame in frames] == list(range(len(frames)))
    # Users who wait 3.9 s on average (80 % 1-5, 15 % 2-8, …) and are answered within 0.1 s.
    assert total.completed == total.started == total.planned == sum(frame.completed for frame in frames) > 750 * users
    assert all(frame.active_users == users for frame in frames[15:3590])
    probes = [event for event in events if isinstance(event, ProbeSeen)]
    # Looks run in a real thread while virtual time goes on, so only their order and rough number are certain.
    assert [probe.t for probe in probes] == sorted(probe.t for probe in probes)
    assert 30 <= len(probes) <= 61
    # Between minute 17 and minute 50 only the frames themselves (kept by this test) were added.
    added = counts[2] - counts[0] - (counts[2] - counts[0] > 0) * 2000 * 12
    assert added < 5000, counts
    rare = set() if users >= 100 else {"admin", "grant", "revoke"}  # one user of a hundred is an admin
    assert set(total.commands) >= set(PLATFORMS.build("telegram").commands) - rare, "every command occurs in a full run"
    assert {"message", "callback_query"} <= set(total.kinds)


@settings(max_examples=25, deadline=None)
@given(
    profile=st.sampled_from(["open", "closed", "spike"]),
    sender=st.sampled_from(["raw", "telegram"]),
    connections=st.sampled_from([1, 7, 1000]),
    stop_at=st.sampled_from([0.0, 3.3, 20.0]),
)
def test_the_sums_hold_for_every_fate_in_virtual_time(
    profile: str, sender: str, connections: int, stop_at: float
) -> None:
    name, options = {
        "open": ("steady", {"rate": "20/s", "duration": "12s"}),
        "closed": ("smoke", {"users": 25, "spawn_rate": "5/s", "duration": "20s"}),
        "spike": ("spike", {"users": 20, "spawn_rate": "10/s", "duration": "15s"}),
    }[profile]
    engine, events = virtual(name, options, StormyLine, stop_at=stop_at, sender=sender, connections=connections)
    total = engine.aggregator.total
    assert total.planned == total.started + total.dropped > 0
    assert total.started == total.completed + total.failed + total.timed_out + total.cancelled
    assert sum(total.errors.values()) == total.failed + total.timed_out
    assert total.planned == sum(event.planned for event in events if isinstance(event, IntervalMeasured))


def test_a_plan_in_virtual_time_is_the_same_twice() -> None:
    def story() -> list[tuple[Any, ...]]:
        _, events = virtual("smoke", {"users": 20, "spawn_rate": "5/s", "duration": "30s"}, StormyLine)
        return [
            (frame.second, frame.planned, frame.completed, frame.failed, frame.timed_out, frame.response, frame.tasks)
            for frame in events
            if isinstance(frame, IntervalMeasured)
        ]

    assert story() == story()


def test_users_follow_the_spikes_shape_second_by_second() -> None:
    _, events = virtual("spike", {"users": 80, "base": 20, "spawn_rate": "10/s", "duration": "60s"})
    frames = [event for event in events if isinstance(event, IntervalMeasured)]
    pacer = PROFILES.build("spike", {"users": 80, "base": 20, "spawn_rate": "10/s", "duration": "60s"}).pacer()
    for frame in frames[:59]:
        assert frame.active_users == pytest.approx(pacer.level(frame.second + 1), abs=1.01)


def test_a_generator_that_wakes_up_too_late_still_plans_every_arrival() -> None:
    # Timers are looked at every 2 s only, also past the plan's end: lateness shows, arrivals do not vanish.
    engine, _ = virtual("steady", {"rate": "10/s", "duration": "5s"}, grain_s=2.0)
    assert engine.aggregator.total.planned == engine.aggregator.total.completed == 50
    assert engine.aggregator.generator().limits() != ()
    # Somebody stops it in the middle: what was due until then is planned, and dropped where nobody got to it.
    engine, _ = virtual("steady", {"rate": "10/s", "duration": "50s"}, grain_s=2.0, stop_at=9.0)
    total = engine.aggregator.total
    assert total.planned == total.started + total.dropped
    assert 80 <= total.planned <= 120
