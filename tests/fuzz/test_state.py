"""The state stage on a real bot behind the real proxy: each way to remember wrongly is found, and a bot that remembers rightly has no finding."""

import itertools
import re
import threading
from collections import Counter
from contextlib import nullcontext, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import sleep
from urllib.error import HTTPError

import pytest

from chaosbot.core.event import Event, Noted, StateTried
from chaosbot.fuzz.spec import CampaignResult
from chaosbot.platforms.telegram._users import ADMIN_ID
from tests.support.campaigns import call_api, campaign_behind_mock, said_in, updates_to

USAGE = "Użyj: /dopisz tekst, /punkt, /los"


class Bot:
    """Numbers notes for everybody, counts points for each user, gives two lots to each; echoes nothing.

    Args:
        api: Base URL of its API.
        bug: What it does wrong; nothing when empty.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.locks: dict[int, threading.Lock] = {}
        self.guard = threading.RLock()
        self.numbers = itertools.count(41)
        self.last = 40
        self.points: Counter[int] = Counter()
        self.lots: Counter[int] = Counter()
        self.asked: set[object] = set()
        self.chat = 0

    def update(self, update: dict) -> None:
        message = update.get("message") or (update.get("edited_message") if self.bug == "edits" else None) or {}
        chat, user = (message.get("chat") or {}).get("id"), (message.get("from") or {}).get("id")
        if not isinstance(chat, int) or not isinstance(user, int) or not isinstance(message.get("text"), str):
            return
        self.chat = chat
        if self.bug == "disorder":
            threading.Thread(target=self.answer, args=(chat, user, message["text"]), daemon=True).start()
            sleep(0.01)
        elif self.bug in {"notes", "points", "lots", "elsewhere"}:
            self.answer(chat, user, message["text"])
        else:
            with self.guard:
                lock = self.locks.setdefault(chat, threading.Lock())
            with lock:
                self.answer(chat, user, message["text"])

    def answer(self, chat: int, user: int, text: str) -> None:
        command, _, rest = text.partition(" ")
        key = {"asked": (0, 0), "asked-in-group": (chat, chat), "asked-anywhere": (user, user)}.get(
            self.bug, (chat, user)
        )
        if command == "/dopisz" and rest:
            self.say(chat, f"Zapisano pod numerem {self.note()}.")
        elif command == "/dopisz":
            self.asked.add(key)
            self.say(chat, "Co dopisać?")
        elif command == "/punkt":
            before = self.points[user]
            self.pause("points")
            self.points[user] = before + 1
            self.say(chat, f"Masz {self.points[user]} p.")
        elif command == "/los":
            given = self.lots[user]
            self.pause("lots")
            self.lots[user] = given + 1
            self.say(chat, "Wylosowano." if given < 2 else "Na dziś dość.")
        elif key in self.asked and not text.startswith("/"):
            self.asked.discard(key)
            self.say(chat, f"Zapisano pod numerem {self.note()}.")
        elif chat > 0:
            self.say(chat, USAGE)

    def note(self) -> int:
        if self.bug != "notes":
            return next(self.numbers)
        number = self.last + 1
        self.pause("notes")
        self.last = number
        return number

    def pause(self, bug: str) -> None:
        if self.bug == bug:
            sleep(0.1)

    def say(self, chat: int, text: str) -> None:
        if self.bug == "elsewhere":
            sleep(0.05)
            chat = self.chat
        call_api(self.api, "sendMessage", chat_id=chat, text=text)


class Desk:
    """Passes on to its admin what users write, and the admin's answers back to them.

    Args:
        api: Base URL of its API.
        bug: ``last`` where the answer goes to who wrote last; ``unquoted`` where one that quotes nothing does, on purpose.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.wrote: dict[int, int] = {}
        self.last = 0

    def update(self, update: dict) -> None:
        message = update.get("message") or {}
        chat, text = (message.get("chat") or {}).get("id"), message.get("text")
        if not isinstance(chat, int) or not isinstance(text, str):
            return
        if chat != ADMIN_ID:
            self.last = chat
            self.say(chat, "Przekazano.")
            self.wrote[self.say(ADMIN_ID, f"Ktoś pisze: {text[:300]}")] = chat
            return
        quoted = (message.get("reply_to_message") or {}).get("message_id")
        to = self.wrote.get(quoted, self.last if self.bug == "unquoted" else 0)
        if to:
            self.say(self.last if self.bug == "last" else to, f"Odpowiedź: {text[:300]}")

    def say(self, chat: int, text: str) -> int:
        return call_api(self.api, "sendMessage", chat_id=chat, text=text)["message_id"]


class Club:
    """Gives away evenings of which there is one each, and counts a group's votes.

    Args:
        api: Base URL of its API.
        bug: ``evenings`` where two get one, ``votes`` where some do not count.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.lock = threading.Lock()
        self.taken: set[str] = set()
        self.votes: dict[object, set[int]] = {}

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, pressed, message = said
        if text == "/wieczory":
            free = [f"wieczor:{day}" for day in range(1, 60) if f"wieczor:{day}" not in self.taken]
            self.call("sendMessage", chat_id=chat, text="Który wieczór?", reply_markup=keys(free[:12]))
        elif text == "/glosuj" and chat < 0:
            self.call("sendMessage", chat_id=chat, text="Idziemy? Na razie 0.", reply_markup=keys(["tak"]))
        elif pressed and text.startswith("wieczor:"):
            self.call("answerCallbackQuery", callback_query_id=pressed["id"])
            self.call("sendMessage", chat_id=chat, text="Zapisano." if self.takes(text) else "Już zajęte, niestety.")
        elif pressed and text == "tak" and chat < 0:
            count = self.vote((chat, message.get("message_id")), user)
            words = {"text": f"Idziemy? Na razie {count}.", "reply_markup": keys(["tak"])}
            with suppress(HTTPError):  # it may say that already
                self.call("editMessageText", chat_id=chat, message_id=message.get("message_id"), **words)
        elif chat > 0:
            self.call("sendMessage", chat_id=chat, text="Użyj: /wieczory, w grupie /glosuj")

    def takes(self, evening: str) -> bool:
        with nullcontext() if self.bug == "evenings" else self.lock:
            free = evening not in self.taken
            sleep(0.05 if self.bug == "evenings" else 0)
            self.taken.add(evening)
            return free

    def vote(self, place: object, user: int) -> int:
        with nullcontext() if self.bug == "votes" else self.lock:
            votes = set(self.votes.get(place, ()))
            sleep(0.05 if self.bug == "votes" else 0)
            self.votes[place] = votes | {user}
            return len(self.votes[place])

    def call(self, method: str, **parameters: object) -> None:
        call_api(self.api, method, **parameters)


class Rota:
    """Its admin plans shifts with so many places, and people take them by their number.

    Args:
        api: Base URL of its API.
        bug: ``places`` where what is asked for meanwhile is let through as well.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.lock = threading.Lock()
        self.free: list[int] = []

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, _, _ = said
        admin = user == ADMIN_ID
        match text.split():
            case ["/plan", places, *_] if admin and places.isdecimal():
                self.free.append(int(places[:3]))
                answer = f"Zmiana numer {len(self.free)} jest w planie."
            case ["/plan", *_] if admin:
                answer = "Tak: /plan 2 recepcja"
            case ["/biore", number, *_] if number.isdecimal() and 0 < int(number[:9]) <= len(self.free):
                answer = "Zapisano, do zobaczenia." if self.takes(int(number) - 1) else "Brak wolnych miejsc."
            case ["/biore", *_]:
                answer = "Nie ma takiej zmiany: /biore <numer>"
            case _:
                answer = f"Polecenia: /biore <numer>, /pomoc{', /plan <miejsca> <nazwa>' if admin else ''}"
        call_api(self.api, "sendMessage", chat_id=chat, text=answer)

    def takes(self, shift: int) -> bool:
        with nullcontext() if self.bug == "places" else self.lock:
            free = self.free[shift]
            sleep(0.05 if self.bug == "places" else 0)
            self.free[shift] = max(0, free - 1)
            return free > 0


class Clerk:
    """Takes down what people want and books it when they confirm by a button.

    Args:
        api: Base URL of its API.
        bug: ``draft`` where what was confirmed may be confirmed again.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.drafts: dict[int, str] = {}
        self.numbers = itertools.count(401)

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, pressed, _ = said
        more: dict = {}
        if pressed and text == "tak" and self.drafts.get(user):
            answer = f"Wpis numer {next(self.numbers)}: {self.drafts[user][:40]}."
            self.drafts.pop(user) if self.bug != "draft" else None
        elif pressed:
            answer = "Nie ma czego potwierdzić."
        elif text == "/wpis":
            self.drafts[user], answer = "", "Co mam wpisać?"
        elif self.drafts.get(user) == "" and not text.startswith("/"):
            self.drafts[user], answer = text, f"Wpisać: {text[:40]}?"
            more = {"reply_markup": keys(["tak"])}
        else:
            answer = "Użyj: /wpis"
        call_api(self.api, "sendMessage", chat_id=chat, text=answer, **more)


class Judge:
    """Its admin warns members in groups, in answer to them; each warning is counted, for a group by itself.

    Args:
        api: Base URL of its API.
        bug: ``warnings`` where two warnings at once count as one.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.lock = threading.Lock()
        self.warnings: Counter[tuple[int, int]] = Counter()

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, _, message = said
        member = ((message.get("reply_to_message") or {}).get("from") or {}).get("id")
        if text != "/ostrzez" or user != ADMIN_ID:
            more = ", /ostrzez" if user == ADMIN_ID else ""
            self.say(chat, f"Użyj: /zasady{more}" if chat > 0 else "Spokojnie.")
        elif member is None:
            self.say(chat, "Odpowiedz na wiadomość.")
        else:
            with nullcontext() if self.bug else self.lock:
                count = self.warnings[chat, member] + 1
                call_api(self.api, "sendChatAction", chat_id=chat, action="typing")
                self.warnings[chat, member] = count
            self.say(chat, f"Ostrzeżenie, razem {count}.")

    def say(self, chat: int, text: str) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text)


class Pantry:
    """Keeps what users put there, each their own; its admin issues vouchers and decides what is put on show.

    Args:
        api: Base URL of its API.
        bug: ``gone`` where of things put there at once some are lost, ``newest`` where the last one of all is everybody's last,
            ``again`` where a delivery that comes twice counts twice, ``voucher`` and ``shown`` where two at once both pass.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.lock = threading.Lock()
        self.seen: set[object] = set()
        self.kept: dict[int, list[str]] = {}
        self.vouchers: set[str] = set()
        self.used: set[object] = set()
        self.decided: set[str] = set()

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, pressed, _ = said
        with self.lock:
            if update["update_id"] in self.seen and self.bug != "again":
                return
            self.seen.add(update["update_id"])
        command, _, rest = text.partition(" ")
        if command == "/schowaj" and rest:
            self.keep(chat, rest)
        elif command == "/spis":
            self.say(chat, "Masz: " + (", ".join(self.kept.get(chat, [])) or "nic"))
        elif command == "/ostatnie":
            last = (
                [one for mine in self.kept.values() for one in mine]
                if self.bug == "newest"
                else self.kept.get(chat, [])
            )
            self.say(chat, f"Ostatnie: {last[-1]}." if last else "Pusto.")
        elif command == "/bon" and rest and user == ADMIN_ID:
            self.vouchers.add(rest.upper())
            self.say(chat, f"Bon {rest} wydany.")
        elif command == "/odbierz" and rest.upper() in self.vouchers:
            self.say(chat, "Odebrano." if self.first(("bon", rest, user), "voucher", chat) else "Już odebrane.")
        elif command == "/odbierz":
            self.say(chat, "Nie ma takiego bonu.")
        elif pressed and user == ADMIN_ID and text.startswith("pokaz:"):
            first = self.first(text, "shown", chat)
            call_api(
                self.api,
                "answerCallbackQuery",
                callback_query_id=pressed["id"],
                text="Pokazane." if first else "Już było.",
            )
        else:
            more = ", /bon KOD" if user == ADMIN_ID else ""
            self.say(chat, f"Użyj: /schowaj herbata zielona, /spis, /ostatnie, /odbierz KOD{more}")

    def keep(self, chat: int, what: str) -> None:
        with nullcontext() if self.bug == "gone" else self.lock:
            mine = list(self.kept.get(chat, []))
            if self.bug == "gone":
                call_api(self.api, "sendChatAction", chat_id=chat, action="typing")
            self.kept[chat] = [*mine, what]
        self.say(chat, "Schowano.")
        if chat > 0:
            show = keys([f"pokaz:{abs(hash((chat, what))) % 10**9}"])
            call_api(self.api, "sendMessage", chat_id=ADMIN_ID, text=f"Nowe: {what}", reply_markup=show)

    def first(self, what: object, bug: str, chat: int) -> bool:
        with nullcontext() if self.bug == bug else self.lock:
            new = what not in self.used
            if self.bug == bug:
                call_api(self.api, "sendChatAction", chat_id=chat, action="typing")
            self.used.add(what)
            return new

    def say(self, chat: int, text: str) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text)


class Sale:
    """Its admin issues codes for a price that is lower so many times; each user may use each code once.

    Args:
        api: Base URL of its API.
        bug: ``left`` where of two who use one at once only one counts.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.lock = threading.Lock()
        self.left: dict[str, int] = {}
        self.used: set[tuple[str, int]] = set()

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, _, _ = said
        command, *rest = text.split()
        code = rest[0].upper() if rest else ""
        if command == "/akcja" and user == ADMIN_ID and len(rest) == 3 and rest[1].isdigit() and rest[2].isdigit():
            self.left[code] = int(rest[2][:4])
            self.say(chat, f"Kod {code} działa.")
        elif command == "/rabat" and code in self.left:
            self.use(chat, user, code)
        elif command == "/rabat":
            self.say(chat, "Nie ma takiego kodu, na przykład /rabat LATO15")
        else:
            more = ", /akcja LATO15 15 40" if user == ADMIN_ID else ""
            self.say(chat, f"Użyj: /rabat LATO15{more}")

    def use(self, chat: int, user: int, code: str) -> None:
        with nullcontext() if self.bug == "left" else self.lock:
            if (code, user) in self.used or self.left[code] < 1:
                self.say(chat, "Już użyto, albo się skończył.")
                return
            self.used.add((code, user))
            left = self.left[code]
            if self.bug == "left":
                call_api(self.api, "sendChatAction", chat_id=chat, action="typing")
            self.left[code] = left - 1
        self.say(chat, f"Rabat jest Twój, zostało {self.left[code]}.")

    def say(self, chat: int, text: str) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text)


class Bank:
    """People who have said hello give each other points, put lots up for sale that everybody sees, and bid for them.

    Args:
        api: Base URL of its API.
        bug: ``credit`` where of two gifts at once one is lost, ``minus`` where a negative gift takes, ``bids`` where of bids at once some are lost, ``again``
            where what is delivered again is done again, ``notices`` where that one is told once more to whom it was given.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.lock = threading.Lock()
        self.seen: set[object] = set()
        self.points: dict[int, int] = {}
        self.lots: dict[int, tuple[int, list[str]]] = {}

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, _, _ = said
        command, *rest = text.split()
        with self.lock:
            again = update["update_id"] in self.seen
            self.seen.add(update["update_id"])
            self.points.setdefault(user, 100)
        if again and self.bug != "again":
            if self.bug == "notices" and command == "/daj" and len(rest) == 2 and rest[0].isdigit():
                self.say(int(rest[0]), "Masz prezent!")
            return
        lot = self.lots.get(int(rest[0])) if rest and rest[0].isascii() and rest[0].isdigit() else None
        if command == "/daj" and len(rest) == 2 and rest[0].isdigit() and int(rest[0]) in self.points:
            self.give(chat, user, int(rest[0]), rest[1])
        elif command == "/saldo":
            self.say(chat, f"Masz {self.points[user]} punktów.")
        elif command == "/wystaw" and rest:
            with self.lock:
                number = 500 + len(self.lots)
                self.lots[number] = user, []
            self.say(chat, f"Wystawiono nr {number}.")
        elif command == "/pokaz" and lot:
            self.say(chat, f"Nr {rest[0]}, oferty: {', '.join(lot[1]) or 'brak'}.")
        elif command == "/oferta" and lot and len(rest) == 2:
            self.bid(chat, lot, rest[1])
        else:
            self.say(chat, "Użyj: /saldo, /daj OSOBA PUNKTY, /wystaw herbata zielona, /pokaz NR, /oferta NR KWOTA")

    def give(self, chat: int, user: int, person: int, amount: str) -> None:
        sign = "-" if self.bug == "minus" else ""
        if not amount.lstrip(sign).isdigit() or user == person or len(amount) > 6:
            self.say(chat, "Podaj liczbę.")
            return
        with nullcontext() if self.bug == "credit" else self.lock:
            before = self.points[person]
            if self.bug == "credit":
                call_api(self.api, "sendChatAction", chat_id=person, action="typing")
            self.points[person] = before + int(amount)
            self.points[user] -= int(amount)
        self.say(person, "Masz prezent!")
        self.say(chat, "Dano.")

    def bid(self, chat: int, lot: tuple[int, list[str]], amount: str) -> None:
        with nullcontext() if self.bug == "bids" else self.lock:
            bids = list(lot[1])
            if self.bug == "bids":
                call_api(self.api, "sendChatAction", chat_id=lot[0], action="typing")
            lot[1][:] = [*bids, amount]
        self.say(chat, "Przyjęto.")

    def say(self, chat: int, text: str) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text)


class Kitty:
    """Kitties that friends share: who opens one is told a code, others get in with it, and what anybody pays is added to its sum.

    Args:
        api: Base URL of its API.
        bug: ``sum`` where of two payments at once one is not added.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.lock = threading.Lock()
        self.codes: dict[str, int] = {}
        self.within: dict[int, int] = {}
        self.sums: Counter[int] = Counter()

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, _, _ = said
        kitty = self.within.get(user)
        match text.split():
            case ["/open", *name] if name:
                with self.lock:
                    kitty = len(self.codes) + 1
                    self.codes[code := f"k{kitty * 7919:06}q"] = kitty
                    self.within[user] = kitty
                answer = f"It is open. Your friends write /enter {code}"
            case ["/enter", code]:
                if code in self.codes:
                    self.within[user] = self.codes[code]
                answer = "You are in." if code in self.codes else "There is no such kitty."
            case ["/pay", amount] if kitty and amount.isdecimal() and 0 < len(amount) < 6:
                with nullcontext() if self.bug else self.lock:
                    held = self.sums[kitty]
                    call_api(self.api, "sendChatAction", chat_id=chat, action="typing")
                    self.sums[kitty] = held + int(amount)
                answer = "Thank you, it is in."
            case ["/pay", *_]:
                answer = "Use: /pay 20" if kitty else "You are in no kitty."
            case ["/sum"]:
                answer = f"There are {self.sums[kitty]} euros in it." if kitty else "You are in no kitty."
            case _:
                answer = "Use: /open NAME, /enter CODE, /pay 20, /sum"
        call_api(self.api, "sendMessage", chat_id=chat, text=answer)


class Rides:
    """Rides that people offer under drawn names; who else looks at one is shown a button to take its only place.

    Args:
        api: Base URL of its API.
        bug: ``place`` where the driver is told before the place is taken, so that several may have it at once.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.lock = threading.Lock()
        self.rides: dict[str, tuple[int, list[int]]] = {}

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, pressed, _ = said
        command, _, rest = text.partition(" ")
        buttons: list[str] = []
        if pressed and text.startswith(("place:", "take:")):
            answer = self.take(user, text.partition(":")[2])
        elif command == "/offer" and rest:
            with self.lock:
                name = "".join(chr(ord("G") + int(digit)) for digit in f"{7919 * (len(self.rides) + 1) % 100_000:05}")
                self.rides[name] = user, []
            answer, buttons = f"Offered as {name}.", [f"cancel:{name}"]
        elif command == "/ride" and rest in self.rides:
            driver, _ = self.rides[rest]
            answer, buttons = f"{rest}: a ride by {driver}.", [f"{'cancel' if driver == user else 'place'}:{rest}"]
        elif command == "/ride":
            answer = "There is no such ride."
        elif text == "/rides":
            free = [name for name, (_, people) in list(self.rides.items())[-3:] if not people]
            answer, buttons = (
                "Rides with a place." if free else "Nobody goes anywhere.",
                [f"take:{name}" for name in free],
            )
        else:
            answer = "Use: /offer WHERE TO, /ride NAME, /rides"
        call_api(self.api, "sendMessage", chat_id=chat, text=answer, reply_markup=keys(buttons))

    def take(self, user: int, name: str) -> str:
        driver, people = self.rides.get(name, (0, [0]))
        with nullcontext() if self.bug else self.lock:
            if people:
                return "It is full."
            if self.bug:
                call_api(self.api, "sendMessage", chat_id=driver, text="Somebody rides with you.")
            people.append(user)
        return f"Your place in {name} is kept."


def keys(data: list[str]) -> dict:
    return {"inline_keyboard": [[{"text": one, "callback_data": one}] for one in data]}


def webhook(bot: Bot | Desk | Club | Judge | Pantry | Bank) -> type[BaseHTTPRequestHandler]:
    return updates_to(bot.update, first=bot.bug == "disorder")


def campaign(tmp_path: Path, bug: str) -> tuple[CampaignResult, list[Event]]:
    return campaign_behind_mock(tmp_path, lambda api: webhook(Bot(api, bug)), "state")


def found(result: CampaignResult) -> set[tuple[str, str]]:
    return {(finding.check, str(finding.cause)) for finding in result.findings}


@pytest.mark.slow
def test_a_bot_that_remembers_rightly_has_no_finding_and_every_trial_was_made(tmp_path: Path) -> None:
    result, events = campaign(tmp_path, "")
    assert found(result) == set()
    made = {event.trial for event in events if isinstance(event, StateTried)}
    assert made >= {
        "crossed",
        "conversation",
        "group-conversation",
        "elsewhere",
        "users-at-once",
        "at-once",
        "order",
        "edited",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bug", "shown"),
    [
        ("notes", ("no_lost_update", "lost")),
        ("points", ("no_lost_update", "lost")),
        ("lots", ("no_lost_update", "let-through")),
        ("asked", ("sessions_apart", "ended-by-another")),
        ("asked-in-group", ("sessions_apart", "ended-by-another:group")),
        ("asked-anywhere", ("sessions_apart", "elsewhere")),
        ("elsewhere", ("sessions_apart", "crossed")),
        ("disorder", ("replies_in_order", "disorder")),
        ("edits", ("effect_at_most_once", "edited")),
    ],
)
def test_what_is_remembered_wrongly_is_found(tmp_path: Path, bug: str, shown: tuple[str, str]) -> None:
    result, _ = campaign(tmp_path, bug)
    assert shown in found(result)
    assert not re.search(r"\d", "".join(finding.title for finding in result.findings))


@pytest.mark.slow
@pytest.mark.parametrize(("bug", "shown"), [("", False), ("unquoted", False), ("last", True)])
def test_what_the_admin_answers_to_one_user_must_not_reach_another(tmp_path: Path, bug: str, shown: bool) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: webhook(Desk(api, bug)), "state")
    assert "operator" in {event.trial for event in events if isinstance(event, StateTried)}
    assert (("sessions_apart", "misdirected") in found(result)) == shown


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "evenings", "votes"])
def test_several_people_at_one_thing_each_count_and_no_more_get_it_than_there_is(tmp_path: Path, bug: str) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: webhook(Club(api, bug)), "state")
    assert {event.trial for event in events if isinstance(event, StateTried)} >= {"one-thing", "one-thing-once"}
    told = {"": set(), "evenings": {("no_lost_update", "let-through")}, "votes": {("no_lost_update", "lost")}}
    assert found(result) == told[bug]


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "place"])
def test_no_more_take_a_place_in_what_somebody_has_made_than_there_are(tmp_path: Path, bug: str) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: updates_to(Rides(api, bug).update), "vocabulary,state")
    tried = [event.what for event in events if isinstance(event, StateTried) and event.trial == "one-thing-once"]
    assert any("/ride {n} → the button place:" in what for what in tried)
    # There were none when newcomers asked first.
    notes = [event for event in events if isinstance(event, Noted) and event.area == "state"]
    learned = [one for note in notes for one in note.data["dialogues"] if not one.endswith("in a group")]
    assert any(one.startswith("/rides → the button take:") for one in learned)
    assert found(result) == ({("no_lost_update", "let-through")} if bug else set())


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "sum"])
def test_what_two_do_at_once_to_what_they_share_counts_twice(tmp_path: Path, bug: str) -> None:
    result, _ = campaign_behind_mock(tmp_path, lambda api: updates_to(Kitty(api, bug).update), "state")
    assert [one.check for one in result.findings] == (["no_lost_update"] if bug else [])


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "draft"])
def test_a_double_tap_confirms_what_was_written_once(tmp_path: Path, bug: str) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: webhook(Clerk(api, bug)), "vocabulary,state")
    if bug:
        assert any(isinstance(event, StateTried) and event.trial == "confirmed" for event in events)
    assert found(result) == ({("effect_at_most_once", "confirmed")} if bug else set())


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "places"])
def test_no_more_get_what_the_admin_has_made_than_there_is(tmp_path: Path, bug: str) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: webhook(Rota(api, bug)), "vocabulary,state")
    tried = [event.what for event in events if isinstance(event, StateTried) and event.trial == "one-thing-once"]
    assert any("by the admin, then /biore {n} by 3 users" in what for what in tried)
    assert found(result) == ({("no_lost_update", "let-through")} if bug else set())


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "left"])
def test_a_code_of_the_admins_counts_each_of_those_who_use_it_at_once(tmp_path: Path, bug: str) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: updates_to(Sale(api, bug).update), "vocabulary,state")
    tried = [event.what for event in events if isinstance(event, StateTried) and event.trial == "one-thing"]
    assert any("/akcja … 15 40 by the admin, then /rabat … by" in what for what in tried)
    assert found(result) == ({("no_lost_update", "lost")} if bug else set())


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "warnings"])
def test_what_the_admin_counts_of_a_member_in_a_group_is_all_counted(tmp_path: Path, bug: str) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: webhook(Judge(api, bug)), "vocabulary,state")
    tried = [event.what for event in events if isinstance(event, StateTried) and event.trial == "at-once"]
    assert any("/ostrzez" in what and "by the admin" in what for what in tried)
    assert found(result) == ({("no_lost_update", "lost")} if bug else set())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bug", "shown"),
    [
        ("", None),
        ("gone", ("no_lost_update", "missing")),
        ("newest", ("sessions_apart", "displaced")),
        ("again", ("effect_at_most_once", "again")),
        ("voucher", ("no_lost_update", "let-through")),
        ("shown", ("no_lost_update", "let-through")),
    ],
)
def test_what_users_make_is_all_there_once_and_their_own(
    tmp_path: Path, bug: str, shown: tuple[str, str] | None
) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: webhook(Pantry(api, bug)), "vocabulary,state")
    if shown is not None:
        assert shown in found(result)
        return
    assert found(result) == set()
    tried = [event for event in events if isinstance(event, StateTried)]
    assert {event.trial for event in tried} >= {"gathered", "again", "displaced"}
    told = [event.what for event in tried if event.trial == "at-once"]
    assert any("by the admin, then" in what for what in told)
    assert any("the admin presses" in what for what in told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bug", "shown"),
    [
        ("", None),
        ("credit", ("no_lost_update", "lost")),
        ("minus", ("own_objects_only", "negative-amount")),
        ("bids", ("no_lost_update", "missing")),
        ("again", ("effect_at_most_once", "again")),
        ("notices", ("effect_at_most_once", "again")),
    ],
)
def test_what_users_do_to_each_other_counts_once_and_takes_nothing(
    tmp_path: Path, bug: str, shown: tuple[str, str] | None
) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: webhook(Bank(api, bug)), "vocabulary,state")
    if shown is not None:
        assert shown in found(result)
        return
    assert found(result) == set()
    assert {event.trial for event in events if isinstance(event, StateTried)} >= {"gathered", "credited", "taken"}
