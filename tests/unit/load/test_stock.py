"""Requests from stock are the deliveries that an encoding from scratch would have been."""

import dataclasses
import json
from typing import Any

import pytest

from chaosbot.load.maker import Chance, Maker, draw_block
from chaosbot.load.shot import Shot
from chaosbot.load.stock import Renewed, Stock
from chaosbot.model.dialect import DIALECTS, Endpoint, Request
from chaosbot.model.dice import Dice
from chaosbot.model.exchange import UpdateFacts

TELEGRAM = DIALECTS.build("telegram")
HERE = Endpoint("127.0.0.1:1", "/webhook", "open-sesame", now=1_770_000_000)


def chance(number: int) -> Chance:
    return draw_block(Dice(9).at(number), 1)


def facts(taken: Renewed) -> UpdateFacts:
    """What the request is about: the facts of the one it was made from, with what was written over."""
    new = {"update_id": taken.update_id, "marker": taken.marker}
    return dataclasses.replace(taken.facts, **{name: value for name, value in new.items() if value is not None})


class Nobody:
    def finished(self, shot: Shot) -> None:
        raise AssertionError(shot)


def body(data: bytes) -> Any:
    head, _, content = data.partition(b"\r\n\r\n")
    assert f"content-length: {len(content)}" in head.decode().lower()
    return json.loads(content)


def test_delivery_ids_times_and_markers_are_new_and_everything_else_is_kept() -> None:
    calls = []

    def build(*arguments: Any) -> Request:
        calls.append(arguments)
        return TELEGRAM.build(*arguments)

    stock = Stock(build, Dice(1))
    first = stock.take("guest/chat", 1_000_000, 10, HERE, 10 << 20, 1000)
    encoded = len(calls)
    later = Endpoint("127.0.0.1:1", "/webhook", "open-sesame", now=1_770_000_007)
    second = stock.take("guest/chat", 1_000_000, 25, later, 25 << 20, 1000)
    assert len(calls) == encoded, "the second one came from stock"
    one, two = body(first.data), body(second.data)
    assert two["update_id"] - one["update_id"] == 15
    assert two["message"]["date"] - one["message"]["date"] == 7
    assert first.facts.marker != second.marker
    assert second.marker in two["message"]["text"]
    assert TELEGRAM.facts("POST", "/", (), second.data.partition(b"\r\n\r\n")[2]) == facts(second)
    assert one["message"]["from"] == two["message"]["from"]
    assert b"open-sesame" in second.data


def test_every_task_of_telegram_is_fit_for_stock_and_stays_valid() -> None:
    stock = Stock(TELEGRAM.build, Dice(1))
    for journey in TELEGRAM.journeys():
        for task in journey.tasks:
            for ordinal in range(12):
                word = Dice(2).at(ordinal).number() << 30
                taken = stock.take(task.name, journey.users[0], ordinal, HERE, word, len(journey.users))
                content = taken.data.partition(b"\r\n\r\n")[2]
                body(taken.data)
                assert TELEGRAM.facts("POST", "/", (), content) == facts(taken), task.name
    assert all(stock._fit.values())


def test_signed_requests_are_never_taken_from_stock() -> None:
    signing = DIALECTS.build("standard_webhooks")
    here = Endpoint("x", "/", "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", now=1_770_000_000)
    stock = Stock(signing.build, Dice(1))
    journey = signing.journeys()[0]
    task = journey.tasks[0].name
    for ordinal in range(20):
        dice = Dice(1).at(ordinal)
        taken = stock.take(task, journey.users[0], ordinal, here, 5, 1)
        assert taken.data == signing.build(task, journey.users[0], ordinal, dice, here).data
    assert not stock._fit[task]


def test_an_id_that_would_become_longer_is_encoded_anew() -> None:
    def build(task: str, _user: Any, ordinal: int, _dice: Dice, _endpoint: Endpoint) -> Request:
        data = b"GET /%d HTTP/1.1\r\n\r\n" % (90 + ordinal)
        return Request(data, task, UpdateFacts(90 + ordinal))

    stock = Stock(build, Dice(0))
    taken = [stock.take("t", 1, ordinal, HERE, 0, 1000).data.split()[1] for ordinal in range(12)]
    assert taken == [b"/%d" % (90 + ordinal) for ordinal in range(12)]


@pytest.mark.parametrize("stock", [False, True])
def test_the_weights_of_a_journey_are_kept(stock: bool) -> None:
    maker = Maker(TELEGRAM, HERE, Dice(3), stock=stock)
    journey = TELEGRAM.journeys()[0]
    count = 1500
    tasks = [maker.shot(Nobody(), journey, journey.users[n % 50], n, 0.0, chance(n)).task for n in range(count)]
    total = sum(task.weight for task in journey.tasks)
    for task in journey.tasks:
        assert tasks.count(task.name) / count == pytest.approx(task.weight / total, abs=0.04)
    pauses = [maker.shot(Nobody(), journey, 1_000_000, n, 0.0, chance(n)).pause_s for n in range(300)]
    assert journey.wait_s[0] <= min(pauses) < 1.2
    assert 4.8 < max(pauses) <= journey.wait_s[1]


def test_a_request_with_nothing_to_renew_is_sent_as_it_is() -> None:
    market = DIALECTS.build("market")
    stock = Stock(market.build, Dice(1))
    first = stock.take("alerts", 1, 1, HERE, 7, 1000)
    assert stock.take("alerts", 1, 2, HERE, 8, 1000) == first
