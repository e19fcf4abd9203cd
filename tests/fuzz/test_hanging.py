"""A target that stops answering: the campaign ends in its time all the same, with the hang as a finding."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import monotonic, sleep

import pytest

from chaosbot.core.platform import Endpoint
from chaosbot.fuzz import process
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.transport import Address
from tests.support.campaigns import call_api, campaign_behind_mock, said_in, served, updates_to

OVER_S = 10.0
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@contextmanager
def hanging(after: int) -> Iterator[str]:
    """A server that answers so many requests and then accepts connections without a word."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    held: list[socket.socket] = []

    def serve() -> None:
        for _ in range(after):
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection:
                connection.settimeout(0.2)
                try:
                    connection.recv(1 << 16)
                    connection.sendall(_OK)
                except OSError:
                    continue
        while True:
            try:
                held.append(listener.accept()[0])
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
    finally:
        listener.close()
        for connection in held:
            connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("after", [20])
def test_a_campaign_on_a_target_that_hangs_ends_in_its_time(tmp_path: Path, after: int) -> None:
    with hanging(after) as url:
        address = Address.parse(url)
        endpoint = Endpoint(address.authority, address.path, "a-secret-of-some-length")
        spec = CampaignSpec(
            address, endpoint, seed=1, duration_s=10.0, findings=tmp_path / "findings", started=monotonic()
        )
        began = monotonic()
        result = Campaign(spec, lambda _event: None).run()
        took = monotonic() - began
    assert took <= 10.0 + OVER_S
    assert not result.complete
    assert {finding.check for finding in result.findings} & {"no_hang", "canary_answered"}


class Freezing:
    """Keeps notes, and stops for good at a note with markup in it: nobody is answered from then on."""

    def __init__(self, api: str) -> None:
        self.api, self.frozen, self.over = api, threading.Event(), threading.Event()

    def update(self, update: dict) -> None:
        said = said_in(update)
        if said is not None and "<b>" in said[2]:
            self.frozen.set()
        if self.frozen.is_set():
            self.over.wait(60.0)
        if said is not None:
            text = "Kept for you." if said[2].startswith("/note ") else "Use: /note <text>"
            with suppress(OSError):  # the campaign may be over by then
                call_api(self.api, "sendMessage", chat_id=said[0], text=text)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_target_that_freezes_while_several_stages_go_on_is_charged_with_what_was_under_way(tmp_path: Path) -> None:
    bots: list[Freezing] = []

    def take(api: str) -> type[BaseHTTPRequestHandler]:
        bots.append(Freezing(api))
        return updates_to(bots[0].update)

    result, _ = campaign_behind_mock(tmp_path, take, "served,vocabulary,state,forms,sequences")
    bots[0].over.set()
    assert {finding.check for finding in result.findings} & {"canary_answered", "no_hang"}


@pytest.mark.slow
def test_what_a_busy_machine_takes_is_not_the_target_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three cases are answered after 2.3 s, of 2 s that are allowed; a target that had no processor for a second of them is not slow."""

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                json.loads(self.rfile.read(int(self.headers["content-length"])))
            except ValueError:
                sleep(2.3)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

    def found() -> set[str]:
        with served(Slow) as url:
            address = Address.parse(url)
            endpoint = Endpoint(address.authority, address.path, "a-secret-of-some-length")
            spec = CampaignSpec(
                address,
                endpoint,
                "telegram",
                duration_s=30.0,
                stages=("catalogue",),
                only=("json/truncated*",),
                checks=("no_hang",),
            )
            result = Campaign(spec, lambda _event: None).run()
        return {finding.check for finding in result.findings}

    assert found() == {"no_hang"}
    monkeypatch.setattr(process, "starved_s", lambda *_: 5.0)
    assert found() == set()


def test_who_waits_for_a_processor_is_seen() -> None:
    spin = [sys.executable, "-c", "while True: pass"]
    crowd = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1) + 1)]
    try:
        pids = frozenset(one.pid for one in crowd)
        before, until = process.waits(pids), monotonic() + 20.0
        while process.starved_s(before, process.waits(pids)) < 0.2 and monotonic() < until:
            sleep(0.05)
        assert process.starved_s(before, process.waits(pids)) >= 0.2
    finally:
        for one in crowd:
            one.kill()
            one.wait()
    assert process.waits(pids) == {}
    assert process.starved_s({"1/1": 5}, {"1/1": 5 + 10**9, "1/2": 3}) == 1.0
