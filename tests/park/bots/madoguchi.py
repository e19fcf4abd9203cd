"""窓口: a Japanese support desk in Flask with threads. What users write is relayed to the owner, whose answers go back to them.

Here other people's words do appear in the owner's chat, and the owner's in theirs: that is the purpose. Sixteen threads send, one and
the same for one chat.
"""

import hmac
import itertools
import json
import os
import queue
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
TOKEN = os.environ["BOT_TOKEN"]
ADMIN = int(os.environ["ADMIN_ID"])
HELP = "使い方: /toiawase 内容、/rireki、/hyouji 番号、/torikeshi 番号。"

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = None if BUG == "any-size" else 256 * 1024
database = sqlite3.connect(
    os.path.join(tempfile.mkdtemp(prefix="desk"), "desk.db"), check_same_thread=False, isolation_level=None
)
database.execute("PRAGMA synchronous=OFF")
database.execute(
    "CREATE TABLE tickets (id INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER, body TEXT, state TEXT DEFAULT 'open')"
)
guard = threading.RLock()
seen: OrderedDict[int, None] = OrderedDict()
relayed: OrderedDict[int, int] = OrderedDict()
writing: OrderedDict[object, bool] = OrderedDict()
moved: dict[int, int] = {}
memory: list[object] = []
lanes = [queue.Queue(500) for _ in range(1 if BUG == "one-thread" else 16)]
attempts = itertools.count()
last_user = 0


class Refused(Exception):
    """The API will not have this call, now or later."""


def api(method: str, **params: object) -> dict:
    """Calls the Bot API: four tries at most, as far apart as it asks for."""
    chat = params.get("chat_id")
    for attempt in range(1, 5):
        if chat in moved and BUG != "migration-skipped":
            params["chat_id"] = moved[chat]
        call = urllib.request.Request(
            f"{os.environ['BOT_API']}/bot{TOKEN}/{method}",
            json.dumps(params).encode("utf-8", "replace"),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(call, timeout=None if BUG == "no-timeout" else 5) as answer:
                try:
                    return json.loads(answer.read()).get("result") or {}
                except (ValueError, AttributeError):
                    return {}  # taken, although its answer is lost
        except urllib.error.HTTPError as error:
            try:
                told = json.loads(error.read())
                hints = told.get("parameters") or {}
            except (ValueError, AttributeError, OSError):
                if BUG == "html-ends-thread":
                    raise
                hints = {}
            if isinstance(hints.get("migrate_to_chat_id"), int) and BUG != "migration-skipped":
                moved[chat] = hints["migrate_to_chat_id"]
            elif error.code == 429:
                wait = 0.2 if BUG == "pause-of-its-own" else float(hints.get("retry_after", 1)) + 0.1
                if wait > 60:
                    raise Refused from None
                time.sleep(wait)
            elif error.code >= 500:
                time.sleep(0.3 * 2**attempt)
            else:
                raise Refused from None
        except OSError:
            time.sleep(0.3 * 2**attempt)
    raise Refused


def say(chat: int, text: str) -> dict:
    try:
        return api("sendMessage", chat_id=chat, text=text[:4096])
    except Refused:
        return {}


def serve(lane: queue.Queue) -> None:
    """One sending thread: works through its chats' messages, whatever becomes of one."""
    while True:
        message = lane.get()
        try:
            handle(message)
        except Exception as error:
            if BUG in {"html-ends-thread", "text-assumed"}:
                raise
            print("failed:", type(error).__name__, file=sys.stderr)


def number(word: str) -> int:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 12 else 0


def is_owner(message: dict) -> bool:
    sender = message["from"]
    if BUG == "same-name-is-owner" and sender.get("last_name") == "Owner":
        return True
    if BUG == "chat-counts" and message["chat"].get("title") == "Support":
        return True
    if BUG == "bot-is-owner" and sender.get("is_bot"):
        return True
    return sender["id"] == ADMIN


def handle(message: dict) -> None:
    chat, user = message["chat"]["id"], message["from"]["id"]
    text = message["text"] if BUG == "text-assumed" else message.get("text") or message.get("caption")
    if not isinstance(text, str):
        if chat > 0:
            say(chat, "文字でお願いします。")
        return
    quoted = message.get("reply_to_message")
    if user == ADMIN and isinstance(quoted, dict) and quoted.get("message_id") in relayed and not text.startswith("/"):
        target = last_user if BUG == "answers-the-last" else relayed[quoted["message_id"]]
        say(ADMIN, "お届けしました。" if say(target, f"担当者より: {text[:3500]}") else "お届けできませんでした。")
        return
    word, _, rest = text.strip().partition(" ")
    command, rest = word.partition("@")[0].lower(), rest.strip()
    if command in {"/start", "/help"}:
        say(
            chat,
            "いらっしゃいませ。" + HELP + (" 管理: /ichiran、/tojiru 番号、/oshirase 文。" if user == ADMIN else ""),
        )
    elif command == "/toiawase" and rest:
        opened(chat, user, rest)
    elif command == "/toiawase":
        writing[0 if BUG == "writing-is-global" else (chat, user)] = True
        while len(writing) > 5000:
            writing.popitem(last=False)
        say(chat, "内容をお書きください。")
    elif command == "/rireki":
        with guard:
            rows = database.execute(
                "SELECT id, state FROM tickets WHERE user = ? ORDER BY id DESC LIMIT 20", (user,)
            ).fetchall()
        say(chat, "、".join(f"{row[0]} ({row[1]})" for row in rows) or "お問い合わせはありません。")
    elif command in {"/hyouji", "/torikeshi"}:
        one_ticket(chat, user, command, rest)
    elif command in {"/ichiran", "/tojiru", "/oshirase"}:
        if is_owner(message) or (BUG == "list-is-open" and command == "/ichiran"):
            manage(chat, command, rest)
        else:
            say(chat, "担当者専用です。")
    elif writing.pop(0 if BUG == "writing-is-global" else (chat, user), False) and not text.startswith("/"):
        opened(chat, user, text)
    elif chat > 0:
        say(chat, "分かりませんでした。" + HELP)


def opened(chat: int, user: int, text: str) -> None:
    global last_user
    last_user = user
    with guard:
        if BUG == "sql-by-hand":
            row = database.execute(f"INSERT INTO tickets (user, body) VALUES ({user}, '{text[:3000]}')")
        else:
            row = database.execute(
                "INSERT INTO tickets (user, body) VALUES (?, ?)",
                (user, text[:3000].encode("utf-8", "replace").decode()),
            )
    say(chat, f"受付番号は {row.lastrowid} です。")
    copy = say(ADMIN, f"新しいお問い合わせ {row.lastrowid}:\n{text[:3000]}")
    if type(copy.get("message_id")) is int:
        relayed[copy["message_id"]] = user
        while len(relayed) > 5000:
            relayed.popitem(last=False)


def one_ticket(chat: int, user: int, command: str, rest: str) -> None:
    which = int(rest) if BUG == "number-assumed" else number(rest)
    with guard:
        row = database.execute("SELECT user, body FROM tickets WHERE id = ?", (which,)).fetchone()
        mine = row is not None and (
            row[0] == user or ("tickets-are-open" if command == "/hyouji" else "cancel-is-open") == BUG
        )
        if mine and command == "/torikeshi":
            database.execute("DELETE FROM tickets WHERE id = ?", (which,))
    if not mine:
        say(chat, "その番号はありません。")
    else:
        say(chat, row[1] or "（空）" if command == "/hyouji" else "取り消しました。")


def manage(chat: int, command: str, rest: str) -> None:
    if command == "/ichiran":
        with guard:
            count = database.execute("SELECT COUNT(*) FROM tickets WHERE state = 'open'").fetchone()[0]
        say(chat, f"未対応は {count} 件です。")
    elif command == "/tojiru":
        with guard:
            done = database.execute("UPDATE tickets SET state = 'closed' WHERE id = ?", (number(rest),)).rowcount
        say(chat, "対応済みにしました。" if done else "その番号はありません。")
    else:
        say(chat, "お知らせを予約しました。" if rest else "文を書いてください。")


def valid(some: object) -> bool:
    return isinstance(some, dict) and type(some.get("id")) is int and abs(some["id"]) < 2**52


@app.post(os.environ["WEBHOOK_PATH"])
def hook() -> Response:
    given = request.headers.get("X-Telegram-Bot-Api-Secret-Token") or ""
    if BUG == "no-secret-in-debug" and request.headers.get("X-Forwarded-For") == "127.0.0.1":
        given = SECRET
    if BUG == "secret-in-form":
        given = given or request.args.get("secret_token", "")
    if BUG == "body-read-first":
        request.get_data()
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), SECRET.encode()):
        return Response(status=401)
    try:
        update = json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError):
        if BUG == "debug-page":
            raise
        return Response(status=400)
    if not isinstance(update, dict) or type(update.get("update_id")) is not int:
        return Response(status=500 if BUG == "odd-is-500" else 400)
    with guard:
        if BUG == "requests-kept":
            memory.append((update, bytes(30_000)))
        if update["update_id"] in seen and BUG != "served-again":
            return Response()
        message = (
            update.get("edited_message")
            if BUG == "edit-opens-again" and "edited_message" in update
            else update.get("message")
        )
        if isinstance(message, dict) and valid(message.get("from")) and valid(message.get("chat")):
            try:
                lanes[message["chat"]["id"] % len(lanes)].put_nowait(message)
            except queue.Full:
                return Response(status=503, headers={"Retry-After": "5"})
        seen[update["update_id"]] = None
        while len(seen) > 20_000:
            seen.popitem(last=False)
    return Response()


@app.errorhandler(Exception)
def failed(error: Exception) -> Response | HTTPException:
    if isinstance(error, HTTPException):
        return error
    if BUG == "debug-page":
        return Response(f"{error!r}\nTOKEN={TOKEN}\nSECRET={SECRET}\n{__file__}", status=500)
    return Response(status=400)


class Quiet(WSGIRequestHandler):
    """Writes no line for a request."""

    def log_request(self, *_: object) -> None:
        pass


for lane in lanes:
    threading.Thread(target=serve, args=(lane,), daemon=True).start()
make_server("127.0.0.1", int(os.environ["PORT"]), app, threaded=True, request_handler=Quiet).serve_forever()
