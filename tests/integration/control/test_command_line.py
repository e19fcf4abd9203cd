"""`chaosbot proxy --control`: the plan of a running proxy is changed over HTTP, and toxics of the API end in the run's journal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from chaosbot import journal
from chaosbot.core.event import Injected, RuleTallied, Trouble


class Bot(BaseHTTPRequestHandler):
    """A target that acknowledges everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def bot():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bot)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def status(port):
    with httpx.Client(timeout=30) as client:
        return client.post(f"http://127.0.0.1:{port}/webhook", json={"update_id": 1}).status_code


def test_plans_and_toxics_are_changed_while_the_proxy_runs(bot, tmp_path, free_port):
    port, control_port = free_port(), free_port()
    out = tmp_path / "run"
    command = [sys.executable, "-m", "chaosbot", "proxy", bot, "--listen", f"127.0.0.1:{port}", "--seed", "5"]
    command += ["--control", f"127.0.0.1:{control_port}", "--out", str(out), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{control_port}", timeout=30) as api:
            deadline = time.monotonic() + 60
            while True:
                try:
                    assert api.get("/version").status_code == 200
                    break
                except httpx.ConnectError:
                    assert process.poll() is None, process.stdout.read()
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            assert status(port) == 200
            patched = api.patch("/plan", json={"rules": {"down": {"fault": "abort", "options": {"status": 503}}}})
            assert patched.status_code == 200, patched.text
            assert [rule["name"] for rule in patched.json()["rules"]] == ["down"]
            assert status(port) == 503
            refused = api.patch("/plan", json={"rules": {"odd": {"fault": "abrot"}}})
            assert refused.status_code == 400
            assert "did you mean 'abort'" in refused.json()["error"]
            assert status(port) == 503, "a refused plan changes nothing"
            assert api.patch("/plan", json={"rules": {"down": None}}).status_code == 200
            assert status(port) == 200

            pipe = api.post("/proxies", json={"name": "tcp", "upstream": f"127.0.0.1:{port}"}).json()
            api.post("/proxies/tcp/toxics", json={"type": "latency", "attributes": {"latency": 50}})
            began = time.monotonic()
            assert status(int(pipe["listen"].rpartition(":")[2])) == 200
            assert time.monotonic() - began >= 0.05
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode in (0, 3), output
    history = journal.read(out)
    applied = {event.rule for event in history.all(Injected) if event.stage == "applied"}
    assert applied == {"down", "tcp/latency_downstream"}
    tallies = {event.rule: event.applied for event in history.all(RuleTallied)}
    assert tallies == {"down": 2, "tcp/latency_downstream": 1}
    assert history.all(Trouble) == ()
