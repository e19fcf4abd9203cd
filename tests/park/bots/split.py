"""Split: shared expenses of flat mates and travel groups, on FastAPI with raw dictionaries and httpx.

Every update is put into its chat's queue and acknowledged; a task per busy chat handles it and sends the replies. People,
groups, expenses and balances lie in SQLite; only half-written receipts are in memory. Every text is HTML.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hmac
import html
import json
import logging
import os
import re
import secrets
import sqlite3
import tempfile
from collections import OrderedDict, deque

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

PORT = int(os.environ.get("PORT", "8000"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
BASE = f"{os.environ.get('BOT_API', 'https://api.telegram.org').rstrip('/')}/bot{os.environ.get('BOT_TOKEN', '')}"
ADMIN = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

MAX_BODY = 512 * 1024
MAX_WAITING, MAX_CHATS, MAX_SEEN, MAX_DRAFTS = 200, 4000, 20_000, 2000
MAX_GROUPS, MAX_MEMBERS, MAX_EXPENSES, MAX_ITEMS = 200, 50, 300, 30
PAUSES = (0.5, 1, 2, 4, 8)
EMPTY_RECEIPT = {"step": "items", "items": []}
AMOUNT = re.compile(r"([0-9]{1,6})(?:[.,]([0-9]{1,2}))?")

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
log = logging.getLogger("split")
client = httpx.AsyncClient(
    timeout=None if BUG == "no-timeout" else httpx.Timeout(8, pool=30), limits=httpx.Limits(max_connections=400)
)


class Refused(Exception):
    """Telegram does not want this call, or did not answer however often it was asked."""


class Sorry(Exception):
    """What a person is told instead of an answer."""


class Recent(OrderedDict):
    """A dictionary that forgets its oldest entries."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        if len(self) > self.size:
            self.popitem(last=False)


# ---- the database -----------------------------------------------------------------------------------------------
db = sqlite3.connect(os.path.join(tempfile.mkdtemp(prefix="split-"), "split.db"), isolation_level=None)
db.row_factory = sqlite3.Row
db.executescript("""
PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT NOT NULL, current INTEGER, banned INTEGER NOT NULL DEFAULT 0);
CREATE TABLE groups(id INTEGER PRIMARY KEY, code TEXT UNIQUE NOT NULL, title TEXT NOT NULL);
CREATE TABLE members(grp INTEGER, person INTEGER, balance INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(grp, person));
CREATE TABLE chats(id INTEGER PRIMARY KEY, grp INTEGER NOT NULL);
CREATE TABLE expenses(id INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER, payer INTEGER, cents INTEGER, what TEXT);
CREATE TABLE shares(expense INTEGER, person INTEGER, cents INTEGER, PRIMARY KEY(expense, person));
""")


@contextlib.contextmanager
def transaction():
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def one(sql, *args):
    return db.execute(sql, args).fetchone()


def every(sql, *args):
    return db.execute(sql, args).fetchall()


def name_of(person):
    row = one("SELECT name FROM people WHERE id=?", person)
    return html.escape(row["name"]) if row else str(person)


def money(cents):
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def cents_of(text):
    match = AMOUNT.fullmatch(text)
    cents = int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0")) if match else 0
    if not cents:
        raise Sorry("An amount is a number like 12 or 12.50, up to 999999.99.")
    return cents


def whole(text):
    if not re.fullmatch(r"#?[0-9]{1,15}", text):
        raise Sorry("That needs a number, such as the one behind the # in /expenses.")
    return int(text.lstrip("#"))


def tidy(text, limit=120):
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text).strip()[:limit]


def group_here(ask):
    """The group that a command is about: the chat's, or in private the one that the person chose."""
    if ask["private"]:
        row = one("SELECT g.* FROM groups g JOIN people p ON p.current=g.id WHERE p.id=?", ask["user"])
        if not row:
            raise Sorry("You have no group yet: /newgroup Title makes one, /join CODE enters one.")
    else:
        row = one("SELECT g.* FROM groups g JOIN chats c ON c.grp=g.id WHERE c.id=?", ask["chat"])
        if not row:
            raise Sorry("This chat has no group yet: /newgroup Title makes one for it.")
    member(row["id"], ask["user"])
    return row


def member(group, person):
    row = one("SELECT * FROM members WHERE grp=? AND person=?", group, person)
    if not row:
        raise Sorry("You are not in that group. Ask somebody in it for the code, then /join CODE.")
    return row


def expense_of(number, person):
    """An expense that this person may see."""
    row = one("SELECT * FROM expenses WHERE id=?", number)
    if not row or not one("SELECT 1 FROM members WHERE grp=? AND person=?", row["grp"], person):
        raise Sorry("There is no such expense in your groups.")
    return row


def own_expense(number, person):
    row = expense_of(number, person)
    if row["payer"] != person:
        raise Sorry(f"Only {name_of(row['payer'])}, who paid it, may change #{number}.")
    return row


def split(cents, payer, people):
    """Everybody's part; the payer bears what cannot be divided."""
    part = cents // len(people)
    parts = dict.fromkeys(people, part)
    parts[payer] = parts.get(payer, 0) + cents - part * len(people)
    return parts


def book(group, payer, parts, sign=1):
    """Moves the balances; within a transaction."""
    for person, cents in parts.items():
        db.execute("UPDATE members SET balance=balance-? WHERE grp=? AND person=?", (sign * cents, group, person))
    total = sign * sum(parts.values())
    db.execute("UPDATE members SET balance=balance+? WHERE grp=? AND person=?", (total, group, payer))


def write_expense(group, payer, cents, what, *, known=None):
    if one("SELECT COUNT(*) n FROM expenses WHERE grp=?", group)["n"] >= MAX_EXPENSES:
        raise Sorry("This group has too many expenses; delete some old ones first.")
    with transaction():
        people = [r["person"] for r in every("SELECT person FROM members WHERE grp=? ORDER BY person", group)]
        parts = split(cents, payer, people)
        number = db.execute(
            "INSERT INTO expenses(grp,payer,cents,what) VALUES(?,?,?,?)", (group, payer, cents, what)
        ).lastrowid
        db.executemany("INSERT INTO shares VALUES(?,?,?)", [(number, p, c) for p, c in parts.items()])
        if known is None:
            book(group, payer, parts)
        else:
            for person, cents_now in known.items():
                new = cents_now - parts.get(person, 0) + (cents if person == payer else 0)
                db.execute("UPDATE members SET balance=? WHERE grp=? AND person=?", (new, group, person))
    return number


def remove_expense(row):
    with transaction():
        parts = {r["person"]: r["cents"] for r in every("SELECT * FROM shares WHERE expense=?", row["id"])}
        book(row["grp"], row["payer"], parts, -1)
        db.execute("DELETE FROM shares WHERE expense=?", (row["id"],))
        db.execute("DELETE FROM expenses WHERE id=?", (row["id"],))


# ---- Telegram ---------------------------------------------------------------------------------------------------
moved = Recent(1000)


async def call(method, payload, pauses=PAUSES):
    failures = waits = 0
    while True:
        if payload.get("chat_id") in moved:
            payload["chat_id"] = moved[payload["chat_id"]]
        try:
            response = await client.post(f"{BASE}/{method}", json=payload)
            answer = response.json()
            status = response.status_code if isinstance(answer, dict) else 599
        except (httpx.HTTPError, ValueError) as error:
            log.warning("%s: %s", method, type(error).__name__)
            status, answer = 599, {}
        if status == 200 and answer.get("ok"):
            return
        parameters = answer.get("parameters") if isinstance(answer.get("parameters"), dict) else {}
        target, pause = parameters.get("migrate_to_chat_id"), parameters.get("retry_after")
        if is_id(target) and target != payload.get("chat_id") and waits < 6:
            waits += 1
            moved[payload["chat_id"]] = target
            db.execute("UPDATE OR IGNORE chats SET id=? WHERE id=?", (target, payload["chat_id"]))
        elif status == 429 and waits < 6:
            waits += 1
            pause = pause if isinstance(pause, int | float) else 1
            await asyncio.sleep(pause / 1000 if BUG == "milliseconds" else min(pause, 600) + 0.1)
        elif status < 500 or failures >= len(pauses):
            raise Refused(f"{method}: {status} {answer.get('description')}")
        else:
            await asyncio.sleep(pauses[failures])
            failures += 1


async def say(chat, text, buttons=None):
    parts = [""]
    for line in text.split("\n"):
        if len((parts[-1] + line).encode("utf-16-le")) // 2 > 3900:
            parts.append("")
        parts[-1] += line + "\n"
    for part in parts:
        payload = {"chat_id": chat, "text": part.strip() or "-", "parse_mode": "HTML"}
        if buttons and part is parts[-1]:
            rows = [[{"text": label, "callback_data": data} for label, data in row] for row in buttons]
            payload["reply_markup"] = {"inline_keyboard": rows}
        await call("sendMessage", payload)


async def typing(chat):
    with contextlib.suppress(Refused):
        await call("sendChatAction", {"chat_id": chat, "action": "typing"}, ())


# ---- a queue for each chat --------------------------------------------------------------------------------------
lanes: dict[int, deque] = {}
tasks: set[asyncio.Task] = set()
seen = Recent(MAX_SEEN)
drafts = Recent(MAX_DRAFTS)


def put(chat, job):
    """Adds a job, a function that gives a coroutine; False where there is no room."""
    if chat in lanes:
        if len(lanes[chat]) >= MAX_WAITING:
            return False
        lanes[chat].append(job)
        return True
    if len(lanes) >= MAX_CHATS:
        return False
    lanes[chat] = deque([job])
    task = asyncio.create_task(work(chat))
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return True


async def work(chat):
    while lanes[chat]:
        job = lanes[chat].popleft()
        try:
            await job()
        except Refused as error:
            log.warning("not delivered to %s: %s", chat, error)
        except Exception:
            log.exception("chat %s", chat)
            with contextlib.suppress(Refused):
                await say(chat, "Sorry, something went wrong. Please try again.")
    del lanes[chat]


def tell(person, text, buttons=None):
    """A message to somebody else, in their own time."""
    put(person, lambda: say(person, text, buttons))


# ---- commands ---------------------------------------------------------------------------------------------------
COMMANDS = {}


def command(name, usage, *, admin=False):
    def register(function):
        COMMANDS[name] = (function, usage, admin)
        return function

    return register


@command("help", "/help - this list")
async def help_(ask, rest):
    lines = [usage for _, usage, admin in COMMANDS.values() if not admin or ask["user"] == ADMIN]
    await say(ask["chat"], "I split what you spend together.\n" + html.escape("\n".join(lines)))


@command("newgroup", "/newgroup Title - make a group (in a group chat: for that chat)")
async def newgroup(ask, rest):
    title = tidy(rest, 60)
    if not title:
        raise Sorry("Which title? Like this: /newgroup Lisbon trip")
    if one("SELECT COUNT(*) n FROM members WHERE person=?", ask["user"])["n"] >= MAX_GROUPS:
        raise Sorry("You are in too many groups.")
    code = secrets.token_hex(4)
    with transaction():
        group = db.execute("INSERT INTO groups(code,title) VALUES(?,?)", (code, title)).lastrowid
        enter(ask, group)
    title = html.escape(title)
    await say(ask["chat"], f"Made <b>{title}</b>. Others enter it with\n<code>/join {code}</code>")


def enter(ask, group):
    db.execute("INSERT OR IGNORE INTO members(grp,person) VALUES(?,?)", (group, ask["user"]))
    db.execute("UPDATE people SET current=? WHERE id=?", (group, ask["user"]))
    if not ask["private"]:
        db.execute("INSERT OR IGNORE INTO chats VALUES(?,?)", (ask["chat"], group))


@command("join", "/join CODE - enter a group")
async def join(ask, rest):
    group = one("SELECT * FROM groups WHERE code=?", rest.strip().lower())
    if not group:
        raise Sorry("No group has that code.")
    if one("SELECT COUNT(*) n FROM members WHERE grp=?", group["id"])["n"] >= MAX_MEMBERS:
        raise Sorry("That group is full.")
    with transaction():
        enter(ask, group["id"])
    await say(ask["chat"], f"You are in <b>{html.escape(group['title'])}</b>. /balance shows how it stands.")


@command("groups", "/groups - your groups; choose one")
async def groups(ask, rest):
    mine = "SELECT g.* FROM groups g JOIN members m ON m.grp=g.id WHERE m.person=? ORDER BY g.id DESC LIMIT 20"
    rows = every(mine, ask["user"])
    if not rows:
        raise Sorry("You have no group yet: /newgroup Title makes one, /join CODE enters one.")
    lines = [f"{html.escape(r['title'])} - code <code>{r['code']}</code>" for r in rows]
    await say(ask["chat"], "\n".join(lines), [[(f"Use {r['title'][:30]}", f"use:{r['id']}")] for r in rows])


@command("add", "/add 12.50 pizza - you paid, all share")
async def add(ask, rest):
    group = group_here(ask)
    amount, _, what = rest.strip().partition(" ")
    cents, what = cents_of(amount), tidy(what) or "something"
    if BUG == "stale-balance":
        known = {r["person"]: r["balance"] for r in every("SELECT * FROM members WHERE grp=?", group["id"])}
        await typing(ask["chat"])
        number = write_expense(group["id"], ask["user"], cents, what, known=known)
    else:
        await typing(ask["chat"])
        number = write_expense(group["id"], ask["user"], cents, what)
    await say(ask["chat"], f"#{number}: {money(cents)} for {html.escape(what)}, shared by all.", card_buttons(number))


def card_buttons(number):
    return [[("Show", f"show:{number}"), ("Delete", f"del:{number}")]]


@command("receipt", "/receipt - enter the items of a receipt one by one")
async def receipt(ask, rest):
    group = group_here(ask)
    draft = dict(EMPTY_RECEIPT) if BUG == "shared-receipt" else copy.deepcopy(EMPTY_RECEIPT)
    drafts[ask["chat"], ask["user"]] = {**draft, "group": group["id"]}
    await say(ask["chat"], "Send me the items, one at a time, like <i>bread 2.40</i>. /cancel gives up.")


@command("cancel", "/cancel - forget the receipt")
async def cancel(ask, rest):
    gone = drafts.pop((ask["chat"], ask["user"]), None)
    await say(ask["chat"], "Forgotten." if gone else "There was nothing to cancel.")


async def next_step(ask, text, draft):
    """What somebody says while a receipt is open."""
    if draft["step"] == "name":
        del drafts[ask["chat"], ask["user"]]
        member(draft["group"], ask["user"])
        cents, what = sum(c for _, c in draft["items"]), tidy(text) or "receipt"
        number = write_expense(draft["group"], ask["user"], cents, what)
        done = f"#{number}: {money(cents)} for {html.escape(what)}, {len(draft['items'])} items."
        return await say(ask["chat"], done, card_buttons(number))
    what, _, amount = text.strip().rpartition(" ")
    cents = cents_of(amount)
    if len(draft["items"]) >= MAX_ITEMS:
        raise Sorry("That is too long a receipt for me: press Done.")
    draft["items"].append((tidy(what, 40) or "item", cents))
    lines = [f"{html.escape(w)} {money(c)}" for w, c in draft["items"]]
    lines.append(f"<b>{money(sum(c for _, c in draft['items']))}</b>")
    await say(ask["chat"], "\n".join(lines), [[("Done", "rc:done"), ("Cancel", "rc:cancel")]])


@command("expenses", "/expenses - the latest of the group")
async def expenses(ask, rest):
    group = group_here(ask)
    rows = every("SELECT * FROM expenses WHERE grp=? ORDER BY id DESC LIMIT 25", group["id"])
    if not rows:
        raise Sorry("Nothing yet. /add 12.50 pizza")
    escape = str if BUG == "angle-bracket" else html.escape
    lines = [f"#{r['id']} {money(r['cents'])} {escape(r['what'])} ({name_of(r['payer'])})" for r in rows]
    await say(ask["chat"], "\n".join(lines), [[(f"#{r['id']}", f"show:{r['id']}") for r in rows[:5]]])


@command("show", "/show 7 - one expense and its shares")
async def show(ask, rest):
    row = expense_of(whole(rest.strip()), ask["user"])
    shares = every("SELECT * FROM shares WHERE expense=? ORDER BY person", row["id"])
    lines = [f"<b>#{row['id']} {html.escape(row['what'])}</b> {money(row['cents'])}, paid by {name_of(row['payer'])}"]
    lines += [f"{name_of(s['person'])}: {money(s['cents'])}" for s in shares]
    await say(ask["chat"], "\n".join(lines), [[("Delete", f"del:{row['id']}")]])


@command("edit", "/edit 7 13.20 [what] - correct your expense")
async def edit(ask, rest):
    number, amount, *what = [*rest.split(maxsplit=2), "", ""][:3]
    find = expense_of if BUG == "edit-any" else own_expense
    row, cents = find(whole(number), ask["user"]), cents_of(amount)
    what = tidy(what[0]) or row["what"]
    with transaction():
        parts = {r["person"]: r["cents"] for r in every("SELECT * FROM shares WHERE expense=?", row["id"])}
        book(row["grp"], row["payer"], parts, -1)
        parts = split(cents, row["payer"], list(parts))
        book(row["grp"], row["payer"], parts)
        db.executemany("REPLACE INTO shares VALUES(?,?,?)", [(row["id"], p, c) for p, c in parts.items()])
        db.execute("UPDATE expenses SET cents=?, what=? WHERE id=?", (cents, what, row["id"]))
    await say(ask["chat"], f"Corrected: #{row['id']} {money(cents)} for {html.escape(what)}.")


@command("delete", "/delete 7 - delete your expense")
async def delete(ask, rest):
    row = own_expense(whole(rest.strip()), ask["user"])
    remove_expense(row)
    await say(ask["chat"], f"Deleted #{row['id']} ({money(row['cents'])}).")


@command("balance", "/balance - who is owed what")
async def balance(ask, rest):
    group = group_here(ask)
    rows = every("SELECT * FROM members WHERE grp=? ORDER BY person", group["id"])
    lines = [f"{name_of(r['person'])} ({r['person']}): {money(r['balance'])}" for r in rows]
    await say(ask["chat"], f"<b>{html.escape(group['title'])}</b>\n" + "\n".join(lines))


def debts(group, person):
    """What this person could pay to whom."""
    mine = -member(group, person)["balance"]
    rows = every("SELECT * FROM members WHERE grp=? AND balance>0 ORDER BY balance DESC", group)
    return {r["person"]: min(mine, r["balance"]) for r in rows} if mine > 0 else {}


def pay(group, person, to, cents=None):
    owed = debts(group, person).get(to, 0)
    cents = owed if cents is None else cents
    if not 0 < cents <= owed:
        raise Sorry(f"You owe them {money(owed)}, so there is nothing like that to settle.")
    with transaction():
        book(group, person, {to: cents})
    tell(to, f"{name_of(person)} says that they paid you {money(cents)}.")
    return f"Settled: {money(cents)} to {name_of(to)}."


@command("settle", "/settle [id amount] - pay what you owe")
async def settle(ask, rest):
    group = group_here(ask)
    words = rest.split()
    if len(words) == 2:
        return await say(ask["chat"], pay(group["id"], ask["user"], whole(words[0]), cents_of(words[1])))
    owed = debts(group["id"], ask["user"])
    if not owed:
        raise Sorry("You owe nobody anything here.")
    names = {p: html.unescape(name_of(p)) for p in owed}
    buttons = [[(f"Pay {names[p]} {money(c)}", f"pay:{group['id']}:{p}")] for p, c in list(owed.items())[:8]]
    await say(ask["chat"], "Whom did you pay?", buttons)


@command("announce", "/announce text - tell everybody", admin=True)
async def announce(ask, rest):
    text = tidy(rest, 1000)
    if not text:
        raise Sorry("Announce what?")
    people = every("SELECT id FROM people WHERE banned=0 AND id!=? ORDER BY id DESC LIMIT 1000", ask["user"])
    for row in people:
        tell(row["id"], f"<b>News:</b> {html.escape(text)}")
    await say(ask["chat"], f"Announced to {len(people)} people.")


@command("ban", "/ban id - lock somebody out", admin=True)
async def ban(ask, rest):
    await lock(ask, whole(rest.strip()), 1)


@command("unban", "/unban id - let them in again", admin=True)
async def unban(ask, rest):
    await lock(ask, whole(rest.strip()), 0)


async def lock(ask, person, flag):
    done = db.execute("UPDATE people SET banned=? WHERE id=? AND id!=?", (flag, person, ADMIN)).rowcount
    await say(
        ask["chat"], f"{name_of(person)} is {'banned' if flag else 'welcome'}." if done else "I do not know them."
    )


@command("stats", "/stats - how much there is", admin=True)
async def stats(ask, rest):
    counts = {t: one(f"SELECT COUNT(*) n FROM {t}")["n"] for t in ("people", "groups", "expenses")}
    await say(ask["chat"], "Statistics: " + ", ".join(f"{n} {t}" for t, n in counts.items()))


# ---- from an update to its answer -------------------------------------------------------------------------------
async def handle(ask):
    chat, text = ask["chat"], ask["text"]
    db.execute(
        "INSERT INTO people(id,name) VALUES(?,?) ON CONFLICT(id) DO UPDATE SET name=excluded.name",
        (ask["user"], ask["name"]),
    )
    try:
        if one("SELECT banned FROM people WHERE id=?", ask["user"])["banned"]:
            raise Sorry("You were banned from this bot.")
        if ask["query"]:
            await pressed(ask, text)
        elif text is None:
            if ask["private"]:
                raise Sorry("I only understand text. /help")
        elif text.startswith("/"):
            await run(ask, text)
        elif draft := drafts.get((chat, ask["user"])):
            await next_step(ask, text, draft)
        elif ask["private"]:
            raise Sorry("I did not get that. /help")
    except Sorry as sorry:
        await say(chat, str(sorry))
    finally:
        if ask["query"]:
            with contextlib.suppress(Refused):
                await call("answerCallbackQuery", {"callback_query_id": ask["query"]}, ())


async def run(ask, text):
    match = re.match(r"/([A-Za-z]{1,20})(?:@\w{1,40})?(?:\s+|$)", text)
    typed = match[1] if match else ""
    name = "help" if typed.lower() == "start" else typed.lower()
    if name not in COMMANDS:
        if not ask["private"]:
            return
        raise Sorry("I do not know that command. /help")
    function, _, admin = COMMANDS[name]
    if BUG == "capital":
        admin = typed in {known for known, entry in COMMANDS.items() if entry[2]}
    if admin and ask["user"] != ADMIN:
        raise Sorry("That is for the admin.")
    await function(ask, text[match.end() :])


async def pressed(ask, data):
    action, _, rest = data.partition(":")
    draft = drafts.get((ask["chat"], ask["user"]))
    if action == "use" and rest.isdecimal():
        member(whole(rest), ask["user"])
        db.execute("UPDATE people SET current=? WHERE id=?", (whole(rest), ask["user"]))
        await say(ask["chat"], "From now on we talk about that group.")
    elif action == "show":
        await show(ask, rest)
    elif action == "del":
        await delete(ask, rest)
    elif action == "pay" and re.fullmatch(r"[0-9]{1,15}:[0-9]{1,15}", rest):
        group, to = map(int, rest.split(":"))
        await say(ask["chat"], pay(group, ask["user"], to))
    elif rest == "cancel":
        await cancel(ask, "")
    elif rest == "done" and draft and draft["items"]:
        draft["step"] = "name"
        await say(ask["chat"], "What shall I call it?")
    else:
        raise Sorry("That button is out of date.")


def is_id(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 < abs(value) < 1 << 53


def read(update):
    """What is asked by an update; None where it is nothing for this bot."""
    query = update.get("callback_query")
    content = query if isinstance(query, dict) else update.get("message")
    if BUG == "channel-post":
        content = content or update.get("channel_post")
        log.info("from %s", content and content["from"]["id"])
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("from"), dict)
        or not is_id(content["from"].get("id"))
    ):
        return None
    user = content["from"]
    message = content.get("message") if content is query else content
    chat = message.get("chat") if isinstance(message, dict) else {"id": user["id"], "type": "private"}
    text = content.get("data") if content is query else content.get("text")
    if not isinstance(chat, dict) or not is_id(chat.get("id")) or not isinstance(text, str | None):
        return None
    if content is query and (text is None or not isinstance(query.get("id"), str)):
        return None
    name = tidy(str(user.get("first_name") or ""), 40) or str(user["id"])
    return {
        "user": user["id"], "name": name, "chat": chat["id"], "private": chat.get("type") == "private",
        "text": text, "query": query["id"] if content is query else None,
    }  # fmt: skip


def trusted(request):
    given = request.headers.get("x-telegram-bot-api-secret-token", "")
    if BUG == "zip-compare":  # looks at every letter, so that the time it takes says nothing
        return sum(a != b for a, b in zip(given, SECRET, strict=False)) == 0
    return hmac.compare_digest(given.encode("utf-8", "replace"), SECRET.encode())


@contextlib.asynccontextmanager
async def lifespan(_):
    yield
    await client.aclose()


app = FastAPI(openapi_url=None, lifespan=lifespan)


@app.post(PATH)
async def webhook(request: Request):
    if not trusted(request):
        return Response(status_code=401)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return Response(status_code=413, headers={"Connection": "close"})
    try:
        update = json.loads(body)
    except (ValueError, RecursionError):
        return Response(status_code=400)
    if not isinstance(update, dict) or type(update.get("update_id")) is not int:
        return Response(status_code=400)
    number = update["update_id"]
    ask = None if number in seen else read(update)
    if ask is None:
        return Response()

    async def job():
        await handle(ask)
        seen[number] = True

    if not put(ask["chat"], job if BUG == "late-mark" else lambda: handle(ask)):
        return Response(status_code=503, headers={"Retry-After": "5"})
    if BUG != "late-mark":
        seen[number] = True
    return Response()


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
