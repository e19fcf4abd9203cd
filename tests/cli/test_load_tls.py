"""Targets with certificates of their own, from the command line: refused with the remedy, trusted, shown a client's certificate."""

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
    yield from served(tmp_path)


@pytest.fixture
def demanding(tmp_path: Path) -> Iterator[str]:
    """A target that wants a client certificate."""
    certificate(tmp_path, "client")
    yield from served(tmp_path, tmp_path / "client.pem")


def served(folder: Path, wanted: Path | None = None) -> Iterator[str]:
    pem, key = certificate(folder, "cert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    if wanted is not None:
        context.load_verify_locations(wanted)
        context.verify_mode = ssl.CERT_REQUIRED
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


SHOWN = ("--ca", "cert.pem", "--cert", "client.pem", "--key", "client.key")


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("load", ("--rate", "10/s", "--duration", "1s")),
        pytest.param("fuzz", ("--case", "json/*", "--stages", "catalogue", "--duration", "5s"), marks=pytest.mark.slow),
        ("doctor", ()),
    ],
)
def test_a_target_that_wants_a_certificate_is_shown_one(
    chaosbot: Callable, demanding: str, verb: str, options: tuple[str, ...]
) -> None:
    bare = chaosbot(verb, demanding, *options, "--ca", "cert.pem")
    assert bare.code == 2, bare.err
    done = chaosbot(verb, demanding, *options, *SHOWN)
    said = done.out + done.err
    assert "Traceback" not in said
    if verb == "doctor":
        assert "answers 200 to a valid update" in said
    else:
        assert done.code in (0, 1, 3), said


def test_a_certificate_that_cannot_be_used_is_refused_before_anything_is_sent(chaosbot: Callable, secured: str) -> None:
    for options, text in (
        (("--key", "cert.key"), "belongs to a certificate"),
        (("--cert", "cert.pem"), "holds no certificate with its unencrypted key"),
        (("--cert", "cert.key"), "holds no certificate with its unencrypted key"),
    ):
        for verb in ("load", "fuzz", "doctor"):
            done = chaosbot(verb, secured, "--ca", "cert.pem", *options)
            assert done.code == 2, (verb, done.err)
            assert text in done.err
