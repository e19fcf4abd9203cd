"""Promises: targets, alerts, intervals, and what a generator that was the limit makes of them."""

import pytest

from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Injected, StreamInterval, TaskInterval
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.profile import threshold_settings
from chaosbot.core.verdict import Verdict
from chaosbot.report import fold
from chaosbot.report.figures import github_lines
from chaosbot.report.slo import bounds, promises_of
from tests.unit.report.conftest import encoded


def judged(told, name):
    (found,) = (one for one in fold(told.history(), checks=()).assertions if one.name == name)
    return found


@pytest.mark.parametrize(
    ("metric", "target", "value", "text"),
    [
        ("p99", "< 2s", 2000, "< 2000 ms"),
        ("p50", "<500ms", 500, "< 500 ms"),
        ("p99", 1.5, 1500, "<= 1500 ms"),
        ("error_rate", "< 1%", 1, "< 1 %"),
        ("error_rate", "< 0.01", 1, "< 1 %"),
        ("throughput", "> 100/s", 100, "> 100 rps"),
        ("throughput", "100rps", 100, ">= 100 rps"),
        ("circuit_trips", "0", 0, "<= 0"),
        ("circuit_trips", "≤ 3", 3, "<= 3"),
        ("recovery", "< 10s", 10, "< 10 s"),
    ],
)
def test_bounds_are_read_as_people_write_them(metric, target, value, text):
    found, _ = bounds(metric, target, "")
    assert (found.value, found.text) == (value, text)


def test_an_alert_lies_beyond_its_target_whatever_its_sign():
    for alert in ("> 5s", "< 5s", "5s"):
        _, found = bounds("p99", "< 2s", alert)
        assert found.text == "> 5000 ms"


@pytest.mark.parametrize("text", ["", "< fast", "< 2 parsecs", None, [], True])
def test_a_bound_that_is_none_is_refused(text):
    with pytest.raises(ConfigError):
        bounds("p99", text, "")


def test_an_unreadable_promise_is_inconclusive_and_says_so(story):
    found = judged(story(slo=[{"metric": "p99", "target": "< soon"}]).load(60), "p99")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "unreadable" in found.reason


def test_an_unknown_metric_is_inconclusive_and_lists_those_there_are(story):
    found = judged(story(slo=[{"metric": "happiness", "target": "> 3"}]).load(60), "happiness")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "error_rate" in found.reason or "p99" in found.reason


def bursting(story, errors):
    """A calm baseline, a fault of which half fails, a burst of which a share does, and its end."""
    thresholds = threshold_settings(["error_rate/burst<1%,5%", "p50/fault<5s", "p50<1s"])
    told = story(workload={"profile": "stages"}, thresholds=thresholds)
    told.phase(0, "warmup").load(5, errors=0.9).phase(5, "baseline").load(20).fault("slow", "latency:1s", 25, 30)
    told.phase(25, "fault").load(5, errors=0.5, latency=0.9).phase(30, "recovery").load(15)
    return told.phase(45, "burst").load(4, rate=1000, errors=errors).phase(49, "cooldown").load(6).phase(55, "settle")


def test_a_burst_is_judged_by_its_own_promise_and_by_no_other(story):
    report = fold(bursting(story, 0.2).history(), checks=())
    found = {one.name: one for one in report.assertions}
    assert found["error_rate/burst"].verdict is Verdict.FAIL
    assert found["error_rate"].verdict is Verdict.PASS
    assert [one.name for one in report.assertions if one.verdict is Verdict.FAIL] == ["error_rate/burst"]
    assert report.reasons[0].startswith("error_rate/burst is 20 % (target < 1 %): past the alert")
    assert fold(bursting(story, 0.0).history(), checks=()).verdict is Verdict.PASS
    assert [one.name for one in report.windows] == ["baseline", "fault", "recovery", "burst"]
    assert {one.watched_s for one in report.recovery} == {15}  # what the burst does is no recovery


def test_what_fails_in_the_cool_down_counts(story):
    told = story().phase(0, "baseline").load(20).phase(20, "cooldown").load(10, errors=0.5)
    assert judged(told, "error_rate").verdict is Verdict.FAIL


def test_waiting_for_the_last_answers_lowers_no_throughput(story):
    told = (
        story()
        .load(20, rate=200)
        .load(30, rate=200, planned=0, started=0, completed=0, tasks={}, response="", service="")
    )
    assert judged(told, "throughput").observed == 200


def test_every_figure_says_which_window_it_means_where_there_are_several(story):
    report = fold(bursting(story, 0.0).history(), checks=())
    assert {one.name: one.window for one in report.assertions} == {
        "p50": "outside of warm-up, faults, burst",
        "p95": "outside of warm-up, faults, burst",
        "error_rate": "outside of warm-up, faults, burst",
        "error_rate/burst": "burst",
        "p50/fault": "fault",
    }
    assert report.load_window == "whole run"
    plain = fold(story(verb="load").load(60).history(), checks=())
    assert {one.window for one in plain.assertions} == {"whole run"}
    assert plain.load_window == plain.promised_window == ""


def test_a_promise_is_named_as_it_was_written(story):
    for name in ("p99.9", "p999"):
        assert judged(story(thresholds=threshold_settings([f"{name}<9s"])).load(10), name).observed is not None


def test_thresholds_win_over_other_settings_and_those_over_the_usual_table():
    settings = {
        "slo": [{"metric": "p99", "target": "< 1s"}, {"metric": "p50", "target": "< 9ms"}],
        "thresholds": {"p99": "< 3s"},
    }
    table = {one.metric: one.target for one in promises_of(settings, loaded=True)}
    assert table["p99"] == "< 3s"
    assert table["p50"] == "< 9ms"
    assert "error_rate" in table


def test_a_profile_that_promises_nothing_is_asked_nothing():
    assert promises_of({"profile": "knee"}, loaded=True) == ()
    assert {one.metric for one in promises_of({"workload": {"profile": "smoke"}}, loaded=True)} == {
        "p50",
        "p99",
        "error_rate",
        "stream_errors",
    }


def test_missing_the_target_without_the_alert_is_no_failure_and_no_pass(story):
    found = judged(story().load(100, latency=0.7, sigma=0.05), "p50")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "missed the target" in found.reason


def test_past_the_alert_with_the_whole_interval_fails(story):
    found = judged(story().load(100, latency=1.5, sigma=0.05), "p50")
    assert found.verdict is Verdict.FAIL
    assert found.interval[0] > 1000


def test_a_short_run_asserts_p95_with_the_bounds_of_p99(story):
    names = [one.name for one in fold(story().load(10, rate=50).history(), checks=()).assertions]
    assert names == ["p50", "p95", "error_rate"]


def test_a_p99_that_was_asked_for_is_refused_under_ten_thousand_samples(story):
    found = judged(story(slo=[{"metric": "p99", "target": "< 2s", "alert": "> 5s"}]).load(10, rate=50), "p99")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "too few samples: 500 of the 10000" in found.reason


def test_even_too_few_samples_show_what_is_far_beyond_the_alert(story):
    slow = story(slo=[{"metric": "p99", "target": "< 2s", "alert": "> 5s"}]).load(20, rate=50, latency=9)
    assert judged(slow, "p99").verdict is Verdict.FAIL


def test_a_smoke_run_without_an_error_passes(story):
    report = fold(story().load(10, rate=5).history(), checks=())
    assert report.verdict is Verdict.PASS


def test_few_requests_without_an_error_do_not_prove_a_rate_that_was_asked_for(story):
    told = story(slo=[{"metric": "error_rate", "target": "< 1%"}]).load(10, rate=5)
    found = judged(told, "error_rate")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.interval[1] == pytest.approx(5.82, rel=0.01)  # 1 - 0.05 ** (1 / 50)


def test_a_promise_can_be_about_a_fault_window(story):
    told = story(slo=[{"metric": "error_rate", "target": "< 50%", "window": "fault"}])
    told.phase(0, "baseline").load(30).phase(30, "fault").load(20, errors=0.3).phase(50, "recovery").load(30)
    found = judged(told, "error_rate/fault")
    assert found.observed == pytest.approx(30)
    assert found.verdict is Verdict.PASS


def test_warm_up_counts_for_nothing(story):
    told = story().phase(0, "warmup").load(20, errors=0.5).phase(20, "load").load(60)
    assert judged(told, "error_rate").observed == 0


def test_a_late_generator_turns_slow_answers_into_an_invalid_promise(story):
    told = story()
    for number in range(3000):
        told.request(1 + number / 100, total=0.02, late=1.5)
    assert judged(told, "p50").verdict is Verdict.INVALID


def test_answers_that_are_slow_in_service_time_too_fail_whatever_the_generator_did(story):
    told = story()
    for number in range(3000):
        told.request(1 + number / 100, total=1.5, late=1.5)
    assert judged(told, "p50").verdict is Verdict.FAIL


def test_errors_fail_whatever_the_generator_did(story):
    assert judged(story().load(60, errors=0.3, cpu=1.0), "error_rate").verdict is Verdict.FAIL


def test_any_percentile_can_be_promised(story):
    told = story(slo=[{"metric": "p98", "target": "< 60s"}, {"metric": "p97.5", "target": "< 1us"}]).load(60)
    assert judged(told, "p98").verdict is Verdict.PASS
    assert judged(told, "p97.5").verdict is Verdict.FAIL


def slow_task(times):
    return {"admin/grant": TaskInterval(len(times), {"status_500": 1}, encoded(times)), "guest/chat": TaskInterval(200)}


def test_a_promise_may_be_about_one_task(story):
    told = story(
        slo=[
            {"metric": "p95{/grant}", "target": "< 1s"},
            {"metric": "error_rate{admin/grant}", "target": "< 1%"},
            {"metric": "throughput{grant}", "target": "> 5/s"},
            {"metric": "p95{/revoke}", "target": "< 1s"},
        ]
    ).load(60, by_task=slow_task([1.5] * 10))
    slow = judged(told, "p95{/grant}")
    assert (slow.verdict, round(slow.observed)) == (Verdict.FAIL, 1500)
    assert (judged(told, "error_rate{admin/grant}").verdict, judged(told, "throughput{grant}").observed) == (
        Verdict.FAIL,
        9,
    )
    missing = judged(told, "p95{/revoke}")
    assert missing.verdict is Verdict.INCONCLUSIVE
    assert "no task '/revoke'" in missing.reason


def test_a_mean_is_judged_with_its_interval(story):
    told = story(slo=[{"metric": "mean", "target": "< 1s"}]).load(60, latency=0.02)
    mean = judged(told, "mean")
    assert mean.verdict is Verdict.PASS
    assert mean.interval[0] <= mean.observed <= mean.interval[1]
    assert 20 < mean.observed < 24  # of a log-normal with median 20 ms and sigma 0.4


def listening(gap=0.2, **more):
    return {"streams": {"prices": StreamInterval(connects=2, messages=100, gap=encoded([gap] * 200), **more)}}


def test_streams_keep_promises_of_their_own(story):
    wanted = [
        {"metric": "stream_gap_p99", "target": "< 1s"},
        {"metric": "stream_gap_p99{prices}", "target": "< 100ms"},
        {"metric": "stream_errors", "target": "< 1%"},
        {"metric": "stream_messages", "target": "> 50/s"},
        {"metric": "stream_latency_p95", "target": "< 1s"},
    ]
    told = story(slo=wanted).load(60, **listening())
    assert judged(told, "stream_gap_p99").verdict is Verdict.PASS
    assert judged(told, "stream_gap_p99{prices}").verdict is Verdict.FAIL
    assert judged(told, "stream_messages").observed == 100
    assert judged(told, "stream_errors").observed == 0
    assert "sent nothing of that kind" in judged(told, "stream_latency_p95").reason
    dropped = story(slo=wanted).load(60, **listening(broken=2, failed={"status_403": 1}))
    errors = judged(dropped, "stream_errors")
    assert (errors.verdict, errors.observed) == (Verdict.FAIL, 100)


def test_connections_that_break_fail_a_run_whose_many_requests_are_well(story):
    assert not [one for one in fold(story().load(60, **listening()).history()).assertions if "stream" in one.name]
    broken = judged(story().load(60, **listening(broken=2)), "stream_errors")
    assert (broken.verdict, broken.observed) == (Verdict.FAIL, 100)


def test_a_stream_that_fails_whole_does_not_hide_among_the_connections_of_another(story):
    storm, dead = StreamInterval(connects=300, messages=900), StreamInterval(connects=1, broken=1, ends={"4401": 1})

    def found(*slo):
        report = fold(story(slo=list(slo)).load(60, streams={"storm": storm, "prices": dead}).history(), checks=())
        return {one.name: (one.verdict, one.observed) for one in report.assertions if "stream" in one.name}

    assert found() == {"stream_errors{prices}": (Verdict.FAIL, 100)}
    asked = found({"metric": "stream_errors", "target": "< 1%"})
    assert asked["stream_errors"][0] is Verdict.PASS
    assert asked["stream_errors{prices}"] == (Verdict.FAIL, 100)
    mine = {"metric": "stream_errors{prices}", "target": "< 1%"}
    assert found({"metric": "stream_errors", "target": "< 1%"}, mine).keys() == {
        "stream_errors",
        "stream_errors{prices}",
    }


def test_connections_that_were_open_before_a_window_may_break_in_it(story):
    told = story(slo=[{"metric": "stream_errors", "target": "< 1%", "window": "fault"}]).fault(
        "1", "reset_peer", 30, 40
    )
    told.load(1, streams={"prices": StreamInterval(connects=16, open=16)})
    told.load(29, streams={"prices": StreamInterval(open=16, messages=9)})
    told.load(10, streams={"prices": StreamInterval(open=8)}).load(1, streams={"prices": StreamInterval()})
    assert judged(told, "stream_errors/fault").observed == 0
    told.load(1, start=31, shard=1, streams={"prices": StreamInterval(broken=8, ends={"1006": 8})})
    broken = judged(told, "stream_errors/fault")
    assert (broken.verdict, broken.observed) == (Verdict.FAIL, 50)


def test_a_stream_that_nobody_heard_a_word_of_is_no_pass(story):
    def verdict(**seen):
        report = fold(story().load(60, streams={"prices": StreamInterval(**seen)}).history())
        return report.verdict, [reason for reason in report.reasons if reason.startswith("stream prices: ")]

    assert verdict(connects=2, quiet=2)[0] is Verdict.INCONCLUSIVE
    assert "120 connections were accepted and no message came" in verdict(connects=2, quiet=2)[1][0]
    assert verdict()[0] is Verdict.INCONCLUSIVE
    assert "no client was connected" in verdict()[1][0]
    for well in ({"connects": 2, "quiet": 1, "messages": 1}, {"connects": 2}):
        assert verdict(**well) == (Verdict.PASS, [])
    assert verdict(failed={"status_403": 2}) == (Verdict.FAIL, [])


def test_a_stream_whose_server_ends_it_soon_or_that_falls_silent_is_no_pass_unless_a_promise_or_its_habit_says_so(
    story,
):
    def known(*promises, fault=False, **seen):
        told = story(slo=[{"metric": one, "target": "< 60s"} for one in promises])
        if fault:
            told.add(Injected(1.0, "1", "ws_delay", Depth.EXCHANGE, Direction.INBOUND, "x", "applied"))
        seen = {"messages": 100, "gap": encoded([0.1] * 200)} | seen
        report = fold(told.load(20, streams={"prices": StreamInterval(**seen)}).history())
        found = any(reason.startswith("stream prices: ") for reason in report.reasons)
        assert report.verdict is (Verdict.INCONCLUSIVE if found else Verdict.PASS)
        return not found

    assert not known(connects=2, early=2)  # nobody got any further
    assert not known(connects=2, early=1, open=8)  # some client again and again
    assert known(connects=2, early=1, open=100)  # each client once: its server began anew
    assert known(connects=3, early=1, finished=1)  # short ones among long ones
    assert not known(connects=2, dried=1, open=100)
    assert known("stream_gap_max{prices}", connects=2, dried=1)
    assert known("stream_gap_max", connects=2, dried=1)
    assert not known("stream_latency_max{other}", connects=2, dried=1)
    assert known(fault=True, connects=2, dried=1)
    assert known(connects=200, dried=1)


def test_a_promise_about_streams_that_never_ran_is_no_pass(story):
    told = story(slo=[{"metric": "stream_errors", "target": "< 1%"}, {"metric": "stream_gap_p99{x}", "target": "< 1s"}])
    told = told.load(60)
    assert judged(told, "stream_errors").verdict is Verdict.INCONCLUSIVE
    assert judged(told, "stream_gap_p99{x}").verdict is Verdict.INCONCLUSIVE


def test_broken_promises_are_annotations_of_a_workflow_with_the_errors_first(story):
    told = story(slo=[{"metric": "p95{/revoke}", "target": "< 1s"}, {"metric": "p50", "target": "< 1ms"}]).load(60)
    lines = github_lines(fold(told.history(), checks=()))
    assert lines[0].startswith("::error title=promise p50::")
    assert any(line.startswith("::warning title=promise p95{/revoke}::unknown, wanted < 1000 ms.") for line in lines)


def test_an_annotation_is_one_line_whatever_its_text_holds(story):
    hostile = "p50{a\n::error::b,c: 100%}"
    told = story(slo=[{"metric": hostile, "target": "< 1s"}]).load(60)
    (line,) = (one for one in github_lines(fold(told.history(), checks=())) if "p50{a" in one)
    assert line.startswith("::warning title=promise p50{a%0A%3A%3Aerror%3A%3Ab%2Cc%3A 100%25}::")
    assert "\n" not in line
