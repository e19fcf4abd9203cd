"""The byte faults: what they refuse, how they read options, and the distributions of their delays."""

from __future__ import annotations

import math
import statistics

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.effect import HoldBytes, ResetConnection, StreamDirection
from chaosbot.core.errors import ConfigError
from chaosbot.core.exchange import Exchange
from chaosbot.core.fault import FAULTS
from chaosbot.injection._bytes_stages import Mark
from chaosbot.injection._bytes_stream import ByteStream

ONE = Exchange("one")


def effects(name, dice=None, **options):
    return FAULTS.build(name, options).effects(dice or Dice(1), ONE)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("latency", {}, "lacks its option 'delay'"),
        ("latency", {"delay": "5"}, "no unit"),
        ("latency", {"delay": "1s", "shape": "lognormal", "jitter": "1s"}, "jitter has no meaning for shape lognormal"),
        ("latency", {"delay": "0s", "shape": "pareto"}, "needs a delay above 0"),
        ("latency", {"delay": "1s", "shape": "gauss"}, "unknown choice for shape 'gauss'"),
        ("latency", {"delay": "1s", "stream": "left"}, "unknown choice for stream 'left'"),
        ("bandwidth", {"rate": "0"}, "at least 1 byte a second"),
        ("slicer", {"size": "0"}, "at least 1 byte"),
        ("reset_peer", {"when": "connect", "at_byte": "5"}, "at_byte has no meaning"),
        ("corrupt", {"share": "120%"}, "outside 0..1"),
        ("limit_data", {"limit": "-1b"}, "negative"),
    ],
)
def test_impossible_options_are_refused_with_the_rule(name, options, message):
    with pytest.raises(ConfigError, match=message):
        FAULTS.build(name, options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"when": "connect"}, ResetConnection(StreamDirection.UP, 0.0, None)),
        ({"when": "before"}, ResetConnection(StreamDirection.UP, 0.0, 0)),
        ({"when": "after", "delay": "1s"}, ResetConnection(StreamDirection.DOWN, 1.0, 0)),
        ({"when": "after", "at_byte": "1kB"}, ResetConnection(StreamDirection.DOWN, 0.0, 1000)),
    ],
)
def test_a_reset_is_set_off_by_the_clock_or_by_bytes(options, expected):
    assert effects("reset_peer", **options) == (expected,)


def test_both_directions_draw_from_dice_of_their_own():
    up, down = effects("latency", delay="1s", jitter="1s", stream="both")
    assert isinstance(up, HoldBytes)
    assert (up.stream, down.stream) == (StreamDirection.UP, StreamDirection.DOWN)
    assert up.dice != down.dice


def test_a_timeout_counts_from_the_last_bytes_that_it_swallowed():
    (effect,) = effects("timeout", after="1s", stream="up")
    line = ByteStream(StreamDirection.UP)
    line.set_effects((effect,), 0.0)
    assert line.due() == pytest.approx(1.0)
    line.feed(b"late", 0.9)
    assert line.take(1.5) == []
    assert line.due() == pytest.approx(1.9)
    assert line.take(1.9) == [Mark.FIN]


def delays(count=2000, **options):
    """The delays of single bytes on an idle line, on a virtual clock."""
    (effect,) = effects("latency", **options)
    line = ByteStream(StreamDirection.DOWN)
    line.set_effects((effect,), 0.0)
    seen, now = [], 0.0
    for _ in range(count):
        now += 100_000
        line.feed(b"x", now)
        line.take(now)
        due = line.due()
        seen.append(0.0 if due is None else due - now)
        line.take(now + 50_000)
    return seen


def test_uniform_delays_stay_in_their_range_and_fill_it():
    seen = delays(delay="100ms", jitter="40ms")
    assert 0.06 <= min(seen) < 0.065
    assert 0.135 < max(seen) <= 0.14
    assert statistics.fmean(seen) == pytest.approx(0.1, abs=0.0025)


def test_normal_delays_have_their_mean_and_deviation_and_are_never_negative():
    seen = delays(delay="100ms", jitter="20ms", shape="normal")
    assert statistics.fmean(seen) == pytest.approx(0.1, abs=0.002)
    assert statistics.stdev(seen) == pytest.approx(0.02, rel=0.1)
    assert min(delays(delay="1ms", jitter="20ms", shape="normal")) == 0.0


def test_lognormal_delays_have_their_median_and_sigma():
    seen = delays(delay="100ms", shape="lognormal", sigma="0.8")
    assert statistics.median(seen) == pytest.approx(0.1, rel=0.08)
    assert statistics.stdev(map(math.log, seen)) == pytest.approx(0.8, rel=0.08)


def test_pareto_delays_start_at_their_minimum_and_have_a_heavy_tail():
    seen = delays(delay="100ms", shape="pareto", alpha="1.5")
    assert min(seen) == pytest.approx(0.1, rel=0.01)
    # P(X > 2 minimum) = 2 ** -alpha
    assert sum(delay > 0.2 for delay in seen) / len(seen) == pytest.approx(2**-1.5, abs=0.04)


def test_most_bounds_every_delay():
    assert max(delays(delay="100ms", shape="pareto", alpha="0.5", most="1s")) == pytest.approx(1.0)


def correlation(seen):
    return statistics.correlation(seen[:-1], seen[1:])


def test_correlation_makes_neighbours_alike():
    options = {"delay": "100ms", "jitter": "40ms"}
    assert abs(correlation(delays(**options))) < 0.08
    assert correlation(delays(**options, correlation="90%")) > 0.8
    assert statistics.pstdev(delays(20, **options, correlation="100%")) == pytest.approx(0.0, abs=1e-9)


def test_the_same_seed_gives_the_same_delays():
    assert delays(50, delay="1s", jitter="1s") == delays(50, delay="1s", jitter="1s")
