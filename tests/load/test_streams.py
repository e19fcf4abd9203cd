"""Stream clients against the demo's market service and against servers that refuse or drop them."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import generate_accept_token

from chaosbot.core.check import History
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, UnknownName, UsageError
from chaosbot.core.event import Noted, RunStarted, Trouble
from chaosbot.core.platform import Endpoint
from chaosbot.core.verdict import Verdict
from chaosbot.load import hooks, streams
from chaosbot.load.spec import Wish
from chaosbot.report import fold
from chaosbot.report.intervals import load_of, seconds_of
from chaosbot.report.terminal import render_terminal
from chaosbot.report.values import StreamRow
from chaosbot.reporters.html import render_html
from chaosbot.reporters.json import to_json
from chaosbot.workers import Worker
from tests.test_locustfile import start

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


def rows(done: Any) -> dict[str, StreamRow]:
    """What a report says of each stream."""
    history = History.of([RunStarted(0.0, "load", "1", 1, "t", ""), *done.events])
    load = load_of(history, seconds_of(history).seconds, Dice(1))
    return {row.name: row for row in load.streams} if load is not None else {}


def upgraded(asked: Any, *frames: bytes) -> bytes:
    """The answer to a handshake, with what the server says at once; a small answer to any other request."""
    key = asked.header("sec-websocket-key")
    if key is None:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    return head.encode() + generate_accept_token(key.encode()) + b"\r\n\r\n" + b"".join(frames)


def said(*events: Event) -> bytes:
    """Frames of a server."""
    protocol = Connection(ConnectionType.SERVER)
    return b"".join(protocol.send(event) for event in events)


def verdict(done: Any) -> Verdict:
    """A run's verdict, as far as it is about streams or a promise; nobody recorded its end."""
    report = fold(History.of([RunStarted(0.0, "load", "1", 1, "t", ""), *done.events]))
    told = any(reason.startswith("stream ") for reason in report.reasons)
    return Verdict.FAIL if report.verdict is Verdict.FAIL else Verdict.INCONCLUSIVE if told else Verdict.PASS


def drive(load: Load, url: str, duration: str = "3s", **more: Any) -> Any:
    host = url.split("/")[2]
    return load(
        url + "/",
        "smoke",
        {"users": 32, "spawn_rate": "1000/s", "duration": duration},
        platform="market",
        endpoint=Endpoint(host),
        **more,
    )


def alone(load: Load, target: Any, **more: Any) -> Any:
    """A short run with one stream against a scripted target; eight clients connect at least once."""
    url = target.url.removesuffix("/webhook/telegram")
    return drive(load, url, "1s", **({"streams": ("market_stream",)} | more))


def test_every_scenario_runs_beside_the_rest_clients(market: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", TOKEN)
    done = drive(load, market)
    seen = rows(done)
    assert set(seen) == {"market_stream", "burst_test", "reconnect_storm"}
    for name, row in seen.items():
        assert (row.failed, row.broken) == ({}, 0), name
        # Ticks come every 0.2 s, so the gaps are at most that in the mean of a client that sees them all.
        assert row.messages >= 10, name
        assert (row.gap.p50 or 0) > 0, name
        assert 0 <= (row.latency.p50 or 0) < 5, name
        assert (row.connect.p50 or 0) > 0, name
    assert seen["reconnect_storm"].connects > 3 * seen["market_stream"].connects
    tasks: dict[str, int] = {}
    for frame in done.frames:
        for task, count in frame.tasks.items():
            tasks[task] = tasks.get(task, 0) + count
    assert {"snapshot", "foreign-detail", "components", "alerts", "market_stream:session"} <= set(tasks)
    assert tasks["snapshot"] > tasks["alerts"]
    assert done.result.failed == 0
    assert max(frame.active_users for frame in done.frames) >= 30


def test_without_the_token_every_connection_is_refused_or_closed(
    market: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WS_AUTH_TOKEN", raising=False)
    done = drive(load, market, streams=("market_stream",))
    row = rows(done)["market_stream"]
    assert row.messages == 0
    assert row.broken + sum(row.failed.values()) >= 8
    (note,) = (one.text for one in done.all(Noted) if one.area == "stream-token")
    assert note == "WS_AUTH_TOKEN is not set, so the clients of market_stream connect without a token"


@pytest.mark.parametrize("own", [True, False])
def test_a_machine_without_the_token_is_named_before_anything_is_sent(
    serve: Serve, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: bool
) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", TOKEN)
    journey = tmp_path / "journey.py"
    journey.write_text(
        "from chaosbot.core.journey import StreamAction, StreamSpec\n\n\n"
        "def streams():\n"
        "    return (StreamSpec('prices', StreamAction.SUBSCRIBE, '/ws', token_param='token'),)\n"
    )

    def elsewhere(*arguments: Any, **more: Any) -> Worker:
        with monkeypatch.context() as there:
            there.delenv("WS_AUTH_TOKEN")
            return Worker(*arguments, **more)

    target = serve()
    with pytest.raises(UsageError, match=f"machine {platform.node()}: .* WS_AUTH_TOKEN is not set there"):
        alone(load, target, hooks={"start_worker": elsewhere}, journey=journey if own else None, streams=())
    assert not target.asked


def test_a_server_that_speaks_no_websocket_is_counted_as_refusing(serve: Serve, load: Load) -> None:
    async def plain(asked: Any, _hand: Any) -> bytes:
        status = b"200 OK" if b"upgrade" not in asked.head.lower() else b"404 Not Found"
        return b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status

    url = serve(plain).url.removesuffix("/webhook/telegram")
    done = drive(load, url, streams=("market_stream",))
    assert rows(done)["market_stream"].failed == {"status_404": done.errors()["status_404"]}
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


@pytest.mark.parametrize("together", [False, True], ids=["with its handshake", "later"])
def test_a_close_in_one_segment_with_a_message_is_an_error_with_its_code(
    serve: Serve, load: Load, together: bool
) -> None:
    last = said(TextMessage("{}"), CloseConnection(1008, "who are you"))

    async def ends(asked: Any, hand: Any) -> bytes | None:
        if together or asked.header("sec-websocket-key") is None:
            return upgraded(asked, last)
        hand.say(upgraded(asked))
        await hand.writer.drain()
        hand.say(last)  # and the connection stays open, as a server waits for the answer to its close
        return None

    done = alone(load, serve(ends))
    row = rows(done)["market_stream"]
    assert row.broken == row.messages == row.ends["1008"] >= 8
    assert done.errors()["closed"] == row.broken
    assert verdict(done) is Verdict.FAIL


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (['{"type": "error", "code": "unauthorized"}'], Verdict.FAIL),
        (["{}", "Unauthorized: who are you?"], Verdict.FAIL),
        (['{"type": "bye"}'], Verdict.INCONCLUSIVE),
        (["{}", "{}", '{"done": true, "error": null}'], Verdict.PASS),
    ],
    ids=["an error", "an error in words after a greeting", "who knows what", "all of it"],
)
def test_what_a_server_said_before_it_closes_normally_decides(
    serve: Serve, load: Load, texts: list[str], expected: Verdict
) -> None:
    async def ends(asked: Any, _hand: Any) -> bytes:
        return upgraded(asked, said(*map(TextMessage, texts), CloseConnection(1000, "")))

    done = alone(load, serve(ends))
    row = rows(done)["market_stream"]
    assert verdict(done) is expected
    assert (row.early == row.connects) is (expected is Verdict.INCONCLUSIVE)
    assert (row.broken == row.connects == row.ends.get("error_message")) is (expected is Verdict.FAIL)


@pytest.mark.parametrize(
    ("manner", "text", "expected"),
    [
        ("on_message=look", "{}", Verdict.INCONCLUSIVE),
        ("finite=True", "{}", Verdict.PASS),
        ("finite=True", "", Verdict.FAIL),
        ("silent=True", "", Verdict.INCONCLUSIVE),
        ("silent=True, finite=True", "", Verdict.PASS),
    ],
)
def test_a_scenario_says_whether_its_server_may_end_it_soon(
    serve: Serve, load: Load, tmp_path: Path, manner: str, text: str, expected: Verdict
) -> None:
    async def ends(asked: Any, _hand: Any) -> bytes:
        return upgraded(asked, said(*[TextMessage(text)] * bool(text), CloseConnection(1000, "")))

    file = tmp_path / "own.py"
    file.write_text(JOURNEY.replace("WHAT", "").replace("on_message=look", manner))
    assert verdict(alone(load, serve(ends), journey=file, streams=())) is expected


def test_a_stream_that_dries_up_breaks_its_own_habit(serve: Serve, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaosbot.core.stream_end._BEGINNING_S", 0.0)
    monkeypatch.setattr("chaosbot.core.stream_end._SHORTEST_S", 0.5)

    async def dries(asked: Any, hand: Any) -> bytes | None:
        if asked.header("sec-websocket-key") is None:
            return upgraded(asked)
        hand.say(upgraded(asked))
        for _ in range(4):
            hand.say(said(TextMessage("{}")))
            await hand.writer.drain()
            await asyncio.sleep(0.01)
        await asyncio.sleep(3600)
        return None

    done = alone(load, serve(dries))
    row = rows(done)["market_stream"]
    assert row.dried == row.connects >= 8
    assert (row.quiet, row.broken, row.unknown) == (0, 0, "")
    assert f"{row.dried} of its connections fell silent" in row.dry
    assert verdict(done) is Verdict.INCONCLUSIVE


@pytest.mark.slow
def test_in_locust_a_refusal_by_a_text_and_a_normal_close_is_a_failure(serve: Serve, tmp_path: Path) -> None:
    async def ends(asked: Any, _hand: Any) -> bytes:
        return upgraded(asked, said(TextMessage('{"type": "error"}'), CloseConnection(1000, "")))

    url = serve(ends).url.removesuffix("/webhook/telegram")
    run = start(*f"--host {url} --headless -u 2 -r 2 -t 2s MarketStreamUser".split(), folder=tmp_path)
    told, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "closed with 1000 after 1 messages, the last one an error" in told


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_connection_that_is_dropped_without_a_close_frame_is_an_error(serve: Serve, load: Load, how: str) -> None:
    async def drops(asked: Any, hand: Any) -> bytes | None:
        if asked.header("sec-websocket-key") is None:
            return upgraded(asked)
        hand.say(upgraded(asked, said(TextMessage("{}"))))
        await hand.writer.drain()
        await asyncio.sleep(0.1)  # a reset takes away what was not read yet
        getattr(hand, how)()
        return None

    done = alone(load, serve(drops))
    row = rows(done)["market_stream"]
    assert row.broken == row.ends["1006"] >= 8
    assert set(row.ends) == {"1006"}
    assert verdict(done) is Verdict.FAIL


def test_a_frame_that_is_none_is_the_servers_error(serve: Serve, load: Load) -> None:
    async def garbles(asked: Any, _hand: Any) -> bytes:
        return upgraded(asked, said(TextMessage("{}")), b"\xff\xff\xff")

    done = alone(load, serve(garbles))
    row = rows(done)["market_stream"]
    assert row.broken == row.ends["bad_frame"] >= 8
    assert verdict(done) is Verdict.FAIL


def test_a_message_without_an_end_is_the_servers_error(
    serve: Serve, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaosbot.load.streams.MOST_MESSAGE", 10_000)

    async def announces(asked: Any, hand: Any) -> bytes | None:
        if asked.header("sec-websocket-key") is None:
            return upgraded(asked)
        hand.say(upgraded(asked, said(TextMessage("{}")), b"\x82\x7f\x3f" + bytes(7)))
        for _ in range(5):
            hand.say(bytes(4096))
        await hand.writer.drain()
        await asyncio.sleep(3600)
        return None

    done = alone(load, serve(announces))
    row = rows(done)["market_stream"]
    assert row.broken == row.ends["too_long"] >= 8
    assert done.errors()["closed"] == row.broken


def test_a_stream_that_only_pings_is_told_as_quiet_unless_it_is_said_to_be(
    serve: Serve, load: Load, tmp_path: Path
) -> None:
    async def pings(asked: Any, _hand: Any) -> bytes:
        return upgraded(asked, said(Ping(b"you"), Ping(b"still")))

    row = rows(alone(load, serve(pings)))["market_stream"]
    assert (row.broken, row.messages, row.failed) == (0, 0, {})
    assert row.quiet == row.connects >= 8
    assert "no message came" in row.unknown
    assert (row.gap.p50 or 0) > 0
    file = tmp_path / "own.py"
    file.write_text(JOURNEY.replace("WHAT", "").replace("on_message=look", "silent=True"))
    only_sends = rows(alone(load, serve(pings), journey=file, streams=()))["ticks"]
    assert only_sends.connects >= 8
    assert (only_sends.quiet, only_sends.unknown, only_sends.gap.p50) == (0, "", None)


def test_every_form_of_the_report_tells_how_a_stream_went(serve: Serve, load: Load) -> None:
    numbers = itertools.count()

    async def ends(asked: Any, _hand: Any) -> bytes:
        number = next(numbers) if asked.header("sec-websocket-key") else 0
        if number % 4 == 1:
            return b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
        stamped = TextMessage(json.dumps({"ts": time.time()}))
        return upgraded(asked, said(stamped, *[CloseConnection(4401, "")] * (number % 2)))

    done = alone(load, serve(ends))
    report = fold(History.of([RunStarted(0.0, "load", "1", 1, "t", ""), *done.events]))
    (one,) = to_json(report)["load"]["streams"]
    assert (one["failed_connects"].keys(), one["closes"].keys()) == ({"status_403"}, {"4401"})
    for times in ("gap_ms", "latency_ms", "connect_ms"):
        assert all(one[times][share] > 0 for share in ("p50", "p95", "p99")), times
    assert one["messages_per_s"] > 0
    text = io.StringIO()
    render_terminal(report, Console(file=text, width=100))
    for shown in (text.getvalue(), render_html(report)):
        for told in ("failed with status_403", "closed with 4401"):
            assert told in shown


def test_a_client_waits_for_the_goodbye_of_its_server(serve: Serve, load: Load) -> None:
    seen: list[str] = []

    async def talks(asked: Any, hand: Any) -> bytes | None:
        if asked.header("sec-websocket-key") is None:
            return upgraded(asked)
        hand.say(upgraded(asked))
        protocol = Connection(ConnectionType.SERVER)
        try:
            while True:
                protocol.receive_data(await hand.reader.read(1 << 16) or None)
                for event in protocol.events():
                    if isinstance(event, CloseConnection):
                        for late in range(50):  # what the client will not read any more
                            hand.say(said(TextMessage(f"late {late}")))
                        hand.say(protocol.send(event.response()))
                        await hand.reader.read(1)
                        seen.append(str(event.code))
                        return None
                    if isinstance(event, TextMessage):
                        hand.say(protocol.send(TextMessage("{}")))
        except ConnectionError:
            seen.append("reset")
        return None

    alone(load, serve(talks), streams=("reconnect_storm",))
    # At the run's end some leave in the middle of their handshake, and on a busy machine an answer may come too late.
    assert seen.count("1000") >= 8
    assert seen.count("1000") > 4 * seen.count("reset")


@pytest.mark.parametrize("message", ['[{"ts": %d}, {"ts": 1}]', '{"ts": %d123}', '{"ts": %d.5}'])
def test_messages_tell_their_age_in_seconds_milliseconds_and_batches(message: str) -> None:
    assert streams._stamp((message % 1_700_000_000).encode()) == pytest.approx(1_700_000_000, abs=1)


def test_streams_can_be_switched_off_and_unknown_ones_are_named(market: str, load: Load) -> None:
    assert rows(drive(load, market, streams=("none",))) == {}
    with pytest.raises(UnknownName, match="unknown stream 'market_steam'; did you mean 'market_stream'"):
        drive(load, market, streams=("market_steam",))


def test_a_token_refused_after_the_upgrade_is_an_error_of_each_connection(
    market: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", "wrong")
    done = drive(load, market, streams=("market_stream",))
    row = rows(done)["market_stream"]
    assert row.messages == 0
    assert row.trouble
    assert row.gap.p50 is None
    assert sum(done.errors().values()) >= 8
    assert verdict(done) is Verdict.FAIL


def test_streams_with_arrivals_are_refused_and_those_without_clients_are_named(
    market: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", TOKEN)
    with pytest.raises(ConfigError, match="--stream: needs users who stay connected"):
        drive(load, market, streams=("market_stream",), rate=10.0)
    with pytest.raises(ConfigError, match="--class: needs users who stay connected"):
        drive(load, market, classes=(("market_stream", 1.0),), rate=10.0)
    few = load(
        market + "/",
        "smoke",
        {"users": 8, "spawn_rate": "1000/s", "duration": "1s"},
        platform="market",
        endpoint=Endpoint(market.split("/")[2]),
    )
    missing = {note.data["name"] for note in few.all(Noted) if note.area == "stream-missing"}
    assert len(missing) == 3
    assert missing < {"market_stream", "foreign_flow", "burst_test", "reconnect_storm"}
    shown = {name: row.trouble for name, row in rows(few).items() if row.trouble.startswith("did not run: 8 users")}
    assert shown.keys() == missing
    arrivals = drive(load, market, "1s", rate=20.0)
    assert all(row.missing for row in rows(arrivals).values())


JOURNEY = """
import json
from chaosbot.core.journey import JourneySpec, StreamAction, StreamMessage, StreamSpec, Task
from chaosbot.core.platform import Request

def journeys():
    return (JourneySpec("reader", 1.0, (0.05, 0.1), (Task("read"),), range(10)),)

def build(task, user, ordinal, dice, endpoint):
    return Request(f"GET /api/market/snapshot HTTP/1.1\\r\\nHost: {endpoint.host}\\r\\n\\r\\n".encode(), task)

def look(message: StreamMessage):
    data = message.json()
    WHAT
    return ['{"action": "subscribe", "symbols": ["VIC"]}'] if message.number == 1 else None

def streams():
    return (
        StreamSpec(
            "ticks", StreamAction.SUBSCRIBE, "/ws/market", "token", ('{"action": "subscribe", "symbols": ["VCB"]}',),
            stay_s=(5.0, 9.0), on_message=look,
        ),
    )
"""


def own(load: Load, market: str, folder: Path, what: str, **more: Any) -> Any:
    file = folder / "own.py"
    file.write_text(JOURNEY.replace("WHAT", what))
    return drive(load, market, journey=file, **more)


def test_a_journey_file_brings_its_own_streams_beside_its_own_requests(
    market: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", TOKEN)
    done = own(load, market, tmp_path, "assert isinstance(data, dict)")
    row = rows(done)["ticks"]
    assert row.messages > row.connects >= 4
    assert row.broken == 0
    assert done.result.failed == 0
    assert sum(frame.tasks.get("read", 0) for frame in done.frames) > 20


@pytest.mark.slow
def test_a_hook_that_refuses_a_message_fails_its_connection_and_one_that_is_broken_spoils_the_run(
    market: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", TOKEN)
    refused = own(load, market, tmp_path, "assert 'price of nothing' in data, 'no price'")
    row = rows(refused)["ticks"]
    assert row.broken == row.ends["on_message"] >= 4
    assert not refused.all(Trouble)
    broken = own(load, market, tmp_path, "data['no such key']")
    assert (rows(broken)["ticks"].broken, broken.errors()) == (0, {})
    (trouble,) = broken.all(Trouble)
    assert trouble.where == "stream ticks"
    assert "on_message raised KeyError" in trouble.what
    assert "own.py:14" in trouble.what


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("raise SystemExit(3)", "raised SystemExit: 3 ({file}:14)"),
        ("raise KeyboardInterrupt", "raised KeyboardInterrupt:  ({file}:14)"),
        ("raise BaseException('all')", "raised BaseException: all ({file}:14)"),
        ("return {'action': 'ping'}", "returned a dict; it must return texts, or None ({file}:12)"),
        ("return [{'action': 'ping'}]", "returned a dict; clients send texts (str, or bytes of UTF-8) ({file}:12)"),
        ("return True", "returned a bool; it must return texts, or None ({file}:12)"),
        ("while True: pass", "still ran after 0.2 s ({file}:14)"),
        ("return (str(n) for n in __import__('itertools').count())", "still ran after 0.2 s ({file}:14)"),
    ],
)
@pytest.mark.quick(3)
def test_a_hook_that_leaves_never_ends_or_answers_nonsense_is_told_with_its_line(
    serve: Serve, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, says: str
) -> None:
    monkeypatch.setattr(hooks, "OVERDUE_S", 0.2)
    monkeypatch.setattr(hooks, "_LOOK_S", 0.05)

    async def speaks(asked: Any, _hand: Any) -> bytes:
        return upgraded(asked, said(TextMessage("{}")))

    done = own(load, serve(speaks).url.removesuffix("/webhook/telegram"), tmp_path, what, duration="1s")
    assert done.result.how == "completed"
    assert rows(done)["ticks"].broken == 0
    told = {trouble.what for trouble in done.all(Trouble) if trouble.where == "stream ticks"}
    assert told == {"on_message " + says.format(file=tmp_path / "own.py")}


def test_a_slow_hook_is_named(serve: Serve, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "SLOW_S", 0.0)

    async def speaks(asked: Any, _hand: Any) -> bytes:
        return upgraded(asked, said(TextMessage("{}")))

    done = own(load, serve(speaks).url.removesuffix("/webhook/telegram"), tmp_path, "", duration="1s")
    (trouble,) = done.all(Trouble)
    assert "on_message took 0.0 s, and nothing else is sent or read meanwhile" in trouble.what
    assert trouble.what.endswith("own.py:12)")


def test_who_takes_part_can_be_chosen_by_kind_and_by_stream(
    market: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", TOKEN)
    done = drive(load, market, classes=(("client", 3.0), ("burst_test", 1.0)), mix=(("alerts", 1.0),))
    assert set(rows(done)) == {"burst_test"}
    assert {task for frame in done.frames for task in frame.tasks} == {
        "alerts",
        "burst_test:connect",
        "burst_test:session",
    }
    with pytest.raises(UnknownName, match="--class: unknown class 'clint'; did you mean 'client'"):
        drive(load, market, classes=(("clint", 1.0),))
    with pytest.raises(UnknownName, match="--mix: unknown task 'alert'; did you mean 'alerts'"):
        drive(load, market, mix=(("alert", 1.0),))


def test_clients_of_streams_leave_in_a_pause_and_come_with_more_users(
    market: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WS_AUTH_TOKEN", TOKEN)
    seen: list[Any] = []
    wishes = (Wish(paused=True), Wish(level=64), Wish())
    hooks = {"wish": lambda: wishes[min(len(seen), 2)], "on_interval": seen.append}
    done = drive(load, market, hooks=hooks, classes=(("client", 1.0), ("reconnect_storm", 1.0)))
    paused, more = done.frames[:2]
    assert (paused.active_users, paused.streams["reconnect_storm"].open) == (0, 0)
    assert 32 < more.active_users <= 64
    assert 16 < more.streams["reconnect_storm"].open <= 32
    assert not done.errors()
