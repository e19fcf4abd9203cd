"""Signed webhooks against servers that verify as the platforms' documentation says, written without our own signing code."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chaosbot.fuzz.catalogue import cases
from chaosbot.model.case import Case
from chaosbot.model.dialect import DIALECTS, Endpoint
from chaosbot.model.dice import Dice
from chaosbot.model.outcome import Fate
from chaosbot.wire import Address, send

KEY = b"chaosbot-signing-key-0001"
TOLERANCE_S = 300
LARGEST = 1_000_000


def is_recent(stamp: str | None) -> bool:
    return bool(stamp) and stamp.isascii() and stamp.isdigit() and abs(time.time() - int(stamp)) <= TOLERANCE_S


def digest(content: bytes) -> bytes:
    return hmac.new(KEY, content, hashlib.sha256).digest()


def equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def standard(headers, body: bytes) -> bool:
    message_id, stamp, given = (headers.get(f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    if not message_id or not given or not is_recent(stamp):
        return False
    wanted = "v1," + base64.b64encode(digest(f"{message_id}.{stamp}.".encode() + body)).decode()
    return any(equal(one, wanted) for one in given.split(" "))


def github(headers, body: bytes) -> bool:
    return equal(headers.get("X-Hub-Signature-256") or "", "sha256=" + digest(body).hex())


def stripe(headers, body: bytes) -> bool:
    pairs = [part.partition("=") for part in (headers.get("Stripe-Signature") or "").split(",")]
    stamps = [value for name, _, value in pairs if name == "t"]
    if len(stamps) != 1 or not is_recent(stamps[0]):
        return False
    wanted = digest(stamps[0].encode() + b"." + body).hex()
    return any(name == "v1" and equal(value, wanted) for name, _, value in pairs)


def slack(headers, body: bytes) -> bool:
    stamp = headers.get("X-Slack-Request-Timestamp")
    if not is_recent(stamp):
        return False
    return equal(headers.get("X-Slack-Signature") or "", "v0=" + digest(b"v0:" + stamp.encode() + b":" + body).hex())


VERIFIERS = {"standard": standard, "github": github, "stripe": stripe, "slack": slack}


class Receiver(ThreadingHTTPServer):
    """Verifies, then parses, then acknowledges; `careless` skips the verification."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, style: str, *, careless: bool = False) -> None:
        self.verify = VERIFIERS[style] if not careless else lambda *_: True
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request, client_address) -> None:
        """Cases that hang up are part of the test."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def log_message(self, *_) -> None:
        pass

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdigit()):
            return self.answer(411)
        if len(length) > 9 or int(length) > LARGEST:
            return self.answer(413)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return self.answer(400)
        if not self.server.verify(self.headers, body):
            return self.answer(401)
        try:
            root = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError):
            return self.answer(400)
        return self.answer(200 if isinstance(root, dict) else 422)

    def answer(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def serve() -> Iterator:
    servers = []

    def start(style: str, **options) -> int:
        server = Receiver(style, **options)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def secret_for(style: str) -> str:
    return "whsec_" + base64.b64encode(KEY).decode() if style == "standard" else KEY.decode()


def catalogue(style: str, port: int) -> tuple[Case, ...]:
    endpoint = Endpoint(f"127.0.0.1:{port}", "/hook", secret_for(style), started=int(time.time()))
    return cases(DIALECTS.build("standard_webhooks", {"style": style}), endpoint, Dice(1))


def outside(chosen, port: int) -> list[str]:
    address = Address.parse(f"http://127.0.0.1:{port}/hook")
    wrong = []
    for case in chosen:
        outcome = send(case, address, timeout_s=10.0)
        if outcome.fate is Fate.ANSWERED:
            fine = case.expect.allows_status(outcome.status)
        else:
            fine = case.expect.close and outcome.fate in (Fate.CLOSED, Fate.RESET)
        if not fine:
            wrong.append(f"{case.name}: {outcome.fate} {outcome.status}")
    return wrong


@pytest.mark.parametrize("style", VERIFIERS)
def test_a_receiver_that_verifies_meets_every_expectation(serve, style) -> None:
    port = serve(style)
    chosen = [
        case for case in catalogue(style, port) if case.group in ("signed", "json", "numbers", "sequence", "shape")
    ]
    assert len(chosen) > 200
    assert outside(chosen, port) == []


@pytest.mark.parametrize("style", VERIFIERS)
def test_a_receiver_that_does_not_verify_is_found(serve, style) -> None:
    port = serve(style, careless=True)
    chosen = [case for case in catalogue(style, port) if case.group == "signed" and case.check == "forged_refused"]
    missed = {line.partition(":")[0] for line in outside(chosen, port)}
    assert {"signed/missing", "signed/foreign", "signed/body-member", "signed/flipped"} <= missed


@pytest.mark.parametrize("style", VERIFIERS)
def test_changed_bodies_pass_only_when_they_are_signed_anew(serve, style) -> None:
    port = serve(style)
    address = Address.parse(f"http://127.0.0.1:{port}/hook")
    named = {case.name: case for case in catalogue(style, port)}
    statuses = {name: send(named[f"signed/{name}"], address).status for name in ("resigned", "body-spaced", "upper")}
    assert statuses == {"resigned": 200, "body-spaced": 401, "upper": 401}


@pytest.mark.parametrize("style", ["standard", "stripe"])
def test_one_right_signature_in_a_rotation_list_is_enough(serve, style) -> None:
    port = serve(style)
    address = Address.parse(f"http://127.0.0.1:{port}/hook")
    statuses = {c.name: send(c, address).status for c in catalogue(style, port) if "rotation" in c.name}
    assert statuses == {
        "signed/rotation-first": 200,
        "signed/rotation-last": 200,
        "signed/rotation-newer": 200,
        "signed/rotation-none": 401,
    }


def test_github_s_documented_example_is_signed_alike() -> None:
    """The example of GitHub's documentation on validating deliveries."""
    dialect = DIALECTS.build("standard_webhooks", {"style": "github"})
    data = dialect.encode(Endpoint(secret="It's a Secret to Everybody"), b"Hello, World!")
    assert b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" in data


def test_slack_s_documented_example_is_signed_alike() -> None:
    """The example of Slack's documentation on verifying requests."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015"
        b".47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    dialect = DIALECTS.build("standard_webhooks", {"style": "slack"})
    data = dialect.encode(Endpoint(secret="8f742231b10e8888abcd99yyyzzz85a5", now=1531420618), body)
    assert b"v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503" in data
