"""What the live page is told: a small fold of the run's events."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hdrh.histogram import HdrHistogram

from chaosbot.core.event import (
    WORKERS,
    CaseTried,
    ExchangeSeen,
    Injected,
    IntervalMeasured,
    Judged,
    Noted,
    PhaseChanged,
    RuleSwitched,
    RunEnded,
    StreamInterval,
    Trouble,
)
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict
from chaosbot.session.board import MOST_LISTED, SECONDS_KEPT, Board
from chaosbot.session.run import Run

SECRET = "the-secret-of-the-webhook"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run("load", "http://127.0.0.1:1/webhook", 7, tmp_path / "run", secrets=(SECRET,))
    yield made
    made.journal.close()


def frame(second: int, *milliseconds: float, shard: int = 0, failed: int = 0, users: int = 5) -> IntervalMeasured:
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for value in milliseconds:
        histogram.record_value(int(value * 1000))
    coded = histogram.encode().decode()
    return IntervalMeasured(
        t=second + 1.003,
        second=second,
        shard=shard,
        planned=len(milliseconds),
        started=len(milliseconds),
        completed=len(milliseconds) - failed,
        failed=failed,
        timed_out=0,
        dropped=0,
        response=coded,
        service=coded,
        errors={"status_503": failed} if failed else {},
        active_users=users,
    )


def finding(number: int, title: str = "Breaks") -> Judged:
    found = Finding("no_hang", title, Severity.HIGH, Threat.USER, RootCause(f"cause {number}"))
    return Judged(1.0, Judgement("no_hang", Verdict.FAIL, findings=(found,)))


def test_processes_of_one_second_are_one_point_with_percentiles_of_all_their_requests(run: Run) -> None:
    board = Board(run, "target")
    board.notice(frame(3, *[10.0] * 50, shard=0))
    board.notice(frame(3, *[10.0] * 48, 900.0, 900.0, shard=1, failed=2))
    state = board.state()
    (point,) = state["points"]
    assert (point["t"], point["rps"], point["failed"], point["users"]) == (4, 100, 2, 10)
    assert point["p50"] == pytest.approx(10, rel=0.01)
    assert point["p99"] == pytest.approx(900, rel=0.01)
    assert state["load"]["completed"] == 98
    assert state["errors"] == {"status_503": 2}


def test_a_frame_that_comes_late_is_added_to_its_second(run: Run) -> None:
    board = Board(run, "target")
    board.notice(frame(3, 10.0, shard=0))
    assert board.state()["points"][0]["rps"] == 1
    board.notice(frame(3, 20.0, shard=1))
    assert board.state()["points"][0]["rps"] == 2


def test_however_long_a_run_is_the_state_stays_small_and_the_sums_whole(run: Run) -> None:
    board = Board(run, "target")
    for second in range(SECONDS_KEPT + 100):
        board.notice(frame(second, 5.0))
    for number in range(MOST_LISTED + 50):
        board.notice(finding(number))
        board.notice(Trouble(1.0, "somewhere", f"trouble {number}"))
    state = board.state()
    assert len(state["points"]) == SECONDS_KEPT
    assert state["points"][-1]["t"] == SECONDS_KEPT + 100
    assert state["load"]["planned"] == SECONDS_KEPT + 100
    assert len(state["findings"]) == len(state["trouble"]) == MOST_LISTED
    assert state["findings_left_out"] == 50
    assert len(board.state(since=SECONDS_KEPT + 98)["points"]) == 3


def test_every_answered_request_reaches_the_prometheus_histogram_exactly_once(run: Run) -> None:
    board = Board(run, "target")
    for second in range(20):
        board.notice(frame(second, 5.0, 80.0))
        if second % 3 == 0:
            board.fold()
    run.emit(RunEnded(21.0, "completed"))
    board.end()
    lines = board.text().splitlines()
    assert "chaosbot_load_response_seconds_count 40.0" in lines
    assert 'chaosbot_load_response_seconds_bucket{le="0.01"} 20.0' in lines
    assert 'chaosbot_load_response_seconds_bucket{le="0.1"} 40.0' in lines
    assert 'chaosbot_load_requests_total{result="completed"} 40.0' in lines
    board.end()
    assert "chaosbot_load_response_seconds_count 40.0" in board.text().splitlines()


def test_no_secret_is_shown(run: Run) -> None:
    board = Board(run, f"http://127.0.0.1/{SECRET}")
    board.notice(Trouble(1.0, "proxy", f"said {SECRET}"))
    board.notice(finding(1, f"Leaks {SECRET}"))
    board.notice(
        Injected(
            1.0, f"rule {SECRET}", "latency", Depth.BYTES, Direction.INBOUND, "x", "applied", detail=f"on {SECRET}"
        )
    )
    assert SECRET not in str(board.state())
    assert "[redacted]" in str(board.state())
    assert SECRET not in board.text()


def test_faults_phases_and_findings_are_shown_as_they_stand(run: Run) -> None:
    board = Board(run, "target", total_s=30.0)
    board.notice(PhaseChanged(2.0, "fault", "slow"))
    board.notice(RuleSwitched(2.0, "slow", "latency", active=True))
    board.notice(RuleSwitched(2.0, "gone", "abort", active=True))
    board.notice(RuleSwitched(3.0, "gone", "abort", active=False))
    board.notice(Injected(2.5, "slow", "latency", Depth.BYTES, Direction.INBOUND, "x", "applied"))
    board.notice(Injected(2.5, "slow", "latency", Depth.BYTES, Direction.INBOUND, "y", "missed"))
    board.notice(finding(1))
    board.notice(finding(1))
    state = board.state()
    assert state["phase"] == {"t": 2.0, "phase": "fault", "label": "slow"}
    assert state["faults"] == {"active": ["latency"], "injected": {"latency": 1}}
    assert [(one["title"], one["count"]) for one in state["findings"]] == [("Breaks", 2)]
    assert state["total_s"] == 30.0
    assert state["ended"] is None


@pytest.mark.parametrize("verb", ["proxy", "fuzz"])
def test_verbs_without_frames_are_counted_event_by_event(verb: str, tmp_path: Path) -> None:
    run = Run(verb, "target", 7, tmp_path / "run")
    board = Board(run, "target", total_s=float("inf"))
    for number in range(10):
        if verb == "proxy":
            status = 503 if number < 3 else 200
            board.notice(ExchangeSeen(4.1, "x", Direction.INBOUND, "POST", "/", status, "target", 0.02))
        else:
            outcome = Outcome(Fate.ANSWERED, 200, total_s=0.02)
            violations = ("no_hang",) if number < 3 else ()
            board.notice(CaseTried(4.1, "c", "g", Threat.USER, "catalogue", outcome, violations))
    state = board.state()
    run.journal.close()
    (point,) = state["points"]
    assert (point["t"], point["rps"], point["failed"], point["p99"]) == (4, 10, 3, 20.0)
    assert state["total_s"] is None
    assert state["breaches"] == ({"no_hang": 3} if verb == "fuzz" else {})


@pytest.mark.parametrize(("verb", "serving"), [("proxy", True), ("mock", True), ("load", False)])
def test_who_serves_has_begun_and_a_plan_begins_with_its_load(verb: str, serving: bool, tmp_path: Path) -> None:
    run = Run(verb, "target", 7, tmp_path / "run")
    board = Board(run, "target", total_s=30.0)
    run.started -= 10.0
    assert (board.state()["elapsed"] >= 10.0) == serving
    board.notice(frame(3, 10.0))
    assert board.state()["elapsed"] == pytest.approx(10.0 if serving else 10.0 - 0.003, abs=1.0)
    run.journal.close()


def test_noticing_an_event_folds_nothing_so_that_an_engine_never_waits_for_a_viewer(run: Run) -> None:
    board = Board(run, "target")
    board.notice(frame(1, 5.0))
    assert "chaosbot_load_planned_total 0.0" in board.metrics.text()
    board.fold()
    assert "chaosbot_load_planned_total 0.0" not in board.metrics.text()


def test_the_processes_of_a_load_stand_there_with_host_share_lateness_and_cpu(run: Run) -> None:
    board = Board(run, "target")
    board.notice(Noted(0.0, WORKERS, "2 processes", {"0": "load process 0 on alpha", "1": "load process 1 on beta"}))
    board.notice(frame(3, *[10.0] * 30, shard=0))
    late = msgspec.structs.replace(frame(3, *[10.0] * 10, shard=1), lateness_p99_s=0.25, cpu=0.97)
    board.notice(late)
    board.notice(Trouble(5.0, "load:shard 1", "load process 1 on beta was lost"))
    first, second = board.state()["workers"]
    assert (first["name"], first["host"], first["share"], first["lost"]) == ("load process 0", "alpha", 0.75, False)
    assert (second["host"], second["lateness_ms"], second["cpu"], second["lost"]) == ("beta", 250.0, 0.97, True)


def test_how_connections_of_a_stream_ended_is_told_in_words(run: Run) -> None:
    board = Board(run, "target")
    seen = StreamInterval(connects=4, ends={"1006": 1, "4401": 2}, broken=3, quiet=1, early=2)
    board.notice(msgspec.structs.replace(frame(0, 5), streams={"prices": seen}))
    (row,) = board.state()["streams"]
    assert row["errors"] == {
        "closed with 4401": 2,
        "dropped without a close frame (1006)": 1,
        "without a message": 1,
        "ended by the server within 2 messages": 2,
    }
