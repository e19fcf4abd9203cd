"""How a run is stopped: what only starts is interrupted at once, what runs gets a moment, what ends is left alone."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chaosbot.core.errors import PortBusy
from chaosbot.core.event import ProbeSeen
from chaosbot.session.environment import DemoTarget
from chaosbot.session.run import Run, conducting, signals_held


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run("load", "target", 7, tmp_path / "made" / "run")
    yield made
    made.journal.close()


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the run's alarm was set to, instead of the alarm."""
    seen: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda _which, seconds: seen.append(seconds))
    return seen


def test_a_signal_interrupts_what_is_only_starting_without_using_the_grace(run: Run, timers: list[float]) -> None:
    reached = []
    with conducting(run), run.interruptible():
        signal.raise_signal(signal.SIGINT)
        reached.append("after the signal")
    assert reached == []
    assert not any(timers)
    assert run.report is not None
    assert run.report.how == "interrupted"


def test_nothing_starts_any_more_when_the_signal_came_before(run: Run) -> None:
    reached = []
    with conducting(run):
        signal.raise_signal(signal.SIGTERM)
        with run.interruptible():
            reached.append("started")
    assert reached == []
    assert run.report is not None


def test_a_signal_asks_what_runs_and_arms_the_alarm_once(run: Run, timers: list[float]) -> None:
    with conducting(run):
        signal.raise_signal(signal.SIGINT)
        assert run.should_stop()
        signal.raise_signal(signal.SIGINT)
        assert len([seconds for seconds in timers if seconds]) == 1


def test_the_alarm_interrupts_who_did_not_listen_and_leaves_alone_who_is_ending(run: Run, timers: list[float]) -> None:
    reached = []
    with conducting(run):
        run.ending = True
        signal.raise_signal(signal.SIGALRM)
        reached.append("ended whole")
        run.ending = False
        signal.raise_signal(signal.SIGALRM)
        reached.append("never")
    assert reached == ["ended whole"]


def test_a_signal_while_the_run_is_made_takes_effect_when_somebody_conducts_it(run: Run, timers: list[float]) -> None:
    with conducting(run):
        with signals_held():
            signal.raise_signal(signal.SIGINT)
            assert not run.should_stop()
        assert run.should_stop()


def test_a_usage_error_before_anything_happened_leaves_no_directory(run: Run) -> None:
    with pytest.raises(PortBusy), conducting(run):
        raise PortBusy("127.0.0.1:1 is taken; choose another port")
    assert not run.directory.parent.exists()


def test_a_usage_error_leaves_what_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    run = Run("load", "target", 7, tmp_path / "out")
    with pytest.raises(PortBusy), conducting(run):
        raise PortBusy("127.0.0.1:1 is taken; choose another port")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_usage_error_in_the_middle_of_a_run_writes_its_report(run: Run) -> None:
    run.emit(ProbeSeen(0.1, "health", True, 200))
    with pytest.raises(PortBusy), conducting(run):
        raise PortBusy("127.0.0.1:1 is taken; choose another port")
    assert (run.directory / "report.json").exists()
    assert run.report is not None
    assert run.report.how == "aborted"


def test_an_embedded_bot_that_is_ended_while_it_starts_is_gone() -> None:
    bot = DemoTarget()
    bot.launch()
    process = psutil.Process(bot.pid)
    bot.__exit__(None, None, None)
    _, alive = psutil.wait_procs([process], timeout=30)
    assert not alive
