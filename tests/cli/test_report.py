"""`chaosbot report`: what it returns for one run and for two, on journals whose figures the test chose."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram

from chaosbot.core.event import IntervalMeasured, RunEnded, RunStarted
from chaosbot.journal import EVENTS_FILE, Journal

SECONDS, RATE = 20, 50


def latencies(milliseconds: int) -> str:
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for step in range(RATE):
        histogram.record_value(milliseconds * (1000 + 10 * step))
    return histogram.encode().decode()


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., str]:
    def record(name: str, milliseconds: int = 20, late_s: float = 0.001) -> str:
        journal = Journal(tmp_path / name)
        journal.write(RunStarted(0.0, "load", "0.1.0", 7, "http://127.0.0.1:1/", "2026-01-02T03:04:05+00:00"))
        for second in range(SECONDS):
            journal.write(
                IntervalMeasured(
                    second + 1.0,
                    second,
                    shard=0,
                    planned=RATE,
                    started=RATE,
                    completed=RATE,
                    failed=0,
                    timed_out=0,
                    dropped=0,
                    lateness_p99_s=late_s,
                    lateness_max_s=late_s,
                    response=latencies(milliseconds),
                    service=latencies(milliseconds),
                )
            )
        journal.write(RunEnded(SECONDS + 1.0, "completed"))
        journal.close()
        return name

    return record


def test_a_run_beside_one_like_it_returns_0(chaosbot: Callable, recorded: Callable) -> None:
    done = chaosbot("report", recorded("before"), recorded("after", 22))
    assert done.code == 0, done
    assert "pass: no change that matters" in done.out
    assert "paired" in done.out


def test_a_run_that_got_slower_returns_1_and_the_way_back_0(chaosbot: Callable, recorded: Callable) -> None:
    before, after = recorded("before"), recorded("after", 40)
    slower, faster = chaosbot("report", before, after), chaosbot("report", after, before)
    assert (slower.code, faster.code) == (1, 0)
    assert "pass: worse" in slower.out
    assert "pass: better" in faster.out


def test_a_run_that_broke_off_is_worse_than_one_that_ended(chaosbot: Callable, recorded: Callable, tmp_path) -> None:
    before, after = recorded("before"), recorded("after")
    journal = tmp_path / after / EVENTS_FILE
    journal.write_bytes(journal.read_bytes()[:-10])
    assert chaosbot("report", after, "--quiet").code == 3
    assert chaosbot("report", before, after).code == 1


def test_a_run_that_says_nothing_is_no_measure_of_a_later_one(
    chaosbot: Callable, recorded: Callable, tmp_path: Path
) -> None:
    before, after = recorded("before"), recorded("after")
    (tmp_path / before / EVENTS_FILE).write_bytes(b"")
    done = chaosbot("report", before, after)
    assert done.code == 3, done
    assert "cannot tell, the run before says nothing" in done.out


def test_a_run_whose_generator_was_the_limit_returns_3(chaosbot: Callable, recorded: Callable) -> None:
    done = chaosbot("report", recorded("before"), recorded("after", 400, late_s=2.0))
    assert done.code == 3, done
    assert "cannot tell, the load generator was the limit" in done.out
