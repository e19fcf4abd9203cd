"""Long runs stay small: neither writing a journal nor folding it takes memory that grows with the run."""

import subprocess
import sys
from pathlib import Path

import pytest

from chaosbot import journal
from chaosbot.core.check import History
from chaosbot.core.event import Event, ExchangeSeen, Injected, Noted, RunEnded, RunStarted
from chaosbot.core.exchange import Depth, Direction
from chaosbot.report import fold
from chaosbot.reporters.json import to_json

BENCH = Path(__file__).resolve().parents[2] / "bench" / "memory.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("what", "count"), [("journal", 200_000), ("report", 400_000)])
def test_a_long_run_takes_no_more_memory_than_a_short_one(what: str, count: int) -> None:
    done = subprocess.run([sys.executable, BENCH, what, str(count)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_that_is_too_long_to_be_held_folds_to_the_same_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = [RunStarted(0.0, "proxy", "1", 1, "x", "now"), Noted(0.0, "a", "b")]
    for number in range(120):
        exchange = f"e{number % 60}" if number % 7 == 0 else f"x{number}"
        fault = Injected(
            number / 10, f"r{number % 3}", "latency", Depth.EXCHANGE, Direction.INBOUND, exchange, "applied"
        )
        seen = ExchangeSeen(
            number / 10,
            exchange,
            Direction.INBOUND,
            "POST",
            "/",
            500 if number % 11 == 0 else 200,
            "target",
            0.01 * number,
            update_id=number // 2,
        )
        # Most faults are told before their exchange ends, some after it, some exchanges meet none.
        events += [[fault, seen], [seen, fault], [seen]][number % 3 if number % 5 else 0]
    events.append(RunEnded(20.0, "completed"))
    written = journal.Journal(tmp_path / "run")
    for event in events:
        written.write(event)
    written.close()
    monkeypatch.setattr(journal, "MOST_HELD", 10)
    streamed = journal.read(tmp_path / "run")
    assert not isinstance(streamed.events, tuple)
    assert list(streamed.events) == events
    assert len(streamed.events) == len(events)
    assert streamed.exchanges[5] == History.of(events).exchanges[5]
    assert list(streamed.exchanges[-3:]) == list(History.of(events).exchanges[-3:])
    assert to_json(fold(streamed)) == to_json(fold(History.of(events)))
