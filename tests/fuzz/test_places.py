"""Data of buttons that were really shown, and arguments that usages ask for, changed one place at a time."""

from __future__ import annotations

import itertools
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pytest

from chaosbot.core.event import CaseTried
from chaosbot.fuzz.forms import odd_data
from chaosbot.fuzz.places import _changed
from chaosbot.fuzz.usages import usages
from chaosbot.platforms.telegram._users import ADMIN_ID
from tests.support.campaigns import call_api, campaign_behind_mock, said_in, updates_to

_ANSWERS = ("Canberra", "Sydney", "Perth")


class Quiz:
    """Asks, and shows answers by buttons of which only those of the newest round count; `bug` names what is wrong with it."""

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.rounds = itertools.count(1)
        self.running: dict[int, int] = {}
        self.broken: set[int] = set()

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None or said[0] in self.broken:
            return
        chat, _, text, pressed, _ = said
        if not pressed:
            if text == "/quiz":
                number = self.running[chat] = next(self.rounds)
                rows = [[{"text": answer, "callback_data": f"a:{number}:{nth}"}] for nth, answer in enumerate(_ANSWERS)]
                self.say(chat, f"Round {number}: the capital?", reply_markup={"inline_keyboard": rows})
            else:
                self.say(chat, "Welcome! /quiz begins a round, /top shows who leads.")
            return
        parts = text.split(":")
        if len(parts) != 3 or parts[1] != str(self.running.get(chat)) or not parts[2].isascii():
            self.say(chat, "This round is over.")
        elif self.bug == "index" and parts[2].isdigit() and int(parts[2]) >= len(_ANSWERS):
            self.broken.add(chat)  # the chat's lock is never given back
            raise IndexError(parts[2])
        elif parts[2] in ("0", "1", "2"):
            self.say(chat, f"You chose {_ANSWERS[int(parts[2])]}.")
        else:
            self.say(chat, "There is no such answer.")

    def say(self, chat: int, text: str, **more: object) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text, **more)


class Purse:
    """Keeps what people spent and mutes whom its admin names; `bug` names what is wrong with it. An error is only logged."""

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.spent: dict[int, list[Decimal]] = {}

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, _, _ = said
        command, *rest = text.split()[:20] or [""]
        if command == "/mute":
            if user != ADMIN_ID:
                self.say(chat, "Only moderators may do that.")
            elif self.bug == "mute" and len(rest) > 1 and rest[1].isdigit() and rest[1].isascii():
                self.say(chat, f"Silent until {time.gmtime(time.time() + 60 * int(rest[1])).tm_year}.")
            elif len(rest) > 1 and rest[0].isdigit() and rest[1] in map(str, range(1, 60)):
                self.say(chat, f"Silent for {rest[1]} minutes.")
            else:
                self.say(chat, "Usage: /mute <user id> <minutes, at most an hour>")
        elif command == "/spent":
            amount = self.amount(rest[0]) if len(rest) > 1 else None
            if amount is not None:
                self.spent.setdefault(chat, []).append(amount)
                self.say(chat, "Noted down.")
            else:
                self.say(chat, "Like this: /spent 12.50 pizza")
        elif command == "/balance":
            total = sum(self.spent.get(chat, []), Decimal(0))
            self.say(chat, f"You have spent {total.quantize(Decimal('0.01'))} so far.")
        else:
            more = " Moderators: /mute <user id> <minutes>" if user == ADMIN_ID else ""
            self.say(chat, f"I know /spent, /balance.{more}")

    def amount(self, text: str) -> Decimal | None:
        try:
            amount = Decimal(text)
        except InvalidOperation:
            return None
        return amount if self.bug == "amount" or (amount.is_finite() and 0 < amount < 10**6) else None

    def say(self, chat: int, text: str) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text)


class Crier:
    """Passes on what its admin announces to everybody, a moment after it has said so."""

    def __init__(self, api: str) -> None:
        self.api = api
        self.chats: list[int] = []
        self.announced: list[str] = []

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, _, _ = said
        if user != ADMIN_ID and chat not in self.chats:
            self.chats.append(chat)
        command, _, rest = text.partition(" ")
        if command == "/announce" and user == ADMIN_ID and rest:
            self.say(chat, "Will be told to everybody.")
            self.announced.append(rest)
            time.sleep(0.05)
            for other in self.chats[:20]:
                self.say(other, f"Announcement: {rest}")
        else:
            self.say(chat, "/time tells the time." + (" /announce <text> tells everybody." if user == ADMIN_ID else ""))

    def say(self, chat: int, text: str) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text)


def test_each_number_of_a_buttons_data_is_changed_by_itself() -> None:
    made = {data for data, _ in odd_data("a:17:1", ["a:17:0", "a:17:1", "a:17:2", "menu"]).values()}
    assert {"a:17:3", "a:17:1002", "a:17:-1", "a:17:", f"a:17:{10**30}", f"a:17:{2**63}", "a:18:1", "a::1"} <= made
    assert {"a:17", "a:17:1:1", "a::", "a:17:chaosbot"} <= made
    assert "a:17:1" not in made
    assert all(len(data.encode()) <= 64 for data in made)
    assert odd_data("menu", ["menu"]) == {}


def test_a_usage_is_changed_in_one_place_at_a_time() -> None:
    usage = usages("/mute", "/mute <user id> <minutes>")[0]
    made = [odd.text for odd in _changed(usage)]
    assert {"7 NaN", "NaN 7", f"7 {'9' * 29}", "7 -1", "7", "7 7 7"} <= set(made)
    assert len(made) == len(set(made)) + 1  # which of two sevens is left out makes no difference
    words = [odd.word for odd in _changed(usages("/add", "/add <name>")[0])]
    assert words.index("1-format") < words.index("1-nan")
    assert "99.99" in {odd.text for odd in _changed(usages("/spent", "/spent 12.50")[0])}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", ["", "index"])
def test_a_button_of_a_running_round_with_an_answer_that_there_is_not(tmp_path: Path, bug: str) -> None:
    take = lambda api: updates_to(Quiz(api, bug).update, first=True)  # noqa: E731 - one line
    result, events = campaign_behind_mock(tmp_path, take, "vocabulary,forms")
    assert any("data-2-next" in event.case for event in events if isinstance(event, CaseTried))
    told = {(finding.check, finding.cause.place) for finding in result.findings}
    assert told == ({("canary_answered", "form/data")} if bug else set())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", ["", "amount"])
def test_an_argument_after_which_its_sender_gets_no_answer_any_more(tmp_path: Path, bug: str) -> None:
    take = lambda api: updates_to(Purse(api, bug).update, first=True)  # noqa: E731 - one line
    result, events = campaign_behind_mock(tmp_path, take, "vocabulary,forms")
    assert any(event.case.startswith("argument/spent-1-") for event in events if isinstance(event, CaseTried))
    told = {(finding.check, finding.cause.place) for finding in result.findings}
    assert told == ({("canary_answered", "argument/spent")} if bug else set())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", ["", "mute"])
def test_an_argument_of_the_admins_own_command(tmp_path: Path, bug: str) -> None:
    take = lambda api: updates_to(Purse(api, bug).update, first=True)  # noqa: E731 - one line
    result, events = campaign_behind_mock(tmp_path, take, "vocabulary,arguments")
    assert any(event.case.startswith("argument/mute-admin-2-") for event in events if isinstance(event, CaseTried))
    told = {(finding.check, finding.cause.place) for finding in result.findings}
    assert told == ({("user_told", "argument/mute")} if bug else set())


class Shelf:
    """Shows everybody what was put on it last; `formats`: by a template that takes the braces of a name for its own."""

    def __init__(self, api: str, *, formats: bool) -> None:
        self.api, self.formats, self.items = api, formats, list[str]()

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None or said[3]:
            return
        chat, _, text, _, _ = said
        command, _, rest = text.partition(" ")
        if command == "/put" and rest:
            self.items.append(rest)
            self.say(chat, "Thank you, everybody can see that now.")
        elif command == "/shelf":
            shown = "\n".join(("On the shelf:", *self.items))
            self.say(chat, (shown.format() if self.formats else shown)[-3_000:])
        else:
            self.say(chat, "Usage: /put item. See /shelf for what there is.")

    def say(self, chat: int, text: str) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("formats", [False, True])
def test_what_somebody_has_said_spoils_a_list_for_everybody(tmp_path: Path, formats: bool) -> None:
    take = lambda api: updates_to(Shelf(api, formats=formats).update, first=True)  # noqa: E731 - one line
    result, events = campaign_behind_mock(tmp_path, take, "served,vocabulary,forms")
    asked = [event for event in events if isinstance(event, CaseTried) and event.case.startswith("served/still-")]
    told = {(finding.check, finding.cause.place) for finding in result.findings}
    assert bool(asked) is formats
    assert (("user_told", "still") in told) is formats


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_goes_to_everybody_is_not_said_with_every_argument(tmp_path: Path) -> None:
    criers: list[Crier] = []

    def take(api: str) -> type:
        criers.append(Crier(api))
        return updates_to(criers[0].update, first=True)

    _, events = campaign_behind_mock(tmp_path, take, "vocabulary,arguments")
    odd = [one.case for one in events if isinstance(one, CaseTried) and one.case.startswith("argument/announce-admin-")]
    assert len(odd) <= 4  # the first, and what was on its way when others were told
    assert criers[0].announced
