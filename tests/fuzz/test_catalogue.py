"""The catalogue keeps its promises: what it covers, what it expects, who may send what."""

import json
import re
from collections import Counter, defaultdict
from time import process_time

import pytest

from chaosbot.core.case import Expect, Reach
from chaosbot.core.check import CHECKS
from chaosbot.core.dice import Dice
from chaosbot.core.platform import Endpoint
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.catalogue import cases, expectation, listing
from chaosbot.fuzz.catalogue.scenarios import listed_scenarios
from chaosbot.platforms.standard_webhooks import StandardWebhooks
from chaosbot.platforms.telegram import Telegram

SECRET = "s3cret-Token_9"
ENDPOINT = Endpoint("127.0.0.1:8000", "/webhook/telegram", SECRET)
TELEGRAM = Telegram()


@pytest.fixture(scope="module")
def catalogue():
    return cases(TELEGRAM, ENDPOINT, Dice(1))


# Each thing that a webhook fuzzer must send, item by item, as it stands in the names of the cases: a lost case shows here.
MUST = {
    "auth": "missing secret-empty wrong secret-prefix secret-case right-padded odd-257 odd-latin1 doubled-right-wrong "
    "doubled-wrong-right query-secret body-secret spoofed-x-forwarded-for method-get method-put method-head "
    "spoofed-forwarded unparsed-truncated costly-body",
    "json": "empty truncated-1 truncated-2 truncated-3 garbage-behind comment-before bom-before utf-16 utf8-cut utf8-overlong "
    "raw-nul root-null root-list root-string root-number",
    "numbers": "extra-nan extra-infinity id-1e999 id-minus-zero id-2p53+1 id-2p53-1 "
    "id-2p53 id-2p63 id-2p64 id-fraction id-digits-5000",
    "structure": "doubled-payload-null-last doubled-id-1-last key-proto key-nfc nested-lists-100000 nested-objects-100000 million-keys huge-string text-high text-low text-sql "
    "text-shell text-format",
    "framing": "length-short length-long length-twice length-differing chunks-length chunks-word "
    "chunks-oversized header-64k header-nul header-cr header-lf header-fold pipelined-garbage pipelined-smuggled tls-hello",
    "encoding": "type-plain type-absent json-charset gzip-sound gzip-double gzip-bomb gzip-lying gzip-coding-br expect-continue",
    "timing": "slow-head slow-body unread-answer halfclosed-body reset-body split-two-1 split-four-2 pipelined-50",
    "shape": "message-text/chat-dropped message-text/chat.id-null message-text/from.id-retyped message-text/text-wrapped "
    "message-text/chat-wrapped",
    "update_kinds": "unknown-object unknown-none two-message-editedmessage poll_answer message-later chat_boost",
    "sequence": "replay-first replay-second pipelined-2",
    "sequences": "redeliver other-body order-late reorder order-ahead together edit-first demoted burst",
    "identity": "nobody-admin bot-admin anonymous-admin channelbot-admin service-admin businessbot-admin id-negative "
    "id-bits52 id-string id-float id-true id-admin-string id-admin-float id-admin-doubled senderchat-admin",
    "chats": "migrate-to migrate-from group-super type-unknown changed-small changed-super",
    "messages": "number-id-zero entities-negative entities-past entities-surrogate entities-overlapping text-bidi",
    "callbacks": "message-absent message-inaccessible message-inline data-long65 data-absent data-admin "
    "message-foreign data-unknown",
    "commands": "otherbot-grant upper-grant caption-voice entity-none entity-late zerowidth-grant rtl-grant homoglyph-grant "
    "nbsp-grant newline-grant argument-long second-grant "
    "caption-document fullwidth-grant",
    "escalation": "grant-by-guest grant-by-user grant-by-developer traces-by-guest reply-admin forward-admin contact-admin "
    "mention-admin newmember-admin reply-quote-admin editedmessage-grant deeplink-admin username-admin firstname-admin "
    "self-grant revoke-by-guest",
    "objects": "planted-1 read-1 deleted-1 approve-first-by-guest",
    "files": "size-over-document name-upwards type-mismatch id-expired size-huge-document "
    "size-2gb-document id-pathless name-absolute",
}


SIGNED = {
    "standard": "missing garbage flipped time-stale time-future version rotation-first rotation-last body-spaced id-exchanged",
    "github": "missing garbage flipped unversioned version body-spaced",
    "stripe": "missing garbage flipped time-stale time-future version rotation-first body-spaced",
    "slack": "missing garbage flipped time-stale time-future version body-spaced",
}


@pytest.mark.parametrize("style", SIGNED)
def test_everything_that_must_be_sent_to_signed_hooks_is_there(style: str) -> None:
    endpoint = Endpoint(secret="c2VjcmV0LXNlY3JldC1zZWNyZXQ=")
    names = {case.name for case in cases(StandardWebhooks(style=style), endpoint, Dice(1))}
    words = f"{SIGNED[style]} replayed-first replayed-again resigned".split()
    assert [word for word in words if f"signed/{word}" not in names] == []


def test_everything_that_must_be_sent_is_there(catalogue) -> None:
    names = {case.name for case in catalogue} | {line.name for line in listed_scenarios(TELEGRAM)}
    missing = [
        f"{group}/{word}" for group, words in MUST.items() for word in words.split() if f"{group}/{word}" not in names
    ]
    assert not missing


def test_there_are_at_least_400_cases_with_unique_names(catalogue) -> None:
    assert len(catalogue) >= 400
    assert len({case.name for case in catalogue}) == len(catalogue)
    assert all(case.name.startswith(f"{case.group}/") for case in catalogue)


def test_building_it_takes_less_than_a_second() -> None:
    took = []
    for seed in range(3):
        began = process_time()
        cases(TELEGRAM, ENDPOINT, Dice(seed))
        took.append(process_time() - began)
    # 0.4 s of CPU, which neighbours do not take away; the bound leaves room for slower cores.
    assert min(took) < 2.0


def test_every_command_is_tried_from_every_tier_below_it(catalogue) -> None:
    names = {case.name for case in catalogue}
    for command, tier in TELEGRAM.commands.items():
        below = TELEGRAM.tiers[: TELEGRAM.tiers.index(tier)]
        assert {f"escalation/{command}-by-{lower}" for lower in below} <= names


def test_controls_come_before_what_is_compared_with_them(catalogue) -> None:
    seen = set()
    compared = 0
    for case in catalogue:
        if case.control:
            compared += 1
            assert case.control in seen, case.name
        seen.add(case.name)
    assert compared > 100


def test_an_attempt_says_the_same_words_as_its_control(catalogue) -> None:
    def text(case) -> str:
        message = json.loads(case.request.partition(b"\r\n\r\n")[2])["message"]
        return message["text"].replace(case.marker, "*")

    by_name = {case.name: case for case in catalogue}
    for command in TELEGRAM.commands:
        for tier in TELEGRAM.tiers:
            attempt = by_name.get(f"escalation/{command}-by-{tier}")
            if attempt is not None:
                assert text(attempt) == text(by_name[attempt.control])


def test_forgers_do_not_know_the_secret_and_everybody_else_does(catalogue) -> None:
    header = re.compile(rb"(?im)^x-telegram-bot-api-secret-token: *(.*?)[ \t]*\r$")
    for case in catalogue:
        given = header.findall(case.request[:70_000].partition(b"\r\n\r\n")[0] + b"\r\n")
        if case.threat is Threat.USER:
            assert given == [SECRET.encode()], case.name
        if case.threat is Threat.FORGER and "doubled" not in case.name:
            assert SECRET.encode() not in given, case.name


def test_without_a_secret_there_is_nothing_to_forge() -> None:
    open_ = cases(TELEGRAM, Endpoint(), Dice(1))
    assert not [case for case in open_ if case.group == "auth"]
    assert {case.threat for case in open_ if case.group == "json"} == {Threat.FORGER}


def test_strangers_have_no_effect(catalogue) -> None:
    lenient = {"auth/doubled-right-wrong", "auth/doubled-wrong-right", "auth/trailer-secret"}
    for case in catalogue:
        if case.threat is Threat.FORGER and case.name not in lenient:
            assert case.expect.reach is Reach.NONE, case.name
            open_to_all = "method" in case.name or case.group == "pages"  # a page on GET harms nobody
            assert open_to_all or not case.expect.allows_status(200), case.name


def test_no_case_forgives_a_server_error(catalogue) -> None:
    # 501 and 505 say "I do not speak that", which is right for methods, codings and versions; 503 is right for a burst.
    pardoned = {501, 505, 503}
    for case in catalogue:
        assert not {status for status in case.expect.statuses if status == 5 or 500 <= status < 600} - pardoned, (
            case.name
        )


def test_markers_chats_and_delivery_ids_are_each_case_s_own(catalogue) -> None:
    shared = {"sequence"}
    together = re.compile(
        r"(escalation|control|identity)/|callbacks/message-|objects/planted|chats/(migrate|changed)|commands/grant|update_kinds/(unknown|command)"
    )
    marks, ids, chats = Counter(), Counter(), defaultdict(list)
    for case in catalogue:
        if case.group in shared:
            continue
        marks[case.marker] += bool(case.marker)
        ids[case.update_id] += type(case.update_id) is int and case.update_id > 1000
        chats[case.chat].append(case.name)
    assert [mark for mark, count in marks.items() if count > 1] == []
    assert [number for number, count in ids.items() if count > 1] == []
    for chat, names in chats.items():
        if chat is not None and len(names) > 1:
            assert all(together.match(name) for name in names), (chat, names)


def test_the_marker_is_in_the_bytes(catalogue) -> None:
    for case in catalogue:
        if case.marker and case.group in ("escalation", "messages", "commands", "update_kinds"):
            assert case.marker.encode() in case.request, case.name


def test_rights_are_asked_for_test_ids_only(catalogue) -> None:
    for case in catalogue:
        for words in re.findall(rb"/(?:grant|revoke)(?:@\w+)? ([^\"\\]*)", case.request[:70_000]):
            subjects = [int(number) for number in re.findall(rb"(?<![\w.])\d{6,10}(?![\w.])", words)]
            assert all(2_000_000 <= number <= 2_000_099 for number in subjects), (case.name, words)
            assert not re.search(rb"(?<!@)\b(developer|admin)\b", words), case.name


def test_guests_stay_within_their_ids(catalogue) -> None:
    for case in catalogue:
        if isinstance(case.chat, int) and case.threat is Threat.USER and case.chat > 0:
            known = (
                range(1_000_000, 1_001_000),
                range(2_000_000, 2_000_100),
                range(3_000_000, 3_000_010),
                [999_999_999],
            )
            assert any(case.chat in ids for ids in known), case.name


def test_every_case_says_what_it_is_and_what_judges_it(catalogue) -> None:
    known = set(CHECKS.names())
    for case in catalogue:
        assert case.summary, case.name
        assert case.check in known, f"{case.name}: {case.check}"


def test_a_second_campaign_with_the_same_seed_sends_other_deliveries() -> None:
    later = Endpoint("127.0.0.1:8000", "/webhook/telegram", SECRET, started=1_900_000_000)
    one, two = cases(TELEGRAM, ENDPOINT, Dice(1)), cases(TELEGRAM, later, Dice(1))
    drawn = [
        [case.update_id for case in cases_ if not case.name.startswith("update_kinds/id-")] for cases_ in (one, two)
    ]
    assert len(set(drawn[0])) > 1000
    assert not set(drawn[0]) & set(drawn[1]) - {None}


def test_the_listing_says_it_in_words(catalogue) -> None:
    lines = {line.name: line for line in listing(catalogue)}
    assert len(lines) == len(catalogue)
    prefix = lines["auth/secret-prefix"]
    assert (prefix.group, prefix.threat, prefix.check) == ("auth", "forger", "secret_exact")
    assert prefix.expectation == "400 or 401 or 403 or 404; no effect"
    assert "never reads" in lines["timing/unread-answer"].summary
    assert "half-close" in lines["framing/length-long"].summary


def test_an_id_that_stands_there_twice_ends_with_the_admin_s(catalogue) -> None:
    (doubled,) = (case for case in catalogue if case.name == "identity/id-admin-doubled")
    ids = re.findall(rb'"from":{"id":(\d+),"id":(\d+),', doubled.request)
    assert [(len(first), int(second)) for first, second in ids] == [(7, TELEGRAM.population.admin_id)]


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        (Expect(), "2xx"),
        (Expect(frozenset({2, 4, 501}), close=True), "2xx or 4xx or 501; may close"),
        (Expect(within_s=2.5, reach=Reach.AT_MOST_ONCE), "2xx; within 2.5 s; at most one effect"),
        (Expect(reach=Reach.ONCE, text="x"), "2xx; exactly one effect; text intact"),
        (Expect(frozenset(), close=True, reach=Reach.NONE), "no answer; may close; no effect"),
    ],
)
def test_an_expectation_in_words(expect, words) -> None:
    assert expectation(expect) == words
