"""Stop conditions end a run when they have held for their whole time, and not before."""

import pytest
from hdrh.histogram import HdrHistogram

from chaosbot.core.errors import ConfigError
from chaosbot.core.event import IntervalMeasured, ProbeSeen
from chaosbot.session.abort import Sentinel, StopCondition


def frame(t: float, completed: int = 10, failed: int = 0, latency_s: float = 0.01) -> IntervalMeasured:
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for _ in range(completed + failed):
        histogram.record_value(int(latency_s * 1e6))
    coded = histogram.encode().decode()
    total = completed + failed
    return IntervalMeasured(t, int(t), 0, total, total, completed, failed, 0, 0, coded, coded)


def stopped_by(text: str, events) -> list[str]:
    reasons: list[str] = []
    sentinel = Sentinel([StopCondition.parse(text)], reasons.append)
    for event in events:
        sentinel.notice(event)
    return reasons


def test_a_bound_that_is_passed_for_its_whole_time_stops_the_run() -> None:
    reasons = stopped_by("error_rate > 50% for 3s", [frame(t, 1, 9) for t in range(4)])
    assert "error_rate > 50% for 3s" in reasons[0]


def test_one_good_second_starts_the_time_anew() -> None:
    bad, good = (1, 9), (10, 0)
    shape = [bad, bad, bad, good, bad, bad, bad]
    assert not stopped_by("error_rate > 50% for 3s", [frame(t, *counts) for t, counts in enumerate(shape)])


def test_a_latency_is_read_from_the_frames_in_seconds() -> None:
    assert stopped_by("p99 > 2s for 1s", [frame(t, latency_s=3.0) for t in range(3)])
    assert not stopped_by("p99 > 4s for 1s", [frame(t, latency_s=3.0) for t in range(3)])


def test_the_targets_memory_can_end_a_run() -> None:
    looks = [ProbeSeen(t, "memory", ok=True, value=600_000_000) for t in range(3)]
    assert stopped_by("memory > 500MB for 2s", looks)
    assert not stopped_by("memory > 700MB for 2s", looks)


def test_a_target_that_stops_answering_its_health_probe_ends_a_run() -> None:
    down = [ProbeSeen(t, "health", ok=False) for t in range(4)]
    assert stopped_by("health fails for 3s", down)
    assert not stopped_by("health fails for 3s", [*down[:2], ProbeSeen(2, "health", ok=True), down[3]])
    assert not stopped_by("health fails", down)


def test_a_second_in_which_nothing_finished_says_nothing() -> None:
    assert not stopped_by("error_rate > 1% for 1s", [frame(t, 0, 0) for t in range(5)])


@pytest.mark.parametrize(
    "text", ["", "p99", "p99 < 2s", "happiness > 3", "p99 > 2", "error_rate > 200%", "p99 > 2s for ever"]
)
def test_a_condition_that_cannot_be_read_says_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match="abort_on"):
        StopCondition.parse(text)
