"""The three parts that a campaign joins: a case over the wire, the real demo bot, and the stand-in that records its calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chaosbot.addons.standin import reply_in_response
from chaosbot.model.case import Case, Expect, Segment
from chaosbot.model.dialect import DIALECTS, Dialect, Endpoint
from chaosbot.model.dice import Dice
from chaosbot.model.event import ApiCalled
from chaosbot.model.marker import marker
from chaosbot.model.verdict import Threat
from chaosbot.session.target import DemoTarget
from chaosbot.wire import Address, Connection, require_reachable, send

from .conftest import TOKEN, Running, Start

SECRET = "correct-horse-battery"
TIMEOUT_S = 60.0


def case_of(dialect: Dialect, endpoint: Endpoint, update: object) -> Case:
    return Case("test/case", "test", Threat.USER, (Segment(dialect.encode(endpoint, update)),), Expect())


def calls_with(server: Running, mark: str) -> list[ApiCalled]:
    """The calls that carry a marker; the bot may still be about to make them."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        found = [call for call in server.calls() if isinstance(call, ApiCalled) and mark in call.markers]
        if found:
            return found
    return []


@pytest.fixture
def dialect() -> Dialect:
    """Telegram's."""
    return DIALECTS.build("telegram")


@pytest.fixture
def server(start: Start) -> Iterator[Running]:
    """The stand-in."""
    return start()


def test_a_reply_is_joined_to_its_case_by_marker_and_chat(server: Running, dialect: Dialect) -> None:
    with DemoTarget(secret=SECRET, bot_api=server.url, token=TOKEN, limits=False) as demo:
        address = Address.parse(demo.webhook)
        require_reachable(address)
        endpoint = Endpoint(address.authority, address.path, SECRET)
        dice = Dice(7)
        for number in range(5):
            place = dice.at("case", number)
            mark = marker(place)
            update = dialect.say(f"hello {mark}", place)
            outcome = send(case_of(dialect, endpoint, update), address, timeout_s=TIMEOUT_S)
            assert outcome.ok, outcome
            assert {call.chat for call in calls_with(server, mark)} == {update["message"]["chat"]["id"]}


def test_every_golden_update_is_acknowledged_and_every_call_of_the_bot_is_well_received(
    server: Running, dialect: Dialect
) -> None:
    with DemoTarget(secret=SECRET, bot_api=server.url, token=TOKEN, limits=False) as demo:
        address = Address.parse(demo.webhook)
        endpoint = Endpoint(address.authority, address.path, SECRET)
        with Connection(address, timeout_s=TIMEOUT_S) as connection:
            for name, update in dialect.golden(Dice(7)).items():
                outcome = connection.exchange(dialect.encode(endpoint, update))
                assert outcome.ok, (name, outcome)
        wanted = {"sendMessage", "answerCallbackQuery", "getFile", "download"}
        until = time.monotonic() + TIMEOUT_S
        while not wanted <= {call.method for call in server.calls()} and time.monotonic() < until:
            require_reachable(address)
    calls = server.calls()
    assert wanted <= {call.method for call in calls}
    assert {call.status for call in calls} == {200}


def test_a_forged_request_makes_no_call(server: Running, dialect: Dialect) -> None:
    with DemoTarget(secret=SECRET, bot_api=server.url, token=TOKEN, limits=False) as demo:
        address = Address.parse(demo.webhook)
        right = Endpoint(address.authority, address.path, SECRET)
        dice = Dice(8)
        forged = dialect.say(f"hello {marker(dice)}", dice)
        refused = send(case_of(dialect, replace(right, secret="wrong-secret"), forged), address, timeout_s=TIMEOUT_S)
        assert refused.status in (401, 403)
        # The canary: when its reply is there, the forged one would be too.
        canary = dice.at("canary")
        assert send(case_of(dialect, right, dialect.say(f"hi {marker(canary)}", canary)), address).ok
        assert calls_with(server, marker(canary))
        assert not [call for call in server.calls() if marker(dice) in call.markers]


def test_a_bot_without_an_api_answers_in_the_response(dialect: Dialect) -> None:
    with DemoTarget(secret=SECRET, limits=False) as demo:
        address = Address.parse(demo.webhook)
        endpoint = Endpoint(address.authority, address.path, SECRET)
        dice = Dice(9)
        update = dialect.say(f"hello {marker(dice)}", dice)
        outcome = send(case_of(dialect, endpoint, update), address, timeout_s=TIMEOUT_S)
    reply = reply_in_response(outcome.body)
    assert reply is not None
    assert (reply.method, reply.chat, reply.via) == ("sendMessage", update["message"]["chat"]["id"], "reply")
    assert marker(dice) in reply.markers
