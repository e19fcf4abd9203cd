"""The catalogue against a healthy bot: every case is within its expectation, over real sockets."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chaosbot.core.case import Case, Ending
from chaosbot.core.dice import Dice
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.fuzz.catalogue import cases
from chaosbot.transport import Address, send

SECRET = "s3cret-Token_9"
ENDED = (Fate.CLOSED, Fate.RESET)


@pytest.fixture
def demo() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "chaosbot.demo", "--exit-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TELEGRAM_SECRET_TOKEN": SECRET},
        text=True,
    )
    try:
        yield process.stdout.readline().split()[1]
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def within(case: Case, outcome: Outcome) -> bool:
    if outcome.fate is Fate.ANSWERED:
        return case.expect.allows_status(outcome.status)
    if case.ending in (Ending.CLOSE, Ending.RESET):
        return outcome.fate in (*ENDED, Fate.CANCELLED)
    return case.expect.close and outcome.fate in ENDED


def sent(catalogue, address) -> list[str]:
    """The cases that are not within their expectation, in words."""
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda case: send(case, address, timeout_s=30.0), catalogue))
    pairs = zip(catalogue, outcomes, strict=True)
    return [f"{c.name}: {o.fate} {o.status} {o.detail}" for c, o in pairs if not within(c, o)]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_healthy_bot_meets_every_expectation(demo, seed) -> None:
    address = Address.parse(f"{demo}/webhook/telegram")
    endpoint = Endpoint(f"127.0.0.1:{address.port}", "/webhook/telegram", SECRET)
    catalogue = cases(PLATFORMS.build("telegram"), endpoint, Dice(seed))
    assert len(catalogue) > 1000
    assert sent(catalogue, address) == []


def test_a_healthy_market_meets_every_expectation(demo) -> None:
    address = Address.parse(demo)
    catalogue = cases(PLATFORMS.build("market"), Endpoint(f"127.0.0.1:{address.port}"), Dice(1))
    assert sent(catalogue, address) == []


def test_a_test_of_expectations_can_fail(demo) -> None:
    address = Address.parse(f"{demo}/nowhere")
    endpoint = Endpoint(f"127.0.0.1:{address.port}", "/nowhere", SECRET)
    catalogue = [c for c in cases(PLATFORMS.build("telegram"), endpoint, Dice(1)) if c.group == "update_kinds"][:5]
    assert len(sent(catalogue, address)) == 5
