"""Load: merged histograms, intervals, the ledger of deliveries, circuits and coverage."""

import pytest
from rich.console import Console

from chaosbot.core.event import ApiCalled, CaseTried, ExchangeSeen, Injected, Noted, ProbeSeen
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Threat
from chaosbot.report import fold
from chaosbot.report.terminal import render_terminal
from chaosbot.report.values import Share
from chaosbot.reporters.html import render_html
from chaosbot.reporters.json import to_json


def test_shards_of_one_second_are_merged_by_count(story):
    told = story().load(10, latency=0.01, sigma=0).load(10, latency=0.5, sigma=0, start=0, shard=1, rate=50)
    load = fold(told.history(), checks=()).load
    assert load.planned == 2500
    assert len(load.seconds) == 10
    # A fifth of the requests is slow: an average of percentiles would say something between.
    assert load.response.p50 == pytest.approx(0.01, rel=0.01)
    assert load.response.p90 == pytest.approx(0.5, rel=0.01)


def test_two_stretches_of_load_with_the_same_numbers_stay_apart(story):
    told = story().load(10)
    again = story().load(10)
    shifted = [
        type(one)(**{name: getattr(one, name) for name in one.__slots__} | {"t": one.t + 30})
        for one in again.events[1:]
    ]
    load = fold(told.add(*shifted).history(), checks=()).load
    assert len(load.seconds) == 20
    assert load.planned == 4000


def test_the_stall_shows_in_response_time_and_not_in_service_time(story):
    told = story()
    for number in range(400):
        told.request(1 + number / 100, total=0.005, late=1.4 * (1 - number / 140) if number < 140 else 0.0)
    load = fold(told.history(), checks=()).load
    assert load.service.p99 == pytest.approx(0.005)
    assert load.response.p99 > 1.3


def test_a_timeout_stays_in_the_percentiles(story):
    told = story()
    for number in range(99):
        told.request(1 + number / 50)
    told.request(31, total=30.0, fate=Fate.TIMEOUT, status=None)
    load = fold(told.history(), checks=()).load
    assert load.response.max == pytest.approx(30)
    assert (load.completed, load.failed, load.timed_out) == (99, 0, 1)


def test_a_frame_that_cannot_be_read_is_no_empty_second(story):
    report = fold(story().load(60).load(1, response="no histogram").history(), checks=())
    assert report.verdict.value == "inconclusive"
    assert any("cannot be read" in reason for reason in report.reasons)


def test_the_ledger_of_deliveries_is_a_join(story):
    told = story()
    for number in range(100):
        told.delivery(1 + number / 20, number, replies=0 if number == 7 else 2 if number == 9 else 1)
    told.request(7, status=500, update_id=500, marker="cb-500")
    told.request(8, status=200, update_id=500, marker="cb-500", attempt=2, kind="message")
    told.add(ApiCalled(8.1, "sendMessage", 500, "echo cb-500", ("cb-500",)))
    told.add(ApiCalled(8.2, "sendMessage", 1, "who? cb-999", ("cb-999",)))
    found = fold(told.history(end=20), checks=()).deliveries
    assert (found.sent, found.acknowledged, found.redelivered) == (101, 101, 1)
    assert (found.lost, found.duplicated, found.unexpected) == (1, 1, 1)
    assert found.reply.p50 == pytest.approx(0.07)
    assert found.inbound_amplification == pytest.approx(102 / 101)


def test_updates_that_are_never_answered_by_nature_are_not_lost(story):
    told = story()
    for number in range(20):
        told.delivery(1 + number / 20, number)
        told.request(1 + number / 20, update_id=1000 + number, marker=f"silent-{number}", kind="message_reaction")
    assert fold(told.history(end=20), checks=()).deliveries.lost == 0


def test_what_the_api_refuses_for_good_is_not_lost_by_the_bot(story):
    told = story()
    for number, status in enumerate([403, 400, 429, 502, None]):
        told.delivery(1 + number, 100 + number, replies=0)
        told.add(ApiCalled(1.1 + number, "sendMessage", 1, "x", (f"cb-{100 + number}",), status=status))
    for number in range(20):
        told.delivery(1 + number / 20, number)
    assert fold(told.history(end=20), checks=()).deliveries.lost == 3


def test_what_a_fault_changed_on_its_way_to_the_bot_is_not_lost_by_the_bot(story):
    told = story()
    for number in range(20):
        told.delivery(1 + number / 20, number, replies=0 if number in (7, 8) else 1)
    changed = next(one.exchange for one in told.history().requests if one.marker == "cb-7")
    told.add(Injected(1.3, "r", "drop_field", Depth.UPDATE, Direction.INBOUND, changed, "applied"))
    assert fold(told.history(end=20), checks=()).deliveries.lost == 1


def test_what_is_answered_by_nature_is_learnt_before_the_first_fault(story):
    told = story()
    for number in range(10):
        told.delivery(1 + number / 20, number)
    told.add(Injected(10, "r", "abort", Depth.EXCHANGE, Direction.OUTBOUND, "x", "applied"))
    for number in range(90):
        told.delivery(10 + number / 20, 100 + number, replies=0)
    assert fold(told.history(end=40), checks=()).deliveries.lost == 90


def test_without_a_look_at_the_bots_calls_nothing_is_said_to_be_lost(story):
    told = story()
    for number in range(20):
        told.delivery(1 + number / 20, number, replies=0)
    plain = to_json(fold(told.history(end=20), checks=()))
    assert plain["deliveries"] == {"sent": 20, "acknowledged": 20, "redelivered": 0}


def test_a_bot_that_repeats_its_calls_amplifies(story):
    told = story()
    for number in range(10):
        told.delivery(1 + number, number)
        for _ in range(3):
            told.add(ApiCalled(1 + number, "sendMessage", number, f"echo cb-{number}", (f"cb-{number}",), status=502))
    found = fold(told.history(end=20), checks=()).deliveries
    assert found.outbound_amplification == 4
    assert found.duplicated == 0


def test_a_call_whose_answer_a_fault_ate_may_be_made_again(story):
    told = story()
    for number in range(10):
        told.delivery(1 + number, number, replies=0)
        for attempt in range(2):
            call = (f"echo cb-{number}", (f"cb-{number}",), 200, "mock", f"o{number}-{attempt}")
            told.add(ApiCalled(1.1 + number, "sendMessage", number, *call))
        if number < 7:
            told.add(
                Injected(1.1 + number, "r", "delay", Depth.EXCHANGE, Direction.OUTBOUND, f"o{number}-0", "applied")
            )
    assert fold(told.history(end=20), checks=()).deliveries.duplicated == 3


def test_a_fast_runs_ledger_comes_from_the_proxy(story):
    told = story().load(10, rate=10)
    for number in range(100):
        seen = ExchangeSeen(
            1 + number / 20,
            f"x{number}",
            Direction.INBOUND,
            "POST",
            "/",
            200,
            "target",
            0.01,
            200,
            number,
            "message",
            marker=f"m{number}",
        )
        told.add(seen, ApiCalled(1 + number / 20, "sendMessage", 1, f"m{number}", (f"m{number}",)))
    found = fold(told.history(end=20), checks=()).deliveries
    assert (found.sent, found.acknowledged, found.lost) == (100, 100, 0)


def test_circuits_trip_and_recover(story):
    states = ["closed", "open", "half_open", "open", "half_open", "closed", "open"]
    told = (
        story().load(10).add(*(ProbeSeen(float(t), "circuit:api", ok=True, value=one) for t, one in enumerate(states)))
    )
    report = fold(told.history(), checks=())
    assert (report.circuits.trips, report.circuits.recovered) == (2, 1)
    assert to_json(report)["circuits"] == {"trips": 2, "recovered": 1}


def test_coverage_names_what_should_have_occurred(story):
    told = story().load(10).add(Noted(1, "coverage", "", {"commands": ["start", "help"], "update_kinds": ["poll"]}))
    coverage = fold(told.history(), checks=()).coverage
    assert coverage.commands == {"start": 200, "help": 0}
    assert coverage.update_kinds == {"message": 2000, "poll": 0}


def test_coverage_of_the_mutations_is_done_of_planned(story):
    planned = {"operators": {"null": 2, "absent": 2}, "places": {"a.b": 2, "x/y": 2}}
    tried = [
        CaseTried(2.0, f"mutation/{pair}", "shape", Threat.NETWORK, "mutations", Outcome(Fate.ANSWERED, 200))
        for pair in ("a.b/null", "a.b/null", "x/y/null")
    ]
    report = fold(story().load(10).add(Noted(1.0, "mutations", "", planned), *tried).history(), checks=())
    assert report.coverage.operators == {"null": Share(2, 2), "absent": Share(0, 2)}
    assert report.coverage.places == {"a.b": Share(1, 2), "x/y": Share(1, 2)}
    assert to_json(report)["coverage"]["operators"]["absent"] == {"done": 0, "planned": 2}
    console = Console(record=True, width=100)
    render_terminal(report, console)
    assert "2 of 4 pairs tried · 1 of 2 operators · 2 of 2 places" in console.export_text()
    assert "<span>x/y</span><span>1 of 2</span>" in "".join(render_html(report).split("<wbr>"))


def test_the_same_history_has_the_same_intervals(story):
    one, two = (to_json(fold(story().load(60).history(), checks=())) for _ in range(2))
    assert one == two
