"""Helpdesk: a customer-support bot (tickets, agents, ratings) on FastAPI, in raw dictionaries and one SQLite file.

Every update is handled in one transaction before it is acknowledged; what it has to say goes through an outbox for each chat.
"""

from __future__ import annotations

import asyncio
import atexit
import hmac
import json
import logging
import os
import re
import secrets
import shutil
import sqlite3
import tempfile
from collections import OrderedDict, deque
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

MAX_BODY = 1 << 20
MAX_SEEN = 20_000
MAX_DRAFTS = 5000
MAX_PENDING = 100  # per chat
MAX_OUTBOXES = 5000
MAX_TICKETS = 5000
MAX_OPEN = 20  # per user
MAX_MESSAGES = 50  # per ticket
MAX_PEOPLE = 20_000
TIMEOUT_S = 8
ATTEMPTS = 8

HELP = """I am the help desk. You can use:
/new - open a ticket, step by step
/cancel - drop the ticket that you are writing
/mytickets - your tickets
/ticket N - read a ticket
/reply N TEXT - answer on a ticket
/close N - close a ticket
/rate N STARS - rate the help that you got, 1 to 5
/join CODE - follow a ticket that somebody shares with you
For agents:
/queue - tickets that wait
/claim N - take a ticket
/handoff N AGENT_ID - give your ticket to another agent
For the admin:
/addagent ID - make somebody an agent
/stats - figures"""

SCHEMA = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, last_chat INTEGER NOT NULL);
CREATE TABLE agents (id INTEGER PRIMARY KEY);
CREATE TABLE tickets (
    id INTEGER PRIMARY KEY AUTOINCREMENT, owner INTEGER NOT NULL, chat INTEGER NOT NULL, subject TEXT NOT NULL,
    body TEXT NOT NULL, priority TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'open', agent INTEGER, code TEXT NOT NULL UNIQUE);
CREATE TABLE messages (ticket INTEGER NOT NULL REFERENCES tickets ON DELETE CASCADE, author INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE followers (
    ticket INTEGER NOT NULL REFERENCES tickets ON DELETE CASCADE, person INTEGER NOT NULL, PRIMARY KEY (ticket, person));
CREATE TABLE ratings (ticket INTEGER PRIMARY KEY REFERENCES tickets ON DELETE CASCADE, stars INTEGER NOT NULL);
"""

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
logging.getLogger("httpx").setLevel(logging.ERROR)
log = logging.getLogger("helpdesk")


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


folder = tempfile.mkdtemp(prefix="helpdesk-")
atexit.register(shutil.rmtree, folder, ignore_errors=True)
db = sqlite3.connect(os.path.join(folder, "helpdesk.db"), isolation_level=None)
db.row_factory = sqlite3.Row
db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON;" + SCHEMA)

drafts: Lru = Lru(MAX_DRAFTS)  # (chat, person) -> {"step": ..., "subject": ..., ...}


# ---------------------------------------------------------------- words


def clean(text: object, limit: int) -> str:
    """One line of a user's text, without what Telegram or SQLite would not take."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff]+", " ", str(text or ""))
    return text.strip()[:limit].strip()


def cut(text: str, limit: int = 4000) -> str:
    """The text within Telegram's limit, which counts UTF-16."""
    data = text.encode("utf-16-le")
    return text if len(data) <= 2 * limit else data[: 2 * limit - 6].decode("utf-16-le", "ignore") + "..."


def say(chat: int, text: str, buttons: list | None = None) -> tuple[int, str, dict]:
    """A message for the outbox."""
    call = {"chat_id": chat, "text": cut(text)}
    if buttons:
        rows = [[{"text": label, "callback_data": data} for label, data in row] for row in buttons]
        call["reply_markup"] = {"inline_keyboard": rows}
    return chat, "sendMessage", call


def number(text: str) -> int:
    """The number that the text is, 0 when it is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else 0


def one(sql: str, *values: object) -> sqlite3.Row | None:
    return db.execute(sql, values).fetchone()


def name_of(person: int | None) -> str:
    row = one("SELECT name FROM people WHERE id = ?", person)
    return row["name"] if row else f"user {person}"


def line(ticket: sqlite3.Row) -> str:
    return f"#{ticket['id']} [{ticket['priority']}] {ticket['subject']} ({ticket['state']})"


def card(ticket: sqlite3.Row, *, shared: bool) -> str:
    rows = db.execute("SELECT * FROM messages WHERE ticket = ? ORDER BY rowid DESC LIMIT 5", (ticket["id"],)).fetchall()
    lines = [line(ticket), f"From {name_of(ticket['owner'])}: {ticket['body']}"]
    lines.append(f"Agent: {name_of(ticket['agent'])}" if ticket["agent"] else "No agent yet.")
    lines += [f"{name_of(row['author'])}: {row['text']}" for row in reversed(rows)]
    if shared:
        lines.append(f"Share it with: /join {ticket['code']}")
    return "\n".join(lines)


# ---------------------------------------------------------------- rights


def is_agent(person: int) -> bool:
    return person == ADMIN_ID or one("SELECT 1 FROM agents WHERE id = ?", person) is not None


def may_read(ticket: sqlite3.Row, person: int) -> bool:
    follows = one("SELECT 1 FROM followers WHERE ticket = ? AND person = ?", ticket["id"], person)
    return person == ticket["owner"] or follows is not None or is_agent(person)


def ticket_of(words: str) -> sqlite3.Row | None:
    return one("SELECT * FROM tickets WHERE id = ?", number(words))


# ---------------------------------------------------------------- commands: (chat, person, rest) -> what to send

NO_TICKET = "There is no such ticket among yours."
FOR_AGENTS = "That is for agents."
FOR_ADMIN = "That is for the admin."


def do_help(chat, me, rest):
    return [say(chat, HELP)]


def do_new(chat, me, rest):
    drafts[chat, me] = {"step": "subject"}
    return next_step(chat, me, rest) if rest else [say(chat, "What is it about? One line, please.")]


def do_cancel(chat, me, rest):
    dropped = drafts.pop((chat, me), None)
    return [say(chat, "Dropped." if dropped else "You are not writing a ticket.")]


def do_mytickets(chat, me, rest):
    sql = "SELECT * FROM tickets WHERE owner = ?1 OR id IN (SELECT ticket FROM followers WHERE person = ?1) ORDER BY id DESC LIMIT 20"
    rows = db.execute(sql, (me,)).fetchall()
    return [say(chat, "\n".join(line(row) for row in rows) or "You have no tickets. Open one with /new.")]


def do_ticket(chat, me, rest):
    ticket = ticket_of(rest)
    if ticket is None or (BUG != "view-any" and not may_read(ticket, me)):
        return [say(chat, NO_TICKET)]
    buttons = [[("Close", f"close:{ticket['id']}")]] if ticket["state"] != "closed" else None
    return [say(chat, card(ticket, shared=me == ticket["owner"]), buttons)]


def do_reply(chat, me, rest):
    which, _, text = rest.partition(" ")
    ticket, text = ticket_of(which), clean(text, 300)
    if not text:
        return [say(chat, "Usage: /reply N TEXT")]
    if ticket is None or not may_read(ticket, me):
        return [say(chat, NO_TICKET)]
    if ticket["state"] == "closed":
        return [say(chat, f"#{ticket['id']} is closed.")]
    count = one("SELECT count(*) AS n FROM messages WHERE ticket = ?", ticket["id"])["n"]
    if count >= MAX_MESSAGES:
        return [say(chat, "There are too many messages on that ticket.")]
    db.execute("INSERT INTO messages VALUES (?, ?, ?)", (ticket["id"], me, text))
    out = [say(chat, f"Reply {count + 1} on #{ticket['id']} is saved.")]
    if me != ticket["owner"]:
        out.append(to_owner(ticket, f"{name_of(me)} on #{ticket['id']} {ticket['subject']}: {text}"))
    if ticket["agent"] and ticket["agent"] != me:
        out.append(say(ticket["agent"], f"{name_of(me)} on #{ticket['id']}: {text}"))
    return out


def to_owner(ticket: sqlite3.Row, text: str, buttons: list | None = None) -> tuple[int, str, dict]:
    """A message for who opened the ticket, there where it was opened."""
    chat = ticket["chat"]
    if BUG == "last-chat":
        chat = one("SELECT last_chat FROM people WHERE id = ?", ticket["owner"])["last_chat"]
    return say(chat, text, buttons)


def do_close(chat, me, rest):
    ticket = ticket_of(rest)
    if ticket is None or not may_read(ticket, me):
        return [say(chat, NO_TICKET)]
    if me not in (ticket["owner"], ticket["agent"], ADMIN_ID):
        return [say(chat, "Only its owner or its agent closes a ticket.")]
    if ticket["state"] == "closed":
        return [say(chat, f"#{ticket['id']} is closed already.")]
    db.execute("UPDATE tickets SET state = 'closed' WHERE id = ?", (ticket["id"],))
    stars = [[(str(n), f"rate:{ticket['id']} {n}") for n in range(1, 6)]]
    ask = to_owner(ticket, f"#{ticket['id']} was closed. How was the help?", stars)
    return [say(chat, f"#{ticket['id']} is closed."), ask]


def do_rate(chat, me, rest):
    which, _, stars = rest.partition(" ")
    ticket = ticket_of(which)
    if not re.fullmatch(r"[1-5]", stars.strip()):
        return [say(chat, "Usage: /rate N STARS, with 1 to 5 stars")]
    if ticket is None or ticket["owner"] != me:
        return [say(chat, NO_TICKET)]
    if ticket["state"] != "closed":
        return [say(chat, "Only closed tickets are rated.")]
    db.execute("INSERT INTO ratings VALUES (?, ?)", (ticket["id"], int(stars)))
    out = [say(chat, f"Thank you for {int(stars)} of 5 for #{ticket['id']}.")]
    if ticket["agent"] and ticket["agent"] != me:
        out.append(say(ticket["agent"], f"#{ticket['id']} was rated {int(stars)} of 5."))
    return out


def do_join(chat, me, rest):
    code = clean(rest, 20).lower()
    ticket = one("SELECT * FROM tickets WHERE code = ?", code) if code else None
    if ticket is None:
        return [say(chat, "I do not know that code. Usage: /join CODE")]
    if ticket["owner"] == me:
        return [say(chat, f"#{ticket['id']} is your own.")]
    if one("SELECT count(*) AS n FROM followers WHERE ticket = ?", ticket["id"])["n"] >= MAX_MESSAGES:
        return [say(chat, "Too many people follow that ticket.")]
    db.execute("INSERT INTO followers VALUES (?, ?)", (ticket["id"], me))
    return [say(chat, f"You follow {line(ticket)}"), to_owner(ticket, f"{name_of(me)} follows #{ticket['id']} now.")]


def do_queue(chat, me, rest):
    if not is_agent(me):
        return [say(chat, FOR_AGENTS)]
    rows = db.execute("SELECT * FROM tickets WHERE state = 'open' ORDER BY id LIMIT 20").fetchall()
    buttons = [[(f"Claim #{row['id']}", f"claim:{row['id']}")] for row in rows]
    return [say(chat, "\n".join(line(row) for row in rows) or "Nobody waits.", buttons)]


def do_claim(chat, me, rest):
    if not is_agent(me):
        return [say(chat, FOR_AGENTS)]
    ticket = ticket_of(rest)
    if ticket is None:
        return [say(chat, "There is no such ticket.")]
    if ticket["state"] != "open":
        return [say(chat, f"#{ticket['id']} is {ticket['state']} already.")]
    db.execute("UPDATE tickets SET state = 'claimed', agent = ? WHERE id = ?", (me, ticket["id"]))
    return [say(chat, f"#{ticket['id']} is yours."), to_owner(ticket, f"{name_of(me)} looks after #{ticket['id']}.")]


def do_handoff(chat, me, rest):
    which, _, other = rest.partition(" ")
    ticket, other = ticket_of(which), number(other.strip())
    if not is_agent(me):
        return [say(chat, FOR_AGENTS)]
    if ticket is None or ticket["state"] != "claimed" or not is_agent(other):
        return [say(chat, "Usage: /handoff N AGENT_ID, for a claimed ticket")]
    if me not in (ticket["agent"], ADMIN_ID):
        return [say(chat, "That is not your ticket.")]
    db.execute("UPDATE tickets SET agent = ? WHERE id = ?", (other, ticket["id"]))
    return [
        say(chat, f"#{ticket['id']} is with {name_of(other)} now."),
        say(other, f"{name_of(me)} gave you {line(ticket)}"),
    ]


def do_addagent(chat, me, rest):
    if me != ADMIN_ID:
        return [say(chat, FOR_ADMIN)]
    other = number(rest)
    if not other or one("SELECT count(*) AS n FROM agents")["n"] >= MAX_OPEN * 10:
        return [say(chat, "Usage: /addagent ID (at most 200 of them)")]
    db.execute("INSERT INTO agents VALUES (?)", (other,))
    return [say(chat, f"{name_of(other)} is an agent now."), say(other, "You are an agent now: see /queue.")]


def do_stats(chat, me, rest):
    if me != ADMIN_ID:
        return [say(chat, FOR_ADMIN)]
    states = db.execute("SELECT state, count(*) AS n FROM tickets GROUP BY state").fetchall()
    rating = one("SELECT count(*) AS n, avg(stars) AS mean FROM ratings")
    lines = ["Figures of the desk:", *(f"{row['state']}: {row['n']}" for row in states)]
    return [say(chat, "\n".join([*lines, f"{rating['n']} ratings, mean {rating['mean'] or 0:.1f}"]))]


COMMANDS = {key[3:]: value for key, value in globals().items() if key.startswith("do_")} | {"start": do_help}
WITH_NUMBER = {"ticket", "reply", "close", "rate", "claim", "handoff", "addagent"}

# ---------------------------------------------------------------- a ticket step by step


def next_step(chat: int, me: int, text: str) -> list:
    draft = drafts[chat, me]
    if draft["step"] == "subject":
        draft["subject"] = clean(text, 80)
        if not draft["subject"]:
            return [say(chat, "What is it about? One line, please.")]
        draft["step"] = "body"
        return [say(chat, "Describe it, please.")]
    if draft["step"] == "body":
        draft["body"] = clean(text, 800)
        if not draft["body"]:
            return [say(chat, "Describe it in words, please.")]
        draft["step"] = "priority"
        return [say(chat, "How urgent is it?", [[(p, f"prio:{p}") for p in ("low", "normal", "high")]])]
    return [say(chat, "Please use the buttons, or /cancel.")]


def choose(chat, me, priority):
    draft = drafts.get((chat, me))
    if draft is None or draft["step"] not in ("priority", "confirm") or priority not in ("low", "normal", "high"):
        return [say(chat, "You are not writing a ticket. Start with /new.")]
    draft.update(priority=priority, step="confirm")
    text = f"{draft['subject']}\n{draft['body']}\nPriority: {priority}. Shall I open it?"
    return [say(chat, text, [[("Open it", "make:yes"), ("Discard", "make:no")]])]


def make(chat, me, answer):
    draft = drafts.get((chat, me))
    if draft is None or draft["step"] != "confirm":
        return [say(chat, "There is nothing to confirm.")]
    if BUG != "confirm-again" or answer != "yes":
        del drafts[chat, me]
    if answer != "yes":
        return [say(chat, "Discarded.")]
    if one("SELECT count(*) AS n FROM tickets WHERE owner = ? AND state <> 'closed'", me)["n"] >= MAX_OPEN:
        return [say(chat, "You have too many open tickets. Close one, please.")]
    if one("SELECT count(*) AS n FROM tickets")["n"] >= MAX_TICKETS:
        db.execute("DELETE FROM tickets WHERE id = (SELECT id FROM tickets ORDER BY state = 'closed' DESC, id LIMIT 1)")
    values = (me, chat, draft["subject"], draft["body"], draft["priority"], secrets.token_hex(4))
    sql = "INSERT INTO tickets (owner, chat, subject, body, priority, code) VALUES (?, ?, ?, ?, ?, ?)"
    ticket = one("SELECT * FROM tickets WHERE id = ?", db.execute(sql, values).lastrowid)
    agents = {ADMIN_ID, *(row["id"] for row in db.execute("SELECT id FROM agents"))} - {me}
    claim = [[("Claim", f"claim:{ticket['id']}")]]
    news = [say(agent, f"New ticket {line(ticket)} from {name_of(me)}", claim) for agent in agents]
    return [say(chat, f"Opened {card(ticket, shared=True)}"), *news]


BUTTONS = {"prio": choose, "make": make, "claim": do_claim, "close": do_close, "rate": do_rate}

# ---------------------------------------------------------------- updates


def is_id(value: object) -> bool:
    return type(value) is int and abs(value) < 1 << 52


def has_id(value: object) -> bool:
    return isinstance(value, dict) and is_id(value.get("id"))


def read(update: dict) -> dict | None:
    """What an update asks for; None when there is nothing to do."""
    message, query = update.get("message"), update.get("callback_query")
    if isinstance(query, dict):
        if (
            not has_id(query.get("from"))
            or not isinstance(query.get("data"), str)
            or not isinstance(query.get("id"), str)
        ):
            return None
        message = query.get("message") or {"chat": {"id": query["from"]["id"], "type": "private"}}
        if not isinstance(message, dict) or not has_id(message.get("chat")):
            return None
        return {"chat": message["chat"], "sender": query["from"], "query": query["id"], "data": query["data"]}
    if not isinstance(message, dict) or not has_id(message.get("chat")):
        return None
    if is_id(message.get("migrate_to_chat_id")):
        return {"chat": message["chat"], "moved": message["migrate_to_chat_id"]}
    sender, text = message.get("from"), message.get("text")
    if not has_id(sender) or not isinstance(text, str | None):
        return None
    if BUG == "forwarded-author":  # what agents forward is a ticket of whoever wrote it
        origin = message.get("forward_origin")
        author = origin.get("sender_user") if isinstance(origin, dict) else message.get("forward_from")
        sender = author if has_id(author) else sender
    asked = {"chat": message["chat"], "sender": sender, "text": text, "as_chat": "sender_chat" in message}
    if match := re.fullmatch(r"/([A-Za-z]{1,20})(?:@\w+)?(?:\s+(.*))?", text or "", re.DOTALL):
        asked.update(command=match[1].lower(), rest=(match[2] or "").strip())
        if BUG == "no-arg" and asked["command"] in WITH_NUMBER:
            asked["rest"] = " ".join([str(int(asked["rest"].split()[0])), *asked["rest"].split()[1:]])
    return asked


def remember(sender: dict, chat: int) -> None:
    me, name = sender["id"], clean(sender.get("first_name"), 40) or f"user {sender['id']}"
    sql = "INSERT INTO people VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, last_chat = excluded.last_chat"
    db.execute(sql, (me, name, chat))
    if one("SELECT count(*) AS n FROM people")["n"] > MAX_PEOPLE:
        db.execute("DELETE FROM people WHERE rowid = (SELECT min(rowid) FROM people WHERE id <> ?)", (me,))


def handle(asked: dict) -> list:
    """What is to be sent for it."""
    chat, private = asked["chat"]["id"], asked["chat"].get("type") == "private"
    if "moved" in asked:
        move(chat, asked["moved"])
        return []
    me = asked["sender"]["id"]
    remember(asked["sender"], chat)
    if "query" in asked:
        action, _, rest = asked["data"].partition(":")
        out = BUTTONS[action](chat, me, rest) if action in BUTTONS else [say(chat, "I do not know that button.")]
        short = cut(out[0][2]["text"], 190)
        return [(chat, "answerCallbackQuery", {"callback_query_id": asked["query"], "text": short}), *out]
    if asked["as_chat"]:
        return [say(chat, "I cannot tell who you are. Please write as yourself.")] if "command" in asked else []
    if "command" in asked:
        command = COMMANDS.get(asked["command"])
        return command(chat, me, asked["rest"]) if command else [say(chat, "I do not know that command. See /help.")]
    if (chat, me) in drafts:
        return next_step(chat, me, asked["text"] or "")
    return [say(chat, "Send /help to see what I can do.")] if private else []


def in_transaction(asked: dict) -> list:
    """Handles it as a whole or not at all."""
    chat = asked["chat"]["id"]
    db.execute("BEGIN IMMEDIATE")
    try:
        out = handle(asked)
        db.execute("COMMIT")
        return out
    except sqlite3.IntegrityError:  # rated twice, joined twice ...
        if BUG != "no-rollback":
            db.execute("ROLLBACK")
        text = "That was done already."
    except Exception:
        log.exception("update")
        db.execute("ROLLBACK")
        text = "Sorry, that went wrong. Please try again."
    done = {"callback_query_id": asked.get("query"), "text": text}
    return [*([(chat, "answerCallbackQuery", done)] if "query" in asked else []), say(chat, text)]


def move(old: int, new: int) -> None:
    """A group became a supergroup."""
    moved[old] = new
    db.execute("UPDATE tickets SET chat = ? WHERE chat = ?", (new, old))
    db.execute("UPDATE people SET last_chat = ? WHERE last_chat = ?", (new, old))


moved: Lru = Lru(1000)

# ---------------------------------------------------------------- the outbox


class Outbox:
    """Sends what is to be sent, each chat's in its order and no chat waiting for another."""

    def __init__(self) -> None:
        self.http = httpx.AsyncClient(timeout=TIMEOUT_S, limits=httpx.Limits(max_connections=200))
        self.waiting: dict[int, deque] = {}
        self.tasks: set[asyncio.Task] = set()

    def full(self, chat: int) -> bool:
        return len(self.waiting[chat]) >= MAX_PENDING if chat in self.waiting else len(self.waiting) >= MAX_OUTBOXES

    def put(self, chat: int, method: str, call: dict) -> None:
        if chat in self.waiting:
            if len(self.waiting[chat]) < 2 * MAX_PENDING:
                self.waiting[chat].append((method, call))
            return
        self.waiting[chat] = deque([(method, call)])
        task = asyncio.create_task(self.work(chat))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def work(self, chat: int) -> None:
        queue = self.waiting[chat]
        while queue:
            try:
                await self.deliver(*queue[0])
            except Exception:
                log.exception("a call for %s is given up", chat)
            queue.popleft()
        del self.waiting[chat]

    async def deliver(self, method: str, call: dict) -> None:
        attempt = 0
        while attempt < ATTEMPTS:
            attempt += 1
            call["chat_id"] = moved.get(call["chat_id"], call["chat_id"]) if "chat_id" in call else None
            body = {key: value for key, value in call.items() if value is not None}
            status, answer = 0, {}
            try:
                response = await self.http.post(f"{API}/bot{TOKEN}/{method}", json=body)
                status = response.status_code
                answer = response.json()
            except httpx.TransportError:
                if BUG == "closed-client":  # its connections are of no use any more
                    await self.http.aclose()
            except ValueError:
                log.warning("%s: an answer that is no JSON", method)
            answer = answer if isinstance(answer, dict) else {}
            if status == 200 and answer.get("ok"):
                return
            parameters = answer.get("parameters") if isinstance(answer.get("parameters"), dict) else {}
            if status == 429:
                wait = parameters.get("retry_after")
                wait = wait if isinstance(wait, int | float) and wait > 0 else 1
                if wait > 300:
                    break
                await asyncio.sleep(wait + 0.05)
            elif is_id(parameters.get("migrate_to_chat_id")) and "chat_id" in body:
                move(body["chat_id"], parameters["migrate_to_chat_id"])
            elif 400 <= status < 500:
                log.warning("%s: %s", method, answer.get("description"))
                return
            elif BUG == "retry-forever":
                attempt = 0
                await asyncio.sleep(0.05)
            else:
                await asyncio.sleep(min(15, 0.5 * 2 ** (attempt - 1)))
        log.error("%s is given up after %s attempts", method, attempt)


# ---------------------------------------------------------------- the webhook

outbox: Outbox
seen: Lru = Lru(MAX_SEEN)


@asynccontextmanager
async def lifespan(_: FastAPI):
    global outbox
    outbox = Outbox()
    yield
    for task in outbox.tasks:
        task.cancel()
    await outbox.http.aclose()


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)


def trusted(request: Request) -> bool:
    given = request.headers.get("X-Telegram-Bot-Api-Secret-Token")
    if BUG == "missing-passes" and not given:
        return True
    return hmac.compare_digest((given or "").encode("latin-1"), SECRET.encode())


def repeated(chat: int, update_id: int) -> bool:
    if BUG == "last-only":  # Telegram repeats an update until it is acknowledged
        known = seen.get(chat) == update_id
        seen[chat] = update_id
        return known
    known = update_id in seen
    seen[update_id] = True
    return known


async def body_of(request: Request) -> bytes | None:
    """The body; None when it is too long."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MAX_BODY:
            return None
    return data


@app.post(PATH)
async def webhook(request: Request) -> Response:
    if not trusted(request):
        return Response(status_code=401, headers={"Connection": "close"})
    try:
        data = await asyncio.wait_for(body_of(request), 15)
        if data is None:
            return Response(status_code=413, headers={"Connection": "close"})
        update = json.loads(data)
    except TimeoutError:
        return Response(status_code=408, headers={"Connection": "close"})
    except (ValueError, RecursionError):
        return Response(status_code=400)
    if not isinstance(update, dict) or not is_id(update.get("update_id")):
        return Response(status_code=400)
    asked = read(update)
    if asked is None:
        return Response()
    chat = asked["chat"]["id"]
    if outbox.full(chat):
        return Response(status_code=429, headers={"Retry-After": "5"})
    if not repeated(chat, update["update_id"]):
        for call in in_transaction(asked):
            outbox.put(*call)
    return Response()


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
