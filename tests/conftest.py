"""What tests of any folder need to say about time without depending on how busy the machine is."""

import time
from collections.abc import Callable
from typing import Any

import pytest

TRIES = 50


@pytest.fixture
def soon() -> Callable[..., float]:
    """Says how long something takes when the machine lets it: the shortest of many tries.

    A busy machine makes some tries slow, a defect makes all of them slow. So a figure below `below` ends it at the first
    try that shows it, and a test that fails has seen the defect fifty times.
    """

    def shortest(attempt: Callable[[], Any], below: float) -> float:
        best = float("inf")
        for _ in range(TRIES):
            began = time.monotonic()
            attempt()
            best = min(best, time.monotonic() - began)
            if best < below:
                break
        return best

    return shortest
