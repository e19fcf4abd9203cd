"""A stream of events, disturbed event by event: what is left of it, in bytes and time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosbot.core.effect import (
    CutEvents,
    EditEvents,
    Ending,
    EventsEffect,
    InsertEvents,
    PaceEvents,
    SplitEvents,
    StallEvents,
)
from chaosbot.injection.eventstream import EventStream, Step

STREAM = b"".join(b"event: e%d\ndata: {}\n\n" % number for number in range(5))


def through(*effects: EventsEffect, pieces: Iterable[bytes] = (STREAM,)) -> tuple[list[Step], list[str]]:
    stream, told = EventStream(), list[str]()
    for effect in effects:
        stream.add(effect, told.append)
    steps = [step for piece in pieces for step in stream.feed(piece)]
    return [*steps, *stream.end()], told


def data(steps: list[Step]) -> bytes:
    return b"".join(step.data for step in steps)


@given(st.lists(st.binary(min_size=1, max_size=9)), st.booleans())
def test_without_effects_every_byte_passes_however_it_comes(pieces: list[bytes], ends: bool) -> None:
    pieces = [*pieces, b"\n\n"] if ends else pieces
    steps, _ = through(pieces=pieces)
    assert data(steps) == b"".join(pieces)
    assert [step.ending for step in steps if step.ending] == [Ending.CLEAN]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_cut_counts_events_whatever_their_line_ends_are(end: bytes) -> None:
    stream = STREAM.replace(b"\n", end)
    for size in (1, 7, 1000):
        pieces = [stream[place : place + size] for place in range(0, len(stream), size)]
        steps, told = through(CutEvents(2, ending=Ending.RST), pieces=pieces)
        assert data(steps) == stream[: len(stream) * 2 // 5]
        assert steps[-1].ending is Ending.RST
        assert told == ["the stream ends (rst) after 2 events"]


def test_a_cut_falls_inside_an_event_or_before_one_that_matches() -> None:
    assert data(through(CutEvents(1, keep_bytes=9))[0]) == STREAM[: len(STREAM) // 5 + 9]
    steps, _ = through(CutEvents(until=rb"(?m)^event: e3", last=b"event: error\n\n"))
    assert data(steps) == STREAM[: len(STREAM) * 3 // 5] + b"event: error\n\n"


def test_a_cut_that_no_event_met_did_nothing() -> None:
    steps, told = through(CutEvents(9))
    assert (data(steps), told) == (STREAM, [])


def test_a_stall_holds_what_follows_and_may_show_signs_of_life() -> None:
    steps, _ = through(StallEvents(3, 60.0))
    assert [step.wait_s for step in steps if step.wait_s] == [60.0]
    assert data(steps) == STREAM
    pinged, _ = through(StallEvents(0, 10.0, b": ping\n\n", 2.5))
    assert [step for step in pinged if step.wait_s] == [Step(b": ping\n\n", 2.5)] * 4


def test_events_are_left_out_doubled_paced_split_and_joined_by_others() -> None:
    assert data(through(EditEvents(rb"e[1-4]", 0, skip=1, count=2))[0]).count(b"event") == 3
    doubled, told = through(EditEvents(rb"e2", 2))
    assert data(doubled).count(b"event: e2\n") == 2
    assert told == ["event 2 sent 2 times"]
    assert sum(step.wait_s for step in through(PaceEvents(0.5))[0]) == 2.0
    split, _ = through(PaceEvents(0.5), SplitEvents(4, 0.01))
    assert data(split) == STREAM
    assert max(len(step.data) for step in split) == 4
    assert data(through(InsertEvents(b": c\n\n", 2))[0]).count(b": c\n\n") == 2


def test_what_comes_after_the_end_does_not_pass() -> None:
    stream = EventStream()
    stream.add(CutEvents(0), lambda _: None)
    assert data(list(stream.feed(STREAM))) == b""
    assert [*stream.feed(STREAM), *stream.end()] == []
