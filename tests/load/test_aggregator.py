"""Folding a second: the same as recording each value, and never more memory than a second needs."""

import math
from collections import Counter

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosbot.core.event import IntervalMeasured, RequestDone
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.hdr import HIGHEST_US
from chaosbot.core.outcome import Fate
from chaosbot.load.aggregator import MetricsAggregator
from chaosbot.load.histogram import lateness_s, quantile
from chaosbot.load.pending import PendingRequest, RequestLabel

VALUES = st.lists(
    st.one_of(st.integers(0, 5000), st.integers(0, 10**7), st.integers(0, HIGHEST_US)), min_size=1, max_size=200
)


@settings(deadline=None)
@given(VALUES, st.floats(0.01, 1))
def test_a_quantile_is_a_value_that_the_share_does_not_exceed(values: list[int], share: float) -> None:
    found = round(quantile(Counter(values), share) * 1e6)
    ordered = sorted(values)
    assert found == ordered[max(round(share * len(values)), 1) - 1]


def test_no_values_have_no_quantile() -> None:
    assert quantile(Counter(), 0.99) == 0


class Nobody:
    def finished(self, shot: PendingRequest) -> None:
        raise AssertionError(shot)


def ended(
    fate: Fate, status: int | None = None, *, due: float = 10.0, started: float = 10.5, ended: float = 11.0
) -> PendingRequest:
    facts = UpdateFacts(1, "message", 5, 5, "guest", "help", "cbm0")
    made = PendingRequest(Nobody(), 3, b"", RequestLabel("look", "guest", facts.kind, facts.command), facts, due)
    made.fate, made.status, made.started, made.ended = fate, status, started, ended
    return made


def recorded(*shots: PendingRequest, every: bool = False) -> tuple[IntervalMeasured, list[RequestDone]]:
    events: list[RequestDone] = []
    aggregator = MetricsAggregator(events.append, 0.0, every_request=every)
    for each in shots:
        aggregator.begun(0.001)
        aggregator.ended(each)
    return aggregator.interval(0, 10.0, users=1), events


def test_response_counts_from_the_due_time_and_service_from_the_start() -> None:
    frame, _ = recorded(ended(Fate.ANSWERED, 200))
    assert HdrHistogram.decode(frame.response).get_max_value() == pytest.approx(1_000_000, rel=1e-3)
    assert HdrHistogram.decode(frame.service).get_max_value() == pytest.approx(500_000, rel=1e-3)
    assert (frame.lateness_p99_s, frame.lateness_max_s) == (0.001, 0.001)


def test_each_fate_has_its_place() -> None:
    frame, events = recorded(
        ended(Fate.ANSWERED, 200),
        ended(Fate.ANSWERED, 302),
        ended(Fate.ANSWERED, 404),
        ended(Fate.TIMEOUT),
        ended(Fate.CONNECT_TIMEOUT),
        ended(Fate.RESET),
        ended(Fate.CANCELLED),
    )
    assert (frame.completed, frame.failed, frame.timed_out, frame.cancelled) == (1, 3, 2, 1)
    assert frame.errors == {"status_302": 1, "status_404": 1, "timeout": 1, "connect_timeout": 1, "reset": 1}
    # What was answered or ran into its timeout has a latency; a reset has none.
    assert HdrHistogram.decode(frame.response).get_total_count() == 5
    assert frame.commands == {"help": 3}
    assert frame.kinds == {"message": 3}
    assert frame.tasks == {"look": 6}
    assert [event.outcome.fate for event in events].count(Fate.RESET) == 1
    assert len(events) == 5, "failures are told one by one, successes are not"


def test_every_request_is_told_when_that_is_asked_for() -> None:
    _, events = recorded(ended(Fate.ANSWERED, 200), ended(Fate.CANCELLED), every=True)
    (first, second) = events
    assert (first.command, first.tier, first.marker, first.exchange, first.attempt) == (
        "help",
        "guest",
        "cbm0",
        "load-3",
        1,
    )
    assert second.outcome.fate is Fate.CANCELLED


def test_failures_are_bounded_by_the_second_but_counted_all() -> None:
    frame, events = recorded(*(ended(Fate.RESET) for _ in range(500)))
    assert frame.errors == {"reset": 500}
    assert len(events) == 50


def test_a_frame_forgets_what_it_told() -> None:
    aggregator = MetricsAggregator(lambda _: None, 0.0)
    aggregator.planned()
    aggregator.started()
    aggregator.ended(ended(Fate.ANSWERED, 200))
    assert aggregator.interval(0, 0.0, users=0).completed == 1
    empty = aggregator.interval(1, 0.0, users=0)
    assert (empty.completed, empty.response, empty.t) == (0, "", 2.0)
    assert aggregator.total.completed == 1


def test_a_second_attempt_has_an_exchange_of_its_own_also_in_the_header() -> None:
    first = ended(Fate.ANSWERED, 500)
    first.data = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n{}"
    first.add_exchange()
    again = first.again()
    assert again.exchange == "load-3.2"
    assert again.data == b"POST / HTTP/1.1\r\nx-chaosbot-exchange: load-3.2\r\nHost: x\r\n\r\n{}"
    assert (again.due, again.attempt, again.fate) == (first.due, 2, None)


def test_lateness_of_a_run_is_a_quantile_of_all_its_arrivals() -> None:
    aggregator = MetricsAggregator(lambda _: None, 0.0)
    for late in range(1000):
        aggregator.planned(late / 1000)
    aggregator.interval(0, 0.0, users=0)
    assert lateness_s(aggregator.lateness(), 0.99) == pytest.approx(0.99, abs=0.002)
    assert not math.isnan(aggregator.generator().busy_share)


def test_single_requests_are_bounded_over_the_run_and_that_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaosbot.load.aggregator.MOST_REQUESTS", 3)
    frame, events = recorded(*(ended(Fate.ANSWERED, 200) for _ in range(10)), every=True)
    assert frame.completed == 10
    assert [type(event).__name__ for event in events] == ["RequestDone"] * 3 + ["Noted"]


def test_each_task_has_its_own_counts_and_histograms() -> None:
    interval, _ = recorded(
        ended(Fate.ANSWERED, 200), ended(Fate.ANSWERED, 500), ended(Fate.TIMEOUT), ended(Fate.CANCELLED)
    )
    (look,) = interval.by_task.values()
    assert (look.done, look.errors) == (3, {"status_500": 1, "timeout": 1})
    assert look.response == interval.response


def test_what_goes_unanswered_once_a_stop_was_asked_for_is_no_failure() -> None:
    stopped, events = False, list[RequestDone]()
    aggregator = MetricsAggregator(events.append, 0.0, every_request=True, stopped=lambda: stopped)
    for fate, status in ((Fate.RESET, None), (Fate.REFUSED, None), (Fate.TIMEOUT, None), (Fate.ANSWERED, 200)):
        aggregator.begun(0.0)
        aggregator.ended(ended(fate, status))
        stopped = True
    frame = aggregator.interval(0, 10.0, users=1)
    assert (frame.completed, frame.failed, frame.timed_out, frame.cancelled) == (1, 1, 0, 2)
    assert frame.errors == {"reset": 1}
    assert [event.outcome.fate for event in events] == [Fate.RESET, Fate.CANCELLED, Fate.CANCELLED, Fate.ANSWERED]
