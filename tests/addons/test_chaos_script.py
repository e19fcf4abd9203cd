"""The chaos addon in somebody's mitmproxy: real mitmdump processes, and mitmproxy's own test tools."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions
from mitmproxy.test import taddons, tflow
from mitmproxy.utils import emoji
from typer.testing import CliRunner
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Message, Ping, Request, TextMessage

from chaosbot.addons.chaos import AddonOptions, ChaosScript
from chaosbot.addons.engine import MARK
from chaosbot.addons.spec import ProxySpec
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.event import Event, ExchangeSeen, Injected
from chaosbot.session.mitmproxy_script import MitmproxyRun

SCRIPT = Path(__file__).parents[2] / "chaosbot" / "session" / "mitmproxy_script.py"
MITMDUMP = Path(sys.executable).with_name("mitmdump")
UPDATE = {
    "update_id": 7001,
    "message": {
        "message_id": 3,
        "date": 1,
        "chat": {"id": 1_000_007, "type": "private"},
        "from": {"id": 1_000_007, "is_bot": False, "first_name": "Ada"},
        "text": "/help me",
    },
}


class Webhook(BaseHTTPRequestHandler):
    """Answers every POST, counts them by path; echoes WebSocket messages."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.seen.append(self.path)
        body = json.dumps({"ok": True, "filling": "x" * 200}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        ws = WSConnection(ConnectionType.SERVER)
        head = [f"GET {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]
        ws.receive_data("\r\n".join(head).encode())
        self.connection.sendall(ws.send(AcceptConnection()))
        self.close_connection = True
        while data := self.connection.recv(1 << 16):
            ws.receive_data(data)
            for event in ws.events():
                if isinstance(event, TextMessage):
                    self.seen.append(event.data)
                    self.connection.sendall(ws.send(TextMessage(f"echo {event.data}")))

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[tuple[int, list[str]]]:
    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Webhook,), {"seen": seen}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, seen
    server.shutdown()
    server.server_close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def mitmdump(folder: Path, upstream: int, *options: str) -> Iterator[tuple[int, Path]]:
    """A mitmdump with the addon; its port, and the file that its flows go to. It ends in good order."""
    port = free_port()
    flows = folder / "flows"
    command = [str(MITMDUMP), "--listen-host", "127.0.0.1", "--listen-port", str(port), "-s", str(SCRIPT)]
    command += ["-m", f"reverse:http://127.0.0.1:{upstream}", "--set", f"confdir={folder / 'conf'}", "-w", str(flows)]
    for option in options:
        command += ["--set", option]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port, flows
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


def post(port: int, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, json.dumps(UPDATE), {"content-type": "application/json"})
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


def test_exchange_and_update_faults_act_in_mitmdump_and_the_journal_folds(
    tmp_path: Path, webhook: tuple[int, list[str]]
) -> None:
    upstream, seen = webhook
    plan = tmp_path / "plan.toml"
    plan.write_text('[[rules]]\nfault = "truncate_response"\noptions = {keep = 0.5}\npath = "/cut"\n')
    run = tmp_path / "run"
    options = (
        f"chaos_plan={plan}",
        "chaos_fault=abort:503;path=/abort",
        "chaos_fault=duplicate;path=/twice",
        "chaos_seed=7",
        f"chaos_journal={run}",
    )
    with mitmdump(tmp_path, upstream, *options) as (port, flows):
        assert post(port, "/abort")[0] == 503
        assert post(port, "/fine")[0] == 200
        with pytest.raises(Exception, match="IncompleteRead"):
            post(port, "/cut")
        assert post(port, "/twice")[0] == 200
        deadline = time.monotonic() + 30
        while seen.count("/twice") < 2:
            assert time.monotonic() < deadline, seen
            time.sleep(0.01)
        assert "/abort" not in seen
    # mitmproxy's own reader shows what its console would.
    marked = marks(flows)
    assert marked["/fine"] == ("", "")
    assert marked["/abort"] == (MARK, "chaosbot: abort: answered 503")
    assert marked["/cut"][0] == MARK
    assert "bytes, then fin" in marked["/cut"][1]
    report = json.loads((run / "report.json").read_text())
    assert report["seed"] == 7
    lines = [json.loads(line) for line in (run / "events.ndjson").read_text().splitlines()]
    applied = {line["rule"] for line in lines if line["type"] == "Injected" and line["stage"] == "applied"}
    assert applied == {"abort", "truncate_response", "duplicate"}
    assert {line["rule"] for line in lines if line["type"] == "RuleTallied"} == applied
    assert lines[-1]["type"] == "RunEnded"
    folded = subprocess.run(
        [sys.executable, "-m", "chaosbot", "report", str(run), "--quiet"], capture_output=True, text=True, check=False
    )
    assert folded.returncode == 0, folded.stdout + folded.stderr


def marks(flows: Path) -> dict[str, tuple[str, str]]:
    """Marker and comment of each flow, by its path."""
    from mitmproxy.io import FlowReader  # noqa: PLC0415

    with flows.open("rb") as file:
        reader: Any = FlowReader(file)
        return {flow.request.path: (flow.marked, flow.comment) for flow in reader.stream()}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("ws_duplicate:1", ["echo a", "echo a"]),
        pytest.param("ws_drop:1;stream=down", [], marks=pytest.mark.slow),
        pytest.param("ws_corrupt:1;stream=up", None, marks=pytest.mark.slow),
        ("ws_close:1011;share=1", "closed"),
    ],
)
@pytest.mark.quick(1)
def test_websocket_faults_act_in_mitmdump(
    tmp_path: Path, webhook: tuple[int, list[str]], fault: str, expected: list[str] | str | None
) -> None:
    upstream, _seen = webhook
    with mitmdump(tmp_path, upstream, f"chaos_fault={fault}", "chaos_seed=7") as (port, _flows):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.settimeout(30)
            ws = WSConnection(ConnectionType.CLIENT)
            sock.sendall(ws.send(Request(host=f"127.0.0.1:{port}", target="/ws")))
            heard = events_of(sock, ws, 1)
            assert isinstance(heard[0], AcceptConnection)
            sock.sendall(ws.send(TextMessage("a")) + ws.send(Ping()))
            heard = events_of(sock, ws, 99)
        texts = [event.data for event in heard if isinstance(event, Message)]
        if expected == "closed":
            assert any(getattr(event, "code", None) == 1011 for event in heard)
        elif expected is None:
            assert texts
            assert texts != ["echo a"]
        else:
            # A message that was doubled on its way up and on its way down comes four times.
            assert texts == expected * (2 if fault.startswith("ws_duplicate") else 1)


def events_of(sock: socket.socket, ws: WSConnection, count: int) -> list[Any]:
    """What comes until there are so many events, the connection ends, or nothing has come for a while."""
    heard: list[Any] = []
    sock.settimeout(30 if count == 1 else 1.5)
    try:
        while len(heard) < count and (data := sock.recv(1 << 16)):
            ws.receive_data(data)
            heard += ws.events()
    except TimeoutError:
        pass
    return heard


def test_a_byte_fault_is_refused_at_start_with_the_verb_that_can(tmp_path: Path) -> None:
    command = [str(MITMDUMP), "-s", str(SCRIPT), "--set", "chaos_fault=latency:1s", "--listen-port", str(free_port())]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    said = ended.stdout + ended.stderr
    assert "'latency' acts on the bytes of connections" in said
    assert "`chaosbot proxy`" in said
    assert "Traceback" not in said


def test_the_verb_prints_the_script() -> None:
    from chaosbot.cli import main  # noqa: PLC0415

    assert main is not None
    from chaosbot.cli.addon import app  # noqa: PLC0415

    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert Path(result.output.strip()) == SCRIPT


# ── with mitmproxy's own test tools ──────────────────────────────────────────────────────────────────────────────────


class Recorded:
    """A run that keeps its events."""

    def __init__(self, options: AddonOptions) -> None:
        self.spec = ProxySpec((), options.seed, plan_of([parse_fault(text) for text in options.faults]))
        self.events: list[Event] = []
        self.closed = False

    def emit(self, event: Event, /) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed = True


def with_addon(faults: list[str], play: Any) -> list[Recorded]:
    """Lets a coroutine function play with an addon inside mitmproxy's test context."""
    runs: list[Recorded] = []

    def compose(options: AddonOptions) -> Recorded:
        runs.append(Recorded(options))
        return runs[-1]

    async def inside() -> None:
        script = ChaosScript(compose)
        with taddons.context(script) as tctx:
            tctx.configure(script, chaos_fault=faults, chaos_seed=3)
            await play(tctx, script)
            script.done()

    asyncio.run(inside())
    return runs


def test_a_flow_of_a_client_that_was_never_seen_passes_untouched() -> None:
    async def play(_tctx: Any, script: ChaosScript) -> None:
        flow = tflow.tflow()
        (addon,) = script.addons
        assert addon.request(flow) is None  # type: ignore[attr-defined]
        assert flow.response is None
        assert flow.marked == ""

    (run,) = with_addon(["abort:503"], play)
    assert run.closed
    assert not [event for event in run.events if isinstance(event, Injected | ExchangeSeen)]


def test_options_that_change_end_the_run_before_and_begin_another() -> None:
    async def play(tctx: Any, script: ChaosScript) -> None:
        tctx.configure(script, chaos_fault=["delay:1s"])
        assert len(script.addons) == 1
        tctx.configure(script, chaos_fault=[])
        assert script.addons == []

    first, second = with_addon(["abort:503"], play)
    assert first.closed
    assert second.closed


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"chaos_fault": ["latncy:1s"]}, "latency"),
        ({"chaos_fault": ["reset_peer"]}, "chaosbot proxy"),
        ({"chaos_plan": "/nowhere/plan.toml"}, "/nowhere/plan.toml"),
        ({"chaos_fault": ["abort:503"], "chaos_platform": "smoke-signals"}, "smoke-signals"),
    ],
)
def test_options_that_are_wrong_are_refused_with_a_remedy(options: dict[str, Any], text: str) -> None:
    async def inside() -> None:
        script = ChaosScript(MitmproxyRun)
        with taddons.context(script) as tctx, pytest.raises(exceptions.OptionsError, match=text):
            tctx.configure(script, **options)

    asyncio.run(inside())


def test_the_marker_is_one_that_mitmproxys_console_can_show() -> None:
    assert MARK in emoji.emoji
