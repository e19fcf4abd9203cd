"""Beside any client: TLS on either side, the regular proxy mode, raw TCP, the allow-list."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from chaosbot.addons.ca import ensure_ca
from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.event import Event, ExchangeSeen, Injected, Noted
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan
from tests.support.tls import certificate

from .conftest import BODY, Upstream, read, request


@dataclass
class Secure:
    """An HTTPS upstream with a CA of its own."""

    upstream: Upstream
    ca: str


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    pem, key = certificate(tmp_path_factory.mktemp("tls"), "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    upstream = Upstream(context)
    yield Secure(upstream, str(pem))
    upstream.close()


@dataclass
class Rig:
    """One proxy of any shape."""

    proxy: Proxy
    events: list[Event]
    ca: Path

    @property
    def url(self) -> str:
        return self.proxy.url(Direction.OUTBOUND)

    def faults(self, *texts: str) -> None:
        self.proxy.replace_plan(plan_of([parse_fault(text) for text in texts]))

    def seen(self) -> list[ExchangeSeen]:
        self.proxy.flush()
        return [event for event in self.events if isinstance(event, ExchangeSeen)]

    def client(self, **options: object) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.ca))
        return httpx.Client(verify=context, timeout=60, trust_env=False, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def confdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conf")


def rig_for(confdir: Path, upstream: str, **more: object) -> Iterator[Rig]:
    events: list[Event] = []
    listeners = (ListenerSpec(Direction.OUTBOUND, upstream),)
    spec = ProxySpec(listeners, 3, FaultPlan(), confdir=str(confdir), **more)  # type: ignore[arg-type]
    with Proxy(spec, events.append) as proxy:
        yield Rig(proxy, events, ensure_ca(confdir))


@pytest.fixture
def regular(confdir: Path, secure: Secure) -> Iterator[Rig]:
    yield from rig_for(confdir, "", upstream_ca=secure.ca)


def test_an_https_upstream_behind_a_plain_listener(confdir: Path, secure: Secure) -> None:
    for rig in rig_for(confdir, secure.upstream.url, upstream_ca=secure.ca):
        assert httpx.get(f"{rig.url}/a?b=1", trust_env=False).content == BODY
        assert secure.upstream.requests[-1].line == "GET /a?b=1 HTTP/1.1"
        assert secure.upstream.requests[-1].header("host") == f"127.0.0.1:{secure.upstream.port}"
        rig.faults("truncate_response:50%")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(rig.url, trust_env=False)


def test_an_upstream_whose_certificate_is_wrong_is_the_proxys_own_502(confdir: Path, secure: Secure) -> None:
    for rig in rig_for(confdir, secure.upstream.url):
        answer = httpx.get(rig.url, trust_env=False)
        assert (answer.status_code, answer.headers["x-chaosbot"]) == (502, "upstream")
        assert "add --insecure-upstream" in answer.text
        assert rig.seen()[0].by == "proxy"


def test_tls_clients_are_served_on_the_same_port(confdir: Path, upstream: Upstream) -> None:
    for rig in rig_for(confdir, upstream.url):
        secure_url = rig.url.replace("http://", "https://")
        with rig.client() as client:
            assert client.get(secure_url).content == BODY
            rig.faults("hang_up:rst")
            with pytest.raises(httpx.TransportError):
                client.get(secure_url)
            rig.faults("malformed_chunk")
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(secure_url)


def test_the_regular_mode_serves_plain_and_tls_upstreams(regular: Rig, secure: Secure, upstream: Upstream) -> None:
    with regular.client(proxy=regular.url) as client:
        assert client.get(f"{upstream.url}/plain").content == BODY
        assert client.get(f"{secure.upstream.url}/secret").content == BODY
        assert upstream.requests[-1].line == "GET /plain HTTP/1.1"
        assert [(seen.path, seen.by) for seen in regular.seen()] == [("/plain", "target"), ("/secret", "target")]
        regular.faults("abort:503;path=/secret", "lost_ack;path=/plain", "dribble:50;pause=5ms;path=/drip")
        assert client.get(f"{secure.upstream.url}/secret").headers["x-chaosbot"] == "abort"
        assert client.get(f"{secure.upstream.url}/drip").content == BODY
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"{upstream.url}/plain")
    regular.proxy.flush()
    assert {event.rule for event in regular.events if isinstance(event, Injected)} == {"abort", "lost_ack", "dribble"}


def test_the_allow_list_keeps_strangers_out(regular: Rig, confdir: Path) -> None:
    with regular.client(proxy=regular.url) as client:
        answer = client.get("http://198.51.100.1/")
        assert (answer.status_code, answer.headers["x-chaosbot"]) == (502, "upstream")
    regular.proxy.flush()
    (note,) = [event for event in regular.events if isinstance(event, Noted)]
    assert "is not allowed; name it by --allow-host" in note.text


def test_the_proxy_does_not_connect_to_itself(regular: Rig) -> None:
    with regular.client(proxy=regular.url) as client:
        assert client.get(f"{regular.url}/round").status_code == 502


def test_raw_tcp_passes_both_ways_and_meets_byte_faults(confdir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for rig in rig_for(confdir, f"tcp://127.0.0.1:{port}"):
            host, _, number = rig.url.partition("tcp://")[2].partition(":")
            with socket.create_connection((host, int(number))) as client:
                behind, _ = server.accept()
                with behind:
                    behind.sendall(b"greeting\n")
                    assert client.recv(100) == b"greeting\n"
                    client.sendall(b"\x00\x01binary")
                    assert behind.recv(100) == b"\x00\x01binary"
                    rig.faults("limit_data:4b;farewell=rst;stream=up")
                    client.sendall(b"1234567890")
                    assert read(client, whole=False).end == "rst"


def test_the_ca_is_private_and_stays_the_same(tmp_path: Path) -> None:
    first = ensure_ca(tmp_path / "own").read_bytes()
    assert ensure_ca(tmp_path / "own").read_bytes() == first
    assert b"BEGIN CERTIFICATE" in first
    assert b"PRIVATE" not in first
    keys = [path for path in (tmp_path / "own").iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert keys
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys)


def test_a_request_that_is_no_http_is_answered_by_the_proxy_itself(confdir: Path, upstream: Upstream) -> None:
    for rig in rig_for(confdir, upstream.url):
        host, _, number = rig.url.partition("http://")[2].partition(":")
        with socket.create_connection((host, int(number))) as client:
            client.sendall(request().replace(b"content-length: ", b"content-length: x"))
            reply = read(client)
        assert (reply.status, reply.header("x-chaosbot")) == (400, "upstream")
