"""The trust stage over real sockets: what is believed, lost and fetched shows, and who does it right is left alone."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled
from chaosbot.core.plan import Rule
from chaosbot.core.platform import PLATFORMS, Endpoint, spoken
from chaosbot.core.verdict import Judgement, Severity, Threat, Verdict
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.fuzz.urls import _members
from chaosbot.transport import Address
from tests.support.campaigns import served

SECRET = "trust-secret-0123456789"
OTHER = "trust-secret-of-another"
OWNER = "5559990001112"
React = Callable[[Mapping[str, str], bytes], tuple[int, list[ApiCalled]]]


def signed(body: bytes, given: str | None, *secrets: str) -> bool:
    digests = ("sha256=" + hmac.new(one.encode(), body, hashlib.sha256).hexdigest() for one in secrets or (SECRET,))
    return any(hmac.compare_digest(one.encode(), (given or "").encode()) for one in digests)


def fetch(url: str, **headers: str) -> None:
    with suppress(OSError, ValueError):
        urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=2).read()


@contextmanager
def receiver(react: React) -> Iterator[tuple[str, list[ApiCalled]]]:
    """A receiver that reacts so, and the calls that it has made."""
    made: list[ApiCalled] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, calls = react({name.lower(): value for name, value in self.headers.items()}, body)
            made.extend(calls)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with served(Handler) as url:
        yield url, made


def judged(
    react: React,
    platform: str,
    *checks: str,
    disturb: Callable[[tuple[Rule, ...]], None] | None = None,
    **options: str,
) -> dict[str, Judgement]:
    """What these checks say of a receiver after the stage."""
    with receiver(react) as (url, made):
        address = Address.parse(url)
        spec = CampaignSpec(
            address,
            Endpoint(f"{address.host}:{address.port}", address.path, SECRET),
            spoken(platform, options),
            duration_s=60.0,
            stages=("urls", "trust"),
            checks=checks,
            bot_api=True,
        )
        judgements = Campaign(spec, lambda _event: None, lambda: made, disturb=disturb).run().judgements
    return {one.check: one for one in judgements}


def messenger(bug: str = "") -> React:
    """A page's bot: greets, and gives its discount to its owner alone."""

    def said(one: Any) -> list[ApiCalled]:
        who, message = one["sender"]["id"], one["message"]
        for attachment in message.get("attachments", ()):
            if bug == "any-host":
                fetch(attachment["payload"]["url"])
            if bug == "any-host-with-token":
                fetch(attachment["payload"]["url"], Authorization="Bearer secret")
        text = message["text"]
        owner = who == OWNER or (bug == "quoted" and message.get("reply_to", {}).get("from", {}).get("id") == OWNER)
        if bug == "previews" and text.startswith("http"):
            fetch(text.split()[0])
        told = ("It is on." if owner else "Ask the owner.") if text.startswith("/discount") else "Good day."
        return [ApiCalled(0.0, "messages", who, told)]

    def react(headers: Mapping[str, str], body: bytes) -> tuple[int, list[ApiCalled]]:
        if bug == "fetches-first":
            for attachment in json.loads(body)["entry"][0]["messaging"][0].get("message", {}).get("attachments", ()):
                fetch(attachment["payload"]["url"])
        if not signed(body, headers.get("x-hub-signature-256")):
            return 401, []
        calls: list[ApiCalled] = []
        entries = json.loads(body)["entry"]
        for entry in entries[:1] if bug == "first-only" else entries:
            for one in entry.get("messaging", ()):
                try:
                    calls += said(one)
                except (KeyError, TypeError):
                    if bug == "gives-up":
                        return 200, calls
        return 200, calls

    return react


def github(bug: str = "") -> React:
    """An app that greets new issues, deploys for maintainers, and forgets what is uninstalled."""
    seen: set[str] = set()

    def react(headers: Mapping[str, str], body: bytes) -> tuple[int, list[ApiCalled]]:
        if not signed(body, headers.get("x-hub-signature-256")):
            return 401, []
        kind, one = headers.get("x-github-event"), json.loads(body)
        digest = "" if bug == "id-only" else hashlib.sha256(body).hexdigest()
        names = {headers.get("x-github-delivery", ""), digest} - {""}
        if names & seen:
            return 200, []
        seen.update(names)
        if kind == "installation" and one.get("action") == "deleted":
            fits = "account" in one.get("installation", {}) and "issue" not in one and "comment" not in one
            return 200, [ApiCalled(0.0, "forget", None, "gone")] if fits or bug == "header" else []
        if kind == "issues" and one["action"] == "opened":
            return 200, [ApiCalled(0.0, "comment", "1", "Thanks for the report.")]
        if kind == "issue_comment" and one["comment"]["body"].startswith("/deploy"):
            who = one["issue"] if bug == "issue-author" else one["comment"]
            may = who.get("author_association") in ("OWNER", "MEMBER")
            return 200, [ApiCalled(0.0, "deploy" if may else "comment", "1", "Done." if may else "No.")]
        return 200, []

    return react


def shop(bug: str = "") -> React:
    """Two merchants with a secret each."""
    secrets = {"102290129340398": SECRET, "999888777666555": OTHER}

    def react(headers: Mapping[str, str], body: bytes) -> tuple[int, list[ApiCalled]]:
        told = json.loads(body)
        account = told["entry"][0]["id"]
        allowed = secrets.values() if bug == "any-secret" else (secrets.get(account, "nobody"),)
        if account not in secrets or not signed(body, headers.get("x-hub-signature-256"), *allowed):
            return 401, []
        messages = told["entry"][0]["changes"][0]["value"].get("messages", ())
        return 200, [ApiCalled(0.0, "messages", one["from"], "Good day.") for one in messages]

    return react


def seller(bug: str = "") -> React:
    """Gives its discount to its owner alone, with a button by which the owner takes it back."""

    def react(headers: Mapping[str, str], body: bytes) -> tuple[int, list[ApiCalled]]:
        if not signed(body, headers.get("x-hub-signature-256")):
            return 401, []
        calls = []
        for one in json.loads(body)["entry"][0]["changes"][0]["value"].get("messages", ()):
            who, text = one["from"], one.get("text", {}).get("body", "")
            pressed = one.get("interactive", {}).get("button_reply", {}).get("id")
            if pressed == "take-back":
                may = who == OWNER or bug == "press-unchecked"
                calls.append(ApiCalled(0.0, "messages", who, "It is off." if may else "Ask the owner."))
            elif text.startswith("/discount"):
                told = ("It is on.", ("take-back",)) if who == OWNER else ("Ask the owner.", ())
                calls.append(ApiCalled(0.0, "messages", who, told[0], buttons=told[1]))
            else:
                calls.append(ApiCalled(0.0, "messages", who, "Good day."))
        return 200, calls

    return react


RIGHTS = {"privileged": "/discount", "admin": OWNER, "admin_name": "Owner"}
DEPLOY = {"privileged": "/deploy"}
OTHERS = {"other_tenant": "999888777666555"}
HEALTHY = {
    "messenger": (messenger, RIGHTS, ("batch_survives", "privilege_not_claimed", "urls_not_fetched")),
    "github": (github, DEPLOY, ("kind_as_signed", "privilege_not_claimed", "replay_recognised", "urls_not_fetched")),
    "whatsapp": (shop, OTHERS, ("tenants_apart",)),
}
slow = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("bug", [pytest.param("", marks=slow), "press-unchecked"])
def test_a_button_that_the_admin_was_shown_is_pressed_by_others(bug: str) -> None:
    found = judged(seller(bug), "whatsapp", "privilege_not_claimed", **RIGHTS)["privilege_not_claimed"]
    assert [one.cause.place for one in found.findings] == (["anybody"] if bug else [])
    assert found.verdict is (Verdict.FAIL if bug else Verdict.PASS)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "platform", [pytest.param(one, marks=slow if one in ("github", "messenger") else ()) for one in HEALTHY]
)
def test_who_does_it_right_is_left_alone(platform: str) -> None:
    make, options, checks = HEALTHY[platform]
    found = judged(make(), platform, *checks, **options)
    for check in checks:
        assert (found[check].verdict, found[check].findings) == (Verdict.PASS, ()), check
        assert found[check].judged > 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("platform", "bug", "check", "severity"),
    [
        pytest.param("messenger", "first-only", "batch_survives", Severity.HIGH, marks=slow),
        pytest.param("messenger", "gives-up", "batch_survives", Severity.HIGH, marks=slow),
        pytest.param("messenger", "quoted", "privilege_not_claimed", Severity.CRITICAL, marks=slow),
        pytest.param("messenger", "any-host", "urls_not_fetched", Severity.LOW, marks=slow),
        pytest.param("messenger", "any-host-with-token", "urls_not_fetched", Severity.MEDIUM, marks=slow),
        pytest.param("messenger", "previews", "urls_not_fetched", Severity.HIGH, marks=slow),
        pytest.param("messenger", "fetches-first", "urls_not_fetched", Severity.HIGH, marks=slow),
        pytest.param("github", "header", "kind_as_signed", Severity.MEDIUM, marks=slow),
        pytest.param("github", "issue-author", "privilege_not_claimed", Severity.CRITICAL, marks=slow),
        pytest.param("github", "id-only", "replay_recognised", Severity.MEDIUM, marks=slow),
        ("whatsapp", "any-secret", "tenants_apart", Severity.CRITICAL),
    ],
)
def test_who_does_it_wrong_is_found(platform: str, bug: str, check: str, severity: Severity) -> None:
    make, options, _ = HEALTHY[platform]
    judgement = judged(make(bug), platform, check, **options)[check]
    assert judgement.verdict is Verdict.FAIL, judgement
    assert severity in {finding.severity for finding in judgement.findings}


@pytest.mark.parametrize("platform", ["telegram", "messenger", "github", "slack", "twilio"])
def test_a_signed_delivery_and_the_unsigned_one_beside_it_have_nothing_in_common(platform: str) -> None:
    """What the one causes would be charged to the other."""
    told = SimpleNamespace(
        platform=PLATFORMS.build(platform, {}), spec=SimpleNamespace(endpoint=Endpoint(secret=SECRET)), dice=Dice(1)
    )
    told.case = CampaignContext.case.__get__(told)
    cases = {lure.case.name: lure.case for lure in _members(told, "http://127.0.0.1:9")}  # type: ignore[arg-type]
    forged = [case for name, case in cases.items() if name.endswith("-unsigned")]
    assert forged
    for case in forged:
        genuine = cases[case.name.removesuffix("-unsigned")]
        assert case.threat is Threat.FORGER
        assert not case.marker or case.marker != genuine.marker
        assert case.chat is None or case.chat != genuine.chat
        assert case.update_id is None or case.update_id != genuine.update_id
        assert told.platform.proof.lower().encode() not in case.request.lower()


@slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("hasty", [False, True])
def test_while_its_api_fails_a_receiver_does_not_hammer_it(hasty: bool) -> None:
    rules: list[Rule] = []
    careful = messenger()

    def disturb(put: tuple[Rule, ...]) -> None:
        rules[:] = put

    def react(headers: Mapping[str, str], body: bytes) -> tuple[int, list[ApiCalled]]:
        status, calls = careful(headers, body)
        if rules:
            times = 20 if hasty else 1
            calls = [structs.replace(one, status=502, t=one.t + nth / 100) for one in calls for nth in range(times)]
        return status, calls

    found = judged(react, "messenger", "no_retry_storm", disturb=disturb)["no_retry_storm"]
    assert found.verdict is (Verdict.FAIL if hasty else Verdict.PASS), found
    assert not rules


@pytest.mark.timeout(120)
@slow
@pytest.mark.parametrize("again", [True, False])
def test_what_one_failing_call_loses_is_found(again: bool) -> None:
    rules: list[Rule] = []
    careful = messenger()

    def disturb(put: tuple[Rule, ...]) -> None:
        rules[:] = put

    def react(headers: Mapping[str, str], body: bytes) -> tuple[int, list[ApiCalled]]:
        status, calls = careful(headers, body)
        if rules:
            calls = [structs.replace(one, t=monotonic() - began) for one in calls]
            calls = [*(structs.replace(one, status=502) for one in calls), *(calls if again else ())]
        return status, calls

    began = monotonic()
    found = judged(react, "messenger", "acked_not_lost", disturb=disturb)["acked_not_lost"]
    assert [one.cause.place for one in found.findings] == ([] if again else ["502"]), found
    assert found.verdict is (Verdict.PASS if again else Verdict.FAIL)


@slow
@pytest.mark.timeout(120)
def test_a_receiver_that_acknowledges_and_does_nothing_any_more_is_found() -> None:
    greets, heard = messenger(), []

    def react(headers: Mapping[str, str], body: bytes) -> tuple[int, list[ApiCalled]]:
        status, calls = greets(headers, body)
        heard.extend(calls)
        return status, calls if len(heard) < 8 else []

    found = judged(react, "messenger", "canary_answered")["canary_answered"]
    assert [one.cause.place for one in found.findings] == ["everybody"]


@slow
@pytest.mark.timeout(120)
def test_what_is_not_seen_is_not_judged() -> None:
    def silent(headers: Mapping[str, str], body: bytes) -> tuple[int, list[ApiCalled]]:
        return (200 if signed(body, headers.get("x-hub-signature-256")) else 401), []

    checks = ("privilege_not_claimed", "tenants_apart", "kind_as_signed", "batch_survives", "replay_recognised")
    found = judged(silent, "github", *checks, **OTHERS, **DEPLOY)
    for check in checks:
        assert found[check].verdict is Verdict.INCONCLUSIVE, check
        assert found[check].reason
