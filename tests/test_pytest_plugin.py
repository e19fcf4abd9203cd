"""The pytest plugin in test runs of its own: synchronous, asyncio and trio tests, and the failures that it must not hide."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

pytest_plugins = ("pytester",)

CONFTEST = """
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import pytest


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.paths.append(self.path)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.paths = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
"""

FLAVOURS = """
import time
import httpx
import pytest
from chaosbot.testing import abort, latency, lost_ack


def test_sync(chaos_proxy, service):
    assert chaos_proxy.seed == 7
    proxy = chaos_proxy(service.url)
    with httpx.Client(trust_env=False) as client:
        assert client.post(proxy.url + "/webhook/a").status_code == 200
        with chaos_proxy.inject(abort(503), path="/webhook/*") as injected:
            assert client.post(proxy.url + "/webhook/a").status_code == 503
            assert client.post(proxy.url + "/other").status_code == 200
            assert injected.count == 1
        assert client.post(proxy.url + "/webhook/a").status_code == 200
        with proxy.inject(latency("200ms")):
            began = time.monotonic()
            client.post(proxy.url + "/webhook/a")
            assert time.monotonic() - began >= 0.2
        with proxy.inject(lost_ack()), pytest.raises(httpx.TransportError):
            client.post(proxy.url + "/lost")
    assert service.paths.count("/lost") == 1
    assert [seen.by for seen in proxy.exchanges].count("proxy") == 2


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
async def test_asyncio(chaos_proxy, service):
    proxy = chaos_proxy.to(service.url)
    async with httpx.AsyncClient(trust_env=False) as client:
        with chaos_proxy.inject("abort:502;first=1") as injected:
            statuses = [(await client.post(proxy.url)).status_code for _ in range(3)]
    assert statuses == [502, 200, 200]
    assert injected.count == 1


@pytest.mark.trio
async def test_trio(chaos_proxy, service):
    proxy = chaos_proxy(service.url)
    async with httpx.AsyncClient(trust_env=False) as client:
        with proxy.inject(latency("100ms"), "abort:500", method="POST"):
            began = time.monotonic()
            assert (await client.post(proxy.url)).status_code == 500
            assert time.monotonic() - began >= 0.1
"""


def test_it_works_in_synchronous_asyncio_and_trio_tests(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(FLAVOURS)
    ran = pytester.runpytest_subprocess("--chaos-seed=7", timeout=100)
    ran.assert_outcomes(passed=3)
    ran.stdout.fnmatch_lines(["chaosbot: --chaos-seed=7"])


BROKEN = """
from dataclasses import dataclass
from typing import ClassVar
import httpx
from chaosbot.core.exchange import Depth
from chaosbot.core.fault import Fault


@dataclass(frozen=True)
class Broken(Fault):
    depth: ClassVar[Depth] = Depth.EXCHANGE

    def effects(self, dice, exchange):
        raise RuntimeError("this fault is broken")


def test_with_a_broken_fault(chaos_proxy, service):
    proxy = chaos_proxy(service.url)
    with proxy.inject(Broken()):
        assert httpx.post(proxy.url, trust_env=False).status_code == 200


def test_without_a_proxy(chaos_proxy):
    with chaos_proxy.inject("abort:503"):
        pass


def test_with_a_mistake(chaos_proxy, service):
    with chaos_proxy(service.url).inject("abort:503", pth="/x"):
        pass


def test_with_somebody_elses_service(chaos_proxy):
    chaos_proxy("http://example.com")
"""


def test_what_goes_wrong_is_said_and_never_passes(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(BROKEN)
    ran = pytester.runpytest_subprocess(timeout=100)
    ran.assert_outcomes(passed=1, errors=1, failed=3)
    text = ran.stdout.str()
    assert "this fault is broken" in text
    assert "no proxy is there; start one first" in text
    assert "unknown key 'pth'; did you mean 'path'?" in text
    assert "--allow-host example.com" in text


def test_no_worker_is_left_behind(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import os, signal

        def test_killed(chaos_proxy, service):
            proxy = chaos_proxy(service.url)
            print("PIDS", *proxy._running.pids, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", str(pytester.path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    line = next(line for line in ran.stdout.splitlines() if "PIDS" in line)
    pids = line.partition("PIDS")[2].split()
    assert pids
    for pid in pids:
        assert_ends(int(pid))


def assert_ends(pid: int) -> None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], 60)[0], f"worker {pid} lives on"
    finally:
        os.close(fd)


def test_the_plugin_is_registered_and_cheap() -> None:
    assert [point.value for point in entry_points(group="pytest11", name="chaosbot")] == ["chaosbot.pytest_plugin"]
    code = (
        "import sys, chaosbot.pytest_plugin; "
        "heavy = {'mitmproxy', 'hypothesis', 'trio', 'httpx', 'structlog', 'ruamel', 'chaosbot.core', 'chaosbot.addons'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
