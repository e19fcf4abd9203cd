"""Whatever is put to the control API, it is answered: with what it made of it, or with one line that says what is wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosbot.control.server import ControlServer
from chaosbot.core.plan import FaultPlan
from chaosbot.session.proxying import Ground, PlanHolder
from tests.config.test_hostile import PLAN, mutated, some, usual

PATIENCE_S = 30.0
PROXY = {"name": "one", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "enabled": False}
TOXIC = {
    "name": "slow",
    "type": "latency",
    "stream": "upstream",
    "toxicity": 0.5,
    "attributes": {"latency": 10, "jitter": 3},
}
CALLS: dict[str, tuple[str, str, Any]] = {
    "plan": ("PUT", "/plan", PLAN),
    "patch": ("PATCH", "/plan", {"rules": {"slow": {"p": 0.1}, "gone": None}}),
    "proxies": ("POST", "/proxies", PROXY),
    "proxy": ("PATCH", "/proxies/kept", PROXY),
    "populate": ("POST", "/populate", [PROXY]),
    "toxics": ("POST", "/proxies/kept/toxics", TOXIC),
    "toxic": ("PATCH", "/proxies/kept/toxics/kept", TOXIC),
}
DEEP = ["[" * 900 + "]" * 900, "[" * 100_000, '{"rules":' * 900, '{"rules":' * 900 + "1" + "}" * 900, '{"a":' * 100_000]
NUMBERS = ["1" * 5000, '{"rules": ' + "1" * 5000 + "}", "1e999", "NaN", "-Infinity"]


class Proxy:
    """Takes any plan."""

    def replace_plan(self, plan: FaultPlan) -> None:
        """It acts nowhere."""


class Line:
    """Raw requests to the API, one connection for as long as it lasts."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname or "", parts.port or 0)
        self._socket: socket.socket | None = None

    def ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        if self._socket is None:
            self._socket = socket.create_connection(self._place, PATIENCE_S)
        self._socket.sendall(head + body)
        heard = b""
        while b"\r\n\r\n" not in heard:
            piece = self._socket.recv(65536)
            assert piece, heard
            heard += piece
        told, _, rest = heard.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in told.split(b"\r\n")[1:])
        while len(rest) < int(headers.get(b"content-length", 0)):
            rest += self._socket.recv(65536)
        return int(told.split()[1]), rest

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    holder = PlanHolder(Proxy(), FaultPlan(), Ground("", ("telegram",), True, ()))  # type: ignore[arg-type]
    server = ControlServer("127.0.0.1", 0, 11, plan_holder=holder)
    server.start()
    line = Line(server.url)
    try:
        yield line
    finally:
        line.close()
        server.stop()


def bodies(data: Any, valid: Any) -> bytes:
    document = mutated(valid, data.draw)
    with suppress(ValueError):
        text = json.dumps({str(key): one for key, one in document.items()} if isinstance(document, dict) else document)
        raw = bytearray(text.encode("utf-8", "surrogatepass"))
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(raw)))
            raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        return bytes(raw)
    return b"{"


def answered(line: Line, method: str, path: str, body: bytes) -> None:
    line.ask("POST", "/proxies", json.dumps({**PROXY, "name": "kept"}).encode())
    line.ask("POST", "/proxies/kept/toxics", json.dumps({**TOXIC, "name": "kept"}).encode())
    status, said = line.ask(method, path, body)
    assert status in (200, 201, 204, 400, 404, 409), (status, said, body[:300])
    if status >= 400:
        assert said.count(b"\n") <= 1, said
        assert len(said) < 6000, said
        assert json.loads(said)["error"]


def check(line: Line, call: str, data: Any) -> None:
    method, path, valid = CALLS[call]
    answered(line, method, path, bodies(data, valid))


@pytest.mark.parametrize("call", CALLS)
def test_a_mutated_body_is_taken_or_refused_in_one_line(line: Line, call: str) -> None:
    usual(given(st.data())(lambda data: check(line, call, data)))()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", CALLS)
def test_a_mutated_body_is_taken_or_refused_for_long(line: Line, call: str) -> None:
    some(given(st.data())(lambda data: check(line, call, data)))()


@pytest.mark.parametrize("call", CALLS)
def test_no_depth_and_no_number_is_too_much(line: Line, call: str) -> None:
    method, path, _ = CALLS[call]
    for text in (*DEEP, *NUMBERS):
        answered(line, method, path, text.encode())
