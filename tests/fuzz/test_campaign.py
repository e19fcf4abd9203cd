"""Campaigns against the real demo bot: what they promise about attribution, time, replay, corpus and export."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from chaosbot.core.check import CHECKS, History
from chaosbot.core.errors import SecretMissing, TargetRefused, TargetUnusable
from chaosbot.core.event import ApiCalled, CaseTried, Event, Judged, Trouble
from chaosbot.core.platform import Endpoint
from chaosbot.core.verdict import Severity, Threat, Verdict
from chaosbot.fuzz import campaign as campaigns
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.export import FILE, export_pytest
from chaosbot.fuzz.replay import replay
from chaosbot.fuzz.spec import CampaignResult, CampaignSpec
from chaosbot.fuzz.stages import TABLE
from chaosbot.transport import Address
from tests.support.campaigns import served

SECRET = "S3cret_token-xyz"


@contextmanager
def demo(bugs: str = "", *options: str, port: int = 0, limits: bool = False, **environment: str) -> Iterator[str]:
    environment = os.environ | {"TELEGRAM_SECRET_TOKEN": SECRET, "BOT_TOKEN": "123456789:" + "A" * 35} | environment
    command = [sys.executable, "-m", "chaosbot.demo", "--bugs", bugs, "--exit-with-stdin"]
    command += [] if limits else ["--no-limits"]
    process = subprocess.Popen(
        [*command, "--port", str(port), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().split()
        assert line[0] == "READY"
        yield f"{line[1]}/webhook/telegram"
    finally:
        process.terminate()
        process.wait(60)


def spec_of(url: str, tmp_path: Path, **changes: Any) -> CampaignSpec:
    address = Address.parse(url)
    spec = CampaignSpec(
        address,
        Endpoint(address.authority, address.path, SECRET),
        seed=3,
        duration_s=20.0,
        longest_s=100.0,  # on a busy machine a catalogue takes longer, and is to run whole all the same
        stages=("catalogue",),
        findings=tmp_path / "findings",
    )
    return replace(spec, **changes)


def run(spec: CampaignSpec, events: list[Event] | None = None) -> CampaignResult:
    return Campaign(spec, (events if events is not None else []).append).run()


def test_a_foreign_target_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(TargetRefused, match="--allow-host"):
        run(spec_of("http://192.0.2.1:9/hook", tmp_path))


def test_a_target_for_small_ids_alone_is_said_to_be_that_and_nothing_else(tmp_path: Path) -> None:
    class Small(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            large = any(int(number) >= 2**31 for number in re.findall(rb'"id": ?(\d+)', body))
            self.send_response(400 if large else 200)
            self.send_header("content-length", "0")
            self.end_headers()

    events: list[Event] = []
    with served(Small) as url:
        result = run(spec_of(url, tmp_path, stages=("catalogue", "mutations")), events)
    assert [finding.check for finding in result.findings] == ["valid_accepted"]
    assert any("more than 32 bits" in event.what for event in events if isinstance(event, Trouble))
    assert not result.complete


def test_a_target_that_is_only_starting_refuses_no_ids(tmp_path: Path) -> None:
    left = iter(range(8))

    class Starting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200 if next(left, None) is None else 503)
            self.send_header("content-length", "0")
            self.end_headers()

    events: list[Event] = []
    with served(Starting) as url:
        result = run(spec_of(url, tmp_path, stages=("mutations",), max_examples=8), events)
    assert result.by_stage["mutations"] > 0
    assert not any("more than 32 bits" in event.what for event in events if isinstance(event, Trouble))


def test_a_target_that_does_not_take_valid_updates_is_no_target(tmp_path: Path) -> None:
    events: list[Event] = []
    with demo() as url:
        wrong = replace(spec_of(url, tmp_path).endpoint, secret="another-secret")
        with pytest.raises(
            TargetUnusable, match=r"status 401.*the secret in TELEGRAM_SECRET_TOKEN is not the target's"
        ):
            run(spec_of(url, tmp_path, endpoint=wrong), events)
    assert not [event for event in events if isinstance(event, CaseTried)]  # so the run leaves no directory


def test_every_case_is_an_event_and_every_check_says_something(tmp_path: Path) -> None:
    events: list[Event] = []
    with demo() as url:
        result = run(spec_of(url, tmp_path, only=("json/*", "auth/*")), events)
    tried = [event for event in events if isinstance(event, CaseTried)]
    assert len(tried) == result.cases_sent >= 100
    assert result.findings == ()
    assert {judgement.check for judgement in result.judgements} == {
        event.judgement.check for event in events if isinstance(event, Judged)
    }
    # Pure: the same history, judged again, says the same.
    history = History.of(events)
    for judgement in result.judgements:
        again = CHECKS.build(judgement.check).judge(history)
        assert (again.verdict, again.judged) == (judgement.verdict, judgement.judged), judgement.check


def test_a_death_is_charged_to_the_case_that_caused_it(tmp_path: Path) -> None:
    events: list[Event] = []
    with demo("exit-on-callback-without-message") as url:
        result = run(spec_of(url, tmp_path, only=("callbacks/*", "json/*", "messages/text*")), events)
    deaths = [finding for finding in result.findings if finding.check == "no_death"]
    assert deaths
    assert all("callback" in finding.case for finding in deaths)
    assert {finding.check for finding in result.findings} == {"no_death"}
    assert result.complete


def test_a_stall_is_charged_to_the_case_that_caused_it(tmp_path: Path) -> None:
    with demo("slow-text-blocks-loop") as url:
        result = run(spec_of(url, tmp_path, only=("commands/argument*", "json/truncated*")))
    (finding,) = result.findings
    assert (finding.check, str(finding.cause)) == ("no_hang", "blocks-everybody")
    assert finding.case.startswith("commands/argument")
    assert finding.threat is Threat.USER


def test_a_target_that_dies_for_good_makes_the_campaign_inconclusive_and_never_a_pass(tmp_path: Path) -> None:
    events: list[Event] = []
    with demo("exit-on-callback-without-message", "--no-supervised") as url:
        campaign = Campaign(
            spec_of(url, tmp_path, only=("callbacks/message*", "json/*"), duration_s=30.0), events.append
        )
        began = time.monotonic()
        result = campaign.run(lambda: time.monotonic() - began > 4.0)
    assert not result.complete
    assert not any(judgement.verdict is Verdict.PASS for judgement in result.judgements)


@pytest.mark.slow
def test_a_death_for_good_is_a_finding_that_names_the_case_and_says_what_was_not_reached(tmp_path: Path) -> None:
    events: list[Event] = []
    with demo("exit-on-callback-without-message", "--no-supervised") as url:
        only = ("callbacks/message*", "json/*")
        result = run(spec_of(url, tmp_path, only=only, stages=("catalogue", "mutations")), events)
    (finding,) = result.findings
    assert (finding.check, finding.severity, finding.threat) == ("no_death", Severity.CRITICAL, Threat.USER)
    assert "does not come back" in finding.title
    named = finding.case + finding.summary
    assert "callbacks/message-absent" in named or "callbacks/message-inline" in named
    troubles = [event.what for event in events if isinstance(event, Trouble)]
    assert any("not reached: mutations" in what for what in troubles)


@pytest.mark.slow
def test_a_target_that_chaosbot_owns_is_started_again_when_it_has_died(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    command = f"{sys.executable} -m chaosbot.demo --port {port} --no-limits --no-supervised --bugs exit-on-callback-without-message"
    spec = spec_of(
        f"http://127.0.0.1:{port}/webhook/telegram",
        tmp_path,
        start_cmd=command,
        endpoint=Endpoint(f"127.0.0.1:{port}", "/webhook/telegram", ""),
        only=("callbacks/message*", "json/truncated*"),
        duration_s=100.0,
    )
    result = run(spec)
    assert {finding.check for finding in result.findings} == {"no_death"}
    assert result.complete
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1.0)


def test_a_campaign_stops_within_a_second_of_being_asked(tmp_path: Path) -> None:
    asked: list[float] = []

    def look(event: Event) -> None:
        if isinstance(event, CaseTried) and not asked:
            asked.append(time.monotonic())

    with demo() as url:
        result = Campaign(
            spec_of(url, tmp_path, duration_s=600.0, stages=("catalogue", "mutations", "generated", "sequences")), look
        ).run(lambda: bool(asked))
        took = time.monotonic() - asked[0]
    # A second is the aim; a busy machine may take several, but not the ten minutes that are left.
    assert took < 30
    assert not result.complete
    assert not any(judgement.verdict is Verdict.PASS for judgement in result.judgements)


def test_a_campaign_keeps_its_time(tmp_path: Path) -> None:
    with demo() as url:
        began = time.monotonic()
        run(spec_of(url, tmp_path, duration_s=3.0, stages=("mutations", "generated", "sequences")))
        # Half a second over is the aim; without the limit the stages would go on for minutes.
        assert time.monotonic() - began < 30


@pytest.mark.slow
def test_a_catalogue_that_needs_longer_than_its_share_runs_whole_where_it_may(tmp_path: Path) -> None:
    with demo() as url:
        short = run(spec_of(url, tmp_path, duration_s=0.5, longest_s=None))
        whole = run(spec_of(url, tmp_path, duration_s=0.5, longest_s=120.0, only=("json/*", "auth/*", "escalation/*")))
    assert short.cut
    assert not whole.cut
    assert whole.cases_sent > 200


def test_a_case_that_was_asked_for_and_never_sent_lets_nothing_pass(tmp_path: Path) -> None:
    seen: list[Event] = []
    with demo() as url:
        result = Campaign(
            spec_of(url, tmp_path, duration_s=0.5, longest_s=None, stages=("catalogue",), only=("*",)), seen.append
        ).run()
    assert not result.complete
    assert not any(judgement.verdict is Verdict.PASS for judgement in result.judgements)
    assert any("were never sent" in event.what for event in seen if isinstance(event, Trouble))


def test_a_finding_replays_while_the_bug_is_there_and_not_when_it_is_mended(tmp_path: Path) -> None:
    with demo("crash-on-missing-chat,secret-prefix-accepted") as url:
        result = run(spec_of(url, tmp_path, only=("shape/*chat*", "auth/secret*")))
        directories = [tmp_path / "findings" / finding.id for finding in result.findings]
        assert {finding.check for finding in result.findings} == {"no_server_error", "secret_exact"}
        again = [replay(directory, secret=SECRET) for directory in directories]
        assert [one.text for one in again if not one.still_fails] == []
        with pytest.raises(SecretMissing, match="TELEGRAM_SECRET_TOKEN"):
            replay(directories[0])
    with demo() as mended:
        assert not any(replay(directory, target=mended, secret=SECRET).still_fails for directory in directories)


def test_a_finding_is_shrunk_to_what_matters(tmp_path: Path) -> None:
    with demo("crash-on-missing-chat") as url:
        result = run(spec_of(url, tmp_path, stages=("mutations",), max_examples=1500, duration_s=60.0))
    smallest = min(result.findings, key=lambda finding: len(finding.request))
    body = smallest.request.partition(b"\r\n\r\n")[2]
    assert len(body) < 60
    assert b'"message"' in body
    assert smallest.curl.startswith("curl ")
    assert SECRET not in smallest.curl


@pytest.mark.slow
def test_the_summary_of_a_huge_case_says_how_much_of_it_is_enough_and_its_title_holds_no_measured_figure(
    tmp_path: Path,
) -> None:
    with demo("crash-on-deep-nesting") as url:
        spec = spec_of(url, tmp_path, only=("structure/nested-lists-100000",), checks=("no_server_error",))
        (finding,) = run(spec).findings
    assert re.search(r"; (\d{3,5}) levels are enough$", finding.summary), finding.summary
    assert finding.title == "answers 500 to 100000 lists inside each other; an expected refusal is a 4xx"


@pytest.mark.slow
def test_known_findings_replay_first_and_accepted_ones_are_muted(tmp_path: Path) -> None:
    corpus, accepted = tmp_path / ".chaosbot", tmp_path / "accepted.txt"
    with demo("crash-on-truncated-json") as url:
        first = run(spec_of(url, tmp_path, only=("json/truncated*",), corpus=corpus))
        (finding,) = first.findings
        events: list[Event] = []
        again = run(spec_of(url, tmp_path, only=("json/raw-tab",), corpus=corpus), events)
        assert next(event for event in events if isinstance(event, CaseTried)).case.endswith("~known")
        assert [found.id for found in again.findings] == [finding.id]
        accepted.write_text(finding.id)
        muted = run(spec_of(url, tmp_path, only=("json/truncated*",), corpus=corpus, baseline=accepted))
    assert muted.findings == ()
    assert muted.muted == (finding.id,)


@pytest.mark.slow
def test_exported_tests_fail_on_the_bug_and_pass_when_it_is_mended(tmp_path: Path) -> None:
    def exported(url: str) -> int:
        environment = dict(os.environ, CHAOSBOT_TARGET=url, TELEGRAM_SECRET_TOKEN=SECRET)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "exported" / FILE)]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False).returncode

    with demo("crash-on-truncated-json,crash-on-missing-chat") as url:
        run(spec_of(url, tmp_path, only=("json/truncated*", "shape/*chat*")))
        assert export_pytest(tmp_path / "findings", tmp_path / "exported") == 2
        assert "chaosbot" not in [
            line for line in (tmp_path / "exported" / FILE).read_text().splitlines() if "import" in line
        ]
        assert exported(url) == 1
    with demo() as mended:
        assert exported(mended) == 0


def test_without_a_stand_in_effects_are_not_judged_and_the_campaign_says_so(tmp_path: Path) -> None:
    with demo("", "--bot-api", "http://127.0.0.1:1") as url:
        result = run(spec_of(url, tmp_path, only=("json/*", "escalation/*", "control/*")))
    reasons = dict(result.unjudged)
    assert {"no_escalation", "effect_at_most_once", "right_chat", "text_intact"} <= reasons.keys()
    assert all("--bot-api" in reasons[check] for check in ("no_escalation", "right_chat"))


@pytest.mark.slow
def test_replies_in_webhook_answers_are_enough_to_see_an_escalation(tmp_path: Path) -> None:
    with demo("uppercase-command-unchecked") as url:
        result = run(spec_of(url, tmp_path, only=("control/*", "escalation/*", "commands/*")))
    assert {finding.check for finding in result.findings} == {"no_escalation"}


@pytest.mark.slow
def test_a_policy_for_malformed_requests_is_enforced(tmp_path: Path) -> None:
    with demo() as url:
        rejected = run(spec_of(url, tmp_path, only=("json/*",), malformed="reject"))
        acknowledged = run(spec_of(url, tmp_path, only=("json/*",), malformed="ack"))
    assert rejected.findings == ()
    assert {finding.check for finding in acknowledged.findings} == {"malformed_policy"}


def test_the_same_seed_sends_the_same_cases(tmp_path: Path) -> None:
    names = []
    with demo() as url:
        for _ in range(2):
            events: list[Event] = []
            run(
                spec_of(
                    url,
                    tmp_path,
                    stages=("catalogue", "mutations"),
                    max_examples=300,
                    only=("json/*",),
                    duration_s=60.0,
                ),
                events,
            )
            names.append(
                [event.case for event in events if isinstance(event, CaseTried) and event.stage == "mutations"]
            )
    assert names[0] == names[1]
    assert len(names[0]) == 300


@pytest.mark.parametrize("check", [pytest.param("own_objects_only", marks=pytest.mark.slow), "no_escalation"])
def test_a_finding_that_needs_calls_shows_again_on_another_target_and_is_mended_on_a_healthy_one(
    tmp_path: Path, check: str
) -> None:
    only = ("control/*", "escalation/control*", "escalation/reply*", "objects/*")
    with demo("foreign-reminders,callback-trusted,tier-from-reply") as url:
        spec = spec_of(url, tmp_path, stages=("catalogue", "sequences"), only=only, checks=(check,), max_examples=16)
        found = [finding for finding in run(spec).findings if finding.check == check]
    assert found
    for finding in found:
        home = tmp_path / "findings" / finding.id
        # A target of its own numbers what is made in it anew, and has other users' things in it already.
        with demo("foreign-reminders,callback-trusted,tier-from-reply") as url:
            again = replay(home, target=url, secret=SECRET)
            assert (again.still_fails, again.conclusive) == (True, True), again.text
        with demo() as url:
            again = replay(home, target=url, secret=SECRET)
            assert (again.still_fails, again.conclusive) == (False, True), again.text


@pytest.mark.slow
def test_every_move_is_played_once_however_little_time_the_sequences_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger presses another user's button: one of the last moves."""
    monkeypatch.setitem(TABLE, "sequences", replace(TABLE["sequences"], share=0.0))
    monkeypatch.setattr(campaigns, "_LEAST_S", 0.0)
    events: list[Event] = []
    with demo("callback-trusted") as url:
        spec = spec_of(url, tmp_path, stages=("sequences",), checks=("own_objects_only",))
        result = run(spec, events)
    assert [finding.check for finding in result.findings] == ["own_objects_only"]
    rejected = "a stranger presses reject for another user's improvement"
    assert rejected in {event.summary for event in events if isinstance(event, CaseTried)}


@pytest.mark.slow
def test_a_rate_limit_does_not_make_a_finding_look_mended(tmp_path: Path) -> None:
    only = ("control/*", "escalation/control-admin", "escalation/admin-by-guest", "escalation/reply-admin")
    with demo("tier-from-reply") as url:
        run(spec_of(url, tmp_path, only=only, checks=("no_escalation",)))
    (home,) = (tmp_path / "findings").iterdir()
    # Five messages a minute from each guest, and three requests of guests in a replay.
    with demo("tier-from-reply", limits=True) as url:
        again = [replay(home, target=url, secret=SECRET) for _ in range(12)]
    assert [(one.still_fails, one.conclusive) for one in again] == [(True, True)] * 12


@pytest.mark.slow
def test_a_target_that_answers_nothing_of_what_is_compared_is_not_called_mended(tmp_path: Path) -> None:
    only = ("control/*", "escalation/control-admin", "escalation/admin-by-guest", "escalation/reply-admin")
    with demo("tier-from-reply") as url:
        run(spec_of(url, tmp_path, only=only, checks=("no_escalation",)))
    (home,) = (tmp_path / "findings").iterdir()
    # This bot's admin is somebody else, so the control shows nothing.
    with demo("tier-from-reply", ADMIN_TELEGRAM_ID="42") as url:
        again = replay(home, target=url, secret=SECRET)
    assert (again.still_fails, again.conclusive) == (True, False)
    assert again.text.startswith("cannot tell: ")


@pytest.mark.slow
def test_a_bot_with_another_admin_or_with_commands_for_everybody_escalates_nothing(tmp_path: Path) -> None:
    only = ("control/*", "escalation/*", "commands/*", "identity/*", "objects/*")
    # Whom the campaign takes for the admin is refused like everybody else.
    with demo(ADMIN_TELEGRAM_ID="42") as url:
        result = run(spec_of(url, tmp_path, stages=("catalogue", "sequences"), only=only, max_examples=16))
    assert result.findings == ()
    assert "another admin" in dict(result.unjudged)["no_escalation"]


@pytest.mark.slow
def test_who_is_late_still_asks_whether_the_target_is_well_and_a_reply_in_the_answer_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = campaigns.close_campaign

    def late(context: CampaignContext, *parts: Any, complete: bool) -> CampaignResult:
        """As on a busy machine, where the time was over before the last stages had any."""
        context.target.until = time.monotonic()
        return close(context, *parts, complete=not complete)

    monkeypatch.setattr(campaigns, "close_campaign", late)
    calls: list[ApiCalled] = []
    events: list[Event] = []
    started = time.monotonic()

    class Webhook(BaseHTTPRequestHandler):
        """Greets by a call, and answers all else in the webhook's answer."""

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"]))).get("message") or {}
            chat, text = (message.get("chat") or {}).get("id"), message.get("text")
            body = b""
            if text == "/start":
                calls.append(
                    ApiCalled(time.monotonic() - started, "sendMessage", chat, "Hello!", message=len(calls) + 1)
                )
            elif text:
                body = json.dumps({"method": "sendMessage", "chat_id": chat, "text": "Pardon?"}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with served(Webhook) as url:
        spec = spec_of(url, tmp_path, stages=("served",), bot_api=True)
        result = Campaign(replace(spec, started=started), events.append, lambda: calls).run()
    assert not result.complete
    assert [finding.check for finding in result.findings] == []
    assert not [one.what for one in events if isinstance(one, Trouble) and "health request" in one.what]
