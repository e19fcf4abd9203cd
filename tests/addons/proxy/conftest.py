"""A laboratory around one real proxy: an upstream that remembers what reached it, and raw sockets that see how things end."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.config.plan import parse_fault, plan_of
from chaosbot.core.event import Event, ExchangeSeen, Injected, Trouble
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan

BODY = json.dumps({"ok": True, "filling": "x" * 200}).encode()
UPDATE = {
    "update_id": 7001,
    "message": {
        "message_id": 3,
        "date": 1,
        "chat": {"id": 1_000_007, "type": "private"},
        "from": {"id": 1_000_007, "is_bot": False, "first_name": "Ada"},
        "text": "/help me",
    },
}


@dataclass
class Request:
    """What reached the upstream."""

    line: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = True
    end: str = ""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Upstream:
    """A real HTTP/1.1 server that keeps every request, whole or not."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.hang_up_after = False
        self.ends: list[str] = []
        self.respond: Callable[[Request], bytes] = lambda _request: answer(BODY)
        self._changed = threading.Condition()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.scheme = "https" if tls else "http"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        end = "fin"
        try:
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
                try:
                    peer.do_handshake()
                except ssl.SSLError:
                    # Closed in good order: a reset would overtake the alert.
                    peer.shutdown(socket.SHUT_WR)
                    while os.read(peer.fileno(), 1 << 16):
                        pass
                    raise
            data = bytearray()
            while True:
                while b"\r\n\r\n" not in data:
                    got = peer.recv(1 << 18)
                    if not got:
                        if data:
                            self._keep(Request(data.decode("latin-1"), whole=False, end="fin"))
                        return
                    data += got
                head, _, data = data.partition(b"\r\n\r\n")  # a bytearray: appending to bytes would copy them each time
                line, *rest = head.decode("latin-1").split("\r\n")
                request = Request(line, [tuple(each.split(": ", 1)) for each in rest if ": " in each])  # type: ignore[misc]
                length = int(request.header("content-length") or 0)
                while len(data) < length:
                    try:
                        got = peer.recv(1 << 18)
                    except ConnectionResetError:
                        got, request.end = b"", "rst"
                    if not got:
                        request.body, request.whole, request.end = bytes(data), False, request.end or "fin"
                        self._keep(request)
                        return
                    data += got
                request.body, data = bytes(data[:length]), data[length:]
                if request.header("transfer-encoding") == "chunked":
                    while not data.endswith(b"0\r\n\r\n"):
                        data += peer.recv(1 << 18)
                    request.body, data = bytes(data), bytearray()
                self._keep(request)
                peer.sendall(self.respond(request))
                if self.hang_up_after:
                    self.hang_up_after = False
                    return
        except ConnectionResetError:
            end = "rst"
        except OSError:
            end = "error"
        finally:
            peer.close()
            with self._changed:
                self.ends.append(end)
                self._changed.notify_all()

    def _keep(self, request: Request) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def wait_for(self, count: int, within: float = 30.0) -> list[Request]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, within), self.requests
            return list(self.requests)

    def wait_for_end(self, within: float = 30.0) -> str:
        with self._changed:
            assert self._changed.wait_for(lambda: self.ends, within)
            return self.ends[-1]

    def forget(self) -> None:
        with self._changed:
            self.requests.clear()
            self.ends.clear()
            self.respond = lambda _request: answer(BODY)

    def close(self) -> None:
        # Wakes the thread that accepts; closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@dataclass
class Reply:
    """What a raw client saw."""

    data: bytes
    end: str
    seconds: float
    first_byte: float = 0.0

    @property
    def status(self) -> int | None:
        return int(self.data[9:12]) if self.data.startswith(b"HTTP/1.") else None

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]


def request(
    body: bytes | None = None,
    *headers: str,
    path: str = "/webhook/telegram",
    method: str = "POST",
    key: str = "",
    host: str = "bot.example",
) -> bytes:
    body = json.dumps(UPDATE).encode() if body is None else body
    lines = [
        f"{method} {path} HTTP/1.1",
        f"host: {host}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    if key:
        lines.append(f"X-Chaosbot-Exchange: {key}")
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body


PATIENCE_S = 30.0
"""Nothing takes so long unless it hangs, however busy the machine is; faults that must not be waited out are longer."""


def read(sock: socket.socket, *, quiet_s: float = PATIENCE_S, whole: bool = True, since: float | None = None) -> Reply:
    """Reads until the answer is whole (by Content-Length or chunks), the connection ends, or nothing comes any more.

    Its seconds count from `since`: whoever asks for the least that a fault takes starts the clock before sending.
    """
    started = time.monotonic() if since is None else since
    first, data, end = 0.0, bytearray(), "open"
    sock.settimeout(quiet_s)
    try:
        while not (whole and _complete(data)):
            got = sock.recv(1 << 20)
            if not got:
                end = "fin"
                break
            first = first or time.monotonic() - started
            data += got
    except TimeoutError:
        end = "quiet"
    except ConnectionResetError:
        end = "rst"
    return Reply(bytes(data), end, time.monotonic() - started, first)


def _complete(data: bytearray) -> bool:
    at = data.find(b"\r\n\r\n")
    if at < 0:
        return False
    head = data[:at].lower()
    if b"transfer-encoding: chunked" in head:
        return data.endswith(b"0\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(data) - at - 4 >= lengths[0]


def ask(sock: socket.socket, data: bytes | None = None) -> Reply:
    """Sends a request and reads its answer."""
    started = time.monotonic()
    sock.sendall(request() if data is None else data)
    return read(sock, since=started)


@dataclass
class Lab:
    """One proxy on both directions, with its upstream and its events."""

    upstream: Upstream
    events: list[Event]
    proxy: Proxy
    mark: int = 0

    def faults(self, *texts: str) -> None:
        """From now on these faults hold; everything before is forgotten."""
        self.plan(plan_of([parse_fault(text) for text in texts]))

    def plan(self, plan: FaultPlan) -> None:
        self.proxy.replace_plan(FaultPlan())
        self.proxy.flush()
        self.upstream.forget()
        self.mark = len(self.events)
        self.proxy.replace_plan(plan)

    def now(self) -> float:
        """Seconds of the proxy's run."""
        return time.monotonic() - self.proxy.spec.started

    def restart(self) -> None:
        """A new proxy of the same spec: nothing is remembered."""
        self.proxy.stop()
        self.proxy = Proxy(self.proxy.spec, self.events.append)
        self.proxy.start()

    def address(self, direction: Direction = Direction.INBOUND) -> tuple[str, int]:
        host, _, port = self.proxy.url(direction).partition("://")[2].partition(":")
        return host, int(port)

    def connect(self, direction: Direction = Direction.INBOUND) -> socket.socket:
        return socket.create_connection(self.address(direction))

    def send(
        self,
        data: bytes | None = None,
        *,
        direction: Direction = Direction.INBOUND,
        quiet_s: float = PATIENCE_S,
        whole: bool = True,
    ) -> Reply:
        with self.connect(direction) as sock:
            started = time.monotonic()
            sock.sendall(request() if data is None else data)
            return read(sock, quiet_s=quiet_s, whole=whole, since=started)

    @property
    def told(self) -> list[Event]:
        self.proxy.flush()
        return self.events[self.mark :]

    @property
    def injected(self) -> list[Injected]:
        return [event for event in self.told if isinstance(event, Injected)]

    @property
    def seen(self) -> list[ExchangeSeen]:
        return [event for event in self.told if isinstance(event, ExchangeSeen)]

    @property
    def troubles(self) -> list[Trouble]:
        return [event for event in self.told if isinstance(event, Trouble)]

    def wait_for(self, what: Callable[[], bool], within: float = 30.0) -> None:
        """Events of things that no client waits for (a redelivery) come when they come."""
        deadline = time.monotonic() + within
        while not what():
            assert time.monotonic() < deadline, self.told
            time.sleep(0.005)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


BOTH_WAYS = {
    "test_bad_input",
    "test_byte_faults",
    "test_exchange_faults",
    "test_odd_upstreams",
    "test_pipelining",
}
"""Modules that always run without the proxy's shortcuts too; the others do in the slow suite."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "way" in metafunc.fixturenames:
        marks = [] if metafunc.module.__name__.rpartition(".")[2] in BOTH_WAYS else [pytest.mark.slow]
        metafunc.parametrize("way", ["quick", pytest.param("plain", marks=marks)], scope="session")


@pytest.fixture(autouse=True)
def _the_way(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies that a test starts have the shortcuts, or mitmproxy's own ways only."""
    monkeypatch.setenv("CHAOSBOT_PLAIN_PROXY", "1" if way == "plain" else "")


@pytest.fixture(scope="session")
def _one_lab(way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    server = Upstream()
    events: list[Event] = []
    listeners = (ListenerSpec(Direction.INBOUND, server.url), ListenerSpec(Direction.OUTBOUND, "mock:"))
    spec = ProxySpec(listeners, 11, FaultPlan(), confdir=str(tmp_path_factory.mktemp("ca")))
    lab = Lab(server, events, Proxy(spec, events.append))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CHAOSBOT_PLAIN_PROXY", "1" if way == "plain" else "")
        lab.proxy.start()
    yield lab
    lab.proxy.stop()
    server.close()


@pytest.fixture
def lab(_one_lab: Lab) -> Iterator[Lab]:
    _one_lab.faults()
    yield _one_lab
    _one_lab.proxy.clear()
    assert not _one_lab.troubles
