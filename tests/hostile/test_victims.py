"""What stands between (the proxy) and what asks again (replay) meet the same hostile targets: they live on, and end in time."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chaosbot.addons.proxy import ListenerSpec, Proxy, ProxySpec
from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.errors import TargetUnusable
from chaosbot.core.event import Event, Trouble
from chaosbot.core.exchange import Direction
from chaosbot.core.outcome import Fate
from chaosbot.core.plan import FaultPlan
from chaosbot.core.verdict import Finding, RootCause, Severity, Threat
from chaosbot.fuzz import findings as disk
from chaosbot.fuzz.replay import replay
from chaosbot.transport import Address, send
from tests.support.hostile import WAYS, HostileServer

REQUEST = b"POST /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
WORST = {
    "closes",
    "never-answers",
    "endless-headers",
    "chunk-size-huge",
    "control-characters",
    "http-2",
    "large-header",
    "gzip-bomb",
}
LONGEST_S = 40.0


def worst_first(names: set[str]) -> list[object]:
    """All ways; those that are not of these are slow tests."""
    return [pytest.param(way, marks=() if way in names else pytest.mark.slow) for way in WAYS]


@dataclass
class Between:
    """A proxy before the hostile server, and what it said of itself."""

    url: str
    events: list[Event] = field(default_factory=list)

    def ask(self, path: str, timeout_s: float) -> tuple[Fate, int | None]:
        """What a client of the proxy gets."""
        case = Case("x", "x", Threat.NETWORK, (Segment(REQUEST % path.encode()),), Expect())
        outcome = send(case, Address.parse(self.url), timeout_s=timeout_s, keep=4096)
        return outcome.fate, outcome.status


@pytest.fixture(scope="module")
def between() -> Iterator[Between]:
    with HostileServer() as server:
        made = Between("")
        listener = ListenerSpec(Direction.INBOUND, f"http://127.0.0.1:{server.port}")
        proxy = Proxy(ProxySpec((listener,), 1, FaultPlan(), started=time.monotonic()), made.events.append)
        proxy.start()
        try:
            made.url = proxy.url(Direction.INBOUND)
            yield made
        finally:
            proxy.stop()


@pytest.mark.parametrize("way", worst_first(WORST))
def test_a_proxy_before_a_hostile_target_serves_the_next_request(between: Between, way: str) -> None:
    began = time.monotonic()
    between.ask(way, 0.5)
    assert between.ask("well", 20.0) == (Fate.ANSWERED, 200)
    assert time.monotonic() - began < LONGEST_S
    assert not [event for event in between.events if isinstance(event, Trouble)]


@pytest.mark.parametrize("way", worst_first({"closes", "control-characters", "gzip-bomb"}))
def test_a_replay_on_a_hostile_target_ends_in_time_and_proves_nothing_mended(way: str, tmp_path: Path) -> None:
    with HostileServer() as server:
        # It answers the looks before the finding's request, and is hostile from then on.
        path = f"/{way}/well-for-8"
        request = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        case = Case("json/x", "json", Threat.USER, (Segment(request),), Expect())
        cause = RootCause("500")
        found = disk.Reproducer("no_server_error", str(cause), "json_webhook", path, ((case,),), "answers 500")
        finding = Finding("no_server_error", "answers 500", Severity.HIGH, Threat.USER, cause, "json", "json/x")
        target = server.url(way, well_for=8)
        disk.write(tmp_path, finding, found, Address.parse(target), "")
        began = time.monotonic()
        try:
            told = replay(tmp_path / finding.id, target=target).text
        except TargetUnusable as error:
            told = str(error)
        assert time.monotonic() - began < LONGEST_S
        assert told.count("\n") == 0
        assert told
