"""Targets that misbehave in every way that HTTP allows or forbids: chaosbot ends in time, with a verdict, and its terminal unharmed."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.outcome import Fate
from chaosbot.core.verdict import Threat
from chaosbot.transport import Address, send
from tests.support.footprint import Footprint
from tests.support.hostile import WAYS, HostileServer

REQUEST = b"POST /%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
TIMEOUT_S = 0.5
LONGEST_S = 10.0
"""Far above the timeout: a request that is only slow on a busy machine is none that hangs."""
VERBS = {
    "load": ("--users", "5", "--duration", "2s", "--timeout", "2s"),
    "fuzz": ("--duration", "4s"),
    "run": ("--mode", "load", "--duration", "4s", "--outbound", "off"),
    "doctor": (),
}
MOST_S = 60.0
MOST_HELD = 350 << 20
"""What no process of a run comes to, whatever its target sends; usual are 60 to 150 MB."""
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.mark.parametrize("way", WAYS)
def test_a_request_to_a_hostile_target_ends_with_a_fate(server: HostileServer, way: str) -> None:
    case = Case("hostile", "hostile", Threat.NETWORK, (Segment(REQUEST % way.encode()),), Expect())
    began = time.monotonic()
    outcome = send(case, Address.parse(server.url(way)), timeout_s=TIMEOUT_S, keep=4096)
    assert time.monotonic() - began < LONGEST_S
    assert isinstance(outcome.fate, Fate)
    assert len(outcome.body) <= 4096


@pytest.mark.slow
@pytest.mark.parametrize("well_for", [0, 5])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_ends_in_time_and_says_so_in_plain_text(
    server: HostileServer, tmp_path: Path, verb: str, way: str, well_for: int
) -> None:
    out = () if verb == "doctor" else ("--out", str(tmp_path / "out"))
    command = [sys.executable, "-m", "chaosbot", verb, server.url(way, well_for=well_for), *VERBS[verb], *out]
    environment = os.environ | {"TELEGRAM_SECRET_TOKEN": "hostile-test-secret"}
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
        ) as process,
        Footprint(process.pid) as footprint,
    ):
        try:
            out_, err = process.communicate(timeout=MOST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    said = out_ + err
    assert process.returncode in (0, 1, 2, 3), said
    assert b"Traceback" not in err, said
    assert not CONTROL.search(said), said
    assert footprint.peak < MOST_HELD, f"{footprint.peak >> 20} MB: {footprint.whose}"
    if process.returncode in (0, 1) and verb != "doctor":
        assert (tmp_path / "out" / "report.json").exists()
