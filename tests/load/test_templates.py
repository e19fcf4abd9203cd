"""Requests from templates are the deliveries that an encoding from scratch would have been."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosbot.core.dice import Dice
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import JourneySpec, StreamSpec, Task
from chaosbot.core.platform import PLATFORMS, Endpoint, Request
from chaosbot.load.factory import Chance, RequestFactory, draw_block
from chaosbot.load.pending import PendingRequest
from chaosbot.load.templates import TemplateFactory

TELEGRAM = PLATFORMS.build("telegram")
HERE = Endpoint("127.0.0.1:1", "/webhook", "open-sesame", now=1_770_000_000)


def chance(number: int) -> Chance:
    return next(draw_block(Dice(9).at(number), 1))


def facts(shot: PendingRequest) -> UpdateFacts:
    """What the request is about, as its event tells it."""
    done = shot.done(0.0)
    assert shot.facts is not None
    return dataclasses.replace(shot.facts, update_id=done.update_id, marker=done.marker)


class Source:
    """One task of some people, encoded by a function; counts its calls."""

    def __init__(
        self, build: Callable[..., Request], task: str = "t", people: int = 1000, alike: int | None = None
    ) -> None:
        self.calls = 0
        self.alike = alike
        self._build = build
        self.journey = JourneySpec("guest", 1.0, (0.0, 0.0), (Task(task),), range(1_000_000, 1_000_000 + people))

    def journeys(self) -> tuple[JourneySpec, ...]:
        return (self.journey,)

    def streams(self) -> tuple[StreamSpec, ...]:
        return ()

    def build(self, *arguments: Any) -> Request:
        self.calls += 1
        return self._build(*arguments)

    def factory(
        self, dice: Dice, at: Callable[[], float] = lambda: 1_770_000_000.0, endpoint: Endpoint = HERE
    ) -> RequestFactory:
        made = TemplateFactory(self, endpoint, dice, wall=at)
        made.tick()
        return made

    def take(self, factory: RequestFactory, ordinal: int, word: int = 0) -> PendingRequest:
        """The request with this number."""
        return factory.user_requests(self.journey, self.journey.users[0]).next(Nobody(), ordinal, 0.0, (0, word, 0))


class Nobody:
    def finished(self, shot: PendingRequest) -> None:
        raise AssertionError(shot)


def body(data: bytes) -> Any:
    head, _, content = data.partition(b"\r\n\r\n")
    assert f"content-length: {len(content)}" in head.decode().lower()
    return json.loads(content)


def test_delivery_ids_times_and_markers_are_new_and_everything_else_is_kept() -> None:
    source = Source(TELEGRAM.build, "guest/chat")
    clock = iter((1_770_000_000.0, 1_770_000_007.0))
    factory = source.factory(Dice(1), clock.__next__)
    first = source.take(factory, 10, 10 << 20)
    encoded = source.calls
    factory.tick()
    second = source.take(factory, 25, 25 << 20)
    assert source.calls == encoded, "the second one came from templates"
    one, two = body(first.data), body(second.data)
    assert two["update_id"] - one["update_id"] == 15
    assert two["message"]["date"] - one["message"]["date"] == 7
    assert facts(first).marker != facts(second).marker
    assert facts(second).marker in two["message"]["text"]
    assert TELEGRAM.facts("POST", "/", (), second.data.partition(b"\r\n\r\n")[2]) == facts(second)
    assert one["message"]["from"] == two["message"]["from"]
    assert b"open-sesame" in second.data


def test_every_task_of_telegram_is_fit_for_templates_and_stays_valid() -> None:
    for journey in TELEGRAM.journeys():
        for task in journey.tasks:
            source = Source(TELEGRAM.build, task.name, len(journey.users))
            source.journey = dataclasses.replace(source.journey, users=journey.users)
            factory = source.factory(Dice(1))
            variants = len({source.take(factory, ordinal).data for ordinal in range(8)})
            encoded = source.calls
            for ordinal in range(20, 32):
                shot = source.take(factory, ordinal, Dice(2).at(ordinal).number() << 30)
                body(shot.data)
                assert TELEGRAM.facts("POST", "/", (), shot.data.partition(b"\r\n\r\n")[2]) == facts(shot), task.name
            assert source.calls == encoded, f"{task.name} comes from templates"
            assert variants == 8


@pytest.mark.parametrize("name", [name for name in PLATFORMS.names() if PLATFORMS.build(name).alike])
def test_users_that_a_platform_calls_alike_differ_by_their_id_alone(name: str) -> None:
    platform = PLATFORMS.build(name)
    assert platform.alike is not None
    for journey in platform.journeys():
        for user in journey.users[:12]:
            other = int(user) + platform.alike
            if other not in journey.users:
                continue
            for task in journey.tasks:
                for ordinal in range(6):
                    one, two = (platform.build(task.name, u, ordinal, Dice(4).at(ordinal), HERE) for u in (user, other))
                    assert one.data.replace(b"%d" % user, b"%d" % other) == two.data, task.name


def test_users_who_are_alike_share_templates_and_each_is_named_in_their_own_requests() -> None:
    source = Source(TELEGRAM.build, "guest/look", alike=10)
    factory = source.factory(Dice(1))
    users = source.journey.users
    for ordinal in range(8):
        source.take(factory, ordinal)
    encoded = source.calls
    for ordinal, user in enumerate(users[10:200:10], 100):
        word = Dice(2).at(ordinal).number() << 30
        shot = factory.user_requests(source.journey, user).next(Nobody(), ordinal, 0.0, (0, word, 0))
        assert body(shot.data)["message"]["from"]["id"] == user
        assert TELEGRAM.facts("POST", "/", (), shot.data.partition(b"\r\n\r\n")[2]) == facts(shot)
    assert source.calls == encoded
    factory.user_requests(source.journey, users[1]).next(Nobody(), 300, 0.0, (0, 0, 0))
    assert source.calls > encoded, "another name needs another template"


def test_one_request_in_many_is_encoded_anew_and_takes_its_templates_place() -> None:
    source = Source(TELEGRAM.build, "guest/chat")
    factory = source.factory(Dice(1))
    source.take(factory, 0)
    requests, encoded = factory.user_requests(source.journey, source.journey.users[0]), source.calls
    texts = set()
    for ordinal in range(1, 40):
        requests.next(Nobody(), ordinal, 0.0, (1, 0, 0))
        assert source.calls == encoded + ordinal
        texts.add(body(source.take(factory, 1000 + ordinal).data)["message"]["text"].partition(" cbm")[0])
    assert len(texts) > 4


def test_signed_requests_are_never_filled_into_templates() -> None:
    signing = PLATFORMS.build("standard_webhooks")
    here = Endpoint("x", "/", "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    journey = signing.journeys()[0]
    source = Source(signing.build, journey.tasks[0].name)
    source.journey = dataclasses.replace(source.journey, users=journey.users)
    factory = source.factory(Dice(1), endpoint=here)
    for ordinal in range(20):
        expected = signing.build(
            journey.tasks[0].name,
            journey.users[0],
            ordinal,
            Dice(1).at(ordinal),
            dataclasses.replace(here, now=1_770_000_000),
        )
        assert source.take(factory, ordinal, 5).data == expected.data


@pytest.mark.parametrize("start", [90, -5, 0])
def test_an_id_that_would_have_another_length_is_encoded_anew(start: int) -> None:
    def build(task: str, _user: Any, ordinal: int, _dice: Dice, _endpoint: Endpoint) -> Request:
        return Request(b"GET /%d HTTP/1.1\r\n\r\n" % (start + ordinal), task, UpdateFacts(start + ordinal))

    source = Source(build)
    factory = source.factory(Dice(0))
    taken = [source.take(factory, ordinal).data.split()[1] for ordinal in range(120)]
    assert taken == [b"/%d" % (start + ordinal) for ordinal in range(120)]


def test_a_percent_sign_in_a_request_is_a_percent_sign_and_a_word_that_is_no_marker_stays() -> None:
    def build(task: str, _user: Any, ordinal: int, _dice: Dice, _endpoint: Endpoint) -> Request:
        data = b"GET /%%d%%?n=%d&word=hello HTTP/1.1\r\n\r\n" % (500 + ordinal)
        return Request(data, task, UpdateFacts(500 + ordinal, marker="hello"))

    source = Source(build)
    factory = source.factory(Dice(0))
    source.take(factory, 0)
    encoded = source.calls
    assert source.take(factory, 7, 77).data == b"GET /%d%?n=507&word=hello HTTP/1.1\r\n\r\n"
    assert source.calls == encoded


@pytest.mark.parametrize("templates", [False, True])
def test_the_weights_of_a_journey_are_kept(templates: bool) -> None:
    factory = (TemplateFactory if templates else RequestFactory)(TELEGRAM, HERE, Dice(3))
    journey = TELEGRAM.journeys()[0]
    count = 1500
    writers = [factory.user_requests(journey, user) for user in journey.users[:50]]
    tasks = [writers[n % 50].next(Nobody(), n, 0.0, chance(n)).task for n in range(count)]
    total = sum(task.weight for task in journey.tasks)
    for task in journey.tasks:
        assert tasks.count(task.name) / count == pytest.approx(task.weight / total, abs=0.04)
    pauses = [writers[0].next(Nobody(), n, 0.0, chance(n)).pause_s for n in range(300)]
    assert journey.wait_s[0] <= min(pauses) < 1.2
    assert 4.8 < max(pauses) <= journey.wait_s[1]


def test_a_request_with_nothing_to_renew_is_sent_as_it_is() -> None:
    market = PLATFORMS.build("market")
    source = Source(market.build, "alerts")
    source.journey = dataclasses.replace(source.journey, users=market.journeys()[0].users)
    factory = source.factory(Dice(1))
    first = [source.take(factory, ordinal).data for ordinal in range(8)]
    encoded = source.calls
    assert source.take(factory, 9).data in first
    assert source.calls == encoded


def test_beyond_the_users_that_are_remembered_requests_are_right_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaosbot.load.factory.MOST_USERS", 0)
    source = Source(TELEGRAM.build, "guest/chat")
    factory = source.factory(Dice(1))
    ids = [body(source.take(factory, ordinal).data)["update_id"] for ordinal in range(5)]
    assert ids == list(range(ids[0], ids[0] + 5))
    assert source.calls == 5


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[st.integers(0, (1 << 64) - 1)] * 3), min_size=12, max_size=30), st.integers(0, 10**6))
def test_the_fast_factory_sends_what_the_plain_one_would(chances: list[Chance], first: int) -> None:
    journey = TELEGRAM.journeys()[0]
    made = []
    for factory in (RequestFactory(TELEGRAM, HERE, Dice(5)), TemplateFactory(TELEGRAM, HERE, Dice(5))):
        user = factory.user_requests(journey, journey.users[0])
        made.append([user.next(Nobody(), first + n, 1.0, chance) for n, chance in enumerate(chances)])
    for plain, fast in zip(*made, strict=True):
        assert (plain.label.task, plain.pause_s, plain.due) == (fast.label.task, fast.pause_s, fast.due)
        sent, expected = facts(fast), facts(plain)
        # A template keeps the message and callback that it was made with; marker and delivery id are its own.
        kept = {"marker": sent.marker, "message": sent.message, "callback": sent.callback}
        assert sent == dataclasses.replace(expected, **kept)
        assert TELEGRAM.facts("POST", "/", (), fast.data.partition(b"\r\n\r\n")[2]) == sent


def test_an_ordered_journey_goes_through_its_tasks_in_turn_and_each_round_has_its_own_dice() -> None:
    def build(task: str, user: int, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        del endpoint
        return Request(f"{task} {user} {ordinal} {dice.at('thing').token(8)}".encode(), task)

    source = Source(build)
    source.journey = JourneySpec("flow", 1.0, (1.0, 2.0), (Task("open"), Task("close", 5.0)), (7, 8), ordered=True)
    for make in (RequestFactory, TemplateFactory):
        user, other = (make(source, HERE, Dice(1)).user_requests(source.journey, one) for one in (7, 8))
        sent = [user.next(None, 10 + 4 * nth, 0.0, chance(nth)) for nth in range(6)]  # type: ignore[arg-type]
        words = [one.data.decode().split() for one in sent]
        assert [word[0] for word in words] == ["open", "close"] * 3
        assert [word[2] for word in words] == ["10", "14", "18", "22", "26", "30"]
        things = [word[3] for word in words]
        assert things[::2] == things[1::2]
        assert len(set(things)) == 3
        first = other.next(None, 11, 0.0, chance(0))  # type: ignore[arg-type]
        assert first.data.split()[0] == b"open"
        assert all(1.0 <= one.pause_s <= 2.0 for one in sent)
