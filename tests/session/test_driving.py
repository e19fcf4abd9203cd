"""How many processes share a load or a campaign: what was asked for holds, on a cluster too."""

from typing import Any

import pytest

from chaosbot.config.experiment import read_experiment
from chaosbot.session.driving import worker_processes
from chaosbot.workers import Worker

NOTHING: Any = None


@pytest.mark.parametrize(
    ("cluster", "asked", "count"),
    [
        (None, None, 1),
        (None, 3, 3),
        (None, 0, 0),
        ("tcp://127.0.0.1:1", 0, 0),  # nothing listens there, and nothing is asked
    ],
)
def test_the_number_of_processes_is_the_one_that_was_asked_for(
    cluster: str | None, asked: int | None, count: int
) -> None:
    with worker_processes(NOTHING, NOTHING, cluster, asked) as (found, start):
        assert (found, start) == (count, Worker)


def test_an_experiment_without_a_number_leaves_it_to_the_cluster() -> None:
    assert read_experiment("resilience").workload.processes is None
