"""Recados: a Spanish errand book. Acknowledges at once and answers up to two seconds later from a queue per chat; notes in SQLite.

It never repeats what was written: a note is confirmed by its number, and only its owner can read it again.
"""

import asyncio
import hmac
import json
import os
import sqlite3
import sys
import tempfile
import time
import zlib
from collections import OrderedDict, deque

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
TOKEN = os.environ["BOT_TOKEN"]
ADMIN = int(os.environ["ADMIN_ID"])
MOST_BODY = 256 * 1024
AYUDA = "Puedo guardar recados: /anotar, /lista, /ver, /borrar, /cancelar."

base = sqlite3.connect(os.path.join(tempfile.mkdtemp(prefix="recados"), "recados.db"), isolation_level=None)
base.execute("PRAGMA synchronous=OFF")
base.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, owner INTEGER, body TEXT)")
base.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, blocked INTEGER DEFAULT 0)")
http: httpx.AsyncClient
moved: dict[int, int] = {}
seen: OrderedDict[int, None] = OrderedDict()
history: list[object] = []
queues: dict[int, deque] = {}
waiting: dict[tuple[int, int], bool] = {}
trusted_chats: set[int] = set()
tasks: set[asyncio.Task] = set()


async def call(method: str, **params: object) -> object:
    """Calls the Bot API, at most five times; gives None when that was in vain."""
    if params.get("chat_id") in moved and BUG != "migration-lost":
        params["chat_id"] = moved[params["chat_id"]]
    attempt = 0
    while attempt < (400 if BUG == "retry-after-unread" else 5):
        attempt += 1
        try:
            answer = await http.post(f"/bot{TOKEN}/{method}", json=params)
        except httpx.TimeoutException:
            await asyncio.sleep(1)
            continue
        except httpx.TransportError:
            await asyncio.sleep(2**attempt / 4)
            continue
        if BUG == "html-kills-queue":
            data = answer.json()
        else:
            try:
                data = answer.json()
            except ValueError:
                data = None
        if not isinstance(data, dict):
            if answer.status_code < 400:
                return None  # it was taken; what the answer would have said is lost
            data = {}
        if data.get("ok"):
            return data.get("result")
        hints = data.get("parameters") or {}
        if BUG != "migration-lost" and isinstance(hints.get("migrate_to_chat_id"), int):
            moved[params["chat_id"]] = params["chat_id"] = hints["migrate_to_chat_id"]
        elif answer.status_code == 429 and BUG == "retry-after-unread":
            await asyncio.sleep(0.02)
        elif answer.status_code == 429:
            await asyncio.sleep(min(float(hints.get("retry_after", 2)), 60) + 0.05)
        elif answer.status_code >= 500:
            await asyncio.sleep(2**attempt / 4)
        else:
            return None
    return None


def number(word: str) -> int | None:
    """The number of a note that somebody wrote, or None."""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 12 else None


def is_admin(user: int, chat: int) -> bool:
    if BUG == "trusted-chat":
        return user == ADMIN or chat in trusted_chats
    return user == ADMIN


async def handle(message: dict) -> None:
    chat, user = message["chat"]["id"], message["from"]["id"]
    text = message["text"] if BUG == "text-assumed" else message.get("text")
    if not isinstance(text, str):
        return
    base.execute("INSERT OR IGNORE INTO people (id) VALUES (?)", (user,))
    if user == ADMIN:
        trusted_chats.add(chat)
    if base.execute("SELECT blocked FROM people WHERE id = ?", (user,)).fetchone()[0] and user != ADMIN:
        return
    key = (0, 0) if BUG == "one-pending-for-all" else (chat, user)
    word, _, rest = text.strip().partition(" ")
    command, rest = word.partition("@")[0].lower(), rest.strip()
    if not command.startswith("/"):
        if waiting.pop(key, False):
            await say(chat, await save(user, text))
        elif chat > 0:
            await say(chat, "No entiendo. Prueba con /ayuda.")
        return
    waiting.pop(key, None)
    if command in {"/start", "/inicio"}:
        await say(chat, "¡Bienvenido! " + AYUDA)
    elif command in {"/help", "/ayuda"}:
        await say(chat, AYUDA + (" Y además: /difundir, /usuarios, /bloquear." if user == ADMIN else ""))
    elif command == "/cancelar":
        await say(chat, "De acuerdo, lo dejamos.")
    elif command == "/anotar" and rest:
        await say(chat, await save(user, rest))
    elif command == "/anotar":
        waiting[key] = True
        while len(waiting) > 5000:
            waiting.pop(next(iter(waiting)))
        await say(chat, "¿Qué quieres que anote?")
    elif command == "/lista":
        rows = base.execute("SELECT id FROM notes WHERE owner = ? ORDER BY id DESC LIMIT 50", (user,)).fetchall()
        await say(chat, "Tus recados: " + ", ".join(str(row[0]) for row in rows) if rows else "No tienes recados.")
    elif command in {"/ver", "/borrar"}:
        await one_note(chat, user, command, rest)
    elif command in {"/difundir", "/usuarios", "/bloquear"}:
        if not is_admin(user, chat) and not (BUG == "broadcast-for-all" and command == "/difundir"):
            await say(chat, "Eso solo lo puede hacer quien administra.")
        else:
            await manage(chat, command, rest)
    elif chat > 0:
        await say(chat, "No conozco esa orden. Prueba con /ayuda.")


async def save(user: int, text: str) -> str:
    count = base.execute("SELECT COUNT(*) FROM notes WHERE owner = ?", (user,)).fetchone()[0]
    if count >= 1000:
        return "Ya tienes demasiados recados; borra alguno."
    try:
        row = base.execute("INSERT INTO notes (owner, body) VALUES (?, ?)", (user, text[:3500]))
    except UnicodeEncodeError:
        return "Ese texto no se puede guardar."
    return f"Anotado con el número {row.lastrowid}."


async def one_note(chat: int, user: int, command: str, rest: str) -> None:
    which = number(rest)
    row = base.execute("SELECT owner, body FROM notes WHERE id = ?", (which or -1,)).fetchone()
    mine = row is not None and (row[0] == user or BUG == "note-by-number")
    if which is None:
        await say(chat, f"Dime el número: {command} 7")
    elif not mine:
        await say(chat, "No tienes ningún recado con ese número.")
    elif command == "/ver":
        await say(chat, row[1] or "(vacío)")
    else:
        base.execute("DELETE FROM notes WHERE id = ?", (which,))
        await say(chat, "Recado borrado.")


async def manage(chat: int, command: str, rest: str) -> None:
    if command == "/usuarios":
        count = base.execute("SELECT COUNT(*) FROM people").fetchone()[0]
        await say(chat, f"Conozco a {count} personas.")
    elif command == "/bloquear":
        which = number(rest)
        if which is None or which == ADMIN:
            await say(chat, "¿A quién? /bloquear 123")
            return
        base.execute(
            "INSERT INTO people (id, blocked) VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET blocked = 1", (which,)
        )
        await say(chat, "Bloqueado.")
    elif not rest:
        await say(chat, "¿Qué quieres difundir? /difundir texto")
    else:
        people = base.execute("SELECT COUNT(*) FROM people WHERE blocked = 0").fetchone()[0]
        await say(chat, f"La difusión a {people} personas está programada.")


async def say(chat: int, text: str) -> None:
    await call("sendMessage", chat_id=chat, text=text[:4096])


async def drain(key: int) -> None:
    """Answers one chat's messages in their order, each not before its time."""
    queue = queues[key]
    while queue:
        due, message = queue.popleft()
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        try:
            await handle(message)
        except Exception as error:
            if BUG in {"text-assumed", "html-kills-queue"}:
                raise  # the queue stays in the table, so nothing drains it any more
            print("failed:", type(error).__name__, file=sys.stderr)
    del queues[key]


def enqueue(update: dict) -> None:
    if BUG == "message-assumed":
        message = update["message"]
    else:
        message = update.get("message")
    if not isinstance(message, dict):
        return
    chat, user = message.get("chat"), message.get("from")
    if (
        not isinstance(chat, dict)
        or not isinstance(user, dict)
        or not all(type(some.get("id")) is int and abs(some["id"]) < 2**52 for some in (chat, user))
    ):
        return
    key = chat["id"]
    delay = 0.3 + zlib.crc32(str(update.get("update_id")).encode()) % 1700 / 1000
    if key in queues:
        queues[key].append((time.monotonic() + delay, message))
        return
    queues[key] = deque([(time.monotonic() + delay, message)])
    task = asyncio.create_task(drain(key))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def hook(request: Request) -> Response:
    given = request.headers.get("x-telegram-bot-api-secret-token")
    if BUG == "secret-optional" and given is None:
        given = SECRET
    if not hmac.compare_digest((given or "").encode("utf-8", "replace"), SECRET.encode()):
        return Response(status_code=401)
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY:
                return Response(status_code=413)
        update = json.loads(body)
    except ClientDisconnect:
        return Response(status_code=400)
    except (ValueError, RecursionError):
        return Response(status_code=400)
    if not isinstance(update, dict):
        return Response(status_code=400)
    number_of = update.get("update_id")
    if type(number_of) is not int:
        return Response(status_code=400)
    if BUG == "everything-kept":
        history.append((body + b" " * 20_000, update))
    if number_of in seen and BUG != "runs-twice":
        return Response()
    seen[number_of] = None
    while len(seen) > 20_000:
        seen.popitem(last=False)
    enqueue(update)
    return Response()


async def health(_: Request) -> Response:
    state: dict[str, object] = {"ok": True, "queues": len(queues)}
    if BUG == "health-shows-settings":
        state["settings"] = {key: value for key, value in os.environ.items() if key in {"BOT_TOKEN", "SECRET", "PORT"}}
    return JSONResponse(state)


async def main() -> None:
    global http
    timeout = None if BUG == "no-timeout" else httpx.Timeout(5)
    limits = httpx.Limits(max_connections=10 if BUG == "no-timeout" else 200)
    async with httpx.AsyncClient(base_url=os.environ["BOT_API"], timeout=timeout, limits=limits) as http:
        app = Starlette(routes=[Route(os.environ["WEBHOOK_PATH"], hook, methods=["POST"]), Route("/health", health)])
        await uvicorn.Server(uvicorn.Config(app, port=int(os.environ["PORT"]), log_level="warning")).serve()


asyncio.run(main())
