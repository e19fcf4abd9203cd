"""The pure line: whatever non-destructive effects are composed, all bytes arrive, in order, and in time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from chaosbot.core.dice import Dice
from chaosbot.core.effect import (
    BytesEffect,
    CorruptBytes,
    CutAfter,
    DelayLaw,
    Farewell,
    HoldBytes,
    HoldClose,
    PaceBytes,
    ResetConnection,
    Shape,
    Silence,
    SliceBytes,
    StreamDirection,
)
from chaosbot.injection._bytes_stages import Item, Mark
from chaosbot.injection._bytes_stream import ByteStream

UP = StreamDirection.UP
seeds = st.integers(0, 999).map(Dice)
delays = st.floats(0, 5, allow_nan=False)
laws = st.builds(
    DelayLaw,
    shape=st.sampled_from(Shape),
    centre_s=delays,
    spread_s=delays,
    parameter=st.floats(0.5, 3),
    correlation=st.floats(0, 1),
    most_s=st.just(10.0),
)
holds = st.builds(HoldBytes, stream=st.just(UP), law=laws, dice=seeds)
paces = st.builds(PaceBytes, stream=st.just(UP), bytes_per_s=st.floats(50, 1e6))
slices = st.builds(
    SliceBytes,
    stream=st.just(UP),
    average=st.integers(1, 300),
    variation=st.integers(0, 300),
    pause_s=st.floats(0, 0.1),
    dice=seeds,
)
closes = st.builds(HoldClose, stream=st.just(UP), seconds=delays)
gentle: st.SearchStrategy[BytesEffect] = holds | paces | slices | closes
chains = st.lists(gentle, max_size=4).map(tuple)
writes = st.lists(st.tuples(st.floats(0, 2), st.binary(min_size=1, max_size=500)), max_size=12)


def run(line: ByteStream, start: float, until: float = 1e9) -> list[tuple[float, Item]]:
    """Comes back at each due time, as a loop does."""
    seen: list[tuple[float, Item]] = []
    now = start
    while True:
        seen += [(now, item) for item in line.take(now)]
        due = line.due()
        if due is None or due > until:
            return seen
        now = max(now, due)


def data_of(seen: list[tuple[float, Item]]) -> bytes:
    return b"".join(item for _, item in seen if isinstance(item, bytes))


@given(chains, writes)
@settings(max_examples=200, deadline=None)
def test_all_bytes_arrive_in_order_and_the_end_comes_last(chain, steps):
    line, now, seen = ByteStream(UP), 0.0, []
    line.set_effects(chain, now)
    for pause, data in steps:
        seen += run(line, now, now + pause)
        now += pause
        line.feed(data, now)
    line.feed_end(now)
    seen += run(line, now)
    assert data_of(seen) == b"".join(data for _, data in steps)
    assert [item for _, item in seen if isinstance(item, Mark)] == [Mark.END]
    assert seen[-1][1] is Mark.END
    assert line.held == 0


@given(st.lists(chains, min_size=2, max_size=5), writes)
@settings(max_examples=200, deadline=None)
def test_changing_effects_at_any_moment_loses_and_reorders_nothing(changes, steps):
    line, now, seen = ByteStream(UP), 0.0, []
    for number, (pause, data) in enumerate(steps):
        line.set_effects(changes[number % len(changes)], now)
        line.feed(data, now)
        seen += run(line, now, now + pause)
        now += pause
    line.feed_end(now)
    line.set_effects((), now)
    seen += [(now, item) for item in line.take(now)]
    assert data_of(seen) == b"".join(data for _, data in steps)
    assert seen[-1][1] is Mark.END
    assert not line.active, "removing all effects releases everything at once"


@given(chains, writes, st.lists(st.floats(0.001, 3), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_a_late_look_changes_no_byte_and_ends_no_earlier_than_a_punctual_one(chain, steps, looks):
    punctual, late = ByteStream(UP), ByteStream(UP)
    for line in (punctual, late):
        line.set_effects(chain, 0.0)
        for _, data in steps:
            line.feed(data, 0.0)
        line.feed_end(0.0)
    exact = run(punctual, 0.0)
    lazy: list[Item] = []
    now = 0.0
    for look in looks:
        now += look
        lazy += late.take(now)
    assert lazy == [item for t, item in exact if t <= now]


@given(holds, writes)
@settings(max_examples=100, deadline=None)
def test_delay_counts_from_arrival_for_each_chunk(hold, steps):
    constant = replace(hold, law=DelayLaw(Shape.CONSTANT, 0.25))
    line, now = ByteStream(UP), 0.0
    line.set_effects((constant,), now)
    arrivals, seen = [], []
    for pause, data in steps:
        seen += run(line, now, now + pause)
        now += pause
        line.feed(data, now)
        arrivals.append(now)
    seen += run(line, now)
    assert [round(t - came, 9) for (t, _), came in zip(seen, arrivals, strict=True)] == [0.25] * len(steps)


@given(st.floats(100, 1e6), writes)
@settings(max_examples=100, deadline=None)
def test_no_stretch_of_a_paced_line_is_faster_than_its_rate(rate, steps):
    line, now, seen = ByteStream(UP), 0.0, []
    line.set_effects((PaceBytes(UP, rate),), now)
    for pause, data in steps:
        seen += run(line, now, now + pause)
        now += pause
        line.feed(data, now)
    seen += run(line, now)
    for first in range(len(seen)):
        passed = 0
        for t, item in seen[first + 1 :]:
            passed += len(item)
            assert passed <= rate * (t - seen[first][0]) * (1 + 1e-6) + 1e-3


@given(writes, st.integers(0, 3000), st.sampled_from(Farewell), chains)
@settings(max_examples=150, deadline=None)
def test_a_cut_passes_exactly_its_count_whatever_the_chunks(steps, count, farewell, chain):
    line = ByteStream(UP)
    line.set_effects((CutAfter(UP, count, farewell), *chain), 0.0)
    sent = b"".join(data for _, data in steps)
    for _, data in steps:
        line.feed(data, 0.0)
    line.feed_end(0.0)
    seen = run(line, 0.0)
    assert data_of(seen) == sent[:count]
    if sent and len(sent) >= count:
        endings = {Farewell.FIN: [Mark.FIN], Farewell.RST: [Mark.RST], Farewell.SILENCE: []}[farewell]
    else:
        endings = [Mark.END]
    assert [item for _, item in seen if isinstance(item, Mark)] == endings


@given(seeds, st.floats(0, 1), st.integers(0, 100), st.binary(max_size=2000), st.lists(st.integers(1, 99)))
@settings(max_examples=100, deadline=None)
def test_damage_depends_on_the_place_in_the_stream_not_on_chunks(dice, share, skip, data, cuts):
    whole, cut = ByteStream(UP), ByteStream(UP)
    effect = CorruptBytes(UP, share, dice, skip)
    for line in (whole, cut):
        line.set_effects((effect,), 0.0)
    whole.feed(data, 0.0)
    rest = data
    for size in cuts:
        cut.feed(rest[:size], 0.0)
        rest = rest[size:]
    cut.feed(rest, 0.0)
    damaged = data_of(run(whole, 0.0))
    assert damaged == data_of(run(cut, 0.0))
    assert damaged[:skip] == data[:skip]
    assert all((a ^ b).bit_count() <= 1 for a, b in zip(data, damaged, strict=True))
    if share == 1:
        assert all(a != b for a, b in zip(data[skip:], damaged[skip:], strict=True))


@given(writes, chains)
@settings(max_examples=50, deadline=None)
def test_a_silence_swallows_all_and_lifting_it_closes_the_connection(steps, chain):
    line = ByteStream(UP)
    silence = Silence(UP)
    line.set_effects((silence, *chain), 0.0)
    for _, data in steps:
        line.feed(data, 0.0)
    line.feed_end(0.0)
    assert run(line, 0.0) == []
    line.set_effects(chain, 100.0)
    assert [item for _, item in run(line, 100.0)] == [Mark.FIN]
    assert line.closed


def test_what_a_clock_triggers_overtakes_what_is_held():
    line = ByteStream(UP)
    dice = Dice(1)
    line.set_effects((ResetConnection(UP, 1.0), HoldBytes(UP, DelayLaw(Shape.CONSTANT, 60.0), dice)), 0.0)
    line.feed(b"x", 0.0)
    assert run(line, 0.0) == [(1.0, Mark.RST)]


def test_a_reset_after_bytes_waits_its_time_and_lets_nothing_more_pass():
    line = ByteStream(UP)
    line.set_effects((ResetConnection(UP, 0.5, 3),), 0.0)
    line.feed(b"ab", 1.0)
    line.feed(b"cdef", 2.0)
    line.feed(b"g", 2.1)
    assert run(line, 2.1) == [(2.1, b"ab"), (2.1, b"c"), (2.5, Mark.RST)]


def test_each_effect_is_reported_once_and_only_when_it_acted():
    acted: list[BytesEffect] = []
    line = ByteStream(UP, acted=acted.append)
    limit, silence = CutAfter(UP, 10), Silence(StreamDirection.DOWN)
    pace = PaceBytes(UP, 1000)
    line.set_effects((limit, silence, pace), 0.0)
    line.feed(b"12345", 0.0)
    run(line, 0.0)
    assert acted == [pace]
    line.feed(b"12345", 1.0)
    run(line, 1.0)
    assert acted == [pace, limit]


def test_a_patched_limit_keeps_what_it_has_counted():
    line = ByteStream(UP)
    line.set_effects((CutAfter(UP, 100),), 0.0)
    line.feed(b"x" * 60, 0.0)
    line.set_effects((CutAfter(UP, 70),), 1.0)
    line.feed(b"x" * 60, 1.0)
    assert data_of(run(line, 1.0)) == b"x" * 70


def test_a_patched_delay_measures_what_is_inside_anew():
    line = ByteStream(UP)
    dice = Dice(1)
    line.set_effects((HoldBytes(UP, DelayLaw(Shape.CONSTANT, 100.0), dice),), 0.0)
    line.feed(b"x", 0.0)
    line.set_effects((HoldBytes(UP, DelayLaw(Shape.CONSTANT, 3.0), dice),), 1.0)
    assert run(line, 1.0) == [(3.0, b"x")]
