"""Toxics on live connections, their probabilities, the events they leave, and the worker's life."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from chaosbot.control.server import ControlServer
from chaosbot.core.errors import EngineError, PortBusy
from chaosbot.core.event import Injected, RuleTallied, Trouble


@pytest.fixture
def proxy(http, echo):
    return http.post("/proxies", json={"name": "bot", "upstream": echo}).json()


def add(http, **toxic):
    answer = http.post("/proxies/bot/toxics", json=toxic)
    assert answer.status_code == 200, answer.text


def hits(listen, count):
    """How many of so many connections end before the echo of a byte comes (limit_data of 0 bytes)."""
    host, _, port = listen.rpartition(":")

    def one(_number):
        with socket.create_connection((host, int(port)), timeout=30) as sock:
            sock.sendall(b"x")
            return sock.recv(1) == b""

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(one, range(count)))


@pytest.mark.parametrize(("toxicity", "least", "most"), [(0, 0, 0), (1, 300, 300), (0.3, 59, 124)])
def test_toxicity_is_rolled_per_connection_and_keeps_its_share(http, proxy, toxicity, least, most):
    # 59..124 of 300 is beyond four standard deviations of 0.3 on either side.
    add(http, type="limit_data", toxicity=toxicity)
    assert least <= hits(proxy["listen"], 300) <= most


def test_the_same_seed_chooses_the_same_connections(echo):
    def chosen(seed):
        server = ControlServer("127.0.0.1", 0, seed)
        with server, httpx.Client(base_url=server.url) as http:
            proxy = http.post("/proxies", json={"name": "bot", "upstream": echo}).json()
            add(http, type="limit_data", toxicity=0.5)
            return [hits(proxy["listen"], 1) for _ in range(24)]

    first = chosen(3)
    assert first == chosen(3)
    assert first != chosen(4)
    assert 0 < sum(first) < 24


def test_a_reset_of_toxicity_zero_leaves_ends_in_good_order(http, proxy, connect):
    """The original turns FIN into RST then; a known fault that is not copied."""
    add(http, type="reset_peer", toxicity=0, attributes={"timeout": 0})
    sock = connect(proxy["listen"])
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(1) == b""


def test_toxics_reach_a_connection_in_use_and_leave_it_again(http, proxy, connect, soon):
    sock = connect(proxy["listen"])

    def ping():
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"

    assert soon(ping, 0.1) < 0.1
    add(http, type="latency", attributes={"latency": 200})
    assert soon(ping, 60) >= 0.2
    http.patch("/proxies/bot/toxics/latency_downstream", json={"attributes": {"latency": 100}})
    assert 0.1 <= soon(ping, 0.19) < 0.2
    http.patch("/proxies/bot/toxics/latency_downstream", json={"toxicity": 0})
    assert soon(ping, 0.1) < 0.1
    http.delete("/proxies/bot/toxics/latency_downstream")
    assert soon(ping, 0.1) < 0.1


@pytest.mark.parametrize("how", ["delete", "reset", "disable", "remove"])
def test_ending_a_black_hole_that_holds_many_connections_returns_at_once(http, proxy, connect, how):
    socks = [connect(proxy["listen"]) for _ in range(50)]
    add(http, type="timeout", attributes={"timeout": 0})
    add(http, type="timeout", attributes={"timeout": 0}, stream="upstream")
    add(http, type="latency", attributes={"latency": 3_600_000})
    for sock in socks:
        sock.sendall(b"x" * 1000)
    if how == "delete":
        for name in ("timeout_downstream", "timeout_upstream", "latency_downstream"):
            assert http.delete(f"/proxies/bot/toxics/{name}").status_code == 204
    elif how == "reset":
        assert http.post("/reset").status_code == 204
    elif how == "disable":
        assert http.patch("/proxies/bot", json={"enabled": False}).status_code == 200
    else:
        assert http.delete("/proxies/bot").status_code == 204
    for sock in socks:
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            assert how in ("disable", "remove")


def test_removing_toxics_under_traffic_never_hangs(http, proxy, connect):
    """The original's API can hang when a toxic is removed while its link cannot write."""
    add(http, type="bandwidth", attributes={"rate": 1})
    sock = connect(proxy["listen"])

    def flood():
        try:
            while True:
                sock.sendall(b"x" * 65536)
        except OSError:
            pass

    threading.Thread(target=flood, daemon=True).start()
    for _ in range(20):
        assert http.delete("/proxies/bot/toxics/bandwidth_downstream").status_code == 204
        add(http, type="bandwidth", attributes={"rate": 1})
    sock.close()


def test_events_tell_which_connections_met_a_toxic(api, http, proxy, connect):
    api.events.clear()
    add(http, type="limit_data", attributes={"bytes": 1})
    sock = connect(proxy["listen"])
    sock.sendall(b"xy")
    assert sock.recv(2) == b"x"
    connect(proxy["listen"]).close()  # decided, but no byte came
    wanted = {
        ("bot/limit_data_downstream", "limit_data", "applied", "bot-connection-1"),
        ("bot/limit_data_downstream", "limit_data", "missed", "bot-connection-2"),
    }
    deadline = time.monotonic() + 30
    seen = set()
    while not wanted <= seen and time.monotonic() < deadline:
        http.get("/version")
        met = [event for event in api.events if isinstance(event, Injected)]
        seen = {(event.rule, event.fault, event.stage, event.exchange) for event in met}
    assert seen == wanted


def test_stopping_delivers_the_tallies_last(echo, connect):
    events = []
    server = ControlServer("127.0.0.1", 0, 1, events.append)
    with server, httpx.Client(base_url=server.url) as http:
        proxy = http.post("/proxies", json={"name": "bot", "upstream": echo}).json()
        add(http, type="latency", attributes={"latency": 1})
        add(http, type="timeout", stream="upstream", toxicity=0)
        sock = connect(proxy["listen"])
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    tallies = {event.rule: event for event in events if isinstance(event, RuleTallied)}
    latency, timeout = tallies["bot/latency_downstream"], tallies["bot/timeout_upstream"]
    assert (latency.considered, latency.decided, latency.applied, latency.failed) == (1, 1, 1, 0)
    assert (timeout.considered, timeout.decided, timeout.applied, timeout.failed) == (1, 0, 0, 0)
    assert not [event for event in events if isinstance(event, Trouble)]


def test_an_address_that_is_taken_is_told_before_anything_starts():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = ControlServer("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(PortBusy, match=r"--control .* is taken; choose another port"):
            server.start()


def test_a_worker_that_does_not_come_up_is_an_error_at_once(monkeypatch):
    events = []
    monkeypatch.setattr(sys, "executable", "false")
    began = time.monotonic()
    with pytest.raises(EngineError, match="control API ended with code 1 before it was ready"):
        ControlServer("127.0.0.1", 0, 1, events.append).start()
    assert time.monotonic() - began < 30, "it heard of the end, and did not wait for its own patience to end"
    assert events == []


def test_a_worker_that_dies_is_trouble():
    events = []
    server = ControlServer("127.0.0.1", 0, 1, events.append)
    with server:
        os.kill(server.pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while not events and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [type(event) for event in events] == [Trouble]


def test_killing_the_parent_leaves_no_worker():
    script = (
        "import sys, time; from chaosbot.control.server import ControlServer\n"
        "server = ControlServer('127.0.0.1', 0); server.start(); print(server.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.01)
    pytest.fail(f"worker {worker} survived its parent")
