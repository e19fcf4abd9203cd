"""Checks inside the fold: each judges once, from the history; a crash is no pass, absence is no pass."""

from dataclasses import replace

import pytest

from chaosbot.core.check import CHECKS, Check
from chaosbot.core.event import CampaignStarted, Judged
from chaosbot.core.verdict import Judgement, RootCause, Verdict
from chaosbot.report import fold


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
    assert {check for check, _ in report.unjudged} == {
        name for name in CHECKS.names() if not CHECKS.get(name).on_demand
    }


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
    by_option = fold(story(more_checks=["idle"]).load(60).history())
    assert by_option.verdict is Verdict.INCONCLUSIVE
    assert "idle: asked for, but no case" in by_option.reasons


def test_a_check_that_does_not_exist_is_named(story):
    report = fold(story().load(60).history(), checks=["no_hangs"])
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("unknown check 'no_hangs'; did you mean 'no_hang'?" in reason for reason in report.reasons)


def test_the_settings_name_the_checks_that_judge(story, registry):
    registry("one", lambda _: Judgement("one", Verdict.PASS, judged=3))
    registry("two", lambda _: Judgement("two", Verdict.PASS, judged=3))
    report = fold(story(checks=["one"]).load(60).history())
    assert [one.check for one in report.judgements] == ["one"]


def test_a_finding_has_the_request_that_the_campaign_worked_out(story, make_finding, registry):
    shrunk = make_finding("loud", occurrences=3)
    judged = replace(shrunk, occurrences=5, reproduce="", curl="", request=b"", case="first")
    registry("loud", lambda _: Judgement("loud", Verdict.FAIL, (judged,), judged=9))
    told = story().load(60)
    told.add(Judged(1, Judgement("loud", Verdict.FAIL, (shrunk,), judged=4)))
    (found,) = fold(told.history(), checks=["loud"]).findings
    assert (found.occurrences, found.reproduce, found.request) == (5, shrunk.reproduce, shrunk.request)


def test_what_a_campaign_thought_of_a_check_is_no_verdict(story, make_finding, registry):
    registry("quiet", lambda _: Judgement("quiet", Verdict.PASS, judged=4))
    told = story().load(60)
    told.add(Judged(1, Judgement("quiet", Verdict.FAIL, (make_finding("quiet"),), judged=4)))
    report = fold(told.history(), checks=["quiet"])
    assert (report.findings, report.verdict) == ((), Verdict.PASS)


def test_an_accepted_finding_is_muted(story, make_finding, registry):
    finding = make_finding("loud")
    registry("loud", lambda _: Judgement("loud", Verdict.FAIL, (finding,), judged=1))
    told = story().load(60)
    told.add(CampaignStarted(1, accepted=(finding.id,)))
    report = fold(told.history(), checks=["loud"])
    assert report.findings == ()
    assert report.verdict is Verdict.PASS


def test_findings_stand_with_the_worst_first(story, make_finding, registry):
    severities = ("low", "critical", "medium", "high")
    found = tuple(
        make_finding("loud", cause=RootCause(one), severity=type(make_finding().severity)(one)) for one in severities
    )
    registry("loud", lambda _: Judgement("loud", Verdict.FAIL, found, judged=1))
    ordered = fold(story().load(60).history(), checks=["loud"]).findings
    assert [one.severity.value for one in ordered] == ["critical", "high", "medium", "low"]
