"""How the proxy begins and ends: no orphans, no silence, no hanging."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.errors import ConfigError, PortBusy, WorkerDied
from chaosbot.core.event import Event, Injected, RuleTallied, Trouble
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan

from .conftest import BODY, Lab, Upstream, read, request
from .conftest import ask as exchange


@pytest.fixture
def confdir(tmp_path: Path) -> str:
    return str(tmp_path / "ca")


def spec_for(upstream: Upstream, confdir: str, *faults: str, workers: int = 1) -> ProxySpec:
    listeners = (ListenerSpec(Direction.INBOUND, upstream.url),)
    return ProxySpec(listeners, 1, plan_of([parse_fault(text) for text in faults]), workers=workers, confdir=confdir)


def ask(url: str, data: bytes | None = None) -> int | None:
    host, _, port = url.partition("://")[2].partition(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(request() if data is None else data)
        return read(sock).status


def gone(pid: int, within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


PARENT = """
import sys, time
from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan
spec = ProxySpec((ListenerSpec(Direction.INBOUND, sys.argv[1]),), 1, FaultPlan(), workers=2, confdir=sys.argv[2])
proxy = Proxy(spec, lambda event: None)
proxy.start()
print(*proxy.pids, proxy.url(Direction.INBOUND), flush=True)
time.sleep(60)
"""


def test_kill_9_of_the_parent_leaves_no_worker(upstream: Upstream, confdir: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, upstream.url, confdir], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        *pids, url = parent.stdout.readline().split()
        assert ask(url) == 200
        os.kill(parent.pid, signal.SIGKILL)
        assert len(pids) == 2
        assert all(gone(int(pid)) for pid in pids)
        host, _, port = url.partition("://")[2].partition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)))
    finally:
        parent.kill()
        parent.wait()
        if parent.stdout:
            parent.stdout.close()


def test_a_worker_that_dies_is_trouble(upstream: Upstream, confdir: str) -> None:
    events: list[Event] = []
    told = threading.Event()

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, Trouble):
            told.set()

    with Proxy(spec_for(upstream, confdir), emit) as proxy:
        os.kill(proxy.pids[0], signal.SIGKILL)
        assert told.wait(30)
        with pytest.raises(WorkerDied):
            proxy.flush()
        with pytest.raises(WorkerDied):
            proxy.replace_plan(FaultPlan())
    (trouble,) = [event for event in events if isinstance(event, Trouble)]
    assert (trouble.where, "signal 9" in trouble.what) == ("proxy", True)


@pytest.mark.slow
def test_a_stopped_worker_process_does_not_hang_the_end(upstream: Upstream, confdir: str) -> None:
    events: list[Event] = []
    proxy = Proxy(spec_for(upstream, confdir), events.append)
    proxy.start()
    pid = proxy.pids[0]
    os.kill(pid, signal.SIGSTOP)
    proxy.stop()
    assert gone(pid)
    assert any(isinstance(event, Trouble) for event in events)


def test_stop_is_quick_tells_what_rules_came_to_and_can_be_repeated(upstream: Upstream, confdir: str) -> None:
    events: list[Event] = []
    under_way = threading.Event()

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, Injected) and event.rule == "header_edit":
            under_way.set()

    mark = "header_edit:x-a;side=request;value=1;path=/slow"  # it acts just before the delay does
    faults = ("abort:503;path=/x", mark, "delay:1h;path=/slow", "hang_up;path=/never")
    proxy = Proxy(spec_for(upstream, confdir, *faults), emit)
    proxy.start()
    url = proxy.url(Direction.INBOUND)
    assert ask(url, request(path="/x")) == 503
    host, _, port = url.partition("://")[2].partition(":")
    with socket.create_connection((host, int(port))) as held:
        held.sendall(request(path="/slow"))
        assert under_way.wait(30)
        started = time.monotonic()
        proxy.stop()
        proxy.stop()
        # A second is the aim; a busy machine may take many of them, but not the hour that the request is held.
        assert time.monotonic() - started < 60
    tallies = {event.rule: event for event in events if isinstance(event, RuleTallied)}
    assert (tallies["abort"].considered, tallies["abort"].decided, tallies["abort"].applied) == (1, 1, 1)
    assert (tallies["hang_up"].considered, tallies["hang_up"].applied, tallies["hang_up"].failed) == (0, 0, 0)
    assert tallies["delay"].decided == 1


def test_a_taken_port_is_said_before_anything_starts(upstream: Upstream, confdir: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        spec = ProxySpec((ListenerSpec(Direction.INBOUND, upstream.url, port=port),), 1, FaultPlan(), confdir=confdir)
        with pytest.raises(PortBusy, match=f"127.0.0.1:{port} is taken"):
            Proxy(spec, lambda _event: None).start()


def test_an_upstream_that_is_none_is_refused() -> None:
    for wrong in (
        "127.0.0.1:80",
        "ftp://x",
        "http://",
        "tcp://host",
        "http://x:port",
        "tcp://host:1/path",
        "http://host/path?q",
    ):
        with pytest.raises(ConfigError, match="is no upstream"):
            ListenerSpec(Direction.INBOUND, wrong)


def test_several_workers_share_a_listener_and_one_ledger(upstream: Upstream, confdir: str) -> None:
    events: list[Event] = []
    with Proxy(spec_for(upstream, confdir, "abort:503;p=0.5", workers=2), events.append) as proxy:
        assert len(proxy.pids) == 2
        url = proxy.url(Direction.INBOUND)
        statuses = [ask(url, request(key=f"k{number}")) for number in range(40)]
        with pytest.raises(ConfigError, match="needs one worker"):
            proxy.replace_plan(plan_of([parse_fault("abort;first=1")]))
    (tally,) = [event for event in events if isinstance(event, RuleTallied)]
    assert (tally.considered, tally.applied) == (40, statuses.count(503))
    assert 5 < tally.applied < 35


def test_a_plan_that_counts_is_served_by_one_worker(upstream: Upstream, confdir: str) -> None:
    with Proxy(spec_for(upstream, confdir, "abort:503;first=3", workers=2), lambda _event: None) as proxy:
        assert len(proxy.pids) == 1
        assert [ask(proxy.url(Direction.INBOUND)) for _ in range(5)] == [503, 503, 503, 200, 200]


BROKEN = '''
from dataclasses import dataclass
from typing import ClassVar
from chaosbot.core.exchange import Depth
from chaosbot.core.fault import Fault


@dataclass(frozen=True)
class Broken(Fault):
    """Raises."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    def effects(self, dice, exchange):
        raise RuntimeError("a third party's mistake")
'''


def test_a_fault_that_raises_is_recorded_and_does_not_stop_the_others(
    upstream: Upstream, confdir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_fault.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    from broken_fault import Broken  # type: ignore[import-not-found]  # noqa: PLC0415

    from chaosbot.core.plan import Rule  # noqa: PLC0415

    events: list[Event] = []
    plan = FaultPlan((Rule("bad", Broken()), parse_fault("header_edit:x-good;value=1")))
    spec = ProxySpec((ListenerSpec(Direction.INBOUND, upstream.url),), 1, plan, confdir=confdir)
    with Proxy(spec, events.append) as proxy:
        host, _, port = proxy.url(Direction.INBOUND).partition("://")[2].partition(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(request())
            reply = read(sock)
    assert (reply.body, reply.header("x-good")) == (BODY, "1")
    stages = {event.rule: event.stage for event in events if isinstance(event, Injected)}
    assert stages == {"bad": "failed", "header_edit": "applied"}
    (trouble,) = [event for event in events if isinstance(event, Trouble)]
    assert "a third party's mistake" in trouble.what
    tallies = {event.rule: event for event in events if isinstance(event, RuleTallied)}
    assert tallies["bad"].failed == 1


@pytest.fixture
def hold(lab: Lab) -> Iterator[socket.socket]:
    lab.faults("header_edit:x-a;side=request;value=1", "delay:1h")
    with lab.connect() as sock:
        sock.sendall(request())
        lab.wait_for(lambda: bool(lab.injected))  # the request is under way
        yield sock


def test_clear_releases_what_is_held(lab: Lab, hold: socket.socket) -> None:
    lab.proxy.clear()
    assert read(hold).status == 200


def test_a_client_that_leaves_what_is_held_says_nothing_of_the_upstream(lab: Lab, hold: socket.socket) -> None:
    hold.close()
    lab.wait_for(lambda: bool(lab.seen))
    (seen,) = lab.seen
    assert (seen.status, seen.by, seen.upstream_status) == (None, "proxy", None)
    assert not lab.upstream.requests


def test_a_new_plan_holds_for_connections_in_use(lab: Lab, soon: Callable[..., float]) -> None:
    with lab.connect() as sock:
        sock.sendall(request())
        assert read(sock).status == 200
        lab.faults("abort:503")
        sock.sendall(request())
        assert read(sock).status == 503
        lab.faults("latency:150ms")
        reply = exchange(sock)
        assert (reply.status, reply.seconds >= 0.15) == (200, True)
        lab.faults()
        assert soon(lambda: exchange(sock), 0.15) < 0.15


def test_a_proxy_that_is_stopped_while_its_workers_start_leaves_none_and_reports_no_trouble(
    upstream: Upstream, confdir: str
) -> None:
    heard: list[Event] = []
    proxy = Proxy(spec_for(upstream, confdir, workers=2), heard.append)
    proxy.launch()
    pids = proxy.pids
    proxy.stop()
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
    assert heard == []
