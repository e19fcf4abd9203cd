"""Exchanges past mitmproxy's layers: what is sent is what the layers would send, also where they must take over in the middle."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chaosbot.addons._mitm import direct
from chaosbot.addons._mitm.http import ScriptedHttp
from tests.addons._mitm.test_quick import SCRIPTS, Conversation

REQUESTS = (
    b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
    b"POST /%d HTTP/1.1\r\nhost: x\r\nConnection: Keep-Alive\r\nContent-Length:  3 \r\n\r\nabc",
    b"POST /%d HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
    b"POST /%d HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n , close\r\ncontent-length: 3\r\n\r\nabc",
    b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: +3\r\n\r\nabc",
    b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /%d HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc",
    b"POST /%d HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    b"GET /%d HTTP/1.0\r\nhost: x\r\n\r\n",
    b"HEAD /%d HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /%d HTTP/1.1\nhost: x\n\r\n\r\n",
    b"GET /%d HTTP/1.1\r\nhost: x\r\nodd: a\rb\r\n\r\n",
    b"\r\nGET /%d HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /%d HTTP/1.1\r\nbad name: x\r\n\r\n",
    b"GET /%d HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"nonsense %d\r\n\r\n",
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello and more",
    b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 99999999999999999999 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nbad name: x\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n folded: x\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"what?\r\n\r\n",
    None,
)
PLAIN = {"request": REQUESTS[0], "answer": ANSWERS[0], "own": False, "streamed": False, "script": None}

EXCHANGES = st.lists(
    st.fixed_dictionaries(
        {
            "request": st.sampled_from(REQUESTS),
            "answer": st.sampled_from(ANSWERS),
            "own": st.booleans(),
            "streamed": st.booleans(),
            "script": SCRIPTS,
        }
    ),
    min_size=1,
    max_size=4,
).map(lambda exchanges: [PLAIN, *exchanges])
"""The first one opens the connection to the upstream; only what follows can pass by the layers."""


class Counting(direct.DirectHttp):
    """Counts what passed by the layers."""

    passed = 0

    def direct(self, event: Any) -> Any:
        before = self.under_way
        said = super().direct(event)
        self.passed += before is not None and said is not None and self.under_way is None
        return said


def one_at_a_time(exchanges: list[dict[str, Any]]) -> list[int]:
    """Where to cut what the client sends, so that each request comes alone and whole."""
    cuts, end = [], 0
    for number, each in enumerate(exchanges):
        end += len(each["request"].replace(b"%d", b"%d" % number))
        cuts.append(end)
    return cuts[:-1]


def hooked(conversation: Conversation) -> list[str]:
    return [name for name in conversation.play.hooked if not name.endswith("headers")]


@settings(max_examples=200, deadline=None)
@given(EXCHANGES, st.one_of(st.none(), st.lists(st.integers(0, 400), max_size=3)))
@example([PLAIN, {**PLAIN, "answer": None}, PLAIN], None)
@example([PLAIN, {**PLAIN, "own": True}, PLAIN], None)
@example([PLAIN, PLAIN, PLAIN], [60])
def test_what_passes_by_the_layers_is_what_they_would_send(
    exchanges: list[dict[str, Any]], cuts: list[int] | None
) -> None:
    cuts = one_at_a_time(exchanges) if cuts is None else cuts
    plain = Conversation(ScriptedHttp, exchanges, cuts)
    short = Conversation(direct.DirectHttp, exchanges, cuts)
    assert short.wires == plain.wires
    assert sorted(short.log) == sorted(plain.log)  # the order of ends on different connections is free
    assert hooked(short) == hooked(plain)
    assert short.play.sockets.resets.count(short.play.client) == plain.play.sockets.resets.count(plain.play.client)


@pytest.mark.parametrize("request_", [REQUESTS[0], REQUESTS[1], REQUESTS[2]])
@pytest.mark.parametrize("answer", [ANSWERS[0], ANSWERS[1]])
def test_simple_exchanges_do_pass(request_: bytes, answer: bytes) -> None:
    exchanges = [PLAIN, *[{**PLAIN, "request": request_, "answer": answer}] * 3]
    layer: Any = Conversation(Counting, exchanges, one_at_a_time(exchanges)).play.layer
    assert layer.passed == 3
    assert not layer.streams


@pytest.mark.parametrize("number", range(3, len(REQUESTS)))
def test_no_other_request_does(number: int) -> None:
    exchanges = [PLAIN, {**PLAIN, "request": REQUESTS[number]}]
    layer: Any = Conversation(Counting, exchanges, one_at_a_time(exchanges)).play.layer
    assert layer.passed == 0


@pytest.mark.parametrize("what", ["streams", "leaves", "asks again"])
def test_the_layers_take_over_in_the_middle_of_an_exchange(what: str) -> None:
    told = {}
    for make in (ScriptedHttp, direct.DirectHttp):
        exchanges = [{**PLAIN, "answer": ANSWERS[0]}] * 3
        talk = Conversation(make, exchanges[:1], [])
        talk.exchanges = exchanges
        play = talk.play
        play >> play.from_client(REQUESTS[1].replace(b"%d", b"1"))
        sent = play.sent(play.server)
        match what:
            case "streams":
                play >> play.from_server(ANSWERS[0][:20]) >> play.from_server(ANSWERS[0][20:])
            case "leaves":
                play >> play.closed(play.client)
            case _:
                play >> play.from_client(REQUESTS[0].replace(b"%d", b"2")) >> play.from_server(ANSWERS[0])
        kinds = [(type(each).__name__, each.connection is play.client) for each in play.said]  # type: ignore[attr-defined]
        told[make] = sent, kinds, [name for name in play.hooked if not name.endswith("headers")]
    plain, short = told[ScriptedHttp], told[direct.DirectHttp]
    assert short[0] == plain[0]
    assert short[2] == plain[2]
    if what == "leaves":
        assert short[1] == plain[1]
