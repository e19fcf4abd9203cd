"""When windows of a byte pipe open and close next, and which plans it can run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan, Matcher, Moment, Rule, Window
from chaosbot.faults.abort import Abort
from chaosbot.faults.latency import Latency
from chaosbot.tcp.rules import next_change, runs_on_pipe


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
    assert next_change(window, t) == expected


@given(st.integers(0, 50), st.integers(1, 20), st.none() | st.integers(0, 30), st.integers(0, 400))
def test_between_now_and_the_next_change_nothing_changes(start, length, gap, t):
    window = Window(start, length, None if gap is None else length + gap)
    change = next_change(window, t)
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
