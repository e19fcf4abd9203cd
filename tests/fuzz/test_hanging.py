"""A target that stops answering: the campaign ends in its time all the same, with the hang as a finding."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from chaosbot.core.platform import Endpoint
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.transport import Address

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
