"""Checks inside the fold: what they said live and say again become one, a crash is no pass, absence is no pass."""

from dataclasses import replace

import pytest

from chaosbot.core.check import CHECKS, Check
from chaosbot.core.event import Judged, Noted
from chaosbot.core.verdict import Judgement, Verdict
from chaosbot.report import fold
from chaosbot.report.merge import merged_findings, merged_judgements


@pytest.fixture
def registry(monkeypatch):
    """Puts checks on the registry beside the real ones."""

    def put(name, judge):
        kind = type(name, (Check,), {"judge": lambda _self, history: judge(history), "name": name})
        monkeypatch.setitem(CHECKS._entries, name, kind)

    return put


def test_every_check_of_the_registry_judges_an_empty_run_without_crashing(story):
    report = fold(story().history())
    assert report.verdict is Verdict.INCONCLUSIVE
    assert not [one for one in report.judgements if one.crashed]
    assert {check for check, _ in report.unjudged} == set(CHECKS.names())


def test_a_crashed_check_makes_the_run_inconclusive_with_the_reason(story, registry):
    registry("crasher", lambda _: 1 / 0)
    report = fold(story().load(60).history(), checks=["crasher"])
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("crasher: the check crashed: ZeroDivisionError" in reason for reason in report.reasons)


def test_a_check_that_was_asked_for_and_found_nothing_to_look_at_is_no_pass(story, registry):
    registry("idle", lambda _: Judgement("idle", Verdict.INCONCLUSIVE, reason="no case"))
    told = story().load(60)
    asked = fold(told.history(), checks=["idle"])
    assert asked.verdict is Verdict.INCONCLUSIVE
    assert "idle: asked for, but no case" in asked.reasons
    assert ("idle", "no case") in asked.unjudged
    assert fold(told.history()).verdict is Verdict.PASS


def test_a_check_that_does_not_exist_is_named(story):
    report = fold(story().load(60).history(), checks=["no_hangs"])
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("unknown check 'no_hangs'; did you mean 'no_hang'?" in reason for reason in report.reasons)


def test_the_settings_name_the_checks_that_judge(story, registry):
    registry("one", lambda _: Judgement("one", Verdict.PASS, judged=3))
    registry("two", lambda _: Judgement("two", Verdict.PASS, judged=3))
    report = fold(story(checks=["one"]).load(60).history())
    assert [one.check for one in report.judgements] == ["one"]


def test_a_finding_seen_live_and_again_is_one_with_the_live_reproduction(make_finding):
    live = make_finding(occurrences=3)
    again = replace(live, occurrences=5, reproduce="", curl="", request=b"")
    (judgement,) = merged_judgements(
        [Judgement("no_hang", Verdict.FAIL, (live,), judged=4)],
        [Judgement("no_hang", Verdict.FAIL, (again,), judged=9)],
    )
    (found,) = judgement.findings
    assert (found.occurrences, found.reproduce, found.request) == (5, live.reproduce, live.request)
    assert judgement.judged == 9


def test_two_campaigns_of_one_run_add_up(make_finding):
    one = Judgement("no_hang", Verdict.FAIL, (make_finding(occurrences=3),), judged=4)
    (judgement,) = merged_judgements([one, one], [])
    assert (judgement.findings[0].occurrences, judgement.judged) == (6, 8)


def test_a_refold_that_sees_nothing_takes_no_live_pass_away():
    live = Judgement("no_hang", Verdict.PASS, judged=4)
    (judgement,) = merged_judgements([live], [Judgement("no_hang", Verdict.INCONCLUSIVE, reason="no cases")])
    assert (judgement.verdict, judgement.judged) == (Verdict.PASS, 4)


def test_a_muted_finding_does_not_come_back_with_the_refold(story, make_finding, registry):
    finding = make_finding("loud")
    registry("loud", lambda _: Judgement("loud", Verdict.FAIL, (finding,), judged=1))
    told = story().load(60)
    told.add(Judged(1, Judgement("loud", Verdict.PASS, judged=1)), Noted(1, "fuzz", "", {"muted": [finding.id]}))
    report = fold(told.history(), checks=["loud"])
    assert report.findings == ()
    assert report.verdict is Verdict.PASS


def test_findings_stand_with_the_worst_first(make_finding):
    severities = ("low", "critical", "medium", "high")
    found = [make_finding(bucket=one, severity=type(make_finding().severity)(one)) for one in severities]
    ordered = merged_findings([Judgement("no_hang", Verdict.FAIL, tuple(found))])
    assert [one.severity.value for one in ordered] == ["critical", "high", "medium", "low"]
