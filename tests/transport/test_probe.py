"""Looks at a target from outside."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.errors import TargetUnusable
from chaosbot.core.verdict import Threat
from chaosbot.transport import Address, Tls, metrics, probe, send

from .conftest import Serve, until

PAGE = b"""# HELP up Whether it is up
# TYPE up gauge
up 1
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="4}0 0"} 3
escaped{path="C:\\\\DIR \\"x\\""} 1.5e3
nothing NaN
much +Inf
latency_bucket{le="0.1"} 5 # {trace="a"} 0.05
"""


def url(address: Address, path: str) -> str:
    return f"http://{address.authority}{path}"


def pages(sock: socket.socket) -> None:
    path = until(sock, b"\r\n\r\n").split(b" ")[1]
    body = {
        b"/health": b'{"circuits": [{"name": "botapi", "state": "open"}], "memory": 5.5, "deep": {"a": [1]}}',
        b"/metrics": PAGE,
        b"/text": b"fine",
    }.get(path)
    status = b"404 Not Found" if body is None else b"200 OK"
    body = body or b"nothing"
    sock.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body)


def test_a_probe_takes_a_value_out_of_json(serve: Serve) -> None:
    address = serve(pages)
    assert probe(url(address, "/health"), json_path="circuits.0.state").value == "open"
    assert probe(url(address, "/health"), json_path="$.memory").value == 5.5
    assert probe(url(address, "/health"), json_path="deep").value == '{"a": [1]}'
    assert probe(url(address, "/text")).ok


@pytest.mark.parametrize(
    ("path", "json_path", "why"),
    [("/health", "circuits.7.state", "nothing at"), ("/text", "a", "no JSON"), ("/none", "", "status 404")],
)
def test_a_probe_that_sees_nothing_says_why(serve: Serve, path: str, json_path: str, why: str) -> None:
    seen = probe(url(serve(pages), path), json_path=json_path)
    assert not seen.ok
    assert why in seen.detail


def test_a_probe_of_nobody_is_not_ok_and_raises_nothing(free_port: Callable[[], int]) -> None:
    seen = probe(f"http://127.0.0.1:{free_port()}/health", timeout_s=1)
    assert not seen.ok
    assert seen.status is None


def test_a_probe_whose_authorities_cannot_be_read_is_not_ok_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    seen = probe("https://127.0.0.1:9/", tls=Tls(ca_file=str(tmp_path / "ca.pem")))
    assert not seen.ok
    assert "holds no certificates" in seen.detail


def test_a_look_changes_nothing_of_how_requests_speak_tls(
    serve: Serve, server_tls: ssl.SSLContext, certificate: Path
) -> None:
    offered: list[str | None] = []

    def handler(sock: ssl.SSLSocket) -> None:
        offered.append(sock.selected_alpn_protocol())
        until(sock, b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    server_tls.set_alpn_protocols(["http/1.1"])
    trust = Tls(ca_file=str(certificate))
    address = serve(handler, context=server_tls, trust=trust)
    request = Case("one", "send", Threat.USER, (Segment(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),), Expect())
    assert send(request, address, timeout_s=60).ok
    assert probe(address.url, tls=trust).ok
    assert send(request, address, timeout_s=60).ok
    assert offered == [None, None, None]


def test_a_probe_ignores_the_proxy_of_the_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert probe(url(serve(pages), "/text")).ok


def test_a_trickling_page_is_bounded(serve: Serve) -> None:
    def endless(sock: socket.socket) -> None:
        until(sock, b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(bytes(1 << 16))

    seen = probe(url(serve(endless), "/"), timeout_s=60)
    assert not seen.ok
    assert "does not end" in seen.detail


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_page_that_dribbles_is_over_at_the_deadline(serve: Serve, first: bytes) -> None:
    def dribbles(sock: socket.socket) -> None:
        until(sock, b"\r\n\r\n")
        sock.sendall(first)
        while True:
            sock.sendall(b"X")
            time.sleep(0.02)

    began = time.monotonic()
    assert not probe(url(serve(dribbles), "/"), timeout_s=0.5).ok
    assert time.monotonic() - began < 10


def test_the_user_name_of_a_page_is_its_authorisation(serve: Serve) -> None:
    heads: list[bytes] = []

    def keeps(sock: socket.socket) -> None:
        heads.append(until(sock, b"\r\n\r\n"))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    assert probe(f"http://me:a%40b@{serve(keeps).authority}/x?y#z").ok
    assert heads[0].startswith(b"GET /x?y HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Basic bWU6YUBi\r\n" in heads[0]


def test_metrics_are_read_by_name_and_labels(serve: Serve) -> None:
    assert metrics(url(serve(pages), "/metrics")) == {
        "up": 1.0,
        'http_requests_total{method="post",code="200"}': 1027.0,
        'http_requests_total{method="post",code="4}0 0"}': 3.0,
        'escaped{path="C:\\\\DIR \\"x\\""}': 1500.0,
        "much": float("inf"),
        'latency_bucket{le="0.1"}': 5.0,
    }


def test_a_page_without_samples_is_no_metrics_page(serve: Serve) -> None:
    with pytest.raises(TargetUnusable, match="no samples"):
        metrics(url(serve(pages), "/text"))
