"""Windows, recovery and what each fault did to the requests that met it."""

import pytest

from chaosbot.core.event import ExchangeSeen, Injected, RuleSwitched, RuleTallied
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.outcome import Fate
from chaosbot.report import fold
from chaosbot.report.charts import bins_of, marks_of, timeline
from chaosbot.reporters.json import to_json


def outage(story, *, back_after=5, watch=40, **after):
    """Baseline, an outage of twenty seconds, and a target that needs a while."""
    told = story().phase(0, "baseline").load(40)
    told.fault("down", "abort", 40, 60).phase(40, "fault", "abort").load(20, errors=0.9, in_flight=150)
    told.phase(60, "recovery").load(back_after, errors=0.5, in_flight=80)
    return told.load(watch - back_after, **after)


def test_windows_follow_the_phases(story):
    report = fold(outage(story).history(), checks=())
    assert [(one.name, one.from_s, one.to_s) for one in report.windows] == [
        ("baseline", 0, 40),
        ("fault", 40, 60),
        ("recovery", 60, 100),
    ]
    baseline, fault, _ = report.windows
    assert baseline.error_rate == 0
    assert fault.error_rate == pytest.approx(0.9)
    assert baseline.rps == 200
    assert fault.rps == 20


def test_windows_without_phases_follow_the_rules_switches(story):
    told = story().fault("r", "latency", 10, 20).fault("s", "abort", 15, 25).load(60)
    report = fold(told.history(), checks=())
    assert [(one.name, one.from_s, one.to_s, one.label) for one in report.windows] == [
        ("baseline", 0, 10, ""),
        ("fault", 10, 25, "abort, latency"),
        ("recovery", 25, 60, ""),
    ]


def test_windows_without_switches_follow_the_frames(story):
    told = story().load(10).load(5, faults=("latency",)).load(10)
    report = fold(told.history(), checks=())
    assert [(one.fault, one.from_s, one.to_s) for one in report.episodes] == [("latency", 10, 15)]


def test_recovery_counts_from_the_faults_end_to_the_first_calm_slice(story):
    (recovery,) = fold(outage(story, back_after=5).history(), checks=()).recovery
    assert recovery.seconds == 5
    assert recovery.drained_s == 5
    assert recovery.deficit == pytest.approx(20 * 180 + 5 * 100)
    assert not recovery.metastable


def test_one_lucky_second_is_no_recovery(story):
    told = outage(story, back_after=3, watch=3).load(1).load(4, errors=0.5).load(20)
    (recovery,) = fold(told.history(), checks=()).recovery
    assert recovery.seconds == 8


def test_faults_that_ended_together_share_one_recovery(story):
    told = story().phase(0, "baseline").load(10).fault("a", "abort", 10, 20).fault("b", "latency", 12, 20.05)
    told.phase(10, "fault").load(10, errors=0.5).phase(20, "recovery").load(3, errors=0.5).load(10)
    report = fold(told.history(), checks=())
    assert [(one.fault, one.seconds) for one in report.recovery] == [("abort, latency", pytest.approx(3, abs=1))]
    assert {mark.recovered_s for mark in marks_of(report)} == {report.recovery[0].ended_s + report.recovery[0].seconds}


def test_faults_of_the_same_time_share_a_band_and_a_label_above_the_plot(story):
    told = story().phase(0, "baseline").load(10).fault("a", "abort", 10, 20).fault("b", "latency", 10.1, 20.05)
    report = fold(told.load(20).history(), checks=())
    for panel in timeline(report, bins_of(report.load.seconds)):
        assert len(panel.bands) == 1
    first, *others = timeline(report, bins_of(report.load.seconds))
    assert [label.text for label in first.marks if not label.tone] == ["1, 2"]
    assert not any(panel.marks for panel in others)


def test_seconds_without_answers_are_gaps_in_the_chart(story):
    told = story().load(10).load(1, start=15).load(10, start=19)
    report = fold(told.history(), checks=())
    bins = bins_of(report.load.seconds)
    rate, times, errors, *_ = timeline(report, bins)
    for line in (rate.lines[1], *times.lines, errors.lines[0]):
        assert line.path.count("M") == 2, line.name
        assert line.dots.count("M") == 1, line.name
    assert errors.lines[0].area.count("z") == 2


@pytest.mark.slow
def test_a_long_run_is_drawn_in_few_points_that_count_every_second(story):
    report = fold(story().load(700).history(), checks=())
    bins = bins_of(report.load.seconds)
    assert len(bins) <= 600
    assert sum(round(one.offered * one.width_s) for one in bins) == report.load.planned


def test_a_target_that_stays_down_is_metastable(story):
    report = fold(outage(story, errors=0.6).history(), checks=())
    (recovery,) = report.recovery
    assert recovery.seconds is None
    assert recovery.metastable
    assert any(one.name == "goodput returns: abort" and one.verdict.value == "fail" for one in report.assertions)
    assert to_json(report)["recovery"] == [{"fault": "abort", "seconds": None}]


def test_a_fault_without_a_baseline_has_no_recovery_time(story):
    told = story().phase(0, "fault").fault("r", "abort", 0, 10).load(10, errors=0.5).phase(10, "recovery").load(20)
    assert fold(told.history(), checks=()).recovery == ()


def test_a_baseline_that_already_fails_is_no_steady_state(story):
    told = story().phase(0, "baseline").load(30, errors=0.2).phase(30, "fault").load(10).phase(40, "recovery").load(10)
    assert any("no steady state" in reason for reason in fold(told.history(), checks=()).reasons)


def test_promises_are_judged_outside_of_faults_and_recoveries(story):
    report = fold(outage(story).history(), checks=())
    (errors,) = (one for one in report.assertions if one.name == "error_rate")
    assert errors.observed == 0
    assert report.load is not None
    assert report.load.error_rate > 0.1


def test_requests_that_met_a_fault_stand_beside_those_of_the_same_time(story):
    told = story().fault("slow", "latency", 10, 20)
    for number in range(20):
        told.request(10 + number / 2, total=0.5, exchange=f"t{number}")
        told.request(10 + number / 2, total=0.02, exchange=f"c{number}")
        told.request(30 + number / 2, total=0.9, exchange=f"later{number}")
        told.add(Injected(10 + number / 2, "slow", "latency", Depth.BYTES, Direction.INBOUND, f"t{number}", "applied"))
    told.request(15, fate=Fate.RESET, status=None, exchange="broken")
    told.add(Injected(15, "slow", "latency", Depth.BYTES, Direction.INBOUND, "broken", "applied"))
    told.add(RuleTallied(40, "slow", "latency", Depth.BYTES, 41, 21, 21, 0))
    (row,) = fold(told.history(), checks=()).faults
    assert (row.touched.requests, row.touched.errors, row.touched.p50) == (21, 1, 0.5)
    assert (row.clean.requests, row.clean.errors, row.clean.p99) == (20, 0, 0.02)


def test_faults_on_the_bots_own_calls_are_joined_with_those(story):
    told = story().load(10)
    for number in range(10):
        status = 502 if number % 2 else 200
        seen = ExchangeSeen(number, f"o{number}", Direction.OUTBOUND, "POST", "/sendMessage", status, "mock", 0.01)
        told.add(seen)
        if number % 2:
            told.add(Injected(number, "api", "abort", Depth.EXCHANGE, Direction.OUTBOUND, f"o{number}", "applied"))
    (row,) = fold(told.history(), checks=()).faults
    assert (row.touched.requests, row.touched.errors) == (5, 5)
    assert (row.clean.requests, row.clean.errors) == (5, 0)


def test_the_trials_of_a_campaign_have_one_row_a_fault(story):
    told = story().load(10)
    for number in range(30):
        rule, fault = f"outbound/trial-{number}", "botapi_5xx" if number % 3 else "hang_up"
        seen = ExchangeSeen(number, f"o{number}", Direction.OUTBOUND, "POST", "/sendMessage", 502, "mock", 0.01)
        told.fault(rule, fault, number, number + 0.5)
        told.add(seen, Injected(number, rule, fault, Depth.EXCHANGE, Direction.OUTBOUND, f"o{number}", "applied"))
        told.add(RuleTallied(40, rule, fault, Depth.EXCHANGE, 1, 1, 1, 0))
    told.add(ExchangeSeen(6.2, "calm", Direction.OUTBOUND, "POST", "/sendMessage", 200, "mock", 0.01))
    rows = {row.rule: row for row in fold(told.history(), checks=()).faults}
    assert {name: row.applied for name, row in rows.items()} == {"outbound/botapi_5xx": 20, "outbound/hang_up": 10}
    assert (rows["outbound/hang_up"].touched.requests, rows["outbound/hang_up"].touched.errors) == (10, 10)
    assert rows["outbound/hang_up"].clean.requests == 1, "at 6.2 s a trial with this fault was going on"
    assert rows["outbound/botapi_5xx"].clean is None or rows["outbound/botapi_5xx"].clean.requests == 0


def test_a_proxy_report_counts_what_the_client_got(story):
    told = story(verb="proxy")
    for number in range(48):
        seen = ExchangeSeen(number, f"x{number}", Direction.INBOUND, "POST", "/", 200, "target", 0.01, 200, whole=False)
        cut = Injected(number, "cut", "truncate_response", Depth.EXCHANGE, Direction.INBOUND, f"x{number}", "applied")
        told.add(cut, seen)
    (row,) = fold(told.history(), checks=()).faults
    assert (row.touched.requests, row.touched.errors) == (48, 48)


def test_a_fault_on_a_connection_met_what_ended_on_it_since_it_acted(story):
    told = story(verb="proxy")
    held = Injected(
        2.0, "slow", "latency", Depth.BYTES, Direction.INBOUND, "inbound-connection-1", "applied", connection=1
    )
    told.add(held)
    for number, (at, connection) in enumerate(((1.0, 1), (2.5, 1), (3.0, 1), (3.0, 2), (6.0, 1))):
        seconds = 0.4 if connection == 1 else 0.01
        told.add(
            ExchangeSeen(
                at, f"x{number}", Direction.INBOUND, "POST", "/", 200, "target", seconds, 200, connection=connection
            )
        )
    (row,) = fold(told.history(), checks=()).faults
    assert (row.touched.requests, row.touched.p50, row.clean.requests) == (3, 0.4, 2)
    told.add(RuleSwitched(1.9, "slow", "latency", active=True), RuleSwitched(5.0, "slow", "latency", active=False))
    (row,) = fold(told.history(), checks=()).faults
    assert (row.touched.requests, row.clean.requests) == (2, 1)


def test_a_fast_runs_few_single_requests_are_not_taken_for_all(story):
    told = story().load(20)
    for number in range(10):
        told.request(number, status=500, update_id=number, marker=f"m{number}")
    assert fold(told.history(), checks=()).deliveries is None


def test_tallies_of_two_workers_add_up(story):
    tally = RuleTallied(10, "r", "abort", Depth.EXCHANGE, 5, 2, 2, 0)
    (row,) = fold(story().load(10).add(tally, tally).history(), checks=()).faults
    assert (row.considered, row.decided, row.applied) == (10, 4, 4)
