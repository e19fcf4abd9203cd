"""Stages that several processes share: together they send and find what one process does."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from chaosbot.core.event import CaseTried, Event, Judged, Trouble
from chaosbot.core.platform import Endpoint
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.transport import Address

pytestmark = pytest.mark.timeout(400)


class Choosy(BaseHTTPRequestHandler):
    """Fails by what an update is, and by nothing else."""

    protocol_version = "HTTP/1.1"
    FAILS: ClassVar = {"poll": 500, "inline_query": 502, "chat_member": 503, "shipping_query": 500}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        update = json.loads(body)
        status = next((status for kind, status in self.FAILS.items() if kind in update), 200)
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def choosy() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Choosy) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


@pytest.mark.slow
def test_generated_updates_find_the_same_whatever_the_number_of_processes(choosy: str, tmp_path: Path) -> None:
    found, sent = [], []
    for workers in (1, 3):
        address = Address.parse(choosy)
        spec = CampaignSpec(
            address,
            Endpoint(address.authority, address.path),
            seed=5,
            duration_s=300.0,
            longest_s=300.0,
            stages=("generated",),
            max_examples=360,
            workers=workers,
            findings=tmp_path / str(workers),
        )
        events: list[Event] = []
        result = Campaign(spec, events.append).run()
        assert not result.cut
        found.append({finding.id for one in events if isinstance(one, Judged) for finding in one.judgement.findings})
        cases = [event.case.partition("~")[2] for event in events if isinstance(event, CaseTried)]
        sent.append({name for name in cases if name and int(name.partition(".")[2]) < 120})
    assert found[0] == found[1]
    assert len(found[0]) >= 2
    assert sent[0] == sent[1] == {f"{number}.{ordinal}" for number in range(3) for ordinal in range(120)}


@pytest.mark.slow
def test_a_process_that_is_lost_is_told_with_its_share_and_the_rest_is_kept(choosy: str, tmp_path: Path) -> None:
    address = Address.parse(choosy)
    spec = CampaignSpec(
        address,
        Endpoint(address.authority, address.path),
        seed=5,
        duration_s=60.0,
        stages=("generated",),
        workers=2,
        findings=tmp_path,
    )
    events: list[Event] = []
    killed: list[int] = []

    def take(event: Event) -> None:
        events.append(event)
        if isinstance(event, CaseTried) and not killed:
            killed.extend(child.pid for child in psutil.Process().children() if "workers" in " ".join(child.cmdline()))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    result = Campaign(spec, take).run(lambda: len([one for one in events if isinstance(one, CaseTried)]) > 300)
    assert killed
    (trouble,) = [event.what for event in events if isinstance(event, Trouble) and "helper" in event.what]
    assert "fuzz helper 1" in trouble
    assert "50% of the stage 'generated' is missing" in trouble
    assert result.cases_sent > 100
