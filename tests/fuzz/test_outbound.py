"""The outbound stage on real bots behind the real proxy: what hurts is found, and a bot that does it right has no finding."""

import json
import threading
import urllib.error
import urllib.request
from contextlib import nullcontext, suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from time import sleep
from types import SimpleNamespace

import pytest

from chaosbot.core.event import ApiCalled, Event, OutboundTried
from chaosbot.fuzz.exploring import Way
from chaosbot.fuzz.outbound import Trials
from chaosbot.fuzz.spec import CampaignResult, Clock
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.triggers import Trigger, _deeds
from chaosbot.fuzz.troubles import TROUBLES, troubles_of
from chaosbot.platforms.telegram._users import ADMIN_ID
from tests.support.campaigns import call_api, campaign_behind_mock, said_in, updates_to

METHODS = ("sendMessage", "answerCallbackQuery")


class Bot:
    """Acknowledges first and greets later, echoing nothing; how it copes with failed calls is given.

    Args:
        api: Base URL of its API.
        patient: Whether a failed call is made again, after as long as it is told to wait.
        follows: Whether it follows a group that moved.
        one_by_one: Whether all chats share one worker, which waits for each.
        asleep: Whether nobody is served while it waits as long as it was told to.
        fragile: Whether a call without an answer ends the service of its chat.
        stubborn: Whether what was refused for good is sent again, after longer and longer pauses.
        grudging: Whether who has blocked it once is never served again.
    """

    def __init__(
        self,
        api: str,
        *,
        patient: bool = True,
        follows: bool = True,
        one_by_one: bool = False,
        asleep: bool = False,
        fragile: bool = False,
        stubborn: bool = False,
        grudging: bool = False,
    ) -> None:
        self.api, self.patient, self.follows, self.one_by_one = api, patient, follows, one_by_one
        self.fragile, self.stubborn, self.grudging, self.gone = fragile, stubborn, grudging, set[int]()
        self.pauses = threading.Lock() if asleep else nullcontext()
        self.waiting: SimpleQueue[int] = SimpleQueue()
        if one_by_one:
            threading.Thread(target=self.work, daemon=True).start()

    def update(self, update: dict) -> None:
        message = update.get("message") or {}
        chat = (message.get("chat") or {}).get("id")
        if not isinstance(chat, int) or "text" not in message:
            return
        with self.pauses:
            pass
        if self.one_by_one:
            self.waiting.put(chat)
        else:
            threading.Thread(target=self.greet, args=(chat,), daemon=True).start()

    def work(self) -> None:
        while True:
            self.greet(self.waiting.get())

    def greet(self, chat: int) -> None:
        for number in range(4 if self.patient else 1):
            if chat in self.gone:
                return
            status, answer = self.call(chat)
            parameters = answer.get("parameters", {})
            if status == 200:
                return
            if self.follows and "migrate_to_chat_id" in parameters:
                chat = parameters["migrate_to_chat_id"]
            elif status in (400, 403):
                if status == 403 and self.grudging:
                    self.gone.add(chat)
                if not self.stubborn:
                    return
                sleep(0.6 * 2**number)
            elif "retry_after" in parameters:
                with self.pauses:
                    sleep(parameters["retry_after"])
            else:
                sleep(0.3)

    def call(self, chat: int) -> tuple[int, dict]:
        request = urllib.request.Request(
            f"{self.api}/bot1:token/sendMessage",
            json.dumps({"chat_id": chat, "text": "Bienvenido."}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            # What holds everybody up does so for longer than others are waited for; what is waited for so long in one chat harms nobody.
            with urllib.request.urlopen(request, timeout=5.0 if self.one_by_one else 2.0) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            try:
                return error.code, json.loads(error.read())
            except ValueError:
                return error.code, {}
        except (OSError, HTTPException, ValueError) as error:
            if self.fragile and isinstance(error, TimeoutError):
                self.gone.add(chat)
            return 0, {}


def webhook(bot: Bot) -> type[BaseHTTPRequestHandler]:
    class Webhook(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                update = json.loads(body)
            except ValueError:
                update = None
            if isinstance(update, dict):
                bot.update(update)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

    return Webhook


def campaign(tmp_path: Path, **how: bool) -> tuple[CampaignResult, list[Event]]:
    return campaign_behind_mock(tmp_path, lambda api: webhook(Bot(api, **how)), "outbound")


def found(result: CampaignResult) -> set[tuple[str, str]]:
    return {(finding.check, finding.cause.place) for finding in result.findings}


@pytest.mark.slow
def test_a_bot_that_copes_has_no_finding_and_every_trouble_was_tried(tmp_path: Path) -> None:
    result, events = campaign(tmp_path)
    assert found(result) == set()
    assert {event.trouble for event in events if isinstance(event, OutboundTried)} == {one.name for one in TROUBLES}


@pytest.mark.slow
def test_what_is_never_tried_again_is_lost(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, patient=False)
    lost = {place for check, place in found(result) if check == "acked_not_lost"}
    assert lost >= {"429", "502", "reset"}


@pytest.mark.slow
def test_a_group_that_moved_is_followed_or_not(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, follows=False)
    assert "migrate_followed" in {check for check, _ in found(result)}


@pytest.mark.slow
def test_one_worker_for_all_chats_holds_everybody_up(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, one_by_one=True)
    assert "no_hol_blocking" in {check for check, _ in found(result)}


@pytest.mark.slow
def test_a_pause_that_one_chat_must_make_is_everybodys(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, asleep=True)
    assert "no_hol_blocking" in {check for check, _ in found(result)}


@pytest.mark.slow
def test_a_chat_that_a_silent_call_has_ended_is_found_when_that_is_over(tmp_path: Path) -> None:
    result, events = campaign(tmp_path, fragile=True)
    assert ("recovers", "silence") in found(result)
    again = [one.again for one in events if isinstance(one, OutboundTried) and one.trouble == "silence"]
    assert again == [None, False]


@pytest.mark.slow
def test_who_lets_the_bot_write_again_is_served_again_or_not(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, grudging=True)
    assert [(one.check, one.title) for one in result.findings] == [
        ("recovers", "does not answer a chat any more after trouble with sendMessage (blocked)")
    ]


@pytest.mark.slow
def test_what_was_refused_for_good_and_comes_again_ever_later_is_waited_for(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, stubborn=True)
    assert "no_retry_storm" in {check for check, _ in found(result)}


class Board:
    """Greets; what its admin announces goes to everybody whom it knows.

    Args:
        api: Base URL of its API.
        ends: Whether it ends at the first whom it cannot write to.
    """

    def __init__(self, api: str, *, ends: bool) -> None:
        self.api, self.ends, self.known = api, ends, dict[int, None]()

    def update(self, update: dict) -> None:
        said = said_in(update)
        if said is None:
            return
        chat, user, text, _, _ = said
        command, _, rest = text.partition(" ")
        if user == ADMIN_ID and command == "/announce":
            self.say(chat, "It is on its way.")
            for one in list(self.known):
                if not self.say(one, rest or "Nothing new.") and self.ends:
                    return
        else:
            self.say(chat, "/announce tells all." if user == ADMIN_ID else "Welcome.")
            if user == chat != ADMIN_ID:
                self.known.setdefault(chat)

    def say(self, chat: int, text: str) -> bool:
        try:
            call_api(self.api, "sendMessage", chat_id=chat, text=text)
        except urllib.error.HTTPError as error:
            return error.code != 403
        except (OSError, HTTPException, ValueError):
            return True
        return True


@pytest.mark.slow
@pytest.mark.parametrize("ends", [False, True])
def test_a_message_to_many_that_ends_at_the_first_who_blocked_the_bot(tmp_path: Path, ends: bool) -> None:
    result, events = campaign_behind_mock(
        tmp_path, lambda api: updates_to(Board(api, ends=ends).update, first=True), "outbound"
    )
    rests = [one.rest for one in events if isinstance(one, OutboundTried) and one.rest is not None]
    assert rests
    assert all(rests) is not ends
    assert ("user_told" in {check for check, _ in found(result)}) is ends


class Shelf:
    """Lends what people have put there; its owner is told, and `floats`: where that fails, nothing is said to who takes it."""

    def __init__(self, api: str, *, floats: bool) -> None:
        self.api, self.floats, self.owners, self.numbers = api, floats, dict[str, int](), count(300)

    def update(self, update: dict) -> None:
        said = said_in(update)
        if said is None:
            return
        chat, user, text, _, _ = said
        command, _, rest = text.partition(" ")
        if command == "/put" and rest:
            self.owners[name := f"K{next(self.numbers)}"] = user
            self.say(chat, f"It lies on the shelf as {name}.")
        elif command == "/take" and rest in self.owners:
            told = self.say(self.owners.pop(rest), "Somebody has taken what you put on the shelf.")
            if told or not self.floats:
                self.say(chat, "Bring it back on Sunday.")
        else:
            self.say(chat, "Usage: /put what\nUsage: /take code")

    def say(self, chat: int, text: str) -> bool:
        with suppress(OSError, HTTPException, ValueError):
            call_api(self.api, "sendMessage", chat_id=chat, text=text)
            return True
        return False


@pytest.mark.slow
@pytest.mark.parametrize("floats", [False, True])
def test_the_owner_of_a_thing_who_is_told_what_others_do_with_it_has_blocked_the_bot(
    tmp_path: Path, floats: bool
) -> None:
    take = lambda api: updates_to(Shelf(api, floats=floats).update, first=True)  # noqa: E731 - one line
    result, events = campaign_behind_mock(tmp_path, take, "vocabulary,outbound")
    notices = [one for one in events if isinstance(one, OutboundTried) and "-to-owner" in one.case]
    blocked = [one.answered for one in notices if one.trouble == "blocked"]
    assert blocked
    assert all(blocked) is not floats
    assert ("user_told" in {check for check, _ in found(result)}) is floats


class Shop:
    """Takes orders; `locked`: one at a time, until the customer has been told."""

    def __init__(self, api: str, *, locked: bool) -> None:
        self.api, self.ordering, self.orders = api, threading.Lock() if locked else nullcontext(), count(1)

    def update(self, update: dict) -> None:
        said = said_in(update)
        if said is None:
            return
        chat, _, text, _, _ = said
        if text.startswith("/order "):
            with self.ordering:
                self.say(chat, f"Order {next(self.orders)} is taken.")
        else:
            self.say(chat, "Usage: /order item")

    def say(self, chat: int, text: str) -> None:
        with suppress(OSError, HTTPException, ValueError):
            call_api(self.api, "sendMessage", chat_id=chat, text=text)


@pytest.mark.slow
@pytest.mark.parametrize("locked", [False, True])
def test_who_does_the_same_as_somebody_whose_call_gets_no_answer_is_answered(tmp_path: Path, locked: bool) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: updates_to(Shop(api, locked=locked).update), "outbound")
    others = {one.case: one.others for one in events if isinstance(one, OutboundTried) and one.others is not None}
    alike = [well for case, well in others.items() if "-alike-/order" in case]
    assert alike
    assert all(alike) is not locked
    assert ("no_hol_blocking" in {check for check, _ in found(result)}) is locked


def test_who_is_told_of_something_and_has_blocked_the_bot_is_the_first_trouble_of_a_notice() -> None:
    own, notice = (list(troubles_of("sendMessage", notice=to)) for to in (False, True))
    assert (own[0].name, notice[0].name) == ("silence", "blocked")
    assert {one.name for one in own} - {one.name for one in notice} == {"migrated"}


def test_a_text_is_no_deed_as_all_say_one_beside_each_trial() -> None:
    told = (ApiCalled(1.0, "sendMessage", 1, "Taken."),)
    ways = [Way((Step(text, ours=True),), told) for text in ("green tea", "/order tea")]
    assert [one.alike for one in _deeds(ways, ways)] == ["/order …"]


def test_half_an_answer_beside_a_reply_may_hold_that_up_as_long_as_clients_wait() -> None:
    cut = {method: next(one for one in troubles_of(method) if one.name == "cut") for method in METHODS}
    assert cut["answerCallbackQuery"].lossless
    assert cut["answerCallbackQuery"].wait_s >= 10.0
    assert cut["sendMessage"].wait_s == 0.0


def test_a_trial_whose_turn_in_a_chat_comes_after_the_time_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = object.__new__(Trials)
    trials.clock, trials.in_groups, trials.desk, trials._mute = Clock(0.0, lambda: False), None, None, set()
    trials.context = SimpleNamespace(shared=SimpleNamespace(alone=lambda _: nullcontext()))  # type: ignore[assignment]
    monkeypatch.setattr(Trials, "_attempt", lambda *_: pytest.fail("it was begun"))
    trouble = next(one for one in TROUBLES if not one.group)
    assert trials._trial(Trigger("sendMessage", (Step("/post"),), to=777), trouble) is False
