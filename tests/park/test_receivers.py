"""The receivers of signed webhooks take what is signed, refuse what is not, and stay up."""

from __future__ import annotations

import re
import socket
import time
from urllib.parse import urlsplit

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.platform import PLATFORMS, Endpoint

from .roster import RECEIVERS, Bot
from .running import BOTS as FOLDER
from .running import WEBHOOK_PATH, running


def status(url: str, request: bytes) -> int:
    """The status of the answer to raw bytes."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname or "", where.port or 0), 10) as connection:
        connection.sendall(request)
        return int(connection.recv(4096).split()[1])


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "one", [pytest.param(one, id=one.name, marks=[pytest.mark.node] if one.npm else []) for one in RECEIVERS]
)
def test_a_receiver_takes_what_its_sender_signed_and_nothing_else(one: Bot) -> None:
    if reason := one.missing():
        pytest.skip(reason)
    told = [option for option in one.options[2:] if "=" in option]
    platform = PLATFORMS.build(one.options[1], dict(option.split("=", 1) for option in told))
    with running(one, "http://127.0.0.1:9") as target:
        now = int(time.time())
        right = Endpoint("127.0.0.1", WEBHOOK_PATH, one.secret, started=now)
        wrong = Endpoint("127.0.0.1", WEBHOOK_PATH, "whsec_" + "b1C3" * 8, started=now)
        for number, (name, update) in enumerate(sorted(platform.golden(Dice(1)).items())):
            expect = platform.expected(name)
            assert expect.allows_status(status(target.url, platform.encode(right, update))), name
            if number < 3 and name != "handshake":
                assert status(target.url, platform.encode(wrong, update)) in {400, 401, 403}, name
        assert target.alive


def test_every_bug_of_a_receiver_stands_in_it_and_names_who_reported_one_like_it() -> None:
    for one in RECEIVERS:
        source = (FOLDER / one.file).read_text("utf-8")
        assert len(one.bugs) >= 6
        for bug in one.bugs:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", bug.seen), (one.name, bug.name)
            assert f'"{bug.name}"' in source, (one.name, bug.name)
