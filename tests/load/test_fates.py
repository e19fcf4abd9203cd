"""Every request gets exactly one fate, the right one, whatever the target does with it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaosbot.core.errors import ConfigError, TargetRefused, TargetUnusable
from chaosbot.core.event import RequestDone
from chaosbot.core.outcome import Fate
from chaosbot.transport import Tls
from tests.support.tls import bundle

Asked = Hand = Any  # what the scripted target hands to its scripts (conftest.py)
Serve = Load = Callable[..., Any]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def hang(_asked: Asked, _hand: Hand) -> None:
    await asyncio.sleep(3600)


async def reset(_asked: Asked, hand: Hand) -> None:
    hand.reset()


async def close(_asked: Asked, hand: Hand) -> None:
    hand.close()


async def garbage(_asked: Asked, _hand: Hand) -> bytes:
    return b"SSH-2.0-OpenSSH_9.6\r\n\r\n"


async def half(_asked: Asked, hand: Hand) -> None:
    hand.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    hand.close()


async def failing(_asked: Asked, _hand: Hand) -> bytes:
    return b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


async def until_closed(_asked: Asked, hand: Hand) -> None:
    hand.say(b"HTTP/1.1 200 OK\r\n\r\nas much as there is")
    hand.close()


async def interim(_asked: Asked, _hand: Hand) -> bytes:
    return b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK


async def chunked(_asked: Asked, _hand: Hand) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


async def chatty(_asked: Asked, _hand: Hand) -> bytes:
    return OK + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def fine(_asked: Asked, _hand: Hand) -> bytes:
    return OK


SCRIPTS = {
    "hang": (hang, "timeout"),
    "reset": (reset, "reset"),
    "close": (close, "closed"),
    "garbage": (garbage, "protocol"),
    "half": (half, "closed"),
    "failing": (failing, "status_503"),
    "until_closed": (until_closed, None),
    "interim": (interim, None),
    "chunked": (chunked, None),
    "chatty": (chatty, None),
    "fine": (fine, None),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_misbehaviour_is_classified(serve: Serve, name: str, load: Load) -> None:
    script, kind = SCRIPTS[name]
    done = load(
        serve(script).url, options={"rate": "40/s", "duration": "500ms"}, timeout_s=0.4 if name == "hang" else 10.0
    )
    assert done.result.planned == 20
    assert done.errors() == ({kind: 20} if kind else {})
    assert done.result.completed == (0 if kind else 20)


def test_a_failed_request_is_told_with_its_phases_and_its_answer(serve: Serve, load: Load) -> None:
    done = load(serve(failing).url, options={"rate": "10/s", "duration": "500ms"})
    request = done.all(RequestDone)[0]
    assert request.outcome.fate is Fate.ANSWERED
    assert request.outcome.status == 503
    assert dict(request.outcome.headers) == {"content-length": "0"}
    assert request.outcome.connect_s > 0
    assert 0 < request.outcome.first_byte_s <= request.outcome.total_s
    assert (request.kind, request.tier) != (None, "")


def test_a_timeout_lasts_exactly_the_timeout_and_stays_in_the_percentiles(serve: Serve, load: Load) -> None:
    done = load(serve(hang).url, options={"rate": "20/s", "duration": "250ms"}, timeout_s=0.3)
    assert done.result.timed_out == 5
    assert all(request.outcome.total_s == pytest.approx(0.3, abs=1e-6) for request in done.all(RequestDone))
    histogram = HdrHistogram.decode(next(frame.service for frame in done.frames if frame.service))
    assert histogram.total_count == 5
    assert histogram.get_min_value() == pytest.approx(300_000, rel=1e-3)


def test_a_connection_that_nobody_accepts_is_a_connect_timeout(load: Load) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        # The look before the start takes the only place in the backlog and stays there.
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(2)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            with pytest.raises(TargetUnusable, match="no connection within"):
                load(f"http://127.0.0.1:{port}/", connect_timeout_s=0.2)
        finally:
            for filler in fillers:
                filler.close()


def test_a_refused_connection_ends_at_once_with_one_line(free_port: Callable[[], int], load: Load) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/webhook"
    with pytest.raises(
        TargetUnusable, match=f"127.0.0.1:{port}: cannot connect .*start the target.*nothing was sent"
    ) as told:
        load(url, "soak")
    assert "\n" not in str(told.value)


def test_a_host_that_is_not_ours_is_not_touched(load: Load) -> None:
    with pytest.raises(TargetRefused, match="--allow-host"):
        load("http://192.0.2.1/webhook")


def test_a_target_that_dies_in_the_middle_is_counted_not_fatal(serve: Serve, load: Load) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    # One connection (the look) is accepted, then nothing listens any more.
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

    def stop_listening() -> bool:
        listener.close()
        return False

    done = load(url, options={"rate": "50/s", "duration": "600ms"}, hooks={"should_stop": stop_listening})
    assert done.errors()["refused"] > 0
    assert set(done.errors()) <= {"refused", "reset"}, "whoever was in the queue when it died was reset"
    assert done.result.completed == 0
    assert done.result.how == "completed"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("tls"), "server")


def test_tls_is_spoken_and_its_authority_checked(serve: Serve, certificate: Path, load: Load) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    target = serve(fine, context)
    with pytest.raises(TargetUnusable, match="certificate is not trusted"):
        load(target.url)
    for tls in (Tls(ca_file=str(certificate)), Tls(verify=False)):
        done = load(target.url, options={"rate": "100/s", "duration": "500ms"}, connections=5, tls=tls)
        assert done.result.completed == 50
    assert target.connections <= 1 + 2 * (1 + 5), "connections are kept and used again"


def test_plain_http_behind_an_https_url_is_told_as_such(serve: Serve, load: Load) -> None:
    url = serve(fine).url.replace("http://", "https://")
    with pytest.raises(TargetUnusable, match=r"no TLS handshake within .*plain http"):
        load(url, connect_timeout_s=1.0)


def test_a_connection_that_the_target_closed_while_idle_costs_no_request(serve: Serve, load: Load) -> None:
    async def goodbye(_asked: Asked, hand: Hand) -> None:
        # Answer and end leave in one segment and without `Connection: close`, so nothing here depends on who is faster.
        sock = hand.writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        hand.say(OK)
        sock.shutdown(socket.SHUT_WR)

    done = load(serve(goodbye).url, options={"rate": "10/s", "duration": "1s"})
    assert done.result.completed == 10


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(
    fates=st.lists(st.sampled_from(sorted(SCRIPTS)), min_size=1, max_size=12),
    sender=st.sampled_from(["raw", "telegram"]),
    shape=st.sampled_from(["open", "closed"]),
    stop_after=st.sampled_from([0.0, 0.25]),
)
def test_nothing_vanishes_whatever_happens(
    serve: Serve, load: Load, fates: list[str], sender: str, shape: str, stop_after: float
) -> None:
    async def script(asked: Asked, hand: Hand) -> bytes | None:
        return await SCRIPTS[fates[asked.number % len(fates)]][0](asked, hand)

    target = serve(script)
    profile = (
        {"rate": "200/s", "duration": "400ms"}
        if shape == "open"
        else {"users": 20, "spawn_rate": "100/s", "duration": "500ms"}
    )
    looks = iter(range(10_000))
    done = load(
        target.url,
        "steady" if shape == "open" else "smoke",
        profile,
        {"should_stop": lambda: bool(stop_after) and next(looks) * 0.1 >= stop_after},
        sender=sender,
        timeout_s=0.3,
    )
    # `load` has checked the sums; here that something was there to be summed up, and that the target saw no more than was started.
    assert done.result.planned > 0
    assert len(target.asked) <= done.result.started


def test_redirects_are_failures_unless_told_otherwise(serve: Serve, load: Load) -> None:
    async def moved(_asked: Any, _hand: Any) -> bytes:
        return b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"

    url = serve(moved).url
    done = load(url, options={"rate": "50/s", "duration": "1s"})
    assert done.result.completed == 0
    assert done.errors() == {"status_302": done.result.failed}
    told = load(url, options={"rate": "50/s", "duration": "1s"}, accepted=frozenset({302}))
    assert told.result.failed == 0
    assert told.result.completed > 0


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"HTTP/1.1 200 OK\r\n"],
    ids=["trailers", "headers"],
)
def test_an_answer_without_end_is_no_complete_answer_in_time(serve: Serve, load: Load, start: bytes) -> None:
    async def endless(_asked: Any, hand: Any) -> None:
        hand.say(start)
        while True:
            hand.say(b"X-More: 1\r\n" * 200)
            await hand.writer.drain()
            await asyncio.sleep(0)

    url = serve(endless).url
    done = load(url, options={"rate": "5/s", "duration": "1s"}, timeout_s=0.5)
    assert done.result.timed_out + done.result.failed == done.result.started
    assert set(done.errors()) <= {"timeout", "protocol"}


def test_a_target_that_demands_a_client_certificate_gets_it(serve: Serve, certificate: Path, load: Load) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    url = serve(tls=context).url
    shown = load(
        url,
        options={"rate": "20/s", "duration": "500ms"},
        tls=Tls(ca_file=str(certificate), cert_file=str(certificate)),
    )
    assert shown.result.completed == shown.result.started > 0
    without = load(url, options={"rate": "20/s", "duration": "500ms"}, tls=Tls(ca_file=str(certificate)))
    assert without.result.completed == 0
    with pytest.raises(ConfigError, match=r"--cert .*holds no certificate"):
        load(url, tls=Tls(ca_file=str(certificate), cert_file=__file__))


def test_an_ordinary_service_is_loaded_as_a_market_though_it_knows_no_other_path(serve: Serve, tmp_path: Path) -> None:
    async def service(asked: Any, _hand: Any) -> bytes:
        known = any(path in asked.head for path in (b" /api/market/", b" /api/vn30-components"))
        return b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % (b"200 OK" if known else b"404 Not Found")

    base = serve(service).url.removesuffix("/webhook/telegram")
    options = ("--platform", "market", "--stream", "none", "--users", "4", "--duration", "2s", "--out", str(tmp_path))
    done = subprocess.run(
        (sys.executable, "-m", "chaosbot", "load", *options, "--json", base),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 2, done.stderr
    counted = json.loads(done.stdout)["load"]
    assert counted["completed"] == counted["started"] > 0
