"""Pawsteps: the bot of a small dog-walking agency, on FastAPI with raw dictionaries.

Style: no Telegram library; clients, walkers and managers; walks by code, drafts with reply keyboards, notes as replies to messages;
help texts go out in the response to the webhook, all else through an outbox for each chat.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

CLIENT, WALKER, MANAGER = range(3)
TIERS = ("client", "walker", "manager")
DAYS = ("today", "tomorrow", "overmorrow")
SLOTS = ("morning", "noon", "evening")
MAX_BODY = 1 << 20
MAX_OUTBOX = 300  # messages that wait, for each chat
BACKOFF = (0.5, 1, 2, 4, 8, 15)
DRAFT_S = 1800

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
log = logging.getLogger("pawsteps")


class Recent(OrderedDict):
    """A dictionary that keeps only what was written last."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        while len(self) > self.limit:
            self.popitem(last=False)


def is_id(value: object) -> bool:
    """Whether this can be the id of a user or a chat."""
    return type(value) is int and 0 < abs(value) < 1 << 53


def clean(text: object, limit: int = 60) -> str:
    """A user's text on one line, without control characters and halves of characters."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", str(text or "")).strip()[:limit]


def money(text: str) -> Decimal | None:
    """An amount of money, None where it is none."""
    refused = ValueError if BUG == "decimal-invalid" else (ValueError, InvalidOperation)
    try:
        value = Decimal(text.removeprefix("£").replace(",", ".", 1))
    except refused:
        return None
    if not value.is_finite() or not Decimal("0.01") <= value <= 1000:
        return None
    return value.quantize(Decimal("0.01"))


# ------------------------------------------------------------------ calls to Telegram


class Outbox:
    """What is to be sent: a queue for each chat, in order, and none waits for another."""

    def __init__(self) -> None:
        self.client = httpx.AsyncClient(timeout=8, limits=httpx.Limits(max_connections=400))
        self.waiting: dict[int, deque] = {}
        self.tasks: set[asyncio.Task] = set()
        self.moved = Recent(1000)

    def busy(self, chat: int) -> bool:
        """Whether something for this chat is under way."""
        return chat in self.waiting

    def full(self, chat: int) -> bool:
        """Whether this chat had better wait."""
        return len(self.waiting.get(chat, ())) >= MAX_OUTBOX or len(self.tasks) >= 5000

    def put(self, chat: int, method: str, payload: dict) -> None:
        """Sends it when it is its turn."""
        if chat in self.waiting:
            if len(self.waiting[chat]) < 2 * MAX_OUTBOX:
                self.waiting[chat].append((method, payload))
            return
        self.waiting[chat] = deque([(method, payload)])
        self.start(self.work(chat))

    def start(self, coroutine: object) -> None:
        """Runs it by itself."""
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def work(self, chat: int) -> None:
        """Empties the queue of a chat."""
        queue = self.waiting[chat]
        while queue:
            method, payload = queue[0]
            try:
                failed = await self.deliver(method, payload)
                if failed and failed >= 500 and method != "answerCallbackQuery":
                    await asyncio.sleep(20)
                    apology = "Sorry, I could not get an answer to you just now. Please try again."
                    await self.deliver("sendMessage", {"chat_id": payload.get("chat_id", chat), "text": apology})
            except Exception:
                log.exception("%s", method)
            queue.popleft()
        del self.waiting[chat]

    async def deliver(self, method: str, payload: dict) -> int:
        """Sends it patiently; 0, or the status with which it was given up."""
        attempts = waits = 0
        while True:
            chat = payload.get("chat_id")
            if chat in self.moved:
                payload = {**payload, "chat_id": self.moved[chat]}
            status, answer = await self.once(method, payload)
            if status == 200:
                return 0
            parameters = answer.get("parameters")
            parameters = parameters if isinstance(parameters, dict) else {}
            target = parameters.get("migrate_to_chat_id")
            if is_id(target) and chat is not None and waits < 5:
                self.moved[payload["chat_id"]] = target
                waits += 1
                if BUG == "migrate-next-time":
                    return status
                continue
            if status == 429:
                pause = parameters.get("retry_after")
                pause = float(pause) if isinstance(pause, int | float) and pause > 0 else 1.0
                if waits >= 5 or pause > 3600:
                    return status
                waits += 1
                await asyncio.sleep(pause + 0.1)
                continue
            if status < 500:
                log.warning("%s: %s %s", method, status, str(answer.get("description"))[:200])
                return status
            if BUG == "hammer":
                attempts += 1
                if attempts > 300:
                    return status
                continue
            if attempts >= (1 if method == "answerCallbackQuery" else len(BACKOFF)):
                return status
            await asyncio.sleep(BACKOFF[attempts])
            attempts += 1

    async def once(self, method: str, payload: dict) -> tuple[int, dict]:
        """Status and answer of one call; 599 where there was no answer."""
        try:
            response = await self.client.post(f"{API}/bot{TOKEN}/{method}", json=payload)
            answer = response.json()
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            log.warning("%s: %s", method, type(error).__name__)
            return 599, {}
        if not isinstance(answer, dict):
            return 599, {}
        if answer.get("ok") is True:
            return 200, answer
        return max(response.status_code, 400), answer


outbox: Outbox


def tell(chat: int, text: str, buttons: list | None = None, keyboard: list | None = None) -> None:
    """Writes to a chat."""
    outbox.put(chat, "sendMessage", message_of(chat, text, buttons, keyboard))


def message_of(chat: int, text: str, buttons: list | None = None, keyboard: list | None = None) -> dict:
    """The payload of sendMessage."""
    payload: dict = {"chat_id": chat, "text": text[:3500]}
    if buttons:
        payload["reply_markup"] = {"inline_keyboard": buttons}
    elif keyboard:
        payload["reply_markup"] = {"keyboard": keyboard, "resize_keyboard": True, "one_time_keyboard": True}
    return payload


def button(text: str, data: str) -> dict:
    """One inline button."""
    return {"text": text, "callback_data": data}


# ------------------------------------------------------------------ the agency

tiers = Recent(500)  # user -> WALKER or MANAGER
names = Recent(5000)
dogs = Recent(3000)  # id -> dict
walks = Recent(3000)  # code -> dict
invoices = Recent(3000)  # number -> dict
drafts = Recent(3000)  # who is in the middle of something
codes = Recent(200)  # walkers' invitations
teams = Recent(50)  # groups
agency = {"price": Decimal("12.00"), "jar": Decimal("0.00"), "dog": 0, "invoice": 0}


def tier(user: int) -> int:
    """A user's tier."""
    return MANAGER if user == ADMIN_ID else tiers.get(user, CLIENT)


def name_of(user: int) -> str:
    """What a user is called."""
    return names.get(user, f"user {user}")


def managers() -> set[int]:
    """Those who run the agency."""
    return {ADMIN_ID, *(user for user, what in tiers.items() if what == MANAGER)}


def dogs_of(user: int) -> list[dict]:
    """A client's dogs."""
    return [dog for dog in dogs.values() if dog["owner"] == user]


def involved(walk: dict, user: int) -> bool:
    """Whether a walk is this user's business."""
    return user in (walk["client"], walk["walker"]) or tier(user) >= MANAGER


def card(walk: dict) -> str:
    """A walk as everybody may read it."""
    who = name_of(walk["walker"]) if walk["walker"] else "nobody yet"
    return f"Walk {walk['code']}: {walk['dog']}, {walk['day']} {walk['slot']}. Walker: {who}. Status: {walk['status']}."


def walk_buttons(walk: dict) -> list | None:
    """What can be done with a walk."""
    if walk["status"] == "open":
        return [[button("Take it", f"take:{walk['code']}")]]
    if walk["status"] == "taken":
        return [[button("Mark done", f"done:{walk['code']}"), button("Hand back", f"back:{walk['code']}")]]
    return None


@dataclass
class Said:
    """A message that was said to the bot.

    Args:
        sender: Who said it.
        subject: For whom: the author of the message to which a manager replies, else the sender.
        chat: Where.
        private: Whether nobody else reads it.
        rest: What follows the command.
        message: The message.
    """

    sender: int
    subject: int
    chat: int
    private: bool
    rest: str
    message: dict

    def answer(self, text: str, buttons: list | None = None, keyboard: list | None = None) -> None:
        """Answers where it was said."""
        tell(self.chat, text, buttons, keyboard)


HELP = """Pawsteps walks your dog.
/adddog - tell us about a dog
/dogs - your dogs
/keysafe dog code - where the key is, for the walker only
/book - book a walk (or: /book Rex tomorrow noon)
/walks - your walks
/walk CODE - one walk
/cancel CODE - call a walk off
/invoices - what you owe
/donate amount - something for the rescue jar
/jar - what is in the jar
/prices - what a walk costs
/whoami - your tier
/nevermind - stop what you began
Reply to a message about a walk to leave a note.
Walkers: /board - open walks, /take CODE, /done CODE
Managers: /price amount, /hire and /fire (reply, or id), /invite - a link for a new walker, /team, /say text, /linkteam (in a group), /report"""


async def do_start(said: Said) -> dict | None:
    """Greets; a walker's invitation comes with the link."""
    if not said.rest:
        return {"text": HELP}
    if codes.pop(said.rest, None) is None:
        said.answer("That invitation does not work (any more).")
    elif tier(said.sender) >= WALKER:
        said.answer("You are on the team already.")
    else:
        tiers[said.sender] = WALKER
        said.answer(f"Welcome to the team, {name_of(said.sender)}! See /board.")
    return None


async def do_help(_: Said) -> dict:
    """Lists the commands."""
    return {"text": HELP}


async def do_prices(_: Said) -> dict:
    """What a walk costs."""
    return {"text": f"A walk costs £{agency['price']}."}


async def do_whoami(said: Said) -> None:
    """Tells the tier."""
    said.answer(f"{name_of(said.sender)} ({said.sender}), {TIERS[tier(said.sender)]}")


async def do_dogs(said: Said) -> None:
    """Lists a client's dogs."""
    lines = [f"{dog['name']} ({dog['breed']})" for dog in dogs_of(said.subject)]
    said.answer("\n".join(lines) or "No dogs yet. Try /adddog.")


def draft_key(user: dict, chat: int) -> object:
    """By what a draft is found again."""
    if BUG == "draft-by-username":
        return user.get("username")
    return user["id"], chat


def begin(said: Said, step: str, **more: object) -> None:
    """Begins something of several steps, or goes on with it."""
    drafts[draft_key(said.message["from"], said.chat)] = {
        "step": step,
        "for": said.subject,
        "at": time.monotonic(),
        **more,
    }


async def do_nevermind(said: Said) -> None:
    """Stops what was begun."""
    gone = drafts.pop(draft_key(said.message["from"], said.chat), None)
    said.answer("Never mind then." if gone else "There is nothing to stop.")


async def do_adddog(said: Said) -> None:
    """Begins to add a dog."""
    if len(dogs_of(said.subject)) >= 10:
        said.answer("Ten dogs are all that we can remember.")
        return
    begin(said, "dog-name")
    said.answer("What is the dog called?")


async def do_keysafe(said: Said) -> None:
    """Remembers where the key is."""
    name, _, code = said.rest.partition(" ")
    dog = next((dog for dog in dogs_of(said.sender) if dog["name"].lower() == name.lower()), None)
    code = clean(code, 30)
    if not said.private:
        said.answer("Tell me that in private.")
    elif dog is None or not code:
        said.answer("Usage: /keysafe dog code, for a dog of yours.")
    else:
        dog["keysafe"] = code
        said.answer(f"Only {dog['name']}'s walker will see it.")


async def do_book(said: Said) -> None:
    """Books a walk, or begins to."""
    mine = dogs_of(said.subject)
    if not mine:
        said.answer("Tell me about your dog first: /adddog")
        return
    if said.rest:
        words = said.rest.lower().rsplit(None, 2)
        dog = next((dog for dog in mine if dog["name"].lower() == words[0]), None)
        if len(words) != 3 or dog is None or words[1] not in DAYS or words[2] not in SLOTS:
            said.answer("Usage: /book dog today|tomorrow|overmorrow morning|noon|evening")
            return
        book(said.subject, said.chat, dog["name"], words[1], words[2])
        return
    begin(said, "book-dog")
    said.answer("Which dog?", keyboard=[[dog["name"]] for dog in mine])


def book(client: int, chat: int, dog: str, day: str, slot: str) -> None:
    """Books a walk and tells those who may take it."""
    if sum(walk["client"] == client and walk["status"] in {"open", "taken"} for walk in walks.values()) >= 12:
        tell(chat, "You have twelve walks booked. Let us walk those first.")
        return
    code = "W" + secrets.token_hex(3).upper()
    walk = {"code": code, "client": client, "dog": dog, "day": day, "slot": slot, "walker": 0}
    walk |= {"status": "open", "notes": [], "price": agency["price"]}
    walks[code] = walk
    tell(chat, f"Booked. {card(walk)}\nTo call it off: /cancel {code}")
    for other in {*managers(), *tiers, *teams} - {client, chat}:
        tell(other, card(walk), walk_buttons(walk))


async def do_walks(said: Said) -> None:
    """Lists a user's walks."""
    mine = [walk for walk in walks.values() if said.subject in (walk["client"], walk["walker"])]
    said.answer("\n".join(card(walk) for walk in mine[-15:]) or "No walks yet. Try /book.")


def find(rest: str) -> dict | None:
    """The walk of a code."""
    return walks.get(rest.upper().lstrip("#"))


async def do_walk(said: Said) -> None:
    """Shows one walk."""
    walk = find(said.rest)
    if walk is None or not involved(walk, said.sender):
        said.answer("I know no walk of yours with that code.")
        return
    lines = [card(walk), *walk["notes"]]
    dog = next((dog for dog in dogs_of(walk["client"]) if dog["name"] == walk["dog"]), None)
    if said.private and dog and dog["keysafe"] and said.sender in (walk["client"], walk["walker"]):
        lines.append(f"Key safe: {dog['keysafe']}")
    said.answer("\n".join(lines), walk_buttons(walk) if tier(said.sender) >= WALKER else None)


async def do_cancel(said: Said) -> None:
    """Calls a walk off."""
    walk = find(said.rest)
    may = BUG == "cancel-any" or (walk and (said.sender == walk["client"] or tier(said.sender) >= MANAGER))
    if walk is None or not may:
        said.answer("I know no walk of yours with that code.")
    elif walk["status"] not in {"open", "taken"}:
        said.answer(f"Walk {walk['code']} is {walk['status']} already.")
    else:
        walk["status"] = "called off"
        for other in {walk["client"], walk["walker"]} - {0, said.sender, said.chat}:
            tell(other, f"{name_of(said.sender)} called off: {card(walk)}")
        said.answer(f"Called off. {card(walk)}")


async def do_board(said: Said) -> None:
    """Lists open walks."""
    there = [walk for walk in walks.values() if walk["status"] == "open"][-8:]
    rows = [[button(f"Take {walk['code']}", f"take:{walk['code']}")] for walk in there]
    said.answer("\n".join(card(walk) for walk in there) or "No open walks.", rows)


def act(action: str, walk: dict | None, user: int) -> str:
    """What commands and buttons do with a walk; what came of it."""
    if tier(user) < WALKER:
        return "That is for walkers."
    if walk is None:
        return "I know no such walk."
    if action == "take":
        if walk["status"] != "open":
            return f"Too late. {card(walk)}"
        same = [w for w in walks.values() if w["walker"] == user and w["status"] == "taken"]
        if any((w["day"], w["slot"]) == (walk["day"], walk["slot"]) for w in same):
            return "You walk another dog then."
        walk["walker"], walk["status"] = user, "taken"
        tell(walk["client"], f"{name_of(user)} will walk {walk['dog']}. {card(walk)}")
        return f"It is yours. {card(walk)}"
    if walk["walker"] != user:
        return "Somebody else walks that dog."
    if action == "back":
        if walk["status"] != "taken":
            return f"Walk {walk['code']} is {walk['status']}."
        walk["walker"], walk["status"] = 0, "open"
        return f"Handed back. {card(walk)}"
    if walk["status"] not in ({"taken", "done"} if BUG == "done-twice" else {"taken"}):
        return f"Walk {walk['code']} is {walk['status']}."
    walk["status"] = "done"
    agency["invoice"] += 1
    number = agency["invoice"]
    invoices[number] = {"client": walk["client"], "walk": walk["code"], "amount": walk["price"], "status": "open"}
    tell(walk["client"], f"{walk['dog']} is back home. {invoice_line(number)}", [[button("I paid", f"paid:{number}")]])
    return f"Well done. Invoice I{number} was sent to {name_of(walk['client'])}."


async def do_take(said: Said) -> None:
    """Takes a walk."""
    said.answer(act("take", find(said.rest), said.sender))


async def do_done(said: Said) -> None:
    """Marks a walk as done."""
    said.answer(act("done", find(said.rest), said.sender))


def invoice_line(number: int) -> str:
    """An invoice on one line."""
    one = invoices[number]
    return f"Invoice I{number}: £{one['amount']} for walk {one['walk']} ({one['status']})"


async def do_invoices(said: Said) -> None:
    """Lists a client's invoices."""
    mine = [number for number, one in invoices.items() if one["client"] == said.subject][-15:]
    rows = [[button(f"I paid I{n}", f"paid:{n}")] for n in mine if invoices[n]["status"] == "open"]
    said.answer("\n".join(map(invoice_line, mine)) or "Nothing to pay.", rows)


def pay(action: str, number: int, user: int) -> str:
    """A client says that an invoice is paid, or a manager confirms it."""
    one = invoices.get(number)
    if one is None or (user != one["client"] and tier(user) < MANAGER):
        return "I know no such invoice of yours."
    if action == "paid":
        if one["status"] != "open":
            return invoice_line(number)
        one["status"] = "to be confirmed"
        for other in managers() - {user}:
            tell(other, f"{name_of(user)} paid? {invoice_line(number)}", [[button("Confirm", f"settle:{number}")]])
        return f"Thank you! {invoice_line(number)}"
    if tier(user) < MANAGER:
        return "That is for managers."
    one["status"] = "settled"
    return invoice_line(number)


async def do_donate(said: Said) -> None:
    """Puts something into the rescue jar."""
    amount = money(said.rest)
    if amount is None:
        said.answer("Usage: /donate amount, from 0.01 to 1000")
        return
    if BUG == "jar-read-first":
        before = agency["jar"]
        await outbox.deliver("sendChatAction", {"chat_id": said.chat, "action": "typing"})
        agency["jar"] = before + amount
    else:
        agency["jar"] = min(agency["jar"] + amount, Decimal(10**9))
    said.answer(f"Thank you for £{amount}! The rescue jar holds £{agency['jar']}.")


async def do_jar(said: Said) -> None:
    """What is in the jar."""
    said.answer(f"The rescue jar holds £{agency['jar']}.")


async def do_price(said: Said) -> None:
    """Sets the price."""
    amount = money(said.rest)
    if amount is None:
        said.answer("Usage: /price amount")
        return
    agency["price"] = amount
    said.answer(f"A walk costs £{amount} from now on.")


def target_of(said: Said) -> int | None:
    """Whom a manager means: the author of the message replied to, or an id."""
    replied = said.message.get("reply_to_message")
    author = replied.get("from") if isinstance(replied, dict) else None
    if isinstance(author, dict) and is_id(author.get("id")) and not author.get("is_bot"):
        return author["id"]
    return int(said.rest) if re.fullmatch(r"[0-9]{1,15}", said.rest) else None


async def do_hire(said: Said) -> None:
    """Makes somebody a walker."""
    target = target_of(said)
    if not target:
        said.answer("Reply to somebody's message with /hire, or give an id.")
    elif tier(target) >= WALKER:
        said.answer(f"{name_of(target)} is on the team already.")
    else:
        tiers[target] = WALKER
        tell(target, "You are a walker now. See /board.")
        said.answer(f"{name_of(target)} is a walker now.")


async def do_fire(said: Said) -> None:
    """Makes a walker a client again."""
    target = target_of(said)
    if not target or tiers.get(target) != WALKER:
        said.answer("Reply to a walker's message with /fire, or give an id.")
        return
    del tiers[target]
    for walk in walks.values():
        if walk["walker"] == target and walk["status"] == "taken":
            walk["walker"], walk["status"] = 0, "open"
    said.answer(f"{name_of(target)} is no walker any more.")


async def do_invite(said: Said) -> None:
    """A link for a new walker."""
    code = secrets.token_urlsafe(8)
    codes[code] = True
    said.answer(f"This works once: /start {code}")


async def do_team(said: Said) -> None:
    """Lists walkers and managers."""
    lines = [f"{name_of(user)} ({user}): {TIERS[what]}" for user, what in list(tiers.items())[-40:]]
    said.answer("\n".join(["The team:", *lines]))


async def do_say(said: Said) -> None:
    """Writes to the team."""
    text = clean(said.rest, 500)
    if not text:
        said.answer("Usage: /say text")
        return
    others = {*tiers, *teams} - {said.sender, said.chat}
    for other in others:
        tell(other, f"{name_of(said.sender)}: {text}")
    said.answer(f"Told {len(others)}.")


async def do_linkteam(said: Said) -> None:
    """New walks are shown in this group."""
    if said.private:
        said.answer("Say that in the team's group.")
        return
    teams[said.chat] = True
    said.answer("New walks will be shown here.")


async def do_report(said: Said) -> None:
    """How the agency does."""
    states = [walk["status"] for walk in walks.values()]
    owed = sum((one["amount"] for one in invoices.values() if one["status"] != "settled"), Decimal(0))
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("open", "taken", "done", "called off"))
    said.answer(f"Walks: {counts}. Owed: £{owed}. In the jar: £{agency['jar']}.")


COMMANDS = {
    CLIENT: (
        *(do_start, do_help, do_prices, do_whoami, do_dogs, do_adddog, do_keysafe, do_book, do_walks, do_walk),
        *(do_cancel, do_invoices, do_donate, do_jar, do_nevermind),
    ),
    WALKER: (do_board, do_take, do_done),
    MANAGER: (do_price, do_hire, do_fire, do_invite, do_team, do_say, do_linkteam, do_report),
}
HANDLERS = {one.__name__[3:]: (one, needed) for needed, some in COMMANDS.items() for one in some}
ON_BEHALF = {"dogs", "adddog", "book", "walks", "invoices"}


# ------------------------------------------------------------------ what comes in


async def on_message(message: dict) -> dict | None:
    """Does what a message asks for; an answer for the webhook's response, where there is one."""
    user, chat = message["from"], message["chat"]
    names[user["id"]] = clean(user.get("first_name"), 30) or f"user {user['id']}"
    text = message.get("text")
    private = chat.get("type") == "private"
    said = Said(user["id"], user["id"], chat["id"], private, "", message)
    if not isinstance(text, str):
        if private and draft_key(user, chat["id"]) in drafts:
            said.answer("Please answer in words, or /nevermind.")
        elif private:
            said.answer("I only read words. See /help.")
        return None
    match = re.fullmatch(r"/([a-z]{1,20})(?:@\w{1,40})?(?:\s+(.*))?", text, re.DOTALL | re.IGNORECASE)
    if not match:
        on_text(said, text)
        return None
    command, said.rest = match[1].lower(), clean(match[2], 500)
    if command not in HANDLERS:
        if private:
            said.answer("I do not know that command. See /help.")
        return None
    handler, needed = HANDLERS[command]
    other = target_of(said)
    replied = bool(message.get("reply_to_message"))
    rank = tier(said.sender)
    if BUG == "rank-of-replied" and replied and other:  # a manager's word counts for whom it is about
        rank = max(rank, tier(other))
    if rank < needed:
        said.answer(f"That is for {TIERS[needed]}s.")
        return None
    if replied and other and command in ON_BEHALF and tier(said.sender) >= MANAGER:
        said.subject = other
    return await handler(said)


def on_text(said: Said, text: str) -> None:
    """Goes on with what was begun, or takes a note."""
    key = draft_key(said.message["from"], said.chat)
    draft, words = drafts.get(key), clean(text, 200)
    replied = said.message.get("reply_to_message")
    if isinstance(replied, dict) and (code := re.search(r"\bW[0-9A-F]{6}\b", str(replied.get("text")))):
        note(said, walks.get(code[0]), words)
    elif draft is None or time.monotonic() - draft["at"] > DRAFT_S:
        drafts.pop(key, None)
        if said.private:
            said.answer("See /help for what I can do.")
    elif not words:
        said.answer("Please answer in words, or /nevermind.")
    else:
        go_on(said, key, draft, words)


def note(said: Said, walk: dict | None, words: str) -> None:
    """Leaves a note on a walk."""
    if walk is None or not words or not involved(walk, said.sender):
        said.answer("I know no walk of yours with that code.")
    elif len(walk["notes"]) >= 12:
        said.answer("There are too many notes on that walk.")
    else:
        walk["notes"].append(f"{name_of(said.sender)}: {words}")
        said.answer(f"Noted on {walk['code']}.")


def go_on(said: Said, key: object, draft: dict, words: str) -> None:
    """The next step of a draft."""
    if draft["step"] == "dog-name":
        name = words.split(maxsplit=1)[0][:20]
        if any(dog["name"].lower() == name.lower() for dog in dogs_of(draft["for"])):
            said.answer("You have a dog of that name. How else do you call it?")
            return
        drafts[key] = {**draft, "step": "dog-breed", "name": name}
        said.answer(f"And what breed is {name}?")
    elif draft["step"] == "dog-breed":
        del drafts[key]
        agency["dog"] += 1
        dogs[agency["dog"]] = {"owner": draft["for"], "name": draft["name"], "breed": words[:40], "keysafe": ""}
        said.answer(f"{draft['name']} ({words[:40]}) is on our list. /book a walk!")
    elif draft["step"] == "book-dog":
        dog = next((dog for dog in dogs_of(draft["for"]) if dog["name"].lower() == words.lower()), None)
        if dog is None:
            said.answer("I do not know that dog. Which one?", keyboard=[[d["name"]] for d in dogs_of(draft["for"])])
            return
        drafts[key] = {**draft, "step": "book-day", "dog": dog["name"]}
        said.answer("Which day?", keyboard=[list(DAYS)])
    elif draft["step"] == "book-day":
        if words.lower() not in DAYS:
            said.answer("Today, tomorrow or overmorrow?", keyboard=[list(DAYS)])
            return
        drafts[key] = {**draft, "step": "book-slot", "day": words.lower()}
        said.answer("When?", keyboard=[list(SLOTS)])
    elif words.lower() not in SLOTS:
        said.answer("Morning, noon or evening?", keyboard=[list(SLOTS)])
    else:
        del drafts[key]
        book(draft["for"], said.chat, draft["dog"], draft["day"], words.lower())


async def on_button(query: dict) -> None:
    """Does what a button stands for."""
    user = query["from"]["id"]
    names[user] = clean(query["from"].get("first_name"), 30) or f"user {user}"
    data = query.get("data")
    message = query.get("message")
    message = message if isinstance(message, dict) else {}
    chat = message["chat"]["id"] if isinstance(message.get("chat"), dict) else user
    match = re.fullmatch(r"(take|done|back|paid|settle):(\w{1,12})", data) if isinstance(data, str) else None
    if match is None:
        text = "That button does nothing any more."
    elif match[1] in {"take", "done", "back"}:
        text = act(match[1], walks.get(match[2]), user)
    else:
        text = pay(match[1], int(match[2]) if re.fullmatch(r"[0-9]{1,9}", match[2]) else 0, user)
    outbox.start(outbox.deliver("answerCallbackQuery", {"callback_query_id": query.get("id"), "text": text[:190]}))
    old = message["text"] if BUG == "old-button" and message else message.get("text")
    if match and isinstance(old, str) and match[1] == "take" and text.startswith("It is yours"):
        payload = {"chat_id": chat, "message_id": message.get("message_id"), "text": f"{old[:3000]}\n{text}"}
        walk = walks[match[2]]
        outbox.put(chat, "editMessageText", {**payload, "reply_markup": {"inline_keyboard": walk_buttons(walk) or []}})
    else:
        tell(chat, text)


def parties(update: dict) -> Iterable[object]:
    """The user and the chat of an update that the bot reads."""
    query, message = update.get("callback_query"), update.get("message")
    if isinstance(query, dict):
        user, message = query.get("from"), query.get("message")
        chat = message.get("chat") if isinstance(message, dict) else user
    elif isinstance(message, dict):
        user, chat = message.get("from"), message.get("chat")
    else:
        return None, None
    return (one.get("id") if isinstance(one, dict) else None for one in (user, chat))


seen = Recent(20_000)


@asynccontextmanager
async def lifespan(_: FastAPI):
    """Opens and closes the connection to the Bot API."""
    global outbox
    outbox = Outbox()
    yield
    await outbox.client.aclose()


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)


def trusted(request: Request) -> bool:
    """Whether Telegram sent it."""
    given = request.headers.get("x-telegram-bot-api-secret-token", "").encode("latin-1", "replace")
    expected = SECRET.encode()
    if BUG == "secret-any-case":
        given, expected = given.strip().lower(), expected.strip().lower()
    return bool(expected) and hmac.compare_digest(given, expected)


async def body_of(request: Request) -> bytes | None:
    """The body; None where it is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


@app.post(PATH)
async def webhook(request: Request) -> Response:
    """One delivery."""
    if not trusted(request):
        return Response(status_code=401, headers={"Connection": "close"})
    try:
        body = await asyncio.wait_for(body_of(request), 15)
        if body is None:
            return Response(status_code=413, headers={"Connection": "close"})
        update = json.loads(body)
    except (ValueError, RecursionError, TimeoutError):
        return Response(status_code=400)
    if not isinstance(update, dict) or type(update.get("update_id")) is not int:
        return Response(status_code=400)
    user, chat = parties(update)
    if not is_id(user) or not is_id(chat) or update["update_id"] in seen:
        return Response()
    if outbox.full(chat):
        return Response(status_code=429, headers={"Retry-After": "5"})
    seen[update["update_id"]] = True
    try:
        if isinstance(update.get("callback_query"), dict):
            await on_button(update["callback_query"])
            return Response()
        answer = await on_message(update["message"])
    except Exception:
        log.exception("update %s", update["update_id"])
        if BUG in {"decimal-invalid", "old-button"}:
            raise
        tell(chat, "Sorry, that went wrong. Please try again.")
        return Response()
    if answer is None:
        return Response()
    if outbox.busy(chat):
        tell(chat, **answer)
        return Response()
    return JSONResponse({"method": "sendMessage", **message_of(chat, **answer)})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
