"""Upstreams and homes that are not as usual: client certificates, streams without an end, odd statuses, a HOME that cannot be written."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.cli._listeners import client_certificate
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Event, ExchangeSeen, Injected, Noted, Trouble, from_json, to_json
from chaosbot.core.exchange import Direction
from tests.support.tls import certificate

from .conftest import Lab, Reply, Upstream, answer, read, request

# ── a status line that is none ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("faults", [(), ("header_edit:x-a;value=1",)], ids=["bare", "fault"])
def test_a_status_beyond_all_numbers_becomes_an_event_that_reads_back(lab: Lab, faults: tuple[str, ...]) -> None:
    lab.faults(*faults)
    lab.upstream.respond = lambda _request: answer(b"{}", "99999999999999999999 OK")
    reply = lab.send(request(key="odd"), whole=False, quiet_s=1)
    assert reply.data.startswith(b"HTTP/1.1 99999999999999999999 OK\r\n")
    (seen,) = lab.seen
    assert (seen.status, seen.upstream_status) == (999, 999)
    assert from_json(to_json(seen)) == seen
    assert not lab.troubles


# ── an answer that streams ───────────────────────────────────────────────────────────────────────────────────────────


class Ticker:
    """An upstream of server-sent events: one at once, the next when the test says so."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            while b"\r\n\r\n" not in peer.recv(1 << 16):
                pass
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            peer.sendall(head + b"9\r\ndata: 1\n\n\r\n")
            self.go_on.wait(60)
            peer.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    def close(self) -> None:
        self.go_on.set()
        self._listener.close()


@pytest.fixture
def ticker() -> Iterator[Ticker]:
    server = Ticker()
    yield server
    server.close()


@contextmanager
def proxy_of(
    upstream: str, confdir: Path, *faults: str, **values: object
) -> Iterator[tuple[tuple[str, int], list[Event]]]:
    """A proxy before an upstream; its address and its events."""
    events: list[Event] = []
    plan = plan_of([parse_fault(text) for text in faults])
    listeners = (ListenerSpec(Direction.INBOUND, upstream),)
    with Proxy(ProxySpec(listeners, 3, plan, confdir=str(confdir), **values), events.append) as proxy:  # type: ignore[arg-type]
        host, _, port = proxy.url(Direction.INBOUND).partition("://")[2].partition(":")
        yield (host, int(port)), events
        proxy.flush()


GET_EVENTS = b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n"


def until(sock: socket.socket, word: bytes) -> bytes:
    data = b""
    while word not in data:
        part = sock.recv(1 << 16)
        assert part, data
        data += part
    return data


@pytest.mark.parametrize(
    "fault",
    ["delay:300ms;path=/events", "header_edit:x-a;value=1", "latency:20ms;path=/events", "dribble:4b;pause=1ms"],
)
@pytest.mark.quick(3)
def test_a_fault_that_does_not_need_the_answer_lets_it_stream(ticker: Ticker, tmp_path: Path, fault: str) -> None:
    with proxy_of(ticker.url, tmp_path, fault) as (address, events), socket.create_connection(address) as sock:
        sock.settimeout(30)
        sock.sendall(GET_EVENTS)
        first = until(sock, b"data: 1")
        assert b"data: 2" not in first
        assert b"x-a: 1" in first or not fault.startswith("header_edit")
        ticker.go_on.set()
        until(sock, b"0\r\n\r\n")
    assert [event.stage for event in events if isinstance(event, Injected)] == ["applied"]
    (seen,) = [event for event in events if isinstance(event, ExchangeSeen)]
    assert (seen.status, seen.upstream_status) == (200, 200)
    assert not [event for event in events if isinstance(event, Trouble)]


def test_an_upstreams_path_stands_in_front_of_every_requests_own(tmp_path: Path) -> None:
    server = Upstream()
    events: list[Event] = []
    listener = ListenerSpec(Direction.INBOUND, f"{server.url}/base/v1/")
    spec = ProxySpec((listener,), 1, plan_of([parse_fault("delay:1ms;path=/orders")]), confdir=str(tmp_path / "ca"))
    proxy = Proxy(spec, events.append)
    proxy.start()
    host, _, port = proxy.url(Direction.INBOUND).partition("://")[2].partition(":")
    with socket.create_connection((host, int(port))) as sock:
        for path in ("/orders?id=7", "/"):
            sock.sendall(request(path=path))
            assert read(sock).status == 200
    proxy.stop()
    assert [one.line for one in server.requests] == ["POST /base/v1/orders?id=7 HTTP/1.1", "POST /base/v1/ HTTP/1.1"]
    seen = [event for event in events if isinstance(event, ExchangeSeen)]
    assert [one.path for one in seen] == ["/orders", "/"]  # as the client knows it, and as rules match it
    assert [event.rule for event in events if isinstance(event, Injected)] == ["delay"]
    server.close()


def test_a_fault_that_needs_the_answer_holds_it_and_says_so(ticker: Ticker, tmp_path: Path) -> None:
    with proxy_of(ticker.url, tmp_path, "truncate_response:0.5") as (address, events):
        with socket.create_connection(address) as sock:
            sock.sendall(GET_EVENTS)
            assert read(sock, quiet_s=0.3).data == b""
            ticker.go_on.set()
            assert read(sock).data.startswith(b"HTTP/1.1 200 OK")
        (note,) = [event for event in events if isinstance(event, Noted) and event.area == "held"]
        assert "truncate_response" in note.text


# ── an upstream that wants a certificate ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def demanding(tmp_path: Path) -> Iterator[Upstream]:
    """An upstream that wants a client certificate."""
    pem, key = certificate(tmp_path, "server")
    client, _ = certificate(tmp_path, "client")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client))
    context.load_cert_chain(pem, key)
    context.verify_mode = ssl.CERT_REQUIRED
    server = Upstream(context)
    yield server
    server.close()


def test_an_upstream_that_wants_a_certificate_is_a_502_that_names_the_alert(
    demanding: Upstream, tmp_path: Path
) -> None:
    with (
        proxy_of(demanding.url, tmp_path / "ca", upstream_ca=str(tmp_path / "server.pem")) as (address, events),
        socket.create_connection(address) as sock,
    ):
        sock.sendall(request())
        reply = read(sock)
    assert reply.status == 502
    assert b"certificate required" in reply.body
    assert b"--upstream-cert" in reply.body
    assert reply.seconds < 10
    (note,) = [event for event in events if isinstance(event, Noted) and event.area == "upstream"]
    assert "certificate required" in note.text
    assert not [event for event in events if isinstance(event, Trouble)]


def test_a_certificate_is_shown_to_upstreams_and_to_repetitions(demanding: Upstream, tmp_path: Path) -> None:
    with (
        client_certificate(tmp_path / "client.pem", tmp_path / "client.key") as shown,
        proxy_of(
            demanding.url,
            tmp_path / "ca",
            "duplicate",
            upstream_ca=str(tmp_path / "server.pem"),
            upstream_cert=shown,
        ) as (address, _events),
        socket.create_connection(address) as sock,
    ):
        sock.sendall(request())
        assert read(sock).status == 200
        assert len(demanding.wait_for(2)) == 2


def test_certificates_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    pem, _key = certificate(tmp_path, "one")
    _pem, other = certificate(tmp_path, "two")
    for certificate_file, key, text in (
        (pem, None, "no certificate with its key"),
        (pem, other, "no certificate with its key"),
        (tmp_path / "nowhere", None, "No such file"),
        (None, other, "belongs to a certificate"),
    ):
        with pytest.raises(ConfigError, match=text), client_certificate(certificate_file, key):
            pass


# ── a home that cannot be written ────────────────────────────────────────────────────────────────────────────────────


def test_without_tls_no_authority_is_made(upstream: Upstream, tmp_path: Path) -> None:
    confdir = tmp_path / "ca"
    with proxy_of(upstream.url, confdir) as (address, _events), socket.create_connection(address) as sock:
        sock.sendall(request())
        assert read(sock).status == 200
    assert not confdir.exists()


def test_a_folder_that_cannot_be_made_breaks_tls_only_and_is_named(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with proxy_of(upstream.url, tmp_path / "file" / "ca") as (address, events):
        with socket.create_connection(address) as sock:
            sock.sendall(request())
            assert read(sock).status == 200
        context = ssl.create_default_context()
        with socket.create_connection(address) as plain, pytest.raises(OSError):
            context.wrap_socket(plain, server_hostname="127.0.0.1")
    (trouble,) = [event for event in events if isinstance(event, Trouble)]
    assert "XDG_DATA_HOME" in trouble.what


def test_a_missing_home_is_no_reason_not_to_start(upstream: Upstream, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chaosbot", "proxy", upstream.url, "--http", "--listen", "127.0.0.1:0"]
    command += ["--duration", "1ms", "--out", str(tmp_path / "run")]
    ended = subprocess.run(
        command, env={"HOME": "/nonexistent", "PATH": "/usr/bin"}, capture_output=True, text=True, check=False
    )
    assert "listening on" in ended.stdout, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 3  # no exchange was seen, so nothing can be judged


# ── HTTP/2 in the clear ──────────────────────────────────────────────────────────────────────────────────────────────


class PlainH2:
    """A server of cleartext HTTP/2 with prior knowledge that answers with trailers, as gRPC does."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.paths: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        server.initiate_connection()
        peer.sendall(server.data_to_send())
        while data := peer.recv(1 << 16):
            for event in server.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.paths.append(dict(event.headers)[":path"])
                elif isinstance(event, h2.events.StreamEnded):
                    server.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                    server.send_data(event.stream_id, b"\0\0\0\0\2ok")
                    server.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
            peer.sendall(server.data_to_send())

    def close(self) -> None:
        self._listener.close()


def over_h2(address: tuple[str, int], cut: int) -> tuple[dict[str, str], bytes, dict[str, str]]:
    """Asks in cleartext HTTP/2, the preface cut in two; headers, body and trailers of the answer."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    headers = [(":method", "POST"), (":path", "/pkg.Service/Call"), (":scheme", "http"), (":authority", "x")]
    client.send_headers(1, [*headers, ("content-type", "application/grpc"), ("te", "trailers")])
    client.send_data(1, b"\0\0\0\0\2hi", end_stream=True)
    data = client.data_to_send()
    head: dict[str, str] = {}
    body = b""
    trailers: dict[str, str] = {}
    with socket.create_connection(address) as sock:
        sock.settimeout(30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(data[:cut])
        sock.sendall(data[cut:])
        while got := sock.recv(1 << 16):
            for event in client.receive_data(got):
                if isinstance(event, h2.events.ResponseReceived):
                    head = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.TrailersReceived):
                    trailers = dict(event.headers)
                elif isinstance(event, h2.events.StreamEnded):
                    return head, body, trailers
            sock.sendall(client.data_to_send())
    return head, body, trailers


@pytest.mark.parametrize("cut", [1, 10, 24, 60])
@pytest.mark.quick(2)
def test_cleartext_http2_with_prior_knowledge_passes_and_meets_faults(tmp_path: Path, cut: int) -> None:
    server = PlainH2()
    with proxy_of(server.url, tmp_path, "delay:1ms", "abort:503;path=/never", http2=True) as (address, events):
        head, body, trailers = over_h2(address, cut)
    server.close()
    assert head[":status"] == "200"
    assert body == b"\0\0\0\0\2ok"
    assert trailers == {"grpc-status": "0"}
    assert server.paths == ["/pkg.Service/Call"]
    assert [event.rule for event in events if isinstance(event, Injected)] == ["delay"]


def test_cleartext_http2_to_an_upstream_of_http1_is_a_502_at_once(upstream: Upstream, tmp_path: Path) -> None:
    with proxy_of(upstream.url, tmp_path, http2=True) as (address, events):
        head, _body, _trailers = over_h2(address, 24)
    assert head[":status"] == "502"
    (note,) = [event for event in events if isinstance(event, Noted) and event.area == "upstream"]
    assert "answered in HTTP/1" in note.text


def test_http1_still_passes_where_http2_is_offered(upstream: Upstream, tmp_path: Path) -> None:
    with proxy_of(upstream.url, tmp_path, http2=True) as (address, _events), socket.create_connection(address) as sock:
        sock.sendall(request())
        assert read(sock).status == 200


def test_cleartext_http2_without_the_option_is_refused_with_the_option(upstream: Upstream, tmp_path: Path) -> None:
    with proxy_of(upstream.url, tmp_path) as (address, _events), socket.create_connection(address) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        reply: Reply = read(sock)
    assert b"--http2" in reply.data
