"""Spiżarnia: a household's shopping list in Polish, on python-telegram-bot with a webhook of its own on Starlette.

A household is one person until others join with a code that is good once; in a group the group is the household. Everybody in it
may change everything. Answers to a burst of changes are gathered into one message, and so is the news to the others.
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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update, User
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)
from telegram.ext import Application, CallbackQueryHandler, CommandHandler, ContextTypes, MessageHandler, filters
from telegram.request import HTTPXRequest

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))

MAX_BODY = 1 << 20
MAX_PENDING = 1000
MAX_BUSY = 5000
MAX_HOUSES = 5000
MAX_ITEMS = 60
MAX_MEMBERS = 12
MAX_REMINDERS = 10
ANSWER_AFTER_S = 0.7  # a burst of changes gets one answer
NEWS_AFTER_S = 2.5
CODE_LASTS_S = 600
UNDO_LASTS_S = 120
BACKOFF = (0.5, 1, 2, 4, 8)

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
log = logging.getLogger("spizarnia")

Ctx = ContextTypes.DEFAULT_TYPE


class Lru(OrderedDict[Any, Any]):
    """Forgets what was not used for longest."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.limit:
            self.popitem(last=False)


def clean(text: str, limit: int) -> str:
    return re.sub(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]+", " ", text).strip()[:limit]


def figure(text: str, most: int) -> int:
    """A number from 1 to the most, or 0."""
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) and int(text) <= most else 0


# ---------------------------------------------------------------- what is known


@dataclass
class Item:
    name: str
    count: int = 1
    bought: bool = False


@dataclass
class House:
    """A household: a family or a group.

    Args:
        id: Its number; a group's is that of the group.
        members: Their names by id, the founder first.
        items: What is on the list; the numbers that people see are the positions.
        before: What was on it before the last change, and when that was.
    """

    id: int
    members: dict[int, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    before: tuple[float, list[Item]] = (0.0, [])

    def keep(self) -> None:
        """Remembers the list for /cofnij."""
        self.before = (time.time(), [Item(one.name, one.count, one.bought) for one in self.items])


houses: Lru = Lru(MAX_HOUSES)
homes: Lru = Lru(2 * MAX_HOUSES)  # user -> house
codes: Lru = Lru(2000)  # code -> (house, when it ends)
reminders: Lru = Lru(2000)  # chat -> {number: (when, text)}
seen: Lru = Lru(20_000)
next_house = 1


def name_of(user: User) -> str:
    return clean(user.first_name or "", 30) or "Ktoś"


def house_of(update: Update) -> House:
    """The group's household in a group, else that of the user; made when there is none."""
    global next_house
    chat, user = update.effective_chat, update.effective_user
    if chat is not None and chat.type != "private":
        house = houses.get(chat.id) or House(chat.id)
        houses[chat.id] = house
        return house
    house = houses.get(homes.get(user.id, 0))
    if house is None:
        house = House(next_house, {user.id: name_of(user)})
        next_house += 1
        homes[user.id] = house.id
    houses[house.id] = house
    return house


def listed(house: House) -> str:
    lines = [
        f"{number}. {'✓ ' if one.bought else ''}{one.name}{f' ×{one.count}' if one.count > 1 else ''}"
        for number, one in enumerate(house.items, 1)
    ]
    return "\n".join(["Lista:", *lines]) if lines else "Lista jest pusta. Dodaj coś: /dodaj mleko, chleb"


def keys(house: House) -> InlineKeyboardMarkup | None:
    row = [
        InlineKeyboardButton(f"✓ {one.name[:20]}", callback_data=f"k:{house.id}:{secret_of(one)}")
        for one in house.items
        if not one.bought
    ][:8]
    return InlineKeyboardMarkup([row[at : at + 2] for at in range(0, len(row), 2)]) if row else None


def secret_of(item: Item) -> str:
    """What a button calls an item: positions change, and names are too long."""
    return hmac.digest(SECRET.encode(), item.name.lower().encode(), "sha256").hex()[:12]


# ---------------------------------------------------------------- sending


class Outbox:
    """One queue for each chat, emptied in order; and the texts that wait to become one message."""

    def __init__(self, app: Application) -> None:
        self.bot = app.bot
        self.queues: dict[Any, deque[Callable[[], Awaitable[Any]]]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.moved: Lru = Lru(1000)
        self.gathered: dict[tuple[str, int], tuple[list[str], House]] = {}

    def full(self, chat: int) -> bool:
        return len(self.queues.get(chat, ())) >= MAX_PENDING or len(self.queues) >= MAX_BUSY

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def put(self, key: Any, job: Callable[[], Awaitable[Any]]) -> None:
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = deque()
            self._spawn(self._work(key, queue))
        if len(queue) < 2 * MAX_PENDING:
            queue.append(job)
        else:
            log.warning("outbox of %s is full", key)

    async def _work(self, key: Any, queue: deque[Callable[[], Awaitable[Any]]]) -> None:
        try:
            while queue:
                try:
                    await queue.popleft()()
                except Exception as error:
                    log.warning("not delivered to %s: %s", key, type(error).__name__)
        finally:
            del self.queues[key]

    async def patiently(self, chat: int, call: Callable[[int], Awaitable[Any]], attempts: int = len(BACKOFF)) -> Any:
        failed = waited = 0
        while True:
            chat = self.moved.get(chat, chat)
            try:
                async with asyncio.timeout(9):  # httpx counts only between two bytes
                    return await call(chat)
            except RetryAfter as error:
                wait = error.retry_after
                seconds = wait if isinstance(wait, int | float) else wait.total_seconds()
                waited += 1
                if waited > 5 or seconds > 300:
                    raise
                await asyncio.sleep(max(1, seconds) + 0.1)
            except ChatMigrated as error:
                waited += 1
                if waited > 5 or error.new_chat_id == chat:
                    raise
                move(chat, error.new_chat_id)
            except (BadRequest, Forbidden, InvalidToken, Conflict):
                raise  # BadRequest is a NetworkError, but asking again does not help
            except (NetworkError, TelegramError, TimeoutError) as error:
                failed += 1
                if failed > attempts:
                    raise
                await asyncio.sleep(max(BACKOFF[failed - 1], 2 if "(429)" in str(error) else 0))
            except (TypeError, KeyError, AttributeError):
                return None  # accepted; what came along could not be read

    def say(self, chat: int, text: str, buttons: InlineKeyboardMarkup | None = None) -> None:
        self.put(
            chat,
            lambda: self.patiently(chat, lambda to: self.bot.send_message(to, text[:2000], reply_markup=buttons)),
        )

    def gather(self, kind: str, chat: int, line: str, house: House, after: float) -> None:
        """Sends a line with all others of this kind that come for this chat until then; answers end with the list."""
        waiting = self.gathered.get((kind, chat))
        if waiting is not None:
            waiting[0].append(line)
            return
        self.gathered[kind, chat] = ([line], house)

        async def later() -> None:
            await asyncio.sleep(after)
            lines, whose = self.gathered.pop((kind, chat))
            shown = [f"… i jeszcze {len(lines) - 12} zmian", *lines[-12:]] if len(lines) > 13 else lines
            if kind == "answer":
                self.say(chat, "\n".join(shown))
                self.say(chat, listed(whose), keys(whose))
            else:
                self.say(chat, "\n".join(["W domu:", *shown]))

        self._spawn(later())


outbox: Outbox


def move(old: int, new: int) -> None:
    """A group became a supergroup: everything of it goes along."""
    outbox.moved[old] = new
    if house := houses.pop(old, None):
        house.id = new
        houses[new] = house
    if there := reminders.pop(old, None):
        reminders[new] = {**there, **reminders.get(new, {})}


def changed(update: Update, house: House, line: str) -> None:
    """Answers a change and tells the others in the family."""
    outbox.gather("answer", update.effective_chat.id, line, house, ANSWER_AFTER_S)
    for member in house.members:
        if member != update.effective_user.id:
            outbox.gather("news", member, f"{name_of(update.effective_user)}: {line}", house, NEWS_AFTER_S)


# ---------------------------------------------------------------- commands

HELP = """Spiżarnia: wspólna lista zakupów.
/lista - co jest do kupienia
/dodaj mleko, chleb - dopisuje; to samo dwa razy podnosi liczbę
/kupione N - odhacza albo przywraca
/usun N - skreśla (może każdy domownik; numery się przesuwają)
/cofnij - cofa ostatnią zmianę, czyjąkolwiek
/dom - kto należy do domu
/kod - jednorazowy kod dla nowego domownika
/dolacz KOD - wejdź do czyjegoś domu
/wyjdz - wyjdź z domu
/wypros ID - wyproś domownika (tylko założyciel)
/przypomnij MINUTY tekst - przypomnienie w tym czacie
/przypomnienia, /nieprzypominaj N
/stan - administracja
W grupie lista należy do całej grupy."""


async def help_(update: Update, _: Ctx) -> None:
    outbox.say(update.effective_chat.id, HELP)


async def list_(update: Update, _: Ctx) -> None:
    house = house_of(update)
    outbox.say(update.effective_chat.id, listed(house), keys(house))


async def add(update: Update, context: Ctx) -> None:
    house = house_of(update)
    names = [name for part in " ".join(context.args).split(",")[:20] if (name := clean(part, 40))]
    if not names:
        outbox.say(update.effective_chat.id, "Użycie: /dodaj mleko, chleb")
        return
    house.keep()
    there = {one.name.lower(): one for one in house.items}
    for name in names:
        old = there.get(name.lower())
        if old is not None and not old.bought:
            old.count = min(99, old.count + 1)
        elif old is not None:
            old.bought, old.count = False, 1
        elif len(house.items) < MAX_ITEMS:
            house.items.append(Item(name))
            there[name.lower()] = house.items[-1]
        else:
            outbox.say(update.effective_chat.id, f"Lista jest pełna ({MAX_ITEMS}), nie dopisuję: {name}")
            return
    changed(update, house, "dopisane: " + ", ".join(names)[:200])


def pick(update: Update, context: Ctx, house: House) -> Item | None:
    """The item at the position that a command names."""
    number = figure(context.args[0].rstrip("."), len(house.items)) if context.args else 0
    if not number:
        outbox.say(update.effective_chat.id, "Nie ma takiego numeru. Zobacz /lista")
        return None
    return house.items[number - 1]


async def bought(update: Update, context: Ctx) -> None:
    house = house_of(update)
    if item := pick(update, context, house):
        house.keep()
        item.bought = not item.bought
        changed(update, house, f"{'kupione' if item.bought else 'jednak potrzebne'}: {item.name}")


async def delete(update: Update, context: Ctx) -> None:
    house = house_of(update)
    if item := pick(update, context, house):
        house.keep()
        house.items.remove(item)
        changed(update, house, f"skreślone: {item.name}")


async def undo(update: Update, _: Ctx) -> None:
    house = house_of(update)
    when, items = house.before
    if time.time() - when > UNDO_LASTS_S:
        outbox.say(update.effective_chat.id, "Nie ma czego cofnąć.")
        return
    house.items, house.before = items, (0.0, [])
    changed(update, house, "cofnięta ostatnia zmiana")


async def home(update: Update, _: Ctx) -> None:
    house = house_of(update)
    if update.effective_chat.type != "private":
        outbox.say(update.effective_chat.id, "Dom tej grupy: wszyscy, którzy w niej są.")
        return
    lines = [f"{name} ({user})" for user, name in house.members.items()]
    outbox.say(update.effective_chat.id, "\n".join([f"Dom nr {house.id}:", *lines]))


async def code(update: Update, _: Ctx) -> None:
    if update.effective_chat.type != "private":
        outbox.say(
            update.effective_chat.id, "Do domu grupy wchodzi się przez grupę; kod jest tylko w prywatnym czacie."
        )
        return
    house = house_of(update)
    drawn = "".join(secrets.choice("ABCDEFGHJKMNPRSTUVWXYZ23456789") for _ in range(8))
    for old in [one for one, (where, _) in codes.items() if where == house.id]:
        del codes[old]  # only the newest is good
    codes[drawn] = (house.id, time.time() + CODE_LASTS_S)
    outbox.say(update.effective_chat.id, f"Kod: {drawn} - działa raz, przez 10 minut.")


def leave(user: User) -> None:
    """Takes somebody out of their household, which ends with the last."""
    house = houses.get(homes.pop(user.id, 0))
    if house is None:
        return
    house.members.pop(user.id, None)
    if not house.members:
        del houses[house.id]
    for member in house.members:
        outbox.gather("news", member, f"{name_of(user)} już tu nie mieszka", house, NEWS_AFTER_S)


async def join(update: Update, context: Ctx) -> None:
    chat, user = update.effective_chat, update.effective_user
    if chat.type != "private":
        outbox.say(chat.id, "To załatwmy w prywatnym czacie.")
        return
    given = context.args[0].upper() if context.args else ""
    house_id, until = codes.get(given, (0, 0.0))
    house = houses.get(house_id)
    if house is None or until < time.time():
        outbox.say(chat.id, "Ten kod nie działa: jest zły, zużyty albo stary.")
    elif user.id in house.members:
        outbox.say(chat.id, "Już tu mieszkasz.")
    elif len(house.members) >= MAX_MEMBERS:
        outbox.say(chat.id, "W tym domu nie ma już miejsca.")
    else:
        del codes[given]
        leave(user)
        house.members[user.id] = name_of(user)
        homes[user.id] = house.id
        changed(update, house, "wprowadza się")


async def go(update: Update, _: Ctx) -> None:
    if update.effective_chat.type != "private":
        outbox.say(update.effective_chat.id, "Z domu grupy wychodzi się, wychodząc z grupy.")
    elif len(house_of(update).members) < 2:
        outbox.say(update.effective_chat.id, "Mieszkasz tu tylko ty.")
    else:
        leave(update.effective_user)
        outbox.say(update.effective_chat.id, "Masz teraz własny dom z pustą listą.")


async def evict(update: Update, context: Ctx) -> None:
    chat, house = update.effective_chat, house_of(update)
    whom = int(context.args[0]) if context.args and re.fullmatch(r"[0-9]{1,16}", context.args[0]) else 0
    if chat.type != "private" or next(iter(house.members), 0) != update.effective_user.id:
        outbox.say(chat.id, "Wyprosić może tylko założyciel domu, w prywatnym czacie.")
    elif whom not in house.members or whom == update.effective_user.id:
        outbox.say(chat.id, "Nie ma tu nikogo takiego. Zobacz /dom")
    else:
        gone = house.members.pop(whom)
        homes.pop(whom, None)
        outbox.say(whom, "Założyciel domu cię wyprosił; masz teraz własną, pustą listę.")
        changed(update, house, f"wyprowadza się: {gone}")


async def remind(update: Update, context: Ctx) -> None:
    chat = update.effective_chat.id
    minutes = figure(context.args[0], 10_080) if context.args else 0
    text = clean(" ".join(context.args[1:]), 200)
    if not minutes or not text:
        outbox.say(chat, "Użycie: /przypomnij 10 zupa na gazie (minuty: 1 do 10080)")
        return
    there = reminders.get(chat) or {}
    if len(there) >= MAX_REMINDERS:
        outbox.say(chat, f"W tym czacie jest już {MAX_REMINDERS} przypomnień.")
        return
    number = max(there, default=0) + 1
    reminders[chat] = {**there, number: (time.time() + 60 * minutes, text)}
    outbox.say(chat, f"Przypomnę za {minutes} min (nr {number} w tym czacie).")


async def reminders_(update: Update, _: Ctx) -> None:
    there = reminders.get(update.effective_chat.id) or {}
    lines = [f"{n}. za {max(0, int(when - time.time()) // 60)} min: {text}" for n, (when, text) in there.items()]
    outbox.say(update.effective_chat.id, "\n".join(lines) or "W tym czacie nie ma przypomnień.")


async def forget(update: Update, context: Ctx) -> None:
    there = reminders.get(update.effective_chat.id) or {}
    gone = there.pop(figure(context.args[0], 999_999), None) if context.args else None
    outbox.say(update.effective_chat.id, "Skreślone." if gone else "Nie ma takiego numeru. Zobacz /przypomnienia")


async def state(update: Update, _: Ctx) -> None:
    if update.effective_user.id != ADMIN_ID:
        outbox.say(update.effective_chat.id, "To tylko dla administracji.")
        return
    items = sum(len(one.items) for one in houses.values())
    outbox.say(update.effective_chat.id, f"Domów: {len(houses)}, rzeczy: {items}, kodów: {len(codes)}.")


async def pressed(update: Update, _: Ctx) -> None:
    """A button ticks an item off. It works wherever it is, for whoever lives there."""
    query, user = update.callback_query, update.effective_user
    match = re.fullmatch(r"k:(-?[0-9]{1,16}):([0-9a-f]{12})", query.data or "")
    house = houses.get(outbox.moved.get(int(match[1]), int(match[1]))) if match else None
    chat = update.effective_chat
    if house is None:
        answer = "Tego przycisku już nie znam."
    elif user.id not in house.members and (chat is None or chat.id != house.id):
        answer = "To nie jest lista twojego domu."
    else:
        item = next((one for one in house.items if secret_of(one) == match[2]), None)
        if item is None:
            answer = "Tego już nie ma na liście."
        elif item.bought:
            answer = f"Już kupione: {item.name}"
        else:
            house.keep()
            item.bought = True
            answer = f"Kupione: {item.name}"
            for member in house.members:
                if member != user.id:
                    outbox.gather("news", member, f"{name_of(user)}: kupione: {item.name}", house, NEWS_AFTER_S)
    bot = outbox.bot
    outbox.put(
        ("query", query.id), lambda: outbox.patiently(0, lambda _: bot.answer_callback_query(query.id, answer), 1)
    )
    message = query.message
    if house is not None and chat is not None and message is not None and message.is_accessible:
        at = message.message_id

        async def redraw() -> None:
            async def call(to: int) -> Any:
                return await bot.edit_message_text(listed(house), to, at, reply_markup=keys(house))

            await outbox.patiently(chat.id, call, 2)

        outbox.put(chat.id, redraw)


async def other(update: Update, _: Ctx) -> None:
    message = update.effective_message
    if message.chat.type == "private":
        outbox.say(message.chat_id, "Nie rozumiem. Zobacz /pomoc")


async def failed(update: object, context: Ctx) -> None:
    log.error("a handler failed: %r", context.error)
    if isinstance(update, Update) and update.effective_chat:
        outbox.say(update.effective_chat.id, "Coś poszło nie tak. Spróbuj jeszcze raz.")


COMMANDS: dict[str, Any] = {
    "start": help_,
    "pomoc": help_,
    "help": help_,
    "lista": list_,
    "dodaj": add,
    "kupione": bought,
    "usun": delete,
    "cofnij": undo,
    "dom": home,
    "kod": code,
    "dolacz": join,
    "wyjdz": go,
    "wypros": evict,
    "przypomnij": remind,
    "przypomnienia": reminders_,
    "nieprzypominaj": forget,
    "stan": state,
}


async def clock() -> None:
    """Says what people wanted to be reminded of."""
    while True:
        await asyncio.sleep(1)
        now = time.time()
        for chat, there in list(reminders.items()):
            for number, (when, text) in list(there.items()):
                if when <= now:
                    del there[number]
                    outbox.say(chat, f"⏰ {text}")
            if not there:
                del reminders[chat]


# ---------------------------------------------------------------- the webhook


def build() -> Application:
    request = HTTPXRequest(connection_pool_size=500, connect_timeout=5, read_timeout=8, write_timeout=8, pool_timeout=8)
    app = Application.builder().token(TOKEN).base_url(f"{API}/bot").request(request).updater(None).build()
    ours = filters.UpdateType.MESSAGE & ~filters.VIA_BOT & ~filters.SenderChat.ALL
    for name, handler in COMMANDS.items():
        app.add_handler(CommandHandler(name, handler, filters=ours))
    app.add_handler(CallbackQueryHandler(pressed))
    app.add_handler(MessageHandler(filters.UpdateType.MESSAGE & ~filters.SenderChat.ALL, other))
    app.add_error_handler(failed)
    return app


application = build()


async def body_of(request: Request) -> bytes | None:
    """The body, if it comes in time and is not too long."""
    body = bytearray()
    async with asyncio.timeout(10):
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                return None
    return bytes(body)


async def webhook(request: Request) -> Response:
    given = request.headers.get("x-telegram-bot-api-secret-token", "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), SECRET.encode()):
        return Response(status_code=401)
    try:
        body = await body_of(request)
        if body is None:
            return Response(status_code=413)
        data = json.loads(body)
        if not isinstance(data, dict) or type(data.get("update_id")) is not int:
            return Response(status_code=400)
        update = Update.de_json(data, application.bot)
        user, chat = update.effective_user, update.effective_chat
        if not all(isinstance(one.id, int) for one in (user, chat) if one is not None):
            return Response(status_code=400)
        message, query = update.message, update.callback_query
        if message and (chat is None or not isinstance(message.text, str | None)):
            return Response(status_code=400)
        if query and not (user and query.id and isinstance(query.id, str) and isinstance(query.data, str | None)):
            return Response(status_code=400)
    except TimeoutError:
        return Response(status_code=408)
    except ClientDisconnect:
        return Response(status_code=400)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, OSError):
        return Response(status_code=400)
    if update.update_id in seen:
        return Response()
    if chat is not None and outbox.full(chat.id):
        return Response(status_code=503, headers={"Retry-After": "5"})
    seen[update.update_id] = True
    if update.message and isinstance(update.message.migrate_to_chat_id, int):
        move(update.message.chat_id, update.message.migrate_to_chat_id)
    elif user is not None and not user.is_bot:
        try:
            await application.process_update(update)
        except Exception:
            log.exception("an update")
    return Response()


@asynccontextmanager
async def lives(_: Starlette) -> AsyncIterator[None]:
    global outbox
    for wait in (0.5, 1, 2, 4, 5, 0):
        try:
            await application.initialize()
            break
        except InvalidToken:
            raise
        except (TelegramError, TypeError, KeyError):
            if not wait:
                raise
            await asyncio.sleep(wait)
    outbox = Outbox(application)
    ticking = asyncio.create_task(clock())
    yield
    ticking.cancel()
    if outbox.tasks:
        await asyncio.wait(outbox.tasks, timeout=4)
    await application.shutdown()


if __name__ == "__main__":
    site = Starlette(routes=[Route(PATH, webhook, methods=["POST"])], lifespan=lives)
    uvicorn.run(site, host="127.0.0.1", port=PORT, log_level="warning", access_log=False, timeout_keep_alive=30)
