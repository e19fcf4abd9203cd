"""The shorter ways through mitmproxy lead where its own ways lead."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import connection, http
from mitmproxy.proxy import commands, context, events, layer
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook

from chaosbot.addons._mitm import shortcuts

NAMES = st.sampled_from([b"Host", b"host", b"HOST", b"x-A", b"X-a", b"x-\xff", b"x-\xc3\xa4", b""])
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=6)), max_size=6).map(http.Headers)
ASKED = st.one_of(st.sampled_from(["host", "Host", "x-a", "x-ä", "x-\udcff", ""]), NAMES)


@given(HEADERS, ASKED)
def test_headers_are_found_as_mitmproxy_finds_them(headers: http.Headers, name: Any) -> None:
    assert shortcuts._get_all(headers, name) == headers.get_all(name)
    assert shortcuts._contains(headers, name) is (name in headers)
    assert shortcuts._get(headers, name) == headers.get(name)
    assert shortcuts._get(headers, name, "none") == headers.get(name, "none")


def test_the_originals_were_compared() -> None:
    assert http.Headers.get_all is not shortcuts._get_all


@pytest.fixture
def place() -> context.Context:
    client = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0.0)
    return context.Context(client, object())  # type: ignore[arg-type]  # nobody asks for an option


def test_a_fork_is_as_mitmproxy_makes_it(place: context.Context) -> None:
    place.layers.append(object())  # type: ignore[arg-type]  # any will do
    fork, theirs = shortcuts._fork(place), place.fork()
    assert vars(fork) == vars(theirs)
    assert fork.layers is not place.layers


class Steps(shortcuts.PromptStream):
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


class Tunnel(shortcuts.PromptStream):
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
    assert issubclass(shortcuts.PromptStream, HttpStream)
    assert {"_paused"} <= set(layer.Layer.__annotations__)
    assert layer.Paused._fields == ("command", "generator")
