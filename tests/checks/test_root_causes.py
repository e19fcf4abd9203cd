"""One root cause is one finding: what several cases have in common is noted and judged together, and what differs stays apart."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import msgspec
import pytest

from chaosbot.core.case import Case, Change, Segment
from chaosbot.core.check import CHECKS, History
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried, Event
from chaosbot.core.observation import Died, Observation
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.core.verdict import Finding, Mechanism
from chaosbot.fuzz.catalogue import cases
from chaosbot.fuzz.recorder import CaseRecorder
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.fuzz.target import CaseResult
from chaosbot.transport import Address

SEES = CampaignStarted(0.0, "mock", "any", memory=True)
DIED = Outcome(Fate.CLOSED, None)


def answer(status: int) -> Outcome:
    return Outcome(Fate.ANSWERED, status, total_s=0.01)


class Bench:
    """The catalogue of a platform, and what a check finds when some of its cases end badly."""

    def __init__(self, platform: str) -> None:
        self.platform = PLATFORMS.build(platform)
        endpoint = Endpoint("127.0.0.1:1", "/hook", "S3cret_token-xyz", started=1_767_300_000)
        spec = CampaignSpec(Address("127.0.0.1", 1, path="/hook"), endpoint, platform=platform, started=monotonic())
        self.recorder = CaseRecorder(spec, self.platform, lambda _event: None)
        self.cases = {case.name: case for case in cases(self.platform, endpoint, Dice(1))}

    def tried(self, name: str, outcome: Outcome, *observations: Observation) -> CaseTried:
        case: Case = self.cases[name]
        return self.recorder.tried(CaseResult(case, "catalogue", outcome, 1.0, list(observations)))[0]

    def judged(self, check: str, *events: Event) -> tuple[Finding, ...]:
        return CHECKS.build(check).judge(History.of([SEES, *events])).findings


@pytest.fixture(scope="module")
def telegram() -> Bench:
    return Bench("telegram")


def test_a_valid_update_without_a_member_dies_of_the_member_s_absence(telegram: Bench) -> None:
    dead = [
        telegram.tried(name, DIED, Died())
        for name in ("callbacks/message-absent", "update_kinds/callback_query-inline", "update_kinds/command-start")
    ]
    found = {str(finding.cause): finding for finding in telegram.judged("no_death", *dead)}
    assert found.keys() == {"died:member:*.message", "died:kind:message"}
    assert found["died:member:*.message"].occurrences == 2
    # By itself the valid update is a finding of its own.
    (alone,) = telegram.judged("no_death", dead[1])
    assert str(alone.cause) == "died:kind:callback_query"


@pytest.mark.parametrize(
    "tricks",
    [
        ("reply-admin", "reply-command-admin", "reply-quote-admin"),
        ("forward-admin", "forward-old-admin"),
        ("username-admin", "username-case-admin", "username-word-admin"),
    ],
)
def test_tricks_that_one_mistake_lets_through_are_one_finding(telegram: Bench, tricks: tuple[str, ...]) -> None:
    events: list[Event] = []
    for name in ("control-admin", *tricks):
        tried = telegram.tried(f"escalation/{name}", answer(200))
        events += [
            tried,
            ApiCalled(2.0, "sendMessage", tried.chat, f"panel users uptime {tried.marker}", (tried.marker,)),
        ]
    (finding,) = telegram.judged("no_escalation", *events)
    assert finding.occurrences == len(tricks)


def test_a_missing_header_is_one_cause_wherever_the_secret_stands_instead(telegram: Bench) -> None:
    broken = [
        telegram.tried(f"auth/{name}", answer(500))
        for name in ("missing", "query-secret", "body-secret", "elsewhere-cookie", "odd-latin1")
    ]
    found = telegram.judged("no_server_error", *broken)
    assert [(str(finding.cause), finding.occurrences) for finding in found] == [
        ("500:head:no-proof", 4),
        ("500:head:not-ascii", 1),
    ]
    # Where any wrong secret does it, the rest follows from that.
    (finding,) = telegram.judged("no_server_error", *broken, telegram.tried("auth/wrong", answer(500)))
    assert (str(finding.cause), finding.occurrences) == ("500:head:wrong-proof", 6)
    # Whatever is accepted instead of the secret is a cause of its own.
    let_in = [telegram.tried(f"auth/{name}", answer(200)) for name in ("query-secret", "body-secret")]
    assert len(telegram.judged("forged_refused", *let_in)) == 2


def test_a_framed_or_coded_body_is_not_taken_for_broken_json(telegram: Bench) -> None:
    broken = [
        telegram.tried(name, answer(500))
        for name in ("framing/chunks-word", "framing/chunks-overflow", "framing/length-overflow")
    ]
    broken += [telegram.tried(f"encoding/{name}", answer(500)) for name in ("gzip-checksum", "gzip-lying")]
    buckets = {str(finding.cause) for finding in telegram.judged("no_server_error", *broken)}
    assert buckets == {"500:technique:framing/chunks", "500:technique:framing/length", "500:technique:encoding/gzip"}


def test_a_coding_that_the_http_library_undoes_is_no_mistake_of_the_target(telegram: Bench) -> None:
    """aiohttp 3 answers 500 before any handler has seen the body."""
    library = msgspec.structs.replace(answer(500), headers=(("server", "Python/3.11 aiohttp/3.14.5"),))
    assert telegram.judged("no_server_error", telegram.tried("encoding/gzip-lying", library)) == ()
    assert len(telegram.judged("no_server_error", telegram.tried("encoding/type-xml", library))) == 1


def test_no_signature_is_one_cause(telegram: Bench) -> None:
    signed = Bench("standard_webhooks")
    names = ("missing", "missing-query", "missing-broken", "missing-empty", "time-stale")
    broken = [signed.tried(f"signed/{name}", answer(500)) for name in names]
    buckets = {str(finding.cause) for finding in signed.judged("no_server_error", *broken)}
    assert buckets == {"500:head:no-proof", "500:technique:signed/missing", "500:technique:signed/time"}


def test_kinds_that_a_sender_makes_up_are_not_causes() -> None:
    generic = Bench("json_webhook")
    case = generic.cases["json/root-object"]
    head = case.request.partition(b"\r\n\r\n")[0]
    bodies = [b'{"type":"%b"}' % kind for kind in (b"anything", b"chaosbot.ping")]
    made_up = [
        replace(
            case,
            name=f"generated/body~{number}",
            change=Change(Mechanism.KIND),
            segments=(Segment(head.replace(b"Length: 2", b"Length: %d" % len(body)) + b"\r\n\r\n" + body),),
        )
        for number, body in enumerate(bodies)
    ]
    broken = [generic.recorder.tried(CaseResult(case, "generated", answer(500), 1.0))[0] for case in made_up]
    (finding,) = generic.judged("no_server_error", *broken)
    assert finding.occurrences == 2
