"""Pushed figures, as a receiver reads them."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from chaosbot.control.push import Otlp, RemoteWrite
from chaosbot.core.errors import EngineError

LABELS = {"job": "chaosbot", "verb": "load", "run": "r1"}


class Receiver:
    """Keeps what is posted to it."""

    def __init__(self, status: int = 200) -> None:
        got = self.got = []  # type: list[tuple[str, dict[str, str], bytes]]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                got.append((self.path, headers, self.rfile.read(int(headers["content-length"]))))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def families() -> list[Any]:
    registry = CollectorRegistry()
    Counter("chaosbot_load_requests", "Requests.", ["result"], registry=registry).labels("completed").inc(70_000)
    Gauge("chaosbot_users", "Users.", registry=registry).set(5)
    took = Histogram("chaosbot_response_seconds", "Times.", registry=registry, buckets=(0.1, 1.0))
    for seconds in (0.05, 0.5, 0.6, 9.0):
        took.observe(seconds)
    return list(registry.collect())


def unsnapped(data: bytes) -> bytes:
    """Snappy's block format with literals of two length bytes, which is all that is written."""
    at = 0
    while data[at] & 0x80:
        at += 1
    at, out = at + 1, b""
    while at < len(data):
        assert data[at] == 0xF4
        length = struct.unpack_from("<H", data, at + 1)[0] + 1
        out += data[at + 3 : at + 3 + length]
        at += 3 + length
    return out


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message."""
    at = 0

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            byte, at = data[at], at + 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return number

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 1:
            yield key >> 3, struct.unpack_from("<d", data, at)[0]
            at += 8
        else:
            length = varint()
            yield key >> 3, data[at : at + length]
            at += length


def test_remote_write_sends_every_sample_with_sorted_labels(receiver: Receiver, families: list[Any]) -> None:
    RemoteWrite(f"{receiver.url}/api/v1/write", LABELS).push(families, 1_800_000_000.5)
    ((path, headers, body),) = receiver.got
    assert path == "/api/v1/write"
    assert headers["content-encoding"] == "snappy"
    assert headers["x-prometheus-remote-write-version"] == "0.1.0"
    found = {}
    for _, series in fields(unsnapped(body)):
        pairs = [dict(fields(data)) for number, data in fields(series) if number == 1]
        labels = {pair[1].decode(): pair[2].decode() for pair in pairs}
        assert list(labels) == sorted(labels)
        assert labels["job"] == "chaosbot"
        (point,) = (dict(fields(data)) for number, data in fields(series) if number == 2)
        assert point[2] == 1_800_000_000_500
        found[labels["__name__"], labels.get("result") or labels.get("le")] = point[1]
    assert found["chaosbot_load_requests_total", "completed"] == 70_000
    assert found["chaosbot_users", None] == 5
    assert found["chaosbot_response_seconds_bucket", "1.0"] == 3


def test_otlp_sends_sums_gauges_and_histograms(receiver: Receiver, families: list[Any]) -> None:
    Otlp(receiver.url, LABELS).push(families, 1_800_000_000.0)
    ((path, _, body),) = receiver.got
    assert path == "/v1/metrics"
    (told,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    resource = {pair.key: pair.value.string_value for pair in told.resource.attributes}
    assert resource["service.name"] == "chaosbot"
    assert resource["run"] == "r1"
    metrics = {metric.name: metric for metric in told.scope_metrics[0].metrics}
    (requests,) = metrics["chaosbot_load_requests"].sum.data_points
    assert requests.as_double == 70_000
    assert metrics["chaosbot_load_requests"].sum.is_monotonic
    assert metrics["chaosbot_users"].gauge.data_points[0].as_double == 5
    (took,) = metrics["chaosbot_response_seconds"].histogram.data_points
    assert (took.count, list(took.bucket_counts), list(took.explicit_bounds)) == (4, [1, 2, 1], [0.1, 1.0])


def test_a_receiver_that_refuses_or_is_not_there_is_told(families: list[Any]) -> None:
    refusing = Receiver(400)
    with pytest.raises(EngineError, match="the figures were not taken"):
        RemoteWrite(refusing.url, LABELS).push(families, 1.0)
    refusing.server.shutdown()
    refusing.server.server_close()
    with pytest.raises(EngineError, match="the figures were not taken"):
        RemoteWrite(refusing.url, LABELS).push(families, 1.0)


class Dripping:
    """Answers, but never to the end."""

    def __init__(self, said: bytes, drip: bytes) -> None:
        self._said, self._drip = said, drip
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._answer, args=(self._socket.accept()[0],), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            sock.sendall(self._said)
            while not self._over.wait(0.05):
                sock.sendall(self._drip)

    def close(self) -> None:
        self._over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.mark.parametrize("pusher", [RemoteWrite, Otlp])
@pytest.mark.parametrize(
    ("said", "drip"),
    [(b"HTTP/1.1 200 OK\r\n", b"X"), (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x")],
    ids=["head", "body"],
)
def test_a_receiver_that_drips_its_answer_is_not_waited_for_for_ever(
    pusher: Any, said: bytes, drip: bytes, families: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaosbot.control.push.TIMEOUT_S", 0.5)
    dripping = Dripping(said, drip)
    refused: list[Exception] = []

    def push() -> None:
        try:
            pusher(dripping.url, LABELS).push(families, 1.0)
        except EngineError as error:
            refused.append(error)

    pushing = threading.Thread(target=push, daemon=True)
    pushing.start()
    pushing.join(20)
    dripping.close()
    assert refused, "still waits"
    assert "the figures were not taken" in str(refused[0])
