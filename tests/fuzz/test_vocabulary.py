"""The vocabulary stage on a bot whose commands no list of ours holds: it learns them from the bot's own words."""

import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import monotonic
from types import SimpleNamespace

import pytest

from chaosbot.core.event import ApiCalled, CaseTried, Event, Noted
from chaosbot.core.platform import platform_of
from chaosbot.core.verdict import Mechanism
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.spec import CampaignResult
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.target import CampaignTarget
from chaosbot.fuzz.vocabulary import _notices, _own_forms
from chaosbot.platforms.telegram._users import ADMIN_ID
from tests.support.campaigns import call_api, campaign_behind_mock, said_in, served, spec_of, updates_to

ADMIN = 719_000_123


class Gardener:
    """Answers in the webhook's response, in Portuguese; `bug` names what is wrong with it."""

    def __init__(self, bug: str = "") -> None:
        self.bug = bug
        self.asked: set[int] = set()
        self.stuck: set[int] = set()

    def answer(self, message: dict) -> str | None:
        text, sender = message.get("text", ""), (message.get("from") or {}).get("id")
        if sender in self.asked and message:
            self.asked.discard(sender)
            if self.bug == "question" and not text:
                self.stuck.add(sender)
            elif isinstance(text, str) and text and not text.startswith("/"):
                return "Semeado, obrigado."
        if not isinstance(text, str) or not text or sender in self.stuck:
            return None
        admin = sender == ADMIN
        if self.bug == "prefix":
            admin = admin or str(ADMIN).startswith(str(sender))
        if self.bug == "reply":
            admin = admin or ((message.get("reply_to_message") or {}).get("from") or {}).get("id") == ADMIN
        command, _, argument = text.partition(" ")
        match command:
            case "/start" | "/help":
                if self.bug == "link" and argument and (len(argument.strip()) % 4 or not argument.strip().isascii()):
                    raise ValueError(argument)
                more = " Administração: /podar, /colheita." if admin else ""
                return (
                    f"Bem-vindo ao jardim! /regar para regar, /semear para semear, /plantas para ver as plantas.{more}"
                )
            case "/regar":
                if self.bug == "silent" and argument.strip().isdigit() and not argument.isascii():
                    int(argument.replace("²", "x"))
                return f"Quanto devo regar? {len(argument)} letras não chegam."
            case "/semear":
                self.asked.add(sender)
                return "O que devo semear?"
            case "/plantas":
                return "Tens três plantas: alecrim, salsa e hortelã."
            case "/podar" if admin or self.bug == "unchecked":
                return "Poda concluída: todas as sebes foram aparadas hoje."
            case "/colheita" if admin:
                return "Colheita registada: doze quilos de tomate no armazém."
            case "/podar" | "/colheita":
                return "Isso é só para o jardineiro-chefe."
        return "Não percebi."


class Crew:
    """A ship whose captain makes people mates, and deckhands again.

    Args:
        api: Base URL of its API.
        bug: ``kept`` where who has steered goes on, ``name`` where names have ranks.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.names: dict[str, object] = {}
        self.mates: set[object] = set()
        self.steered: set[object] = set()

    def update(self, update: dict) -> None:
        if (message := update.get("message") or {}).get("chat"):
            call_api(self.api, "sendMessage", chat_id=message["chat"]["id"], text=self.answer(message))

    def answer(self, message: dict) -> str:
        text, someone = message.get("text", ""), message.get("from") or {}
        name, sender = f"@{someone.get('username')}", someone.get("id")
        self.names.setdefault(name, sender)
        captain = sender == ADMIN_ID
        mate = captain or sender in self.mates or (self.bug == "name" and name in self.mates)
        match str(text).split():
            case ["/start" | "/help"]:
                return (
                    f"Ahoy! /log shows the log.{' Captain: /steer, /rank <sailor> <mate|deckhand>.' if captain else ''}"
                )
            case ["/log"]:
                return "Calm sea since Tuesday."
            case ["/steer", *_] if mate or (self.bug == "kept" and sender in self.steered):
                self.steered.add(sender)
                return "Hard to starboard, the wind is with us."
            case ["/rank", who, "mate" | "deckhand" as rank] if captain and (who in self.names or who.isdecimal()):
                change = self.mates.add if rank == "mate" else self.mates.discard
                change(self.names.get(who) or int(who))
                change(who)
                return f"Aye, {who} is {rank} from now on."
            case ["/rank", *_] if captain:
                return "Whom, and what are they to be?"
            case ["/steer" | "/rank", *_]:
                return "The captain would not like that."
        return "Speak up, sailor."


class Lockers:
    """Rents lockers by buttons, in the webhook's response; `bug` names what is wrong with it."""

    def __init__(self, bug: str = "") -> None:
        self.bug = bug
        self.rented: dict[int, int] = {}
        self.last = 40

    def answer(self, message: dict) -> str | dict | None:
        """Menus for messages; `message` is a pressed button where it has data."""
        sender, chat = (message.get("from") or {}).get("id"), message.get("chat") or {}
        if self.bug == "chat" and message.get("data"):
            assert chat, "a press without its message"
        what, _, number = str(message.get("data") or "menu").partition(":")
        admin = sender == ADMIN or (self.bug == "group" and chat.get("type") != "private")
        mine = [one for one, owner in self.rented.items() if owner == sender]
        match what:
            case "menu":
                return menu("Welcome!", "rent", "mine", *(["figures"] if sender == ADMIN else []))
            case "rent":
                self.last += 3
                self.rented[self.last] = sender
                return menu(f"Locker {self.last} is rented.", "menu")
            case "mine":
                return (
                    menu("What you rented:", *(f"open:{one}" for one in mine[-5:])) if mine else "You rented nothing."
                )
            case "open":
                theirs = number.isdigit() and int(number) in (self.rented if self.bug == "open-any" else mine)
                return "The door springs open, take everything out." if theirs else "Not yours."
            case "figures" if admin:
                return "Since Monday business has doubled."
        return "This button does nothing."


class Studio:
    """Lets three rooms by the hour, each once; what is let all are shown, and only who has it may give it back."""

    ROOMS = ("Cellar", "Attic", "Barn")
    HOURS = range(8, 22)

    def __init__(self, bug: str = "") -> None:
        self.bug = bug
        self.let: dict[str, tuple[int, int]] = {}
        self.last = 100

    def answer(self, message: dict) -> str | dict | None:
        """Menus for messages; `message` is a pressed button where it has data."""
        sender = (message.get("from") or {}).get("id")
        what, _, about = str(message.get("data") or "menu").partition(":")
        mine = [(place, number) for place, (number, owner) in self.let.items() if owner == sender]
        match what:
            case "menu":
                return menu("Welcome!", "rooms", "mine", "plan")
            case "rooms":
                return menu("Which room?", *(f"room:{nth}" for nth, _ in enumerate(self.ROOMS)))
            case "room" if about in ("0", "1", "2"):
                return menu(f"{self.ROOMS[int(about)]}, from when?", *(f"hour:{about}:{hour}" for hour in self.HOURS))
            case "hour" if re.fullmatch(r"[012]:(?:[89]|1\d|2[01])", about):
                if about in self.let:
                    return "Somebody else has it then."
                self.last += 1
                self.let[about] = self.last, sender
                return menu(f"Yours: {self._of(about)}. Two tokens are left.", "menu")
            case "mine":
                told = "\n".join(self._of(place) for place, _ in mine)
                return menu(told, *(f"back:{number}" for _, number in mine)) if mine else "You have no room."
            case "plan":
                return "\n".join(map(self._of, self.let)) or "Nobody plays."
            case "back":
                found = next((place for place, (number, _) in self.let.items() if str(number) == about), "")
                if not found or (self.let[found][1] != sender and self.bug != "back-any"):
                    return "Not yours to give." if found else "There is none of that number."
                given = f"Given back: {self.ROOMS[int(found[0])]}, {found[2:]} o'clock."
                del self.let[found]
                return given
        return "This button does nothing."

    def _of(self, place: str) -> str:
        return f"#{self.let[place][0]} {self.ROOMS[int(place[0])]}, {place[2:]} o'clock"


class Club:
    """Has two dozen boards, each for one; who sits at one keeps games, and only who has kept a game may burn it."""

    BOARDS = 24

    def __init__(self) -> None:
        self.boards: dict[int, int] = {}
        self.games: dict[int, int] = {}
        self.numbers = itertools.count(501)

    def answer(self, message: dict) -> str | None:
        text, sender = message.get("text"), (message.get("from") or {}).get("id")
        if not isinstance(text, str) or not isinstance(sender, int):
            return None
        command, _, about = text.partition(" ")
        number = int(about) if re.fullmatch(r"[0-9]{1,4}", about) else 0
        match command:
            case "/start" | "/help":
                return "/boards – who sits where\n/board 3 – sit down\n/up – get up\n/keep – keep the game\n/burn 12 – burn it"
            case "/boards":
                boards = range(1, self.BOARDS + 1)
                return "\n".join(f"Board {one}: {'taken' if one in self.boards else 'free'}" for one in boards)
            case "/board" if not 1 <= number <= self.BOARDS:
                return f"Like this: /board 3 (1–{self.BOARDS})"
            case "/board" if sender in self.boards.values():
                return "You sit already."
            case "/board" if number in self.boards:
                return "Somebody else is playing there."
            case "/board":
                self.boards[number] = sender
                return f"Have a seat at board {number}, you have white."
            case "/up":
                sat = [board for board, who in self.boards.items() if who == sender]
                for board in sat:
                    del self.boards[board]
                return "Until next time!" if sat else "You are standing."
            case "/keep" if sender not in self.boards.values():
                return "Sit down first: /board 3"
            case "/keep":
                self.games[game := next(self.numbers)] = sender
                return f"Kept as number {game}."
            case "/burn" if self.games.get(number) is None:
                return "There is no such game."
            case "/burn" if self.games[number] != sender:
                return "That is somebody else's."
            case "/burn":
                del self.games[number]
                return "It is ashes now, for ever."
        return "?"


class Guestbook:
    """Keeps what people write in it, and tells everybody how much that is."""

    def __init__(self) -> None:
        self.lines: dict[int, list[str]] = {}

    def answer(self, message: dict) -> str | None:
        text, sender = message.get("text"), (message.get("from") or {}).get("id")
        if not isinstance(text, str) or not isinstance(sender, int):
            return None
        command, _, line = text.partition(" ")
        match command:
            case "/start" | "/help":
                return "/write A nice day. – leaves a line\n/mine – your lines"
            case "/write" if line:
                self.lines.setdefault(sender, []).append(line[:80])
                return "Thank you, it stands in the book."
            case "/write":
                return "What shall I write? /write A nice day."
            case "/mine":
                lines = self.lines.get(sender, [])
                return (
                    f"You have left {len(lines)} lines in the book, which end with a full stop."
                    if lines
                    else "Nothing yet."
                )
        return "Pardon?"


class Shop:
    """Takes orders of what is in a cart, and shows each to its admin with a button to send it.

    Args:
        api: Base URL of its API.
        bug: ``anybody`` where everybody may press that button, ``any-order`` where everybody may cancel any order.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.carts: set[int] = set()
        self.orders: dict[int, int] = {}
        self.numbers = itertools.count(301)

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, pressed, _ = said
        command, _, rest = text.partition(" ")
        if pressed:
            sent = text.startswith("wyslij:") and (user == ADMIN_ID or self.bug == "anybody")
            self.say(chat, "Paczka wysłana do klienta." if sent else "Przycisk jest dla sprzedawcy.")
        elif command == "/wstaw":
            self.carts.add(user)
            self.say(chat, "W koszyku jest herbata.")
        elif command == "/zamow" and user in self.carts:
            self.carts.discard(user)
            self.orders[number := next(self.numbers)] = user
            self.say(chat, f"Przyjęto zamówienie numer {number}.")
            key = {"text": "Wyślij", "callback_data": f"wyslij:{number}"}
            self.say(ADMIN_ID, f"Nowe zamówienie numer {number}", reply_markup={"inline_keyboard": [[key]]})
        elif command == "/zamow":
            self.say(chat, "Koszyk jest pusty.")
        elif command == "/anuluj" and rest.isdecimal() and self.cancelled(int(rest[:9]), user):
            self.say(chat, "Anulowano na prośbę klienta.")
        elif command == "/anuluj":
            self.say(chat, "Nie ma takiego zamówienia.")
        else:
            self.say(chat, "Użyj: /wstaw, /zamow, /anuluj")

    def cancelled(self, number: int, user: int) -> bool:
        if self.bug != "any-order" and self.orders.get(number) != user:
            return False
        return self.orders.pop(number, None) is not None

    def say(self, chat: int, text: str, **more: object) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text, **more)


class Garden:
    """Hands out plots: people choose a free one and its admin grants it, which can be done once for each plot.

    Args:
        api: Base URL of its API.
        bug: ``applicant`` where who has asked for a plot may press the admin's button.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.free = [f"plot:{number}" for number in range(1, 41)]
        self.asked: dict[int, tuple[int, str]] = {}
        self.numbers = itertools.count(1)

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, pressed, _ = said
        if text == "/ask":
            keys = [[{"text": plot, "callback_data": plot}] for plot in self.free]
            self.say(chat, "Choose a plot.", reply_markup={"inline_keyboard": keys})
        elif pressed and text in self.free:
            self.asked[number := next(self.numbers)] = (user, text)
            self.say(chat, "The gardener decides about it.")
            key = {"text": "Grant", "callback_data": f"grant:{number}"}
            self.say(ADMIN_ID, f"Somebody would like {text}", reply_markup={"inline_keyboard": [[key]]})
        elif pressed and text.startswith("grant:"):
            self.say(chat, self.granted(user, text.partition(":")[2]))
        else:
            self.say(chat, "Use: /ask")

    def granted(self, user: int, number: str) -> str:
        asker, plot = self.asked.get(int(number[:9]) if number.isdecimal() else 0, (0, ""))
        if user != ADMIN_ID and not (self.bug == "applicant" and user == asker):
            return "Only the gardener decides."
        if plot not in self.free:
            return "Somebody has that plot, or nobody wants it any more."
        self.free.remove(plot)
        return "Granted, the shed's key hangs behind the door."

    def say(self, chat: int, text: str, **more: object) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text, **more)


class Flea:
    """A flea market: people sell things, others bid for them, and the seller decides by a button below each bid.

    Args:
        api: Base URL of its API.
        bug: ``anybody`` where everybody may press that button, ``bidder`` where who bids may.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.sellers: dict[int, int] = {}
        self.bids: dict[int, tuple[int, int]] = {}
        self.numbers = itertools.count(301)

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, pressed, _ = said
        match text.split():
            case ["/sell", *what] if what:
                self.sellers[number := next(self.numbers)] = user
                self.say(chat, f"It stands in the hall as number {number}.")
            case ["/bid", number, euros] if (
                number.isdecimal() and euros.isdecimal() and int(number[:9]) in self.sellers
            ):
                self.bids[bid := next(self.numbers)] = (int(number), user)
                self.say(chat, "The seller hears of it.")
                key = {"text": "Sold", "callback_data": f"sold:{number}:{bid}"}
                offer = f"Somebody offers {euros[:9]} euros for number {number}"
                self.say(self.sellers[int(number)], offer, reply_markup={"inline_keyboard": [[key]]})
            case [data] if pressed and data.startswith("sold:"):
                self.say(chat, self.sold(user, data.rpartition(":")[2]))
            case _:
                self.say(chat, "Use: /sell what, /bid number euros")

    def sold(self, user: int, bid: str) -> str:
        number, bidder = self.bids.get(int(bid[:9]) if bid.isdecimal() else 0, (0, 0))
        if not number:
            return "That bid is gone."
        allowed = user == self.sellers[number] or self.bug == "anybody" or (self.bug == "bidder" and user == bidder)
        if not allowed:
            return "Only the seller decides."
        del self.bids[int(bid)]
        return "Agreed, hand it over at the gate."

    def say(self, chat: int, text: str, **more: object) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text, **more)


class Choirs:
    """Choirs that people found and let others join by a code, with songs in them; and rehearsal rooms that anybody may take.

    Args:
        api: Base URL of its API.
        bug: ``any-founder`` where who has founded any choir may close all of them, ``any-song`` where everybody may read a song.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.founders: dict[int, int] = {}
        self.members: dict[int, set[int]] = {}
        self.songs: dict[int, tuple[int, str]] = {}
        self.asked: dict[int, int] = {}
        self.rooms: dict[int, int] = {}
        self.numbers = itertools.count(41)

    def update(self, update: dict) -> None:
        if (said := said_in(update)) is None:
            return
        chat, user, text, pressed, _ = said
        if text.startswith("/") or pressed:
            self.asked.pop(user, None)
        match text.split():
            case ["/found", *name] if name:
                number = next(self.numbers)
                self.founders[number], self.members[number] = user, {user}
                self.say(chat, f"Choir {number} is founded. Others get in with /enter c{number * 7919:05}x")
            case ["/choirs"]:
                mine = [number for number, members in self.members.items() if user in members]
                self.say(chat, "\n".join(f"Choir {number}" for number in mine[-20:]) or "You sing in no choir.")
            case ["/enter", code]:
                number = int(code[1:-1]) // 7919 if code[1:-1].isdecimal() and len(code) < 16 else 0
                known = number in self.members and code == f"c{number * 7919:05}x"
                self.members.get(number, set()).add(user)
                self.say(chat, f"You sing in choir {number} now." if known else "No choir has that code.")
            case ["/close", number] if number.isdecimal():
                founder = self.founders.get(int(number[:9]))
                mine = founder == user or (self.bug == "any-founder" and user in self.founders.values())
                if founder is not None and mine:
                    del self.founders[int(number)], self.members[int(number)]
                self.say(
                    chat, "It sings no more." if founder is not None and mine else "You have founded no such choir."
                )
            case ["/song", number] if number.isdecimal():
                theirs = user in self.members.get(int(number[:9]), set())
                if theirs:
                    self.asked[user] = int(number)
                self.say(chat, "What are its words?" if theirs else "You do not sing there.")
            case ["/words", number] if number.isdecimal():
                choir, words = self.songs.get(int(number[:9]), (0, ""))
                theirs = bool(choir) and (self.bug == "any-song" or user in self.members.get(choir, set()))
                self.say(chat, f"Song {number} goes: {words}" if theirs else "You do not sing that.")
            case ["/songs", number] if number.isdecimal():
                theirs = user in self.members.get(int(number[:9]), set())
                known = [song for song, (choir, _) in self.songs.items() if theirs and str(choir) == number]
                self.say(chat, "\n".join(f"Song {song}" for song in known[-20:]) or "You know no songs of theirs.")
            case ["/rooms"]:
                free = [room for room in range(501, 900) if room not in self.rooms][:8]
                keys = [[{"text": str(room), "callback_data": f"room:{room}"}] for room in free]
                self.say(chat, "These rooms are free:", reply_markup={"inline_keyboard": keys})
            case ["/room", room] if room.isdecimal() and 500 < int(room[:9]) < 900:
                self.say(chat, self.taken(user, int(room)))
            case [data] if pressed and data.startswith("room:") and data[5:].isdecimal():
                self.say(chat, self.taken(user, int(data[5:14])))
            case _ if user in self.asked and not pressed:
                self.songs[song := next(self.numbers)] = (self.asked.pop(user), text[:80])
                self.say(chat, f"Song {song} is written down.")
            case _:
                self.say(
                    chat,
                    "/found name, /choirs, /enter code, /close choir, /song choir, /words song, /songs choir, /rooms, /room room",
                )

    def taken(self, user: int, room: int) -> str:
        if self.rooms.setdefault(room, user) != user or not 500 < room < 900:
            return "That room is not free."
        return f"Room {room} waits for you."

    def say(self, chat: int, text: str, **more: object) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, text=text, **more)


class Warden:
    """Keeps order in groups: who joins shows that they are human, and its admin warns and mutes members in answer to them.

    Args:
        api: Base URL of its API.
        bug: ``anybody-undoes`` and ``anybody-unmutes`` where all may press the buttons below the admin's command, ``anybody-mutes`` where all may
            give it in answer, ``anybody-human`` where another member may press a newcomer's button.
    """

    def __init__(self, api: str, bug: str = "") -> None:
        self.api, self.bug = api, bug
        self.warnings: Counter[tuple[int, int]] = Counter()
        self.waiting: set[tuple[int, int]] = set()

    def update(self, update: dict) -> None:
        for newcomer in (message := update.get("message") or {}).get("new_chat_members") or ():
            self.welcome(message["chat"]["id"], newcomer["id"])
        if (said := said_in(update)) is None:
            return
        chat, user, text, pressed, message = said
        admin = user == ADMIN_ID
        if pressed:
            call_api(self.api, "answerCallbackQuery", callback_query_id=pressed["id"])
            self.press(chat, user, *text.partition(":")[::2], admin=admin)
            return
        member = ((message.get("reply_to_message") or {}).get("from") or {}).get("id", 0)
        match text:
            case "/start" | "/help":
                more = ". Moderadores: /avisar, /silenciar, /encuesta" if admin else ""
                self.say(chat, f"Soy el guardia: /reglas, /opinar, /jurar{more}")
            case "/reglas":
                self.say(chat, "Sed amables.")
            case "/jurar":
                self.welcome(chat, user)
            case "/opinar":
                self.say(chat, "¿Te gusta lo que dice?", f"gusta:{user}")
            case "/silenciar" if self.bug == "anybody-mutes" and member:
                self.allow(chat, member, speaks=False)
            case "/avisar" | "/silenciar" | "/encuesta" if not admin:
                self.say(chat, "Eso es cosa de moderadores.")
            case "/encuesta" if chat > 0:
                self.say(chat, "Solo en grupos.")
            case "/encuesta":
                self.say(chat, "¿Cambiamos las reglas del grupo?", f"voto:{member}")
            case "/avisar" | "/silenciar" if not member:
                self.say(chat, "Responde a un mensaje.")
            case "/avisar":
                self.warnings[chat, member] += 1
                self.say(chat, f"Queda avisado, van {self.warnings[chat, member]}.", f"perdonar:{member}")
            case "/silenciar":
                self.allow(chat, member, speaks=False)
                self.say(chat, "Ya no puede escribir.", f"permitir:{member}")

    def press(self, chat: int, user: int, what: str, rest: str, *, admin: bool) -> None:
        member = int(rest) if rest.isdecimal() and len(rest) < 18 else 0
        if what == "perdonar" and (admin or self.bug == "anybody-undoes"):
            self.warnings[chat, member] -= 1
            self.say(chat, "Aviso retirado, que no se repita.")
        elif what == "permitir" and (admin or self.bug == "anybody-unmutes"):
            self.allow(chat, member, speaks=True)
        elif what == "humano" and (chat, member) in self.waiting and (user == member or self.bug == "anybody-human"):
            self.waiting.discard((chat, member))
            self.allow(chat, member, speaks=True)
        elif what in ("gusta", "voto"):
            self.say(chat, "Gracias, tu opinión cuenta.")

    def welcome(self, chat: int, user: int) -> None:
        self.waiting.add((chat, user))
        self.allow(chat, user, speaks=False)
        self.say(chat, "Hola, demuestra que no eres un robot.", f"humano:{user}")

    def allow(self, chat: int, user: int, *, speaks: bool) -> None:
        call_api(self.api, "restrictChatMember", chat_id=chat, user_id=user, permissions={"can_send_messages": speaks})

    def say(self, chat: int, text: str, *buttons: str) -> None:
        call_api(self.api, "sendMessage", chat_id=chat, **menu(text, *buttons))


class Interviewer:
    """Asks for a name, then for a liking, of each user by themself; it has no admin, and repeats commands that it does not know."""

    def __init__(self) -> None:
        self.asked: dict[int, str] = {}

    def answer(self, message: dict) -> str | dict | None:
        text, sender = message.get("text"), (message.get("from") or {}).get("id")
        if not isinstance(text, str) or not isinstance(sender, int):
            return None
        state = self.asked.get(sender, "")
        if text == "/start":
            self.asked[sender] = "name"
            return "What are you called?"
        if text.startswith("/"):
            return f"I know no {text}."
        if state == "name":
            self.asked[sender] = "liking"
            return {"text": "Do you like bots?", "reply_markup": {"keyboard": [["Yes", "No"]]}}
        if state == "liking" and text in ("Yes", "No"):
            self.asked.pop(sender)
            return f"I keep in mind: {text}."
        return "Choose one of the two, please." if state else None


def menu(text: str, *buttons: str) -> dict:
    rows = [[{"text": data, "callback_data": data}] for data in buttons]
    return {"text": text, "reply_markup": {"inline_keyboard": rows}}


def webhook(bot: Gardener | Lockers | Studio | Club | Guestbook | Interviewer) -> type[BaseHTTPRequestHandler]:
    class Webhook(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            try:
                update = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
                message = self._message(update)
                said = bot.answer(message)
            except (ValueError, AttributeError):
                message, said = {}, None
            call = {"text": said} if isinstance(said, str) else said
            call = {"method": "sendMessage", "chat_id": (message.get("chat") or {}).get("id")} | call if call else None
            body = json.dumps(call).encode() if call else b""
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _message(self, update: dict) -> dict:
            press = update.get("callback_query")
            if press is None:
                return update.get("message") or {}
            return {"from": press.get("from"), "data": press.get("data")} | {
                "chat": (press.get("message") or {}).get("chat")
            }

    return Webhook


def campaign(
    tmp_path: Path,
    bot: Gardener | Lockers | Studio | Club | Guestbook | Interviewer,
    stages: tuple[str, ...] = ("vocabulary",),
    **more: object,
) -> tuple[CampaignResult, list[Event]]:
    events: list[Event] = []
    with served(webhook(bot)) as url:
        platform = f'telegram:{{"admin_id": {ADMIN}}}'
        spec = spec_of(url, tmp_path, monotonic(), platform=platform, stages=stages, **more)
        return Campaign(spec, events.append).run(), events


def learned(events: list[Event]) -> dict[str, list[str]]:
    notes = (event.data for event in events if isinstance(event, Noted) and event.area == "vocabulary")
    return {key: value for data in notes for key, value in data.items()}


def places(result: CampaignResult, check: str) -> set[str]:
    return {finding.cause.place for finding in result.findings if finding.check == check}


def test_a_healthy_bot_has_no_finding_and_its_commands_are_learned(tmp_path: Path) -> None:
    result, events = campaign(tmp_path, Gardener())
    assert [(finding.check, finding.title) for finding in result.findings] == []
    noted = learned(events)
    assert set(noted["commands"]) >= {"regar", "plantas", "podar", "colheita"}
    assert set(noted["admin"]) == {"podar", "colheita"}


@pytest.mark.slow
def test_a_bot_that_names_its_commands_is_not_asked_for_those_of_others(tmp_path: Path) -> None:
    _, events = campaign(tmp_path, Gardener(), ("vocabulary", "sequences"), max_examples=8)
    asked = {event.command for event in events if isinstance(event, CaseTried) and event.stage == "sequences"}
    assert asked
    assert not asked & {"grant", "revoke", "remind", "reminders", "rewrite"}


@pytest.mark.slow
@pytest.mark.parametrize(("bug", "place"), [("", ""), ("kept", "escalation/taken"), ("name", "escalation/username")])
def test_a_right_that_was_taken_again_and_one_that_goes_with_a_name(tmp_path: Path, bug: str, place: str) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: updates_to(Crew(api, bug).update), "vocabulary")
    assert {(one.check, one.cause.place) for one in result.findings} == ({("no_escalation", place)} if place else set())
    assert learned(events)["rights"] == [
        "/rank ID mate: gives /steer, which others who look alike ask for",
        "/rank ID mate, then /rank ID deckhand: /steer tried",
        "/rank @name mate: gives /steer, which others who look alike ask for",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "anybody", "bidder"])
def test_a_button_by_which_somebody_decides_what_another_one_asked_for(tmp_path: Path, bug: str) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: updates_to(Flea(api, bug).update), "vocabulary")
    found = {(one.check, one.cause.place) for one in result.findings}
    assert found == ({("own_objects_only", "objects/button")} if bug else set())
    assert "the button sold:#: tried" in learned(events)["objects"]


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "applicant"])
def test_what_only_the_admin_decides_each_thing_once_is_tried_by_whom_it_is_about(tmp_path: Path, bug: str) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: updates_to(Garden(api, bug).update), "vocabulary")
    assert {one.check for one in result.findings} == ({"no_escalation"} if bug else set())
    assert "the button grant:#: tried" in learned(events)["privileges"]


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "any-founder", "any-song"])
def test_what_all_may_take_or_are_invited_to_is_nobodys_and_things_may_hold_others(tmp_path: Path, bug: str) -> None:
    result, _ = campaign_behind_mock(tmp_path, lambda api: updates_to(Choirs(api, bug).update), "vocabulary")
    found = [(one.check, one.title.partition(": ")[2]) for one in result.findings]
    by = "a stranger who has made one as well uses another user's: /close #"
    assert (
        found
        == {
            "": [],
            "any-founder": [("own_objects_only", by)],
            "any-song": [("own_objects_only", "a stranger uses another user's: /words #")],
        }[bug]
    )


@pytest.mark.slow
def test_a_command_that_only_the_admin_is_told_of_and_everybody_may_use(tmp_path: Path) -> None:
    assert "escalation/command" in places(campaign(tmp_path, Gardener("unchecked"))[0], "no_escalation")


@pytest.mark.slow
def test_somebody_whose_id_begins_like_the_admins(tmp_path: Path) -> None:
    assert places(campaign(tmp_path, Gardener("prefix"))[0], "no_escalation") == {"escalation/id"}


@pytest.mark.slow
def test_somebody_who_replies_to_the_admin(tmp_path: Path) -> None:
    assert "escalation/reply" in places(campaign(tmp_path, Gardener("reply"))[0], "no_escalation")


@pytest.mark.slow
def test_an_argument_on_which_the_handler_fails_without_a_word(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, Gardener("silent"), ("vocabulary", "arguments"))
    assert places(result, "user_told") == {"argument/regar"}
    link, _ = campaign(tmp_path, Gardener("link"), ("vocabulary", "arguments"))
    assert places(link, "user_told") == {"argument/start"}
    healthy, _ = campaign(tmp_path, Gardener(), ("vocabulary", "arguments"))
    assert healthy.findings == ()
    assert next(one for one in healthy.judgements if one.check == "user_told").judged > 100


@pytest.mark.slow
def test_a_healthy_bot_of_buttons_has_no_finding_and_what_it_shows_is_tried(tmp_path: Path) -> None:
    result, events = campaign(tmp_path, Lockers())
    assert [(finding.check, finding.title) for finding in result.findings] == []
    assert "the button open:#: tried" in learned(events)["objects"]
    assert "the button figures: only the admin gets it" in learned(events)["privileges"]


@pytest.mark.slow
def test_a_stranger_who_presses_another_users_button(tmp_path: Path) -> None:
    assert places(campaign(tmp_path, Lockers("open-any"))[0], "own_objects_only") == {"objects/button"}


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["", "back-any"])
def test_of_what_can_be_had_once_enough_is_left_for_strangers_to_try(tmp_path: Path, bug: str) -> None:
    studio = Studio(bug)
    result, events = campaign(tmp_path, studio)
    assert {(one.check, one.cause.place) for one in result.findings} == (
        {("own_objects_only", "objects/button")} if bug else set()
    )
    assert "the button back:#: tried" in learned(events)["objects"]


@pytest.mark.parametrize("bug", ["late", ""])
def test_what_is_refused_and_done_all_the_same_is_seen_afterwards(tmp_path: Path, bug: str) -> None:
    book = Guestbook()

    class Webhook(webhook(book)):  # type: ignore[misc]
        def do_POST(self) -> None:
            genuine = self.headers.get("x-telegram-bot-api-secret-token") == "S3cret"
            if not genuine:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if bug:
                    book.answer(self._message(json.loads(body)))
                self.send_response(401)
                self.send_header("content-length", "0")
                self.end_headers()
                return
            super().do_POST()

    events: list[Event] = []
    with served(Webhook) as url:
        spec = spec_of(url, tmp_path, monotonic(), platform=f'telegram:{{"admin_id": {ADMIN}}}', stages=("vocabulary",))
        spec = replace(spec, endpoint=replace(spec.endpoint, secret="S3cret"))
        result = Campaign(spec, events.append).run()
    found = [(one.check, one.severity.name, one.cause.place) for one in result.findings]
    assert found == ([("forged_refused", "CRITICAL", "refused")] if bug else [])
    assert any(one.startswith("/write") and one.endswith("tried") for one in learned(events)["forged"])


def test_behind_a_number_that_one_may_have_people_take_different_ones(tmp_path: Path) -> None:
    result, events = campaign(tmp_path, Club())
    assert [(one.check, one.title) for one in result.findings] == []
    assert "/burn #: tried" in learned(events)["objects"]


@pytest.mark.slow
def test_the_admins_button_in_a_group(tmp_path: Path) -> None:
    assert "escalation/group" in places(campaign(tmp_path, Lockers("group"))[0], "no_escalation")


@pytest.mark.slow
def test_a_button_of_a_message_that_is_gone_and_an_answer_that_is_no_text(tmp_path: Path) -> None:
    result, _ = campaign(tmp_path, Lockers("chat"), ("vocabulary", "forms"))
    assert [one.cause.mechanism for one in result.findings if one.check == "no_server_error"] == [Mechanism.SHAPE]
    result, _ = campaign(tmp_path, Gardener("question"), ("vocabulary", "forms"))
    told = [finding.title for finding in result.findings if finding.check == "canary_answered"]
    assert any("in answer to /semear" in title for title in told), result.findings
    for healthy in (Lockers(), Gardener()):
        result, events = campaign(tmp_path, healthy, ("vocabulary", "forms"))
        assert [(finding.check, finding.title) for finding in result.findings] == []
        assert sum(isinstance(event, CaseTried) and event.stage == "forms" for event in events) > 30


def test_what_a_target_says_in_its_answers_stands_among_its_calls_as_it_came(tmp_path: Path) -> None:
    calls: list[ApiCalled] = []
    with served(webhook(Lockers())) as url:
        spec = spec_of(url, tmp_path, monotonic())
        target = CampaignTarget(spec, platform_of(spec.platform), lambda: calls, lambda: False)
        for text in ("", "by itself", ""):
            if text:
                calls.append(ApiCalled(1.0, "sendMessage", 1, text))
            else:
                target.fire(target.health_case(), "vocabulary")
        calls += [
            call for call in target.calls() if call.in_answer
        ]  # the cases are recorded, with what their answers said
    assert [call.text for call in target.calls()] == ["Welcome!", "by itself", "Welcome!"]


def test_what_follows_from_a_conversation_is_no_right_and_a_repeated_command_is_none(tmp_path: Path) -> None:
    result, events = campaign(tmp_path, Interviewer(), ("served", "vocabulary"))
    assert not places(result, "no_escalation")
    told = learned(events)
    assert told["admin"] == []
    assert not [one for one in told["privileges"] if one.endswith("only the admin gets it")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bug", "check", "place"),
    [
        ("", "", ""),
        ("anybody-undoes", "no_escalation", "escalation/button"),
        ("anybody-unmutes", "no_escalation", "escalation/button"),
        ("anybody-mutes", "no_escalation", "escalation/command"),
        ("anybody-human", "own_objects_only", "objects/button"),
    ],
)
def test_what_a_moderator_does_in_a_group_and_what_a_newcomer_is_shown_is_tried_by_other_members(
    tmp_path: Path, bug: str, check: str, place: str
) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: updates_to(Warden(api, bug).update), "vocabulary")
    assert {(finding.check, finding.cause.place) for finding in result.findings} == (
        {(check, place)} if check else set()
    )
    told = learned(events)
    assert {"the button humano:# in a group: tried"} <= {*told["objects"]}
    assert "the button perdonar:# below /avisar: tried" in told["privileges"]
    assert "the button voto:# below /encuesta: not tried, nothing shows that it is a moderator's" in told["privileges"]


@pytest.mark.slow
@pytest.mark.parametrize(("bug", "check"), [("", ""), ("anybody", "no_escalation"), ("any-order", "own_objects_only")])
def test_what_is_in_a_cart_is_ordered_and_what_its_admin_is_shown_unasked_is_tried(
    tmp_path: Path, bug: str, check: str
) -> None:
    result, events = campaign_behind_mock(tmp_path, lambda api: updates_to(Shop(api, bug).update), "vocabulary")
    assert {finding.check for finding in result.findings} == {check} - {""}
    assert "/anuluj #: tried" in learned(events)["objects"]
    assert "the button wyslij:#: only the admin gets it" in learned(events)["privileges"]


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["acknowledges first", "acknowledges last"])
def test_it_is_seen_whether_deliveries_are_answered_after_the_calls(tmp_path: Path, *, first: bool) -> None:
    def webhook(api: str) -> type[BaseHTTPRequestHandler]:
        def take(update: dict) -> None:
            if (said := said_in(update)) is not None:
                call_api(api, "sendMessage", chat_id=said[0], text="Write /start or /help.")

        return updates_to(take, first=first)

    _, events = campaign_behind_mock(tmp_path, webhook, "vocabulary")
    told = [event.text for event in events if isinstance(event, Noted) and event.text.startswith("deliveries are")]
    assert [" after " in text for text in told] == [not first]


def test_of_the_buttons_below_one_message_to_the_admin_one_is_pressed() -> None:
    def asks(t: float, message: int, *buttons: str) -> ApiCalled:
        return ApiCalled(t, "sendMessage", ADMIN_ID, "New.", message=message, buttons=buttons)

    calls = [
        asks(1.0, 5, "ok:1", "no:1"),
        asks(2.0, 6, "ok:2", "no:2"),
        asks(3.0, 7, "ok:3", "no:3", "menu"),
        asks(4.0, 7),  # it is decided already
        ApiCalled(5.0, "sendMessage", 2000001, "Thanks.", message=8, buttons=("menu",)),
    ]
    everybody = SimpleNamespace(buttons=("menu",))
    target = SimpleNamespace(calls=lambda: calls)
    talks = SimpleNamespace(admin_chat=ADMIN_ID, context=SimpleNamespace(group_ways=[], target=target))
    assert _notices(talks, [everybody]) == [Step("ok:2", pressed=True), Step("no:1", pressed=True)]


def test_what_only_the_admin_is_shown_behind_a_command_of_everybodys_is_the_admins() -> None:
    common = "/rate - the rate\n/bill 1 1500 Web design - a bill\n/pay 1 500"
    told = [ApiCalled(1.0, "sendMessage", 42, common), ApiCalled(1.0, "sendMessage", 777, f"{common}\n/rate 10 - change the rate\n/bill 2 - delete it")]  # fmt: skip
    steps = [Step("/rate"), Step("/bill"), Step("/pay"), Step("menu", pressed=True)]
    assert _own_forms(told, steps, "777") == [Step("/rate 10", ours=True)]
