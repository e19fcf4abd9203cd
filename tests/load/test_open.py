"""The open executor: what becomes of arrivals that a generator did not get to."""

from typing import Any

import pytest

from chaosbot.core.arrival import Population, Shard
from chaosbot.core.dice import Dice
from chaosbot.core.pacer import Pacer
from chaosbot.core.platform import PLATFORMS
from chaosbot.load.aggregator import MetricsAggregator
from chaosbot.load.event_loop import EventLoop
from chaosbot.load.open import OpenExecutor


def stuck(pacer: Pacer, shard: Shard, at: float) -> MetricsAggregator:
    """A generator that is given up at a moment, without having been there before."""
    moment = [0.0]
    aggregator = MetricsAggregator(lambda _event: None, 0.0)
    people = Population(tuple(PLATFORMS.build("telegram").journeys()), Dice(1))
    unused: Any = None
    loop = EventLoop(lambda: moment[0], sockets=False)
    executor = OpenExecutor(loop, aggregator, unused, unused, None, pacer, people, Dice(1), shard, 0.0)
    executor.begin()
    moment[0] = at
    executor.give_up()
    return aggregator


@pytest.mark.parametrize(
    ("at", "due"), [(0.0, 0), (0.0105, 11), (10.0, 10_000), (3600.0, 3_600_000), (9999.0, 3_600_000)]
)
def test_what_was_missed_is_counted_however_much_it_is(at: float, due: int) -> None:
    aggregator = stuck(Pacer.constant(1000.0, 3600.0), Shard(), at)
    assert aggregator.now.planned == aggregator.now.dropped == pytest.approx(due, abs=1)
    assert len(aggregator.lateness()) <= 1, "a number for each of millions is memory that grows"


def test_shards_miss_together_what_one_process_would_miss() -> None:
    pacer = Pacer.constant(1000.0, 3.0)
    together = [stuck(pacer, Shard(index, 3), 2.0).now.planned for index in range(3)]
    assert sum(together) == pytest.approx(stuck(pacer, Shard(), 2.0).now.planned, abs=1)
    assert all(together)
