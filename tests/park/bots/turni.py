"""Turni: whose turn it is to clean, in Italian, on pyTelegramBotAPI's synchronous half and http.server, with a thread for each busy chat.

It works only in groups in which one of their admins switched it on, and says nothing in others. Who is an admin is asked of Telegram
(getChatMember) and believed for a short time; an anonymous admin is known by the group writing as itself.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
import telebot
from telebot import apihelper
from telebot.apihelper import ApiHTTPException, ApiInvalidJSONException, ApiTelegramException
from telebot.types import CallbackQuery, ChatMemberUpdated, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))

MAX_BODY = 1 << 20
MAX_SEEN = 20_000
MAX_PENDING = 500  # per chat
MAX_BUSY = 600  # threads
MAX_GROUPS = 2000
MAX_TASKS = 20
MAX_PEOPLE = 25
BELIEVED_S = 20  # an admin's rights
SWAP_LASTS_S = 600
ANONYMOUS = 1087968824  # GroupAnonymousBot
BACKOFF = (0.5, 1, 2, 4, 8)

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
logging.getLogger("TeleBot").setLevel(logging.CRITICAL)
log = logging.getLogger("turni")

apihelper.API_URL = API + "/bot{0}/{1}"
apihelper.CONNECT_TIMEOUT = 4
apihelper.READ_TIMEOUT = 8


def deliver(method: str, url: str, **options: Any) -> requests.Response:
    """A request that follows nobody elsewhere and is over in time, also where the answer trickles in."""
    until = time.monotonic() + apihelper.READ_TIMEOUT
    with requests.Session() as session:
        answer = session.request(method, url, stream=True, allow_redirects=False, **options)
        body = bytearray()
        for byte in answer.iter_content(1):
            body += byte
            if time.monotonic() > until or len(body) > MAX_BODY:
                raise requests.Timeout(url.rpartition("/")[2])
        answer._content = bytes(body)
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict) or "ok" not in told:
        raise requests.ConnectionError("not the Bot API's answer")
    return answer


apihelper.CUSTOM_REQUEST_SENDER = deliver
bot = telebot.TeleBot(TOKEN, threaded=False)


class Lru(OrderedDict[Any, Any]):
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
    return re.sub(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]+", " ", text).strip()[:limit]


# ---------------------------------------------------------------- the Bot API


class Unreachable(Exception):
    """Telegram could not be asked."""


moved: Lru = Lru(1000)


def patiently(chat: int, call: Callable[[int], Any], attempts: int = len(BACKOFF)) -> Any:
    """Calls until it succeeds or there is no sense in it any more."""
    failed = waited = 0
    while True:
        with lock:
            chat = moved.get(chat, chat)
        try:
            return call(chat)
        except ApiTelegramException as error:
            more = error.result_json.get("parameters")
            more = more if isinstance(more, dict) else {}
            target, pause = more.get("migrate_to_chat_id"), more.get("retry_after")
            if isinstance(target, int) and target not in (0, chat) and waited < 5:
                waited += 1
                move(chat, target)
            elif error.error_code == 429:
                seconds = pause if isinstance(pause, int | float) and pause > 0 else 2
                waited += 1
                if waited > 5 or seconds > 300:
                    raise Unreachable from None
                time.sleep(seconds + 0.1)
            elif error.error_code < 500:
                raise
            elif failed >= attempts:
                raise Unreachable from None
            else:
                time.sleep(BACKOFF[failed])
                failed += 1
        except (ApiHTTPException, ApiInvalidJSONException, requests.RequestException):
            if failed >= attempts:
                raise Unreachable from None
            time.sleep(BACKOFF[failed])
            failed += 1
        except (TypeError, KeyError, AttributeError, ValueError):
            return None  # it was accepted; what came along could not be read


class Lanes:
    """Runs the jobs of each key one after another, in a thread that lives while there are some."""

    def __init__(self) -> None:
        self.jobs: dict[Any, deque[Callable[[], Any]]] = {}
        self.guard = threading.Lock()

    def full(self, key: Any) -> bool:
        with self.guard:
            there = self.jobs.get(key)
            return len(self.jobs) >= MAX_BUSY if there is None else len(there) >= MAX_PENDING

    def put(self, key: Any, job: Callable[[], Any]) -> None:
        with self.guard:
            there = self.jobs.get(key)
            if there is not None:
                if len(there) < 2 * MAX_PENDING:
                    there.append(job)
                return
            if len(self.jobs) >= 2 * MAX_BUSY:
                log.warning("too many chats at once")
                return
            self.jobs[key] = deque((job,))
        threading.Thread(target=self._work, args=(key,), daemon=True).start()

    def _work(self, key: Any) -> None:
        while True:
            with self.guard:
                if not self.jobs[key]:
                    del self.jobs[key]
                    return
                job = self.jobs[key].popleft()
            try:
                job()
            except Exception as error:
                log.warning("in lane %s: %s", key, type(error).__name__)


inbox, outbox = Lanes(), Lanes()


def say(chat: int, text: str, keys: InlineKeyboardMarkup | None = None) -> None:
    outbox.put(chat, lambda: patiently(chat, lambda to: bot.send_message(to, text[:3000], reply_markup=keys)))


def toast(query: CallbackQuery, text: str, alert: bool = False) -> None:
    outbox.put(
        f"q{query.id}", lambda: patiently(0, lambda _: bot.answer_callback_query(query.id, text[:190], alert), 1)
    )


# ---------------------------------------------------------------- what is known


@dataclass
class Task:
    name: str
    at: int = 0  # whose turn: a position in the group's rota
    done: int = 0


@dataclass
class Group:
    """A group in which the bot is switched on; numbers of tasks are its own.

    Args:
        title: Its name.
        people: Who takes turns, by id, in their order.
        tasks: By number.
        swaps: Who would like to be rid of which task, until when.
    """

    title: str
    people: dict[int, str] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    swaps: dict[int, tuple[int, float]] = field(default_factory=dict)
    last: int = 0

    def on(self, task: Task) -> int:
        """Whose turn it is; 0 when nobody takes part."""
        order = list(self.people)
        return order[task.at % len(order)] if order else 0

    def line(self, number: int) -> str:
        task = self.tasks[number]
        who = self.people.get(self.on(task), "nessuno")
        return f"{number}. {task.name}: tocca a {who} (fatto {task.done} volte)"


lock = threading.RLock()
groups: dict[int, Group] = {}
believed: Lru = Lru(5000)  # (chat, user) -> (whether admin, until)
seen: Lru = Lru(MAX_SEEN)


def move(old: int, new: int) -> None:
    """A group became a supergroup and keeps everything."""
    with lock:
        moved[old] = new
        if old in groups:
            groups[new] = groups.pop(old)


def is_admin(message: Message) -> bool | None:
    """Whether the sender is one of the group's admins; None when Telegram cannot be asked."""
    user, chat = message.from_user.id, message.chat.id
    if message.sender_chat is not None:
        return user == ANONYMOUS and message.sender_chat.id == chat
    if user == ADMIN_ID:
        return True
    with lock:
        known, until = believed.get((chat, user), (False, 0.0))
    if until > time.monotonic():
        return known
    try:
        member = patiently(chat, lambda to: bot.get_chat_member(to, user), 1)
    except (Unreachable, ApiTelegramException):
        return None
    known = getattr(member, "status", "") in ("creator", "administrator")
    with lock:
        believed[chat, user] = (known, time.monotonic() + BELIEVED_S)
    return known


def admin_or_told(message: Message) -> bool:
    answer = is_admin(message)
    if answer is None:
        say(message.chat.id, "Non riesco a chiedere a Telegram chi amministra il gruppo. Riprova tra poco.")
    elif not answer:
        say(message.chat.id, "Lo può fare solo chi amministra il gruppo.")
    return bool(answer)


# ---------------------------------------------------------------- commands

HELP = """Turni: a chi tocca pulire.
Aggiungimi a un gruppo; chi lo amministra scrive /attiva. Prima di allora, lì, non rispondo.
Nel gruppo:
/entra, /esci - partecipare ai turni
/persone - chi partecipa
/aggiungi bagno - un compito nuovo
/compiti - a chi tocca che cosa
/fatto N - l'ho fatto (solo se tocca a te)
/cedo N - chi lo fa al posto mio?
/togli N - toglie un compito (amministratori)
/attiva, /disattiva - accendermi, spegnermi (amministratori)
In privato:
/miei - che cosa tocca a te, in tutti i gruppi
/gruppi - in quali gruppi partecipi
/stato - per chi gestisce il bot"""


def word(message: Message) -> tuple[str, str]:
    """The command, in small letters, and what follows it."""
    match = re.fullmatch(r"/([a-z]{1,20})(?:@\w{1,64})?(?:\s+(.*))?", message.text or "", re.DOTALL | re.IGNORECASE)
    return (match[1].lower(), (match[2] or "").strip()) if match else ("", "")


def numbered(message: Message, group: Group, text: str) -> int:
    number = int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0
    if number in group.tasks:
        return number
    say(message.chat.id, "In questo gruppo non c'è un compito con quel numero. Vedi /compiti")
    return 0


def in_private(name: str, rest: str, message: Message) -> None:
    chat, user = message.chat.id, message.from_user.id
    with lock:
        mine = [group for group in groups.values() if user in group.people]
        if name in ("start", "aiuto", "help"):
            say(chat, HELP)
        elif name == "gruppi":
            say(chat, "\n".join(group.title for group in mine[:40]) or "Non partecipi ai turni di nessun gruppo.")
        elif name == "miei":
            lines = [
                f"{group.title}: {task.name}"
                for group in mine
                for task in group.tasks.values()
                if group.on(task) == user
            ]
            say(chat, "\n".join(lines[:40]) or "Adesso non tocca a te.")
        elif name == "stato":
            if user == ADMIN_ID:
                say(chat, f"Gruppi attivi: {len(groups)}, compiti: {sum(len(one.tasks) for one in groups.values())}.")
            else:
                say(chat, "Solo per chi gestisce il bot.")
        elif name in IN_GROUP or name in ("attiva", "disattiva"):
            say(chat, "Questo funziona solo in un gruppo.")
        else:
            say(chat, "Non ho capito. Vedi /aiuto")


def enter(group: Group, message: Message, rest: str) -> None:
    user, chat = message.from_user, message.chat.id
    if user.id in group.people:
        say(chat, "Partecipi già.")
    elif len(group.people) >= MAX_PEOPLE:
        say(chat, "Siete già in tanti.")
    else:
        group.people[user.id] = clean(user.first_name or "", 30) or "Qualcuno"
        say(chat, f"{group.people[user.id]} partecipa ai turni ({len(group.people)} in tutto).")


def leave(group: Group, message: Message, rest: str) -> None:
    user = message.from_user.id
    if user not in group.people:
        say(message.chat.id, "Non partecipavi.")
        return
    at = list(group.people).index(user)
    size = len(group.people)
    for task in group.tasks.values():  # whose turn it is stays, but for those of the one who leaves
        task.at %= size
        if task.at > at:
            task.at -= 1
    name = group.people.pop(user)
    group.swaps = {number: swap for number, swap in group.swaps.items() if swap[0] != user}
    say(message.chat.id, f"{name} non partecipa più.")


def people(group: Group, message: Message, rest: str) -> None:
    say(message.chat.id, ", ".join(group.people.values()) or "Ancora nessuno: /entra")


def add(group: Group, message: Message, rest: str) -> None:
    name = clean(rest, 50)
    if not name:
        say(message.chat.id, "Uso: /aggiungi bagno")
    elif len(group.tasks) >= MAX_TASKS:
        say(message.chat.id, f"Più di {MAX_TASKS} compiti non ci stanno.")
    elif name.lower() in (one.name.lower() for one in group.tasks.values()):
        say(message.chat.id, f"«{name}» c'è già.")
    else:
        group.last += 1
        group.tasks[group.last] = Task(name, group.last - 1)
        say(message.chat.id, group.line(group.last))


def tasks(group: Group, message: Message, rest: str) -> None:
    say(message.chat.id, "\n".join(map(group.line, group.tasks)) or "Nessun compito. Comincia con /aggiungi bagno")


def done(group: Group, message: Message, rest: str) -> None:
    if not (number := numbered(message, group, rest)):
        return
    task = group.tasks[number]
    if group.on(task) != message.from_user.id:
        say(message.chat.id, f"Adesso non tocca a te. {group.line(number)}")
        return
    task.done += 1
    task.at = (task.at + 1) % len(group.people)
    group.swaps.pop(number, None)
    say(message.chat.id, f"Grazie! {group.line(number)}")


def swap(group: Group, message: Message, rest: str) -> None:
    if not (number := numbered(message, group, rest)):
        return
    user = message.from_user.id
    if group.on(group.tasks[number]) != user:
        say(message.chat.id, "Puoi cedere solo un turno tuo.")
        return
    group.swaps[number] = (user, time.monotonic() + SWAP_LASTS_S)
    keys = InlineKeyboardMarkup([[InlineKeyboardButton("Lo faccio io", callback_data=f"prendo:{number}")]])
    say(message.chat.id, f"{group.people[user]} cede «{group.tasks[number].name}». Chi lo prende?", keys)


def remove(group: Group, message: Message, rest: str) -> None:
    if number := numbered(message, group, rest):
        gone = group.tasks.pop(number)
        group.swaps.pop(number, None)
        say(message.chat.id, f"Tolto: {gone.name}")


IN_GROUP: dict[str, Callable[[Group, Message, str], None]] = {
    "entra": enter,
    "esci": leave,
    "persone": people,
    "aggiungi": add,
    "compiti": tasks,
    "fatto": done,
    "cedo": swap,
    "togli": remove,
}


def in_group(name: str, rest: str, message: Message) -> None:
    chat = message.chat.id
    with lock:
        group = groups.get(chat)
    if name == "attiva":
        if not admin_or_told(message):
            return
        with lock:
            if group is not None:
                say(chat, "Sono già acceso qui.")
            elif len(groups) >= MAX_GROUPS:
                say(chat, "Non posso occuparmi di altri gruppi, mi spiace.")
            else:
                groups[chat] = Group(clean(message.chat.title or "", 60) or "Gruppo")
                say(chat, "Eccomi. Scrivete /entra per partecipare e /aggiungi per i compiti.")
        return
    if group is None:
        return  # nobody asked for me here
    if name in ("start", "aiuto", "help"):
        say(chat, HELP)
    elif name == "disattiva":
        if admin_or_told(message):
            with lock:
                groups.pop(chat, None)
            say(chat, "Mi spengo e dimentico i turni di questo gruppo.")
    elif name in IN_GROUP:
        if name == "togli":
            if not admin_or_told(message):
                return
        elif message.sender_chat is not None:
            say(chat, "Per i turni scrivi con il tuo nome, non da anonimo.")
            return
        with lock:
            IN_GROUP[name](group, message, rest)


@bot.message_handler(func=bool, content_types=["text"])
def on_text(message: Message) -> None:
    name, rest = word(message)
    if message.chat.type == "private":
        in_private(name, rest, message)
    elif name and message.chat.type in ("group", "supergroup"):
        in_group(name, rest, message)


@bot.message_handler(content_types=["photo", "sticker", "voice", "audio", "video", "document", "location", "contact"])
def on_other(message: Message) -> None:
    if message.chat.type == "private":
        say(message.chat.id, "Capisco solo il testo. Vedi /aiuto")


@bot.message_handler(content_types=["left_chat_member"])
def on_left(message: Message) -> None:
    """Who is no longer in the group takes no more turns."""
    with lock:
        group = groups.get(message.chat.id)
        if group is not None and message.left_chat_member.id in group.people:
            message.from_user = message.left_chat_member
            leave(group, message, "")


@bot.callback_query_handler(func=bool)
def on_button(query: CallbackQuery) -> None:
    """Somebody takes a turn over; the first who presses has it."""
    match = re.fullmatch(r"prendo:([0-9]{1,6})", query.data or "")
    chat = query.message.chat.id if query.message else 0
    with lock:
        group = groups.get(moved.get(chat, chat))
        number = int(match[1]) if match else 0
        if group is None or number not in group.tasks:
            toast(query, "Questo pulsante non serve più.")
            return
        giver, until = group.swaps.get(number, (0, 0.0))
        task, taker = group.tasks[number], query.from_user.id
        if until < time.monotonic() or group.on(task) != giver:
            toast(query, "Troppo tardi: è già deciso.")
        elif taker == giver:
            toast(query, "È il turno che cedi tu.", alert=True)
        elif taker not in group.people:
            toast(query, "Non partecipi ai turni: /entra", alert=True)
        else:
            del group.swaps[number]
            task.at = list(group.people).index(taker)
            toast(query, "Grazie!")
            say(chat, f"{group.people[taker]} lo fa al posto di {group.people[giver]}. {group.line(number)}")
            say(giver, f"{group.people[taker]} prende il tuo turno: {task.name}.")


@bot.my_chat_member_handler()
def on_me(change: ChatMemberUpdated) -> None:
    if change.new_chat_member.status in ("left", "kicked"):
        with lock:
            groups.pop(change.chat.id, None)


# ---------------------------------------------------------------- the webhook


def handled(update: Update, chat: int) -> None:
    try:
        bot.process_new_updates([update])
    except Exception:
        log.exception("an update")
        with lock:
            ours = chat > 0 or chat in groups
        if ours:
            say(chat, "Qualcosa è andato storto. Riprova.")


def place_of(update: Update) -> int | None:
    """The chat in whose order an update is; None for one that is not for us."""
    message, query, change = update.message, update.callback_query, update.my_chat_member
    if message is not None:
        if isinstance(message.migrate_to_chat_id, int):
            move(message.chat.id, message.migrate_to_chat_id)
            return None
        user = message.from_user
        if user is None or message.via_bot is not None or (user.is_bot and user.id != ANONYMOUS):
            return None
        return message.chat.id
    if query is not None:
        return None if query.from_user.is_bot else query.message.chat.id if query.message else query.from_user.id
    return change.chat.id if change is not None else None


def shaped(data: Any) -> bool:
    """Whether what we rely on has the types that Telegram gives it."""
    message, query = data.get("message"), data.get("callback_query")
    chats = [message] if message is not None else []
    users = [one for one in (message, query) if one is not None and "from" in one]
    if query is not None and query.get("message") is not None:
        chats.append(query["message"])
    texts = [message.get("text", ""), message.get("chat", {}).get("title", "")] if message is not None else []
    texts += [query["id"], query.get("data", "")] if query is not None else []
    return (
        all(type(one["chat"]["id"]) is int and one["chat"]["id"] for one in chats)
        and all(type(one["from"]["id"]) is int and isinstance(one["from"]["first_name"], str) for one in users)
        and all(isinstance(text, str) for text in texts)
        and (query is None or bool(query["id"]))
    )


class Webhook(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = 15

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length):
            self.end(411, close=True)
            return
        size = int(length)
        given = self.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        known = hmac.compare_digest(given.encode("utf-8", "replace"), SECRET.encode())
        if size > MAX_BODY or not known or self.path.split("?")[0] != PATH:
            if size <= MAX_BODY:
                self.rfile.read(size)  # so that the answer is not lost in a reset
            status = 404 if self.path.split("?")[0] != PATH else 401 if not known else 413
            self.end(status, close=True)
            return
        body = self.rfile.read(size)
        if len(body) < size:
            self.end(400, close=True)
            return
        self.end(self.taken(body))

    def taken(self, body: bytes) -> int:
        """Puts an update into the queue of its chat; gives the status."""
        try:
            data = json.loads(body)
            if not isinstance(data, dict) or type(data.get("update_id")) is not int or not shaped(data):
                return 400
            update = Update.de_json(data)
            chat = place_of(update)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return 400
        with lock:
            if update.update_id in seen:
                return 200
            if chat is not None and (inbox.full(chat) or outbox.full(chat)):
                return 503
            seen[update.update_id] = True
        if chat is not None:
            inbox.put(chat, lambda: handled(update, chat))
        return 200

    def do_GET(self) -> None:
        self.end(405 if self.path.split("?")[0] == PATH else 404, close=True)

    do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815

    def end(self, status: int, *, close: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 503:
            self.send_header("Retry-After", "5")
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Not a line for each update."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks off is nothing to write about."""


if __name__ == "__main__":
    Server(("127.0.0.1", PORT), Webhook).serve_forever()
