"""The shorter ways through mitmproxy lead where its own ways lead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import connection, http, options
from mitmproxy.proxy import context

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


def test_a_snapshot_reads_like_the_options_that_it_was_taken_of() -> None:
    manager: Any = options.Options()
    snapshot: Any = shortcuts.Snapshot(manager)
    for name in manager.keys():  # noqa: SIM118 - no dict
        assert getattr(snapshot, name) == getattr(manager, name)
