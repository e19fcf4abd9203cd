"""A proxy whose faults are all of bytes runs on a direct pipe; one word brings HTTP back."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest

from chaosbot.core.event import ExchangeSeen, Injected, Noted
from chaosbot.journal import read


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("more", "exchanges"), [([], 0), (["--http"], 1)])
def test_byte_faults_alone_pass_through_a_pipe_unless_http_is_asked_for(
    upstream: str, tmp_path: Path, more: list[str], exchanges: int
) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "chaosbot",
            "proxy",
            upstream,
            "--listen",
            "127.0.0.1:0",
            "--fault",
            "latency:150ms",
            "--out",
            "run",
            *more,
        ],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "160"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        story = ""
        while (found := re.search(r"listening on \w+://(\S+)", story)) is None:
            line = process.stdout.readline()
            assert line, story
            story += line
        began = time.monotonic()
        with urllib.request.urlopen(f"http://{found[1]}/", timeout=60) as answer:
            assert answer.read() == b"hello"
        assert time.monotonic() - began >= 0.15
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 1
        mapped = any("mitmproxy_rs" in region.path for region in workers[0].memory_maps())
        assert mapped is bool(more)
    finally:
        process.terminate()
        # Not `communicate`: it would lose what `readline` has buffered.
        story += process.stdout.read()
        process.wait(60)
    transport = "HTTP proxy" if more else "byte pipe"
    assert f"transport: {transport}" in story
    history = read(tmp_path / "run")
    assert [event.text.partition(" (")[0] for event in history.all(Noted) if event.area == "transport"] == [
        f"inbound: {transport}"
    ]
    assert len(history.all(ExchangeSeen)) == exchanges
    assert any(event.stage == "applied" for event in history.all(Injected))
    assert process.returncode == 0
