"""A target with a certificate of its own, from the command line: refused with the remedy, trusted by its authority, or taken."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.tls import certificate


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[str]:
    pem, key = certificate(tmp_path, "cert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}/webhook/telegram"
        finally:
            server.shutdown()
            thread.join()


def test_a_certificate_of_ones_own_is_refused_with_the_remedy(chaosbot: Callable, secured: str) -> None:
    done = chaosbot("load", secured, "--rate", "10/s", "--duration", "1s")
    assert done.code == 2
    assert "--ca FILE" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("options", [("--ca", "cert.pem"), ("--insecure",)])
def test_it_is_loaded_when_its_authority_is_named_or_any_is_taken(
    chaosbot: Callable, secured: str, options: tuple[str, ...]
) -> None:
    done = chaosbot("load", secured, "--rate", "10/s", "--duration", "1s", "--json", *options)
    assert json.loads(done.out)["load"]["completed"] == 10
