"""How the platform delivers and redelivers."""

from itertools import pairwise

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import DAY_S, DeliveryRules, JourneySpec, Task
from chaosbot.core.platform import PLATFORMS
from chaosbot.platforms.telegram import Telegram

RULES = Telegram().delivery()


def test_the_first_retry_comes_at_once_and_then_pauses_double() -> None:
    pauses = [RULES.pause_s(failures, Dice(1)) for failures in range(1, 6)]
    assert pauses == [0.0, 2.0, 4.0, 8.0, 16.0]


def test_pauses_are_capped_at_random_between_one_and_two_minutes() -> None:
    caps = [RULES.pause_s(30, Dice(seed)) for seed in range(300)]
    assert all(60 <= cap <= 120 for cap in caps)
    assert max(caps) - min(caps) > 50
    assert RULES.pause_s(10_000, Dice(1)) <= 120


def test_pauses_never_shrink_below_the_cap_s_low_end() -> None:
    pauses = [RULES.pause_s(failures, Dice(4)) for failures in range(1, 12)]
    assert all(later >= min(earlier, 60) for earlier, later in pairwise(pauses))


@pytest.mark.parametrize(
    ("failures", "said", "pause"), [(1, 7.0, 7.0), (4, 1.0, 8.0), (1, 99_999.0, 3600.0), (2, 0.0, 2.0), (2, -5.0, 2.0)]
)
def test_retry_after_is_honoured_up_to_an_hour(failures, said, pause) -> None:
    assert RULES.pause_s(failures, Dice(1), said) == pause


def test_nothing_is_retried_that_did_not_fail() -> None:
    with pytest.raises(ValueError, match="nothing failed"):
        RULES.pause_s(0, Dice(1))


def test_queries_expire_sooner_than_messages() -> None:
    assert [RULES.lifetime_s(kind) for kind in ("message", "callback_query", "pre_checkout_query", None)] == [
        86_400.0,
        150.0,
        150.0,
        86_400.0,
    ]
    assert RULES.expired("callback_query", 150.0)
    assert not RULES.expired("message", 150.0)


@pytest.mark.parametrize(("name", "days"), [("whatsapp", 7), ("messenger", 1.5), ("stripe", 3), ("telegram", 1)])
def test_each_platform_tries_as_long_as_its_sender_does(name: str, days: float) -> None:
    assert PLATFORMS.build(name, {}).delivery().lifetime_s("message") == days * DAY_S


def test_any_2xx_acknowledges_and_410_closes() -> None:
    assert [status for status in (None, 200, 204, 299, 301, 400, 500) if RULES.acknowledged(status)] == [200, 204, 299]
    assert RULES.closes(410)
    assert not RULES.closes(404)


def test_there_is_one_queue_per_chat_and_per_user_for_presses() -> None:
    queue = Telegram().queue
    message = UpdateFacts(kind="message", chat=5, user=1)
    other = UpdateFacts(kind="edited_message", chat=5, user=2)
    press = UpdateFacts(kind="callback_query", chat=5, user=1)
    assert queue(message) == queue(other) != queue(press)
    assert queue(press) == queue(UpdateFacts(kind="callback_query", chat=6, user=1))
    assert queue(UpdateFacts(kind="poll")) != queue(UpdateFacts(kind="poll_answer", user=3))


def test_connections_and_patience() -> None:
    assert (RULES.connections, RULES.answer_wait_s) == (40, 60.0)
    assert DeliveryRules().final_statuses == frozenset()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wait_s": (5.0, 1.0)}, "waits"),
        ({"wait_s": (-1.0, 1.0)}, "waits"),
        ({"users": ()}, "no users"),
        ({"tasks": ()}, "weight"),
        ({"share": -0.1}, "share"),
    ],
)
def test_a_journey_that_nobody_could_perform_is_refused(change, words) -> None:
    values = {"name": "x", "share": 1.0, "wait_s": (1.0, 2.0), "tasks": (Task("a"),), "users": (1,)} | change
    with pytest.raises(ValueError, match=words):
        JourneySpec(**values)
