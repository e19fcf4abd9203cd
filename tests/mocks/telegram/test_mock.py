"""The mock's answers without a socket: every method, every body, nothing that makes it stumble."""

from __future__ import annotations

import inspect
import itertools
import json
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
import telegram
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from chaosbot.core.event import ApiCalled, Event, Trouble, from_json, to_json
from chaosbot.core.mock import MockAnswer, MockRequest
from chaosbot.mocks.telegram import Script
from chaosbot.mocks.telegram.mock import BotApiMock, reply_in_response
from chaosbot.mocks.telegram.results import API_VERSION, METHODS

SECRET = "AAF-thirty-five-characters-of-token-x"
TOKEN = f"4242:{SECRET}"
JSON = (("Content-Type", "application/json"),)


@cache
def aiogram_methods() -> dict[str, Any]:
    """The methods by name, as aiogram has them: it takes seconds to load, which only who runs these tests should wait for."""
    import aiogram.methods  # noqa: PLC0415

    return {
        method.__api_method__: method
        for _, method in inspect.getmembers(aiogram.methods, inspect.isclass)
        if method is not aiogram.methods.TelegramMethod and isinstance(getattr(method, "__api_method__", None), str)
    }


# One body that gives every method what it may need.
EVERYTHING = {
    "chat_id": 5,
    "text": "x",
    "message_id": 3,
    "message_ids": [1, 2],
    "callback_query_id": "1",
    "file_id": "z",
    "user_id": 3,
    "media": [{"type": "photo", "media": "x"}, {"type": "video", "media": "y", "caption": "c"}],
    "options": [{"text": "a"}, {"text": "b"}],
    "question": "?",
    "latitude": 1.5,
    "longitude": "2.5",
    "prices": [{"label": "a", "amount": 5}],
    "checklist": {"title": "t", "tasks": [{"id": 1, "text": "a"}]},
    "rich_message": {"html": "<b>x</b>"},
    **dict.fromkeys(("photo", "audio", "document", "video", "animation", "voice", "video_note"), "an-id"),
    **dict.fromkeys(("live_photo", "sticker"), "an-id"),
}


class Seen:
    def __init__(self, **more: Any) -> None:
        self.events: list[Event] = []
        self.mock = BotApiMock(lambda: 1.5, self.events.append, **more)

    def ask(self, method: str, body: object = None, *, verb: str = "POST", query: str = "") -> MockAnswer:
        data = b"" if body is None else orjson.dumps(body)
        return self.mock.answer(MockRequest(verb, f"/bot{TOKEN}/{method}{query}", JSON, data))

    def result(self, method: str, body: object) -> Any:
        answer = self.ask(method, body)
        assert answer.status == 200, answer
        return json.loads(answer.body)["result"]


def test_every_method_of_the_bot_api_answers_what_aiogram_accepts() -> None:
    for name, method in sorted(aiogram_methods().items()):
        seen = Seen()
        result = seen.result(name, EVERYTHING)
        TypeAdapter(method.__returning__).validate_python(result)
        assert [event.method for event in seen.events] == [name]


def test_no_method_is_known_that_the_bot_api_does_not_have() -> None:
    import aiogram  # noqa: PLC0415

    if aiogram.__api_version__ != API_VERSION:
        pytest.skip("aiogram speaks another version of the Bot API")
    assert {name for name, _ in METHODS.values()} == set(aiogram_methods())


def test_python_telegram_bot_accepts_every_message() -> None:
    methods = aiogram_methods()
    names = sorted(name for name in methods if name.startswith("send") and "chat_id" in methods[name].model_fields)
    assert len(names) > 20
    for name in names:
        result = Seen().result(name, EVERYTHING)
        for message in result if isinstance(result, list) else [result] * (not isinstance(result, bool)):
            parsed = telegram.Message.de_json(message, None)
            assert parsed.chat.id == 5
            assert parsed.message_id > 0


def test_message_ids_rise_and_workers_can_share_them() -> None:
    seen = Seen(ids=itertools.count(2, 2))
    ids = [seen.result("sendMessage", {"chat_id": 1, "text": "x"})["message_id"] for _ in range(5)]
    assert ids == [2, 4, 6, 8, 10]


BODIES = {
    "json": (JSON, orjson.dumps({"chat_id": -5, "text": "é cbm0123456789ab"})),
    "form": (
        (("content-type", "application/x-www-form-urlencoded; charset=utf-8"),),
        urlencode({"chat_id": -5, "text": "é cbm0123456789ab"}).encode(),
    ),
    "multipart": (
        (("content-type", 'multipart/form-data; boundary="b-1"'),),
        b'--b-1\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n-5\r\n'
        b'--b-1\r\nContent-Disposition: form-data; name="text"\r\nContent-Type: text/plain\r\n\r\n'
        + "é cbm0123456789ab".encode()
        + b"\r\n--b-1--\r\n",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_kind_of_body_says_the_same(name: str) -> None:
    seen = Seen()
    headers, body = BODIES[name]
    answer = seen.mock.answer(MockRequest("POST", f"/bot{TOKEN}/SENDMESSAGE", headers, body, exchange="e1"))
    assert json.loads(answer.body)["result"]["text"] == "é cbm0123456789ab"
    assert seen.events == [
        ApiCalled(1.5, "sendMessage", -5, "é cbm0123456789ab", ("cbm0123456789ab",), 200, exchange="e1", message=1)
    ]


def test_a_call_may_stand_in_the_query() -> None:
    seen = Seen()
    answer = seen.mock.answer(MockRequest("GET", f"/bot{quote(TOKEN)}/sendMessage?chat_id=7&text=hi%20there", (), b""))
    assert json.loads(answer.body)["result"]["text"] == "hi there"


REFUSALS = [
    ("sendMessage", {"text": "x"}, 400, "chat_id is empty"),
    ("sendMessage", {"chat_id": 1, "text": "  "}, 400, "message text is empty"),
    ("sendMessage", {"chat_id": 1, "text": "x" * 4097}, 400, "message is too long"),
    ("sendPhoto", {"chat_id": 1}, 400, "there is no photo"),
    ("sendPhoto", {"chat_id": 1, "photo": "p", "caption": "x" * 1025}, 400, "caption is too long"),
    ("editMessageText", {"chat_id": 1, "text": "x"}, 400, "identifier is not specified"),
    ("answerCallbackQuery", {}, 400, "query is too old"),
    ("getFile", {}, 400, "file_id"),
    ("getFile", {"file_id": "cbfile-video-20971521-1"}, 400, "file is too big"),
    ("noSuchMethod", {}, 404, "Not Found"),
    (
        "sendMessage",
        {"chat_id": 1, "text": "x", "reply_markup": {"inline_keyboard": [[{"text": "a", "callback_data": "ü" * 33}]]}},
        400,
        "BUTTON_DATA_INVALID",
    ),
]


@pytest.mark.parametrize(("method", "body", "status", "words"), REFUSALS)
def test_what_the_real_server_refuses_is_refused(method: str, body: object, status: int, words: str) -> None:
    seen = Seen()
    answer = seen.ask(method, body)
    document = json.loads(answer.body)
    assert (answer.status, document["ok"], document["error_code"]) == (status, False, status)
    assert words in document["description"]
    assert [event.status for event in seen.events] == [status]


def test_an_edit_that_changes_nothing_is_refused() -> None:
    seen = Seen()
    keys = {"inline_keyboard": [[{"text": "a", "callback_data": "b"}]]}
    made = seen.result("sendMessage", {"chat_id": 5, "text": "x", "reply_markup": keys})["message_id"]
    edits = [
        ("editMessageText", {"text": "x", "reply_markup": json.dumps(keys)}, 400),
        ("editMessageReplyMarkup", {"reply_markup": keys}, 400),
        ("editMessageText", {"text": "x"}, 200),
        ("editMessageText", {"text": "x", "parse_mode": "HTML"}, 200),
        ("editMessageReplyMarkup", {}, 400),
        ("editMessageReplyMarkup", {"reply_markup": keys}, 200),
    ]
    for method, more, status in edits:
        answer = seen.ask(method, {"chat_id": 5, "message_id": made, **more})
        assert answer.status == status, (method, more)
        assert ("message is not modified" in str(json.loads(answer.body).get("description"))) == (status == 400)


def test_what_stands_in_a_message_of_which_nothing_is_known_may_be_anything() -> None:
    seen = Seen()
    body = {"chat_id": 5, "message_id": 70, "text": "x"}
    assert [seen.ask("editMessageText", body).status for _ in range(2)] == [200, 400]
    assert seen.ask("editMessageText", body | {"message_id": 71}).status == 200


def test_a_path_that_is_not_the_bot_apis_is_no_call() -> None:
    seen = Seen()
    for path in ("/", "/bot", f"/bot{TOKEN}", f"/bot{TOKEN}/", "/health", f"/bot{TOKEN}/a/b"):
        assert seen.mock.answer(MockRequest("GET", path, (), b"")).status == 404
    assert seen.events == []


def test_a_broken_body_is_refused_but_the_call_is_known() -> None:
    seen = Seen()
    assert seen.mock.answer(MockRequest("POST", f"/bot{TOKEN}/sendMessage", JSON, b'{"chat_id": 1')).status == 400
    assert [event.method for event in seen.events] == ["sendMessage"]


def test_updates_cannot_be_polled_beside_a_webhook() -> None:
    seen = Seen()
    assert seen.ask("getUpdates", {"timeout": 30}).hold_s == 30
    seen.ask("setWebhook", {"url": "https://example.com/"})
    assert seen.ask("getUpdates", {}).status == 409
    seen.ask("deleteWebhook", {})
    assert seen.ask("getUpdates", {}).status == 200


@pytest.mark.parametrize("size", [0, 1, 9, 4096, 1_000_000, 20 * 1024 * 1024])
def test_a_download_has_the_promised_size_on_any_worker(size: int) -> None:
    described = Seen().result("getFile", {"file_id": f"cbfile-document-{size}-9"})
    answer = Seen().mock.answer(MockRequest("GET", f"/file/bot{TOKEN}/{described['file_path']}", (), b""))
    assert (answer.status, len(answer.body), described["file_size"]) == (200, size, size)


def test_a_file_may_have_no_path() -> None:
    described = Seen().result("getFile", {"file_id": "cbpathless1"})
    assert described["file_id"] == "cbpathless1"
    assert "file_path" not in described


@pytest.mark.parametrize("path", ["documents/99999999/file_1.pdf", "../etc/passwd", "documents/x/file_1.pdf", "x"])
def test_no_other_file_can_be_downloaded(path: str) -> None:
    assert Seen().mock.answer(MockRequest("GET", f"/file/bot{TOKEN}/{path}", (), b"")).status == 404


def test_long_texts_are_bounded_but_searched_for_markers() -> None:
    seen = Seen()
    seen.ask("sendMessage", {"chat_id": 1, "text": "x" * 4000 + " cbm0123456789ab"})
    (event,) = seen.events
    assert isinstance(event, ApiCalled)
    assert len(event.text) == 1024
    assert event.markers == ("cbm0123456789ab",)


def test_markers_are_found_in_nested_words_too() -> None:
    seen = Seen()
    seen.ask("answerInlineQuery", {"inline_query_id": "1", "results": [{"title": "cbm0123456789ab"}]})
    assert seen.events[0].markers == ("cbm0123456789ab",)


@pytest.mark.parametrize(
    ("method", "body", "member"), [("banChatMember", {"user_id": "7"}, 7), ("getChatMember", {"user_id": 7}, None)]
)
def test_a_call_that_changes_what_a_member_may_do_names_them(method: str, body: dict, member: int | None) -> None:
    seen = Seen()
    seen.result(method, {"chat_id": -5} | body)
    assert [event.member for event in seen.events if isinstance(event, ApiCalled)] == [member]
    said = reply_in_response(json.dumps({"method": method, "chat_id": -5} | body).encode())
    assert said is None or said.member == member


def test_the_targets_admin_administers_every_group() -> None:
    seen = Seen(admin=9)
    told = [seen.result("getChatMember", {"chat_id": -5, "user_id": user})["status"] for user in (8, 9)]
    assert told == ["member", "creator"]
    assert [one["user"]["id"] for one in seen.result("getChatAdministrators", {"chat_id": -5})] == [9]


def test_scripts_fail_the_first_calls_of_their_method_only() -> None:
    seen = Seen(scripts=[Script(500, "sendMessage", first=2)])
    statuses = [seen.ask("sendMessage", {"chat_id": 1, "text": "x"}).status for _ in range(4)]
    assert statuses == [500, 500, 200, 200]
    assert Seen(scripts=[Script(500, "sendMessage", first=2)]).ask("getMe", {}).status == 200


def test_a_stand_in_that_breaks_is_trouble_and_not_a_bots_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setitem(METHODS, "getme", ("getMe", broken))
    seen = Seen()
    assert seen.ask("getMe", {}).status == 500
    assert seen.events[0] == Trouble(1.5, "mock", "getMe: RuntimeError: broken")
    assert seen.events[1].status == 500


def test_a_call_answered_by_a_fault_is_noted_all_the_same() -> None:
    seen = Seen()
    body = orjson.dumps({"chat_id": 9, "text": "lost"})
    seen.mock.note(MockRequest("POST", f"/bot{TOKEN}/sendMessage", JSON, body, "e9"), status=None)
    assert seen.events == [ApiCalled(1.5, "sendMessage", 9, "lost", status=None, exchange="e9")]


@pytest.mark.parametrize(
    ("body", "method"),
    [
        ({"method": "sendMessage", "chat_id": 5, "text": "hi cbm0123456789ab"}, "sendMessage"),
        ({"method": "sendmessage", "chat_id": 5, "text": "hi"}, "sendMessage"),
        ({"method": "setWebhook", "url": "https://evil.example/"}, None),
        ({"method": "DELETEWEBHOOK"}, None),
        ({"method": "close"}, None),
        ({"method": "logOut"}, None),
        ({"method": "getMe"}, None),
        ({"method": "noSuchMethod"}, None),
        ({"ok": True}, None),
        (["method"], None),
    ],
)
def test_a_reply_in_the_webhooks_answer_is_a_call_unless_telegram_ignores_it(body: object, method: str | None) -> None:
    seen = reply_in_response(orjson.dumps(body))
    assert (seen and seen.method) == method
    if seen:
        assert (seen.via, seen.chat, seen.status) == ("reply", 5, 200)


def test_a_reply_that_telegram_would_refuse_is_recorded_as_refused() -> None:
    assert reply_in_response(b'{"method": "sendMessage", "text": "to nobody"}').status == 400


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(sorted(name for name, _ in METHODS.values())),
    st.dictionaries(st.sampled_from([*EVERYTHING, "reply_markup", "reply_parameters", "inline_message_id"]), JSONS),
    st.sampled_from(["json", "form", "nested"]),
)
@settings(max_examples=400, deadline=None)
def test_nothing_that_a_bot_may_send_makes_it_stumble(method: str, odd: dict[str, Any], kind: str) -> None:
    seen = Seen()
    params = EVERYTHING | odd
    if kind == "json":
        headers, body = JSON, json.dumps(params).encode()
    else:
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
        headers = (("content-type", "application/x-www-form-urlencoded"),)
        body = urlencode(texts, errors="replace").encode()
    answer = seen.mock.answer(MockRequest("POST", f"/bot{TOKEN}/{method}", headers, body))
    assert answer.status in (200, 400, 409)
    assert not [event for event in seen.events if isinstance(event, Trouble)]
    document = json.loads(answer.body)
    assert document["ok"] is (answer.status == 200)
    (event,) = seen.events
    assert from_json(orjson.loads(orjson.dumps(to_json(event)))) == event


@given(st.text(max_size=40), st.binary(max_size=200), st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_request_at_all_is_answered(path: str, body: bytes, content_type: str) -> None:
    seen = Seen()
    for prefix in ("/", f"/bot{TOKEN}/", f"/file/bot{TOKEN}/"):
        answer = seen.mock.answer(MockRequest("POST", prefix + path, (("content-type", content_type),), body))
        assert answer.status in (200, 400, 404)
    multipart = (("content-type", "multipart/form-data; boundary=b"),)
    assert seen.mock.answer(MockRequest("POST", "/bot1:a/getMe", multipart, b"--b" + body)).status in (200, 400)
    assert not [event for event in seen.events if isinstance(event, Trouble)]
    assert SECRET not in repr(seen.events)


@pytest.mark.parametrize("method", ["forwardMessage", "copyMessage"])
def test_what_is_passed_on_tells_where_it_comes_from(method: str) -> None:
    seen = Seen()
    made = seen.result(method, {"chat_id": 1, "from_chat_id": 5, "message_id": 9})
    (event,) = seen.events
    assert isinstance(event, ApiCalled)
    assert (event.chat, event.origin, event.original, event.message) == (1, 5, 9, made["message_id"])
