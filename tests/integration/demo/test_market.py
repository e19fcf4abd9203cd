"""The market service: REST and the stream."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage

World = Any


class Stream:
    """A WebSocket client on a raw socket."""

    def __init__(self, world: World, query: str = "") -> None:
        self.sock = socket.create_connection(("127.0.0.1", world.port), timeout=60)
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.sock.sendall(self.ws.send(Request(host="demo", target=f"/ws/market{query}")))
        self.pending: list[Any] = []
        assert isinstance(self.next(), AcceptConnection)

    def next(self) -> Any:
        while not self.pending:
            data = self.sock.recv(65536)
            self.ws.receive_data(data or None)
            self.pending += self.ws.events()
        return self.pending.pop(0)

    def say(self, text: str) -> None:
        self.sock.sendall(self.ws.send(TextMessage(data=text)))

    def hear(self, kind: str) -> dict[str, Any]:
        while True:
            event = self.next()
            assert isinstance(event, TextMessage), event
            message: dict[str, Any] = json.loads(event.data)
            if message["type"] == kind:
                return message


@pytest.fixture(scope="module")
def market(start: Any) -> World:
    return start(api=False, ws_token="let-me-in")


@pytest.mark.parametrize("path", ["snapshot", "foreign-detail"])
def test_market_pages_have_data(market: World, path: str) -> None:
    status, body = market.get(f"/api/market/{path}")
    assert status == 200
    assert len(json.loads(body)["data"]) == 30


def test_the_index_has_30_members(market: World) -> None:
    assert len(json.loads(market.get("/api/vn30-components")[1])["symbols"]) == 30


@pytest.mark.parametrize(("query", "count"), [("", 50), ("?limit=50", 50), ("?limit=1", 1), ("?limit=500", 500)])
def test_alerts_are_limited(market: World, query: str, count: int) -> None:
    assert len(json.loads(market.get(f"/api/market/alerts{query}")[1])["alerts"]) == count


@pytest.mark.parametrize("limit", ["0", "-1", "501", "9" * 5000, "x", "", "1.0", "%D9%A1", "1&limit=2"])
def test_a_limit_out_of_bounds_is_refused(market: World, limit: str) -> None:
    assert market.get(f"/api/market/alerts?limit={limit}")[0] == 400


@pytest.mark.parametrize("query", ["", "?token=wrong", "?token=", "?token=%F0%9F", "?token=let-me-in&token=let-me-in"])
def test_a_bad_token_is_closed_with_4401(market: World, query: str) -> None:
    event = Stream(market, query).next()
    assert isinstance(event, CloseConnection)
    assert event.code == 4401


def test_ticks_come_in_order_several_a_second(market: World) -> None:
    stream = Stream(market, "?token=let-me-in")
    ticks = [stream.hear("tick") for _ in range(4)]
    while ticks[-1]["ts"] - ticks[-4]["ts"] >= 2 and len(ticks) < 50:  # a busy machine gets more tries
        ticks.append(stream.hear("tick"))
    assert [tick["seq"] - ticks[0]["seq"] for tick in ticks] == list(range(len(ticks)))
    assert 0.3 < ticks[-1]["ts"] - ticks[-4]["ts"] < 2


def test_a_subscription_narrows_the_stream(market: World) -> None:
    stream = Stream(market, "?token=let-me-in")
    stream.say('{"action": "subscribe", "symbols": ["FPT", "VNM", "NONE"]}')
    assert stream.hear("subscribed")["symbols"] == ["FPT", "VNM"]
    assert {entry["symbol"] for entry in stream.hear("tick")["data"]} == {"FPT", "VNM"}


@pytest.mark.parametrize(
    "text", ["{", "null", "[]", '{"action": []}', '{"action": "subscribe", "symbols": [[1]]}', "\x00"]
)
def test_nonsense_gets_an_error_and_the_stream_goes_on(market: World, text: str) -> None:
    stream = Stream(market, "?token=let-me-in")
    stream.say(text)
    assert stream.hear("error")["error"]
    assert stream.hear("tick")


def test_listeners_that_leave_are_forgotten(market: World) -> None:
    streams = [Stream(market, "?token=let-me-in") for _ in range(10)]
    for number, stream in enumerate(streams):
        stream.sock.sendall(stream.ws.send(CloseConnection(1000))) if number % 2 else None
        stream.sock.close()
    last = Stream(market, "?token=let-me-in")
    for _ in range(3):  # ticks find out about the connections that were cut
        last.hear("tick")
    assert market.metric("market_listeners") < 5
