"""HTTP/2 when it is asked for: its own faults, and what the others come to on it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from chaosbot.addons.ca import ensure_ca
from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.event import Event, ExchangeSeen, Injected, Trouble
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan

from .conftest import BODY, Upstream


class Client:
    """An HTTP/2 client on a blocking socket that keeps every event."""

    def __init__(self, address: tuple[str, int], ca: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        context.set_alpn_protocols(["h2"])
        self.sock = context.wrap_socket(socket.create_connection(address), server_hostname="127.0.0.1")
        self.sock.settimeout(30)
        self.protocol = self.sock.selected_alpn_protocol()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.sock.sendall(self.h2.data_to_send())
        self.events: list[h2.events.Event] = []
        self.ended = False

    def ask(self, path: str = "/webhook/telegram") -> int:
        stream: int = self.h2.get_next_available_stream_id()
        headers = [(":method", "POST"), (":path", path), (":scheme", "https"), (":authority", "bot.example")]
        self.h2.send_headers(stream, [*headers, ("content-length", "2")])
        self.h2.send_data(stream, b"{}", end_stream=True)
        self.sock.sendall(self.h2.data_to_send())
        return stream

    def wait_for(self, *kinds: type[h2.events.Event]) -> h2.events.Event | None:
        """The first event of these kinds; None when the connection ends before."""
        while True:
            found = next((event for event in self.events if isinstance(event, kinds)), None)
            if found is not None or self.ended:
                return found
            data = self.sock.recv(65536)
            if not data:
                self.ended = True
                continue
            self.events += self.h2.receive_data(data)
            self.sock.sendall(self.h2.data_to_send())

    def body(self) -> bytes:
        return b"".join(event.data or b"" for event in self.events if isinstance(event, h2.events.DataReceived))


@dataclass
class Rig:
    proxy: Proxy
    events: list[Event]
    ca: Path
    upstream: Upstream

    def open(self, *faults: str) -> Client:
        self.proxy.replace_plan(plan_of([parse_fault(text) for text in faults]))
        self.proxy.flush()
        self.events.clear()
        self.upstream.forget()
        host, _, port = self.proxy.url(Direction.INBOUND).partition("://")[2].partition(":")
        return Client((host, int(port)), self.ca)

    def injected(self) -> list[Injected]:
        self.proxy.flush()
        return [event for event in self.events if isinstance(event, Injected)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    upstream = Upstream()
    events: list[Event] = []
    confdir = tmp_path_factory.mktemp("ca")
    listeners = (ListenerSpec(Direction.INBOUND, upstream.url),)
    spec = ProxySpec(listeners, 5, FaultPlan(), http2=True, confdir=str(confdir))
    with Proxy(spec, events.append) as proxy:
        yield Rig(proxy, events, ensure_ca(confdir), upstream)
        proxy.flush()
        assert not [event for event in events if isinstance(event, Trouble)]
    upstream.close()


def test_http2_reaches_an_http1_upstream(rig: Rig) -> None:
    client = rig.open()
    assert client.protocol == "h2"
    client.ask()
    assert isinstance(client.wait_for(h2.events.StreamEnded), h2.events.StreamEnded)
    assert client.body() == BODY
    assert rig.upstream.requests[0].body == b"{}"
    assert rig.upstream.requests[0].line == "POST /webhook/telegram HTTP/1.1"


def test_goaway(rig: Rig) -> None:
    client = rig.open("h2_goaway:0")
    client.ask()
    event = client.wait_for(h2.events.ConnectionTerminated, h2.events.StreamEnded)
    assert isinstance(event, h2.events.ConnectionTerminated)
    assert event.error_code == 0
    assert [event.stage for event in rig.injected()] == ["applied"]


def test_rst_stream_leaves_the_other_streams_alone(rig: Rig) -> None:
    client = rig.open("h2_rst_stream:7;path=/bad")
    bad, good = client.ask("/bad"), client.ask("/good")
    event = client.wait_for(h2.events.StreamReset)
    assert isinstance(event, h2.events.StreamReset)
    assert (event.stream_id, event.error_code) == (bad, 7)
    ended = client.wait_for(h2.events.StreamEnded)
    assert isinstance(ended, h2.events.StreamEnded)
    assert ended.stream_id == good


@pytest.mark.parametrize("fault", ["hang_up:fin", "truncate_response", "garbage"])
def test_an_answer_that_breaks_off_is_a_reset_stream(rig: Rig, fault: str) -> None:
    client = rig.open(fault)
    client.ask()
    assert isinstance(client.wait_for(h2.events.StreamReset, h2.events.StreamEnded), h2.events.StreamReset)
    # The connection lives on.
    rig.proxy.replace_plan(FaultPlan())
    client.events.clear()
    client.ask()
    assert isinstance(client.wait_for(h2.events.StreamEnded, h2.events.StreamReset), h2.events.StreamEnded)


def test_an_answer_by_the_proxy_and_a_made_body(rig: Rig) -> None:
    client = rig.open("abort:503;path=/a", "huge_body:200KB;path=/h")
    client.ask("/a")
    event = client.wait_for(h2.events.ResponseReceived)
    assert isinstance(event, h2.events.ResponseReceived)
    assert dict(event.headers or [])[b":status"] == b"503"
    client.wait_for(h2.events.StreamEnded)


def test_http2_faults_do_not_touch_http1(rig: Rig) -> None:
    rig.open("h2_goaway")
    host, _, port = rig.proxy.url(Direction.INBOUND).partition("://")[2].partition(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
    assert [event.stage for event in rig.injected()] == ["missed"]
    assert all(event.status == 200 for event in rig.events if isinstance(event, ExchangeSeen))
