"""What platforms of signed webhooks share: kinds, transports, deliveries of their own, and cases as changes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from chaosbot.core.case import Answer
from chaosbot.core.check import CHECKS
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.kit import RawRequest
from chaosbot.core.platform import PLATFORMS, Endpoint, Platform
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.mutations import mutations, product
from chaosbot.platforms._generic import alike

WHERE = Endpoint("127.0.0.1:1", "/hook", "chaosbot-secret", started=1767225600)
PLAIN = {
    "discord": {},
    "github": {},
    "messenger": {"verify_token": "t"},
    "slack": {},
    "stripe": {},
    "twilio": {},
    "whatsapp": {},
}


@pytest.fixture(params=PLAIN)
def platform(request: Any) -> Platform:
    return PLATFORMS.build(request.param, PLAIN[request.param])


def test_the_kind_that_is_sent_is_the_kind_that_is_read(platform: Platform) -> None:
    for name, update in platform.golden(Dice(2)).items():
        facts = platform.read(platform.encode(WHERE, update))
        assert facts is not None
        assert facts.kind == name.partition("/")[0], name


def test_a_fresh_delivery_has_ids_of_its_own_and_the_same_form(platform: Platform) -> None:
    one, two = (
        platform.read(platform.encode(WHERE, platform.golden(Dice(seed))[platform.canary()])) for seed in (1, 2)
    )
    assert one is not None
    assert two is not None
    assert one.update_id != two.update_id
    assert (one.chat, one.user) != (two.chat, two.user)
    assert one.marker
    assert one.marker != two.marker
    assert len(str(one.chat)) == len(str(two.chat))
    assert one.tenant == two.tenant


@pytest.mark.quick(3)
def test_mutations_change_the_payload_and_are_signed_again(platform: Platform) -> None:
    pairs = product(platform, Dice(1))
    made = [case for case, _ in zip(mutations(platform, WHERE, Dice(1), pairs), range(300), strict=False)]
    assert len(made) == 300
    kinds = {one.path[0] for one, _ in pairs.pairs}
    assert kinds == {name.partition("/")[0] for name in platform.golden(Dice(0))}
    assert platform.encode(WHERE, platform.golden(Dice(0))[platform.canary()]).startswith(b"POST")
    for case in made:
        again = platform.resigned(WHERE.secret, case.request, case.request, 0)
        assert again in (case.request, None), case.name


def test_cases_say_who_sends_them_and_what_they_expect(platform: Platform) -> None:
    cases = platform.catalogue(WHERE, Dice(1))
    assert len({case.name for case in cases}) == len(cases) > 40
    assert any(case.group == "handshake" for case in cases) or platform.name in ("stripe", "twilio")
    for case in cases:
        assert case.expect.statuses, case.name
        # Slack's check of the certificate is unsigned, and answered.
        if case.threat is Threat.FORGER and "replayed" not in case.name and "ssl-check" not in case.name:
            assert 2 not in case.expect.statuses, case.name


def test_each_way_of_travelling_is_tried_without_signature() -> None:
    slack = PLATFORMS.build("slack", {})
    bare = [one for one in slack.catalogue(WHERE, Dice(1)) if one.group == "unsigned"]
    kinds = {RawRequest.of(one.request).header("Content-Type") for one in bare}
    assert kinds == {b"application/json", b"application/x-www-form-urlencoded"}
    assert {"unsigned/command", "unsigned/block_actions", "unsigned/message"} <= {one.name for one in bare}
    assert not any(RawRequest.of(one.request).header(slack.proof) for one in bare)
    assert all(one.threat is Threat.FORGER and not one.expect.allows_status(200) for one in bare if one.expect)


def test_only_some_kinds_are_sent_where_the_target_takes_no_others() -> None:
    slack = PLATFORMS.build("slack", {"only": "command, message/im"})
    assert set(slack.golden(Dice(0))) == {"command", "command/empty", "message/im"}
    assert slack.canary() in slack.golden(Dice(0))
    with pytest.raises(ConfigError, match=r"only: unknown kind 'nope'.*Available: .*app_mention"):
        PLATFORMS.build("slack", {"only": "nope"})


def test_a_flow_is_of_one_person_about_one_thing_and_each_step_is_a_delivery(platform: Platform) -> None:
    for journey in platform.journeys()[1:]:
        assert journey.ordered
        built = [platform.build(task.name, 1, 10 + nth, Dice(3), WHERE) for nth, task in enumerate(journey.tasks)]
        facts = [one.facts for one in built]
        assert all(facts), journey.name
        for about in ("chat", "user"):
            assert len({getattr(one, about) for one in facts} - {None}) <= 1, (journey.name, about)
        ids = [one.update_id for one in facts if one.update_id is not None]
        assert len(set(ids)) == len(ids)
        other = platform.build(journey.tasks[0].name, 1, 10, Dice(4), WHERE)
        assert other.data != built[0].data
    with pytest.raises(UnknownName):
        platform.build("dialog/no-such-step", 1, 1, Dice(1), WHERE)


def test_stripe_s_and_github_s_flows_are_about_one_object() -> None:
    stripe, github = (PLATFORMS.build(name, {}) for name in ("stripe", "github"))
    made = [
        stripe.build(f"payment/payment_intent.{what}", 1, nth, Dice(3), WHERE)
        for nth, what in enumerate(("created", "succeeded"))
    ]
    first, second = (json.loads(one.data.partition(b"\r\n\r\n")[2]) for one in made)
    assert first["data"]["object"]["id"] == second["data"]["object"]["id"]
    assert first["id"] != second["id"]
    made = [
        github.build(f"issue/issues{what}", 1, nth, Dice(3), WHERE)
        for nth, what in enumerate(("", "/labeled", "/closed"))
    ]
    told = [json.loads(one.data.partition(b"\r\n\r\n")[2]) for one in made]
    assert [one["action"] for one in told] == ["opened", "labeled", "closed"]
    assert len({one["issue"]["number"] for one in told}) == 1


def test_twilio_names_each_delivery_by_a_token_of_its_own_that_comes_again_with_it() -> None:
    twilio = PLATFORMS.build("twilio", {})
    first, second = (twilio.encode(WHERE, twilio.made("message", Dice(seed))) for seed in (1, 2))
    tokens = [
        RawRequest.of(one).header("I-Twilio-Idempotency-Token")
        for one in (first, second, twilio.again(first, WHERE.secret, 1, "late", 9))
    ]
    assert len(tokens[0] or b"") == 36
    assert tokens[0] == tokens[2] != tokens[1]


def test_a_form_carries_a_payload_of_json() -> None:
    for name, kind in (("slack", "block_actions"), ("github", "push")):
        made = PLATFORMS.build(name, {"form": True} if name == "github" else {})
        request = RawRequest.of(made.encode(WHERE, made.golden(Dice(1))[kind]))
        assert request.header("Content-Type") == b"application/x-www-form-urlencoded"
        assert isinstance(json.loads(parse_qs(request.body.decode())["payload"][0]), dict)


def test_meta_asks_by_get_without_signature_and_escapes_what_it_signs() -> None:
    made = PLATFORMS.build("whatsapp", {"verify_token": "a token"})
    golden = made.golden(Dice(1))
    asked = made.encode(WHERE, golden["handshake"])
    assert asked.startswith(
        b"GET /hook?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=a+token HTTP/1.1\r\n"
    )
    assert b"x-hub-signature" not in asked.lower()
    body = RawRequest.of(made.encode(WHERE, golden["messages/emoji"])).body
    assert body.isascii()
    assert b"\\u2615" in body
    assert b"1\\/2" in body
    assert "handshake" not in PLATFORMS.build("whatsapp", {}).golden(Dice(1))


@pytest.mark.parametrize("url", ["bot.example.com", "ftp://x", "https://", "https://bot.example.com/sms"])
def test_a_public_url_is_scheme_and_host(url: str) -> None:
    with pytest.raises(ConfigError, match="write for example https://"):
        PLATFORMS.build("twilio", {"url": url})


def test_the_public_url_is_signed_instead_of_the_requests_own() -> None:
    near, far = (PLATFORMS.build("twilio", options) for options in ({}, {"url": "https://bot.example.com"}))
    update = near.golden(Dice(1))["message"]
    assert near.encode(WHERE, update) != far.encode(WHERE, update)
    assert far.resigned(WHERE.secret, far.encode(WHERE, update), far.encode(WHERE, update)) == far.encode(WHERE, update)


@pytest.mark.parametrize(
    ("platform_", "body", "methods"),
    [
        ("slack", b'{"response_type":"ephemeral","text":"hi"}', ["response"]),
        ("slack", b'{"response_action":"errors","errors":{}}', ["view.errors"]),
        ("slack", b"", []),
        ("slack", b"[1]", []),
        ("discord", b'{"type":4,"data":{"content":"hi"}}', ["interaction.message"]),
        ("discord", b'{"type":5}', ["interaction.deferred"]),
        ("discord", b'{"type":1}', []),
        ("twilio", b"<Response><Message>hi</Message><Dial>1</Dial></Response>", ["twiml.Message", "twiml.Dial"]),
        ("twilio", b"ok", []),
        ("github", b'{"text":"x"}', []),
    ],
)
def test_answers_are_read_as_the_platform_reads_them(platform_: str, body: bytes, methods: list[str]) -> None:
    assert [call.method for call in PLATFORMS.build(platform_, {}).effects(body)] == methods


@pytest.mark.parametrize(
    ("answer", "kind", "body", "wrong"),
    [
        (Answer('{"type":1}', types=("application/json",)), "application/json; charset=utf-8", b'{ "type": 1 }', ""),
        (Answer('{"type":1}'), "", b'{"type":2}', "not exactly"),
        (Answer("42"), "text/plain", b"42\n", ""),
        (Answer(holds="<Response", types=("text/xml",)), "application/json", b"<Response/>", "content type"),
        (Answer(holds="<Response", empty=True), "", b"", ""),
        (Answer(lacks="<Dial>"), "text/xml", b"<Dial>1</Dial>", "holds"),
    ],
)
def test_an_answer_is_right_or_says_what_is_wrong(answer: Answer, kind: str, body: bytes, wrong: str) -> None:
    told = answer.wrong(kind, body)
    assert wrong in told
    assert bool(told) == bool(wrong)


@pytest.mark.parametrize(
    "value",
    [
        "C02GENERAL1",
        "evt_1NG8Du2eZvKYlo2CUI79vXWy",
        "a3276b1a-cc82-c1bf",
        "+15550001122",
        "845027738276462632",
        7001347,
        "SM1f0e8a",
    ],
)
def test_another_id_has_the_same_form(value: int | str) -> None:
    made = alike(value, Dice(5))
    assert type(made) is type(value)
    assert made != value
    assert [letter.isdigit() for letter in str(made)] == [letter.isdigit() for letter in str(value)]


ACCOUNTS = {
    "discord": ("290926798626357777", "290926798626358888"),
    "github": ("park/widgets", "other/widgets"),
    "slack": ("T0PARK00001", "T0OTHER0002"),
    "stripe": ("acct_park", "acct_other"),
    "twilio": ("AC" + "1" * 32, "AC" + "2" * 32),
    "messenger": ("102290129340398", "999888777666555"),
    "whatsapp": ("102290129340398", "999888777666555"),
}
TOLD = {
    "privileged": "/deploy now",
    "admin": "16505550000",
    "admin_name": "Boss",
}


@pytest.fixture(params=PLAIN)
def informed(request: Any) -> Platform:
    own, other = ACCOUNTS[request.param]
    return PLATFORMS.build(request.param, PLAIN[request.param] | TOLD | {"tenant": own, "other_tenant": other})


def test_doubts_are_the_same_ones_each_time_as_deliveries_of_their_own(informed: Platform) -> None:
    one, two = (tuple(informed.doubts(WHERE, Dice(seed))) for seed in (1, 2))
    assert [doubt.name for doubt in one] == [doubt.name for doubt in two]
    assert len({doubt.name for doubt in one}) == len(one) > 0
    assert not {doubt.doubtful for doubt in one} & {doubt.doubtful for doubt in two}
    assert {doubt.check for doubt in one} <= set(CHECKS.names())
    for doubt in one:
        assert doubt.doubtful not in (doubt.rightful, doubt.plain)


@pytest.mark.parametrize("name", ["slack", "discord", "whatsapp"])
def test_a_press_is_of_the_button_that_was_shown_and_by_somebody_else(name: str) -> None:
    own, other = ACCOUNTS[name]
    platform = PLATFORMS.build(name, PLAIN[name] | TOLD | {"tenant": own, "other_tenant": other})
    presses = tuple(platform.presses(WHERE, Dice(1), "undo-4711\t17"))
    assert presses
    for one in presses:
        assert b"undo-4711" in one.rightful
        assert b"undo-4711" in one.doubtful
        assert (b"16505550000" in one.rightful, b"16505550000" in one.doubtful) == (True, False)
        assert platform.resigned(WHERE.secret, one.doubtful, one.doubtful, 0) == one.doubtful


def test_what_is_doubted_is_signed_all_the_same(informed: Platform) -> None:
    for doubt in informed.doubts(WHERE, Dice(1)):
        for request in filter(None, (doubt.rightful, doubt.doubtful, doubt.plain, doubt.before)):
            assert informed.resigned(WHERE.secret, request, request, 0) == request, doubt.name
            assert informed.read(request) is not None, doubt.name


def test_without_being_told_nothing_is_claimed(platform: Platform) -> None:
    told = {doubt.check for doubt in platform.doubts(WHERE, Dice(1))}
    assert told <= {"kind_as_signed", "replay_recognised"}


def test_the_accounts_own_deliveries_are_in_its_account_and_the_others_in_the_other(informed: Platform) -> None:
    own, other = (one.encode() for one in ACCOUNTS[informed.name])
    found = [doubt for doubt in informed.doubts(WHERE, Dice(1)) if doubt.check == "tenants_apart"]
    assert found
    for doubt in found:
        # As JSON may be written: with escaped slashes.
        assert (own in doubt.rightful, other in doubt.rightful) == (True, False), doubt.name
        assert (own in doubt.doubtful, other in doubt.doubtful) == (False, True), doubt.name


def test_an_account_of_another_form_is_refused_with_one_of_the_right_form() -> None:
    with pytest.raises(ConfigError, match=r"tenant: 'park' looks like no account of whatsapp; write one like \d+"):
        PLATFORMS.build("whatsapp", {"tenant": "park"})


def test_batches_hold_all_their_members_and_the_odd_one_between_them() -> None:
    for name in ("whatsapp", "messenger"):
        platform = PLATFORMS.build(name, PLAIN[name])
        made = platform.batches(Dice(4))
        assert len({batch.name for batch in made}) == len(made) >= 8
        for batch in made:
            whole, mixed = (platform.encode(WHERE, update) for update in (batch.whole, batch.mixed))
            chats = [str(platform.read(platform.encode(WHERE, one)).chat) for one in batch.members]
            assert len(set(chats)) == 2
            assert all(chat.encode() in request for chat in chats for request in (whole, mixed))
            assert len(mixed) > len(whole)


def test_a_payload_moves_to_an_account_whose_id_has_the_form_of_its_own() -> None:
    github = PLATFORMS.build("github", {"tenant": "park/widgets"})
    (payload,) = github.golden(Dice(1))["issue_comment"].values()
    assert payload["repository"]["full_name"] == "park/widgets"
    assert payload["repository"]["owner"]["login"] != "park/widgets"
    stripe = PLATFORMS.build("stripe", {"tenant": "acct_park"})
    (event,) = stripe.golden(Dice(1))["charge.succeeded"].values()
    assert event["account"] == "acct_park"


def test_members_that_a_case_adds_belong_to_its_own_delivery() -> None:
    whatsapp = PLATFORMS.build("whatsapp", {})
    made = {one.name: one for one in whatsapp.catalogue(WHERE, Dice(1))}
    for name in ("batch/entries", "batch/messages", "batch/poisoned-last"):
        body = json.loads(RawRequest.of(made[name].request).body)
        people = [
            message
            for entry in body["entry"]
            for message in entry["changes"][0]["value"]["messages"]
            if message["type"] == "text"
        ]
        assert len({message["id"] for message in people}) == len(people)
        assert made[name].update_id in {message["id"] for message in people}
        assert "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTdCNTg5RjY1" not in str(body)
