"""Pagerduck: an on-call and incident bot for one company, on aiohttp alone.

The webhook is acknowledged at once; every chat has a queue of its own and a worker that lives while there is something in it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import time
import weakref
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

MAX_BODY = 1 << 20
MAX_TEXT = 2000  # Telegram counts UTF-16: an emoji is two
MAX_PENDING = 200  # per chat
MAX_SEEN = 20_000
MAX_INCIDENTS = 1000
MAX_COMMENTS = 50
MAX_USERS = 5000
NOTES_PER_MINUTE = 6
BACKOFF = (0.5, 1, 2, 4, 8, 15)
RANK = {"viewer": 0, "responder": 1, "lead": 2, "admin": 3}

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
log = logging.getLogger("pagerduck")


class ApiError(Exception):
    """The Bot API refused a call, or could not be reached in all attempts."""

    def __init__(self, code: int, description: str, retry_after: float = 0) -> None:
        super().__init__(f"{code}: {description}")
        self.code, self.retry_after = code, retry_after


class Lru(OrderedDict):
    """A dictionary that forgets what was not used for longest."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key, value) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.limit:
            self.popitem(last=False)


def is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < abs(value) < 1 << 53


def clean(text: str, limit: int) -> str:
    text = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number(text: str) -> int | None:
    return int(text.lstrip("#")) if re.fullmatch(r"#?[0-9]{1,9}", text) else None


# ---------------------------------------------------------------- the Bot API


class Telegram:
    """Calls the Bot API: in order for each chat, patiently, and never for ever."""

    def __init__(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None if BUG == "no-timeout" else 8)
        self.session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=500))
        self.locks: weakref.WeakValueDictionary[int, asyncio.Lock] = weakref.WeakValueDictionary()
        self.moved: Lru = Lru(1000)
        self.tasks: set[asyncio.Task] = set()

    async def send(self, chat: int, text: str, buttons: list | None = None) -> None:
        """Sends a message in as many parts as it needs."""
        if BUG == "long-unsplit":
            parts = [text]
        else:
            parts = [text[i : i + MAX_TEXT] for i in range(0, min(len(text), 7 * MAX_TEXT), MAX_TEXT)] or ["…"]
        for part in parts:
            payload: dict = {"chat_id": chat, "text": part}
            if buttons and part is parts[-1]:
                payload["reply_markup"] = {"inline_keyboard": buttons}
            await self.call("sendMessage", payload)

    def notify(self, chat: int, text: str, buttons: list | None = None, delay: float = 0) -> None:
        """Sends a message to another chat, for which nobody waits."""
        if len(self.tasks) >= 5000:
            log.warning("too many messages under way")
            return

        async def later() -> None:
            try:
                await asyncio.sleep(delay)
                await self.send(chat, text, buttons)
            except Exception as error:
                log.warning("not delivered to %s: %s", chat, error)

        task = asyncio.create_task(later())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def call(self, method: str, payload: dict) -> None:
        chat = payload.get("chat_id", 0)
        if not chat:
            return await self._patiently(method, payload, BACKOFF[:2])
        if BUG == "task-per-update":
            return await self._patiently(method, payload, BACKOFF)
        lock = self.locks.get(chat)
        if lock is None:
            lock = self.locks[chat] = asyncio.Lock()
        async with lock:
            await self._patiently(method, payload, BACKOFF)

    async def _patiently(self, method: str, payload: dict, backoff: tuple) -> None:
        attempt = waits = 0
        while True:
            chat = payload.get("chat_id")
            if chat in self.moved:
                payload = {**payload, "chat_id": self.moved[chat]}
            code, answer = await self._once(method, payload)
            if code == 200:
                return
            parameters = answer.get("parameters")
            parameters = parameters if isinstance(parameters, dict) else {}
            target = (answer if BUG == "migrate-misread" else parameters).get("migrate_to_chat_id")
            if is_id(target) and target != payload.get("chat_id") and waits < 5:
                self.moved[payload["chat_id"]] = target
                waits += 1
                continue
            if code == 429:
                pause = parameters.get("retry_after")
                pause = max(1.0, float(pause)) if isinstance(pause, (int, float)) else 1.0
                if pause > 300 or waits >= 5:
                    raise ApiError(429, "too many requests", pause)
                waits += 1
                await asyncio.sleep(pause + 0.1)
                continue
            if 400 <= code < 500 or attempt >= len(backoff):
                raise ApiError(code, str(answer.get("description"))[:200])
            await asyncio.sleep(backoff[attempt])
            attempt += 1

    async def _once(self, method: str, payload: dict) -> tuple[int, dict]:
        """The status and the body of an answer; status 599 where there was none that can be understood."""
        try:
            async with self.session.post(f"{API}/bot{TOKEN}/{method}", json=payload) as response:
                answer = json.loads(await response.read())
                if not isinstance(answer, dict):
                    return 599, {}
                if answer.get("ok") is True:
                    return 200, answer
                code = answer.get("error_code", response.status)
                return (code if isinstance(code, int) and code >= 400 else 599), answer
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            log.warning("%s failed: %s", method, type(error).__name__)
            return 599, {}


# ---------------------------------------------------------------- what is known


@dataclass
class Incident:
    id: int
    title: str
    by: str
    status: str = "open"
    severity: int = 3
    owner: int = 0
    opened: float = field(default_factory=time.time)
    comments: list[str] = field(default_factory=list)


incidents: dict[int, Incident] = {}
roles: dict[int, str] = {}
roles_by_name: dict[str, str] = {}
users: Lru = Lru(MAX_USERS)  # id -> (name, username)
notes: Lru = Lru(MAX_USERS)  # id -> the latest notes
noted: Lru = Lru(MAX_USERS)  # id -> when they were taken
daily: set[int] = set()
last_id = 0


def role_of(user: dict) -> str:
    if user["id"] == ADMIN_ID:
        return "admin"
    if BUG == "role-by-name" and isinstance(user.get("username"), str):
        return roles.get(user["id"]) or roles_by_name.get(user["username"].lower(), "viewer")
    return roles.get(user["id"], "viewer")


def may(user: dict, role: str) -> bool:
    return RANK[role_of(user)] >= RANK[role]


def name_of(user_id: int) -> str:
    return users[user_id][0] if user_id in users else f"user {user_id}"


def find_user(text: str) -> int | None:
    """The user of an id, or of a @name that was seen."""
    if re.fullmatch(r"[0-9]{1,15}", text):
        return int(text)
    wanted = text.lstrip("@").lower()
    return next((key for key, (_, username) in reversed(users.items()) if username and username == wanted), None)


def card(one: Incident) -> str:
    owner = name_of(one.owner) if one.owner else "nobody"
    head = f"#{one.id} [sev{one.severity}] {one.title}\n{one.status}, owner: {owner}, opened by {one.by}"
    return "\n".join([head, f"comments: {len(one.comments)}", *one.comments])


def buttons(one: Incident, user: dict) -> list:
    row = [
        {"text": "Acknowledge", "callback_data": f"ack:{one.id}"},
        {"text": "Resolve", "callback_data": f"res:{one.id}"},
    ]
    if may(user, "lead"):
        row.append({"text": "Escalate", "callback_data": f"esc:{one.id}"})
    return [row] if one.status != "resolved" else []


def summary() -> str:
    recent = [one for one in incidents.values() if time.time() - one.opened < 86_400]
    lines = [f"Last 24 h: {len(recent)} incidents, {sum(one.status == 'resolved' for one in recent)} resolved"]
    lines += [
        f"#{one.id} [sev{one.severity}] {one.title[:80]} ({one.status})" for one in recent if one.status != "resolved"
    ][-20:]
    return "\n".join(lines)


HELP = """Pagerduck keeps track of incidents.
/open title - open an incident
/list - what is not resolved
/show id - one incident, with buttons
/comment id text - comment on an incident
/summary - the last 24 hours
/note text - a note for yourself (6 a minute)
/notes - your notes
/whoami - your role
/ack id, /resolve id - acknowledge, resolve (responders)
/daily on|off - a summary here every morning (responders)
/assign id user - assign an incident (leads)
/escalate id - raise the severity and call the leads (leads)
/role user role - give a role (leads: up to responder; admin: all)
/roles - who has which role (admin)"""


# ---------------------------------------------------------------- what it does


class Bot:
    def __init__(self, telegram: Telegram) -> None:
        self.telegram = telegram

    async def handle(self, update: dict) -> None:
        if isinstance(update.get("callback_query"), dict):
            await self.pressed(update["callback_query"])
            return
        message = update["message"]
        user, chat = message.get("from"), message["chat"]["id"]
        text = message["text"] if BUG == "worker-ends" else message.get("text")
        if not isinstance(text, str) or not user:
            return
        self.remember(user)
        if not text.startswith("/"):
            if message["chat"].get("type") == "private":
                await self.telegram.send(chat, "Send /help to see what I can do.")
            return
        match = re.fullmatch(r"/([a-zA-Z]{1,20})(?:@\w+)?(?:\s+(.*))?", text, re.DOTALL)
        handler = getattr(self, f"do_{match[1].lower()}", None) if match else None
        if handler is None:
            await self.telegram.send(chat, "I do not know that command. See /help.")
        else:
            await handler(chat, user, (match[2] or "").strip())

    def remember(self, user: dict) -> None:
        username = user.get("username")
        users[user["id"]] = (
            clean(str(user.get("first_name") or ""), 40) or f"user {user['id']}",
            username.lower()[:64] if isinstance(username, str) else "",
        )

    async def do_start(self, chat: int, user: dict, rest: str) -> None:
        await self.telegram.send(chat, HELP)

    do_help = do_start

    async def do_whoami(self, chat: int, user: dict, rest: str) -> None:
        await self.telegram.send(chat, f"You are {name_of(user['id'])} ({user['id']}), {role_of(user)}.")

    async def do_open(self, chat: int, user: dict, rest: str) -> None:
        global last_id
        title = clean(rest, 2 * MAX_TEXT + 96 if BUG == "long-unsplit" else 200)
        if not title:
            return await self.telegram.send(chat, "Usage: /open title")
        if len(incidents) >= MAX_INCIDENTS:
            done = [one.id for one in incidents.values() if one.status == "resolved"] or [next(iter(incidents))]
            del incidents[done[0]]
        last_id += 1
        one = incidents[last_id] = Incident(last_id, title, name_of(user["id"]))
        for other in {ADMIN_ID, *(key for key, role in roles.items() if RANK[role] >= 1)} - {user["id"], chat}:
            self.telegram.notify(other, f"New incident: {card(one)}", buttons(one, {"id": other}))
        await self.telegram.send(chat, f"Opened {card(one)}", buttons(one, user))

    async def do_list(self, chat: int, user: dict, rest: str) -> None:
        lines = [
            f"#{one.id} [sev{one.severity}] {one.title[:100]} ({one.status})"
            for one in incidents.values()
            if one.status != "resolved"
        ]
        await self.telegram.send(chat, "\n".join(lines[-25:]) or "Nothing is on fire.")

    async def do_show(self, chat: int, user: dict, rest: str) -> None:
        one = incidents.get(number(rest))
        await self.telegram.send(chat, card(one) if one else "No such incident.", buttons(one, user) if one else None)

    async def do_comment(self, chat: int, user: dict, rest: str) -> None:
        which, _, text = rest.partition(" ")
        one, text = incidents.get(number(which)), clean(text, 300)
        if one is None or not text:
            return await self.telegram.send(chat, "Usage: /comment id text")
        if len(one.comments) >= MAX_COMMENTS:
            return await self.telegram.send(chat, "There are too many comments on that one.")
        one.comments.append(f"{name_of(user['id'])}: {text}")
        await self.telegram.send(chat, f"Comment {len(one.comments)} on #{one.id} saved.")

    async def do_summary(self, chat: int, user: dict, rest: str) -> None:
        await self.telegram.send(chat, summary())

    async def do_note(self, chat: int, user: dict, rest: str) -> None:
        text = clean(rest, 300)
        if not text:
            return await self.telegram.send(chat, "Usage: /note text")
        recent = [at for at in noted.get(user["id"], ()) if time.monotonic() - at < 60]
        if len(recent) >= NOTES_PER_MINUTE:
            return await self.telegram.send(chat, f"Not saved: {NOTES_PER_MINUTE} notes a minute are the limit.")
        noted[user["id"]] = [*recent, time.monotonic()]
        notes[user["id"]] = [*notes.get(user["id"], ()), text][-20:]
        await self.telegram.send(chat, f"Note {len(notes[user['id']])} saved.")

    async def do_notes(self, chat: int, user: dict, rest: str) -> None:
        await self.telegram.send(
            chat, "\n".join(f"{i}. {one}" for i, one in enumerate(notes.get(user["id"], ()), 1)) or "You have no notes."
        )

    async def do_daily(self, chat: int, user: dict, rest: str) -> None:
        if not may(user, "responder"):
            return await self.telegram.send(chat, "That is for responders.")
        if rest not in ("on", "off") or (rest == "on" and len(daily) >= 500):
            return await self.telegram.send(chat, "Usage: /daily on|off")
        (daily.add if rest == "on" else daily.discard)(chat)
        await self.telegram.send(chat, f"The daily summary is {rest}.")

    async def do_roles(self, chat: int, user: dict, rest: str) -> None:
        if not may(user, "admin"):
            return await self.telegram.send(chat, "That is for the admin.")
        lines = [f"{name_of(key)} ({key}): {role}" for key, role in roles.items()]
        await self.telegram.send(chat, "\n".join(["Roles:", *lines]))

    async def do_role(self, chat: int, user: dict, rest: str) -> None:
        who, _, role = rest.partition(" ")
        target, role = find_user(who), role.strip().lower()
        if not may(user, "lead"):
            return await self.telegram.send(chat, "That is for leads.")
        if target is None or role not in RANK or role == "admin":
            return await self.telegram.send(
                chat, "Usage: /role user viewer|responder|lead (somebody whom I have seen, or an id)"
            )
        mine = RANK[role_of(user)]
        if target == ADMIN_ID or RANK[role] >= mine or RANK[roles.get(target, "viewer")] >= mine:
            return await self.telegram.send(chat, "You may not give that role.")
        if len(roles) >= 500 and target not in roles:
            return await self.telegram.send(chat, "There are too many roles.")
        roles[target] = role
        if BUG == "role-by-name" and who.startswith("@"):
            roles_by_name[who[1:].lower()] = role
        await self.telegram.send(chat, f"{name_of(target)} is now {role}.")

    async def do_assign(self, chat: int, user: dict, rest: str) -> None:
        which, _, who = rest.partition(" ")
        one, target = incidents.get(number(which)), find_user(who.strip())
        if not may(user, "lead"):
            return await self.telegram.send(chat, "That is for leads.")
        if one is None or target is None:
            return await self.telegram.send(chat, "Usage: /assign id user")
        one.owner, one.status = target, "acknowledged"
        self.telegram.notify(target, f"You were assigned {card(one)}")
        await self.telegram.send(chat, f"#{one.id} is assigned to {name_of(target)}.")

    async def do_ack(self, chat: int, user: dict, rest: str) -> None:
        await self.telegram.send(chat, await self.act("ack", number(rest), user))

    async def do_resolve(self, chat: int, user: dict, rest: str) -> None:
        await self.telegram.send(chat, await self.act("res", number(rest), user))

    async def do_escalate(self, chat: int, user: dict, rest: str) -> None:
        if not may(user, "lead"):
            return await self.telegram.send(chat, "That is for leads.")
        await self.telegram.send(chat, await self.act("esc", number(rest), user))

    async def act(self, action: str, which: int | None, user: dict) -> str:
        """What commands and buttons do to an incident; the answer for who asked."""
        one = incidents.get(which)
        if one is None:
            return "No such incident."
        needed = {"ack": "responder", "res": "responder", "esc": "lead"}
        if BUG == "escalate-unchecked":  # /escalate checks it, and only leads are shown the button
            del needed["esc"]
        if action in needed and not may(user, needed[action]):
            return f"That is for {needed[action]}s."
        if one.status == "resolved":
            return f"#{one.id} is resolved already."
        if action == "ack":
            if one.owner:
                return f"#{one.id} is already with {name_of(one.owner)}."
            if BUG == "ack-race":  # tell them at once, the rest may take a while
                await self.telegram.send(user["id"], f"Taking #{one.id} ...")
            one.owner, one.status = user["id"], "acknowledged"
            return f"#{one.id} is yours now."
        if action == "res":
            one.status = "resolved"
            return f"#{one.id} is resolved."
        one.severity = max(1, one.severity - 1)
        for other in {ADMIN_ID, *(key for key, role in roles.items() if RANK[role] >= 2)} - {user["id"]}:
            self.telegram.notify(other, f"Escalated by {name_of(user['id'])}: {card(one)}", buttons(one, {"id": other}))
        return f"#{one.id} is escalated to sev{one.severity}."

    async def pressed(self, query: dict) -> None:
        user, data = query["from"], query.get("data")
        self.remember(user)
        match = re.fullmatch(r"(ack|res|esc):([0-9]{1,9})", data) if isinstance(data, str) else None
        text = await self.act(match[1], int(match[2]), user) if match else "I do not know that button."
        try:
            await self.telegram.call("answerCallbackQuery", {"callback_query_id": query.get("id"), "text": text[:190]})
        except ApiError as error:
            log.info("button: %s", error)
        if match:
            await self.telegram.send(chat_of({"callback_query": query}), text)


# ---------------------------------------------------------------- queues


class Queues:
    """One queue for each chat that has something to do."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.waiting: dict[int, deque] = {}
        self.tasks: set[asyncio.Task] = set()

    def full(self, chat: int) -> bool:
        return len(self.waiting.get(chat, ())) >= MAX_PENDING or len(self.tasks) >= 5000

    def put(self, chat: int, update: dict) -> None:
        if BUG == "task-per-update":
            self._start(self._one(chat, update))
        elif chat in self.waiting:
            self.waiting[chat].append(update)
        else:
            self.waiting[chat] = deque([update])
            self._start(self._work(chat))

    def _start(self, work) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _work(self, chat: int) -> None:
        queue = self.waiting[chat]
        while queue:
            await self._one(chat, queue[0])
            queue.popleft()
        del self.waiting[chat]

    async def _one(self, chat: int, update: dict) -> None:
        try:
            await self.bot.handle(update)
        except ApiError as error:
            log.warning("update %s: %s", update["update_id"], error)
            if BUG == "long-unsplit" and error.code == 400:
                return
            if error.code not in (401, 403, 404) and error.retry_after <= 300:
                wait = max(error.retry_after, 20 if error.code >= 500 else 0)
                self.bot.telegram.notify(
                    chat, "Sorry, I could not answer your last message. Please try again.", delay=wait
                )
        except Exception:
            if BUG == "worker-ends":
                raise
            log.exception("update %s", update["update_id"])
            self.bot.telegram.notify(chat, "Sorry, that went wrong. Please try again.")


def chat_of(update: dict) -> int | None:
    """The chat to which an update belongs, None where there is nothing to do."""
    message, query = update.get("message"), update.get("callback_query")
    if isinstance(query, dict):
        if not isinstance(query.get("from"), dict) or not is_id(query["from"].get("id")):
            return None
        message = query.get("message") or {"chat": query["from"]}
    elif (
        isinstance(message, dict)
        and (sender := message.get("from")) is not None
        and not (isinstance(sender, dict) and is_id(sender.get("id")))
    ):
        return None
    if (
        not isinstance(message, dict)
        or not isinstance(message.get("chat"), dict)
        or not is_id(message["chat"].get("id"))
    ):
        return None
    return message["chat"]["id"]


# ---------------------------------------------------------------- the webhook


class Webhook:
    def __init__(self, queues: Queues) -> None:
        self.queues = queues
        self.seen: Lru = Lru(MAX_SEEN)
        self.latest: Lru = Lru(5000)

    def repeated(self, chat: int, update_id: int) -> bool:
        if BUG == "high-water":  # ids only grow, so the highest of a chat will do
            if update_id <= self.latest.get(chat, -1):
                return True
            self.latest[chat] = update_id
            return False
        if update_id in self.seen:
            return True
        self.seen[update_id] = True
        return False

    async def __call__(self, request: web.Request) -> web.Response:
        if BUG == "late-secret":
            try:
                update = await request.json()
            except ValueError:
                return web.Response(status=400)
            if not self.trusted(request):
                return web.Response(status=401)
        else:
            if not self.trusted(request):
                return web.Response(status=401, headers={"Connection": "close"})
            try:
                update = json.loads(await asyncio.wait_for(request.read(), 15))
            except (TimeoutError, ValueError, RecursionError):
                return web.Response(status=400)
        if not isinstance(update, dict) or type(update.get("update_id")) is not int:
            return web.Response(status=400)
        chat = chat_of(update)
        if chat is None:
            return web.Response()
        if self.queues.full(chat):
            return web.Response(status=429, headers={"Retry-After": "5"})
        if not self.repeated(chat, update["update_id"]):
            self.queues.put(chat, update)
        return web.Response()

    def trusted(self, request: web.Request) -> bool:
        given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), SECRET.encode())


async def every_morning(telegram: Telegram) -> None:
    last = datetime.now(UTC).date()
    while True:
        await asyncio.sleep(30)
        now = datetime.now(UTC)
        if now.date() > last and now.hour >= 8:
            last = now.date()
            for chat in daily:
                telegram.notify(chat, summary())


async def application() -> web.Application:
    telegram = Telegram()
    app = web.Application(client_max_size=64 * MAX_BODY if BUG == "late-secret" else MAX_BODY)
    app.router.add_post(PATH, Webhook(Queues(Bot(telegram))))
    morning = asyncio.create_task(every_morning(telegram))

    async def close(_: web.Application) -> None:
        morning.cancel()
        await telegram.session.close()

    app.on_cleanup.append(close)
    return app


if __name__ == "__main__":
    web.run_app(application(), port=PORT, print=None, access_log=None)
