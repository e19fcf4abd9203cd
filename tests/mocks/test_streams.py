"""Answers in parts, through the mocks' server and through a proxy in front of it; several upstreams in one run."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from msgspec import structs

from chaosbot.addons.proxy import ListenerSpec, ProxySpec
from chaosbot.config.fit import Ground, check_fit
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import ApiCalled, Event, ExchangeSeen, Trouble
from chaosbot.core.exchange import Direction
from chaosbot.core.mock import MOCKS, Upstream, upstreams_of
from chaosbot.core.plan import FaultPlan
from chaosbot.mocks.server import MockListener, MockServer
from chaosbot.mocks.telegram import TelegramApi
from chaosbot.session.listeners import launched, outbound_listeners
from tests.support.ticker import Ticker

TICKS = [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


@pytest.fixture
def server() -> Iterator[MockServer]:
    """A ticker and the Bot API beside each other."""
    events: list[Event] = []
    listeners = (MockListener(Ticker(), name="ticker"), MockListener(TelegramApi()))
    with MockServer(listeners, events.append, time.monotonic()) as running:
        yield running


def raw(url: str, request: bytes) -> bytes:
    """All bytes that a server sends until it closes."""
    host, _, port = url.removeprefix("http://").partition(":")
    data = b""
    with socket.create_connection((host, int(port)), 30) as sock:
        sock.sendall(request)
        while piece := sock.recv(1 << 16):
            data += piece
    return data


def test_each_part_leaves_when_its_time_has_come(server: MockServer) -> None:
    with httpx.stream("GET", server.urls["ticker"] + "/") as answer:
        came = [(piece, time.monotonic()) for piece in answer.iter_raw()]
    assert [piece for piece, _ in came] == TICKS
    assert came[-1][1] - came[0][1] > 0.04


def test_the_connection_is_kept_after_a_stream_and_pipelined_requests_wait(server: MockServer) -> None:
    get = b"GET / HTTP/1.1\r\nHost: a\r\n"
    data = raw(server.urls["ticker"], get + b"\r\n" + get + b"Connection: close\r\n\r\n")
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert data.count(b"data: 2") == 2
    assert data.endswith(b"0\r\n\r\n")


def test_an_old_client_gets_a_stream_without_chunks(server: MockServer) -> None:
    data = raw(server.urls["ticker"], b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    assert data.partition(b"\r\n\r\n")[2] == b"".join(TICKS)


def test_an_answer_that_breaks_off_lacks_its_end_and_has_all_its_parts(server: MockServer) -> None:
    data = raw(server.urls["ticker"], b"GET /fin HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"data: 2" in data
    assert not data.endswith(b"0\r\n\r\n")
    with httpx.stream("GET", server.urls["ticker"] + "/rst") as answer, pytest.raises(httpx.ReadError):
        list(answer.iter_raw())


def test_each_mock_refuses_bodies_by_its_own_bound_and_in_its_own_words(server: MockServer) -> None:
    assert httpx.post(server.urls["ticker"], content=b"a" * 101).text == "Request Entity Too Large\n"
    assert httpx.post(server.urls["telegram"] + "/bot1:a/getMe", content=b"a" * 101).json()["ok"]


def test_two_upstreams_stand_beside_each_other_and_rules_tell_them_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOCKS._entries, "ticker", Ticker)
    plan = plan_of([parse_fault("abort:503;upstream=ticker;path=/down")])
    listeners = outbound_listeners("mock,mock:ticker", "telegram", ("127.0.0.1", 0), ())
    events: list[Event] = []
    with launched(ProxySpec(listeners, 1, plan), events.append) as proxy:
        proxy.ready()
        ticker, telegram = proxy.url(Direction.OUTBOUND, "ticker"), proxy.url(Direction.OUTBOUND, "telegram")
        assert httpx.get(ticker + "/down").status_code == 503
        with httpx.stream("GET", ticker + "/") as answer:
            came = [(piece, time.monotonic()) for piece in answer.iter_raw()]
        assert b"".join(piece for piece, _ in came) == b"".join(TICKS)
        assert came[-1][1] - came[0][1] > 0.04, "the proxy held the stream"
        assert httpx.post(telegram + "/bot1:a/getMe").status_code == 200
        assert httpx.get(telegram + "/down").status_code == 404
    seen = [(event.upstream, event.path, event.status) for event in events if isinstance(event, ExchangeSeen)]
    assert seen == [
        ("ticker", "/down", 503),
        ("ticker", "/", 200),
        ("telegram", "/bot1:a/getMe", 200),
        ("telegram", "/down", 404),
    ]
    assert [(event.upstream, event.method) for event in events if isinstance(event, ApiCalled)] == [
        ("telegram", "getMe")
    ]


def test_a_mock_answers_alike_in_the_proxy_and_from_its_server() -> None:
    def asked(url: str) -> list[tuple[int, object]]:
        calls = (
            ("sendMessage", {"chat_id": 5, "text": "hi"}),
            ("sendMessage", {"chat_id": 5}),
            ("getMe", {}),
            ("no", {}),
        )
        with httpx.Client() as client:
            answers = [client.post(f"{url}/bot7:a/{method}", json=body) for method, body in calls]
        return [(answer.status_code, _without_time(answer.json())) for answer in answers]

    def told(events: list[Event]) -> list[ApiCalled]:
        return [structs.replace(event, t=0.0, exchange="") for event in events if isinstance(event, ApiCalled)]

    served: list[Event] = []
    with MockServer((MockListener(TelegramApi()),), served.append, time.monotonic()) as server:
        by_server = asked(server.url)
    proxied: list[Event] = []
    spec = ProxySpec((ListenerSpec(Direction.OUTBOUND, "mock:", name="telegram"),), 1, FaultPlan())
    with launched(spec, proxied.append) as proxy:
        proxy.ready()
        by_proxy = asked(proxy.url(Direction.OUTBOUND))
    assert by_server == by_proxy
    assert told(served) == told(proxied)
    assert len(told(served)) == 4


def _without_time(document: dict[str, object]) -> dict[str, object]:
    result = document.get("result")
    return {**document, "result": {**result, "date": 0}} if isinstance(result, dict) else document


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("off", ()),
        ("", ()),
        ("mock", (Upstream("telegram", "mock:telegram"),)),
        ("mock:telegram", (Upstream("telegram", "mock:telegram"),)),
        ("forward", (Upstream("telegram", ""),)),
        ("https://api.telegram.org", (Upstream("telegram", "https://api.telegram.org"),)),
        (
            "mock, llm=http://127.0.0.1:9/?a=b",
            (Upstream("telegram", "mock:telegram"), Upstream("llm", "http://127.0.0.1:9/?a=b")),
        ),
    ],
)
def test_what_outbound_says_is_read_as_named_upstreams(text: str, found: tuple[Upstream, ...]) -> None:
    assert upstreams_of(text, "telegram") == found


@pytest.mark.parametrize(
    ("text", "why"), [("mock,mock", "two upstreams are called 'telegram'"), ("mock:telgram", "did you mean")]
)
def test_wrong_upstreams_are_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        upstreams_of(text, "telegram")


def test_a_rule_for_an_upstream_that_is_not_there_can_never_happen() -> None:
    plan = plan_of([parse_fault("abort:503;upstream=lmm")])
    with pytest.raises(ConfigError, match="no upstream is called 'lmm'; choose one of telegram, llm"):
        check_fit(plan, Ground("http://127.0.0.1:1", ("telegram", "llm"), False, ()), "plan.toml")
    with pytest.raises(ConfigError, match="upstream names an API"):
        parse_fault("abort:503;upstream=llm;direction=inbound")


def test_a_mock_that_breaks_is_said_so_and_is_no_broken_request() -> None:
    events: list[Event] = []
    with MockServer((MockListener(Ticker(), name="ticker"),), events.append, time.monotonic()) as running:
        assert httpx.get(running.urls["ticker"] + "/broken").status_code == 500
        assert httpx.get(running.urls["ticker"] + "/").status_code == 200
        running.sync()
    (trouble,) = [event for event in events if isinstance(event, Trouble)]
    assert trouble.what == "ticker: ZeroDivisionError: division by zero"


@pytest.mark.parametrize("platform", ["telegram", "json_webhook"])
def test_a_mock_without_a_name_is_the_bot_api_where_the_platform_has_none_of_its_own(platform: str) -> None:
    listeners = (ListenerSpec(Direction.OUTBOUND, "mock:"),)
    with launched(ProxySpec(listeners, 1, FaultPlan(), platform), [].append) as proxy:
        proxy.ready()
        answer = httpx.post(f"{proxy.url(Direction.OUTBOUND)}/bot1:token/getMe", trust_env=False)
    assert answer.json()["result"]["is_bot"] is True
