"""The byte pipe as a server: windows, phases, counting rules, plan changes, events, ends and failures."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import ClassVar

import psutil
import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Injected, Noted, RuleSwitched, Trouble
from chaosbot.core.exchange import Depth
from chaosbot.core.fault import Fault
from chaosbot.core.plan import FaultPlan, Matcher, Rule, Scope, Window
from chaosbot.faults.abort import Abort
from chaosbot.faults.bandwidth import Bandwidth
from chaosbot.faults.corrupt import Corrupt
from chaosbot.faults.latency import Latency
from chaosbot.faults.limit_data import LimitData
from chaosbot.faults.refuse import Refuse
from chaosbot.faults.reset_peer import ResetPeer
from chaosbot.faults.slicer import Slicer
from chaosbot.faults.slow_close import SlowClose
from chaosbot.faults.timeout import Timeout
from chaosbot.tcp.server import PipeServer
from chaosbot.workers import bind

PATIENCE_S = 60.0  # for what comes at once unless the machine is busy


class Clock:
    """The run's clock, which only the test moves, unless it sets it going (`now`)."""

    def __init__(self):
        self.t = 0.0
        self.now = lambda: self.t

    def __call__(self):
        return self.now()


class Pipe:
    """A pipe that a test steers."""

    def __init__(self, loop, upstream, *rules, seed=1, phase=""):
        self.loop, self.events, self.clock = loop, [], Clock()

        async def start():
            server = PipeServer(
                bind(),
                "127.0.0.1",
                upstream.port,
                plan=FaultPlan(rules),
                dice=Dice(seed),
                emit=self.events.append,
                clock=self.clock,
                phase=phase,
            )
            await server.start()
            return server

        self.server = loop.run(start())
        self.port = self.server.address[1]

    def set_rules(self, *rules):
        self.loop.call(lambda: self.server.set_plan(FaultPlan(rules)))

    def at(self, t):
        self.clock.t = t
        self.loop.call(self.server.refresh)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def settled(self, accepted=1):
        """Waits until so many connections came and all are gone."""
        deadline = time.monotonic() + PATIENCE_S
        while self.loop.call(lambda: self.server.accepted < accepted or self.server.connections):
            assert time.monotonic() < deadline

    def tally(self, name):
        (tally,) = [tally for tally in self.loop.call(self.server.tallied) if tally.rule == name]
        return tally.considered, tally.decided, tally.applied, tally.failed


@pytest.fixture
def steer(loop):
    made = []

    def make(upstream, *rules, **options):
        made.append(Pipe(loop, upstream, *rules, **options))
        return made[-1]

    yield make
    for each in made:
        loop.run(each.server.stop())


def rule(fault, name="rule", **options):
    return Rule(name, fault, **{"scope": Scope.CONNECTION, **options})


def ping(sock):
    sock.sendall(b"x")
    return sock.recv(1)


DAMAGE = Corrupt(1.0)
"""The fault of choice where only *whether* a rule acts matters: a ping shows it without any time."""


def damaged(sock):
    """Whether a ping comes back damaged."""
    return ping(sock) != b"x"


def outcome(port):
    """What a client sees: its echo, an end, or a reset."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
            sock.sendall(b"x")
            return {b"x": "echo", b"": "end"}[sock.recv(1)]
    except ConnectionResetError:
        return "reset"


def test_a_window_opens_and_closes_on_connections_that_exist(steer, upstream, connect):
    pipe = steer(upstream(), rule(DAMAGE, window=Window(10, 10)))
    sock = connect(pipe.port)
    assert not damaged(sock)
    pipe.at(10)
    assert damaged(sock)
    pipe.at(20)
    assert not damaged(sock)
    switched = [(event.t, event.active) for event in pipe.of(RuleSwitched)]
    assert switched == [(10, True), (20, False)]


def test_a_window_comes_up_by_itself(steer, upstream, connect):
    pipe = steer(upstream(), rule(Timeout(stream="both"), window=Window(0.2, 0.2)))
    sock = connect(pipe.port)
    assert ping(sock) == b"x"
    began = time.monotonic()
    pipe.clock.now = lambda: time.monotonic() - began
    pipe.loop.call(pipe.server.refresh)
    assert sock.recv(1) == b"", "the black hole closes its connections when its window closes"
    assert time.monotonic() - began >= 0.4
    assert [event.active for event in pipe.of(RuleSwitched)] == [True, False]


def test_a_phase_switches_its_rules(steer, upstream, connect):
    pipe = steer(upstream(), rule(LimitData(0), window=Window(phase="fault")), phase="baseline")
    sock = connect(pipe.port)
    assert ping(sock) == b"x"
    pipe.loop.call(lambda: pipe.server.set_phase("fault"))
    assert ping(sock) == b""
    pipe.loop.call(lambda: pipe.server.set_phase("recovery"))
    assert outcome(pipe.port) == "echo"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"first": 2}, ["end", "end", "echo", "echo", "echo", "echo"]),
        ({"nth": 3}, ["echo", "echo", "end", "echo", "echo", "echo"]),
        ({"every": 3}, ["echo", "echo", "end", "echo", "echo", "end"]),
        ({"rate": 0.0}, ["echo"] * 6),
        ({"rate": 1.0}, ["end"] * 6),
    ],
)
def test_rules_count_connections(steer, upstream, options, expected):
    pipe = steer(upstream(), rule(LimitData(0), **options))
    assert [outcome(pipe.port) for _ in range(6)] == expected


def test_a_rate_keeps_its_share_and_the_seed_chooses_the_connections(steer, upstream):
    server = upstream()

    def chosen(seed):
        pipe = steer(server, rule(LimitData(0), rate=0.3), seed=seed)
        return [outcome(pipe.port) for _ in range(200)]

    first = chosen(1)
    # 34..86 of 200 is four standard deviations around 0.3.
    assert 34 <= first.count("end") <= 86
    assert first == chosen(1)
    assert first != chosen(2)


def test_a_cap_bounds_the_connections_that_a_rule_holds_at_once(steer, upstream, connect):
    pipe = steer(upstream(), rule(DAMAGE, cap=1))
    first, second = connect(pipe.port), connect(pipe.port)
    assert damaged(first)
    assert not damaged(second)
    first.close()
    second.close()
    pipe.settled()
    assert damaged(connect(pipe.port))


def test_a_decision_stays_while_its_rule_does(steer, upstream, connect):
    harm = rule(DAMAGE, "harm", first=1)
    pipe = steer(upstream(), harm)
    sock = connect(pipe.port)
    assert damaged(sock)
    pipe.set_rules(harm, rule(Refuse(), "down"))
    assert damaged(sock), "another rule changed, not this one"
    assert outcome(pipe.port) == "reset"
    pipe.set_rules(rule(Refuse(), "down"))
    assert not damaged(sock)


def test_events_and_tallies_tell_applied_from_missed(steer, upstream, connect):
    pipe = steer(upstream(), rule(LimitData(1), "cut"), rule(ResetPeer("after", at_byte=1000), "late"))
    sock = connect(pipe.port)
    sock.sendall(b"xyz")
    assert sock.recv(10) == b"x"
    assert sock.recv(10) == b""
    sock.close()
    pipe.settled()
    stages = [(event.rule, event.stage, event.connection, event.exchange) for event in pipe.of(Injected)]
    assert sorted(stages) == [
        ("cut", "applied", 1, "inbound-connection-1"),
        ("late", "missed", 1, "inbound-connection-1"),
    ]
    assert pipe.tally("cut") == (1, 1, 1, 0)
    assert pipe.tally("late") == (1, 1, 0, 0)


def test_a_rule_that_never_matched_shows_zeros(steer, upstream):
    pipe = steer(upstream(), rule(LimitData(1), window=Window(1000)))
    assert outcome(pipe.port) == "echo"
    assert pipe.tally("rule") == (0, 0, 0, 0)


@dataclass(frozen=True)
class Broken(Fault):
    depth: ClassVar[Depth] = Depth.BYTES

    def effects(self, dice, exchange):
        raise ZeroDivisionError(f"{exchange.connection} under seed {dice.seed}")


def test_a_fault_that_breaks_is_failed_and_trouble_and_the_connection_goes_on(steer, upstream):
    pipe = steer(upstream(), rule(Broken(), "broken"))
    assert outcome(pipe.port) == "echo"
    (injected,) = pipe.of(Injected)
    assert (injected.stage, injected.detail) == ("failed", "ZeroDivisionError: 1 under seed 1")
    assert len(pipe.of(Trouble)) == 1
    assert pipe.tally("broken") == (1, 1, 0, 1)


def test_an_upstream_that_is_down_is_an_end_and_noted_once(steer, upstream):
    server = upstream()
    pipe = steer(server)
    server.close()
    assert [outcome(pipe.port) for _ in range(3)] == ["end"] * 3
    (noted,) = pipe.of(Noted)
    assert noted.text == f"127.0.0.1:{server.port} cannot be reached: {os.strerror(errno.ECONNREFUSED)}"


def test_a_reset_of_the_upstream_is_a_reset_for_the_client(steer, upstream, connect):
    def script(conn):
        conn.recv(1)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    sock = connect(steer(upstream(script)).port)
    sock.sendall(b"x")
    with pytest.raises(ConnectionResetError) as caught:
        sock.recv(1)
    assert caught.value.errno == errno.ECONNRESET


def ending_of(conn):
    """What the upstream sees its connection end by."""
    try:
        while conn.recv(65536):
            pass
    except ConnectionResetError:
        return "reset"
    return "end"


@pytest.mark.parametrize("said", [b"", b"hello"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_client_that_closes_first_resets_the_upstream_where_a_reset_was_due(steer, upstream, connect, when, said):
    seen = queue.SimpleQueue()
    pipe = steer(upstream(lambda conn: seen.put(ending_of(conn))), rule(ResetPeer(when, delay=0.05)))
    sock = connect(pipe.port)
    sock.sendall(said)
    sock.shutdown(socket.SHUT_WR)
    assert seen.get(timeout=PATIENCE_S) == "reset"
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    pipe.settled(1)
    assert pipe.tally("rule")[2] == 1


def test_the_end_of_a_client_that_gives_up_passes_a_silence_at_once(steer, upstream, connect):
    seen = queue.SimpleQueue()
    pipe = steer(upstream(lambda conn: seen.put(ending_of(conn))), rule(Timeout(3600.0, stream="up")))
    sock = connect(pipe.port)
    sock.sendall(b"hello")
    sock.close()
    assert seen.get(timeout=PATIENCE_S) == "end"
    pipe.settled(1)


def test_a_plan_that_needs_http_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r"rule 'x': abort acts on the exchange; .* use an HTTP proxy"):
        PipeServer(None, "127.0.0.1", 1, plan=FaultPlan((Rule("x", Abort()),)))
    plan = FaultPlan((Rule("x", Latency(1.0), Matcher(path="/webhook")),))
    with pytest.raises(ConfigError, match="a byte pipe knows no requests"):
        PipeServer(None, "127.0.0.1", 1, plan=plan)


def test_stopping_ends_everything_and_starting_again_counts_on(loop, steer, upstream, connect):
    pipe = steer(upstream(), rule(Timeout()))
    socks = [connect(pipe.port) for _ in range(20)]
    for sock in socks:
        sock.sendall(b"x")
    deadline = time.monotonic() + PATIENCE_S
    while pipe.server.connections < 20:
        assert time.monotonic() < deadline
    loop.run(pipe.server.stop())
    for sock in socks:
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(pipe.port)
    pipe.set_rules()

    async def again():
        await pipe.server.start(bind("127.0.0.1", pipe.port))

    loop.run(again())
    assert outcome(pipe.port) == "echo"
    assert pipe.server.accepted == 21


def test_a_pipe_that_is_stopped_while_clients_connect_leaves_none_hanging(loop, steer, upstream):
    for _ in range(10):
        pipe = steer(upstream())
        socks = []
        with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
            for number in range(30):
                socks.append(socket.create_connection(("127.0.0.1", pipe.port), timeout=PATIENCE_S))
                if number == 15:
                    stopping = asyncio.run_coroutine_threadsafe(pipe.server.stop(), loop.loop)
        stopping.result(PATIENCE_S)
        for sock in socks:
            with sock, contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""


@pytest.mark.parametrize("stream", ["up", "down", "both"])
def test_a_client_that_leaves_a_black_hole_leaves_nothing_behind(steer, upstream, connect, stream):
    pipe = steer(upstream(), rule(Timeout(stream=stream)))
    for number in range(10):
        with connect(pipe.port) as sock:
            sock.sendall(b"x")
            deadline = time.monotonic() + PATIENCE_S
            while pipe.tally("rule")[2] <= number:  # who leaves before the upstream's answer has met no fault
                assert time.monotonic() < deadline
    pipe.settled(10)
    assert pipe.tally("rule")[2] == 10


def test_many_large_transfers_at_once_arrive_whole(steer, upstream):
    pipe = steer(upstream(), rule(Latency(0.01, 0.005, stream="both")))
    payload = bytes(range(256)) * 8000
    broken = []

    def one():
        with socket.create_connection(("127.0.0.1", pipe.port), timeout=PATIENCE_S) as sock:
            threading.Thread(target=lambda: (sock.sendall(payload), sock.shutdown(socket.SHUT_WR)), daemon=True).start()
            got = b""
            while data := sock.recv(1 << 16):
                got += data
            if got != payload:
                broken.append(len(got))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert broken == []
    up, down = pipe.loop.call(lambda: pipe.server.traffic)
    assert (up.received, up.sent, down.received, down.sent) == (8 * len(payload),) * 4


HARSH = [
    Latency(0.02, 0.01, stream="both"),
    Bandwidth(200_000, stream="both"),
    Slicer(7, 3),
    SlowClose(0.05),
    Timeout(0.05, stream="both"),
    ResetPeer("connect"),
    ResetPeer("before"),
    ResetPeer("after", at_byte=10),
    LimitData(5),
    LimitData(5, "rst", stream="up"),
    LimitData(5, "silence"),
    Corrupt(0.5, stream="both"),
    Refuse("rst"),
    Refuse("fin"),
    Refuse("silence"),
]


def test_no_fault_however_clients_leave_keeps_a_socket_or_a_timer(loop, steer, upstream):
    server = upstream()
    process = psutil.Process()
    before = None
    for turn in range(2):
        for fault in HARSH:
            pipe = steer(server, rule(fault, rate=0.9))
            for number in range(6):
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(("127.0.0.1", pipe.port), timeout=0.05) as sock,
                ):
                    sock.sendall(b"x" * 20)
                    if number % 3 == 0:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    elif number % 3 == 1:
                        sock.recv(100)
            pipe.set_rules()
            pipe.settled(6)
            loop.run(pipe.server.stop())
        if turn == 0:
            before = process.num_fds()
    deadline = time.monotonic() + PATIENCE_S
    while process.num_fds() > before + 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.num_fds() <= before + 2


def test_two_hundred_connections_live_through_plans_that_change_all_the_time(steer, upstream):
    """Whatever gentle faults come and go, every byte arrives in order."""
    pipe = steer(upstream())
    gentle = [each for each in HARSH[:4] if not isinstance(each, SlowClose)]
    wrong, changed = [], threading.Event()

    def one(number):
        payload = bytes([number % 256]) * 3000 + number.to_bytes(4, "big")
        with socket.create_connection(("127.0.0.1", pipe.port), timeout=PATIENCE_S) as sock:
            for start in range(0, len(payload), 500):
                if start == 1500:
                    changed.wait(PATIENCE_S)  # the plan changes while bytes are on their way, however fast they are
                sock.sendall(payload[start : start + 500])
            sock.shutdown(socket.SHUT_WR)
            got = b""
            while data := sock.recv(4096):
                got += data
        if got != payload:
            wrong.append(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    turn = 0
    while any(thread.is_alive() for thread in threads):
        turn += 1
        chosen = [fault for bit, fault in enumerate(gentle) if turn >> bit & 1]
        pipe.set_rules(*(rule(fault, f"r{bit}") for bit, fault in enumerate(chosen)))
        if turn > 4:
            changed.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert turn > 4


def test_a_pipe_loads_no_mitmproxy():
    code = "import sys, chaosbot.tcp.worker; print({name.partition('.')[0] for name in sys.modules} & {'mitmproxy', 'h2', 'tornado'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
