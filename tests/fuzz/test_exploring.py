"""What is learned from a target's words and buttons: examples of arguments and answers, and a button in place of one that is gone."""

from __future__ import annotations

from datetime import datetime

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled
from chaosbot.core.platform import Endpoint, platform_of
from chaosbot.fuzz.exploring import Way, _answers, _by_name, _examples, _filled, _further, at_hand
from chaosbot.fuzz.forms import _ends
from chaosbot.fuzz.making import candidates
from chaosbot.fuzz.mutations import as_case
from chaosbot.fuzz.numbered import Numbered
from chaosbot.fuzz.replies import ReplyWatch
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.usages import NUMBER, TEXT


@pytest.mark.parametrize(
    ("command", "text", "shown"),
    [
        ("poll", "/poll Question | Yes | No : a poll\n/mine : yours", ["Question | Yes | No", "Question"]),
        ("poll", "Like this: /poll Where to? | Pizza | Sushi", ["Where to? | Pizza | Sushi", "Where"]),
        ("spent", "Use /join, /spent 12.50, /balance", ["12.50"]),
        ("drop", "/drop 3 - give one up", ["3"]),
        ("new", "Like this: /new cat = gato – a card (or: cat = gato)", ["cat = gato", "cat"]),
        ("note", "Send /note <text> to save it.", ["green tea", "green"]),
        ("note", "You wrote /note cbm0123456789ab", []),
        ("other", "/note something", []),
    ],
)
def test_an_argument_is_what_a_text_shows_behind_a_command(command: str, text: str, shown: list[str]) -> None:
    assert _examples(command, text) == shown


@pytest.mark.parametrize(
    ("example", "filled"),
    [
        ("title | price | town", ["7 | price | town", "title | 7 | town", "title | price | 7"]),
        ("cat = gato", ["7 = gato", "cat = 7"]),
        ("id 30", ["7 30"]),
        ("word", []),
    ],
)
def test_one_field_after_the_other_may_have_to_be_a_number(example: str, filled: list[str]) -> None:
    assert list(_filled(example)) == filled


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Expense 8: 12,50 € for tea", ("8",)),
        ("at 10:30 on Monday", ()),
        ("Note #17 is saved", ("17",)),
        ("7 green tea", ()),
        ("Ticket to Ride [tickettoride2] is on the shelf", ("tickettoride2",)),
        ("Published: VKTQ, from Lima, asked by @ada_1234567", ("VKTQ",)),
        ("Booked W-7K2F for tomorrow", ("W-7K2F",)),
    ],
)
def test_what_names_a_thing(text: str, ids: tuple[str, ...]) -> None:
    steps = (Step("/add 7 green tea", ours=True),)
    assert Way(steps, (ApiCalled(1.0, "sendMessage", 1, text),)).ids == ids


def test_a_marked_number_names_a_thing_and_what_stands_in_the_pressed_button_does_not() -> None:
    steps = (Step("/menu"), Step("hour:1:2026-11-30:18", pressed=True))
    taken = (Step("/menu"), Step("hour:1:2026-12-05:20", pressed=True))
    told = ApiCalled(1.0, "sendMessage", 1, "Yours: #1 Cellar, 2026-12-05 20 Uhr.")
    assert Way(steps, (told,), taken=taken).ids == ("1",)


def test_what_was_said_in_an_answer_alone_may_be_a_thing() -> None:
    told = ApiCalled(1.0, "sendMessage", 1, "Note #17 is saved.")
    way = Way((Step("/note", ours=True),), (told,))
    assert candidates([], [way]) == [way]


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("When? For example: tomorrow 7:30, or 25/12 9h", ["tomorrow 7:30", "25/12 9h", "7:30", "25/12"]),
        ("Коли? (наприклад завтра 18:00)", ["наприклад завтра 18:00", "18:00"]),
        ("How many seats? From 1 to 6.", ["2"]),
        ("Which one: cat, dog?", ["cat", "dog"]),
        ("Which day? (DD.MM.YYYY)", []),
        ("E-mail? (if none -)", ["-", "if none -"]),
        ("Well - what is it called?", []),
        ("How much? Say 10 (/cancel to leave it)", ["10"]),
    ],
)
def test_what_a_question_shows_may_be_an_answer(text: str, answers: list[str]) -> None:
    assert _answers(text) == answers


def test_a_question_behind_a_command_is_answered_by_its_keys_and_in_words() -> None:
    asks = ApiCalled(1.0, "sendMessage", 1, "How many play green tea?", keys=("1-2", "3-4", "5+"))
    way = Way((Step("/donate green tea", ours=True),), (asks,))
    further = [step.text for step in _further(way, set(), "", None)]
    assert further[:3] == ["1-2", "3-4", "5+"]
    assert {"green tea", "7"} <= set(further)
    told = ApiCalled(1.0, "sendMessage", 1, "Thank you.")
    assert not list(_further(Way(way.steps, (told,)), set(), "", None)), "nothing is asked"


def test_a_thing_is_meant_by_the_name_that_its_maker_gave_it() -> None:
    steps = (Step("/adddog"), Step("green tea", ours=True))
    maker = Way(steps, (ApiCalled(1.0, "sendMessage", 1, "green is on our list."),))
    commands = [Step("/book"), Step("/prices")]
    meant = [way[-1].text for way in _by_name(maker, commands, "/book Rex tomorrow noon, /prices")]
    assert meant == ["/book green tomorrow noon", "/book Rex green noon"]
    nameless = Way(steps, (ApiCalled(1.0, "sendMessage", 1, "It is on our list."),))
    assert not list(_by_name(nameless, commands, "/book Rex tomorrow noon"))


@pytest.mark.parametrize(
    ("answered", "usual"),
    [({"say 125,4", TEXT, NUMBER}, "say 125,4"), ({TEXT, NUMBER}, TEXT), ({NUMBER}, NUMBER), (set(), "say 125,4")],
)
def test_what_is_usually_answered_is_what_gets_an_answer_a_date_first(answered: set[str], usual: str) -> None:
    reply = (ApiCalled(1.0, "sendMessage", 1, "Noted."),)
    said = (Step("say 125,4", ours=True, shown=True), Step(TEXT, ours=True), Step(NUMBER, ours=True))
    ways = [Way((Step("/meter"), step), reply if step.text in answered else ()) for step in said]
    (_, ((end, _),)) = _ends(ways)
    assert end.usual.text == usual


def test_who_is_told_nothing_tries_other_numbers_and_what_nobody_holds_is_given_back() -> None:
    seats, tables, given = frozenset({"sit", "down"}), Numbered(3, frozenset({"sit", "down"}), ends=True), []
    tables.ask(
        41, tables, set, lambda user, back: given.append((user, back))
    )  # the time was up before anything was said
    assert given == []
    tables.left_by(7, Step("/table 2", ours=True))
    tables.back = Step("/up")
    told = iter((set(), set(seats)))
    tables.ask(42, tables, lambda: next(told), lambda user, back: given.append((user, back)))
    assert given == [(7, Step("/up"))]
    assert tables.line(Step("/table 3", ours=True), 42, 1).text == "/table 2"


def test_a_button_that_is_gone_is_replaced_by_one_of_its_kind() -> None:
    shown = ("order:pay:12", "order:cancel:12", "order:cancel:13")
    assert at_hand(Step("order:cancel:7", pressed=True), shown, "", 4).text in {"order:cancel:12", "order:cancel:13"}
    assert at_hand(Step("order:pay:12", pressed=True), shown, "", 4).text == "order:pay:12"
    assert at_hand(Step("day:monday", pressed=True), ("day:friday",), "", 4).text == "day:friday"
    assert at_hand(Step("menu", pressed=True), shown, "", 4).text == "menu"
    assert at_hand(Step("order:cancel:7"), shown, "", 4).text == "order:cancel:7"


def test_a_shown_answer_that_is_gone_is_replaced_by_one_of_its_form() -> None:
    nine, told = Step("09:00", ours=True, shown=True), "Free: 09:30, 10:00. Which one?"
    assert at_hand(nine, (), told, 4).text == "09:30"
    assert at_hand(nine, (), told, 5).text == "10:00"
    assert at_hand(nine, (), f"09:00, {told}", 5).text == "09:00"
    assert at_hand(nine, (), f"09:00, {told}", 5, apart=True).text == "10:00"
    assert at_hand(nine, (), "Your name?", 5).text == "09:00"


def test_people_who_are_asked_for_a_day_take_different_ones_as_they_are_free() -> None:
    day = Step("30.11.2026", ours=True, shown=True)
    taken = {at_hand(day, (), "Which day? (DD.MM.YYYY)", choice).text for choice in range(70)}
    assert len(taken) == 7
    weekdays = {datetime.strptime(one, "%d.%m.%Y").weekday() for one in taken}  # noqa: DTZ007 - a day has no zone
    assert weekdays == set(range(5))
    assert at_hand(day, (), "Your name?", 5) == day


def test_a_command_that_is_shown_complete_is_written_as_it_is_shown_now() -> None:
    join, told = Step("/join 5da5364c", ours=True, shown=True), "Made. Others enter it with\n<code>/join X7KQ2P</code>"
    assert at_hand(join, (), told, 0).text == "/join X7KQ2P"
    assert at_hand(join, (), "You are in.", 0) == join
    assert at_hand(join, (), "/join <code> enters a group, /show 12 shows one.", 0) == join


def test_the_newest_calls_to_a_busy_chat_are_seen() -> None:
    calls = [ApiCalled(float(number), "sendMessage", 5, f"{number}") for number in range(2_000)]
    watch = ReplyWatch(lambda: calls, lambda: False)
    platform, dice = platform_of("telegram"), Dice(1)
    case = as_case(platform, Endpoint(), platform.say("hi", dice, user=5), dice, "busy", "somebody in a busy chat")
    replies = watch.replies(case)
    assert replies[-1].text == "1999"
    assert len(replies) < len(calls)
