"""Quick connections and HTTP layers send what the plain ones send."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy import connection
from mitmproxy.proxy import commands, context, events, layer
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook

from chaosbot.addons._mitm import SCRIPT, quick
from chaosbot.addons._mitm.http import ScriptedHttp
from chaosbot.addons.answers import answer
from chaosbot.addons.script import Script
from chaosbot.core.effect import CloseIdle, Dribble, Farewell, Side, StreamBody
from tests.support.playbook import Playbook

SCRIPTS = st.one_of(
    st.none(),
    st.builds(Script, most_bytes=st.integers(0, 60), farewell=st.sampled_from([Farewell.FIN, Farewell.RST])),
    st.builds(Script, most_body=st.integers(0, 9)),
    st.builds(Script, raw=st.just(b"HTTP/1.1 200 OK\r\n\r\nzz")),
    st.builds(Script, dribble=st.just(Dribble(Side.RESPONSE, 3, 0.1))),
    st.builds(Script, stream=st.just(StreamBody(7, b"ab"))),
    st.builds(Script, close_idle=st.just(CloseIdle())),
)
EXCHANGES = st.lists(
    st.fixed_dictionaries(
        {
            "request": st.sampled_from(
                [
                    b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n",
                    b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
                    b"POST /%d HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                    b"HEAD /%d HTTP/1.1\r\nhost: x\r\n\r\n",
                    b"nonsense %d\r\n\r\n",
                ]
            ),
            "answer": st.sampled_from(
                [
                    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
                    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                    b"HTTP/1.1 204 No Content\r\n\r\n",
                    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
                    b"what?\r\n\r\n",
                    None,
                ]
            ),
            "own": st.booleans(),
            "streamed": st.booleans(),
            "script": SCRIPTS,
        }
    ),
    min_size=1,
    max_size=4,
)


class Conversation:
    """One conversation of a client that sends everything at once and of upstreams that answer each request."""

    def __init__(self, make: type[ScriptedHttp], exchanges: list[dict[str, Any]], cuts: list[int]) -> None:
        self.exchanges = exchanges
        self.play = Playbook(
            make,
            {"request": self.request, "responseheaders": self.head},
        )
        self.wires: dict[str, bytes] = {}
        self.log: list[str] = []
        data = b"".join(each["request"].replace(b"%d", b"%d" % number) for number, each in enumerate(exchanges))
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        for start, end in itertools.pairwise(places):
            if "close client" not in self.log:
                self.play >> self.play.from_client(data[start:end])
                self.follow()

    def number(self, flow: Any) -> int:
        return int(flow.request.path.strip("/"))

    def request(self, flow: Any) -> None:
        exchange = self.exchanges[self.number(flow)]
        if exchange["script"] is not None:
            script = Script(**vars(exchange["script"]))
            script.ended = lambda: None
            setattr(flow, SCRIPT, script)
        if exchange["own"]:
            flow.response = answer(418, (), b"mine", "rule")

    def head(self, flow: Any) -> None:
        exchange = self.exchanges[self.number(flow)]
        flow.response.stream = exchange["streamed"] and not exchange["own"] and not exchange["script"]

    def follow(self) -> None:
        """Takes what was said until nothing more is; answers what reached an upstream, rings every wake-up."""
        while self.play.said:
            command = self.play.said[0]
            if isinstance(command, commands.RequestWakeup):
                self.play.wake()
                continue
            self.play.said.popleft()
            whose = "client" if command.connection is self.play.client else "server"  # type: ignore[attr-defined]
            if isinstance(command, commands.SendData):
                self.wires[whose] = self.wires.get(whose, b"") + command.data
                self.answer(command)
            elif isinstance(command, commands.CloseConnection):
                self.log.append(f"close {whose}")
                command.connection.state = connection.ConnectionState.CLOSED

    def answer(self, command: commands.SendData) -> None:
        if command.connection is self.play.client or b" HTTP/1.1\r\n" not in command.data:
            return
        number = int(command.data.partition(b" /")[2].partition(b" ")[0])
        data = self.exchanges[number]["answer"]
        self.sooner(command.connection, data)

    def sooner(self, server: Any, data: bytes | None) -> None:
        """The answer comes when everything that was said is on its way."""
        rest, self.play.said = list(self.play.said), type(self.play.said)()
        for command in rest:
            if isinstance(command, commands.SendData):
                self.wires["server"] = self.wires.get("server", b"") + command.data
            else:
                self.play.said.append(command)
        if data is None:
            server.state = connection.ConnectionState.CLOSED
            self.play >> events.ConnectionClosed(server)
        else:
            self.play >> events.DataReceived(server, data)


@settings(max_examples=300, deadline=None)
@given(EXCHANGES, st.lists(st.integers(0, 400), max_size=3))
def test_a_quick_layer_sends_what_the_plain_one_sends(exchanges: list[dict[str, Any]], cuts: list[int]) -> None:
    plain = Conversation(ScriptedHttp, exchanges, cuts)
    prompt = Conversation(quick.QuickHttp, exchanges, cuts)
    assert prompt.wires == plain.wires
    assert sorted(prompt.log) == sorted(plain.log)  # the order of ends on different connections is free
    assert prompt.play.hooked == plain.play.hooked
    assert prompt.play.sockets.resets.count(prompt.play.client) == plain.play.sockets.resets.count(plain.play.client)


@pytest.fixture
def place() -> context.Context:
    client = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0.0)
    return context.Context(client, object())  # type: ignore[arg-type]  # nobody asks for an option


class Steps(quick.PromptStream):
    """A stream whose one step is a hook, and a word after it."""

    def _handle_event(self, event: events.Event) -> Generator[Any, Any, None]:
        yield HttpRequestHook(event)  # type: ignore[arg-type]  # the event stands for a flow here
        yield commands.Log("after")


async def _nothing() -> None:
    pass


def said(steps: Iterator[Any]) -> list[str]:
    return [type(command).__name__ for command in steps]


def test_a_hook_without_anything_to_wait_for_does_not_stop_its_stream(place: context.Context) -> None:
    called: list[Any] = []
    stream = Steps(place, 1, called.append)
    assert said(stream.handle_event(events.Start())) == ["Log"]
    assert len(called) == 1
    assert not stream._paused


def test_a_hook_that_must_be_waited_for_stops_its_stream_until_it_has_ended(place: context.Context) -> None:
    later = _nothing()
    stream = Steps(place, 1, lambda _hook: later)
    (command,) = stream.handle_event(events.Start())
    assert command.later is later
    assert command.blocking is stream
    assert said(stream.handle_event(events.HookCompleted(command))) == ["Log"]
    later.close()


class Tunnel(quick.PromptStream):
    """A stream with a layer inside that waits at a hook of its own."""

    def _handle_event(self, event: events.Event) -> Generator[Any, Any, None]:
        hook = HttpRequestHook(event)  # type: ignore[arg-type]  # as above
        hook.blocking = layer.NextLayer(self.context)
        yield hook


def test_a_hook_of_a_layer_inside_is_left_to_that_layer(place: context.Context) -> None:
    called: list[Any] = []
    stream = Tunnel(place, 1, called.append)
    assert said(stream.handle_event(events.Start())) == ["HttpRequestHook"]
    assert not called


def test_the_parts_that_are_replaced_are_there() -> None:
    assert issubclass(quick.PromptStream, HttpStream)
    assert {"_paused"} <= set(layer.Layer.__annotations__)
    assert layer.Paused._fields == ("command", "generator")
