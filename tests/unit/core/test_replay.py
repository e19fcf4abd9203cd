"""A recorded ledger decides again what it decided then, whatever dice, windows and counters would say now."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosbot.config.plan import plan_from, plan_to_mapping
from chaosbot.config.replay import ledger_plan, read_recording
from chaosbot.core.check import History
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Event, Injected, RunEnded, RunStarted
from chaosbot.core.exchange import Direction, Exchange
from chaosbot.core.plan import FaultPlan, Moment, Scope, Tally, decide
from chaosbot.journal import Journal

PLAN = plan_from(
    {
        "rules": [
            {"fault": "latency:50ms±40ms", "p": 0.4, "scope": "exchange"},
            {"fault": "abort", "options": {"status": 503}, "every": 3, "path": "/hook*"},
            {"fault": "lost_ack", "start": "10s", "for": "5s"},
            {"fault": "bandwidth", "options": {"rate": "1MB"}, "p": 0.5, "scope": "connection"},
            {"fault": "empty_reply", "first": 2},
        ]
    },
    "test",
)


def traffic() -> list[Exchange]:
    return [
        Exchange(f"e{n}", Direction.INBOUND, connection=n // 4, path="/hook" if n % 2 else "/other") for n in range(40)
    ]


def run(plan: FaultPlan, seed: int, exchanges: list[Exchange], at: float) -> tuple[list[Event], set[object]]:
    """Decides for all of it; returns the ledger and the effects."""
    tally, ledger, happened = Tally(), [], set()
    dice = Dice(seed)
    for number, exchange in enumerate(exchanges):
        for decision in decide(plan, dice, exchange, Moment(at + number), tally):
            if decision.fires:
                rule = decision.rule
                key = "" if rule.scope is Scope.CONNECTION else exchange.key
                ledger.append(
                    Injected(
                        0.0,
                        rule.name,
                        rule.fault.name,
                        rule.fault.depth,
                        exchange.direction,
                        key,
                        "applied",
                        exchange.connection,
                    )
                )
                happened.add((rule.name, exchange.key, decision.effects))
    return ledger, happened


def test_the_same_faults_happen_again_in_another_order_and_at_another_time() -> None:
    ledger, happened = run(PLAN, 7, traffic(), at=0.0)
    assert {event.rule for event in ledger} == {rule.name for rule in PLAN.rules}
    replayed = ledger_plan(History.of(ledger), PLAN)
    _, again = run(replayed, 7, list(reversed(traffic())), at=5000.0)
    assert again == happened


def test_the_replayed_plan_needs_no_counting_worker() -> None:
    assert PLAN.counts
    assert not ledger_plan(History.of([]), PLAN).counts


def test_what_was_not_recorded_does_not_happen() -> None:
    assert run(ledger_plan(History.of([]), PLAN), 7, traffic(), at=0.0) == ([], set())


def journal(path: Path, plan: FaultPlan, events: list[Event]) -> None:
    written = Journal(path)
    written.write(RunStarted(0.0, "proxy", "1", 7, "x", "now", {"plan": plan_to_mapping(plan), "platform": "telegram"}))
    for event in events:
        written.write(event)
    written.write(RunEnded(1.0, "completed"))
    written.close()


def test_a_run_directory_is_read_for_replay(tmp_path: Path) -> None:
    ledger, happened = run(PLAN, 7, traffic(), at=0.0)
    journal(tmp_path / "run", PLAN, ledger)
    recording = read_recording(tmp_path / "run")
    assert recording.seed == 7
    assert run(recording.plan, recording.seed, traffic(), at=99.0)[1] == happened


def test_a_run_without_faults_cannot_be_replayed(tmp_path: Path) -> None:
    journal(tmp_path / "run", FaultPlan(), [])
    with pytest.raises(ConfigError, match="had no fault plan; name the directory"):
        read_recording(tmp_path / "run")
