"""Stream clients against the demo's market service and against servers that refuse or drop them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.event import Noted
from chaosbot.core.platform import Endpoint

Serve = Load = Callable[..., Any]
TOKEN = "token-of-the-market-tests"


@pytest.fixture(scope="module")
def market() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "chaosbot.demo", "--exit-with-stdin", "--no-supervised"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"WS_AUTH_TOKEN": TOKEN},
    ) as process:
        yield process.stdout.readline().split()[1]
        process.stdin.close()


def notes(done: Any) -> dict[str, dict[str, Any]]:
    return {note.data["name"]: note.data for note in done.all(Noted) if note.area == "stream"}


def drive(load: Load, url: str, **more: Any) -> Any:
    host = url.split("/")[2]
    return load(
        url + "/",
        "smoke",
        {"users": 32, "spawn_rate": "1000/s", "duration": "3s"},
        platform="market",
        endpoint=Endpoint(host),
        **more,
    )


def test_every_scenario_runs_beside_the_rest_clients(market: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", TOKEN)
    done = drive(load, market)
    seen = notes(done)
    assert set(seen) == {"market_stream", "burst_test", "reconnect_storm"}
    for name, data in seen.items():
        assert data["refused"] == data["dropped"] == 0, name
        # Ticks come every 0.2 s, so the gaps are at most that in the mean of a client that sees them all.
        assert data["messages"] >= 10, name
        assert data["gap_ms"]["p50"] > 0, name
        assert 0 <= data["latency_ms"]["p50"] < 5000, name
        assert data["connect_ms"]["p50"] > 0, name
    assert seen["reconnect_storm"]["connections"] > 3 * seen["market_stream"]["connections"]
    tasks: dict[str, int] = {}
    for frame in done.frames:
        for task, count in frame.tasks.items():
            tasks[task] = tasks.get(task, 0) + count
    assert {"snapshot", "foreign-detail", "components", "alerts", "market_stream:message"} <= set(tasks)
    assert tasks["snapshot"] > tasks["alerts"]
    assert done.result.failed == 0
    assert max(frame.active_users for frame in done.frames) >= 30


def test_without_the_token_every_connection_is_refused_or_closed(
    market: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WS_AUTH_TOKEN", raising=False)
    seen = notes(drive(load, market, streams=("market_stream",)))
    assert seen["market_stream"]["messages"] == 0
    assert seen["market_stream"]["dropped"] + seen["market_stream"]["refused"] >= 8


def test_a_server_that_speaks_no_websocket_is_counted_as_refusing(serve: Serve, load: Load) -> None:
    async def plain(asked: Any, _hand: Any) -> bytes:
        status = b"200 OK" if b"upgrade" not in asked.head.lower() else b"404 Not Found"
        return b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status

    url = serve(plain).url.removesuffix("/webhook/telegram")
    done = drive(load, url, streams=("market_stream",))
    assert notes(done)["market_stream"]["refused"] >= 8
    assert set(done.errors()) == {"status_404"}


def test_a_server_that_resets_or_stays_silent_is_counted(serve: Serve, load: Load) -> None:
    async def hostile(asked: Any, hand: Any) -> bytes | None:
        if b"upgrade" not in asked.head.lower():
            return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        if asked.number % 2:
            hand.reset()
        else:
            await asyncio.sleep(3600)
        return None

    url = serve(hostile).url.removesuffix("/webhook/telegram")
    done = drive(load, url, streams=("reconnect_storm",), connect_timeout_s=0.3)
    assert {"reset", "connect_timeout"} <= set(done.errors()) or done.result.cancelled > 0
    assert done.result.completed > 0


def test_streams_can_be_switched_off_and_unknown_ones_are_named(market: str, load: Load) -> None:
    assert notes(drive(load, market, streams=("none",))) == {}
    with pytest.raises(UnknownName, match="unknown stream 'market_steam'; did you mean 'market_stream'"):
        drive(load, market, streams=("market_steam",))


def test_a_token_refused_after_the_upgrade_is_an_error_of_each_connection(
    market: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", "wrong")
    done = drive(load, market, streams=("market_stream",))
    data = notes(done)["market_stream"]
    assert data["messages"] == 0
    assert data["failed_connects"] or data["closes"]
    assert sum(done.errors().values()) >= 8


def test_streams_with_arrivals_or_a_journey_are_refused_and_those_without_clients_are_named(
    market: str, load: Load, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", TOKEN)
    with pytest.raises(ConfigError, match="--stream: needs users who stay connected"):
        drive(load, market, streams=("market_stream",), rate=10.0)
    with pytest.raises(ConfigError, match="--stream: cannot be combined with --journey"):
        drive(load, market, streams=("market_stream",), journey=tmp_path / "x.py")
    few = load(
        market + "/",
        "smoke",
        {"users": 8, "spawn_rate": "1000/s", "duration": "1s"},
        platform="market",
        endpoint=Endpoint(market.split("/")[2]),
    )
    missing = [note.data["name"] for note in few.all(Noted) if note.area == "stream-missing"]
    assert missing == ["burst_test", "reconnect_storm"]
