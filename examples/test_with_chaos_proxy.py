"""Faults in a test of your own: `pytest examples/test_with_chaos_proxy.py`. The fixture `chaos_proxy` comes with chaosbot."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chaosbot.pytest_plugin import ChaosProxies
from chaosbot.testing import abort, latency, lost_ack


class Orders(BaseHTTPRequestHandler):
    """The service under test: takes orders and remembers them."""

    taken: list[str] = []  # noqa: RUF012 - one service, one list

    def do_POST(self) -> None:
        """Takes an order."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append(body.decode())
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """The URL of a running service."""
    Orders.taken.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Orders)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def order(url: str, what: str, *, attempts: int = 3) -> int:
    """The client under test: tries again when the connection breaks or the service is unavailable.

    Returns:
        The last status; 0 when there never was one.
    """
    status = 0
    for _ in range(attempts):
        request = urllib.request.Request(f"{url}/orders", what.encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = 0
    return status


def test_the_client_tries_again_and_gives_up_after_three_attempts(chaos_proxy: ChaosProxies, service: str) -> None:
    """Three attempts while the fault acts, one once it is over."""
    proxy = chaos_proxy(service)
    with proxy.inject(abort(503), path="/orders") as injected:
        assert order(proxy.url, "tea") == 503
    assert injected.count == 3
    assert order(proxy.url, "tea") == 200
    assert Orders.taken == ["tea"]


def test_the_client_waits_for_a_slow_network(chaos_proxy: ChaosProxies, service: str) -> None:
    """A slow answer is an answer."""
    proxy = chaos_proxy(service)
    with proxy.inject(latency("300ms")):
        began = time.monotonic()
        assert order(proxy.url, "tea") == 200
        assert time.monotonic() - began > 0.25


def test_a_lost_acknowledgement_makes_the_service_act_twice(chaos_proxy: ChaosProxies, service: str) -> None:
    """What a retry without an idempotency key does: the order was taken before its answer got lost."""
    proxy = chaos_proxy(service)
    with proxy.inject(lost_ack(), first=1) as injected:
        assert order(proxy.url, "tea") == 200
    assert injected.count == 1
    assert Orders.taken == ["tea", "tea"]
