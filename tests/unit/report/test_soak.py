"""The soak verdict inside the fold: which series are judged, on which stretch, and what it does to the run."""

import pytest

from chaosbot.core.event import ProbeSeen
from chaosbot.core.verdict import Verdict
from chaosbot.report import fold
from chaosbot.reporters.json import to_json

MB = 1e6


def watched(told, value, seconds=900, probe="memory"):
    """A probe every five seconds."""
    return told.add(*(ProbeSeen(float(t), probe, ok=True, value=value(t)) for t in range(0, seconds, 5)))


def wobble(t):
    """A deterministic unrest of a few hundred kilobytes without trend."""
    return (t * 7919 % 13) * 0.03 * MB


def leak(t):
    return 80 * MB + 20 * MB * t / 3600 + wobble(t)


def calm(t):
    return 80 * MB + wobble(t)


def found(report, series="memory"):
    return next(one for one in report.soak if one.series == series)


def test_a_leak_fails_the_run_and_says_when_its_limit_is_reached(story):
    told = watched(story(limits={"memory": "105MB"}).load(20), leak)
    report = fold(told.history(), checks=())
    drift = found(report)
    assert drift.verdict == "drift"
    assert drift.slope_per_hour == pytest.approx(20 * MB, rel=0.1)
    assert drift.exhaustion_h == pytest.approx(1.0, rel=0.15)
    assert report.verdict is Verdict.FAIL
    assert any("memory is 2" in reason and "MB/h" in reason for reason in report.reasons)
    (row,) = (row for row in to_json(report)["soak"] if row["series"] == "memory")
    assert set(row) == {"series", "slope_per_hour", "interval", "minimum_detectable", "verdict"}


def test_a_calm_memory_is_stable(story):
    report = fold(watched(story().load(20), calm).history(), checks=())
    assert found(report).verdict == "stable"
    assert report.verdict is Verdict.PASS


def test_a_budget_of_the_settings_decides(story):
    report = fold(watched(story(budgets={"memory": "40MB"}).load(20), leak).history(), checks=())
    assert found(report).verdict == "stable"


def test_a_short_run_has_no_trend(story):
    report = fold(watched(story().load(20), leak, seconds=200).history(), checks=())
    assert report.soak == ()
    assert "soak" not in to_json(report)


def test_what_a_fault_does_to_memory_is_no_drift(story):
    def swollen(t):
        return calm(t) + (500 * MB if t >= 600 else 0)

    told = story().phase(0, "baseline").load(20).phase(600, "fault").fault("r", "huge_body", 600, 900)
    assert found(fold(watched(told, swollen).history(), checks=())).verdict == "stable"


def test_not_knowing_makes_a_soak_inconclusive_and_any_other_run_not(story):
    def wild(t):
        return 80 * MB + (t * 7919 % 97) * MB

    for settings, verdict in (({}, Verdict.PASS), ({"workload": {"profile": "soak"}}, Verdict.INCONCLUSIVE)):
        report = fold(watched(story(**settings).load(20), wild).history(), checks=())
        assert found(report).verdict == "inconclusive"
        assert report.verdict is verdict


def test_looks_at_states_are_no_series(story):
    told = watched(story().load(20), lambda t: t % 2, probe="circuit:api")
    watched(told, lambda t: t / 1000, probe="canary")
    assert fold(told.history(), checks=()).soak == ()


def test_latency_under_steady_load_is_judged_and_a_ramp_is_not_taken_for_drift(story):
    steady = fold(story().load(400, rate=20).history(), checks=())
    assert {one.series for one in steady.soak} == {"p50", "p99", "throughput"}
    ramp = story()
    for step in range(10):
        ramp.load(40, rate=10 + step * 10, active_users=10 + step * 10)
    # Only the seconds around the usual number of users could be compared, and those are too few.
    assert fold(ramp.history(), checks=()).soak == ()
