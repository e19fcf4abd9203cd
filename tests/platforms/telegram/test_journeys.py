"""What virtual users do, and what they never do."""

import json
import re
from collections import Counter
from itertools import pairwise

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.errors import UnknownName
from chaosbot.core.platform import Endpoint
from chaosbot.platforms.telegram import Telegram

TELEGRAM = Telegram()
ENDPOINT = Endpoint("h", "/webhook/telegram", "s", started=1_800_000_000)
COMMANDS = set(TELEGRAM.commands)


def body(request):
    return json.loads(request.data.partition(b"\r\n\r\n")[2])


@pytest.fixture(scope="module")
def requests():
    """A run of 6000 requests, users and tasks drawn as the load driver draws them."""
    journeys = TELEGRAM.journeys()
    dice = Dice(7)
    made = []
    for ordinal in range(6000):
        place = dice.at(ordinal)
        journey = place.at("journey").weighted(journeys, [journey.share for journey in journeys])
        user = journey.users[place.at("user").integer(0, len(journey.users) - 1)]
        task = journey.draw(place.at("task"))
        made.append((journey, user, TELEGRAM.build(task.name, user, ordinal, place, ENDPOINT)))
    return made


def test_shares_waits_and_ids_are_those_of_the_population() -> None:
    shown = {j.name: (j.share, j.wait_s, j.users[0], j.users[-1]) for j in TELEGRAM.journeys()}
    assert shown == {
        "guest": (0.80, (1.0, 5.0), 1_000_000, 1_000_999),
        "user": (0.15, (2.0, 8.0), 2_000_000, 2_000_099),
        "developer": (0.04, (5.0, 15.0), 3_000_000, 3_000_009),
        "admin": (0.01, (10.0, 30.0), 999_999_999, 999_999_999),
        "mixed": (0.0, (1.0, 5.0), 1_000_000, 1_000_999),  # takes part only when asked for
    }


def test_whoever_may_more_also_does_what_those_below_may(requests) -> None:
    tasks = {journey.name: [task.name.partition("/")[2] for task in journey.tasks] for journey in TELEGRAM.journeys()}
    for lower, higher in pairwise(TELEGRAM.tiers):
        assert set(tasks[lower]) < set(tasks[higher])
    done = {(journey.name, request.facts.command) for journey, _, request in requests}
    assert {("user", "help"), ("developer", "task")} <= done


def test_complex_texts_ask_for_several_things_that_depend_on_each_other(requests) -> None:
    texts = [body(r)["message"]["text"] for _, _, r in requests if r.task.endswith("/complex")]
    assert len(texts) > 300
    assert all(re.match(r"First .+\. Then, .+; if that fails, .+ cbm[0-9a-f]{12}$", text) for text in texts)


def test_the_mixed_journey_is_ten_five_three_one() -> None:
    mixed = {journey.name: journey for journey in TELEGRAM.journeys()}["mixed"]
    assert [(task.name, task.weight) for task in mixed.tasks] == [
        ("mixed/chat", 10),
        ("mixed/look", 5),
        ("mixed/complex", 3),
        ("mixed/category", 1),
    ]


def test_every_command_medium_and_button_occurs(requests) -> None:
    commands = Counter(request.facts.command for _, _, request in requests)
    assert commands.keys() - {None} == COMMANDS
    updates = [body(request) for _, _, request in requests]
    messages = [update["message"] for update in updates if "message" in update]
    assert all(any(kind in message for message in messages) for kind in ("voice", "photo", "document", "text"))
    pressed = {update["callback_query"]["data"].rpartition(":")[0] for update in updates if "callback_query" in update}
    assert {"category", "skill", "improvement:approve", "improvement:reject"} <= pressed


def test_nobody_uses_a_command_above_their_tier(requests) -> None:
    rank = {tier: number for number, tier in enumerate(TELEGRAM.tiers)}
    for journey, _, request in requests:
        if request.facts.command:
            assert rank[TELEGRAM.commands[request.facts.command]] <= rank[journey.name]


def test_rights_are_granted_to_test_ids_only(requests) -> None:
    texts = [body(r)["message"]["text"] for _, _, r in requests if r.facts.command in ("grant", "revoke", "tier")]
    assert texts
    for text in texts:
        subject = re.match(r"/(?:grant|revoke|tier) (\d+)( user)? cbm[0-9a-f]{12}$", text)
        assert subject, text
        assert 2_000_000 <= int(subject[1]) <= 2_000_099


def test_delivery_ids_are_unique_and_rise(requests) -> None:
    ids = [request.facts.update_id for _, _, request in requests]
    assert ids == sorted(set(ids))


def test_markers_are_unique_and_in_the_text(requests) -> None:
    markers = [request.facts.marker for _, _, request in requests]
    assert None not in markers
    assert len(set(markers)) == len(markers)


def test_some_commands_are_asked_in_small_groups(requests) -> None:
    groups = {request.facts.command for _, user, request in requests if request.facts.chat == -user}
    assert groups <= {"help", "status", "skills", "translate", "summarize", "rewrite"}
    assert {"help", "status", "skills"} <= groups


def test_the_facts_are_those_of_the_bytes(requests) -> None:
    for _, user, request in requests[:300]:
        assert request.facts.user == user
        assert request.facts.chat in (user, -user), "a private chat, or the small group of its user"
        assert TELEGRAM.facts("POST", "/", (), request.data.partition(b"\r\n\r\n")[2]) == request.facts


def test_the_same_place_gives_the_same_bytes() -> None:
    again = [TELEGRAM.build("user/media", 2_000_001, 5, Dice(1).at("x"), ENDPOINT).data for _ in range(2)]
    assert again[0] == again[1]


def test_a_second_run_is_no_redelivery_of_the_first() -> None:
    ids = {
        TELEGRAM.build("guest/chat", 1_000_001, 5, Dice(1), Endpoint(started=started)).facts.update_id
        for started in (1_800_000_000, 1_800_000_060)
    }
    assert len(ids) == 2


def test_messages_carry_the_time_that_they_are_told() -> None:
    request = TELEGRAM.build("guest/chat", 1_000_001, 5, Dice(1), Endpoint(started=5, now=1_900_000_000))
    assert body(request)["message"]["date"] == 1_900_000_000


def test_weights_decide_how_often_a_task_is_drawn() -> None:
    guest = TELEGRAM.journeys()[0]
    drawn = Counter(guest.draw(Dice(3).at(number)).name for number in range(8000))
    total = sum(task.weight for task in guest.tasks)
    for task in guest.tasks:
        assert drawn[task.name] / 8000 == pytest.approx(task.weight / total, abs=0.02)


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(UnknownName, match="guest/chat"):
        TELEGRAM.build("guest/chta", 1_000_001, 1, Dice(1), ENDPOINT)
