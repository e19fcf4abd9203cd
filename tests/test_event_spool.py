"""The spool of a run's events: whatever was appended is there in order, in memory or not."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosbot import journal
from chaosbot.core.event import ApiCalled, Event, Noted
from chaosbot.journal import EventSpool

PLACES = st.integers(-40, 40)


def event(number: int) -> Event:
    return ApiCalled(float(number), "m", number) if number % 3 else Noted(float(number), "a", "line\nbreak", {"n": 1})


@given(
    st.integers(0, 30), st.integers(1, 12), PLACES, st.none() | PLACES, st.none() | PLACES, st.sampled_from([1, 2, -1])
)
def test_a_spool_reads_like_a_list(
    count: int, recent: int, at: int, low: int | None, high: int | None, step: int
) -> None:
    spool, listed = EventSpool(recent), [event(number) for number in range(count)]
    for one in listed:
        spool.append(one)
    assert list(spool) == listed
    assert list(reversed(spool)) == listed[::-1]
    assert len(spool) == count
    assert list(spool[low:high:step]) == listed[low:high:step]
    if -count <= at < count:
        assert spool[at] == listed[at]
    else:
        with pytest.raises(IndexError):
            spool[at]


def test_a_walk_sees_what_was_there_and_a_history_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MOST_HELD", 4)
    spool = EventSpool(2)
    for number in range(10):
        spool.append(event(number))
    walk = iter(spool)
    first = next(walk)
    history = spool.history()
    spool.append(event(10))
    assert [first, *walk] == [event(number) for number in range(10)]
    assert [call.chat for call in history.all(ApiCalled)] == [1, 2, 4, 5, 7, 8]
    assert [note.t for note in history.all(Noted)] == [0.0, 3.0, 6.0, 9.0]
    assert len(list(history.events)) == 10


def test_threads_append_side_by_side() -> None:
    spool = EventSpool(5)
    threads = [threading.Thread(target=lambda: [spool.append(event(n)) for n in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert all(isinstance(one, ApiCalled | Noted) for one in spool)
    assert sorted(one.t for one in spool) == sorted(float(n) for n in range(200) for _ in range(4))
