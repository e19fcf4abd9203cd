"""Campaigns against small, unmodified bots of four frameworks report what was measured of them, and nothing false.

What is expected here is behaviour as observed (docs/frameworks.md). A framework that changes it breaks these tests, as it should.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from chaosbot.core.event import ApiCalled, Event
from chaosbot.core.platform import Endpoint
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.spec import CampaignResult, CampaignSpec
from chaosbot.mocks.server import MockListener, MockServer
from chaosbot.mocks.telegram import TelegramApi
from chaosbot.transport import Address

SECRET = "S3cret_token-xyz"
TOKEN = "4242424242:AAF-thirty-five-characters-of-token-x"
BOTS = Path(__file__).parent.parent / "support" / "bots"
NODE_MODULES = os.environ.get("CHAOSBOT_NODE_MODULES", "")


@dataclass(frozen=True)
class Bot:
    """A bot, what a campaign must report of it (check and bucket), and the only checks that may report anything."""

    command: tuple[str, ...]
    reports: frozenset[tuple[str, str]]
    may: frozenset[str]
    path: str = "/hook"


def python(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(BOTS / name), *arguments)


def node(name: str) -> tuple[str, ...]:
    return ("node", str(BOTS / name))


@contextmanager
def running(bot: Bot, port: int) -> Iterator[tuple[CampaignSpec, MockServer, list[Event]]]:
    """The bot, the mock that it calls, and the campaign for both."""
    events: list[Event] = []
    started = monotonic()
    server = MockServer((MockListener(TelegramApi()),), events.append, started)
    server.start()
    environment = {
        **os.environ,
        "BOT_API": server.url,
        "BOT_TOKEN": TOKEN,
        "PORT": str(port),
        "TELEGRAM_SECRET_TOKEN": SECRET,
        "NODE_PATH": NODE_MODULES,
    }
    command = f"{sys.executable} {BOTS / 'again.py'} {' '.join(bot.command)}"
    process = subprocess.Popen(command.split(), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60.0
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
                break
            except OSError:
                time.sleep(0.1)
        address = Address("127.0.0.1", port, path=bot.path)
        spec = CampaignSpec(
            address,
            Endpoint(address.authority, bot.path, SECRET),
            duration_s=30.0,
            stages=("catalogue", "sequences"),
            bot_api=True,
            pid=process.pid,
            started=started,
        )
        yield spec, server, events
    finally:
        process.terminate()
        process.wait(60)
        server.stop()


def campaign(bot: Bot, port: int) -> CampaignResult:
    with running(bot, port) as (spec, server, events):
        seen: list[ApiCalled] = []
        looked = [0]

        def calls() -> list[ApiCalled]:
            server.sync()
            while looked[0] < len(events):
                event = events[looked[0]]
                looked[0] += 1
                if isinstance(event, ApiCalled):
                    seen.append(event)
            return seen

        return Campaign(spec, lambda _: None, calls).run()


UNDECODABLE = ("no_server_error", "500:json/invalid")
SHAPE = ("no_server_error", "500:shape")
DEPTH = ("no_server_error", "500:structure/depth")
HEAD = ("no_server_error", "500:head/not-ascii")
AGAIN = ("effect_at_most_once", "again")

PYTHON = {
    "aiogram": Bot(
        python("aiogram_bot.py"),
        frozenset({UNDECODABLE, DEPTH, HEAD, AGAIN}),
        frozenset({"no_server_error", "effect_at_most_once"}),
    ),
    "aiogram in the foreground": Bot(
        python("aiogram_bot.py", "--foreground"),
        frozenset({UNDECODABLE, DEPTH, HEAD, SHAPE, AGAIN}),
        frozenset({"no_server_error", "effect_at_most_once"}),
    ),
    "python-telegram-bot": Bot(
        python("ptb_bot.py"),
        frozenset({UNDECODABLE, DEPTH, ("pre_auth_cost", "held")}),
        frozenset(
            {
                "no_server_error",
                "pre_auth_cost",
                "valid_accepted",
                "bounded_resources",
                "no_hang",
                "effect_at_most_once",
            }
        ),
    ),
    "python-telegram-bot behind Starlette": Bot(
        python("ptb_starlette_bot.py"),
        frozenset({UNDECODABLE, DEPTH, SHAPE}),
        frozenset({"no_server_error", "bounded_resources", "no_hang", "effect_at_most_once"}),
    ),
}
NODE = {
    "grammY on node:http": Bot(
        node("grammy_http.js"), frozenset({AGAIN}), frozenset({"no_death", "effect_at_most_once", "no_server_error"})
    ),
    "grammY on Express": Bot(
        node("grammy_express.js"),
        frozenset({AGAIN, ("auth_before_parsing", "body-first"), ("pre_auth_cost", "held")}),
        frozenset({"no_server_error", "effect_at_most_once", "auth_before_parsing", "pre_auth_cost", "no_leak"}),
    ),
    "Telegraf": Bot(
        node("telegraf_bot.js"),
        frozenset({AGAIN}),
        frozenset({"no_death", "effect_at_most_once", "text_intact", "no_server_error"}),
    ),
}


def judge(bot: Bot, port: int) -> None:
    result = campaign(bot, port)
    found = {(finding.check, finding.bucket) for finding in result.findings}
    assert bot.reports <= found, found
    assert {check for check, _ in found} <= bot.may, found


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", PYTHON)
def test_a_python_bot_is_reported_as_it_was_measured_and_nothing_false(name: str, free_port: Callable[[], int]) -> None:
    judge(PYTHON[name], free_port())


@pytest.mark.slow
@pytest.mark.node
@pytest.mark.timeout(120)
@pytest.mark.skipif(
    not NODE_MODULES, reason="CHAOSBOT_NODE_MODULES names no node_modules with grammy, telegraf, express"
)
@pytest.mark.parametrize("name", NODE)
def test_a_node_bot_is_reported_as_it_was_measured_and_nothing_false(name: str, free_port: Callable[[], int]) -> None:
    judge(NODE[name], free_port())
