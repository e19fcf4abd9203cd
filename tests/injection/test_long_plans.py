"""The rule engine on a clock of its own: windows over half a day, forced rules, shares of many."""

from __future__ import annotations

import math
from dataclasses import replace

from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.dice import Dice
from chaosbot.core.event import Event, RuleSwitched
from chaosbot.core.exchange import Exchange
from chaosbot.core.plan import FaultPlan, Scope
from chaosbot.injection.engine import RuleEngine

SCOPES = frozenset({Scope.EXCHANGE})
HOUR = 3600.0


class Clocked:
    """An engine whose time is what the test says."""

    def __init__(self, *faults: str) -> None:
        self.t = 0.0
        self.events: list[Event] = []
        self.plan = plan_of([parse_fault(text) for text in faults])
        self.engine = RuleEngine(self.plan, Dice(1), self.events.append, lambda: self.t)
        self.engine.look_at_windows()

    def fires(self, key: str = "k", forced: str | None = None) -> list[str]:
        return [armed.rule.name for armed in self.engine.decide(Exchange(key), SCOPES, forced=forced)]

    def switched(self) -> list[tuple[float, str, bool]]:
        return [(event.t, event.rule, event.active) for event in self.events if isinstance(event, RuleSwitched)]


def test_twelve_hours_of_a_schedule_open_and_close_to_the_second() -> None:
    clocked = Clocked(
        "abort;start=30m;every=1h;for=5m;name=hourly", "delay:1s;start=6h;for=90s;name=noon", "hang_up;name=always"
    )
    expected = {(0.0, "always", True), (6 * HOUR, "noon", True), (6 * HOUR + 90, "noon", False)}
    for hour in range(12):
        expected |= {(hour * HOUR + 1800, "hourly", True), (hour * HOUR + 2100, "hourly", False)}
    met = 0
    for second in range(0, 12 * 3600, 10):
        clocked.t = float(second)
        clocked.engine.look_at_windows()
        met += "hourly" in clocked.fires(f"at {second}")
    assert set(clocked.switched()) == expected
    assert met == 12 * 30


def test_a_phase_opens_and_closes_what_waits_for_it() -> None:
    clocked = Clocked("abort;phase=fault")
    assert clocked.fires() == []
    clocked.engine.phase = "fault"
    assert clocked.fires() == ["abort"]


def test_shares_of_twenty_thousand_lie_where_they_must() -> None:
    for share in (0.0, 0.001, 0.3, 0.999, 1.0):
        count = 20_000
        clocked = Clocked(f"abort;p={share}")
        met = sum(bool(clocked.fires(f"key {number}")) for number in range(count))
        spread = 3.89 * math.sqrt(count * share * (1 - share))
        assert math.floor(count * share - spread) <= met <= math.ceil(count * share + spread)
        if share in (0.0, 1.0):
            assert met == count * share


def test_rules_roll_apart_from_each_other() -> None:
    clocked = Clocked("abort;p=0.5;name=one", "abort;p=0.5;name=two")
    both = [set(clocked.fires(f"key {number}")) for number in range(2000)]
    share = sum(fired == {"one", "two"} for fired in both) / len(both)
    assert 0.2 < share < 0.3


def test_a_forced_rule_meets_whatever_its_conditions_say() -> None:
    clocked = Clocked("abort;p=0;name=never", "delay:1s;name=other")
    assert clocked.fires(forced="never") == ["never"]
    assert clocked.fires(forced="never, other") == ["never", "other"]
    assert clocked.fires(forced="none") == []
    assert clocked.fires() == ["other"]


def test_a_rule_that_changed_counts_anew_and_one_that_stays_does_not() -> None:
    clocked = Clocked("abort;first=1;name=a", "delay:1s;first=1;name=b")
    assert clocked.fires() == ["a", "b"]
    changed = replace(clocked.plan.rules[1], fault=parse_fault("delay:2s").fault)
    clocked.engine.set_plan(FaultPlan((clocked.plan.rules[0], changed)))
    assert clocked.fires() == ["b"]
