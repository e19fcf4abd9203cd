"""What a person wants of a load that goes on, and bounds on requests in flight, in virtual time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from chaosbot.core.errors import ConfigError
from chaosbot.core.event import IntervalMeasured, RequestDone
from chaosbot.core.platform import Endpoint
from chaosbot.core.profile import PROFILES
from chaosbot.load.spec import LoadSpec, Wish
from tests.load.memory import MemoryConnection, virtual

USERS = {"users": 20, "spawn_rate": "1000/s", "duration": "40s"}


def intervals(events: list[Any]) -> list[IntervalMeasured]:
    return [event for event in events if isinstance(event, IntervalMeasured)]


def unique(events: list[Any]) -> bool:
    ids = [event.update_id for event in events if isinstance(event, RequestDone)]
    return len(ids) == len(set(ids)) > 50


def test_users_come_and_go_as_a_person_wants_and_no_update_is_sent_twice() -> None:
    def wishes(t: float) -> Wish:
        return Wish() if t < 10 else Wish(level=50) if t < 20 else Wish(paused=True, level=50) if t < 30 else Wish()

    engine, events = virtual("smoke", USERS, wishes=wishes, record_requests=True)
    users = [interval.active_users for interval in intervals(events)]
    assert (users[8], users[15], users[25], users[35]) == (20, 50, 0, 20)
    assert sum(interval.planned for interval in intervals(events)[22:29]) == 0
    assert unique(events)
    total = engine.aggregator.total
    assert total.planned == total.started == total.ended


def test_arrivals_follow_the_wish_and_then_the_plan_again() -> None:
    def wishes(t: float) -> Wish:
        return Wish() if t < 10 else Wish(level=5) if t < 20 else Wish(paused=True) if t < 30 else Wish()

    engine, events = virtual("steady", {"rate": "20/s", "duration": "40s"}, wishes=wishes, record_requests=True)
    planned = [interval.planned for interval in intervals(events)]
    assert planned[5] == planned[35] == 20
    assert planned[15] == 5
    assert sum(planned[22:29]) == 0
    assert 600 - 250 <= sum(planned) <= 600 - 150 + 40
    assert unique(events)
    total = engine.aggregator.total
    assert total.planned == total.started == total.ended


@pytest.mark.parametrize("wait_s", [(2.0, 2.0), (4.0, 10.0)])
def test_users_pause_as_long_as_they_are_told(wait_s: tuple[float, float]) -> None:
    _, events = virtual("smoke", USERS, record_requests=True, wait_s=wait_s)
    sent: dict[Any, list[float]] = {}
    for event in events:
        if isinstance(event, RequestDone):
            sent.setdefault(event.user, []).append(event.started)
    pauses = [after - before for times in sent.values() for before, after in pairwise(sorted(times))]
    assert len(pauses) > 50
    assert wait_s[0] - 0.1 <= min(pauses)
    assert max(pauses) <= wait_s[1] + 0.5
    assert max(pauses) - min(pauses) >= (wait_s[1] - wait_s[0]) / 2


class Slow(MemoryConnection):
    latency = (0.5, 1.0)


@pytest.mark.parametrize(("profile", "options"), [("smoke", USERS), ("steady", {"rate": "20/s", "duration": "20s"})])
def test_no_more_requests_are_in_flight_than_allowed_and_who_waits_is_late(
    profile: str, options: dict[str, Any]
) -> None:
    engine, events = virtual(profile, options, Slow, max_in_flight=3, timeout_s=300.0)
    assert max(interval.in_flight for interval in intervals(events)) == 3
    total = engine.aggregator.total
    assert total.planned == total.started + total.dropped
    assert total.started == total.ended


def test_a_bound_below_the_number_of_processes_is_refused() -> None:
    with pytest.raises(ConfigError, match="--max-in-flight"):
        LoadSpec("http://m/", Endpoint("m"), "telegram", 1, PROFILES.build("smoke", {}), processes=4, max_in_flight=3)


def test_bodies_are_kept_of_a_sample_and_never_where_nobody_wants_them() -> None:
    def kept(bodies: str) -> int:
        _, events = virtual("steady", {"rate": "50/s", "duration": "20s"}, Bodies, record_requests=True, bodies=bodies)
        done = [event for event in events if isinstance(event, RequestDone)]
        assert len(done) == 1000
        return sum(bool(event.outcome.body) for event in done)

    assert (kept("all"), kept("none"), kept("sample"), kept("failed")) == (1000, 0, 12, 0)


@pytest.mark.slow
def test_the_sample_of_bodies_is_of_all_users() -> None:
    options = {"users": 50, "spawn_rate": "1000/s", "duration": "40s"}
    _, events = virtual("smoke", options, Bodies, record_requests=True, wait_s=(0.1, 0.1))
    done = [event for event in events if isinstance(event, RequestDone)]
    kept = [event for event in done if event.outcome.body]
    assert 0.005 < len(kept) / len(done) < 0.02
    ordinals = [int(event.exchange.removeprefix("load-")) for event in kept]
    assert len({ordinal % 50 for ordinal in ordinals}) > 20


class Bodies(MemoryConnection):
    """Its answers have a body."""

    def fire(self, shot: Any) -> None:
        shot.head = b"HTTP/1.1 200 OK\r\n\r\nbody"
        super().fire(shot)
