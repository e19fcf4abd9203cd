"""Pointshop: a referral shop with points, on python-telegram-bot behind an aiohttp server, with SQLite for the ledger.

Invite links give points to both sides, points can be given away, coupons count once. Updates are acknowledged at once and
processed one after the other for each chat; a rate limiter of its own retries what python-telegram-bot would not.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import random
import re
import secrets
import sqlite3
import tempfile
import time
from collections import OrderedDict, deque
from pathlib import Path

from aiohttp import ClientPayloadError, http_exceptions, web
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, RetryAfter, TelegramError
from telegram.ext import (
    Application,
    ApplicationBuilder,
    BaseRateLimiter,
    CallbackQueryHandler,
    CommandHandler,
    MessageHandler,
    filters,
)

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "").encode()
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
MAX_BODY, MAX_PENDING, MAX_CHATS = 1 << 20, 200, 5000
WELCOME, FOR_INVITER, FOR_INVITED = 20, 10, 5
BACKOFF = (0.5, 1, 2, 4, 8, 15)
log = logging.getLogger("pointshop")

HELP = """Collect points and spend them.
/points - your points and your code
/invite - your invite link
/shop - what there is to buy
/orders - what you bought
/gift - give points to somebody (or /gift code amount, or reply to a message with /gift amount)
/redeem coupon - turn a coupon into points
/history - where your points came from
/top - who invited most
/cancel - stop what you are doing
For the admin: /coupon points, /coupons, /refund order, /grant code points, /stock item number"""


class Lru(OrderedDict):
    """A dictionary that forgets what was set first."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key, value) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.limit:
            self.popitem(last=False)


def is_id(value: object) -> bool:
    return type(value) is int and 0 < abs(value) < 1 << 53


def clean(text: object, limit: int) -> str:
    text = text if isinstance(text, str) else ""
    return re.sub(r"[\s\x00-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]+", " ", text[: 4 * limit]).strip()[:limit]


class Patient(BaseRateLimiter):
    """One call at a time for each chat; waits as told, follows migrations, and retries what is not the bot's fault."""

    def __init__(self) -> None:
        self.locks: dict[object, list] = {}
        self.moved, self.quiet_until = Lru(1000), Lru(5000)

    async def initialize(self) -> None:
        """Nothing to do."""

    async def shutdown(self) -> None:
        """Nothing to do."""

    async def process_request(self, callback, args, kwargs, endpoint, data, rate_limit_args):
        if (key := data.get("chat_id")) is None:
            return await self._patiently(callback, args, kwargs, endpoint, data, BACKOFF[:2])
        lock = self.locks.setdefault(key, [asyncio.Lock(), 0])
        lock[1] += 1
        try:
            async with lock[0]:
                return await self._patiently(callback, args, kwargs, endpoint, data, BACKOFF)
        finally:
            lock[1] -= 1
            if not lock[1]:
                self.locks.pop(key, None)

    async def _patiently(self, callback, args, kwargs, endpoint: str, data: dict, backoff: tuple):
        tries = waits = 0
        while True:
            if data.get("chat_id") in self.moved:
                data["chat_id"] = self.moved[data["chat_id"]]
            key = data.get("chat_id", endpoint)
            pause = self.quiet_until.get(key, 0) - time.monotonic()
            if pause > 300:
                raise RetryAfter(int(pause))
            await asyncio.sleep(max(0, pause))
            try:
                return await asyncio.wait_for(callback(*args, **kwargs), 10)
            except (Forbidden, BadRequest, InvalidToken, Conflict):
                raise
            except RetryAfter as error:
                self.quiet_until[key] = time.monotonic() + max(1, float(error._retry_after.total_seconds())) + 0.1
                waits += 1
                if waits > 5:
                    raise
            except ChatMigrated as error:
                waits += 1
                if waits > 5 or not is_id(error.new_chat_id) or error.new_chat_id == key:
                    raise
                self.moved.pop(error.new_chat_id, None)
                self.moved[key] = error.new_chat_id
            except Exception as error:
                log.info("%s: %s", endpoint, type(error).__name__)
                if tries >= len(backoff):
                    raise TelegramError("the Bot API cannot be reached") from error
                await asyncio.sleep(backoff[tries] * random.uniform(0.9, 1.1))
                tries += 1


# ---------------------------------------------------------------- the ledger

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE users (id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT, points INTEGER CHECK (points >= 0), inviter INTEGER);
CREATE INDEX by_inviter ON users (inviter);
CREATE TABLE ledger (id INTEGER PRIMARY KEY, user INTEGER, delta INTEGER, why TEXT);
CREATE INDEX by_user ON ledger (user);
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, stock INTEGER CHECK (stock >= 0));
CREATE TABLE orders (id INTEGER PRIMARY KEY, user INTEGER, item TEXT, item_id INTEGER, price INTEGER, status TEXT);
CREATE TABLE coupons (code TEXT PRIMARY KEY, points INTEGER, used_by INTEGER);
INSERT INTO items VALUES (1, 'Sticker pack', 10, 100), (2, 'Mug', 30, 20), (3, 'T-shirt', 80, 5);
"""


class Refused(Exception):
    """What was asked for cannot be; the text is for who asked."""


class Ledger:
    """Every method is one transaction."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(Path(tempfile.mkdtemp(prefix="pointshop-")) / "shop.db", isolation_level="IMMEDIATE")
        self.db.executescript(SCHEMA)
        self.db.row_factory = sqlite3.Row

    def one(self, sql: str, *values) -> sqlite3.Row | None:
        return self.db.execute(sql, values).fetchone()

    def all(self, sql: str, *values) -> list[sqlite3.Row]:
        return self.db.execute(sql, values).fetchall()

    def _book(self, user: int, delta: int, why: str) -> None:
        if not self.db.execute(
            "UPDATE users SET points = points + ? WHERE id = ? AND points + ? >= 0", (delta, user, delta)
        ).rowcount:
            raise Refused("You do not have that many points.")
        self.db.execute("INSERT INTO ledger (user, delta, why) VALUES (?, ?, ?)", (user, delta, why))

    def join(self, user: int, name: str, code: str = "") -> int:
        """Makes an account for who has none; gives who invited them, where that earns points."""
        with self.db:
            if self.one("SELECT 1 FROM users WHERE id = ?", user):
                self.db.execute("UPDATE users SET name = ? WHERE id = ?", (name, user))
                return 0
            inviter = self.one("SELECT id FROM users WHERE code = ?", code)
            values = (user, secrets.token_hex(4), name, inviter["id"] if inviter else None)
            self.db.execute("INSERT INTO users VALUES (?, ?, ?, 0, ?)", values)
            self._book(user, WELCOME, "welcome")
            if not inviter:
                return 0
            self._book(user, FOR_INVITED, "came by an invitation")
            self._book(inviter["id"], FOR_INVITER, f"invited {name}")
            return inviter["id"]

    def give(self, user: int, to: int, amount: int) -> None:
        if user == to:
            raise Refused("You cannot give points to yourself.")
        with self.db:
            mine, theirs = (self.one("SELECT name FROM users WHERE id = ?", one) for one in (user, to))
            if theirs is None:
                raise Refused("They have no account here yet. Send them your /invite link.")
            self._book(user, -amount, f"gift to {theirs['name']}")
            self._book(to, amount, f"gift from {mine['name']}")

    def grant(self, to: int, amount: int) -> None:
        with self.db:
            self._book(to, amount, "granted by the admin")

    def redeem(self, user: int, code: str) -> int:
        with self.db:
            if not self.db.execute(
                "UPDATE coupons SET used_by = ? WHERE code = ? AND used_by IS NULL", (user, code)
            ).rowcount:
                raise Refused("That coupon does not exist, or it was used already.")
            points = self.one("SELECT points FROM coupons WHERE code = ?", code)["points"]
            self._book(user, points, "coupon")
            return points

    def issue(self, points: int) -> str:
        with self.db:
            if self.one("SELECT count(*) n FROM coupons WHERE used_by IS NULL")["n"] >= 1000:
                raise Refused("There are 1000 unused coupons already.")
            code = secrets.token_hex(5)
            self.db.execute("INSERT INTO coupons VALUES (?, ?, NULL)", (code, points))
            return code

    def buy(self, user: int, item: int) -> tuple[int, str]:
        with self.db:
            if not self.db.execute("UPDATE items SET stock = stock - 1 WHERE id = ? AND stock > 0", (item,)).rowcount:
                raise Refused("That is sold out.")
            what = self.one("SELECT * FROM items WHERE id = ?", item)
            self._book(user, -what["price"], f"bought {what['name']}")
            sql = "INSERT INTO orders (user, item, item_id, price, status) VALUES (?, ?, ?, ?, 'paid')"
            return self.db.execute(sql, (user, what["name"], item, what["price"])).lastrowid, what["name"]

    def refund(self, order: int) -> sqlite3.Row:
        with self.db:
            if not self.db.execute(
                "UPDATE orders SET status = 'refunded' WHERE id = ? AND status = 'paid'", (order,)
            ).rowcount:
                raise Refused("There is no such paid order.")
            row = self.one("SELECT * FROM orders WHERE id = ?", order)
            self.db.execute("UPDATE items SET stock = stock + 1 WHERE id = ?", (row["item_id"],))
            self._book(row["user"], row["price"], f"refund of order {order}")
            return row

    def restock(self, item: int, stock: int) -> None:
        with self.db:
            if not self.db.execute("UPDATE items SET stock = ? WHERE id = ?", (stock, item)).rowcount:
                raise Refused("There is no such item.")


ledger = Ledger()
sessions, pending = Lru(5000), Lru(5000)


# ---------------------------------------------------------------- commands: each gives a text, or a text and buttons


def number(word: str, most: int = 1_000_000) -> int:
    """A number from 1 on, 0 for anything else."""
    return int(word) if re.fullmatch(r"[0-9]{1,7}", word) and int(word) <= most else 0


def account(code: str) -> int:
    row = ledger.one("SELECT id FROM users WHERE code = ?", code.strip().lower())
    if row is None:
        raise Refused("I do not know that code. Codes are shown by /points.")
    return row["id"]


def notify(context, chat: int, text: str) -> None:
    """Tells somebody else, for which nobody waits."""

    async def later() -> None:
        try:
            await context.bot.send_message(chat, text)
        except Exception as error:
            log.info("%s was not told: %s", chat, type(error).__name__)

    queues.start(later())


def start(update: Update, context, args: list[str]):
    user = update.effective_user
    match = re.fullmatch(r"ref_([0-9a-f]{8})", args[0]) if args else None
    if inviter := ledger.join(user.id, user.first_name, match[1] if match else ""):
        notify(context, inviter, f"{user.first_name} came by your invitation: {FOR_INVITER} points for you.")
    return HELP


def points(update: Update, context, args: list[str]):
    me = ledger.one("SELECT * FROM users WHERE id = ?", update.effective_user.id)
    return f"{me['name']}, you have {me['points']} points. Your code: {me['code']}"


def invite(update: Update, context, args: list[str]):
    me = ledger.one("SELECT code FROM users WHERE id = ?", update.effective_user.id)
    count = ledger.one("SELECT count(*) n FROM users WHERE inviter = ?", update.effective_user.id)["n"]
    return f"https://t.me/{context.bot.username}?start=ref_{me['code']}\nYou have invited {count}."


def shop(update: Update, context, args: list[str]):
    items = ledger.all("SELECT * FROM items")
    lines = [f"{item['id']}. {item['name']}: {item['price']} points, {item['stock']} left" for item in items]
    return "\n".join(lines), [(f"Buy {item['name']}", f"buy:{item['id']}") for item in items if item["stock"]]


def orders(update: Update, context, args: list[str]):
    rows = ledger.all("SELECT * FROM orders WHERE user = ? ORDER BY id DESC LIMIT 20", update.effective_user.id)
    return (
        "\n".join(f"Order {row['id']}: {row['item']}, {row['price']} points, {row['status']}" for row in rows)
        or "You have bought nothing yet."
    )


def history(update: Update, context, args: list[str]):
    rows = ledger.all("SELECT * FROM ledger WHERE user = ? ORDER BY id DESC LIMIT 20", update.effective_user.id)
    return "\n".join(f"{row['delta']:+d}: {row['why']}" for row in rows)


def top(update: Update, context, args: list[str]):
    sql = "SELECT name, (SELECT count(*) FROM users x WHERE x.inviter = u.id) n FROM users u WHERE id IN (SELECT inviter FROM users) ORDER BY n DESC LIMIT 10"
    return "\n".join(f"{row['name']}: {row['n']}" for row in ledger.all(sql)) or "Nobody has invited anybody yet."


def give(context, user, to: int, amount: int) -> str:
    ledger.give(user.id, to, amount)
    notify(context, to, f"{user.first_name} gave you {amount} points.")
    return f"You gave away {amount} points."


def gift(update: Update, context, args: list[str]):
    reply = update.effective_message.reply_to_message
    if len(args) == 1 and reply and reply.from_user and number(args[0]):
        return give(context, update.effective_user, reply.from_user.id, number(args[0]))
    if len(args) == 2 and number(args[1]):
        return give(context, update.effective_user, account(args[0]), number(args[1]))
    if args or update.effective_chat.type != "private":
        return "Usage: /gift code amount, or reply to somebody's message with /gift amount"
    sessions[update.effective_chat.id, update.effective_user.id] = None
    return "To whom? Send me their code. (/cancel to stop)"


def redeem(update: Update, context, args: list[str]):
    if len(args) != 1:
        return "Usage: /redeem coupon"
    return f"{ledger.redeem(update.effective_user.id, args[0].lower())} points for you!"


def cancel(update: Update, context, args: list[str]):
    there = sessions.pop((update.effective_chat.id, update.effective_user.id), sessions)
    return "There is nothing to stop." if there is sessions else "Stopped."


def coupon(update: Update, context, args: list[str]):
    if len(args) != 1 or not number(args[0], 10_000):
        return "Usage: /coupon points (up to 10000)"
    return f"Coupon for {number(args[0])} points, good once: {ledger.issue(number(args[0]))}"


def coupons(update: Update, context, args: list[str]):
    rows = ledger.all("SELECT * FROM coupons ORDER BY rowid DESC LIMIT 30")
    return (
        "\n".join(f"{row['code']}: {row['points']}, {'used' if row['used_by'] else 'unused'}" for row in rows)
        or "No coupons."
    )


def refund(update: Update, context, args: list[str]):
    if len(args) != 1 or not number(args[0]):
        return "Usage: /refund order"
    row = ledger.refund(number(args[0]))
    notify(context, row["user"], f"Order {row['id']} ({row['item']}) was refunded: {row['price']} points are back.")
    return f"Order {row['id']} is refunded."


def grant(update: Update, context, args: list[str]):
    if len(args) != 2 or not number(args[1], 10_000):
        return "Usage: /grant code points (up to 10000)"
    to = account(args[0])
    ledger.grant(to, number(args[1]))
    notify(context, to, f"The admin gave you {number(args[1])} points.")
    return "Granted."


def stock(update: Update, context, args: list[str]):
    if len(args) != 2 or not number(args[0]) or not re.fullmatch(r"[0-9]{1,5}", args[1]):
        return "Usage: /stock item number"
    ledger.restock(number(args[0]), int(args[1]))
    return f"Item {args[0]} has {int(args[1])} now."


def said(update: Update, context):
    """Plain text: a step of a gift, or nothing that is understood."""
    text, user = update.effective_message.text, update.effective_user
    key = (update.effective_chat.id, user.id)
    if update.effective_chat.type != "private":
        return None
    if text is None or text.startswith("/") or key not in sessions:
        unknown = "I do not know that command. See /help." if text else "I understand text only."
        return unknown if text is None or text.startswith("/") else "Send /help to see what I can do."
    if sessions[key] is None:
        to = account(text)
        if to == user.id:
            return "That is your own code. To whom else?"
        sessions[key] = to
        return "How many points?"
    if not (amount := number(text.strip())):
        return "Send a number, 1 or more."
    to, token = sessions.pop(key), secrets.token_hex(6)
    pending[token] = ("give", user.id, to, amount)
    name = ledger.one("SELECT name FROM users WHERE id = ?", to)["name"]
    return f"Give {amount} points to {name}?", [("Yes", f"yes:{token}"), ("No", f"no:{token}")]


def pressed(update: Update, context):
    query, user = update.callback_query, update.effective_user
    action, _, value = query.data.partition(":")
    if action == "buy":
        item = ledger.one("SELECT * FROM items WHERE id = ?", number(value))
        if update.effective_chat and update.effective_chat.type != "private":
            return "Please use /shop in our private chat to buy."
        if item is None:
            return "There is no such item."
        token = secrets.token_hex(6)
        pending[token] = ("buy", user.id, item["id"], item["price"])
        return f"Buy {item['name']} for {item['price']} points?", [("Yes", f"yes:{token}"), ("No", f"no:{token}")]
    deal = pending.get(value)
    if action not in ("yes", "no") or deal is None or deal[1] != user.id:
        return "That is done already, or it is not yours."
    del pending[value]
    if action == "no":
        return "Nothing was done."
    if deal[0] == "give":
        return give(context, user, deal[2], deal[3])
    order, name = ledger.buy(user.id, deal[2])
    return f"Order {order}: {name} is yours."


# ---------------------------------------------------------------- python-telegram-bot


def handler(act, *, admin: bool = False, command: bool = True):
    """Turns a function that gives a text into a callback."""

    async def callback(update: Update, context) -> None:
        user, query = update.effective_user, update.callback_query
        chat = update.effective_chat.id if update.effective_chat else user.id
        if update.message and update.message.sender_chat:  # anonymous people have no account
            if command:
                await send(context, chat, "Please write under your own name.")
            return
        try:
            if act is not start:
                ledger.join(user.id, user.first_name)
            if admin and user.id != ADMIN_ID:
                raise Refused("That is for the admin.")
            if admin and chat < 0:
                raise Refused("Please do that in private.")
            answer = act(update, context, (context.args or [])[:10]) if command else act(update, context)
        except Refused as error:
            answer = str(error)
        if answer is None:
            return
        text, buttons = answer if isinstance(answer, tuple) else (answer, [])
        if query:
            queues.start(acknowledge(query, text[:100]))
        await send(context, chat, text, buttons)

    return callback


async def send(context, chat: int, text: str, buttons: tuple | list = ()) -> None:
    markup = InlineKeyboardMarkup([[InlineKeyboardButton(label, callback_data=data)] for label, data in buttons])
    try:
        await context.bot.send_message(chat, text[:2000], reply_markup=markup if buttons else None)
    except (TypeError, AttributeError, KeyError) as error:  # it was sent; only its copy was not understood
        log.info("an odd answer: %r", error)


async def acknowledge(query, text: str) -> None:
    try:
        await query.answer(text)
    except TelegramError as error:
        log.info("button: %s", error)


async def failed(update: object, context) -> None:
    error = context.error
    log.error("update: %r", error, exc_info=None if isinstance(error, TelegramError) else error)
    chat = update.effective_chat or update.effective_user
    if isinstance(error, (Forbidden, InvalidToken)) or time.monotonic() - queues.sorry.get(chat.id, -99) < 60:
        return
    queues.sorry[chat.id] = time.monotonic()
    if isinstance(error, TelegramError) and not isinstance(error, BadRequest):
        queues.start(apologise(context, chat.id, 20))
    else:
        queues.start(apologise(context, chat.id, 0))


async def apologise(context, chat: int, delay: float) -> None:
    await asyncio.sleep(delay)
    notify(context, chat, "Sorry, I could not answer your last message. Please try again.")


def application() -> Application:
    builder = ApplicationBuilder().token(os.environ.get("BOT_TOKEN", "1:x")).base_url(f"{API}/bot").updater(None)
    builder = builder.rate_limiter(Patient()).connection_pool_size(1000).pool_timeout(8)
    app = builder.connect_timeout(5).read_timeout(8).write_timeout(8).build()
    for act in (points, invite, shop, orders, history, top, gift, redeem, cancel):
        app.add_handler(CommandHandler(act.__name__, handler(act)))
    app.add_handler(CommandHandler(["start", "help"], handler(start)))
    for act in (coupon, coupons, refund, grant, stock):
        app.add_handler(CommandHandler(act.__name__, handler(act, admin=True)))
    app.add_handler(CallbackQueryHandler(handler(pressed, command=False)))
    app.add_handler(MessageHandler(filters.ALL, handler(said, command=False)))
    app.add_error_handler(failed)
    return app


class Queues:
    """One queue for each chat that has something to do."""

    def __init__(self) -> None:
        self.app = application()
        self.ready = asyncio.Event()
        self.waiting: dict[int, deque] = {}
        self.tasks: set[asyncio.Task] = set()
        self.sorry = Lru(1000)

    def start(self, work) -> None:
        if len(self.tasks) >= 3 * MAX_CHATS:
            log.warning("too much under way")
            work.close()
            return
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def begin(self) -> None:
        for wait in (1, 2, 5, *[10] * 1000):  # the bot's own name must be known
            try:
                await self.app.initialize()
                return self.ready.set()
            except Exception as error:
                log.warning("not yet: %s", type(error).__name__)
                await asyncio.sleep(wait)

    def full(self, chat: int) -> bool:
        return len(self.waiting.get(chat, ())) >= MAX_PENDING or len(self.tasks) >= MAX_CHATS

    def put(self, chat: int, update: dict) -> None:
        if chat in self.waiting:
            self.waiting[chat].append(update)
        else:
            self.waiting[chat] = deque([update])
            self.start(self._work(chat))

    async def _work(self, chat: int) -> None:
        await self.ready.wait()
        queue = self.waiting[chat]
        while queue:
            try:
                await self.app.process_update(Update.de_json(queue[0], self.app.bot))
            except Exception:
                log.exception("update")
            queue.popleft()
        del self.waiting[chat]


# ---------------------------------------------------------------- the webhook


def person(value: object) -> dict | None:
    if not isinstance(value, dict) or not is_id(value.get("id")) or value["id"] < 0:
        return None
    return {
        "id": value["id"],
        "is_bot": value.get("is_bot") is True,
        "first_name": clean(value.get("first_name"), 40) or "Somebody",
    }


def distil(update: dict) -> tuple[int, dict] | None:
    """The chat and what is used of the update, where it is as it should be and there is something to do."""
    query, message = update.get("callback_query"), update.get("message")
    content = query if isinstance(query, dict) else message
    user = person(content.get("from")) if isinstance(content, dict) else None
    if user is None:
        return None
    anonymous = content is message and isinstance(message.get("sender_chat"), dict)
    if user["is_bot"] and not anonymous:
        return None
    place = content.get("message") if content is query else content
    chat = place.get("chat") if isinstance(place, dict) else None
    if isinstance(chat, dict) and is_id(chat.get("id")) and chat.get("type") in ("private", "group", "supergroup"):
        slim = {
            "message_id": 1,
            "date": int(time.time()),
            "chat": {"id": chat["id"], "type": chat["type"]},
            "from": user,
        }
    elif content is query:
        slim = None
    else:
        return None
    if content is query:
        if not isinstance(query.get("id"), str) or not isinstance(query.get("data"), str):
            return None
        small = {"id": query["id"], "from": user, "chat_instance": "1", "data": query["data"][:64]}
        return (slim["chat"]["id"] if slim else user["id"]), {
            "callback_query": {**small, **({"message": slim} if slim else {})}
        }
    if isinstance(text := content.get("text"), str):
        entities = content.get("entities") if isinstance(content.get("entities"), list) else []
        known = [one for one in entities if isinstance(one, dict) and one.get("type") == "bot_command"]
        good = [
            one for one in known if one.get("offset") == 0 and type(one.get("length")) is int and 1 < one["length"] < 99
        ]
        slim["text"] = re.sub(r"[\ud800-\udfff]", " ", text)
        slim["entities"] = [{"type": "bot_command", "offset": 0, "length": one["length"]} for one in good[:1]]
    elif chat["type"] != "private" or not any(
        kind in content for kind in ("photo", "sticker", "voice", "video", "document")
    ):
        return None
    reply = content.get("reply_to_message")
    if isinstance(reply, dict) and "sender_chat" not in reply and (other := person(reply.get("from"))):
        slim["reply_to_message"] = {**slim, "from": other, "text": "..."}
    if anonymous:
        slim["sender_chat"] = slim["chat"]
    return slim["chat"]["id"], {"message": slim}


seen = Lru(20_000)
queues: Queues


async def webhook(request: web.Request) -> web.Response:
    given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "").encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, SECRET):
        return web.Response(status=401, headers={"Connection": "close"})
    try:
        update = json.loads((await asyncio.wait_for(request.read(), 15)).decode())
    except (ValueError, RecursionError, TimeoutError, OSError, ClientPayloadError):
        return web.Response(status=400)
    except (web.RequestPayloadError, http_exceptions.HttpProcessingError):
        return web.Response(status=400)
    if not isinstance(update, dict) or type(update.get("update_id")) is not int:
        return web.Response(status=400)
    small = distil(update)
    if small is None or update["update_id"] in seen:
        return web.Response()
    chat, content = small
    if queues.full(chat):
        return web.Response(status=429, headers={"Retry-After": "5"})
    seen[update["update_id"]] = True
    queues.put(chat, {"update_id": update["update_id"], **content})
    return web.Response()


async def site() -> web.Application:
    global queues
    queues = Queues()
    queues.start(queues.begin())
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post(PATH, webhook)
    return app


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, and with them the token
    web.run_app(site(), host="127.0.0.1", port=PORT, print=None, access_log=None)
