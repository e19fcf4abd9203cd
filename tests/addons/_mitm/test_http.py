"""The HTTP layer follows scripts: conversations with it, event by event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import events
from mitmproxy.proxy.commands import CloseConnection, CloseTcpConnection, RequestWakeup, SendData

from chaosbot.addons._mitm import SCRIPT, direct, http, quick, streams
from chaosbot.addons._mitm.http import ScriptedHttp
from chaosbot.addons.answers import answer
from chaosbot.addons.script import Script
from chaosbot.core.effect import CloseIdle, Dribble, Farewell, Side, StreamBody
from tests.support.playbook import Playbook

ASK = b"GET /path HTTP/1.1\r\nhost: x\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
ANSWER = HEAD + b"0123456789"

Play = Callable[..., Playbook]


@pytest.fixture(params=[ScriptedHttp, quick.QuickHttp, direct.DirectHttp], ids=["plain", "quick", "direct"])
def play(request: pytest.FixtureRequest) -> Play:
    """A conversation whose exchanges follow a script."""

    def start(script: Script | None = None, *, stream: bool = False) -> Playbook:
        def give(flow: Any) -> None:
            if script is not None:
                setattr(flow, SCRIPT, script)

        def head(flow: Any) -> None:
            flow.response.stream = stream

        return Playbook(request.param, {"request": give, "responseheaders": head})

    return start


def ended(**values: Any) -> tuple[Script, list[str]]:
    """A script that says when it is over."""
    said: list[str] = []
    return Script(**values, ended=lambda: said.append("over")), said


def test_without_a_script_an_exchange_passes_untouched(play: Play) -> None:
    it = play()
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(ANSWER)
    it << SendData(it.client, HEAD) << SendData(it.client, b"0123456789")
    assert it.silent()


def test_a_streamed_answer_leaves_piece_by_piece(play: Play) -> None:
    it = play(stream=True)
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(HEAD + b"01234")
    it << SendData(it.client, HEAD) << SendData(it.client, b"01234")
    it >> it.from_server(b"56789")
    it << SendData(it.client, b"56789")
    assert it.silent()


def test_a_cut_answer_ends_after_so_many_bytes(play: Play) -> None:
    script, over = ended(most_body=4)
    it = play(script)
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(ANSWER)
    it << SendData(it.client, HEAD) << SendData(it.client, b"0123") << CloseConnection(it.client)
    assert over == ["over"]


def test_a_cut_answer_can_end_with_a_reset(play: Play) -> None:
    it = play(ended(most_bytes=12, farewell=Farewell.RST)[0])
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(ANSWER)
    it << SendData(it.client, b"HTTP/1.1 200")
    assert it.sockets.resets == [it.client]


def test_a_silent_end_waits_until_it_is_released(play: Play) -> None:
    it = play(ended(most_bytes=0, farewell=Farewell.SILENCE)[0])
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(ANSWER)
    assert it.silent()
    it.layer.release()
    assert it.sockets.closed == [it.client]


def test_raw_bytes_stand_in_the_place_of_an_answer(play: Play) -> None:
    script, over = ended(raw=b"garbage")
    it = play(script)
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(ANSWER)
    it << SendData(it.client, b"garbage") << CloseConnection(it.client)
    assert over == ["over"]
    assert it.silent()


def test_a_body_trickles_by_wake_ups(play: Play) -> None:
    script, over = ended(dribble=Dribble(Side.RESPONSE, 4, 0.1))
    it = play(script)
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(ANSWER)
    it << SendData(it.client, HEAD) << SendData(it.client, b"0123")
    it.wake() << SendData(it.client, b"4567")
    assert over == []
    it.wake() << SendData(it.client, b"89")
    assert over == ["over"]


def test_a_long_pause_is_taken_in_short_naps_that_a_release_ends(play: Play) -> None:
    it = play(ended(dribble=Dribble(Side.RESPONSE, 4, 3600.0))[0])
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(ANSWER)
    it << SendData(it.client, HEAD) << SendData(it.client, b"0123")
    it.wake()
    assert isinstance(it.said[0], RequestWakeup)
    assert it.said[0].delay == 0.25
    it.layer.release()
    it.wake().wake() << SendData(it.client, b"456789")


def test_a_body_is_made_while_there_is_room(play: Play) -> None:
    it = play(ended(stream=StreamBody(100_000, b"ab"))[0])
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it.sockets.room = False
    it >> it.from_server(ANSWER)
    it << SendData(it.client, HEAD) << SendData(it.client, b"0123456789")
    assert isinstance(it.said[0], RequestWakeup)
    it.sockets.room = True
    assert it.wake().sent(it.client) == b"ab" * 50_000


def test_an_idle_connection_ends_unannounced(play: Play) -> None:
    script, over = ended(close_idle=CloseIdle(0.1))
    it = play(script)
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(ANSWER)
    it << SendData(it.client, HEAD) << SendData(it.client, b"0123456789")
    assert over == []
    it.wake() << CloseConnection(it.client)
    assert over == ["over"]


def test_a_cut_request_ends_the_connection_to_the_upstream(play: Play) -> None:
    it = play(Script(cut_request=Farewell.FIN))
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK) << CloseTcpConnection(it.server, half_close=True)


def test_a_request_trickles_upwards(play: Play) -> None:
    it = play(Script(dribble_up=Dribble(Side.REQUEST, 20, 0.1)))
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK[:20])
    it.wake() << SendData(it.server, ASK[20:])


def test_pipelined_requests_go_upstream_one_after_the_other(play: Play) -> None:
    it = play()
    it >> it.from_client(ASK * 2)
    it << SendData(it.server, ASK)
    assert it.silent()
    it >> it.from_server(ANSWER)
    it << SendData(it.client, HEAD) << SendData(it.client, b"0123456789") << SendData(it.server, ASK)
    it >> it.from_server(ANSWER)
    it << SendData(it.client, HEAD) << SendData(it.client, b"0123456789")
    assert it.silent()


def test_what_mitmproxy_answers_of_its_own_accord_is_marked(play: Play) -> None:
    it = play()
    it >> it.from_client(b"nonsense\r\n\r\n")
    said = it.sent(it.client)
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\nx-chaosbot: upstream\r\n")
    assert b"Bad HTTP request line: b'nonsense'" in said


def test_an_upstream_that_is_gone_becomes_a_marked_502_with_its_reason(play: Play) -> None:
    it = play()
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it.sockets.reasons[it.server] = "TLS alert from the upstream: certificate required"
    it >> it.closed(it.server)
    said = it.sent(it.client)
    assert said.startswith(b"HTTP/1.1 502 Bad Gateway\r\nx-chaosbot: upstream\r\n")
    assert b"TLS alert from the upstream: certificate required" in said


def test_the_carrier_hears_when_the_client_leaves(play: Play) -> None:
    it = play()
    it >> it.closed(it.client)
    assert it.sockets.gone


CHUNKED = b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
ENDLESS = {
    "head": b"x-endless: ",
    "header": b"",
    "extension": CHUNKED + b"5;x=",
    "size": CHUNKED + b"0" * 10,
    "trailer": CHUNKED + b"0\r\nx-endless: ",
    "trailers": CHUNKED + b"0\r\n",
}


def endless(what: str) -> bytes:
    return {"header": b"x-more: 1\r\n", "trailers": b"x-more: 1\r\n", "size": b"0"}.get(what, b"x") * 6000


@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.parametrize("stream", [False, True])
def test_what_an_upstream_sends_without_an_end_ends_its_connection(play: Play, what: str, stream: bool) -> None:
    it = play(stream=stream)
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(b"HTTP/1.1 200 OK\r\n" + ENDLESS[what])
    held, pieces = endless(what), 0
    while CloseConnection not in map(type, it.said):
        it >> it.from_server(held)
        assert (pieces := pieces + len(held)) < 400_000
    sent = it.sent(it.client)
    assert sent.startswith(b"HTTP/1.1 " + (b"200" if stream and CHUNKED in ENDLESS[what] else b"502"))
    assert it.server.state is ConnectionState.CLOSED


@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.parametrize("stream", [False, True])
def test_what_a_client_sends_without_an_end_is_refused(play: Play, what: str, stream: bool) -> None:
    it = play()

    def head(flow: Any) -> None:
        flow.request.stream = stream

    it.hooks["requestheaders"] = head
    it >> it.from_client(b"POST / HTTP/1.1\r\nhost: x\r\n" + ENDLESS[what])
    held, pieces = endless(what), 0
    while CloseConnection not in map(type, it.said):
        it >> it.from_client(held)
        assert (pieces := pieces + len(held)) < 400_000
    if stream and CHUNKED in ENDLESS[what]:
        assert it.server in [each.connection for each in it.said if isinstance(each, CloseConnection)]
    assert it.sent(it.client).startswith(b"HTTP/1.1 431")
    assert not it.layer.streams


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that are reached soon."""
    monkeypatch.setattr(streams, "MOST_REQUEST", 1000)
    monkeypatch.setattr(streams, "MOST_ANSWER", 1000)
    monkeypatch.setattr(http, "MOST_WAITING", 5000)


CHUNK = b"1f4\r\n" + b"x" * 500 + b"\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.usefixtures("small")
def test_a_request_that_grows_too_long_passes_from_there_on(play: Play) -> None:
    it = play()
    it >> it.from_client(UPLOAD + CHUNK * 2)
    assert it.silent()
    it >> it.from_client(CHUNK)
    assert it.sent(it.server) == UPLOAD + b"5dc\r\n" + b"x" * 1500 + b"\r\n"
    for _ in range(9):
        it >> it.from_client(CHUNK)
        it << SendData(it.server, CHUNK)
    it >> it.from_client(b"0\r\n\r\n")
    it << SendData(it.server, b"0\r\n\r\n")
    it >> it.from_server(ANSWER)
    assert it.sent(it.client) == ANSWER
    assert not it.layer.streams


@pytest.mark.usefixtures("small")
def test_the_rest_of_a_request_that_was_answered_without_it_is_thrown_away(play: Play) -> None:
    it = play()
    told: list[int] = []

    def head(flow: Any) -> None:
        if flow.request.stream:
            told.append(len(flow.request.raw_content))
            flow.response, flow.request.stream = answer(418, (), b"mine", "rule"), False

    it.hooks["requestheaders"] = head
    it >> it.from_client(UPLOAD + CHUNK * 9)
    (stream,) = it.layer.streams.values()
    assert (told, len(stream.request_body_buf) <= 1000) == ([1500], True)
    it >> it.from_client(CHUNK * 3 + b"0\r\n\r\n")
    assert it.sent(it.client).startswith(b"HTTP/1.1 418")


@pytest.mark.usefixtures("small")
def test_an_answer_that_is_held_passes_when_it_has_become_too_long(play: Play) -> None:
    it = play()
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(head + CHUNK * 2)
    assert it.silent()
    it >> it.from_server(CHUNK)
    assert it.sent(it.client) == head + b"5dc\r\n" + b"x" * 1500 + b"\r\n"
    it >> it.from_server(CHUNK + b"0\r\n\r\n")
    assert it.sent(it.client) == CHUNK + b"0\r\n\r\n"


@pytest.mark.usefixtures("small")
def test_a_peer_is_not_read_while_what_it_sent_trickles(play: Play) -> None:
    it = play(ended(dribble=Dribble(Side.RESPONSE, 4000, 0.1))[0], stream=True)
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_server(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 4000)
    assert not it.sockets.held
    it >> it.from_server(b"x" * 9000)
    assert it.sockets.held == {it.server}
    sent = it.sent(it.client)
    it >> it.from_server(b"x" * 9000) >> it.closed(it.server)
    it.sockets.held.clear()
    while it.layer.timers:
        it >> events.Wakeup(next(iter(it.layer.timers)))
        sent += it.sent(it.client)
    assert sent.endswith(b"\r\n\r\n" + b"x" * 22_000)


@pytest.mark.usefixtures("small")
def test_a_client_is_not_read_while_it_asks_ahead(play: Play) -> None:
    it = play()
    it >> it.from_client(ASK)
    it << SendData(it.server, ASK)
    it >> it.from_client(ASK * 200)
    assert it.sockets.held == {it.client}
    it >> it.from_server(ANSWER)
    while it.sockets.held:
        it.sent(it.client)
        it >> it.from_server(ANSWER)
