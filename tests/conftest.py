"""What tests of any folder need to say about time without depending on how busy the machine is."""

import collections
import contextlib
import gc
import itertools
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

TRIES = 50


gc.disable()  # of what is imported and collected nothing is garbage, and looking for it takes a fifth of the time


def pytest_collection_finish() -> None:
    """Takes what was collected out of every later look for garbage: hundreds of megabytes that stay until the end."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test that is marked ``quick(n)`` all variants but the first n are slow."""
    seen: collections.Counter[str] = collections.Counter()
    for item in items:
        if (mark := item.get_closest_marker("quick")) is not None:
            name = item.nodeid.partition("[")[0]
            seen[name] += 1
            if seen[name] > mark.args[0]:
                item.add_marker(pytest.mark.slow)


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


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Names ports on which nobody listens and that nobody is given by chance.

    They lie below the range from which the kernel takes ports for everybody's connections (32768 and up), so between naming
    one and listening on it no other test's connection can take it away.
    """
    candidates = (10_000 + (977 * os.getpid() + step) % 20_000 for step in itertools.count())

    def name() -> int:
        for port in candidates:
            with contextlib.suppress(OSError):
                socket.create_server(("127.0.0.1", port)).close()
                return port
        raise AssertionError("unreachable")

    return name
