"""The unmodified `toxiproxy-python` client drives all eight toxics, and raw sockets see what they do."""

from __future__ import annotations

import errno
import socket
import time

import pytest
import toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists


@pytest.fixture
def client(api):
    client = toxiproxy.Toxiproxy()
    client.update_api_consumer(*api.server.address)
    return client


@pytest.fixture
def proxy(client, echo):
    return client.create(upstream=echo, name="bot")


@pytest.fixture
def sock(proxy, connect):
    return connect(proxy.listen)


def answers(sock, data=b"ping"):
    """Sends and reads the echo."""
    sock.sendall(data)
    got = b""
    while len(got) < len(data):
        part = sock.recv(65536)
        if not part:
            break
        got += part
    return got


def exchange(sock, data=b"ping"):
    """Sends, reads the echo, and says how long it took."""
    began = time.monotonic()
    return answers(sock, data), time.monotonic() - began


def test_the_client_manages_proxies(client, proxy, echo):
    assert client.running()
    assert client.version() == b'{"version": "2.12.0"}\n'
    assert client.get_proxy("bot").upstream == echo
    with pytest.raises(ProxyExists):
        client.create(upstream=echo, name="bot")
    populated = client.populate([{"name": "other", "upstream": echo, "listen": "127.0.0.1:0"}])
    assert [each.name for each in populated] == ["other"]
    assert set(client.proxies()) == {"bot", "other"}
    client.destroy_all()
    assert client.proxies() == {}
    with pytest.raises(NotFound):
        proxy.destroy()


def test_down_stops_the_proxy_and_brings_it_back_on_its_port(client, proxy, connect):
    with proxy.down(), pytest.raises(ConnectionRefusedError):
        connect(proxy.listen)
    assert exchange(connect(proxy.listen))[0] == b"ping"


def test_unknown_types_are_invalid_toxics(proxy):
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="earthquake")


def test_latency(proxy, sock, soon):
    proxy.add_toxic(type="latency", attributes={"latency": 150, "jitter": 20})
    assert 0.13 <= soon(lambda: answers(sock), 0.25) < 0.25
    assert answers(sock) == b"ping"
    toxic = proxy.get_toxic("latency_downstream")
    assert (toxic.stream, toxic.toxicity, toxic.attributes) == ("downstream", 1, {"latency": 150, "jitter": 20})
    proxy.destroy_toxic("latency_downstream")
    assert soon(lambda: answers(sock), 0.12) < 0.12


def test_bandwidth(proxy, sock, soon):
    proxy.add_toxic(type="bandwidth", attributes={"rate": 100})
    assert 0.3 <= soon(lambda: answers(sock, b"x" * 30_000), 0.6) < 0.6
    assert len(answers(sock, b"x" * 30_000)) == 30_000


def test_bandwidth_of_nothing_holds_everything_until_it_is_lifted(proxy, sock):
    proxy.add_toxic(type="bandwidth", attributes={"rate": 0})
    sock.sendall(b"held")
    sock.settimeout(0.15)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(30)
    proxy.destroy_toxic("bandwidth_downstream")
    assert sock.recv(10) == b"held"


def test_slow_close(proxy, sock, soon):
    proxy.add_toxic(type="slow_close", attributes={"delay": 200})
    assert soon(lambda: answers(sock), 0.15) < 0.15
    began = time.monotonic()
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(1) == b""
    assert time.monotonic() - began >= 0.2


def test_timeout(proxy, sock):
    proxy.add_toxic(type="timeout", attributes={"timeout": 200})
    got, seconds = exchange(sock)
    assert got == b""
    assert seconds >= 0.15


def test_timeout_without_end_closes_its_connections_when_it_is_removed(proxy, sock):
    proxy.add_toxic(type="timeout", attributes={"timeout": 0}, stream="upstream")
    sock.sendall(b"lost")
    sock.settimeout(0.15)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(30)
    proxy.destroy_toxic("timeout_upstream")
    assert sock.recv(1) == b""


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_reset_peer(proxy, sock, stream):
    proxy.add_toxic(type="reset_peer", attributes={"timeout": 100}, stream=stream)
    began = time.monotonic()
    sock.sendall(b"x")
    with pytest.raises(ConnectionResetError) as caught:
        sock.recv(1)
    assert caught.value.errno == errno.ECONNRESET
    assert time.monotonic() - began >= 0.1


def test_slicer(proxy, sock):
    proxy.add_toxic(type="slicer", attributes={"average_size": 10, "size_variation": 2, "delay": 20_000})
    sock.sendall(b"x" * 50)
    slices = []
    while sum(map(len, slices)) < 50:
        slices.append(sock.recv(65536))
    assert all(8 <= len(part) <= 12 for part in slices[:-1])


def test_limit_data(proxy, sock):
    proxy.add_toxic(type="limit_data", attributes={"bytes": 10})
    assert exchange(sock, b"0123456789abcdef")[0] == b"0123456789"
    assert sock.recv(1) == b""


def test_noop(proxy, sock):
    proxy.add_toxic(type="noop")
    assert exchange(sock)[0] == b"ping"
    assert list(proxy.toxics()) == ["noop_downstream"]


def test_reset_brings_everything_back(client, proxy, connect):
    proxy.add_toxic(type="timeout", attributes={"timeout": 0})
    proxy.add_toxic(type="latency", attributes={"latency": 60_000}, stream="upstream")
    assert client.reset()
    assert proxy.toxics() == {}
    assert exchange(connect(proxy.listen))[0] == b"ping"
