"""What the peer sees of each byte fault, on raw sockets: real errnos, exact byte counts, lower bounds of time."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time

import pytest

from chaosbot.faults.bandwidth import Bandwidth
from chaosbot.faults.corrupt import Corrupt
from chaosbot.faults.latency import Latency
from chaosbot.faults.limit_data import LimitData
from chaosbot.faults.refuse import Refuse
from chaosbot.faults.reset_peer import ResetPeer
from chaosbot.faults.slicer import Slicer
from chaosbot.faults.slow_close import SlowClose
from chaosbot.faults.timeout import Timeout


def read_all(sock):
    """Everything until the end, and how it ended: None for FIN, else the errno."""
    parts = []
    try:
        while data := sock.recv(65536):
            parts.append(data)
    except ConnectionError as error:
        return b"".join(parts), error.errno
    return b"".join(parts), None


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            break
        data += part
    return data


def is_silent(sock, seconds=0.15):
    """Whether nothing, not even an end, comes within this time."""
    before = sock.gettimeout()
    sock.settimeout(seconds)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(before)
    return False


def answer(size):
    """A server that answers each request (one recv) with so many bytes."""

    def script(conn):
        while conn.recv(65536):
            conn.sendall(b"x" * size)

    return script


def test_without_faults_bytes_half_closes_and_ends_pass_unchanged(proxy, upstream, connect):
    sock = connect(proxy(upstream()).port)
    payload = bytes(range(256)) * 4000
    threading.Thread(target=lambda: (sock.sendall(payload), sock.shutdown(socket.SHUT_WR)), daemon=True).start()
    assert read_all(sock) == (payload, None)


@pytest.mark.parametrize(("stream", "least"), [("up", 0.15), ("down", 0.15), ("both", 0.30)])
def test_latency_delays_each_direction_by_its_delay_and_loses_nothing(proxy, upstream, connect, soon, stream, least):
    sock = connect(proxy(upstream(), Latency(0.15, stream=stream)).port)

    def ping():
        sock.sendall(b"ping")
        assert read_exactly(sock, 4) == b"ping"

    assert least <= soon(ping, least + 0.14) < least + 0.14


def test_latency_counts_from_arrival_so_that_a_head_and_its_body_are_late_once(proxy, upstream, connect, soon):
    sock = connect(proxy(upstream(), Latency(0.2, stream="up")).port)

    def ask():
        for part in (b"head", b"body", b"tail"):
            sock.sendall(part)
        assert read_exactly(sock, 12) == b"headbodytail"

    assert 0.2 <= soon(ask, 0.39) < 0.4


def test_jitter_keeps_delays_inside_its_bounds_and_makes_them_differ(proxy, upstream, connect):
    sock = connect(proxy(upstream(), Latency(0.06, 0.05)).port)
    delays = []
    for _ in range(12):
        began = time.monotonic()
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        delays.append(time.monotonic() - began)
    assert min(delays) >= 0.01
    assert max(delays) - min(delays) > 0.02


def test_bandwidth_takes_size_divided_by_rate_and_delivers_all(proxy, upstream, connect, soon):
    sock = connect(proxy(upstream(answer(40_000)), Bandwidth(100_000)).port)
    firsts = []

    def ask():
        sock.sendall(b"go")
        first = sock.recv(65536)
        firsts.append(len(first))
        assert len(first) + len(read_exactly(sock, 40_000 - len(first))) == 40_000

    assert 0.4 <= soon(ask, 0.6) < 0.6
    assert firsts[-1] < 20_000, "it trickles, it does not wait and burst"


def test_bandwidth_slows_a_sender_down_by_back_pressure(proxy, upstream, connect):
    server = upstream(lambda conn: [None for _ in iter(lambda: conn.recv(65536), b"")])
    sock = connect(proxy(server, Bandwidth(50_000, stream="up")).port)
    sock.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 200_000_000:
            sent += sock.send(b"x" * 65536)
    assert sent < 30_000_000, "kernel buffers fill up, the proxy does not hold the rest"


def test_slicer_hands_out_slices_of_the_size_it_was_given(proxy, upstream, connect):
    sock = connect(proxy(upstream(answer(60)), Slicer(10, 2, pause=0.02)).port)
    began = time.monotonic()
    sock.sendall(b"go")
    slices = []
    while sum(map(len, slices)) < 60:
        slices.append(sock.recv(65536))
    assert all(8 <= len(part) <= 12 for part in slices[:-1])
    assert len(slices) >= 5
    assert time.monotonic() - began >= 0.02 * (len(slices) - 2)


def test_slow_close_passes_bytes_at_once_and_the_end_late(proxy, upstream, connect):
    def script(conn):
        conn.recv(10)
        conn.sendall(b"bye")

    running = proxy(upstream(script), SlowClose(60.0))
    sock = connect(running.port)
    sock.sendall(b"x")
    assert read_exactly(sock, 3) == b"bye", "within the socket's patience, which is shorter than the fault"
    assert is_silent(sock)
    running.set_faults(SlowClose(0.25))
    sock = connect(running.port)
    began = time.monotonic()
    sock.sendall(b"x")
    assert read_all(sock) == (b"bye", None)
    assert time.monotonic() - began >= 0.25


def test_timeout_swallows_the_answer_then_closes_in_good_order(proxy, upstream, connect, soon):
    port = proxy(upstream(), Timeout(0.3)).port

    def ask():
        sock = connect(port)
        sock.sendall(b"hello")
        assert read_all(sock) == (b"", None)

    assert 0.25 <= soon(ask, 0.55) < 0.55


def test_timeout_without_a_time_never_closes_by_itself(proxy, upstream, connect):
    sock = connect(proxy(upstream(), Timeout(stream="both")).port)
    sock.sendall(b"hello")
    assert is_silent(sock, 0.3)


def test_lifting_a_timeout_closes_the_connections_that_it_held_at_once(proxy, upstream, connect):
    running = proxy(upstream(), Timeout())
    sock = connect(running.port)
    sock.sendall(b"hello")
    assert is_silent(sock)
    running.set_faults()
    assert read_all(sock) == (b"", None)
    fresh = connect(running.port)
    fresh.sendall(b"again")
    assert read_exactly(fresh, 5) == b"again"


def test_reset_before_the_upstream_sees_a_byte_is_econnreset(proxy, upstream, connect):
    seen = []

    def script(conn):
        seen.append(conn.recv(100))

    server = upstream(script)
    sock = connect(proxy(server, ResetPeer("before")).port)
    sock.sendall(b"request")
    assert read_all(sock) == (b"", errno.ECONNRESET)
    assert server.finished.acquire(timeout=60)
    assert seen == []
    assert [error.errno for error in server.errors] == [errno.ECONNRESET], "the upstream is reset too"


def test_a_client_that_closes_first_meets_a_reset_and_so_does_the_upstream(proxy, upstream, connect):
    server = upstream(lambda conn: conn.recv(1))
    sock = connect(proxy(server, ResetPeer("before")).port)
    sock.shutdown(socket.SHUT_WR)
    assert read_all(sock) == (b"", errno.ECONNRESET)
    assert server.finished.acquire(timeout=60)
    assert [error.errno for error in server.errors] == [errno.ECONNRESET]


def test_reset_after_the_upstream_has_acted_is_econnreset_without_a_byte(proxy, upstream, connect):
    seen = []

    def script(conn):
        seen.append(conn.recv(100))
        conn.sendall(b"done")
        conn.recv(1)

    server = upstream(script)
    sock = connect(proxy(server, ResetPeer("after")).port)
    sock.sendall(b"request")
    assert read_all(sock) == (b"", errno.ECONNRESET)
    assert seen == [b"request"]


@pytest.mark.parametrize("count", [1, 1000, 200_001])
def test_reset_in_the_middle_of_a_body_lets_exactly_its_bytes_pass(proxy, upstream, connect, count):
    sock = connect(proxy(upstream(answer(300_000)), ResetPeer("after", at_byte=count)).port)
    sock.sendall(b"go")
    data, error = read_all(sock)
    assert (len(data), error) == (count, errno.ECONNRESET)


def test_reset_on_connect_needs_no_request(proxy, upstream, connect):
    sock = connect(proxy(upstream(), ResetPeer("connect", delay=0.1)).port)
    began = time.monotonic()
    assert read_all(sock) == (b"", errno.ECONNRESET)
    assert time.monotonic() - began >= 0.08


@pytest.mark.parametrize("count", [0, 1, 999, 150_000])
def test_limit_data_passes_exactly_its_bytes_then_ends_in_good_order(proxy, upstream, connect, count):
    sock = connect(proxy(upstream(answer(300_000)), LimitData(count)).port)
    sock.sendall(b"go")
    data, error = read_all(sock)
    assert (len(data), error) == (count, None)


def test_limit_data_can_reset_or_fall_silent(proxy, upstream, connect):
    sock = connect(proxy(upstream(answer(5000)), LimitData(100, "rst")).port)
    sock.sendall(b"go")
    data, error = read_all(sock)
    assert (len(data), error) == (100, errno.ECONNRESET)

    sock = connect(proxy(upstream(answer(5000)), LimitData(100, "silence")).port)
    sock.sendall(b"go")
    assert len(read_exactly(sock, 100)) == 100
    assert is_silent(sock)


def test_limit_data_on_requests_stops_a_sender_in_the_middle_of_its_body(proxy, upstream, connect):
    got = []

    def script(conn):
        while data := conn.recv(65536):
            got.append(data)

    server = upstream(script)
    sock = connect(proxy(server, LimitData(5000, stream="up")).port)
    sock.sendall(b"x" * 20_000)
    assert read_all(sock) == (b"", None)
    assert server.finished.acquire(timeout=60)
    assert sum(map(len, got)) == 5000


def test_corrupt_flips_single_bits_where_the_seed_says(proxy, upstream, connect):
    payload = bytes(20_000)
    seen = []
    target = upstream(lambda conn: (conn.recv(10), conn.sendall(payload)))
    for _ in range(2):
        sock = connect(proxy(target, Corrupt(0.01, skip=100)).port)
        sock.sendall(b"go")
        data, error = read_all(sock)
        assert error is None
        assert len(data) == len(payload)
        assert data[:100] == payload[:100]
        seen.append(data)
    assert seen[0] == seen[1]
    damaged = [byte for byte in seen[0] if byte]
    assert 130 < len(damaged) < 280
    assert all(byte.bit_count() == 1 for byte in damaged)


@pytest.mark.parametrize(("farewell", "expected"), [("rst", errno.ECONNRESET), ("fin", None)])
def test_refuse_turns_clients_away_without_asking_the_upstream(proxy, upstream, connect, farewell, expected):
    server = upstream()
    port = proxy(server, Refuse(farewell)).port
    try:
        seen = read_all(connect(port))
    except ConnectionResetError as error:  # so fast that connect() itself hears of it
        seen = (b"", error.errno)
    assert seen == (b"", expected)
    assert server.accepted == 0


def test_refuse_in_silence_answers_nothing(proxy, upstream, connect):
    server = upstream()
    sock = connect(proxy(server, Refuse("silence")).port)
    sock.sendall(b"anybody?")
    assert is_silent(sock)
    assert server.accepted == 0


def test_several_faults_compose_in_the_order_of_the_plan(proxy, upstream, connect):
    faults = (LimitData(50), Slicer(10), Latency(0.1))
    sock = connect(proxy(upstream(answer(100)), *faults).port)
    began = time.monotonic()
    sock.sendall(b"go")
    data, error = read_all(sock)
    assert (len(data), error) == (50, None)
    assert time.monotonic() - began >= 0.1


def test_faults_added_and_removed_reach_a_connection_in_use(proxy, upstream, connect, soon):
    running = proxy(upstream())
    sock = connect(running.port)

    def ping():
        sock.sendall(b"ping")
        assert read_exactly(sock, 4) == b"ping"

    assert soon(ping, 0.2) < 0.2
    running.set_faults(Latency(0.2))
    assert soon(ping, 60) >= 0.2
    running.set_faults()
    assert soon(ping, 0.2) < 0.2


def test_removing_a_latency_releases_what_it_held_at_once(proxy, upstream, connect):
    running = proxy(upstream(), Latency(60.0))
    sock = connect(running.port)
    sock.sendall(b"held")
    assert is_silent(sock)
    running.set_faults()
    assert read_exactly(sock, 4) == b"held", "within the socket's patience, which is shorter than the fault"


def test_full_duplex_bulk_through_shared_back_pressure_does_not_hang(proxy, upstream, connect):
    size = 20_000_000

    def script(conn):
        sender = threading.Thread(target=conn.sendall, args=(b"d" * size,), daemon=True)
        sender.start()
        got = 0
        while got < size and (data := conn.recv(1 << 16)):
            got += len(data)
        sender.join()
        conn.sendall(b"%d" % got)

    sock = connect(proxy(upstream(script)).port)
    threading.Thread(target=sock.sendall, args=(b"u" * size,), daemon=True).start()
    got = 0
    while got < size:
        data = sock.recv(1 << 16)
        assert data
        got += len(data)
    rest = b"" if got == size else data[-(got - size) :]
    assert (rest + read_exactly(sock, len(str(size)) - len(rest))).decode() == str(size)
