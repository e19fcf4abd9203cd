"""ShiftPlan: a shift planner for a small team, as a Telegram bot (FastAPI, httpx, SQLite).

Every update is handled in one transaction, together with the replies that it causes (the outbox); one sender per chat then carries
the outbox to the Bot API, so that a slow or refusing chat holds up nobody else.
"""

import asyncio
import copy
import hmac
import json
import logging
import os
import sqlite3
import tempfile
import time
from collections import OrderedDict
from contextlib import asynccontextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

TOKEN = os.environ["BOT_TOKEN"]
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
SECRET = os.environ["SECRET"]
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
ADMIN_ID = int(os.environ["ADMIN_ID"])
BUG = os.environ.get("BUG", "")
BODY_LIMIT = 512 * 1024
TRIES, FLOOD_TRIES = 10, 6
EMPTY_DRAFT = {"step": "days", "days": []}
TIERS = {"guest": 0, "member": 1, "moderator": 2, "admin": 3}
log = logging.getLogger("shiftplan")

SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (seq INTEGER PRIMARY KEY AUTOINCREMENT, update_id INTEGER UNIQUE);
CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, tier TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS shifts (id INTEGER PRIMARY KEY AUTOINCREMENT, day TEXT NOT NULL, seats INTEGER NOT NULL, title TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bookings (shift INTEGER, person INTEGER);
CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY AUTOINCREMENT, person INTEGER, days TEXT, reason TEXT, state TEXT DEFAULT 'open');
CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT DEFAULT CURRENT_TIMESTAMP, line TEXT);
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, chat INTEGER, method TEXT, payload TEXT);
"""


def open_db() -> sqlite3.Connection:
    path = os.environ.get("DB_PATH")
    throwaway = not path
    if throwaway:
        handle, path = tempfile.mkstemp(prefix="shiftplan-", suffix=".sqlite3")
        os.close(handle)
    conn = sqlite3.connect(path, isolation_level=None)
    conn.row_factory = sqlite3.Row
    conn.execute(f"PRAGMA journal_mode={'MEMORY' if throwaway else 'WAL'}")
    conn.executescript(SCHEMA)
    if not conn.execute("SELECT 1 FROM shifts").fetchone():
        tomorrow = date.today() + timedelta(days=1)
        for day, seats, title in ((0, 3, "Opening"), (0, 1, "Front desk"), (1, 2, "Closing")):
            conn.execute(
                "INSERT INTO shifts(day,seats,title) VALUES(?,?,?)", (str(tomorrow + timedelta(days=day)), seats, title)
            )
    if throwaway:
        Path(path).unlink()
    return conn


db = open_db()
drafts: "OrderedDict[tuple[int, int], dict]" = OrderedDict()  # (chat, user) -> time-off request being written
senders: dict[int, asyncio.Task] = {}
background: set[asyncio.Task] = set()
tier_cache: "OrderedDict[int, str]" = OrderedDict()
missed: "OrderedDict[int, bool]" = OrderedDict()  # chats to which something could not be delivered
highest_update = -1


# ---------------------------------------------------------------- the Bot API


async def call(method: str, payload: dict) -> tuple[str, float]:
    """One attempt. What came of it: ok, wait (how long), moved (where), again, or refused."""
    async with asyncio.timeout(8):
        answer = await client.post(f"{API}/bot{TOKEN}/{method}", json=payload)
    try:
        body = answer.json()
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    if answer.status_code == 200 and body.get("ok"):
        return "ok", 0
    extra = body.get("parameters") if isinstance(body.get("parameters"), dict) else {}
    if answer.status_code == 429:
        if BUG == "retry-after-misread":
            extra = body
        pause = extra.get("retry_after", 1)
        return "wait", pause if isinstance(pause, (int, float)) and 0 < pause < 86400 else 1
    if answer.status_code >= 500 or answer.status_code == 200:
        return "again", 0
    if isinstance(extra.get("migrate_to_chat_id"), int):
        return "moved", extra["migrate_to_chat_id"]
    log.warning("%s refused with %s", method, answer.status_code)
    return "refused", 0


async def deliver(row: sqlite3.Row) -> None:
    payload, tries, floods, moves = json.loads(row["payload"]), 0, 0, 0
    chat = row["chat"]
    if missed.pop(chat, None) and row["method"] == "sendMessage":
        payload["text"] = (
            "(An earlier reply could not be delivered; please repeat if something is missing.)\n\n"
            + payload["text"][:3900]
        )
    retryable = httpx.ConnectError if BUG == "read-timeout-kills-sender" else Exception
    while True:
        try:
            verdict, value = await call(row["method"], payload)
        except retryable as error:
            log.warning("%s: %s", row["method"], type(error).__name__)
            verdict, value = "again", 0
        if verdict in ("ok", "refused"):
            return
        if verdict == "moved":
            moves += 1
            if moves > 2:
                return
            payload["chat_id"] = int(value)
            continue
        if verdict == "wait":
            floods += 1
            pause = value
        else:
            tries += 1
            pause = min(0.5 * 2 ** (tries - 1), 5)
        if tries >= TRIES or floods >= FLOOD_TRIES or (row["method"] == "answerCallbackQuery" and tries + floods >= 3):
            if row["method"] == "sendMessage":
                missed[chat] = True
                while len(missed) > 5000:
                    missed.popitem(last=False)
            return
        await asyncio.sleep(pause)


async def sender(chat: int) -> None:
    while row := db.execute("SELECT * FROM outbox WHERE chat=? ORDER BY id LIMIT 1", (chat,)).fetchone():
        await deliver(row)
        db.execute("DELETE FROM outbox WHERE id=?", (row["id"],))
    del senders[chat]  # nothing was awaited since the outbox was empty


def start_senders() -> None:
    for row in db.execute("SELECT DISTINCT chat FROM outbox").fetchall():
        if row["chat"] not in senders:
            senders[row["chat"]] = asyncio.create_task(sender(row["chat"]))


def post(chat: int, method: str, **payload) -> None:
    db.execute("INSERT INTO outbox(chat,method,payload) VALUES(?,?,?)", (chat, method, json.dumps(payload)))


def say(chat: int, text: str, buttons: list[tuple[str, str]] | None = None) -> None:
    payload: dict = {"chat_id": chat, "text": text[:4000]}
    if buttons:
        payload["reply_markup"] = {
            "inline_keyboard": [[{"text": label, "callback_data": data}] for label, data in buttons[:40]]
        }
    post(chat, "sendMessage", **payload)


def spawn(coroutine) -> None:
    task = asyncio.create_task(coroutine)
    background.add(task)
    task.add_done_callback(background.discard)


# ---------------------------------------------------------------- people


def tier_of(user: int) -> str:
    if user == ADMIN_ID:
        return "admin"
    if BUG == "role-cached" and user in tier_cache:
        return tier_cache[user]
    row = db.execute("SELECT tier FROM people WHERE id=?", (user,)).fetchone()
    tier = row["tier"] if row else "guest"
    if BUG == "role-cached":
        tier_cache[user] = tier
        while len(tier_cache) > 1000:
            tier_cache.popitem(last=False)
    return tier


def may(user: int, tier: str) -> bool:
    return TIERS[tier_of(user)] >= TIERS[tier]


def audit(line: str) -> None:
    db.execute("INSERT INTO audit(line) VALUES(?)", (line[:300],))
    db.execute("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - 500")


def number(word: str) -> int | None:
    try:
        value = int(word)
    except ValueError:
        return None
    if BUG == "big-number":
        return value
    return value if 0 < value < 2**52 else None


def day_of(word: str) -> str | None:
    try:
        return date.fromisoformat(word).isoformat()
    except ValueError:
        return None


def shift_of(words: list[str]) -> sqlite3.Row | None:
    wanted = number(words[0]) if words else None
    return None if wanted is None else db.execute("SELECT * FROM shifts WHERE id=?", (wanted,)).fetchone()


# ---------------------------------------------------------------- what the commands do


def cmd_start(chat, user, words, rest):
    say(chat, f"Hello {user['name']}! I plan our shifts. /join to become a member, /help for all commands.")


def cmd_help(chat, user, words, rest):
    lines = [
        f"/{name} {hint}".strip() + f" [{tier}]" for name, (tier, hint, _) in COMMANDS.items() if may(user["id"], tier)
    ]
    say(chat, "Commands for you:\n" + "\n".join(lines))


def cmd_whoami(chat, user, words, rest):
    say(chat, f"You are {user['name']}, id {user['id']}, {tier_of(user['id'])}.")


def cmd_join(chat, user, words, rest):
    if may(user["id"], "member"):
        return say(chat, "You are in the team already.")
    db.execute("INSERT OR REPLACE INTO people VALUES(?,?,'member')", (user["id"], rest[:40] or user["name"]))
    tier_cache.pop(user["id"], None)
    audit(f"{user['id']} joined")
    say(chat, "Welcome to the team! /shifts shows what is free.")


def cmd_leave(chat, user, words, rest):
    for table, column in (("people", "id"), ("bookings", "person"), ("requests", "person")):
        db.execute(f"DELETE FROM {table} WHERE {column}=?", (user["id"],))
    tier_cache.pop(user["id"], None)
    say(chat, "You left the team; your shifts are free again.")


def cmd_shifts(chat, user, words, rest):
    rows = db.execute(
        "SELECT s.*, (SELECT count(*) FROM bookings b WHERE b.shift=s.id) AS taken FROM shifts s ORDER BY day, id LIMIT 30"
    ).fetchall()
    lines = [f"#{r['id']} {r['day']} {r['title']}: {r['taken']}/{r['seats']}" for r in rows]
    buttons = [(f"Take #{r['id']}", f"take:{r['id']}") for r in rows if r["taken"] < r["seats"]]
    say(chat, "\n".join(lines) or "No shifts planned.", buttons if may(user["id"], "member") else None)


def cmd_take(chat, user, words, rest):
    shift = shift_of(words)
    if shift is None:
        return say(chat, "Which shift? /take <number>, see /shifts.")
    if db.execute("SELECT 1 FROM bookings WHERE shift=? AND person=?", (shift["id"], user["id"])).fetchone():
        return say(chat, f"You have shift #{shift['id']} already.")
    taken = db.execute("SELECT count(*) FROM bookings WHERE shift=?", (shift["id"],)).fetchone()[0]
    if taken >= shift["seats"]:
        return say(chat, f"Shift #{shift['id']} is full.")
    if BUG == "overbooked":
        return spawn(book_after_typing(chat, user["id"], shift))
    book(chat, user["id"], shift)


def book(chat: int, person: int, shift: sqlite3.Row) -> None:
    db.execute("INSERT INTO bookings VALUES(?,?)", (shift["id"], person))
    say(chat, f"Shift #{shift['id']} ({shift['day']} {shift['title']}) is yours.")


async def book_after_typing(chat: int, person: int, shift: sqlite3.Row) -> None:
    with suppress(httpx.HTTPError, TimeoutError):
        await call("sendChatAction", {"chat_id": chat, "action": "typing"})
    book(chat, person, shift)
    start_senders()


def cmd_drop(chat, user, words, rest):
    shift = shift_of(words)
    gone = shift and db.execute("DELETE FROM bookings WHERE shift=? AND person=?", (shift["id"], user["id"])).rowcount
    say(chat, f"You dropped shift #{shift['id']}." if gone else "You have no such shift; see /my.")


def cmd_my(chat, user, words, rest):
    rows = db.execute(
        "SELECT s.* FROM shifts s JOIN bookings b ON b.shift=s.id WHERE b.person=? ORDER BY day LIMIT 40", (user["id"],)
    )
    say(chat, "\n".join(f"#{r['id']} {r['day']} {r['title']}" for r in rows) or "You have no shifts.")


def cmd_timeoff(chat, user, words, rest):
    drafts[chat, user["id"]] = dict(EMPTY_DRAFT) if BUG == "shallow-draft" else copy.deepcopy(EMPTY_DRAFT)
    drafts[chat, user["id"]]["since"] = time.monotonic()
    while len(drafts) > 1000:
        drafts.popitem(last=False)
    say(
        chat,
        "Which days do you need off? Send one as YYYY-MM-DD, then the next; /done when that is all, /cancel to stop.",
    )


def cmd_done(chat, user, words, rest):
    draft = drafts.get((chat, user["id"]))
    if not draft or draft["step"] != "days" or not draft["days"]:
        return say(chat, "There is nothing to finish. /timeoff starts a request.")
    draft["step"] = "reason"
    say(chat, f"{len(draft['days'])} day(s). And the reason, in a few words?")


def cmd_cancel(chat, user, words, rest):
    say(chat, "Cancelled." if drafts.pop((chat, user["id"]), None) else "There is nothing to cancel.")


def go_on(chat: int, user: dict, text: str) -> bool:
    """The next step of a time-off request; False if none is being written."""
    draft = drafts.get((chat, user["id"]))
    if draft is None or time.monotonic() - draft["since"] > 3600 or not may(user["id"], "member"):
        drafts.pop((chat, user["id"]), None)
        return False
    if draft["step"] == "days":
        day = day_of(text.strip())
        if day is None:
            say(chat, "That is no day; please send it as YYYY-MM-DD, or /done or /cancel.")
        elif len(draft["days"]) >= 14:
            say(chat, "Fourteen days at most; /done to go on.")
        else:
            draft["days"].append(day)
            say(chat, "So far: " + ", ".join(draft["days"]) + ". Another one, or /done.")
        return True
    del drafts[chat, user["id"]]
    if db.execute("SELECT count(*) FROM requests WHERE person=?", (user["id"],)).fetchone()[0] >= 50:
        say(chat, "You have 50 requests already; /withdraw some first.")
        return True
    days = ", ".join(draft["days"])
    made = db.execute(
        "INSERT INTO requests(person,days,reason) VALUES(?,?,?)", (user["id"], days, text[:200])
    ).lastrowid
    say(chat, f"Request #{made} is sent: {days}. You will hear from me.")
    for row in db.execute(
        "SELECT id FROM people WHERE tier='moderator' AND id<>? UNION SELECT ?", (ADMIN_ID, ADMIN_ID)
    ).fetchall():
        say(
            row["id"],
            f"Time off #{made} of {user['name']}: {days} ({text[:200]})",
            [("Approve", f"ok:{made}"), ("Refuse", f"no:{made}")],
        )
    return True


def cmd_mytimeoff(chat, user, words, rest):
    rows = db.execute("SELECT * FROM requests WHERE person=? ORDER BY id DESC LIMIT 20", (user["id"],))
    say(chat, "\n".join(f"#{r['id']} {r['days']}: {r['state']}" for r in rows) or "You asked for no time off.")


def cmd_withdraw(chat, user, words, rest):
    wanted = number(words[0]) if words else None
    gone = wanted and db.execute("DELETE FROM requests WHERE id=? AND person=?", (wanted, user["id"])).rowcount
    say(chat, f"Request #{wanted} is withdrawn." if gone else "You have no such request; see /mytimeoff.")


def cmd_newshift(chat, user, words, rest):
    day, seats = (day_of(words[0]), number(words[1])) if len(words) > 2 else (None, None)
    if day is None or seats is None or seats > 100:
        return say(chat, "Like this: /newshift 2030-01-31 2 Front desk")
    made = db.execute(
        "INSERT INTO shifts(day,seats,title) VALUES(?,?,?)", (day, seats, " ".join(words[2:])[:60])
    ).lastrowid
    audit(f"{user['id']} made shift {made}")
    say(chat, f"Shift #{made} is planned.")


def cmd_delshift(chat, user, words, rest):
    shift = shift_of(words)
    if shift is None:
        return say(chat, "Which shift? /delshift <number>")
    say(
        chat,
        f"Delete shift #{shift['id']} ({shift['title']})?",
        [("Yes, delete", f"del:{shift['id']}"), ("Keep", "keep:0")],
    )


def cmd_requests(chat, user, words, rest):
    rows = db.execute("SELECT * FROM requests WHERE state='open' ORDER BY id LIMIT 20").fetchall()
    buttons = [
        (f"{verb} #{r['id']}", f"{key}:{r['id']}") for r in rows for verb, key in (("Approve", "ok"), ("Refuse", "no"))
    ]
    say(
        chat,
        "\n".join(f"#{r['id']} of {r['person']}: {r['days']} ({r['reason']})" for r in rows) or "No open requests.",
        buttons,
    )


def cmd_set_tier(tier):
    def command(chat, user, words, rest):
        who = number(words[0]) if words else None
        if (
            who is None
            or who == ADMIN_ID
            or not db.execute("UPDATE people SET tier=? WHERE id=?", (tier, who)).rowcount
        ):
            return say(chat, "I know no member with that id; see /users.")
        if tier == "moderator":
            tier_cache.pop(who, None)
        audit(f"{who} is now {tier}")
        say(chat, f"{who} is now {tier}.")
        say(who, f"You are now {tier}.")

    return command


def cmd_users(chat, user, words, rest):
    rows = db.execute("SELECT * FROM people ORDER BY id LIMIT 60").fetchall()
    say(chat, f"{len(rows)} in the team:\n" + "\n".join(f"{r['id']} {r['name']}: {r['tier']}" for r in rows))


def cmd_announce(chat, user, words, rest):
    if not rest:
        return say(chat, "What shall I announce?")
    rows = db.execute("SELECT id FROM people").fetchall()
    for row in rows:
        say(row["id"], f"Announcement: {rest}")
    say(chat, f"On its way to {len(rows)} people.")


def cmd_audit(chat, user, words, rest):
    rows = db.execute("SELECT * FROM audit ORDER BY id DESC LIMIT 20")
    say(chat, "Audit:\n" + "\n".join(f"{r['at']} {r['line']}" for r in rows))


COMMANDS = {
    "start": ("guest", "", cmd_start),
    "help": ("guest", "", cmd_help),
    "whoami": ("guest", "", cmd_whoami),
    "join": ("guest", "<name>", cmd_join),
    "shifts": ("guest", "", cmd_shifts),
    "take": ("member", "<shift>", cmd_take),
    "drop": ("member", "<shift>", cmd_drop),
    "my": ("member", "", cmd_my),
    "timeoff": ("member", "", cmd_timeoff),
    "done": ("member", "", cmd_done),
    "cancel": ("guest", "", cmd_cancel),
    "mytimeoff": ("member", "", cmd_mytimeoff),
    "withdraw": ("member", "<request>", cmd_withdraw),
    "leave": ("member", "", cmd_leave),
    "newshift": ("moderator", "<day> <seats> <title>", cmd_newshift),
    "delshift": ("moderator", "<shift>", cmd_delshift),
    "requests": ("moderator", "", cmd_requests),
    "promote": ("admin", "<id>", cmd_set_tier("moderator")),
    "demote": ("admin", "<id>", cmd_set_tier("member")),
    "users": ("admin", "", cmd_users),
    "announce": ("admin", "<text>", cmd_announce),
    "audit": ("admin", "", cmd_audit),
}


# ---------------------------------------------------------------- updates


def part(value, *names):
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def whole(value) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**52 else None


def plain(value) -> str:
    """A text that can be stored and sent: no half characters."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def person_of(sender_) -> dict | None:
    user = whole(part(sender_, "id"))
    return (
        None
        if user is None or user <= 0
        else {"id": user, "name": plain(part(sender_, "first_name"))[:40] or "colleague"}
    )


def on_message(chat: int, message: dict) -> None:
    user, text = person_of(part(message, "from")), plain(part(message, "text"))[:4096]
    private = part(message, "chat", "type") == "private"
    if user is None:
        return None
    if not text:
        return say(chat, "I only understand text; /help shows what I can do.") if private else None
    if not text.startswith("/"):
        if not go_on(chat, user, text) and private:
            say(chat, "I did not understand that; /help shows what I can do.")
        return None
    head, *words = text.split()
    name = head[1:].partition("@")[0].lower()
    if name not in COMMANDS:
        return say(chat, "I do not know that command; /help lists them.") if private else None
    tier, _, function = COMMANDS[name]
    if not may(user["id"], tier):
        return say(chat, f"Only for {tier}s." + (" /join first." if tier == "member" else ""))
    function(chat, user, words, text[len(head) :].strip())


def on_button(chat: int, query: dict) -> None:
    user, query_id = person_of(part(query, "from")), part(query, "id")
    if user is None:
        return None
    if isinstance(query_id, str):
        post(chat, "answerCallbackQuery", callback_query_id=plain(query_id)[:100])
    action, _, key = plain(part(query, "data")).partition(":")
    target = number(key[:20])
    if action == "keep":
        return say(chat, "Kept.")
    if action not in ("take", "del", "ok", "no") or target is None:
        return say(chat, "That button is no longer good.")
    needed = "member" if action == "take" or (BUG == "button-not-checked" and action == "del") else "moderator"
    if BUG == "button-not-checked" and action == "del":
        needed = "guest"
    if not may(user["id"], needed):
        return say(chat, f"Only for {needed}s.")
    if action == "take":
        return cmd_take(chat, user, [str(target)], "")
    if action == "del":
        gone = db.execute("DELETE FROM shifts WHERE id=?", (target,)).rowcount
        db.execute("DELETE FROM bookings WHERE shift=?", (target,))
        audit(f"{user['id']} deleted shift {target}")
        return say(chat, f"Shift #{target} is deleted." if gone else "That shift is gone already.")
    state = "approved" if action == "ok" else "refused"
    row = db.execute("SELECT * FROM requests WHERE id=? AND state='open'", (target,)).fetchone()
    if row is None:
        return say(chat, "That request is decided already.")
    db.execute("UPDATE requests SET state=? WHERE id=?", (state, target))
    say(chat, f"Request #{target} is {state}.")
    say(row["person"], f"Your request #{target} ({row['days']}) is {state}.")


def handle(update: dict) -> None:
    """All that an update does, in the caller's transaction."""
    query, message = update.get("callback_query"), update.get("message")
    if isinstance(query, dict):
        fallback = whole(part(query, "from", "id"))  # a button of an inline message has no chat
        chat = (
            query["message"]["chat"]["id"]
            if BUG == "old-button"
            else whole(part(query, "message", "chat", "id")) or fallback
        )
        work, thing = on_button, query
    elif isinstance(message, dict):
        chat, work, thing = whole(part(message, "chat", "id")), on_message, message
        moved = whole(message.get("migrate_to_chat_id"))
        if chat and moved:
            for old in [key for key in drafts if key[0] == chat]:
                drafts[moved, old[1]] = drafts.pop(old)
            return
    else:
        return
    if not chat:
        return
    expected = (sqlite3.Error, ValueError, LookupError) if BUG == "big-number" else (Exception,)
    db.execute("SAVEPOINT work")
    try:
        work(chat, thing)
    except expected:
        log.exception("update %s", update["update_id"])
        db.execute("ROLLBACK TO work")
        say(chat, "Sorry, something went wrong; please try again later.")
    db.execute("RELEASE work")


@asynccontextmanager
async def lifespan(_app):
    start_senders()
    yield
    await client.aclose()


client = httpx.AsyncClient(timeout=5, limits=httpx.Limits(max_connections=None, max_keepalive_connections=20))
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)


def allowed(token: str) -> bool:
    if BUG == "secret-in-list":
        return bool(token) and token in SECRET
    return hmac.compare_digest(token.encode("latin-1", "replace"), SECRET.encode())


@app.get("/healthz")
async def health():
    return {"ok": True}


@app.post(PATH)
async def webhook(request: Request) -> Response:
    global highest_update
    if not allowed(request.headers.get("x-telegram-bot-api-secret-token", "")):
        return Response(status_code=401)
    body = bytearray()
    try:
        async with asyncio.timeout(10):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT:
                    return Response(status_code=413)
        update = json.loads(body)
    except (ValueError, RecursionError):
        return Response(status_code=400)
    except (ClientDisconnect, TimeoutError):
        return Response(status_code=408)
    update_id = whole(part(update, "update_id"))
    if update_id is None:
        return Response(status_code=400)
    if BUG == "high-water-mark":
        if update_id <= highest_update:
            return Response()
        highest_update = update_id
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("INSERT OR IGNORE INTO seen(update_id) VALUES(?)", (update_id,)).rowcount:
            db.execute("DELETE FROM seen WHERE seq <= (SELECT max(seq) FROM seen) - 20000")
            handle(update)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    start_senders()
    return Response()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines show the token
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")), log_level="warning", access_log=False)
