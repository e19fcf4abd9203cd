"""Targets, upstreams and listeners on Unix sockets: each verb that speaks to a target, and the proxy on both of its sides."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.event import ProbeSeen
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.process import listeners
from chaosbot.journal import read
from chaosbot.transport import Address, curl_line, guard, look, raw_line


class Bot(BaseHTTPRequestHandler):
    """A webhook that takes JSON, and tells by which name it was called."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.client_address = ("unix", 0)
        super().setup()

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        try:
            json.loads(body)
        except ValueError:
            self._answer(400)
        else:
            self._answer(200)

    def _answer(self, status: int) -> None:
        body = json.dumps({"host": self.headers["host"]}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


class Server(ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 100


@pytest.fixture
def bot(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "bot.sock"
    with Server(str(path), Bot) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield path
        server.shutdown()


def asked(path: Path) -> bytes:
    """What a GET through a socket comes to."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(90)
        client.connect(str(path))
        client.sendall(b"GET /x HTTP/1.1\r\nHost: bot\r\nConnection: close\r\n\r\n")
        found = b""
        with suppress(ConnectionResetError):
            while piece := client.recv(65536):
                found += piece
        return found


def test_an_address_on_a_socket_is_read_and_written_as_nginx_does() -> None:
    address = Address.parse("http://unix:/run/my%20bot.sock:/hook?x=1")
    assert (address.host, address.path, address.authority) == ("/run/my bot.sock", "/hook?x=1", "localhost")
    assert address.url == "http://unix:/run/my%20bot.sock:/hook?x=1"
    assert Address.parse("http://unix:/run/bot.sock").path == "/"
    guard(address.host)  # it is this machine


def test_lines_that_repeat_a_request_name_the_socket() -> None:
    address = Address.parse("http://unix:/run/bot.sock:/hook")
    request = b"POST /hook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
    case = Case("c", "c", Threat.USER, (Segment(request),), Expect())
    assert "--unix-socket /run/bot.sock" in (line := curl_line(case, address) or "")
    assert line.endswith("http://localhost/hook")
    assert (raw_line(case, address) or "").endswith("| nc -U /run/bot.sock")


def test_the_process_behind_a_socket_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    script = f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen(); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert listeners(str(path)) == {process.pid}
        process.communicate(b"\n")


def test_load_and_probes_go_through_the_socket(bot: Path, chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    assert look(f"http://unix:{bot}:/health") == (200, b'{"host": "localhost"}')
    done = chaosbot(
        "load", "/webhook/telegram", "--unix", "bot.sock", "--rate", "20/s", "--duration", "1s", "--out", "run",
        "--health", f"http://unix:{bot}:/health",
    )  # fmt: skip
    assert "20 planned · 20 completed · 0 failed" in done.out, done.out + done.err
    seen = [
        event for event in read(tmp_path / "run").events if isinstance(event, ProbeSeen) and event.probe == "health"
    ]
    assert seen
    assert all(event.ok for event in seen)


def test_a_socket_that_is_not_there_and_a_target_elsewhere_are_refused(chaosbot: Callable[..., Any]) -> None:
    missing = chaosbot("load", "--unix", "no.sock", "/hook")
    assert (missing.code, "no such file or directory" in missing.err) == (2, True)
    two = chaosbot("fuzz", "--unix", "no.sock", "http://bot.example/hook")
    assert (two.code, "are two places; write the target as http://localhost/PATH" in two.err) == (2, True)


def test_an_experiments_own_target_keeps_its_path_on_the_socket(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('target = "http://localhost/hook"\n')
    done = chaosbot("run", "mine.toml", "--unix", "no.sock")
    assert (done.code, f"http://unix:{tmp_path}/no.sock:/hook: no such file" in done.err) == (2, True), done.err


def test_an_experiment_takes_the_path_alone_on_a_socket(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    done = chaosbot("run", "/hook", "--unix", "no.sock", "--mode", "load")
    assert (done.code, f"http://unix:{tmp_path}/no.sock:/hook: no such file" in done.err) == (2, True), done.err
    (tmp_path / "mine.toml").write_text('target = "http://localhost/elsewhere"\n')
    named = chaosbot("run", str(tmp_path / "mine.toml"), "/hook", "--unix", "no.sock")
    assert (named.code, "no.sock:/hook: no such file" in named.err) == (2, True), named.err
    without = chaosbot("run", "/hook")
    assert (without.code, "begins with its scheme: http://127.0.0.1:8000/hook" in without.err) == (2, True), without.err


def test_a_campaign_finds_what_a_target_on_a_socket_does_wrong(
    bot: Path, chaosbot: Callable[..., Any], tmp_path: Path
) -> None:
    done = chaosbot(
        "fuzz", "http://localhost/hook", "--unix", str(bot), "--case", "auth/*", "--stages", "catalogue", "--duration", "20s",
        "--out", "run",
        TELEGRAM_SECRET_TOKEN="a-secret-of-this-test",
    )  # fmt: skip
    assert done.code == 1, done.out + done.err
    findings = [path.name for path in (tmp_path / "run" / "findings").iterdir()]
    forged = next(name for name in findings if name.startswith("forged_refused"))
    again = chaosbot("replay", f"run/findings/{forged}", TELEGRAM_SECRET_TOKEN="a-secret-of-this-test")
    assert (again.code, again.out[:11]) == (1, "still fails"), again.err


@pytest.mark.parametrize("more", [[], ["--http"]])
def test_a_proxy_listens_on_a_socket_and_passes_to_one(bot: Path, tmp_path: Path, more: list[str]) -> None:
    front = tmp_path / "front.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(front))  # a file that an earlier process left behind
    process = subprocess.Popen(
        [
            sys.executable, "-m", "chaosbot", "proxy", f"http://unix:{bot}", "--listen", "unix:front.sock", "--out", "run",
            "--fault", "latency:10ms", *more,
        ],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "400"},
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = next(line for line in process.stdout if line.startswith("listening on"))
        assert f"{'http' if more else 'tcp'}://unix:{front} →" in said
        answer = asked(front)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        process.terminate()
        process.communicate(timeout=90)
    finally:
        process.kill()
    assert not front.exists()
