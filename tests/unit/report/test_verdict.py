"""The verdict: the worst of what was seen, and never a pass by absence."""

import pytest

from chaosbot.core.event import ExchangeSeen, Injected, Noted, ProbeSeen, RuleTallied, Trouble
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.verdict import Verdict
from chaosbot.report import fold
from chaosbot.reporters.json import to_json


def test_a_calm_run_passes_and_says_what_was_looked_at(story):
    report = fold(story().load(60).judged("no_hang", judged=40).history(), checks=())
    assert report.verdict is Verdict.PASS
    assert "1 check looked at 40 things" in report.reasons[0]
    assert [one.name for one in report.assertions] == ["p50", "p99", "error_rate", "throughput"]


def test_an_empty_run_is_inconclusive(story):
    report = fold(story().history(), checks=())
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "nothing was judged" in report.reasons[0]


def test_a_finding_fails_the_run_and_stands_first(story, make_finding):
    told = story().load(30).judged("no_hang", make_finding()).add(Trouble(30.0, "proxy", "worker died"))
    report = fold(told.history(), checks=())
    assert report.verdict is Verdict.FAIL
    assert report.reasons[0] == "1 finding, 1 high: the bot hangs"
    assert any("worker died" in reason for reason in report.reasons)


def test_trouble_is_never_a_pass(story):
    report = fold(story().load(60).add(Trouble(3.0, "probe", "no such process")).history(), checks=())
    assert report.verdict is Verdict.INCONCLUSIVE


def test_a_broken_fault_is_never_a_pass(story):
    broken = Injected(5.0, "r1", "latency", Depth.BYTES, Direction.INBOUND, "x1", "failed", detail="boom")
    report = fold(story().load(60).add(broken).history(), checks=())
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("broke 1 times" in reason for reason in report.reasons)


def test_a_rule_that_never_matched_is_named(story):
    told = (
        story()
        .load(60)
        .add(
            Injected(5.0, "r1", "latency", Depth.BYTES, Direction.INBOUND, "x1", "applied"),
            RuleTallied(60.0, "r1", "latency", Depth.BYTES, 10, 1, 1, 0),
            RuleTallied(60.0, "r2", "abort", Depth.EXCHANGE, 0, 0, 0, 0),
        )
    )
    report = fold(told.history(), checks=())
    assert "rule r2 (abort) never matched" in report.reasons


def test_a_proxy_without_load_of_its_own_has_no_windows_but_promises_traffic(story):
    seen = ExchangeSeen(2.0, "k1", Direction.INBOUND, "POST", "/", 200, "target", 0.01, 200)
    met = Injected(1.9, "slow", "delay", Depth.EXCHANGE, Direction.INBOUND, "k1", "applied")
    report = fold(story(verb="proxy").fault("slow", "delay", 1.0).add(met, met, seen).history(end=5.0), checks=())
    assert report.assertions[0].observed == 1  # one exchange, however many faults met it
    assert (report.verdict, report.windows) == (Verdict.PASS, ())
    assert [promise.name for promise in report.assertions] == ["traffic"]


def test_a_proxy_whose_upstream_never_answered_is_inconclusive_and_says_why(story):
    seen = ExchangeSeen(2.0, "k1", Direction.INBOUND, "POST", "/", 502, "proxy", 0.01)
    noted = Noted(2.0, "upstream", "127.0.0.1:1 gave no answer: Connection refused")
    report = fold(story(verb="proxy").add(noted, seen).history(), checks=())
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("the upstream answered none of 1 exchanges" in reason for reason in report.reasons)
    assert noted.text in report.reasons


def test_a_journal_that_breaks_off_is_inconclusive(story):
    history = story().load(60).history()
    torn = type(history).of(history.events[:-1], torn=True)
    assert fold(torn, checks=()).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("how", ["interrupted", "aborted"])
def test_a_run_that_was_ended_early_is_inconclusive(story, how):
    report = fold(story().load(60).history(how, "why"), checks=())
    assert report.verdict is Verdict.INCONCLUSIVE
    assert f"the run was {how}: why" in report.reasons


def test_a_probe_that_never_saw_anything_is_inconclusive(story):
    told = story().load(60).add(*(ProbeSeen(float(t), "memory", ok=False) for t in range(5)))
    assert fold(told.history(), checks=()).verdict is Verdict.INCONCLUSIVE


def test_a_late_generator_makes_the_run_invalid_and_not_a_pass(story):
    report = fold(story().load(60, lateness_p99_s=0.4).history(), checks=())
    assert report.verdict is Verdict.INVALID
    assert len(report.reasons) == 1
    assert report.generator is not None
    assert not report.generator.valid


def test_a_late_generator_hides_no_finding(story, make_finding):
    told = story().load(60, lateness_p99_s=0.4).judged("no_hang", make_finding())
    assert fold(told.history(), checks=()).verdict is Verdict.FAIL


def test_errors_past_the_alert_fail(story):
    report = fold(story().load(60, errors=0.2).history(), checks=())
    assert report.verdict is Verdict.FAIL
    assert to_json(report)["verdict"] == "fail"


def test_the_json_has_the_contracts_keys_and_milliseconds(story):
    plain = to_json(fold(story().load(60, latency=0.25, sigma=0.0).history(), checks=()))
    assert plain["schema"] == "chaosbot.report/1"
    assert set(plain) == {
        *("schema", "verb", "version", "seed", "target", "started", "duration_s", "verdict", "reasons", "findings"),
        *("assertions", "load", "coverage", "generator", "environment", "judged"),
    }
    assert plain["load"]["response_ms"]["p50"] == pytest.approx(250, rel=0.001)
    assert plain["load"]["service_ms"]["p50"] == pytest.approx(225, rel=0.001)
    assert plain["load"]["offered_rps"] == 200
