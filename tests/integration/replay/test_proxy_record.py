"""`chaosbot proxy --record` as a process: a HAR that others read, and calls that a webhook makes in its answers."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlencode

import pytest
from mitmproxy.io import FlowReader

from chaosbot.core.event import ApiCalled
from chaosbot.journal import read
from chaosbot.transport import Address, Connection
from tests.support.proxied import POST, SECRET, answering, proxied

REPLY = b'{"method": "sendMessage", "chat_id": 5, "text": "hello cbm0123456789ab"}'


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """A webhook that replies in its answers."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(REPLY)
    with answering(head + REPLY) as url:
        yield url


def test_a_recording_of_two_workers_is_read_by_others_and_holds_no_secret(service: str, tmp_path: Path) -> None:
    har = tmp_path / "traffic.har"
    options = ("--fault", "abort:503;p=0.5;path=/hook/*", "--seed", "7", "--workers", "2", "--record", str(har))
    statuses = []
    with proxied(service, tmp_path / "run", *options) as url:
        for number in range(20):
            with Connection(Address.parse(url)) as connection:
                statuses.append(connection.exchange(POST % number).status)
    assert set(statuses) == {200, 503}
    assert SECRET.encode() not in har.read_bytes()
    with har.open("rb") as file:
        flows = list(FlowReader(file).stream())
    assert [flow.response.status_code for flow in flows] == statuses
    entries = json.loads(har.read_bytes())["log"]["entries"]
    assert [bool(entry["_chaosbot"]["faults"]) for entry in entries] == [status == 503 for status in statuses]
    calls = read(tmp_path / "run").all(ApiCalled)
    assert len(calls) == statuses.count(200)
    assert {(call.method, call.chat, call.via) for call in calls} == {("sendMessage", 5, "reply")}
    assert {call.exchange for call in calls} == {
        entry["_chaosbot"]["exchange"] for entry in entries if entry["response"]["status"] == 200
    }


TOKEN = "planted Secret/77+é"
"""A webhook's secret of characters that each form writes in a way of its own."""


def test_no_form_of_a_secret_is_recorded(service: str, tmp_path: Path) -> None:
    har = tmp_path / "traffic.har"
    every = "".join(f"%{byte:02X}" for byte in TOKEN.encode())
    mixed = quote(TOKEN).replace("a", "%61")
    bodies = (urlencode({"token": TOKEN}), json.dumps({"token": TOKEN}), json.dumps({"token": every}))
    requests = [
        f"POST /hook?token={form} HTTP/1.1\r\nHost: x\r\nX-Own: {form}\r\nCookie: session={form}\r\n"
        f"Authorization: Basic {b64encode(TOKEN.encode()).decode()}\r\nContent-Length: 2\r\n\r\n{{}}"
        for form in (quote(TOKEN, safe=""), quote_plus(TOKEN), mixed, every, every.lower())
    ]
    for body in bodies:
        whole = f"{body}\r\n\r\n{{}}"  # by which the service knows the end
        requests.append(f"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: {len(whole)}\r\n\r\n{whole}")
    with proxied(service, tmp_path / "run", "--record", str(har), secret=TOKEN) as url:
        for request in requests:
            with Connection(Address.parse(url)) as connection:
                assert connection.exchange(request.encode("latin-1")).status == 200
    assert len(json.loads(har.read_bytes())["log"]["entries"]) == len(requests)
    for path in (har, *(tmp_path / "run").rglob("*.*")):
        if path.is_file():
            found = path.read_text(errors="replace")
            for form in (found, unquote(found), unquote_plus(found)):
                assert TOKEN not in form, path.name
                assert "planted" not in form, path.name
            assert b64encode(TOKEN.encode()).decode() not in found, path.name


def test_a_place_that_cannot_be_written_is_said_at_once(service: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chaosbot", "proxy", service, "--listen", "127.0.0.1:0", "--duration", "1s"]
    ran = subprocess.run(
        [*command, "--record", str(tmp_path / "none" / "x.har")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "make it first" in " ".join((ran.stdout + ran.stderr).split())
