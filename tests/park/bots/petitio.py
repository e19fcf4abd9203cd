"""Petitio: petitions in English, on python-telegram-bot 22 behind Starlette.

Acknowledges at once and works from a queue for each chat; a ConversationHandler writes petitions, SQLite keeps them, authors own
them and hand them over, moderators hide them, groups watch for new ones.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import sqlite3
import sys
import tempfile
import warnings
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from html import escape
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import Chat, InlineKeyboardButton, InlineKeyboardMarkup, Message, MessageOriginUser, Update, User
from telegram.constants import ChatType, ParseMode
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    CommandHandler,
    ConversationHandler,
    ExtBot,
    MessageHandler,
    filters,
)
from telegram.request import HTTPXRequest

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "1:x")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

MAX_BODY = 1 << 20
MAX_PENDING = 150  # per chat
MAX_SEEN = 20_000
MAX_PETITIONS = 2000
MAX_OPEN = 20  # per author
MAX_COMMENTS = 30
MAX_WATCHERS = 300
BACKOFF = (0.5, 1, 2, 4, 8)
TITLE, TEXT, GOAL, CONFIRM = range(4)

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
log = logging.getLogger("petitio")
warnings.filterwarnings("ignore", message=".*per_message.*")

HELP = """I collect signatures.
/new - write a petition
/list - petitions that are open
/show ID - one petition, with buttons
/sign ID - sign a petition
/unsign ID - take your signature back
/comment ID TEXT - comment on a petition
/report ID REASON - tell the moderators
/mine - your petitions
/edit ID TEXT - change the text of your petition
/close ID - close your petition
/handover ID USER - offer your petition to somebody
/watch, /unwatch - new petitions are announced in this chat
/whoami - your number
/cancel - stop writing
Moderators:
/reports - what was reported
/hide ID, /unhide ID - take a petition off the list
Admin:
/mod USER, /unmod USER - moderators
/announce TEXT - to all chats that watch
/stats - figures"""


class Lru(OrderedDict):
    """Forgets what was set longest ago."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.limit:
            self.popitem(last=False)


def clean(text: str, limit: int) -> str:
    """The text on one line, not longer than this."""
    text = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number(text: str) -> int:
    """A petition's or user's number, 0 for none."""
    return int(text.lstrip("#")) if re.fullmatch(r"#?[0-9]{1,15}", text) else 0


# ---------------------------------------------------------------- the store

folder = tempfile.TemporaryDirectory(prefix="petitio-")
db = sqlite3.connect(os.path.join(folder.name, "petitio.db"), isolation_level=None)
db.row_factory = sqlite3.Row
db.executescript("""
PRAGMA synchronous = OFF;
CREATE TABLE petitions (id INTEGER PRIMARY KEY AUTOINCREMENT, author INT, author_name TEXT, title TEXT, text TEXT, goal INT,
  signed INT DEFAULT 0, state TEXT DEFAULT 'open');
CREATE TABLE signatures (petition INT, user INT, name TEXT, UNIQUE (petition, user));
CREATE TABLE comments (petition INT, name TEXT, text TEXT);
CREATE TABLE reports (petition INT, user INT, reason TEXT, UNIQUE (petition, user));
CREATE TABLE mods (user INTEGER PRIMARY KEY);
CREATE TABLE watchers (chat INTEGER PRIMARY KEY);
CREATE TABLE offers (petition INTEGER PRIMARY KEY, user INT);
""")


def get(petition: int) -> sqlite3.Row | None:
    """One petition."""
    return db.execute("SELECT * FROM petitions WHERE id = ?", (petition,)).fetchone()


def is_mod(user: User) -> bool:
    """Whether somebody may moderate."""
    found = db.execute("SELECT 1 FROM mods WHERE user = ?", (user.id,)).fetchone()
    return user.id == ADMIN_ID or found is not None


def name_of(user: User) -> str:
    """A name for others to read."""
    name = clean(user.first_name or "", 40) or f"user {user.id}"
    return name if BUG == "name-unescaped" else escape(name, quote=False)


def card(one: sqlite3.Row) -> str:
    """A petition as HTML."""
    names = db.execute(
        "SELECT name FROM signatures WHERE petition = ? ORDER BY rowid DESC LIMIT 10", (one["id"],)
    ).fetchall()
    notes = db.execute("SELECT * FROM comments WHERE petition = ? ORDER BY rowid DESC LIMIT 5", (one["id"],)).fetchall()
    lines = [
        f"<b>#{one['id']} {escape(one['title'], quote=False)}</b> ({one['state']})",
        escape(one["text"], quote=False),
        f"by {one['author_name']}, {one['signed']} of {one['goal']} signatures",
    ]
    lines += [f"signed lately: {', '.join(row['name'] for row in names)}"] if names else []
    lines += [f"<i>{row['name']}</i>: {escape(row['text'], quote=False)}" for row in reversed(notes)]
    return "\n".join(lines)


def card_buttons(one: sqlite3.Row) -> InlineKeyboardMarkup | None:
    """What can be pressed below it."""
    if one["state"] != "open":
        return None
    row = [("Sign", "sign"), ("Take back", "unsign"), ("Close", "close")]
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(text, callback_data=f"{data}:{one['id']}") for text, data in row]]
    )


# ---------------------------------------------------------------- the Bot API


class Silent(ExtBot):
    """Knows itself from its token, so that nothing is asked as it starts."""

    async def get_me(self, *_: Any, **__: Any) -> User:
        """Who it is."""
        self._bot_user = User(int(TOKEN.split(":")[0]), "Petitio", is_bot=True, username="petitio_bot")
        return self._bot_user


def request() -> HTTPXRequest:
    """A client that waits for nothing longer than 8 s."""
    return HTTPXRequest(
        connection_pool_size=400, connect_timeout=5, read_timeout=8, write_timeout=8, pool_timeout=8, http_version="1.1"
    )


bot = Silent(TOKEN, base_url=f"{API}/bot", request=request(), get_updates_request=request())
moved: Lru = Lru(1000)
background: set[asyncio.Task] = set()


async def patiently(chat: int, call: Any) -> None:
    """Makes a call for a chat, again where that may help."""
    attempt = waits = 0
    while True:
        try:
            await call(moved.get(chat, chat))
            return
        except RetryAfter as error:
            pause = (
                error.retry_after if isinstance(error.retry_after, (int, float)) else error.retry_after.total_seconds()
            )
            waits += 1
            if pause > 300 or waits > 5:
                raise
            await asyncio.sleep(pause + 0.1)
        except ChatMigrated as error:
            moved[chat] = error.new_chat_id
            waits += 1
            if BUG == "migrated-dropped":
                return
            if waits > 5:
                raise
        except (BadRequest, Forbidden, InvalidToken):
            raise
        except NetworkError:
            if attempt >= len(BACKOFF):
                raise
            await asyncio.sleep(BACKOFF[attempt])
            attempt += 1


async def say(chat: int, text: str, buttons: InlineKeyboardMarkup | None = None, *, html: bool = False) -> None:
    """Sends a message, in parts where it is long."""
    lines, parts = text.split("\n"), [""]
    for line in lines:
        if len(parts[-1]) + len(line) > 1900 and parts[-1]:
            parts.append("")
        parts[-1] += ("\n" if parts[-1] else "") + line
    for part in parts[:5]:
        markup = buttons if part is parts[-1] else None
        try:
            await patiently(
                chat,
                lambda to, part=part, markup=markup: bot.send_message(
                    to, part, parse_mode=ParseMode.HTML if html else None, reply_markup=markup
                ),
            )
        except BadRequest as error:
            log.warning("chat %s: %s", chat, error)
            if BUG == "name-unescaped" or not html:
                return
            await patiently(chat, lambda to, part=part: bot.send_message(to, re.sub(r"<[^>]*>", "", part)))


def notify(
    chat: int, text: str, buttons: InlineKeyboardMarkup | None = None, *, html: bool = False, delay: float = 0
) -> None:
    """Sends a message for which nobody waits."""
    if len(background) >= 3000:
        log.warning("too many messages under way")
        return

    async def later() -> None:
        try:
            await asyncio.sleep(delay)
            await say(chat, text, buttons, html=html)
        except TelegramError as error:
            log.warning("not delivered to %s: %s", chat, error)

    task = asyncio.create_task(later())
    background.add(task)
    task.add_done_callback(background.discard)


# ---------------------------------------------------------------- commands


def message_of(update: Update) -> Message | None:
    """The message of an update, also of an edited one."""
    return update.message if BUG == "edited-none" else update.effective_message


def actor_of(update: Update) -> User:
    """Who asks for something."""
    origin = getattr(update.message, "forward_origin", None)
    if BUG == "forwarded-author" and isinstance(origin, MessageOriginUser):
        return origin.sender_user  # people forward what others asked for
    return update.effective_user


commands: dict[str, Any] = {}


def command(*names: str) -> Any:
    """Registers a command; it is given the chat, who asks, and the words behind it."""

    def register(handler: Any) -> Any:
        async def handle(update: Update, _: Any) -> None:
            message = message_of(update)
            text = message.text or ""
            await handler(message.chat, actor_of(update), text.partition(" ")[2].strip() if " " in text else "")

        for name in names:
            commands[name] = handle
        return handler

    return register


@command("start", "help")
async def do_help(chat: Chat, user: User, rest: str) -> None:
    await say(chat.id, HELP)


@command("whoami")
async def do_whoami(chat: Chat, user: User, rest: str) -> None:
    role = "admin" if user.id == ADMIN_ID else "moderator" if is_mod(user) else "user"
    await say(chat.id, f"You are {user.id}, {role}.")


@command("list")
async def do_list(chat: Chat, user: User, rest: str) -> None:
    rows = db.execute("SELECT * FROM petitions WHERE state = 'open' ORDER BY id DESC LIMIT 30").fetchall()
    await say(
        chat.id,
        "\n".join(f"#{row['id']} {row['title']} ({row['signed']}/{row['goal']})" for row in rows) or "Nothing yet.",
    )


@command("show")
async def do_show(chat: Chat, user: User, rest: str) -> None:
    one = get(number(rest))
    if one is None or (one["state"] == "hidden" and one["author"] != user.id and not is_mod(user)):
        return await say(chat.id, "No such petition. See /list.")
    await say(chat.id, card(one), card_buttons(one), html=True)


@command("sign")
async def do_sign(chat: Chat, user: User, rest: str) -> None:
    await say(chat.id, await sign(number(rest), user, chat.id))


@command("unsign")
async def do_unsign(chat: Chat, user: User, rest: str) -> None:
    await say(chat.id, unsign(number(rest), user))


async def sign(petition: int, user: User, chat: int) -> str:
    """Signs; the answer for who signed."""
    one = get(petition)
    if one is None or one["state"] != "open":
        return "No such open petition."
    if db.execute("SELECT 1 FROM signatures WHERE petition = ? AND user = ?", (petition, user.id)).fetchone():
        return "You have signed that one already."
    if BUG == "lost-signature":
        await bot.send_chat_action(chat, "typing")
        db.execute("INSERT OR IGNORE INTO signatures VALUES (?, ?, ?)", (petition, user.id, name_of(user)))
        db.execute("UPDATE petitions SET signed = ? WHERE id = ?", (one["signed"] + 1, petition))
    else:
        db.execute("INSERT INTO signatures VALUES (?, ?, ?)", (petition, user.id, name_of(user)))
        db.execute("UPDATE petitions SET signed = signed + 1 WHERE id = ?", (petition,))
    now = get(petition)["signed"]
    if one["author"] != user.id:
        text = f"{name_of(user)} signed #{petition}: {now} of {one['goal']}."
        if BUG == "author-blocked":
            await say(one["author"], text, html=True)
        else:
            notify(one["author"], text, html=True)
    return f"Signed. #{petition} has {now} of {one['goal']} signatures."


def unsign(petition: int, user: User) -> str:
    """Takes a signature back; the answer for who asked."""
    gone = db.execute("DELETE FROM signatures WHERE petition = ? AND user = ?", (petition, user.id)).rowcount
    if gone:
        db.execute("UPDATE petitions SET signed = signed - 1 WHERE id = ?", (petition,))
    return f"Your signature under #{petition} is gone." if gone else "You have not signed that one."


@command("comment")
async def do_comment(chat: Chat, user: User, rest: str) -> None:
    which, _, text = rest.partition(" ")
    one, text = get(number(which)), clean(text, 200)
    if one is None or one["state"] == "hidden" or not text:
        return await say(chat.id, "Usage: /comment ID TEXT")
    count = db.execute("SELECT count(*) FROM comments WHERE petition = ?", (one["id"],)).fetchone()[0]
    if count >= MAX_COMMENTS:
        return await say(chat.id, "There are too many comments on that one.")
    db.execute("INSERT INTO comments VALUES (?, ?, ?)", (one["id"], name_of(user), text))
    if one["author"] != user.id:
        notify(one["author"], f"There is a new comment on #{one['id']}.")
    await say(chat.id, f"Comment {count + 1} on #{one['id']} is saved.")


@command("report")
async def do_report(chat: Chat, user: User, rest: str) -> None:
    which, _, reason = rest.partition(" ")
    one, reason = get(number(which)), clean(reason, 200)
    if one is None or not reason:
        return await say(chat.id, "Usage: /report ID REASON")
    if db.execute("SELECT count(*) FROM reports").fetchone()[0] >= 2000:
        return await say(chat.id, "There are too many reports at the moment.")
    db.execute("INSERT OR REPLACE INTO reports VALUES (?, ?, ?)", (one["id"], user.id, reason))
    await say(chat.id, "Thank you, the moderators will look at it.")


@command("mine")
async def do_mine(chat: Chat, user: User, rest: str) -> None:
    rows = db.execute("SELECT * FROM petitions WHERE author = ? ORDER BY id DESC LIMIT 30", (user.id,)).fetchall()
    await say(
        chat.id,
        "\n".join(f"#{row['id']} {row['title']} ({row['state']}, {row['signed']}/{row['goal']})" for row in rows)
        or "You have written none. Try /new.",
    )


@command("edit")
async def do_edit(chat: Chat, user: User, rest: str) -> None:
    which, _, text = rest.partition(" ")
    one, text = get(number(which)), clean(text, 800)
    if one is None or not text:
        return await say(chat.id, "Usage: /edit ID TEXT")
    if BUG != "edit-any" and one["author"] != user.id:
        return await say(chat.id, "That is not your petition.")
    db.execute("UPDATE petitions SET text = ? WHERE id = ?", (text, one["id"]))
    await say(chat.id, f"The text of #{one['id']} is changed.")


@command("close")
async def do_close(chat: Chat, user: User, rest: str) -> None:
    await say(chat.id, close(number(rest), user))


def close(petition: int, user: User) -> str:
    """Closes a petition; the answer for who asked."""
    one = get(petition)
    if one is None or one["state"] == "hidden":
        return "No such petition."
    if one["author"] != user.id and not is_mod(user):
        return "That is not your petition."
    if one["state"] == "closed":
        return f"#{petition} is closed already."
    db.execute("UPDATE petitions SET state = 'closed' WHERE id = ?", (petition,))
    return f"#{petition} is closed with {one['signed']} signatures."


@command("handover")
async def do_handover(chat: Chat, user: User, rest: str) -> None:
    which, _, who = rest.partition(" ")
    one, target = get(number(which)), number(who.strip())
    if one is None or not target:
        return await say(chat.id, "Usage: /handover ID USER (the number that /whoami tells)")
    if one["author"] != user.id:
        return await say(chat.id, "That is not your petition.")
    db.execute("INSERT OR REPLACE INTO offers VALUES (?, ?)", (one["id"], target))
    button = InlineKeyboardMarkup([[InlineKeyboardButton("Accept", callback_data=f"take:{one['id']}")]])
    notify(target, f"{name_of(user)} wants to hand #{one['id']} over to you.", button, html=True)
    await say(chat.id, f"Offered #{one['id']} to {target}.")


def take(petition: int, user: User) -> str:
    """Takes a petition over; the answer for who asked."""
    offer = db.execute("SELECT user FROM offers WHERE petition = ?", (petition,)).fetchone()
    one = get(petition)
    if one is None or offer is None or offer["user"] != user.id:
        return "Nobody offers you that."
    db.execute("DELETE FROM offers WHERE petition = ?", (petition,))
    db.execute("UPDATE petitions SET author = ?, author_name = ? WHERE id = ?", (user.id, name_of(user), petition))
    notify(one["author"], f"#{petition} is handed over.")
    return f"#{petition} is yours now."


@command("watch")
async def do_watch(chat: Chat, user: User, rest: str) -> None:
    if db.execute("SELECT count(*) FROM watchers").fetchone()[0] >= MAX_WATCHERS:
        return await say(chat.id, "Too many chats are watching.")
    db.execute("INSERT OR IGNORE INTO watchers VALUES (?)", (chat.id,))
    await say(chat.id, "New petitions will be announced here.")


@command("unwatch")
async def do_unwatch(chat: Chat, user: User, rest: str) -> None:
    gone = db.execute("DELETE FROM watchers WHERE chat = ?", (chat.id,)).rowcount
    await say(chat.id, "This chat does not watch any more." if gone else "This chat was not watching.")


def watchers() -> list[int]:
    """The chats that watch."""
    return [row["chat"] for row in db.execute("SELECT chat FROM watchers")]


@command("reports")
async def do_reports(chat: Chat, user: User, rest: str) -> None:
    if not is_mod(user):
        return await say(chat.id, "That is for moderators.")
    rows = db.execute("SELECT * FROM reports ORDER BY rowid DESC LIMIT 20").fetchall()
    await say(chat.id, "\n".join(f"#{row['petition']}: {row['reason']}" for row in rows) or "Nothing was reported.")


@command("hide")
async def do_hide(chat: Chat, user: User, rest: str) -> None:
    await say(chat.id, set_hidden(number(rest), user, state="hidden"))


@command("unhide")
async def do_unhide(chat: Chat, user: User, rest: str) -> None:
    await say(chat.id, set_hidden(number(rest), user, state="open"))


def set_hidden(petition: int, user: User, *, state: str) -> str:
    """Hides a petition or shows it again; the answer for who asked."""
    if not is_mod(user):
        return "That is for moderators."
    if get(petition) is None:
        return "No such petition."
    db.execute("UPDATE petitions SET state = ? WHERE id = ?", (state, petition))
    db.execute("DELETE FROM reports WHERE petition = ?", (petition,))
    return f"#{petition} is {state} now."


@command("mod")
async def do_mod(chat: Chat, user: User, rest: str) -> None:
    target = number(rest)
    if user.id != ADMIN_ID:
        return await say(chat.id, "That is for the admin.")
    if not target:
        return await say(chat.id, "Usage: /mod USER")
    if db.execute("SELECT count(*) FROM mods").fetchone()[0] >= 200:
        return await say(chat.id, "There are too many moderators.")
    db.execute("INSERT OR IGNORE INTO mods VALUES (?)", (target,))
    await say(chat.id, f"{target} is a moderator now.")


@command("unmod")
async def do_unmod(chat: Chat, user: User, rest: str) -> None:
    target = number(rest)
    if user.id != ADMIN_ID:
        return await say(chat.id, "That is for the admin.")
    gone = db.execute("DELETE FROM mods WHERE user = ?", (target,)).rowcount
    await say(chat.id, f"{target} is no moderator any more." if gone else "Usage: /unmod USER, of a moderator")


@command("announce")
async def do_announce(chat: Chat, user: User, rest: str) -> None:
    text = clean(rest, 500)
    if user.id != ADMIN_ID:
        return await say(chat.id, "That is for the admin.")
    if not text:
        return await say(chat.id, "Usage: /announce TEXT")
    others = [one for one in watchers() if one != chat.id]
    for index, one in enumerate(others):
        notify(one, f"Announcement: {text}", delay=index * 0.04)
    await say(chat.id, f"Announced in {len(others)} chats.")


@command("stats")
async def do_stats(chat: Chat, user: User, rest: str) -> None:
    if user.id != ADMIN_ID:
        return await say(chat.id, "That is for the admin.")
    counts = [
        db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("petitions", "signatures", "mods", "watchers")
    ]
    await say(chat.id, "{} petitions, {} signatures, {} moderators, {} chats watch.".format(*counts))


# ---------------------------------------------------------------- writing a petition

drafts: Lru = Lru(2000)


def draft_key(update: Update) -> tuple[int, int]:
    """Whose draft it is."""
    return (update.effective_chat.id, 0 if BUG == "draft-per-chat" else update.effective_user.id)


async def begin(update: Update, _: Any) -> int:
    chat = update.effective_chat.id
    count = db.execute(
        "SELECT count(*) FROM petitions WHERE author = ? AND state = 'open'", (update.effective_user.id,)
    ).fetchone()[0]
    if count >= MAX_OPEN:
        await say(chat, "You have too many open petitions; close one first.")
        return ConversationHandler.END
    if len(drafts) >= drafts.limit:  # forget the oldest, in the library too
        oldest, _ = drafts.popitem(last=False)
        writing._conversations.pop(oldest if BUG != "draft-per-chat" else oldest[:1], None)
    drafts[draft_key(update)] = {}
    await say(chat, "What is the title? (/cancel to stop)")
    return TITLE


async def step(update: Update, _: Any) -> int:
    chat, draft = update.effective_chat.id, drafts.get(draft_key(update))
    text = clean(update.effective_message.text or "", 800)
    if draft is None or not text:
        await say(chat, "Please start again with /new.")
        return ConversationHandler.END
    if "title" not in draft:
        draft["title"] = text[:100]
        await say(chat, "And what do you demand?")
        return TEXT
    if "text" not in draft:
        draft["text"] = text
        await say(chat, "How many signatures do you want? (2 to 100000)")
        return GOAL
    goal = number(text)
    if not 2 <= goal <= 100_000:
        await say(chat, "A number from 2 to 100000, please.")
        return GOAL
    draft["goal"] = goal
    row = [("Publish", "new:yes"), ("Discard", "new:no")]
    await say(
        chat,
        f"{draft['title']}\n{draft['text']}\nGoal: {goal}",
        InlineKeyboardMarkup([[InlineKeyboardButton(label, callback_data=data) for label, data in row]]),
    )
    return CONFIRM


async def no_text(update: Update, _: Any) -> None:
    await say(update.effective_chat.id, "Please write it as text, or /cancel.")


async def confirm(update: Update, _: Any) -> int:
    draft, user = drafts.pop(draft_key(update), None), update.effective_user
    chat = update.effective_chat.id
    await answer(update)
    if not draft or "goal" not in draft or update.callback_query.data == "new:no":
        await say(chat, "Discarded.")
        return ConversationHandler.END
    spare = db.execute("SELECT count(*) FROM petitions").fetchone()[0] - MAX_PETITIONS + 1
    if spare > 0:
        order = "SELECT id FROM petitions ORDER BY state = 'open', id LIMIT ?"
        gone = [row["id"] for row in db.execute(order, (spare,))]
        for table, column in (
            ("petitions", "id"),
            ("signatures", "petition"),
            ("comments", "petition"),
            ("reports", "petition"),
            ("offers", "petition"),
        ):
            db.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(one,) for one in gone])
    made = db.execute(
        "INSERT INTO petitions (author, author_name, title, text, goal) VALUES (?, ?, ?, ?, ?)",
        (user.id, name_of(user), draft["title"], draft["text"], draft["goal"]),
    ).lastrowid
    for index, one in enumerate(one for one in watchers() if one != chat):
        notify(one, f"New petition #{made}: {draft['title']}", delay=index * 0.04)
    await say(chat, f"Published as #{made}. Share it: /show {made}")
    return ConversationHandler.END


async def cancel(update: Update, _: Any) -> int:
    drafts.pop(draft_key(update), None)
    await say(update.effective_chat.id, "Stopped.")
    return ConversationHandler.END


async def nothing_to_cancel(update: Update, _: Any) -> None:
    await say(update.effective_chat.id, "There is nothing to stop.")


# ---------------------------------------------------------------- buttons, the rest, errors


async def answer(update: Update, text: str | None = None) -> None:
    """Ends the button's waiting."""
    try:
        await update.callback_query.answer(text[:190] if text else None)
    except TelegramError as error:
        log.warning("button: %s", error)


async def pressed(update: Update, _: Any) -> None:
    user, data = update.effective_user, update.callback_query.data
    match = re.fullmatch(r"(sign|unsign|close|take):([0-9]{1,15})", data) if isinstance(data, str) else None
    if match is None:
        return await answer(update, "That button is not for you (any more).")
    chat, petition = update.effective_chat.id if update.effective_chat else user.id, int(match[2])
    if match[1] == "sign":
        text = await sign(petition, user, chat)
    else:
        text = {"unsign": unsign, "close": close, "take": take}[match[1]](petition, user)
    await answer(update, text)
    await say(chat, text)


async def other(update: Update, _: Any) -> None:
    message = update.effective_message
    if (message.text or "").startswith("/"):
        await say(message.chat.id, "I do not know that command. See /help.")
    elif message.chat.type == ChatType.PRIVATE:
        await say(message.chat.id, "Send /help to see what I can do.")


async def failed(update: object, context: Any) -> None:
    error = context.error
    if isinstance(error, TelegramError):
        log.warning("update: %s", error)
    else:
        log.error("update", exc_info=error)
    if isinstance(error, Forbidden) or not isinstance(update, Update):
        return
    message = message_of(update)
    chat = message.chat.id if message else update.effective_user.id if update.callback_query else 0
    if chat:
        late = 15 if isinstance(error, (NetworkError, RetryAfter)) else 0
        notify(chat, "Sorry, that did not work. Please try again.", delay=late)


once = filters.UpdateType.MESSAGE
text_step = [
    MessageHandler(once & filters.TEXT & ~filters.COMMAND, step),
    MessageHandler(once & ~filters.TEXT & ~filters.StatusUpdate.ALL, no_text),
]
writing = ConversationHandler(
    entry_points=[CommandHandler("new", begin, filters=once)],
    states={
        TITLE: text_step,
        TEXT: text_step,
        GOAL: text_step,
        CONFIRM: [CallbackQueryHandler(confirm, pattern=r"^new:(yes|no)$")],
    },
    fallbacks=[CommandHandler("cancel", cancel, filters=once)],
    allow_reentry=True,
    per_user=BUG != "draft-per-chat",
)


def build() -> Application:
    """The application with its handlers."""
    app = Application.builder().bot(bot).updater(None).build()
    app.add_handler(writing)
    app.add_handler(CommandHandler("cancel", nothing_to_cancel, filters=once))
    for name, handler in commands.items():
        app.add_handler(CommandHandler(name, handler, filters=filters.UpdateType.MESSAGES))
    app.add_handler(CallbackQueryHandler(pressed))
    app.add_handler(MessageHandler(once & ~filters.StatusUpdate.ALL, other))
    app.add_error_handler(failed)
    return app


# ---------------------------------------------------------------- queues and the webhook

application = build()
waiting: dict[int, deque] = {}
workers: set[asyncio.Task] = set()
seen: Lru = Lru(MAX_SEEN)
history: list[dict] = []


def chat_of(update: dict) -> int:
    """The chat that an update belongs to, 0 where there is nothing to do."""

    def is_id(value: object) -> bool:
        return type(value) is int and 0 < abs(value) < 1 << 53

    def sender(content: dict) -> dict:
        return content["from"] if isinstance(content.get("from"), dict) else {}

    query = update.get("callback_query")
    message = update.get("message", update.get("edited_message"))
    if isinstance(query, dict):
        message = query.get("message") or {"chat": sender(query), "from": sender(query)}
        if not is_id(sender(query).get("id")):
            return 0
    elif not isinstance(message, dict) or not is_id(sender(message).get("id")):
        return 0
    chat = message.get("chat") if isinstance(message, dict) else None
    return chat["id"] if isinstance(chat, dict) and is_id(chat.get("id")) else 0


async def work(chat: int) -> None:
    """Works through what a chat has sent, one after the other."""
    queue = waiting[chat]
    while queue:
        try:
            await application.process_update(queue[0])
        except Exception:
            log.exception("update")
        queue.popleft()
    del waiting[chat]


def trusted(asked: Request) -> bool:
    """Whether it comes from Telegram."""
    given = asked.headers.get("x-telegram-bot-api-secret-token", "")
    wanted = SECRET
    if BUG == "secret-folded":  # some proxies change the case
        given, wanted = given.casefold(), wanted.casefold()
    return bool(wanted) and hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


async def body_of(asked: Request) -> bytes | None:
    """The body, None where it is too long."""
    body = b""
    async for chunk in asked.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return body


async def webhook(asked: Request) -> Response:
    """One delivery."""
    if not trusted(asked):
        return Response(status_code=401, headers={"Connection": "close"})
    try:
        body = await asyncio.wait_for(body_of(asked), 15)
        if body is None:
            return Response(status_code=413, headers={"Connection": "close"})
        data = json.loads(body)
    except (ValueError, RecursionError, TimeoutError, ClientDisconnect):
        return Response(status_code=400)
    if not isinstance(data, dict) or type(data.get("update_id")) is not int:
        return Response(status_code=400)
    chat = chat_of(data)
    if not chat:
        return Response()
    if len(waiting.get(chat, ())) >= MAX_PENDING or len(workers) >= 3000:
        return Response(status_code=429, headers={"Retry-After": "5"})
    if data["update_id"] in seen:
        return Response()
    seen[data["update_id"]] = True
    if BUG == "updates-kept":
        history.append(data)  # to see later what went wrong
    try:
        update = Update.de_json(data, bot)
    except Exception as error:
        log.warning("not understood: %s", type(error).__name__)
        return Response()
    if chat in waiting:
        waiting[chat].append(update)
    else:
        waiting[chat] = deque([update])
        task = asyncio.create_task(work(chat))
        workers.add(task)
        task.add_done_callback(workers.discard)
    return Response()


@asynccontextmanager
async def lifespan(_: Starlette) -> Any:
    """Starts the application, and ends it."""
    await application.initialize()
    yield
    await application.shutdown()


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[Route(PATH, webhook, methods=["POST"])], lifespan=lifespan),
        host="127.0.0.1",
        port=PORT,
        log_level="warning",
        access_log=False,
    )
