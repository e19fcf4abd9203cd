"""What both sides of a WebSocket see of each fault."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    RejectConnection,
    Request,
    TextMessage,
)

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.event import Event as RunEvent
from chaosbot.core.event import ExchangeSeen, Injected, Trouble
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan


class Peer:
    """One end of a WebSocket on a blocking socket."""

    def __init__(self, sock: socket.socket, kind: ConnectionType) -> None:
        self.sock = sock
        self.ws = WSConnection(kind)
        self.events: list[Event] = []
        self.raw = b""
        sock.settimeout(30)

    def send(self, event: Event) -> None:
        self.sock.sendall(self.ws.send(event))

    def next(self) -> Event | None:
        """The next event; None at the end of the connection."""
        while not self.events:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            self.raw += data
            if not data:
                return None
            self.ws.receive_data(data)
            self.events += list(self.ws.events())
        return self.events.pop(0)

    def text(self) -> str:
        """The next text message, whole."""
        whole = ""
        while True:
            event = self.next()
            assert isinstance(event, TextMessage), event
            whole += event.data
            if event.message_finished:
                return whole


class Server:
    """Echoes every message; keeps what it saw."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.heard: list[str | bytes] = []
        self.ends: list[str] = []
        self.changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        end = "fin"
        with sock:
            peer = Peer(sock, ConnectionType.SERVER)
            try:
                while (event := peer.next()) is not None:
                    match event:
                        case Request():
                            peer.send(AcceptConnection())
                        case TextMessage() | BytesMessage():
                            with self.changed:
                                self.heard.append(event.data)
                                self.changed.notify_all()
                            peer.send(type(event)(data=event.data))
                        case CloseConnection():
                            end = f"close {event.code}"
                            peer.send(event.response())
                            break
            except OSError:
                end = "error"
        with self.changed:
            self.ends.append(end)
            self.changed.notify_all()

    def wait_for_end(self) -> str:
        with self.changed:
            assert self.changed.wait_for(lambda: self.ends, 60)
            return self.ends[-1]

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Rig:
    def __init__(self, server: Server, proxy: Proxy, events: list[RunEvent]) -> None:
        self.server = server
        self.proxy = proxy
        self.events = events

    def open(self, *faults: str) -> Peer:
        self.proxy.replace_plan(FaultPlan())
        self.server.heard.clear()
        self.server.ends.clear()
        self.events.clear()
        self.proxy.replace_plan(plan_of([parse_fault(text) for text in faults]))
        host, _, port = self.proxy.url(Direction.INBOUND).partition("://")[2].partition(":")
        peer = Peer(socket.create_connection((host, int(port))), ConnectionType.CLIENT)
        peer.send(Request(host="feed.example", target="/ws/market?token=x"))
        first = peer.next()
        assert isinstance(first, AcceptConnection | RejectConnection)
        return peer

    def injected(self) -> list[Injected]:
        self.proxy.flush()
        return [event for event in self.events if isinstance(event, Injected)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    server = Server()
    events: list[RunEvent] = []
    listeners = (ListenerSpec(Direction.INBOUND, f"http://127.0.0.1:{server.port}"),)
    spec = ProxySpec(listeners, 5, FaultPlan(), confdir=str(tmp_path_factory.mktemp("ca")))
    with Proxy(spec, events.append) as proxy:
        yield Rig(server, proxy, events)
    assert not [event for event in events if isinstance(event, Trouble)]
    server.close()


def test_messages_pass_and_the_close_code_too(rig: Rig) -> None:
    peer = rig.open()
    peer.send(TextMessage(data="héllo"))
    assert peer.text() == "héllo"
    peer.send(BytesMessage(data=b"\x00" * 100_000))
    got = b""
    while len(got) < 100_000:
        event = peer.next()
        assert isinstance(event, BytesMessage)
        got += event.data
    peer.send(CloseConnection(code=4321))
    assert rig.server.wait_for_end() == "close 4321"
    assert not rig.injected()
    (seen,) = [event for event in rig.events if isinstance(event, ExchangeSeen)]
    assert (seen.status, seen.path) == (101, "/ws/market")


def test_delay(rig: Rig) -> None:
    peer = rig.open("ws_delay:100ms")
    started = time.monotonic()
    peer.send(TextMessage(data="one"))
    assert peer.text() == "one"
    assert time.monotonic() - started >= 0.2  # there and back
    assert [event.stage for event in rig.injected()] == ["applied"]


def test_delay_keeps_the_order(rig: Rig) -> None:
    peer = rig.open("ws_delay:20ms;stream=up")
    for number in range(5):
        peer.send(TextMessage(data=str(number)))
    assert [peer.text() for _ in range(5)] == list("01234")


def test_drop(rig: Rig) -> None:
    peer = rig.open("ws_drop:0.5;stream=down")
    sent = [str(number) for number in range(40)]
    # What was dropped leaves no trace, and a close would overtake messages on their way; so the end is told by messages too.
    ends = ["end"] * 20
    for text in sent + ends:
        peer.send(TextMessage(data=text))
    heard = []
    while (text := peer.text()) != "end":
        heard.append(text)
    assert rig.server.heard[:40] == sent
    assert 8 <= len(heard) <= 32
    assert heard == [text for text in sent if text in heard]


def test_duplicate(rig: Rig) -> None:
    peer = rig.open("ws_duplicate:1;stream=up")
    peer.send(TextMessage(data="x"))
    assert [peer.text(), peer.text()] == ["x", "x"]
    assert rig.server.heard == ["x", "x"]


@pytest.mark.parametrize("text", ["the quick brown fox", "съешь ещё этих булок", "😀"])
def test_corrupt_changes_one_character(rig: Rig, text: str) -> None:
    peer = rig.open("ws_corrupt:1;stream=up")
    peer.send(TextMessage(data=text))
    got = peer.text()
    assert len(got) == len(text)
    assert sum(one != other for one, other in zip(got, text, strict=True)) == 1


def test_close_reaches_both_sides_with_its_code(rig: Rig) -> None:
    peer = rig.open("ws_close:1012;share=1")
    peer.send(TextMessage(data="x"))
    event = peer.next()
    assert isinstance(event, CloseConnection)
    assert event.code == 1012
    assert rig.server.wait_for_end() == "close 1012"
    assert rig.server.heard == []


def test_half_a_frame_and_then_the_end(rig: Rig) -> None:
    peer = rig.open("ws_half_frame:1;stream=down")
    before = len(peer.raw)
    peer.send(TextMessage(data="y" * 100))
    while peer.next() is not None:
        pass
    half = peer.raw[before:]
    # A frame of 100 bytes has two bytes of head before them.
    assert half[0] == 0x81
    assert half[1] == 100
    assert len(half) == 51


def test_the_upgrade_itself_meets_exchange_faults(rig: Rig) -> None:
    rig.proxy.replace_plan(plan_of([parse_fault("abort:503")]))
    host, _, port = rig.proxy.url(Direction.INBOUND).partition("://")[2].partition(":")
    peer = Peer(socket.create_connection((host, int(port))), ConnectionType.CLIENT)
    peer.send(Request(host="feed.example", target="/ws/market"))
    first = peer.next()
    assert isinstance(first, RejectConnection)
    assert first.status_code == 503
