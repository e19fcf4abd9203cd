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
from typer.testing import CliRunner

from chaosbot.cli import app
from chaosbot.core.case import Case
from chaosbot.core.dice import Dice
from chaosbot.core.outcome import Fate
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.fuzz.catalogue import cases
from chaosbot.platforms._signatures import STYLES
from chaosbot.transport import Address, send

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
    """Verifies, then parses, then acknowledges; `careless` skips the verification, `breaks` fails on an object that it does not expect."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, style: str, *, careless: bool = False, breaks: bool = False) -> None:
        self.breaks = breaks
        # One member that every event has, so that its lack is one root cause.
        self.needed = min(set.intersection(*(set(event) for event in STYLES[style].events(0).values())))
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
        if self.server.breaks and isinstance(root, dict) and self.server.needed not in root:
            return self.answer(500)
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
    return cases(PLATFORMS.build("standard_webhooks", {"style": style}), endpoint, Dice(1))


def outside(chosen, port: int) -> list[str]:
    address = Address.parse(f"http://127.0.0.1:{port}/hook")
    wrong = []
    for case in chosen:
        outcome = send(case, address, timeout_s=60.0)
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
    platform = PLATFORMS.build("standard_webhooks", {"style": "github"})
    data = platform.encode(Endpoint(secret="It's a Secret to Everybody"), b"Hello, World!")
    assert b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" in data


def test_slack_s_documented_example_is_signed_alike() -> None:
    """The example of Slack's documentation on verifying requests."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015"
        b".47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    platform = PLATFORMS.build("standard_webhooks", {"style": "slack"})
    data = platform.encode(Endpoint(secret="8f742231b10e8888abcd99yyyzzz85a5", now=1531420618), body)
    assert b"v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503" in data


def verified(style: str, request: bytes) -> bool:
    head, _, body = request.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    lower = {name.lower(): value for name, value in headers.items()}
    return VERIFIERS[style]({**lower, **headers}, body)


@pytest.mark.parametrize("style", VERIFIERS)
def test_a_changed_request_is_signed_as_its_original_was(style) -> None:
    platform = PLATFORMS.build("standard_webhooks", {"style": style})
    stale = Endpoint("x", "/hook", secret_for(style), started=int(time.time()) - 3000)
    before = platform.encode(stale, b'{"type":"a"}')
    longer = before.replace(b"Length: 12", b"Length: 14").replace(b'"a"', b'"abc"')
    again = platform.resigned(stale.secret, before, longer, 3000)
    assert again.endswith(b'\r\n\r\n{"type":"abc"}')
    assert verified(style, again)
    # What was wrong stays wrong, and what the framing hides is left alone.
    forged = platform.encode(Endpoint("x", "/hook", "another-secret", started=stale.started + 3000), b'{"type":"a"}')
    assert platform.resigned(stale.secret, forged, forged, 0) == forged
    assert platform.resigned(stale.secret, before, before.replace(b"Length: 12", b"Length: 9"), 0) is None
    assert platform.resigned("", before, longer, 3000) == longer


def fuzzed(port: int, style: str, out, *options: str) -> tuple[int, dict]:
    arguments = ["fuzz", f"http://127.0.0.1:{port}/hook", "--platform", "standard_webhooks", "--duration", "80s"]
    arguments += ["--platform-option", f"style={style}", "--max-examples", "64", "--secret-env", "HOOK", "--seed", "5"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(out), "--corpus", str(out / "corpus"), *options])
    return result.exit_code, json.loads((out / "report.json").read_text())


@pytest.mark.parametrize(
    "style", [pytest.param(one, marks=() if one == "standard" else pytest.mark.slow) for one in VERIFIERS]
)
def test_a_campaign_over_a_receiver_that_verifies_finds_nothing(serve, style, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOOK", secret_for(style))
    code, report = fuzzed(serve(style), style, tmp_path / "run", "--case", "signed/*", "--case", "json/*")
    assert (code, report["findings"]) == (0, [])
    assert report["coverage"]["cases"].keys() >= {"signed", "json", "generated", "sequence"}


@pytest.mark.slow
@pytest.mark.parametrize("style", VERIFIERS)
def test_a_signed_finding_is_shrunk_and_shows_again_when_its_signature_has_expired(
    serve, style, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("HOOK", secret_for(style))
    port = serve(style, breaks=True)
    # Enough of the product of operators and places to come by the member's absence.
    chosen = ("--case", "signed/missing", "--check", "no_server_error", "--max-examples", "700")
    code, report = fuzzed(port, style, tmp_path / "run", *chosen)
    assert code == 1
    (finding,) = [one for one in report["findings"] if one["check"] == "no_server_error"]
    home = tmp_path / "run" / "findings" / finding["id"]
    body = (home / "request.bin").read_bytes().partition(b"\r\n\r\n")[2]
    assert len(body) < 30
    assert ("curl" in (home / "README.md").read_text()) == (style == "github")  # the others expire
    # An hour later.
    stored = json.loads((home / "case.json").read_text())
    stored["time"] -= 3600
    (segment,) = stored["steps"][0][0]["segments"]
    request = base64.b64decode(segment["data_b64"])
    aged = PLATFORMS.build("standard_webhooks", {"style": style}).resigned(secret_for(style), request, request, -3600)
    segment["data_b64"] = base64.b64encode(aged).decode()
    (home / "case.json").write_text(json.dumps(stored))
    again = CliRunner().invoke(app, ["replay", str(home), "--secret-env", "HOOK"])
    assert again.exit_code == 1, again.output
