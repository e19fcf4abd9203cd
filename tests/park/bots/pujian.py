"""Pujian: an Indonesian praise counter for groups on plain aiohttp; its state lives in Redis, or in fakeredis where there is no server.

It works first and acknowledges afterwards: an update that fails is answered 503 and comes again. Praise is given by answering somebody
with a plus sign; who leads the board is edited into one message per group.
"""

import asyncio
import hmac
import json
import os
import sys
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import ContentEncodingError

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
TOKEN = os.environ["BOT_TOKEN"]
ADMIN = int(os.environ["ADMIN_ID"])
BANTUAN = "Perintah: /nilai, /papan, /hadiah, /tukar kode. Balas pesan teman dengan +."
http: aiohttp.ClientSession
locks: dict[int, asyncio.Lock] = {}
store: list[object] = []
current: dict = {}


def redis():
    """The real one when REDIS_URL names it, else the fake one of this process."""
    if url := os.environ.get("REDIS_URL"):
        from redis.asyncio import Redis  # noqa: PLC0415 - only one of the two is needed

        return Redis.from_url(url, decode_responses=True)
    from fakeredis import FakeAsyncRedis  # noqa: PLC0415

    return FakeAsyncRedis(decode_responses=True)


db = redis()


class Later(Exception):
    """The API is in trouble; the update may come again."""


async def api(method: str, **params: object) -> dict | None:
    """Calls the Bot API: three tries, as far apart as it asks for, within forty seconds.

    Raises:
        Later: All were in vain.
    """
    for attempt in range(1, 4 if BUG != "tries-without-end" else 100_000):
        moved = await db.get(f"moved:{params.get('chat_id')}")
        if moved and BUG != "migration-lost":
            params["chat_id"] = int(moved)
        try:
            async with http.post(f"{os.environ['BOT_API']}/bot{TOKEN}/{method}", json=params) as response:
                status, raw = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(0.4 * 2**attempt if BUG != "tries-without-end" else 0.01)
            continue
        try:
            answer = json.loads(raw)
            hints = answer.get("parameters") or {}
        except (ValueError, AttributeError):
            if BUG == "html-is-500":
                raise
            answer, hints = {}, {}
        if status < 300:
            return answer.get("result") if isinstance(answer.get("result"), dict) else {}
        if "migrate_to_chat_id" in hints and BUG != "migration-lost":
            await db.set(f"moved:{params['chat_id']}", hints["migrate_to_chat_id"], ex=86400)
        elif status == 429 and BUG != "tries-without-end":
            wait = float(hints.get("retry_after", 1)) if BUG != "waits-one-second" else 1.0
            if wait > 30:
                raise Later
            await asyncio.sleep(wait + 0.05)
        elif status >= 500:
            await asyncio.sleep(0.4 * 2**attempt if BUG != "tries-without-end" else 0.01)
        elif status < 500 and BUG != "tries-without-end":
            if BUG == "refusal-is-500":
                raise RuntimeError(raw.decode(errors="replace"))
            return None
    raise Later


async def say(chat: int, text: str, **more: object) -> dict | None:
    return await api("sendMessage", chat_id=chat, text=text, **more)


async def score(chat: int, user: int) -> int:
    return int(await db.hget(f"score:{0 if BUG == 'one-board' else chat}", str(user)) or 0)


async def add(chat: int, user: int, points: int) -> int:
    key = f"score:{0 if BUG == 'one-board' else chat}"
    if BUG == "score-race":
        now = await score(chat, user)
        await asyncio.sleep(0.12)
        await db.hset(key, str(user), now + points)
        return now + points
    value = await db.hincrby(key, str(user), points)
    if BUG != "keys-for-ever":
        await db.expire(key, 30 * 86400)
    return value


async def once(message: dict, work: Callable[[], Awaitable[object]]) -> str:
    """Does what changes something once for an update, however often it comes again; gives what came of it."""
    key = f"effect:{message['update']}"
    if BUG != "again-and-again" and (known := await db.get(key)) is not None:
        return known
    value = str(await work())
    await db.set(key, value, ex=86400)
    return value


async def praise(message: dict) -> None:
    chat, giver = message["chat"]["id"], message["from"]["id"]
    quoted = message["reply_to_message"] if BUG == "quote-assumed" else message.get("reply_to_message")
    friend = quoted.get("from") if isinstance(quoted, dict) else None
    if not isinstance(friend, dict) or type(friend.get("id")) is not int:
        await say(chat, "Balas pesan teman dulu.")
    elif friend["id"] == giver and BUG != "praises-oneself":
        await say(chat, "Jangan memuji diri sendiri.")
    else:
        await say(chat, f"Pujian tercatat: {await once(message, lambda: add(chat, friend['id'], 1))}.")


async def board(chat: int) -> None:
    scores = await db.hvals(f"score:{0 if BUG == 'one-board' else chat}")
    text = f"Papan: {len(scores)} orang, tertinggi {max((int(one) for one in scores), default=0)}."
    old = await db.hgetall(f"panel:{chat}")
    if old and old.get("text") == text:
        await say(chat, text)
        return
    if old and await api("editMessageText", chat_id=chat, message_id=int(old["id"]), text=text) is not None:
        await db.hset(f"panel:{chat}", "text", text)
        return
    sent = await say(chat, text)
    if sent and "message_id" in sent:
        await db.hset(f"panel:{chat}", mapping={"id": sent["message_id"], "text": text})
        await db.expire(f"panel:{chat}", 86400)


def is_admin(message: dict) -> bool:
    user = message["from"]
    if BUG == "entity-is-admin":
        mentioned = [one.get("user", {}).get("id") for one in message.get("entities") or [] if isinstance(one, dict)]
        return ADMIN in mentioned or user["id"] == ADMIN
    if BUG == "float-is-admin":
        return float(str(user["id"])[: len(str(ADMIN))]) == float(ADMIN)
    if BUG == "contact-is-admin" and isinstance(message.get("contact"), dict):
        return message["contact"].get("user_id") == ADMIN
    return user["id"] == ADMIN


async def handle(message: dict) -> None:
    chat, user = message["chat"]["id"], message["from"]["id"]
    text = message.get("text") or message.get("caption")
    if not isinstance(text, str) or not text.strip():
        if BUG == "blank-is-500":
            message["text"].split()[0]
        return
    words = text.split()
    command = words[0].partition("@")[0].lower()
    if text.strip() in {"+", "++", "👍"}:
        await praise(message)
    elif command in {"/start", "/bantuan"}:
        await say(chat, BANTUAN + (" Pengurus: /hapus, /laporan, /umumkan." if user == ADMIN else ""))
    elif command == "/nilai":
        target = current["chat"]["id"] if BUG == "message-in-global" else chat
        points = await score(chat, user)
        if BUG == "message-in-global":
            await asyncio.sleep(0.08)
            target = current["chat"]["id"]
        await say(target, f"Nilaimu {points}.")
    elif command == "/papan":
        await board(chat)
    elif command == "/hadiah":
        number = await once(message, lambda: give(user))
        await say(chat, f"Hadiahmu disimpan dengan kode {number}.")
    elif command == "/tukar":
        await say(chat, await once(message, lambda: redeem(user, words[1] if len(words) > 1 else "")))
    elif command in {"/hapus", "/laporan", "/umumkan"}:
        if not is_admin(message) and not (BUG == "report-unchecked" and command == "/laporan"):
            await say(chat, "Hanya untuk pengurus.")
        elif command == "/laporan":
            await say(chat, f"Hadiah sampai sekarang: {await db.get('gift') or 0}.")
        elif command == "/hapus":
            await db.delete(f"score:{chat}")
            await say(chat, "Papan dikosongkan.")
        else:
            await say(chat, "Pengumuman dijadwalkan.")
    elif chat > 0:
        await say(chat, "Tidak mengerti. " + BANTUAN)


async def give(user: int) -> int:
    number = await db.incr("gift")
    await db.set(f"gift:{number}", user, ex=86400)
    return number


async def redeem(user: int, word: str) -> str:
    key = f"gift:{int(word) if BUG == 'code-assumed' else word if word.isascii() and word.isdigit() and len(word) < 10 else 0}"
    owner = await db.get(key)
    if owner is None or (int(owner) != user and BUG != "any-gift"):
        return "Kode itu bukan milikmu."
    if BUG == "gift-race":
        await asyncio.sleep(0.12)
        await db.delete(key)
    elif not await db.delete(key):
        return "Kode itu sudah ditukar."
    return "Hadiah ditukar."


def valid(some: object) -> bool:
    return isinstance(some, dict) and type(some.get("id")) is int and abs(some["id"]) < 2**52


async def work(update: dict) -> int:
    """Does one update once, in its chat's turn; gives the status to answer with."""
    global current
    message = update.get("message")
    if BUG == "edits-praise":
        message = message or update.get("edited_message")
    if not isinstance(message, dict) or not valid(message.get("from")) or not valid(message.get("chat")):
        return 200
    chat = message["chat"]["id"]
    lock = (
        asyncio.Lock()
        if BUG in {"gift-race", "score-race", "message-in-global"}
        else locks.setdefault(0 if BUG == "one-lock" else chat, asyncio.Lock())
    )
    async with lock:
        current = message
        message["update"] = update["update_id"]
        key = f"done:{update['update_id']}"
        if BUG != "again-and-again" and not await db.set(key, 1, nx=True, ex=86400):
            return 200
        try:
            await handle(message)
        except Later:
            await db.delete(key)
            return 503
        except Exception as error:
            print("failed:", type(error).__name__, file=sys.stderr)
            mistake = isinstance(error, (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError))
            if mistake and BUG in {"blank-is-500", "quote-assumed", "code-assumed", "html-is-500", "refusal-is-500"}:
                raise
            return 200
        finally:
            if len(locks) > 2000:
                for free in [some for some, one in locks.items() if not one.locked()]:
                    del locks[free]
    return 200


async def hook(request: web.Request) -> web.Response:
    given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
    if BUG == "read-first":
        await request.read()
    if BUG == "secret-lowered":
        same = given.casefold() == SECRET.casefold()
    elif BUG == "absent-passes":
        same = not given or given == SECRET
    else:
        same = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), SECRET.encode())
    if not same:
        return web.Response(status=401, text=f"expected {SECRET}" if BUG == "refusal-shows-secret" else "")
    try:
        update = json.loads(await request.read())
    except (ValueError, RecursionError, web.RequestPayloadError, ContentEncodingError, ClientPayloadError):
        return web.Response(status=400)
    if not isinstance(update, dict) or type(update.get("update_id")) is not int:
        return web.Response(status=400)
    if BUG == "store-grows":
        store.append((update, bytes(30_000)))
    return web.Response(status=await asyncio.shield(asyncio.ensure_future(work(update))))


async def main() -> None:
    global http
    timeout = aiohttp.ClientTimeout(total=None if BUG == "no-timeout" else 5)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=aiohttp.TCPConnector(limit=10 if BUG == "no-timeout" else 200)
    ) as http:
        app = web.Application(client_max_size=2**31 if BUG == "read-first" else 256 * 1024)
        app.router.add_post(os.environ["WEBHOOK_PATH"], hook)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
        await asyncio.Event().wait()


asyncio.run(main())
