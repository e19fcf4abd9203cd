"""`chaosbot proxy --replay` as a process: the same faults happen to the same exchanges, in whatever order they come."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosbot.transport import Address, Connection
from tests.support.proxied import POST, answering, proxied


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """A server that answers every request with 200."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as url:
        yield url


def statuses(url: str, order: list[int]) -> dict[int, int | None]:
    with Connection(Address.parse(url)) as connection:
        return {number: connection.exchange(POST % number).status for number in order}


def test_a_recorded_run_happens_again_to_the_same_exchanges(service: str, tmp_path: Path) -> None:
    faults = ("--fault", "abort:503;p=0.5;path=/hook/*", "--fault", "abort:502;every=7", "--seed", "7")
    with proxied(service, tmp_path / "first", *faults) as url:
        first = statuses(url, list(range(20)))
    assert set(first.values()) == {200, 502, 503}
    with proxied(service, tmp_path / "second", "--replay", str(tmp_path / "first")) as url:
        again = statuses(url, list(reversed(range(20))))
    assert again == first


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--replay", "{tmp}/none"), "name one that a run wrote"),
        (("--replay", "{tmp}", "--fault", "abort:503"), "brings its own plan"),
    ],
)
def test_what_cannot_be_replayed_is_said_at_once(
    service: str, tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    command = [sys.executable, "-m", "chaosbot", "proxy", service, "--listen", "127.0.0.1:0", "--duration", "1s"]
    filled = [option.format(tmp=tmp_path) for option in options]
    ran = subprocess.run(
        [*command, *filled],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "300"},
    )
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert why in " ".join((ran.stdout + ran.stderr).split())
