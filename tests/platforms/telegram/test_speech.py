"""Reading and writing Telegram's deliveries."""

import json
from timeit import repeat

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.marker import MARKER
from chaosbot.core.platform import Endpoint
from chaosbot.platforms.telegram import Telegram

TELEGRAM = Telegram()
ENDPOINT = Endpoint("127.0.0.1:8000", "/webhook/telegram", "s3cret-Token_9")


def facts(body):
    return TELEGRAM.facts("POST", "/anything", (), body if isinstance(body, bytes) else json.dumps(body).encode())


def test_a_request_is_what_telegram_sends() -> None:
    head, _, body = TELEGRAM.encode(ENDPOINT, {"update_id": 1, "message": {"text": "é🙂"}}).partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    named = dict(header.split(": ", 1) for header in headers)
    assert line == "POST /webhook/telegram HTTP/1.1"
    assert named == {
        "Host": "127.0.0.1:8000",
        "X-Telegram-Bot-Api-Secret-Token": "s3cret-Token_9",
        "Connection": "keep-alive",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    assert json.loads(body) == {"update_id": 1, "message": {"text": "é🙂"}}


def test_without_a_secret_there_is_no_header_for_it() -> None:
    assert b"secret" not in TELEGRAM.encode(Endpoint(), {}).lower()


def test_headers_of_the_endpoint_are_carried() -> None:
    endpoint = Endpoint(headers=(("X-Tenant", "a"), ("X-Odd", "caf\udce9")))
    data = TELEGRAM.encode(endpoint, {})
    assert b"X-Tenant: a\r\n" in data
    assert b"X-Odd: caf\xe9\r\n" in data


@pytest.mark.parametrize("value", [{"text": "a\ud800"}, {"update_id": 2**70}, [float("nan")]])
def test_what_a_strict_encoder_refuses_is_written_all_the_same(value) -> None:
    body = TELEGRAM.encode(ENDPOINT, value).partition(b"\r\n\r\n")[2]
    assert body


def test_bytes_are_sent_as_they_are() -> None:
    assert TELEGRAM.encode(ENDPOINT, b"{broken").endswith(b"Content-Length: 7\r\n\r\n{broken")


def test_the_facts_of_a_command() -> None:
    update = TELEGRAM.say("/skill rewrite cbm0123456789ab", Dice(1), tier="user", user=2_000_005)
    found = facts(update)
    assert found is not None
    assert (found.kind, found.chat, found.user) == ("message", 2_000_005, 2_000_005)
    assert (found.tier, found.command, found.marker) == ("user", "skill", "cbm0123456789ab")
    assert found.update_id == update["update_id"]


@pytest.mark.parametrize(
    ("user", "tier"),
    [
        (1_000_000, "guest"),
        (1_000_999, "guest"),
        (2_000_000, "user"),
        (2_000_099, "user"),
        (2_000_100, "guest"),
        (3_000_009, "developer"),
        (3_000_010, "guest"),
        (999_999_999, "admin"),
        (7, "guest"),
    ],
)
def test_the_tier_follows_from_the_id(user, tier) -> None:
    assert facts({"update_id": 1, "message": {"from": {"id": user}}}).tier == tier


def test_the_admin_can_be_another() -> None:
    body = json.dumps({"update_id": 1, "message": {"from": {"id": 42}}}).encode()
    assert Telegram(admin_id=42).facts("POST", "/", (), body).tier == "admin"


def test_a_callback_belongs_to_the_chat_of_its_message() -> None:
    query = {"id": "1", "from": {"id": 1_000_001}, "message": {"chat": {"id": -100}}, "data": "x"}
    found = facts({"update_id": 5, "callback_query": query})
    assert (found.kind, found.chat, found.user, found.command) == ("callback_query", -100, 1_000_001, None)


def test_without_a_chat_the_answer_belongs_to_the_user() -> None:
    assert facts({"update_id": 5, "inline_query": {"from": {"id": 9}}}).chat == 9


def test_an_unknown_kind_is_named() -> None:
    assert facts({"update_id": 5, "of_a_later_version": {"chat": {"id": 3}}}).kind == "of_a_later_version"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/help", "help"),
        ("/help@some_bot now", "help"),
        ("/GRANT 1", "GRANT"),
        ("/help\nnow", "help"),
        ("hello /help", None),
        ("/", None),
        ("/help-me", None),
        ("/ help", None),
        ("", None),
        (7, None),
    ],
)
def test_a_command_stands_at_the_start_of_a_text(text, command) -> None:
    assert facts({"update_id": 1, "message": {"text": text}}).command == command


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{broken",
        b"\xff\xfe",
        b"[" * 200_000,
        b'"text"',
        b"1e999",
        b'{"message":{}}',
        b"x" * (2 << 20),
    ],
)
def test_what_is_no_update_has_no_facts(body) -> None:
    assert facts(body) is None


@pytest.mark.parametrize("number", [None, True, 1.5, [], {}, "17", -1, 2**80])
@pytest.mark.parametrize(
    "payload", [None, [], 7, "text", {}, {"from": 1, "chat": []}, {"from": {"id": []}}, {"message": 1}]
)
@pytest.mark.parametrize("kind", ["message", "callback_query", "chat_boost", "poll", "nothing"])
def test_odd_updates_are_read_without_an_error(number, payload, kind) -> None:
    found = facts({"update_id": number, kind: payload})
    # Beyond 64 bits the body is no JSON for the parser in the hot path.
    assert found is None if number == 2**80 and found is None else found.kind == kind


@pytest.mark.parametrize("odd", [r'"a\ud800"', "NaN", "1" * 40])
def test_what_only_lenient_readers_take_has_its_facts(odd) -> None:
    message = f'{{"message_id": 1337, "chat": {{"id": 7}}, "text": {odd}}}'
    found = facts(
        f'{{"update_id": 1, "callback_query": {{"id": "9", "from": {{"id": 7}}, "message": {message}}}}}'.encode()
    )
    assert (found.chat, found.user, found.message, found.callback) == (7, 7, 1337, "9")


def test_other_methods_carry_no_updates() -> None:
    assert TELEGRAM.facts("GET", "/", (), b'{"update_id":1}') is None


def test_reading_facts_costs_little() -> None:
    body = TELEGRAM.encode(ENDPOINT, TELEGRAM.golden(Dice(1))["command/help"]).partition(b"\r\n\r\n")[2]
    fastest = min(repeat(lambda: TELEGRAM.facts("POST", "/", (), body), number=500, repeat=12)) / 500
    # About 5 µs alone on a core; the bound leaves room for neighbours.
    assert fastest < 60e-6


def test_a_fresh_delivery_differs_in_its_identity_only() -> None:
    update = TELEGRAM.golden(Dice(1))["message/reply"]
    one, two = TELEGRAM.fresh(update, Dice(1).at("a")), TELEGRAM.fresh(update, Dice(1).at("b"))
    assert TELEGRAM.fresh(update, Dice(1).at("a")) == one
    assert one["update_id"] != two["update_id"]
    assert (
        one["message"]["chat"]["id"] == one["message"]["from"]["id"] == one["message"]["reply_to_message"]["chat"]["id"]
    )
    assert MARKER.sub("", one["message"]["text"]) == MARKER.sub("", update["message"]["text"])
    assert len(MARKER.findall(one["message"]["text"])) == 1
    assert MARKER.findall(one["message"]["text"]) != MARKER.findall(two["message"]["text"])


def test_a_fresh_delivery_keeps_the_tier() -> None:
    for name, update in TELEGRAM.golden(Dice(1)).items():
        before = facts(update)
        after = facts(TELEGRAM.fresh(update, Dice(2).at(name)))
        assert (after.tier, after.kind, after.command) == (before.tier, before.kind, before.command), name


@pytest.mark.parametrize(
    "update", [None, [], 7, "x", {}, {"update_id": "1", "message": []}, {"message": {"from": 5, "chat": {"id": "a"}}}]
)
def test_a_broken_update_passes_through_fresh_unharmed(update) -> None:
    assert TELEGRAM.fresh(update, Dice(1)) == update


def test_what_a_person_says() -> None:
    plain = TELEGRAM.say("hello", Dice(1))
    assert plain["message"]["text"] == "hello"
    assert "entities" not in plain["message"]
    assert facts(plain).tier == "guest"
    command = TELEGRAM.say("/grant 2000001 user", Dice(1), tier="admin", kind="edited_message")
    assert command["edited_message"]["entities"] == [{"type": "bot_command", "offset": 0, "length": 6}]
    assert command["edited_message"]["edit_date"]
    assert facts(command).user == 999_999_999
