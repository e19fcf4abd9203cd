"""The rule engine: windows, decisions, and the one end that each decision comes to."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosbot.core.dice import Dice
from chaosbot.core.event import Injected, RuleSwitched, RuleTallied, Trouble
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.plan import FaultPlan, Matcher, Moment, Rule, Scope, Window
from chaosbot.faults.abort import Abort
from chaosbot.faults.latency import Latency
from chaosbot.faults.timeout import Timeout
from chaosbot.injection.engine import ConnectionContext, RuleEngine, next_edge
from chaosbot.tcp.server import runs_on_pipe


@pytest.mark.parametrize(
    ("window", "t", "expected"),
    [
        (Window(), 5, None),
        (Window(10), 5, 10),
        (Window(10), 10, None),
        (Window(10, 5), 12, 15),
        (Window(10, 5), 15, None),
        (Window(10, 5, 20), 12, 15),
        (Window(10, 5, 20), 15, 30),
        (Window(10, 5, 20), 43200 + 10, 43215),
    ],
)
def test_the_next_change_of_a_window(window, t, expected):
    assert next_edge(window, t) == expected


@given(st.integers(0, 50), st.integers(1, 20), st.none() | st.integers(0, 30), st.integers(0, 400))
def test_between_now_and_the_next_change_nothing_changes(start, length, gap, t):
    window = Window(start, length, None if gap is None else length + gap)
    change = next_edge(window, t)
    state = window.open_at(Moment(t))
    horizon = int(change) if change is not None else t + 200
    assert all(window.open_at(Moment(later)) is state for later in range(t, horizon))
    if change is not None and gap != 0:
        assert window.open_at(Moment(change)) is not state


def test_plans_of_byte_faults_without_request_conditions_run_on_a_pipe():
    slow = Latency(1.0)
    assert runs_on_pipe(FaultPlan())
    assert runs_on_pipe(FaultPlan((Rule("a", slow, Matcher(direction=Direction.INBOUND)),)))
    assert not runs_on_pipe(FaultPlan((Rule("a", slow, Matcher(path="/x")),)))
    assert not runs_on_pipe(FaultPlan((Rule("a", slow), Rule("b", Abort()))))


EXCHANGES = frozenset({Scope.EXCHANGE, Scope.UPDATE})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Broken(Fault):
    depth = Depth.EXCHANGE

    def effects(self, dice, exchange):  # noqa: ARG002 - the signature of every fault
        raise RuntimeError("out of order")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def events():
    return []


@pytest.fixture
def engine(events, clock):
    return lambda *rules, **more: RuleEngine(FaultPlan(rules), Dice(7), events.append, clock, **more)


def stages(events):
    return [(event.rule, event.stage) for event in events if isinstance(event, Injected)]


def connection(number=1):
    return Exchange(f"inbound-connection-{number}", Direction.INBOUND, number, "", "")


def slow(name="slow", **more):
    return Rule(name, Latency(0.1), scope=Scope.CONNECTION, **more)


def test_a_decision_is_recorded_once_whatever_is_said_of_it_later(engine, events):
    decider = engine(Rule("no", Abort()))
    (armed,) = decider.decide(Exchange("a"), EXCHANGES)
    decider.applied(armed, "answered 503")
    decider.applied(armed, "again")
    decider.missed(armed)
    assert stages(events) == [("no", "applied")]


def test_a_fault_that_raises_is_recorded_and_the_other_rules_go_on(engine, events):
    decider = engine(Rule("bad", Broken()), Rule("no", Abort()))
    armed = decider.decide(Exchange("a"), EXCHANGES)
    assert [one.rule.name for one in armed] == ["no"]
    assert stages(events) == [("bad", "failed")]
    assert [event.what for event in events if isinstance(event, Trouble)] == ["RuntimeError: out of order"]


def test_a_rule_that_leaves_the_plan_ends_what_it_had_decided(engine, events):
    decider = engine(slow())
    context = ConnectionContext(decider, connection())
    (effect,) = context.lasting()
    decider.set_plan(FaultPlan())
    assert context.lasting() == ()
    context.acted(effect)
    context.end()
    assert stages(events) == [("slow", "missed")]


def test_a_rule_that_stays_keeps_its_decision_and_goes_on_counting(engine, events):
    decider = engine(slow(first=1))
    first, second = ConnectionContext(decider, connection(1)), ConnectionContext(decider, connection(2))
    assert len(first.lasting()) == 1
    decider.set_plan(FaultPlan((slow(first=1), slow("other"))))
    assert len(first.lasting()) == 2
    assert len(second.lasting()) == 1, "the first match was counted before the plan changed"


def test_counts_of_a_replaced_fault_stay_its_own(engine):
    decider = engine(Rule("net", Latency(0.1), scope=Scope.CONNECTION))
    ConnectionContext(decider, connection(1)).lasting()
    decider.set_plan(FaultPlan((Rule("net", Timeout(), scope=Scope.CONNECTION),)))
    ConnectionContext(decider, connection(2)).lasting()
    assert [(tally.fault, tally.considered) for tally in decider.tallies()] == [("latency", 1), ("timeout", 1)]


def test_two_rules_with_equal_effects_are_told_apart(engine, events):
    decider = engine(slow("one"), slow("two"))
    context = ConnectionContext(decider, connection())
    _, second = context.lasting()
    context.acted(second)
    context.end()
    assert stages(events) == [("two", "applied"), ("one", "missed")]


def test_a_cap_is_free_again_when_the_connection_ends(engine):
    decider = engine(slow(cap=1))
    first, second, third = (ConnectionContext(decider, connection(number)) for number in (1, 2, 3))
    assert first.lasting()
    assert not second.lasting()
    first.end()
    assert third.lasting()


def test_what_was_armed_for_an_exchange_ends_with_it(engine, events):
    decider = engine(Rule("slow", Latency(0.1), Matcher(path="/a")))
    context = ConnectionContext(decider, connection())
    exchange = Exchange("a", path="/a")
    (armed,) = decider.decide(exchange, EXCHANGES)
    context.arm(armed, armed.effects[0])
    assert context.armed() == armed.effects
    assert context.disarm([exchange])
    assert not context.armed()
    assert stages(events) == [("slow", "missed")]


def test_windows_are_told_when_they_open_and_close_and_when_to_come_back(engine, events, clock):
    decider = engine(slow(window=Window(10, 5)))
    decider.look_at_windows()
    assert decider.next_change() == pytest.approx(10, abs=0.01)
    for moment in (10, 12, 15):
        clock.now = moment
        decider.look_at_windows()
    assert decider.next_change() is None
    switched = [(event.t, event.active) for event in events if isinstance(event, RuleSwitched)]
    assert switched == [(10, True), (15, False)]


def test_an_exchange_belongs_to_the_moment_at_which_it_was_due(engine, clock):
    decider = engine(Rule("no", Abort(), window=Window(10, 5)))
    clock.now = 16
    assert decider.decide(Exchange("late", due_s=14.9), EXCHANGES)
    assert not decider.decide(Exchange("later"), EXCHANGES)


def test_a_client_may_name_the_rules_that_meet_it_when_it_is_allowed_to(engine):
    decider = engine(Rule("never", Abort(), rate=0.0), Rule("no", Abort(), rate=0.0))
    assert [armed.rule.name for armed in decider.decide(Exchange("a"), EXCHANGES, forced="no")] == ["no"]
    assert not decider.decide(Exchange("a"), EXCHANGES, forced="none")


def test_only_one_of_several_workers_announces_and_all_of_them_count(engine, events):
    decider = engine(slow(), announces=False)
    decider.look_at_windows()
    ConnectionContext(decider, connection()).lasting()
    assert not events
    assert next(tally for tally in decider.tallies() if isinstance(tally, RuleTallied)).decided == 1
