"""The three parts that a campaign joins: a case over the wire, the real demo bot, and the mock that records its calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled
from chaosbot.core.marker import marker
from chaosbot.core.platform import PLATFORMS, Endpoint, Platform
from chaosbot.core.verdict import Threat
from chaosbot.mocks.telegram.mock import reply_in_response
from chaosbot.session.environment import DemoTarget
from chaosbot.transport import Address, Connection, require_reachable, send

from .conftest import TOKEN, Running, Start

SECRET = "correct-horse-battery"
TIMEOUT_S = 60.0


def case_of(platform: Platform, endpoint: Endpoint, update: object) -> Case:
    return Case("test/case", "test", Threat.USER, (Segment(platform.encode(endpoint, update)),), Expect())


def calls_with(server: Running, mark: str) -> list[ApiCalled]:
    """The calls that carry a marker; the bot may still be about to make them."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        found = [call for call in server.calls() if isinstance(call, ApiCalled) and mark in call.markers]
        if found:
            return found
    return []


@pytest.fixture
def platform() -> Platform:
    """Telegram's."""
    return PLATFORMS.build("telegram")


@pytest.fixture
def server(start: Start) -> Iterator[Running]:
    """The mock."""
    return start()


def test_a_reply_is_joined_to_its_case_by_marker_and_chat(server: Running, platform: Platform) -> None:
    with DemoTarget(secret=SECRET, bot_api=server.url, token=TOKEN, limits=False) as demo:
        address = Address.parse(demo.webhook)
        require_reachable(address)
        endpoint = Endpoint(address.authority, address.path, SECRET)
        dice = Dice(7)
        for number in range(5):
            place = dice.at("case", number)
            mark = marker(place)
            update = platform.say(f"hello {mark}", place)
            outcome = send(case_of(platform, endpoint, update), address, timeout_s=TIMEOUT_S)
            assert outcome.ok, outcome
            assert {call.chat for call in calls_with(server, mark)} == {update["message"]["chat"]["id"]}


def test_every_golden_update_is_acknowledged_and_every_call_of_the_bot_is_well_received(
    server: Running, platform: Platform
) -> None:
    with DemoTarget(secret=SECRET, bot_api=server.url, token=TOKEN, limits=False) as demo:
        address = Address.parse(demo.webhook)
        endpoint = Endpoint(address.authority, address.path, SECRET)
        with Connection(address, timeout_s=TIMEOUT_S) as connection:
            for name, update in platform.golden(Dice(7)).items():
                outcome = connection.exchange(platform.encode(endpoint, update))
                assert outcome.ok, (name, outcome)
        wanted = {"sendMessage", "answerCallbackQuery", "getFile", "download"}
        until = time.monotonic() + TIMEOUT_S
        while not wanted <= {call.method for call in server.calls()} and time.monotonic() < until:
            require_reachable(address)
    calls = server.calls()
    assert wanted <= {call.method for call in calls}
    assert {call.status for call in calls} == {200}


def test_a_forged_request_makes_no_call(server: Running, platform: Platform) -> None:
    with DemoTarget(secret=SECRET, bot_api=server.url, token=TOKEN, limits=False) as demo:
        address = Address.parse(demo.webhook)
        right = Endpoint(address.authority, address.path, SECRET)
        dice = Dice(8)
        forged = platform.say(f"hello {marker(dice)}", dice)
        refused = send(case_of(platform, replace(right, secret="wrong-secret"), forged), address, timeout_s=TIMEOUT_S)
        assert refused.status in (401, 403)
        # The canary: when its reply is there, the forged one would be too.
        canary = dice.at("canary")
        assert send(case_of(platform, right, platform.say(f"hi {marker(canary)}", canary)), address).ok
        assert calls_with(server, marker(canary))
        assert not [call for call in server.calls() if marker(dice) in call.markers]


def test_a_bot_without_an_api_answers_in_the_response(platform: Platform) -> None:
    with DemoTarget(secret=SECRET, limits=False) as demo:
        address = Address.parse(demo.webhook)
        endpoint = Endpoint(address.authority, address.path, SECRET)
        dice = Dice(9)
        update = platform.say(f"hello {marker(dice)}", dice)
        outcome = send(case_of(platform, endpoint, update), address, timeout_s=TIMEOUT_S)
    reply = reply_in_response(outcome.body)
    assert reply is not None
    assert (reply.method, reply.chat, reply.via) == ("sendMessage", update["message"]["chat"]["id"], "reply")
    assert marker(dice) in reply.markers
