"""Opsgate: a team's gateway to its operations assistant, on FastAPI and httpx with raw dictionaries.

Four tiers with quotas of their own, jobs that wait for an operator's button, notes that are shared by single-use codes. The webhook
acknowledges at once; every chat has a queue and a worker that lives while there is something in it. Everything is kept in memory.
"""

from __future__ import annotations

import asyncio
import hmac
import html
import json
import logging
import os
import re
import secrets
import time
import weakref
from collections import OrderedDict, deque
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

MAX_BODY = 1 << 20
MAX_PART = 3500
MAX_PENDING = 300  # per chat
MAX_SEEN = 20_000
MAX_PEOPLE = 5000
MAX_JOBS = 500
DRAFT_S = 600
BACKOFF = (0.5, 1, 2, 4, 8, 15)
TIERS = ("guest", "user", "operator", "admin")
QUESTIONS_PER_HOUR = {"guest": 15, "user": 60, "operator": 200, "admin": 1000}
NOTES = {"guest": 10, "user": 30, "operator": 60, "admin": 60}
REMINDERS = {"guest": 0, "user": 5, "operator": 20, "admin": 20}
JOBS = {
    "backup": ("back up the database", "snapshot stored, 3 older ones kept"),
    "restart": ("restart the web workers", "4 workers are back, none of them failed its health check"),
    "rotate": ("rotate the logs", "12 files compressed"),
    "warmup": ("warm up the cache", "the cache answers 97 % of the sample"),
}
RUNBOOKS = {
    "deploy": "Merge to main, wait for the pipeline, then promote the release in the console. Roll back with the same button.",
    "database": "The primary is db-1. For slow queries look at the dashboard first; fail over only with a second pair of eyes.",
    "oncall": "The rota changes on Monday at ten. Whoever hands over writes a summary of the open incidents.",
    "access": "Send /request here. Somebody from the platform team decides, usually within the day.",
    "vpn": "Renew the certificate in the portal every ninety days and restart the client afterwards.",
}

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
log = logging.getLogger("opsgate")


class ApiError(Exception):
    """The Bot API refused a call, or could not be reached in all attempts."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code


class Lru(OrderedDict):
    """A dictionary that forgets what was written longest ago."""

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


def esc(text: str) -> str:
    return html.escape(text, quote=False)


def number(text: str) -> int | None:
    return int(text.lstrip("#")) if re.fullmatch(r"#?[0-9]{1,15}", text) else None


def parts_of(text: str) -> list[str]:
    """The text in parts that a message can hold, cut between lines."""
    parts, part = [], ""
    for line in text.split("\n"):
        if part and len((part + line).encode("utf-16-le")) // 2 > MAX_PART:
            parts.append(part)
            part = ""
        part += ("\n" if part else "") + line
    return [*parts, part]


# ---------------------------------------------------------------- the Bot API


class Telegram:
    """Calls the Bot API: in order for each chat, patiently, and never for ever."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=50)
        self.http = httpx.AsyncClient(timeout=8, limits=limits)
        self.locks: weakref.WeakValueDictionary[int, asyncio.Lock] = weakref.WeakValueDictionary()
        self.moved: Lru = Lru(1000)
        self.tasks: set[asyncio.Task] = set()
        self.username: str | None = None

    async def send(self, chat: int, text: str, buttons: list | None = None, backoff: tuple = BACKOFF) -> None:
        parts = parts_of(text)
        for part in parts:
            payload = {"chat_id": chat, "text": part, "parse_mode": "HTML"}
            if buttons and part is parts[-1]:
                payload["reply_markup"] = {"inline_keyboard": buttons}
            await self.call("sendMessage", payload, backoff)

    def later(self, chat: int, text: str, buttons: list | None = None, delay: float = 0) -> asyncio.Task | None:
        """Sends a message for which nobody waits."""

        async def run() -> None:
            try:
                await asyncio.sleep(delay)
                await self.send(chat, text, buttons)
            except Exception as error:
                log.warning("not delivered to %s: %s", chat, error)

        return self.spawn(run())

    def spawn(self, work) -> asyncio.Task | None:
        if len(self.tasks) >= 3000:
            log.warning("too much under way")
            work.close()
            return None
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def me(self) -> str:
        """The bot's own name, asked for once; empty while nobody knows it."""
        if self.username is None:
            code, answer = await self._once("getMe", {})
            result = answer.get("result") if code == 200 else None
            name = result.get("username") if isinstance(result, dict) else None
            if not isinstance(name, str):
                return ""
            self.username = name.lower()
        return self.username

    async def call(self, method: str, payload: dict, backoff: tuple = BACKOFF) -> None:
        chat = payload.get("chat_id")
        if chat is None:
            await self._patiently(method, payload, backoff[:2])
            return
        key = 0 if BUG == "one-lock" else chat
        lock = self.locks.get(key)
        if lock is None:
            lock = self.locks[key] = asyncio.Lock()
        async with lock:
            await self._patiently(method, payload, backoff)

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
            target = parameters.get("migrate_to_chat_id")
            if is_id(target) and target != payload.get("chat_id") and waits < 5:
                self.moved[payload["chat_id"]] = target
                waits += 1
                continue
            if code == 429 and waits < 8:
                pause = parameters.get("retry_after")
                pause = float(pause) if isinstance(pause, (int, float)) and pause > 0 else 1.0
                if pause > 300:
                    raise ApiError(429, "too many requests")
                waits += 1
                await asyncio.sleep(0.3 if BUG == "impatient" else pause + 0.1)
                continue
            if 400 <= code < 500 or attempt >= len(backoff):
                raise ApiError(code, str(answer.get("description"))[:200])
            await asyncio.sleep(backoff[attempt])
            attempt += 1

    async def _once(self, method: str, payload: dict) -> tuple[int, dict]:
        """The status and the body of an answer; status 599 where there was none that can be understood."""
        try:
            async with asyncio.timeout(9):
                response = await self.http.post(f"{API}/bot{TOKEN}/{method}", json=payload)
            answer = response.json()
            if not isinstance(answer, dict):
                return 599, {}
            if answer.get("ok") is True:
                return 200, answer
            code = answer.get("error_code", response.status_code)
            return (code if isinstance(code, int) and code >= 400 else 599), answer
        except (httpx.HTTPError, TimeoutError, OSError, ValueError, RecursionError) as error:
            log.warning("%s failed: %s", method, type(error).__name__)
            return 599, {}


# ---------------------------------------------------------------- what is known

tiers: dict[int, str] = {}
banned: Lru = Lru(MAX_PEOPLE)
people: Lru = Lru(MAX_PEOPLE)  # id -> name
private: Lru = Lru(MAX_PEOPLE)  # who can be written to
asked: Lru = Lru(MAX_PEOPLE)  # id -> when questions were asked
requests: Lru = Lru(500)  # who waits for access
notes: Lru = Lru(20_000)  # number -> {"owner", "text"}
codes: Lru = Lru(2000)  # code -> {"note", "by"}
jobs: Lru = Lru(MAX_JOBS)  # number -> {"kind", "by", "reason", "status", "chat"}
reminders: Lru = Lru(2000)  # number -> {"owner", "text", "at", "task"}
drafts: Lru = Lru(2000)  # (chat, user) -> {"step", "at", ...}
modes: Lru = Lru(1000)  # group -> off, mention or all
runbooks: Lru = Lru(200)
audit: deque = deque(maxlen=200)
counters = {"note": 0, "job": 0, "reminder": 0}
for topic, text in RUNBOOKS.items():
    runbooks[topic] = text


def next_number(kind: str) -> int:
    counters[kind] += 1
    return counters[kind]


def tier_of(user_id: int) -> str:
    return "admin" if user_id == ADMIN_ID else tiers.get(user_id, "guest")


def may(user_id: int, tier: str) -> bool:
    return user_id not in banned and TIERS.index(tier_of(user_id)) >= TIERS.index(tier)


def name_of(user_id: int) -> str:
    name = people.get(user_id) or f"user {user_id}"
    return name if BUG == "name-markup" else esc(name)


def draft_key(chat: int, user_id: int) -> tuple:
    return (chat,) if BUG == "draft-by-chat" else (chat, user_id)


def operators() -> list[int]:
    return [ADMIN_ID, *[key for key, tier in tiers.items() if tier == "operator"][:20]]


def own_notes(user_id: int) -> list[int]:
    return [key for key, one in notes.items() if one["owner"] == user_id]


def answer_to(question: str) -> str:
    """What the runbooks say about it."""
    words = set(re.findall(r"[a-z0-9-]{2,30}", question.lower()))
    best = max(runbooks, key=lambda one: (one in words) * 10 + len(words & set(runbooks[one].lower().split())))
    if best in words or len(words & set(runbooks[best].lower().split())) >= 3:
        return f"<b>{esc(best)}</b>\n{esc(runbooks[best])}"
    return "The runbooks say nothing about that. They cover: " + esc(", ".join(list(runbooks)[-40:]))


def job_line(key: int) -> str:
    one = jobs[key]
    return f"#{key} {one['kind']}: {one['status']} (by {name_of(one['by'])}, {esc(one['reason'])})"


def job_buttons(key: int) -> list:
    if jobs[key]["status"] != "waiting":
        return []
    return [
        [
            {"text": "Approve", "callback_data": f"job:ok:{key}"},
            {"text": "Cancel", "callback_data": f"job:no:{key}"},
        ]
    ]


HELP = {
    "guest": """<b>Opsgate</b>, the operations assistant
/ask question - ask the runbooks (in private just write)
/note text - keep a note
/notes - your notes
/delnote number - delete a note
/share number - a code with which somebody gets a copy of your note
/redeem code - get the note behind a code
/whoami - your tier and what is left of your quota
/request - ask for access to the jobs
/cancel - leave a conversation""",
    "user": """For users:
/run [job] [reason] - request a job
/jobs - the latest jobs
/job number - one job, with buttons
/remind 10m text - a reminder (s, m or h)
/reminders - your reminders
/unremind number - drop a reminder""",
    "operator": """For operators:
/pending - jobs that wait for approval
/learn topic: text - add to the runbooks
/forget topic - remove from the runbooks
/mode off|mention|all - when I answer in this group
/grant id user - let somebody in""",
    "admin": """For admins:
/grant id tier, /revoke id - give or take a tier
/ban id, /unban id - shut somebody out, let in again
/broadcast text - a message to everybody
/users - who is here
/audit - the latest decisions""",
}
NEEDS = {
    **dict.fromkeys(("run", "jobs", "job", "remind", "reminders", "unremind"), "user"),
    **dict.fromkeys(("pending", "learn", "forget", "mode", "grant"), "operator"),
    **dict.fromkeys(("revoke", "ban", "unban", "broadcast", "users", "audit"), "admin"),
}
PRIVATE_ONLY = {"notes", "reminders", "users", "audit"}


# ---------------------------------------------------------------- what it does


class Gate:
    def __init__(self, telegram: Telegram) -> None:
        self.telegram = telegram

    async def handle(self, update: dict) -> None:
        if "callback_query" in update:
            await self.pressed(update["callback_query"])
            return
        message = update["message"]
        chat, user_id, text = message["chat"]["id"], message["from"]["id"], message.get("text")
        in_group = chat < 0
        target = message.get("migrate_to_chat_id")
        if is_id(target):
            self.telegram.moved[chat] = target
            modes[target] = modes.pop(chat, "off")
            return
        people[user_id] = clean(str(message["from"].get("first_name") or ""), 64)
        if not in_group:
            private[user_id] = True
        if not isinstance(text, str) or not text.strip():
            if not in_group:
                await self.telegram.send(chat, "I can only read text. /help tells what I do.")
            return
        if text.startswith("/"):
            await self.command(message, chat, user_id, text)
            return
        draft = drafts.get(draft_key(chat, user_id))
        if draft and time.time() - draft["at"] < DRAFT_S and user_id not in banned:
            await self.continued(chat, user_id, text, draft)
        elif not in_group or await self.addressed(message, chat, text):
            await self.telegram.send(chat, self.ask(user_id, text))

    async def addressed(self, message: dict, chat: int, text: str) -> bool:
        """Whether a text in a group is meant for the assistant."""
        mode = modes.get(chat, "off")
        if mode != "mention":
            return mode == "all"
        me = await self.telegram.me()
        return bool(me) and f"@{me}" in text.lower()

    async def command(self, message: dict, chat: int, user_id: int, text: str) -> None:
        head, _, rest = text[1:].partition(" ")
        name, _, at = head.split("\n")[0].lower().partition("@")
        if at and (me := await self.telegram.me()) and at != me:
            return
        handler = getattr(self, f"do_{name}", None) if re.fullmatch(r"[a-z]{2,12}", name) else None
        if handler is None:
            if chat > 0:
                await self.telegram.send(chat, "I do not know that command. /help lists them.")
            return
        if user_id in banned:
            await self.telegram.send(chat, "You are shut out of this assistant.")
            return
        needed = NEEDS.get(name, "guest")
        if not may(user_id, needed):
            await self.telegram.send(chat, f"That is for {needed}s. You are: {tier_of(user_id)}.")
            return
        if chat < 0 and name in PRIVATE_ONLY:
            await self.telegram.send(chat, "Ask me that in private, please.")
            return
        drafts.pop(draft_key(chat, user_id), None)
        reply = await handler(chat, user_id, rest.strip())
        if isinstance(reply, tuple):
            await self.telegram.send(chat, *reply)
        elif reply:
            await self.telegram.send(chat, reply)

    def note_decision(self, user_id: int, what: str) -> None:
        audit.append((user_id, what))
        log.info("%s: %s", user_id, what)

    # ------------------------------------------------------------ everybody

    async def do_start(self, chat: int, user_id: int, rest: str) -> str:
        return f"Welcome, <b>{name_of(user_id)}</b>. I am the team's operations assistant. /help lists what I do."

    async def do_help(self, chat: int, user_id: int, rest: str) -> str:
        return "\n\n".join(HELP[tier] for tier in TIERS if may(user_id, tier))

    async def do_whoami(self, chat: int, user_id: int, rest: str) -> str:
        tier = tier_of(user_id)
        left = QUESTIONS_PER_HOUR[tier] - len(self.recent(user_id))
        lines = [f"{name_of(user_id)} ({user_id}), tier: {tier}", f"Questions left this hour: {max(0, left)}"]
        return "\n".join([*lines, f"Notes: {len(own_notes(user_id))} of {NOTES[tier]}"])

    async def do_cancel(self, chat: int, user_id: int, rest: str) -> str:
        return "All right, nothing is open any more."

    async def do_request(self, chat: int, user_id: int, rest: str) -> str:
        if may(user_id, "user"):
            return "You have access already."
        if user_id in requests:
            return "Your request waits for a decision already."
        requests[user_id] = time.time()
        row = [
            {"text": "Let in", "callback_data": f"acc:ok:{user_id}"},
            {"text": "Refuse", "callback_data": f"acc:no:{user_id}"},
        ]
        self.telegram.later(ADMIN_ID, f"{name_of(user_id)} ({user_id}) asks for access.", [row])
        return "Your request was handed on."

    def recent(self, user_id: int) -> deque:
        times = asked.get(user_id)
        if times is None:
            times = asked[user_id] = deque(maxlen=1000)
        while times and time.time() - times[0] > 3600:
            times.popleft()
        return times

    def ask(self, user_id: int, question: str) -> str:
        if user_id in banned:
            return "You are shut out of this assistant."
        times = self.recent(user_id)
        if len(times) >= QUESTIONS_PER_HOUR[tier_of(user_id)]:
            return (
                f"Your quota is used up; the next question is free in {60 - int(time.time() - times[0]) // 60} minutes."
            )
        times.append(time.time())
        return answer_to(question[:1000])

    async def do_ask(self, chat: int, user_id: int, rest: str) -> str:
        return self.ask(user_id, rest) if rest else "What do you want to know? For example: /ask how do we deploy"

    # ------------------------------------------------------------ notes

    def add_note(self, user_id: int, text: str) -> str:
        limit = NOTES[tier_of(user_id)]
        if len(own_notes(user_id)) >= limit:
            return f"You have {limit} notes, which is your limit. /delnote makes room."
        text = clean(text, 500)
        if not text:
            return "There is nothing in that note."
        key = next_number("note")
        notes[key] = {"owner": user_id, "text": text}
        return f"Noted as #{key}."

    async def do_note(self, chat: int, user_id: int, rest: str) -> str:
        if rest:
            return self.add_note(user_id, rest)
        drafts[draft_key(chat, user_id)] = {"step": "note", "at": time.time()}
        return "What shall I note? Write it, or /cancel."

    async def do_notes(self, chat: int, user_id: int, rest: str) -> str:
        mine = own_notes(user_id)
        return "\n".join(f"#{key} {esc(notes[key]['text'])}" for key in mine) or "You have no notes."

    async def do_delnote(self, chat: int, user_id: int, rest: str) -> str:
        key = number(rest)
        if key not in notes or notes[key]["owner"] != user_id:
            return "You have no note of that number."
        del notes[key]
        return f"Note #{key} is gone."

    async def do_share(self, chat: int, user_id: int, rest: str) -> str:
        key = number(rest)
        if key not in notes or (notes[key]["owner"] != user_id and BUG != "share-any"):
            return "You have no note of that number."
        code = secrets.token_hex(4).upper()
        codes[code] = {"note": key, "by": user_id}
        return f"Whoever sends me <code>/redeem {code}</code> first gets a copy of note #{key}."

    async def do_redeem(self, chat: int, user_id: int, rest: str) -> str:
        code = rest.upper()[:20]
        limit = NOTES[tier_of(user_id)]
        if len(own_notes(user_id)) >= limit:
            return f"You have {limit} notes, which is your limit. /delnote makes room."
        if BUG == "redeem-race":
            shared = codes.get(code)
            await self.typing(chat)
            codes.pop(code, None)
        else:
            shared = codes.pop(code, None)
            await self.typing(chat)
        if shared is None or shared["note"] not in notes:
            return "That code is not valid, or it was used already."
        text = notes[shared["note"]]["text"]
        key = next_number("note")
        notes[key] = {"owner": user_id, "text": text}
        if shared["by"] != user_id:
            self.telegram.later(shared["by"], f"{name_of(user_id)} took a copy of your note #{shared['note']}.")
        return f"You now have it as #{key}: {esc(text)}"

    async def typing(self, chat: int) -> None:
        try:
            await self.telegram.call("sendChatAction", {"chat_id": chat, "action": "typing"}, BACKOFF[:1])
        except ApiError as error:
            log.info("not shown: %s", error)

    # ------------------------------------------------------------ jobs and reminders

    async def do_run(self, chat: int, user_id: int, rest: str) -> str | tuple:
        kind, _, reason = rest.partition(" ")
        kind = kind.lower()
        if kind not in JOBS:
            row = [{"text": one, "callback_data": f"run:{one}"} for one in JOBS]
            return "Which job? " + "; ".join(f"{one}: {JOBS[one][0]}" for one in JOBS), [row]
        if not reason.strip():
            drafts[draft_key(chat, user_id)] = {"step": "reason", "kind": kind, "at": time.time()}
            return f"Why do you want to {JOBS[kind][0]}? Give a reason, or /cancel."
        return self.add_job(chat, user_id, kind, reason)

    def add_job(self, chat: int, user_id: int, kind: str, reason: str) -> str | tuple:
        waiting = sum(one["by"] == user_id and one["status"] == "waiting" for one in jobs.values())
        if waiting >= 5:
            return "Five of your jobs wait already."
        reason = clean(reason, 200)
        if not reason:
            return "A job needs a reason."
        key = next_number("job")
        jobs[key] = {"kind": kind, "by": user_id, "reason": reason, "status": "waiting", "chat": chat}
        for one in operators():
            if one not in {user_id, chat}:
                self.telegram.later(one, "Approval needed: " + job_line(key), job_buttons(key))
        return "An operator has to approve: " + job_line(key), job_buttons(key)

    async def do_jobs(self, chat: int, user_id: int, rest: str) -> str:
        return "\n".join(job_line(key) for key in list(jobs)[-15:]) or "There are no jobs yet. /run requests one."

    async def do_job(self, chat: int, user_id: int, rest: str) -> str | tuple:
        key = number(rest)
        return (job_line(key), job_buttons(key)) if key in jobs else "There is no job of that number."

    async def do_pending(self, chat: int, user_id: int, rest: str) -> str | tuple:
        waiting = [key for key, one in jobs.items() if one["status"] == "waiting"][-8:]
        rows = [row for key in waiting for row in job_buttons(key)]
        return ("\n".join(job_line(key) for key in waiting), rows) if waiting else "Nothing waits for approval."

    async def do_remind(self, chat: int, user_id: int, rest: str) -> str:
        when, _, text = rest.partition(" ")
        found = re.fullmatch(r"([0-9]{1,5})([smh])", when.lower())
        text = clean(text, 300)
        if not found or not text:
            return "Like this: /remind 10m look at the deployment"
        seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
        if not 1 <= seconds <= 86_400:
            return "I can remind you within the next 24 hours."
        limit = REMINDERS[tier_of(user_id)]
        if sum(one["owner"] == user_id for one in reminders.values()) >= limit:
            return f"You have {limit} reminders already. /unremind drops one."
        key = next_number("reminder")
        reminders[key] = {"owner": user_id, "text": text, "at": time.time() + seconds}
        if self.telegram.spawn(self.remind(chat, key, seconds)) is None:
            del reminders[key]
            return "Too much is planned already. Try again later."
        return f"Reminder #{key} is set."

    async def remind(self, chat: int, key: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        one = reminders.pop(key, None)
        if one:
            self.telegram.later(chat, f"Reminder for {name_of(one['owner'])}: {esc(one['text'])}")

    async def do_reminders(self, chat: int, user_id: int, rest: str) -> str:
        mine = [(key, one) for key, one in reminders.items() if one["owner"] == user_id]
        lines = [f"#{key} in {max(0, int(one['at'] - time.time()))} s: {esc(one['text'])}" for key, one in mine]
        return "\n".join(lines) or "You have no reminders."

    async def do_unremind(self, chat: int, user_id: int, rest: str) -> str:
        key = number(rest)
        if key not in reminders or reminders[key]["owner"] != user_id:
            return "You have no reminder of that number."
        del reminders[key]
        return f"Reminder #{key} is dropped."

    # ------------------------------------------------------------ operators and admins

    async def do_learn(self, chat: int, user_id: int, rest: str) -> str:
        found, _, body = rest.partition(":")
        found, body = found.strip().lower(), clean(body, 800)
        if not re.fullmatch(r"[a-z0-9-]{2,30}", found) or not body:
            return "Like this: /learn backups: they run every night at two"
        runbooks[found] = body
        self.note_decision(user_id, f"learnt {found}")
        return f"The runbooks know about {found} now."

    async def do_forget(self, chat: int, user_id: int, rest: str) -> str:
        if rest.lower() not in runbooks or len(runbooks) == 1:
            return "There is no such topic."
        del runbooks[rest.lower()]
        self.note_decision(user_id, f"forgot {rest.lower()}")
        return "That topic is forgotten."

    async def do_mode(self, chat: int, user_id: int, rest: str) -> str:
        if chat > 0:
            return "That is for groups."
        if rest not in {"off", "mention", "all"}:
            return f"The mode here is {modes.get(chat, 'off')}. Choose: /mode off, /mode mention or /mode all."
        modes[chat] = rest
        return f"The mode of this group is {rest} now."

    async def do_grant(self, chat: int, user_id: int, rest: str) -> str:
        words = rest.lower().split()
        who = number(words[0]) if words else None
        if len(words) != 2 or not who or words[1] not in TIERS[:3]:
            return "Like this: /grant 123456 user (or guest, operator)"
        if not may(user_id, "admin") and (words[1] != "user" or tier_of(who) != "guest"):
            return "Operators can only make guests users."
        if who == ADMIN_ID:
            return "The admin stays the admin."
        if len(tiers) >= MAX_PEOPLE and who not in tiers:
            return "There are too many people already."
        tiers[who] = words[1]
        requests.pop(who, None)
        self.note_decision(user_id, f"made {who} {words[1]}")
        if who in private:
            self.telegram.later(who, f"Your tier is {words[1]} now.")
        return f"{name_of(who)} is {words[1]} now."

    async def do_revoke(self, chat: int, user_id: int, rest: str) -> str:
        who = number(rest)
        if not who or who not in tiers:
            return "That person has no tier."
        del tiers[who]
        self.note_decision(user_id, f"revoked {who}")
        return f"{name_of(who)} is a guest now."

    async def do_ban(self, chat: int, user_id: int, rest: str) -> str:
        who = number(rest)
        if not who or who == ADMIN_ID:
            return "Whom? For example: /ban 123456"
        banned[who] = time.time()
        self.note_decision(user_id, f"banned {who}")
        return f"{name_of(who)} is shut out."

    async def do_unban(self, chat: int, user_id: int, rest: str) -> str:
        if banned.pop(number(rest), None) is None:
            return "That person is not shut out."
        self.note_decision(user_id, f"let {number(rest)} in again")
        return f"{name_of(number(rest))} may come in again."

    async def do_broadcast(self, chat: int, user_id: int, rest: str) -> str:
        text = clean(rest, 1000)
        if not text:
            return "What shall I tell everybody?"
        everybody = [one for one in private if one != user_id and one not in banned]
        self.telegram.spawn(self.broadcast(chat, everybody, f"<b>Announcement</b>\n{esc(text)}"))
        self.note_decision(user_id, "sent a broadcast")
        return f"On its way to {len(everybody)} people."

    async def broadcast(self, chat: int, everybody: list[int], text: str) -> None:
        slots, done = asyncio.Semaphore(20), 0

        async def one(who: int) -> None:
            nonlocal done
            async with slots:
                try:
                    await self.telegram.send(who, text, backoff=BACKOFF[:3])
                    done += 1
                except ApiError as error:
                    log.info("broadcast to %s failed: %s", who, error)

        await asyncio.gather(*(one(who) for who in everybody))
        self.telegram.later(chat, f"The broadcast reached {done} of {len(everybody)} people.")

    async def do_users(self, chat: int, user_id: int, rest: str) -> str:
        lines = [f"{key} {name_of(key)}: {'shut out' if key in banned else tier_of(key)}" for key in list(people)[-50:]]
        return "\n".join(["The latest:", *lines])

    async def do_audit(self, chat: int, user_id: int, rest: str) -> str:
        return "\n".join(f"{name_of(who)} {esc(what)}" for who, what in list(audit)[-20:]) or "No decisions yet."

    # ------------------------------------------------------------ conversations and buttons

    async def continued(self, chat: int, user_id: int, text: str, draft: dict) -> None:
        drafts.pop(draft_key(chat, user_id), None)
        if draft["step"] == "note":
            await self.telegram.send(chat, self.add_note(user_id, text))
            return
        if not may(user_id, "user"):
            await self.telegram.send(chat, "That is for users.")
            return
        reply = self.add_job(chat, user_id, draft["kind"], text)
        await self.telegram.send(chat, *(reply if isinstance(reply, tuple) else (reply,)))

    async def pressed(self, query: dict) -> None:
        user_id, data = query["from"]["id"], query.get("data")
        people[user_id] = clean(str(query["from"].get("first_name") or ""), 64)
        message = query["message"] if isinstance(query.get("message"), dict) else {}
        where = message.get("chat") if isinstance(message.get("chat"), dict) else {}
        chat = where["id"] if is_id(where.get("id")) else user_id
        words = data.split(":") if isinstance(data, str) else []
        match words:
            case ["job", "ok" | "no" as verdict, key]:
                toast, text = self.decide_job(user_id, verdict, number(key))
            case ["acc", "ok" | "no" as verdict, key]:
                toast, text = self.decide_access(user_id, verdict, number(key))
            case ["run", kind] if kind in JOBS:
                toast, text = self.chosen(chat, user_id, kind)
            case _:
                toast, text = "That button is out of date.", ""
        try:
            await self.telegram.call("answerCallbackQuery", {"callback_query_id": query.get("id"), "text": toast})
        except ApiError as error:
            log.info("button not answered: %s", error)
        await self.telegram.send(chat, text or toast)

    def chosen(self, chat: int, user_id: int, kind: str) -> tuple[str, str]:
        if not may(user_id, "user"):
            return "Jobs are for users.", ""
        drafts[draft_key(chat, user_id)] = {"step": "reason", "kind": kind, "at": time.time()}
        return kind, f"Why do you want to {JOBS[kind][0]}? Give a reason, or /cancel."

    def decide_job(self, user_id: int, verdict: str, key: int | None) -> tuple[str, str]:
        one = jobs.get(key)
        if one is None:
            return "That job is gone.", ""
        own = one["by"] == user_id and verdict == "no"
        if not own and not may(user_id, "operator") and BUG != "press-unchecked":
            return "Only operators decide about jobs.", ""
        if user_id in banned:
            return "You are shut out of this assistant.", ""
        if one["status"] != "waiting":
            return f"Job #{key} is {one['status']} already.", ""
        one["status"] = "running" if verdict == "ok" else "cancelled"
        self.note_decision(user_id, f"{'approved' if verdict == 'ok' else 'cancelled'} job {key}")
        if verdict == "ok":
            self.telegram.spawn(self.work(key))
        return f"Job #{key} is {one['status']}.", f"Job #{key} is {one['status']}, decided by {name_of(user_id)}."

    async def work(self, key: int) -> None:
        await asyncio.sleep(0.6)
        one = jobs.get(key)
        if one:
            one["status"] = "done"
            self.telegram.later(one["chat"], f"Job #{key} ({one['kind']}) is done: {JOBS[one['kind']][1]}.")

    def decide_access(self, user_id: int, verdict: str, who: int | None) -> tuple[str, str]:
        if not may(user_id, "admin") and BUG != "press-unchecked":
            return "Only admins decide about access.", ""
        if not who or requests.pop(who, None) is None:
            return "That request was decided already.", ""
        if verdict == "ok" and len(tiers) < MAX_PEOPLE:
            tiers[who] = "user"
        result = "has access now" if verdict == "ok" else "was refused"
        self.note_decision(user_id, f"{who} {result}")
        self.telegram.later(who, "You have access now. /help" if verdict == "ok" else "Your request was refused.")
        return f"{who} {result}.", f"{name_of(who)} {result}."


# ---------------------------------------------------------------- the webhook


class Inbox:
    """A queue for each chat, with a worker that lives while there is something in it."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.queues: dict[int, deque] = {}
        self.tasks: set[asyncio.Task] = set()
        self.seen: Lru = Lru(MAX_SEEN)
        self.last = None

    def known(self, update_id: int) -> bool:
        return update_id == self.last if BUG == "last-only" else update_id in self.seen

    def put(self, chat: int, update: dict) -> bool:
        queue = self.queues.get(chat)
        if queue is not None and len(queue) >= MAX_PENDING:
            return False
        self.seen[update["update_id"]] = True
        self.last = update["update_id"]
        if queue is None:
            queue = self.queues[chat] = deque()
            task = asyncio.create_task(self.work(chat, queue))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        queue.append(update)
        return True

    async def work(self, chat: int, queue: deque) -> None:
        try:
            while queue:
                try:
                    await self.gate.handle(queue.popleft())
                except ApiError as error:
                    log.warning("chat %s: %s", chat, error)
                except Exception:
                    log.exception("chat %s", chat)
                    self.gate.telegram.later(chat, "Something went wrong on my side. Please try again.")
        finally:
            self.queues.pop(chat, None)


def chat_of(update: dict) -> int | None:
    """The chat whose queue it goes to; None for what this bot has no use for."""
    if BUG == "other-kinds":
        content = update["callback_query"] if "callback_query" in update else update["message"]
    else:
        content = update.get("callback_query", update.get("message"))
    if not isinstance(content, dict):
        return None
    sender = content.get("from")
    if not isinstance(sender, dict) or not is_id(sender.get("id")):
        return None
    where = content.get("message") if "callback_query" in update else content
    where = where.get("chat") if isinstance(where, dict) else None
    if isinstance(where, dict) and is_id(where.get("id")):
        return where["id"]
    return sender["id"] if "callback_query" in update else None


def trusted(given: str | None) -> bool:
    if BUG == "unsigned" and not given:
        return True
    return hmac.compare_digest((given or "").encode("utf-8", "replace"), SECRET.encode())


@asynccontextmanager
async def lifespan(app: FastAPI):
    telegram = Telegram()
    app.state.inbox = Inbox(Gate(telegram))
    yield
    await telegram.http.aclose()


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)


def refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"ok": False, "error": why}, status)


@app.post(PATH)
async def webhook(request: Request):
    if not trusted(request.headers.get("x-telegram-bot-api-secret-token")):
        return refused(401, "wrong secret")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return refused(413, "too large")
    try:
        update = json.loads(bytes(body))
    except (ValueError, RecursionError):
        return refused(400, "no JSON")
    if not isinstance(update, dict) or not is_id(update.get("update_id")):
        return refused(400, "no update")
    chat = chat_of(update)
    inbox: Inbox = request.app.state.inbox
    if chat is not None and not inbox.known(update["update_id"]) and not inbox.put(chat, update):
        return refused(429, "too much for this chat")
    return {"ok": True}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
