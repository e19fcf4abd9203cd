"""The described mocks: calls are named, joined and answered; the vendors' clients take the answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any
from urllib.parse import urlencode

import pytest
from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient

from chaosbot.core.event import ApiCalled, Event
from chaosbot.core.mock import MOCKS, Mock, MockRequest, MockServices
from chaosbot.core.platform import PLATFORMS
from chaosbot.mocks.server import MockListener, MockServer

MARK = "cbm0123456789ab"


def asked(name: str, request: MockRequest) -> tuple[int, Any, ApiCalled]:
    """The answer of a mock, and the call that it recorded."""
    events: list[Event] = []
    api = MOCKS.build(name, {}).api(MockServices(lambda: 1.0, events.append, itertools.count(7)))
    answer = api.answer(request)
    (call,) = [event for event in events if isinstance(event, ApiCalled)]
    return answer.status, json.loads(answer.body) if answer.body else None, call


def post(path: str, body: Any, method: str = "POST") -> MockRequest:
    return MockRequest(method, path, (("content-type", "application/json"),), json.dumps(body).encode())


@pytest.mark.parametrize(
    ("mock", "request_", "named", "chat", "status"),
    [
        ("slack", post("/api/chat.postMessage", {"channel": "C1", "text": MARK}), "chat.postMessage", "C1", 200),
        (
            "slack",
            MockRequest("POST", "/api/chat.update", (), f"channel=C1&text={MARK}".encode()),
            "chat.update",
            "C1",
            200,
        ),
        ("slack", post("/commands/T1/2/x", {"text": MARK}), "response_url", None, 200),
        (
            "stripe",
            MockRequest("POST", "/v1/customers/cus_1", (), f"description={MARK}".encode()),
            "customers.update",
            "cus_1",
            200,
        ),
        (
            "stripe",
            MockRequest("POST", "/v1/refunds", (), f"charge=ch_1&description={MARK}".encode()),
            "refunds.create",
            "ch_1",
            200,
        ),
        ("github", post("/repos/o/r/issues/12/comments", {"body": MARK}), "issues.createComment", "12", 201),
        ("github", post("/api/v3/repos/o/r/issues/12/comments", {"body": MARK}), "issues.createComment", "12", 201),
        ("github", post("/repos/o/r/check-runs", {"head_sha": "abc", "name": MARK}), "check-runs.create", "abc", 201),
        (
            "meta",
            post("/v21.0/106540352242922/messages", {"to": "16505551234", "text": {"body": MARK}}),
            "messages",
            "16505551234",
            200,
        ),
        (
            "meta",
            post("/v21.0/me/messages", {"recipient": {"id": "5"}, "message": {"text": MARK}}),
            "messages",
            "5",
            200,
        ),
        (
            "discord",
            post("/api/v10/webhooks/1/tok/messages/@original", {"content": MARK}, "PATCH"),
            "interactions.edit",
            "tok",
            200,
        ),
        (
            "discord",
            post("/api/v10/interactions/1/tok/callback", {"type": 4, "data": {"content": MARK}}),
            "interactions.callback",
            "tok",
            204,
        ),
        (
            "twilio",
            MockRequest("POST", "/2010-04-01/Accounts/AC1/Messages.json", (), f"To=%2B1555&Body={MARK}".encode()),
            "messages.create",
            "+1555",
            201,
        ),
    ],
)
def test_a_call_is_named_joined_and_answered(
    mock: str, request_: MockRequest, named: str, chat: str | None, status: int
) -> None:
    got, body, call = asked(mock, request_)
    assert (got, call.method, call.chat, call.markers) == (status, named, chat, (MARK,))
    assert call.callback == (chat if mock == "discord" else "")
    assert (body is None) == (status == 204)


_UNDO = {"type": "button", "action_id": "undo", "value": "17"}


@pytest.mark.parametrize(
    ("mock", "request_", "shown"),
    [
        ("slack", post("/api/chat.postMessage", {"channel": "C1", "blocks": [{"type": "actions", "elements": [_UNDO]}]}), "undo\t17\t"),
        ("slack", MockRequest("POST", "/api/chat.postMessage", (), urlencode({"channel": "C1", "blocks": json.dumps([{"accessory": _UNDO}])}).encode()), "undo\t17\t"),
        ("discord", post("/api/v10/channels/1/messages", {"components": [{"type": 1, "components": [{"type": 2, "custom_id": "open:1"}]}]}), "open:1"),
        ("meta", post("/v21.0/1/messages", {"to": "1", "interactive": {"action": {"buttons": [{"type": "reply", "reply": {"id": "yes", "title": "Yes"}}]}}}), "yes"),
    ],
)  # fmt: skip
def test_the_buttons_that_a_message_shows_are_told(mock: str, request_: MockRequest, shown: str) -> None:
    assert asked(mock, request_)[2].buttons == (shown,)


def test_a_call_that_no_table_knows_is_answered_and_recorded_without_its_ids() -> None:
    status, body, call = asked("github", MockRequest("DELETE", "/repos/o/r/issues/comments/123?x=1"))
    assert (status, body, call.method) == (200, {"id": 1}, "DELETE /repos/o/r/issues/comments/*")


@pytest.mark.parametrize("name", ["slack", "github", "meta", "discord", "twilio"])
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"\xff", b"{", b"a=b=c&&"])
def test_a_mock_answers_whatever_comes(name: str, body: bytes) -> None:
    for path in ("/", "/api/chat.postMessage", "/repos//r/issues/1/comments", "/v1/1/messages"):
        assert asked(name, MockRequest("POST", path, (), body))[0] < 500
    refusal = MOCKS.build(name, {}).api(MockServices(lambda: 0.0, lambda _: None, itertools.count())).refusal(429, "x")
    assert refusal.status == 429
    assert json.loads(refusal.body)


def test_platforms_name_mocks_that_there_are() -> None:
    named = {PLATFORMS.get(name).api_mock for name in PLATFORMS.names()} - {""}
    assert named <= set(MOCKS.names())
    assert {"slack", "github", "meta", "discord", "twilio"} <= named


@pytest.fixture
def served() -> Iterator[Callable[[Mock], tuple[str, list[Event], MockServer]]]:
    running: list[MockServer] = []

    def one(mock: Mock) -> tuple[str, list[Event], MockServer]:
        events: list[Event] = []
        server = MockServer((MockListener(mock),), events.append, monotonic())
        server.start()
        running.append(server)
        return server.url, events, server

    yield one
    for server in running:
        server.stop()


def test_slacks_own_clients_take_the_answers(served: Callable[..., Any]) -> None:
    url, events, server = served(MOCKS.build("slack", {}))
    client = WebClient(token="xoxb-none", base_url=f"{url}/api/")
    assert client.auth_test()["user_id"] == "U02THEBOT01"
    posted = client.chat_postMessage(channel="C1", text=f"hello {MARK}")
    assert posted["ok"]
    assert posted["channel"] == "C1"
    assert client.reactions_add(channel="C1", name="eyes", timestamp=posted["ts"])["ok"]
    assert WebhookClient(f"{url}/commands/T1/1/x").send(text=f"later {MARK}").status_code == 200
    server.sync()
    calls = [event for event in events if isinstance(event, ApiCalled)]
    assert [call.method for call in calls] == ["auth.test", "chat.postMessage", "reactions.add", "response_url"]
    assert [call.markers for call in calls] == [(), (MARK,), (), (MARK,)]


def test_the_vendors_client_reads_what_the_mock_of_stripe_answers() -> None:
    stripe = pytest.importorskip("stripe")
    made: list[Event] = []
    listener = MockListener(MOCKS.build("stripe", {}))
    with MockServer((listener,), made.append, monotonic()) as server:
        client = stripe.StripeClient("sk_test_chaosbot", base_addresses={"api": server.url.rstrip("/")})
        changed = client.v1.customers.update("cus_1", {"description": MARK})
        assert (changed.id, changed.object) == ("cus_1", "customers")
        assert client.v1.charges.list({"customer": "cus_1"}).data == []
    calls = [one for one in made if isinstance(one, ApiCalled)]
    assert [one.method for one in calls] == ["customers.update", "charges.list"]
