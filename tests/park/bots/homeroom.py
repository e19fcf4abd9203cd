"""Homeroom: classes, tasks, marks and office hours for a school, on aiogram 3 with SQLite and conversations as states.

Whoever makes a class teaches it, others join by its code. The webhook is a handler of its own on aiohttp: it acknowledges at once and
feeds the dispatcher from a queue for each chat.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import secrets
import sqlite3
import tempfile
from collections import OrderedDict, deque
from contextlib import suppress

from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.filters import Command, CommandStart
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import BaseStorage
from aiogram.fsm.strategy import FSMStrategy
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Update
from aiohttp import web
from pydantic import ValidationError

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

MAX_BODY = 1 << 20
MAX_PENDING = 300  # per chat
MAX_SEEN = 20_000
MAX_CLASSES = 8  # that one person teaches
MAX_MEMBERS = 200
MAX_TASKS = 20  # open in one class
MAX_SLOTS = 20
BACKOFF = (0.5, 1, 2, 4, 8)
FINAL = (
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramUnauthorizedError,
    TelegramEntityTooLarge,
)

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logging.getLogger("aiogram").setLevel(logging.WARNING)
log = logging.getLogger("homeroom")


# ---------------------------------------------------------------- the Bot API


class Patience(BaseRequestMiddleware):
    """Waits as long as Telegram asks, tries again what failed on the way, and follows groups that moved."""

    def __init__(self) -> None:
        self.moved: OrderedDict[int, int] = OrderedDict()

    async def __call__(self, make_request, bot, method):
        attempt = waits = 0
        while True:
            chat = getattr(method, "chat_id", None)
            if chat in self.moved:
                method = method.model_copy(update={"chat_id": self.moved[chat]})
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as error:
                if error.retry_after > 300 or waits >= 6:
                    raise
                waits += 1
                await asyncio.sleep(error.retry_after + 0.1)
            except TelegramMigrateToChat as error:
                if waits >= 6 or error.migrate_to_chat_id == getattr(method, "chat_id", None) or BUG == "old-group":
                    raise
                waits += 1
                self.follow(method.chat_id, error.migrate_to_chat_id)
            except FINAL:
                raise
            except Exception as error:
                if attempt >= len(BACKOFF):
                    raise
                log.info("%s failed (%s), again in %s s", type(method).__name__, type(error).__name__, BACKOFF[attempt])
                await asyncio.sleep(BACKOFF[attempt])
                attempt += 1

    def follow(self, old: int, new: int) -> None:
        self.moved[old] = new
        if len(self.moved) > 1000:
            self.moved.popitem(last=False)
        db.execute("UPDATE OR REPLACE links SET chat = ? WHERE chat = ?", (new, old))


patience = Patience()
session = AiohttpSession(api=TelegramAPIServer.from_base(API), limit=500, timeout=8)
session.middleware(patience)


class Recent(BaseStorage):
    """States in memory; those that were not touched for longest are forgotten."""

    def __init__(self, limit: int = 5000) -> None:
        self.limit = limit
        self.kept: OrderedDict = OrderedDict()

    def _put(self, key, state, data) -> None:
        self.kept.pop(key, None)
        if state is not None or data:
            self.kept[key] = (state, data)
        if len(self.kept) > self.limit:
            self.kept.popitem(last=False)

    async def set_state(self, key, state=None) -> None:
        name = state.state if isinstance(state, State) else state
        self._put(key, name, self.kept.get(key, (None, {}))[1])

    async def get_state(self, key):
        return self.kept.get(key, (None, {}))[0]

    async def set_data(self, key, data) -> None:
        self._put(key, self.kept.get(key, (None, {}))[0], dict(data))

    async def get_data(self, key):
        return dict(self.kept.get(key, (None, {}))[1])

    async def close(self) -> None:
        self.kept.clear()


# ---------------------------------------------------------------- what is kept

folder = tempfile.mkdtemp(prefix="homeroom-")
db = sqlite3.connect(os.path.join(folder, "homeroom.db"), isolation_level=None, check_same_thread=False)
db.row_factory = sqlite3.Row
db.executescript(
    """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE classes (id INTEGER PRIMARY KEY AUTOINCREMENT, owner INTEGER, title TEXT, code TEXT UNIQUE);
    CREATE TABLE members (class INTEGER, person INTEGER, PRIMARY KEY (class, person));
    CREATE TABLE tasks (id INTEGER PRIMARY KEY AUTOINCREMENT, class INTEGER, title TEXT, days INTEGER);
    CREATE TABLE works (id INTEGER PRIMARY KEY AUTOINCREMENT, task INTEGER, person INTEGER, text TEXT, mark INTEGER,
                        UNIQUE (task, person));
    CREATE TABLE slots (id INTEGER PRIMARY KEY AUTOINCREMENT, class INTEGER, at TEXT, person INTEGER);
    CREATE TABLE links (chat INTEGER PRIMARY KEY, class INTEGER);
    """
)


def rows(query: str, *values) -> list[sqlite3.Row]:
    return db.execute(query, values).fetchall()


def one(query: str, *values) -> sqlite3.Row | None:
    return db.execute(query, values).fetchone()


def count(query: str, *values) -> int:
    return db.execute(query, values).fetchone()[0]


def name_of(person: int) -> str:
    found = one("SELECT name FROM people WHERE id = ?", person)
    return found["name"] if found and found["name"] else f"person {person}"


def class_of(number: int | None) -> sqlite3.Row | None:
    return one("SELECT * FROM classes WHERE id = ?", number) if number else None


def belongs(person: int, number: int) -> bool:
    return bool(one("SELECT 1 FROM members WHERE class = ? AND person = ?", number, person))


def clean(text: str, limit: int) -> str:
    text = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number_in(text: str | None) -> int | None:
    return int(text.lstrip("#")) if re.fullmatch(r"#?[0-9]{1,9}", text or "") else None


def buttons(*lines: list[tuple[str, str]]) -> InlineKeyboardMarkup | None:
    keyboard = [[InlineKeyboardButton(text=text, callback_data=data) for text, data in line] for line in lines]
    return InlineKeyboardMarkup(inline_keyboard=keyboard) if keyboard else None


# ---------------------------------------------------------------- what it says

tasks_running: set[asyncio.Task] = set()


def spawn(work) -> None:
    if len(tasks_running) >= 2000:
        work.close()
        log.warning("too much under way")
        return

    def done(task: asyncio.Task) -> None:
        tasks_running.discard(task)
        if not task.cancelled() and task.exception():
            log.warning("not delivered: %s", task.exception())

    task = asyncio.create_task(work)
    tasks_running.add(task)
    task.add_done_callback(done)


async def say(event, text: str, markup: InlineKeyboardMarkup | None = None) -> None:
    """Answers where the message or the button is; a button without a message is answered in private."""
    message = event if hasattr(event, "chat") else event.message
    chat = message.chat.id if message is not None else event.from_user.id
    parts, part = [], ""
    for line in text.split("\n"):
        if part and len(part) + len(line) > 1900:
            parts.append(part)
            part = ""
        part += ("\n" if part else "") + line
    parts.append(part)
    for text_part in parts:
        await event.bot.send_message(chat, text_part, reply_markup=markup if text_part is parts[-1] else None)


async def toast(query, text: str = "") -> None:
    with suppress(TelegramAPIError):
        await query.bot.answer_callback_query(query.id, text=text or None)


async def tell_all(bot: Bot, chats: list[int], text: str, report_to: int | None = None) -> None:
    """Tells many, and whoever asked for it how many heard it."""
    reached = 0
    if BUG == "blocked-ends":
        for chat in chats:
            await bot.send_message(chat, text)
            reached += 1
    else:
        slots = asyncio.Semaphore(10)

        async def tell(chat: int) -> bool:
            async with slots:
                try:
                    await bot.send_message(chat, text)
                except Exception as error:
                    log.info("%s was not told: %s", chat, error)
                    return False
                return True

        reached = sum(await asyncio.gather(*map(tell, chats)))
    if report_to is not None:
        await bot.send_message(report_to, f"{reached} of {len(chats)} heard it.")


def audience(number: int, without: int) -> list[int]:
    people = [row["person"] for row in rows("SELECT person FROM members WHERE class = ?", number)]
    groups = [row["chat"] for row in rows("SELECT chat FROM links WHERE class = ?", number)]
    return [chat for chat in people + groups if chat != without]


HELP = """Homeroom keeps your classes.
/newclass - make a class, which you teach
/classes - your classes
/join code - join a class
/leave number - leave a class
/tasks - open tasks, hand in your work
/marks - your marks
/slots - book an office hour
/mine - the office hours you booked
/cancel - leave a conversation

For teachers:
/settask number - set a task for a class
/work number - work that waits for a mark
/slot number time - offer an office hour
/announce number text - tell the class something
/closeclass number - close a class
/link number, /unlink - in a group: announcements come here too"""
ADMIN_HELP = """

For the admin:
/stats - how much there is
/everyone text - tell everybody
/closeclass number - close any class"""


class NewClass(StatesGroup):
    title = State()
    confirm = State()


class SetTask(StatesGroup):
    title = State()
    days = State()


class HandIn(StatesGroup):
    text = State()
    confirm = State()


class People(BaseMiddleware):
    """Remembers how people are called."""

    async def __call__(self, handler, event, data):
        user = event.from_user
        if user is None:
            return None
        name = clean(user.first_name, 60)
        db.execute(
            "INSERT INTO people VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name", (user.id, name)
        )
        return await handler(event, data)


router = Router()
router.message.outer_middleware(People())
router.callback_query.outer_middleware(People())


# ---------------------------------------------------------------- commands


@router.message(F.migrate_to_chat_id)
async def migrated(message) -> None:
    patience.follow(message.chat.id, message.migrate_to_chat_id)


@router.message(CommandStart())
async def start(message, state) -> None:
    await state.clear()
    await say(
        message,
        f"Hello, {name_of(message.from_user.id)}. Join a class with /join, or make one with /newclass. See /help.",
    )


@router.message(Command("help"))
async def show_help(message) -> None:
    await say(message, HELP + (ADMIN_HELP if message.from_user.id == ADMIN_ID else ""))


@router.message(Command("cancel"))
async def cancel(message, state) -> None:
    was = await state.get_state()
    await state.clear()
    await say(message, "All right, forgotten." if was else "There is nothing to cancel.")


@router.message(Command("newclass"))
async def new_class(message, state) -> None:
    await state.clear()
    if count("SELECT count(*) FROM classes WHERE owner = ?", message.from_user.id) >= MAX_CLASSES:
        await say(message, f"You teach {MAX_CLASSES} classes already; close one first.")
        return
    await state.set_state(NewClass.title)
    await say(message, "What is the class called? (/cancel stops)")


@router.message(Command("classes"))
async def classes(message, state) -> None:
    await state.clear()
    me, lines = message.from_user.id, []
    for row in rows("SELECT * FROM classes WHERE owner = ?", me):
        students = count("SELECT count(*) FROM members WHERE class = ?", row["id"])
        code = f", code {row['code']}" if message.chat.type == "private" else ""
        lines.append(f"#{row['id']} {row['title']} - you teach {students} students{code}")
    query = "SELECT c.* FROM classes c JOIN members m ON m.class = c.id WHERE m.person = ?"
    lines += [f"#{row['id']} {row['title']} - taught by {name_of(row['owner'])}" for row in rows(query, me)]
    await say(message, "\n".join(lines) or "You are in no class. /join one, or make one with /newclass.")


@router.message(Command("join"))
async def join(message, command, state) -> None:
    await state.clear()
    found = one("SELECT * FROM classes WHERE code = ?", (command.args or "").strip().upper()[:20])
    me = message.from_user.id
    if not found:
        await say(message, "There is no class with that code. Like this: /join AB12CD")
    elif found["owner"] == me:
        await say(message, "You teach that class.")
    elif count("SELECT count(*) FROM members WHERE class = ?", found["id"]) >= MAX_MEMBERS:
        await say(message, "That class is full.")
    elif db.execute("INSERT OR IGNORE INTO members VALUES (?, ?)", (found["id"], me)).rowcount:
        await say(message, f"You are in #{found['id']} {found['title']} now. /tasks shows what there is to do.")
        spawn(tell_all(message.bot, [found["owner"]], f"{name_of(me)} joined #{found['id']} {found['title']}."))
    else:
        await say(message, "You are in that class already.")


@router.message(Command("leave"))
async def leave(message, command, state) -> None:
    await state.clear()
    number, me = number_in(command.args), message.from_user.id
    if not number or not db.execute("DELETE FROM members WHERE class = ? AND person = ?", (number, me)).rowcount:
        await say(message, "You are in no class of that number.")
        return
    db.execute("UPDATE slots SET person = NULL WHERE class = ? AND person = ?", (number, me))
    await say(message, f"You left class #{number}.")


async def taught(message, args: str | None, *, admin_too: bool = False) -> tuple[sqlite3.Row | None, str]:
    """The class that the command names, if the sender teaches it, and the rest of the line."""
    head, _, rest = (args or "").strip().partition(" ")
    found = class_of(number_in(head))
    me = message.from_user.id
    if found and (found["owner"] == me or (admin_too and me == ADMIN_ID)):
        return found, rest.strip()
    await say(message, "Only its teacher can do that." if found else "Which class? Give its number from /classes.")
    return None, ""


@router.message(Command("closeclass"))
async def close_class(message, command, state) -> None:
    await state.clear()
    if BUG == "close-any":
        found = class_of(number_in((command.args or "").strip()))
        if not found:
            await say(message, "Which class? Give its number from /classes.")
    else:
        found, _ = await taught(message, command.args, admin_too=True)
    if not found:
        return
    number = found["id"]
    chats = [*audience(number, message.chat.id), found["owner"]]
    db.execute("BEGIN")
    db.execute("DELETE FROM works WHERE task IN (SELECT id FROM tasks WHERE class = ?)", (number,))
    for table in ("tasks", "slots", "members", "links"):
        db.execute(f"DELETE FROM {table} WHERE class = ?", (number,))
    db.execute("DELETE FROM classes WHERE id = ?", (number,))
    db.execute("COMMIT")
    await say(message, f"Class #{number} {found['title']} is closed.")
    others = [chat for chat in chats if chat != message.chat.id]
    spawn(tell_all(message.bot, others, f"Class #{number} {found['title']} was closed."))


@router.message(Command("settask"))
async def set_task(message, command, state) -> None:
    await state.clear()
    found, title = await taught(message, command.args)
    if not found:
        return
    if count("SELECT count(*) FROM tasks WHERE class = ?", found["id"]) >= MAX_TASKS:
        await say(message, f"A class has at most {MAX_TASKS} tasks.")
        return
    await state.update_data(number=found["id"])
    if title:
        await state.update_data(title=clean(title, 60))
        await state.set_state(SetTask.days)
        await say(message, "How many days do they have? (1 to 60)")
        return
    await state.set_state(SetTask.title)
    await say(message, f"What is the task for {found['title']}? (/cancel stops)")


@router.message(Command("tasks"))
async def show_tasks(message, state) -> None:
    await state.clear()
    me = message.from_user.id
    found = rows(
        "SELECT t.*, c.title AS class_title FROM tasks t JOIN classes c ON c.id = t.class WHERE c.owner = ?1 OR EXISTS"
        " (SELECT 1 FROM members m WHERE m.class = c.id AND m.person = ?1) ORDER BY t.id DESC LIMIT 20",
        me,
    )
    lines, keys = [], []
    for row in found:
        lines.append(f"#{row['id']} {row['title']} ({row['class_title']}, {row['days']} days)")
        if belongs(me, row["class"]):
            data = f"sub:{row['id']}"
            if BUG == "long-button":
                data += ":" + row["title"][:48]
            keys.append([(f"Hand in #{row['id']}", data)])
    await say(message, "\n".join(lines) or "There are no tasks.", buttons(*keys[:10]))


@router.message(Command("work"))
async def show_work(message, command, state) -> None:
    await state.clear()
    if message.chat.type != "private":
        await say(message, "That is for private chats.")
        return
    found, _ = await taught(message, command.args)
    if not found:
        return
    query = "SELECT w.*, t.title FROM works w JOIN tasks t ON t.id = w.task WHERE t.class = ? AND mark IS NULL LIMIT 10"
    waiting = rows(query, found["id"])
    for row in waiting:
        await say(message, work_card(row), mark_buttons(row["id"]))
    if not waiting:
        await say(message, "No work waits for a mark.")


def work_card(row) -> str:
    return f"Work #{row['id']} by {name_of(row['person'])} for {row['title']}:\n{row['text']}"


def mark_buttons(number: int) -> InlineKeyboardMarkup | None:
    return buttons([(str(mark), f"mark:{number}:{mark}") for mark in range(1, 7)])


@router.message(Command("marks"))
async def marks(message, state) -> None:
    await state.clear()
    if message.chat.type != "private":
        await say(message, "That is for private chats.")
        return
    query = (
        "SELECT w.*, t.title FROM works w JOIN tasks t ON t.id = w.task WHERE w.person = ? ORDER BY w.id DESC LIMIT 30"
    )
    found = rows(query, message.from_user.id)
    lines = [f"{row['title']}: {row['mark'] or 'not marked yet'}" for row in found]
    await say(message, "\n".join(lines) or "You have handed in nothing.")


@router.message(Command("slot"))
async def add_slot(message, command, state) -> None:
    await state.clear()
    found, at = await taught(message, command.args)
    if not found:
        return
    at = clean(at, 40)
    if not at:
        await say(message, "When? Like this: /slot 1 Monday 10:00")
    elif count("SELECT count(*) FROM slots WHERE class = ?", found["id"]) >= MAX_SLOTS:
        await say(message, f"A class has at most {MAX_SLOTS} office hours.")
    else:
        number = db.execute("INSERT INTO slots (class, at) VALUES (?, ?)", (found["id"], at)).lastrowid
        await say(message, f"Office hour #{number} is offered: {at}.")


@router.message(Command("slots"))
async def show_slots(message, state) -> None:
    await state.clear()
    me = message.from_user.id
    found = rows(
        "SELECT s.*, c.title, c.owner FROM slots s JOIN classes c ON c.id = s.class WHERE c.owner = ?1 OR EXISTS"
        " (SELECT 1 FROM members m WHERE m.class = c.id AND m.person = ?1) ORDER BY s.id LIMIT 20",
        me,
    )
    lines, keys = [], []
    for row in found:
        taken = name_of(row["person"]) if row["person"] and me in {row["owner"], row["person"]} else "taken"
        lines.append(f"#{row['id']} {row['at']} ({row['title']}): {taken if row['person'] else 'free'}")
        if not row["person"] and row["owner"] != me:
            keys.append([(f"Book #{row['id']} {row['at'][:20]}", f"book:{row['id']}")])
    await say(message, "\n".join(lines) or "There are no office hours.", buttons(*keys))


@router.message(Command("mine"))
async def mine(message, state) -> None:
    await state.clear()
    query = "SELECT s.*, c.title FROM slots s JOIN classes c ON c.id = s.class WHERE s.person = ?"
    found = rows(query, message.from_user.id)
    lines = [f"#{row['id']} {row['at']} ({row['title']})" for row in found]
    keys = [[(f"Give back #{row['id']}", f"free:{row['id']}")] for row in found]
    await say(message, "\n".join(lines) or "You have booked no office hour.", buttons(*keys))


@router.message(Command("announce"))
async def announce(message, command, state) -> None:
    await state.clear()
    found, text = await taught(message, command.args)
    if not found:
        return
    text = clean(text, 800)
    if not text:
        await say(message, "What shall I tell them? Like this: /announce 1 no lesson on Friday")
        return
    chats = audience(found["id"], message.chat.id)
    await say(message, f"Telling {len(chats)} chats.")
    spawn(tell_all(message.bot, chats, f"{found['title']}: {text}", message.chat.id))


@router.message(Command("link"))
async def link(message, command, state) -> None:
    await state.clear()
    if message.chat.type == "private":
        await say(message, "Do that in the group.")
        return
    found, _ = await taught(message, command.args)
    if found:
        db.execute("INSERT OR REPLACE INTO links VALUES (?, ?)", (message.chat.id, found["id"]))
        await say(message, f"Announcements of {found['title']} come here from now on.")


@router.message(Command("unlink"))
async def unlink(message, state) -> None:
    await state.clear()
    query = "SELECT c.* FROM links l JOIN classes c ON c.id = l.class WHERE l.chat = ?"
    found = one(query, message.chat.id)
    if not found:
        await say(message, "No class is linked here.")
    elif message.from_user.id not in {found["owner"], ADMIN_ID}:
        await say(message, "Only its teacher can do that.")
    else:
        db.execute("DELETE FROM links WHERE chat = ?", (message.chat.id,))
        await say(message, f"{found['title']} is no longer linked.")


@router.message(Command("stats", "everyone"))
async def for_the_admin(message, command, state) -> None:
    await state.clear()
    if message.from_user.id != ADMIN_ID:
        await say(message, "That is for the admin.")
        return
    if command.command == "stats":
        tables = ("people", "classes", "members", "tasks", "works", "slots")
        await say(message, "\n".join(f"{table}: {count(f'SELECT count(*) FROM {table}')}" for table in tables))
        return
    text = clean(command.args or "", 800)
    people = [row["id"] for row in rows("SELECT id FROM people WHERE id != ? ORDER BY id DESC LIMIT 2000", ADMIN_ID)]
    if not text:
        await say(message, "What shall I tell everybody?")
        return
    await say(message, f"Telling {len(people)} people.")
    spawn(tell_all(message.bot, people, f"From the school: {text}", message.chat.id))


# ---------------------------------------------------------------- conversations


@router.message(F.text.startswith("/"))
async def unknown(message) -> None:
    if message.chat.type == "private":
        await say(message, "I do not know that command. /help lists them.")


@router.message(NewClass.title, F.text)
async def class_title(message, state) -> None:
    title = clean(message.text, 60)
    if not title:
        await say(message, "A class needs a name.")
        return
    await state.update_data(title=title)
    await state.set_state(NewClass.confirm)
    keys = buttons([("Create it", "class:yes"), ("Discard", "class:no")])
    await say(message, f"Shall I create the class {title}?", keys)


CONFIRMING = () if BUG == "confirm-twice" else (NewClass.confirm,)


@router.callback_query(F.data == "class:yes", *CONFIRMING)
async def class_confirmed(query, state) -> None:
    data = await state.get_data()
    if BUG == "confirm-twice":
        await state.set_state(None)
    else:
        await state.clear()
    await toast(query)
    me = query.from_user.id
    if "title" not in data or count("SELECT count(*) FROM classes WHERE owner = ?", me) >= MAX_CLASSES:
        await say(query, "That class cannot be made any more. Start again with /newclass.")
        return
    code = secrets.token_hex(3).upper()
    values = (me, data["title"], code)
    number = db.execute("INSERT INTO classes (owner, title, code) VALUES (?, ?, ?)", values).lastrowid
    await say(query, f"Class #{number} {data['title']} is open. Students join with /join {code}")


@router.message(SetTask.title, F.text)
async def task_title(message, state) -> None:
    title = clean(message.text, 60)
    if not title:
        await say(message, "A task needs a title.")
        return
    await state.update_data(title=title)
    await state.set_state(SetTask.days)
    await say(message, "How many days do they have? (1 to 60)")


@router.message(SetTask.days, F.text)
async def task_days(message, state) -> None:
    days = number_in(message.text.strip())
    if not days or days > 60:
        await say(message, "A number from 1 to 60, please.")
        return
    data = await state.get_data()
    await state.clear()
    found = class_of(data.get("number"))
    if not found or found["owner"] != message.from_user.id:
        await say(message, "That class is closed.")
        return
    values = (found["id"], data["title"], days)
    number = db.execute("INSERT INTO tasks (class, title, days) VALUES (?, ?, ?)", values).lastrowid
    await say(message, f"Task #{number} is set: {data['title']}, {days} days.")
    text = f"New task in {found['title']}: #{number} {data['title']}, {days} days. /tasks"
    spawn(tell_all(message.bot, audience(found["id"], message.chat.id), text))


@router.callback_query(F.data.regexp(r"^sub:[0-9]{1,9}(:|$)"))
async def hand_in(query, state) -> None:
    await toast(query)
    row = one("SELECT * FROM tasks WHERE id = ?", int(query.data.split(":")[1]))
    if not row or not belongs(query.from_user.id, row["class"]):
        await say(query, "That task is not open for you.")
        return
    await state.clear()
    await state.set_state(HandIn.text)
    await state.update_data(task=row["id"])
    await say(query, f"Write your work for #{row['id']} {row['title']}. (/cancel stops)")


@router.message(HandIn.text, F.text)
async def work_text(message, state) -> None:
    text = clean(message.text, 900)
    if not text:
        await say(message, "There is nothing in it.")
        return
    await state.update_data(text=text)
    await state.set_state(HandIn.confirm)
    keys = buttons([("Hand it in", "work:yes"), ("Discard", "work:no")])
    await say(message, f"That is {len(text)} characters. Hand it in?", keys)


@router.callback_query(HandIn.confirm, F.data == "work:yes")
async def work_confirmed(query, state) -> None:
    data = await state.get_data()
    await state.clear()
    await toast(query)
    me = query.from_user.id
    row = one(
        "SELECT t.*, c.owner FROM tasks t JOIN classes c ON c.id = t.class WHERE t.id = ?",
        data.get("task"),
    )
    if not row or not belongs(me, row["class"]):
        await say(query, "That task is not open any more.")
        return
    values = (row["id"], me, data["text"])
    db.execute(
        "INSERT INTO works (task, person, text) VALUES (?, ?, ?) ON CONFLICT (task, person)"
        " DO UPDATE SET text = excluded.text, mark = NULL",
        values,
    )
    work = one("SELECT w.*, ? AS title FROM works w WHERE task = ? AND person = ?", row["title"], row["id"], me)
    await say(query, f"Handed in as work #{work['id']}.")

    async def tell_teacher() -> None:
        await query.bot.send_message(row["owner"], work_card(work), reply_markup=mark_buttons(work["id"]))

    spawn(tell_teacher())


@router.callback_query(F.data.in_({"class:no", "work:no"}))
async def discarded(query, state) -> None:
    await state.clear()
    await toast(query, "Discarded")
    await say(query, "Discarded.")


# ---------------------------------------------------------------- buttons


@router.callback_query(F.data.regexp(r"^mark:[0-9]{1,9}:[1-6]$"))
async def mark(query) -> None:
    _, number, given = query.data.split(":")
    row = one(
        "SELECT w.*, t.title, c.owner FROM works w JOIN tasks t ON t.id = w.task JOIN classes c ON c.id = t.class"
        " WHERE w.id = ?",
        int(number),
    )
    me = query.from_user.id
    if BUG == "any-teacher":
        allowed = count("SELECT count(*) FROM classes WHERE owner = ?", me) > 0
    else:
        allowed = row is not None and row["owner"] == me
    if not row or not allowed:
        await toast(query, "Only the teacher of the class marks work.")
        await say(query, "Only the teacher of the class marks work.")
        return
    db.execute("UPDATE works SET mark = ? WHERE id = ?", (int(given), row["id"]))
    await toast(query, "Marked")
    await say(query, f"Work #{row['id']} by {name_of(row['person'])} got {given}.")
    spawn(tell_all(query.bot, [row["person"]], f"Your work for {row['title']} was marked: {given}."))


@router.callback_query(F.data.regexp(r"^book:[0-9]{1,9}$"))
async def book(query) -> None:
    number, me = int(query.data.split(":")[1]), query.from_user.id
    row = one("SELECT s.*, c.owner FROM slots s JOIN classes c ON c.id = s.class WHERE s.id = ?", number)
    if not row or not belongs(me, row["class"]):
        await toast(query, "That office hour is not for you.")
        await say(query, "That office hour is not for you.")
        return
    if BUG == "overbooked":
        await toast(query, "One moment…")
        booked = row["person"] is None
        if booked:
            db.execute("UPDATE slots SET person = ? WHERE id = ?", (me, number))
    else:
        booked = db.execute("UPDATE slots SET person = ? WHERE id = ? AND person IS NULL", (me, number)).rowcount == 1
        await toast(query, "One moment…")
    if not booked:
        await say(query, f"Office hour #{number} is taken already.")
        return
    await say(query, f"Office hour #{number} is yours: {row['at']}.")
    spawn(tell_all(query.bot, [row["owner"]], f"{name_of(me)} booked office hour #{number}: {row['at']}."))


@router.callback_query(F.data.regexp(r"^free:[0-9]{1,9}$"))
async def free(query) -> None:
    number, me = int(query.data.split(":")[1]), query.from_user.id
    given = db.execute("UPDATE slots SET person = NULL WHERE id = ? AND person = ?", (number, me)).rowcount
    await toast(query)
    await say(query, f"Office hour #{number} is free again." if given else "That office hour is not yours.")


@router.callback_query()
async def stale(query) -> None:
    await toast(query, "That button is out of date.")
    await say(query, "That button is out of date. /help")


@router.message()
async def anything(message, state) -> None:
    where = await state.get_state()
    if where in {NewClass.confirm.state, HandIn.confirm.state}:
        await say(message, "Please use the buttons, or /cancel.")
    elif where:
        await say(message, "Please write it as text, or /cancel.")
    elif message.chat.type == "private":
        await say(message, "I work with commands. /help lists them.")


strategy = FSMStrategy.GLOBAL_USER if BUG == "state-follows" else FSMStrategy.USER_IN_CHAT
dispatcher = Dispatcher(storage=Recent(), fsm_strategy=strategy)
dispatcher.include_router(router)


@dispatcher.errors()
async def failed(event) -> bool:
    if isinstance(event.exception, TelegramAPIError):
        log.warning("Telegram: %s", event.exception)
        return True
    log.error("failed", exc_info=event.exception)
    source = event.update.message or event.update.callback_query
    if source is not None:
        with suppress(TelegramAPIError):
            await say(source, "Something went wrong on my side. Please try again.")
    return True


# ---------------------------------------------------------------- the webhook

seen: OrderedDict[int, bool] = OrderedDict()
queues: dict[int, deque] = {}
workers: set[asyncio.Task] = set()


def key_of(update: Update) -> int | None:
    """The chat whose queue it goes to; None for what this bot has no use for."""
    if update.callback_query:
        query = update.callback_query
        if BUG == "no-message":
            return query.message.chat.id
        return query.message.chat.id if query.message else query.from_user.id
    return update.message.chat.id if update.message and update.message.from_user else None


def fits(update: Update) -> bool:
    """Whether the numbers in it are such as Telegram gives, which SQLite can keep."""
    event = update.callback_query or update.message
    ids = [event.from_user.id, update.update_id]
    if update.message:
        ids += [event.chat.id, event.migrate_to_chat_id or 0]
    elif event.message:
        ids.append(event.message.chat.id)
    return all(abs(number) < 1 << 53 for number in ids)


async def work(bot: Bot, chat: int, queue: deque) -> None:
    try:
        while queue:
            try:
                await dispatcher.feed_update(bot, queue.popleft())
            except Exception:
                log.exception("chat %s", chat)
    finally:
        queues.pop(chat, None)


def trusted(given: str) -> bool:
    if BUG == "caseless":
        return given.lower() == SECRET.lower()
    return hmac.compare_digest(given.encode("utf-8", "replace"), SECRET.encode())


async def webhook(request: web.Request) -> web.Response:
    if not trusted(request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")):
        return web.json_response({"error": "wrong secret"}, status=401)
    try:
        data = json.loads(await request.read())
    except (ValueError, RecursionError):
        return web.json_response({"error": "no JSON"}, status=400)
    number = data.get("update_id") if isinstance(data, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        return web.json_response({"error": "no update"}, status=400)
    bot = request.app["bot"]
    try:
        update = Update.model_validate(data, context={"bot": bot})
    except (ValidationError, RecursionError) as error:
        log.info("an update that is none: %s", str(error)[:200])
        return web.json_response({})
    chat = key_of(update)
    if chat is None or number in seen or not fits(update):
        return web.json_response({})
    queue = queues.get(chat)
    if queue is not None and len(queue) >= MAX_PENDING:
        return web.json_response({"error": "too much for this chat"}, status=429)
    seen[number] = True
    if len(seen) > MAX_SEEN:
        seen.popitem(last=False)
    if queue is None:
        queue = queues[chat] = deque()
        task = asyncio.create_task(work(bot, chat, queue))
        workers.add(task)
        task.add_done_callback(workers.discard)
    queue.append(update)
    return web.json_response({})


def main() -> None:
    app = web.Application(client_max_size=MAX_BODY)
    app["bot"] = Bot(TOKEN, session=session)
    app.router.add_post(PATH, webhook)

    async def close(_: web.Application) -> None:
        await session.close()

    app.on_cleanup.append(close)
    web.run_app(app, host="127.0.0.1", port=PORT, print=None, access_log=None)


if __name__ == "__main__":
    main()
