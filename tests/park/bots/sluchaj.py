"""Sluchaj: an anonymous chat roulette in Russian, on aiohttp alone.

Updates are acknowledged at once and handled without awaiting anything, so that each is one step; what there is to
say waits in an outbox for each chat, which keeps the order and holds up nobody else.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import random
import re
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field

import aiohttp
from aiohttp import http_exceptions, web

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
URL = f"{os.environ.get('BOT_API', 'https://api.telegram.org').rstrip('/')}/bot{os.environ.get('BOT_TOKEN', '')}/"
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
MAX_BODY, MAX_PENDING, MAX_CHATS, MAX_SEEN, MAX_REPORTS = 1 << 20, 200, 5000, 20_000, 300
BACKOFF = (0.5, 1, 2, 4, 8, 16)
MEDIA = ("photo", "video", "animation", "sticker", "voice", "audio", "document", "video_note", "location", "contact")
log = logging.getLogger("sluchaj")

HELP = """Анонимный чат: я соединяю двух незнакомцев и передаю их сообщения.
/search - найти собеседника
/next - следующий собеседник
/stop - закончить разговор или поиск
/topic слово - о чём хочется поговорить
/report причина - пожаловаться на собеседника
/online - сколько нас
/me - мои разговоры и оценки
/rules - правила
Для администратора: /reports, /ban id, /unban id, /bans, /stats"""
RULES = "Правила: не оскорблять, не спамить, не выпытывать личное. За жалобы администратор блокирует."


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


class ApiError(Exception):
    """A call was refused, or failed in all attempts."""

    def __init__(self, code: int, description: object = "") -> None:
        super().__init__(f"{code} {str(description)[:200]}")
        self.code = code


def is_id(value: object) -> bool:
    return type(value) is int and 0 < abs(value) < 1 << 53


class Telegram:
    """The Bot API, with an outbox for each chat."""

    def __init__(self) -> None:
        self.http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=8), connector=aiohttp.TCPConnector(limit=0)
        )
        self.outboxes: dict[int, deque] = {}
        self.tasks: set[asyncio.Task] = set()
        self.moved, self.quiet_until, self.sorry = Lru(1000), Lru(5000), Lru(1000)
        self.gone = log.debug
        self.username = ""

    def spawn(self, work) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def busy(self, chat: int) -> bool:
        return len(self.outboxes.get(chat, ())) >= MAX_PENDING or len(self.tasks) >= MAX_CHATS

    def say(self, chat: int, text: str, buttons: list | None = None) -> None:
        keyboard = {"reply_markup": {"inline_keyboard": [buttons]}} if buttons else {}
        self.put(chat, "sendMessage", {"text": text, **keyboard})

    def put(self, chat: int, method: str, payload: dict, failed=None) -> bool:
        """Sends this after all that waits for the chat; False where too much does. `failed` hears of a failure."""
        box = self.outboxes.get(chat)
        if box is None:
            box = self.outboxes[chat] = deque()
            self.spawn(self._send_all(chat, box))
        elif len(box) >= 2 * MAX_PENDING:
            log.warning("the outbox of %s is full", chat)
            return False
        box.append((method, {"chat_id": chat, **payload}, failed))
        return True

    async def _send_all(self, chat: int, box: deque) -> None:
        while box:
            method, payload, failed = box[0]
            try:
                await self.call(method, payload)
            except ApiError as error:
                log.info("%s to %s: %s", method, chat, error)
                if error.code == 403:
                    self.gone(chat)
                if failed:
                    failed(error)
                elif error.code not in (401, 403, 404) and time.monotonic() - self.sorry.get(chat, -99) > 60:
                    self.sorry[chat] = time.monotonic()
                    self.spawn(self._apologise(chat, 20 if error.code >= 429 else 0))
            except Exception:
                log.exception("outbox")
            box.popleft()
        del self.outboxes[chat]

    async def _apologise(self, chat: int, delay: float) -> None:
        await asyncio.sleep(delay)
        self.say(chat, "Извините, ответ не удалось доставить. Попробуйте ещё раз.")

    async def answer(self, query: str, text: str) -> None:
        try:
            await self.call("answerCallbackQuery", {"callback_query_id": query, "text": text[:190]}, BACKOFF[:2])
        except ApiError as error:
            log.info("button: %s", error)

    async def learn_name(self) -> None:
        for wait in (1, 5, 30, 60, 300):
            try:
                me = await self.call("getMe", {}, ())
                self.username = str(me["username"]).lower()
                return
            except (ApiError, KeyError, TypeError) as error:
                log.info("getMe: %s", error)
                await asyncio.sleep(wait)

    async def call(self, method: str, payload: dict, backoff: tuple = BACKOFF):
        tries = waits = 0
        while True:
            chat = payload.get("chat_id")
            if chat in self.moved:
                payload = {**payload, "chat_id": self.moved[chat]}
            key = payload.get("chat_id", method)
            pause = self.quiet_until.get(key, 0) - time.monotonic()
            if pause > 300:
                raise ApiError(429, "waiting is no use")
            await asyncio.sleep(max(0, pause))
            answer = await self._once(method, payload)
            if answer.get("ok") is True:
                return answer.get("result")
            code, parameters = answer.get("error_code"), answer.get("parameters")
            code = code if type(code) is int and code >= 400 else 599
            parameters = parameters if isinstance(parameters, dict) else {}
            target, wait = parameters.get("migrate_to_chat_id"), parameters.get("retry_after")
            if code == 429:
                wait = wait if type(wait) in (int, float) and wait > 0 else 1
                self.quiet_until[key] = time.monotonic() + wait + 0.1
            if is_id(target) and target != payload.get("chat_id") and waits < 5:
                self.moved.pop(target, None)
                self.moved[payload["chat_id"]] = target
                waits += 1
            elif code == 429 and waits < 5:
                waits += 1
            elif code >= 500 and tries < len(backoff):
                await asyncio.sleep(backoff[tries] * random.uniform(0.9, 1.1))
                tries += 1
            else:
                raise ApiError(code, answer.get("description"))

    async def _once(self, method: str, payload: dict) -> dict:
        try:
            async with self.http.post(URL + method, json=payload) as response:
                answer = json.loads(await response.read())
                return answer if isinstance(answer, dict) else {}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
            log.info("%s: %s", method, type(error).__name__)  # the error itself may tell the token
            return {}


@dataclass
class Dialog:
    """Two who talk, and what the moderator may have to see of it."""

    id: int
    pair: tuple[int, int]
    open: bool = True
    said: dict[int, deque] = field(default_factory=dict)
    rated: set[int] = field(default_factory=set)
    reported: set[int] = field(default_factory=set)

    def other(self, user: int) -> int:
        return self.pair[self.pair[0] == user]


class Roulette:
    """Who waits, who talks with whom, and who may not."""

    def __init__(self, telegram: Telegram) -> None:
        self.telegram, self.say = telegram, telegram.say
        telegram.gone = self.gone
        self.waiting: dict[int, None] = {}
        self.talking: dict[int, Dialog] = {}
        self.dialogs, self.last, self.topics = Lru(5000), Lru(5000), Lru(5000)
        self.scores, self.banned, self.reports = Lru(20_000), Lru(20_000), Lru(MAX_REPORTS)
        self.number = 0

    # ---- pairs

    def search(self, user: int) -> None:
        if user in self.talking:
            return self.say(user, "Вы уже разговариваете. /next - следующий, /stop - закончить.")
        if user in self.waiting:
            return self.say(user, "Я уже ищу. /stop - остановить поиск.")
        if len(self.waiting) + len(self.talking) >= 4 * MAX_CHATS:
            return self.say(user, "Слишком много людей, попробуйте позже.")
        topic = self.topics.get(user)
        found = next((one for one in self.waiting if self.topics.get(one) == topic), next(iter(self.waiting), None))
        if found is None:
            self.waiting[user] = None
            return self.say(user, "Ищу собеседника... /stop - остановить поиск.")
        del self.waiting[found]
        self.number += 1
        dialog = Dialog(self.number, (user, found))
        self.dialogs[dialog.id] = dialog
        for one in dialog.pair:
            self.talking[one] = self.last[one] = dialog
            count, *marks = self.scores.get(one, (0, 0, 0))
            self.scores[one] = (count + 1, *marks)
            self.say(one, "Собеседник найден! Пишите. /next - следующий, /stop - закончить.")
        return None

    def end(self, user: int, mine: str, theirs: str) -> bool:
        """Ends the dialog of a user; says whether there was one."""
        dialog = self.talking.pop(user, None)
        if dialog is None:
            return False
        dialog.open = False
        other = dialog.other(user)
        self.talking.pop(other, None)
        buttons = [
            {"text": t, "callback_data": f"{d}:{dialog.id}"} for t, d in (("👍", "up"), ("👎", "down"), ("⚠️", "rep"))
        ]
        if mine:
            self.say(user, mine, buttons)
        self.say(other, theirs, buttons)
        return True

    def gone(self, user: int) -> None:
        """They have blocked the bot."""
        self.waiting.pop(user, None)
        self.end(user, "", "Собеседник недоступен, разговор окончен. /search - найти другого.")

    def relay(self, user: int, message: dict, text: str | None) -> None:
        dialog = self.talking[user]
        other = dialog.other(user)
        if text is not None:
            method, payload, said = "sendMessage", {"text": text}, text
        else:
            kind = next(kind for kind in MEDIA if kind in message)
            method, payload = "copyMessage", {"from_chat_id": user, "message_id": message["message_id"]}
            said = f"[{kind}]"
        dialog.said.setdefault(user, deque(maxlen=5)).append(said[:200])

        def failed(error: ApiError) -> None:
            if error.code != 403:  # who has blocked the bot is gone, which the sender hears already
                self.say(user, "Сообщение не доставлено. Попробуйте ещё раз.")

        if not self.telegram.put(other, method, payload, failed):
            self.say(user, "Собеседник не успевает, сообщение не доставлено.")

    # ---- complaints

    def report(self, dialog: Dialog | None, user: int, why: str) -> str:
        if dialog is None:
            return "Жаловаться пока не на кого."
        if user in dialog.reported:
            return "Вы уже пожаловались на этого собеседника."
        dialog.reported.add(user)
        against = dialog.other(user)
        self.number += 1
        self.reports[self.number] = (against, why or "без причины", list(dialog.said.get(against, ())))
        self.say(ADMIN_ID, *self.report_card(self.number))
        return "Спасибо, жалоба отправлена администратору."

    def report_card(self, number: int) -> tuple[str, list]:
        against, why, said = self.reports[number]
        lines = [f"Жалоба {number} на {against}: {why}", *(f"> {one}" for one in said)]
        labels = (("Заблокировать", "ban"), ("Отклонить", "drop"))
        return "\n".join(lines), [{"text": text, "callback_data": f"{data}:{number}"} for text, data in labels]

    def ban(self, user: int) -> str:
        if user == ADMIN_ID:
            return "Себя заблокировать нельзя."
        if user in self.banned:
            return f"{user} уже заблокирован."
        self.banned[user] = True
        self.waiting.pop(user, None)
        if not self.end(user, "Администратор заблокировал вас.", "Собеседник вышел. /search - найти другого."):
            self.say(user, "Администратор заблокировал вас.")
        return f"{user} заблокирован."

    # ---- what people do

    def command(self, user: int, name: str, rest: str) -> None:
        target = int(rest.split(maxsplit=1)[0]) if re.match(r"[0-9]{1,15}(\s|$)", rest) else 0
        if name in ("reports", "ban", "unban", "bans", "stats") and user != ADMIN_ID:
            self.say(user, "Это только для администратора.")
        elif name in ("start", "help"):
            self.say(user, HELP)
        elif name == "rules":
            self.say(user, RULES)
        elif name == "search":
            self.search(user)
        elif name == "next":
            self.end(user, "Вы закончили разговор.", "Собеседник ушёл. /search - найти другого.")
            self.search(user)
        elif name == "stop":
            if not self.end(
                user, "Вы закончили разговор. /search - найти другого.", "Собеседник ушёл. /search - найти другого."
            ):
                waited = user in self.waiting
                self.waiting.pop(user, None)
                self.say(
                    user, "Поиск остановлен." if waited else "Вы ни с кем не разговариваете. /search - найти другого."
                )
        elif name == "topic":
            topic = rest.lower()[:30].strip()
            self.topics[user] = topic
            self.say(user, f"Тема: {topic}" if topic else "Тема убрана. Чтобы выбрать: /topic слово")
        elif name == "online":
            self.say(user, f"Разговаривают: {len(self.talking)}, ищут: {len(self.waiting)}")
        elif name == "me":
            count, up, down = self.scores.get(user, (0, 0, 0))
            self.say(user, f"Разговоров: {count}, 👍 {up}, 👎 {down}")
        elif name == "report":
            self.say(user, self.report(self.last.get(user), user, rest[:200]))
        elif name == "reports":
            self.say(user, f"Открытых жалоб: {len(self.reports)}")
            for number in list(self.reports)[-5:]:
                self.say(user, *self.report_card(number))
        elif name == "bans":
            self.say(user, "Заблокированы: " + (", ".join(map(str, list(self.banned)[-50:])) or "никто"))
        elif name == "stats":
            self.say(
                user, f"Разговоров: {len(self.dialogs)}, жалоб: {len(self.reports)}, блокировок: {len(self.banned)}"
            )
        elif name in ("ban", "unban") and not target:
            self.say(user, f"Напишите так: /{name} id")
        elif name == "ban":
            self.say(user, self.ban(target))
        elif name == "unban":
            self.say(user, f"{target} разблокирован." if self.banned.pop(target, None) else "Он не заблокирован.")
        else:
            self.say(user, "Такой команды нет. /help - что я умею.")

    def message(self, message: dict, chat: dict, user: int) -> None:
        text = message.get("text")
        text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]+", " ", text).strip() if isinstance(text, str) else None
        match = re.fullmatch(r"/([a-z]{1,20})(?:@(\w{1,40}))?(?:\s+(.*))?", text or "", re.DOTALL | re.IGNORECASE)
        if chat["type"] != "private":
            if (
                match
                and match[1].lower() in ("start", "help")
                and self.telegram.username in ("", (match[2] or self.telegram.username).lower())
            ):
                self.say(chat["id"], "Я работаю только в личных сообщениях: анонимность в группе невозможна.")
        elif user in self.banned:
            self.say(user, "Вы заблокированы администратором.")
        elif match:
            self.command(user, match[1].lower(), (match[3] or "").strip())
        elif (text or "").startswith("/"):
            self.say(user, "Такой команды нет. /help - что я умею.")
        elif text is None and not any(kind in message for kind in MEDIA):
            if "poll" in message or "game" in message or "story" in message:
                self.say(user, "Такое я передать не могу.")
        elif user not in self.talking:
            self.say(user, "Вы ни с кем не разговариваете. /search - найти собеседника.")
        elif text == "" or (text is None and not is_id(message.get("message_id"))):
            self.say(user, "Сообщение пустое, передавать нечего.")
        elif text and len(text.encode("utf-16-le")) > 8192:
            self.say(user, "Сообщение слишком длинное, больше 4096 знаков не бывает.")
        else:
            self.relay(user, message, text)

    def press(self, query: dict, user: int) -> str:
        data = query.get("data")
        match = re.fullmatch(r"(up|down|rep|ban|drop):([0-9]{1,12})", data) if isinstance(data, str) else None
        if user in self.banned:
            return "Вы заблокированы администратором."
        if not match:
            return "Я не знаю этой кнопки."
        action, number = match[1], int(match[2])
        if action in ("ban", "drop"):
            if user != ADMIN_ID:
                return "Это только для администратора."
            if number not in self.reports:
                return "Эта жалоба уже рассмотрена."
            against = self.reports.pop(number)[0]
            return self.ban(against) if action == "ban" else "Жалоба отклонена."
        dialog = self.dialogs.get(number)
        if dialog is None or user not in dialog.pair:
            return "Это не ваш разговор."
        if action == "rep":
            return self.report(dialog, user, "")
        if user in dialog.rated:
            return "Вы уже поставили оценку."
        dialog.rated.add(user)
        count, up, down = self.scores.get(dialog.other(user), (0, 0, 0))
        self.scores[dialog.other(user)] = (count, up + (action == "up"), down + (action == "down"))
        return "Спасибо за оценку!"


def sender(update: dict) -> tuple[str, dict, dict, int] | None:
    """The kind, the content, the chat and the user of what there is to do, if all of it is as it should be."""
    for kind in ("message", "callback_query", "my_chat_member"):
        if isinstance(content := update.get(kind), dict):
            user = content.get("from")
            if not isinstance(user, dict) or not is_id(user.get("id")) or user["id"] < 0 or user.get("is_bot") is True:
                return None
            chat = {"id": user["id"], "type": "private"} if kind == "callback_query" else content.get("chat")
            if not isinstance(chat, dict) or not is_id(chat.get("id")) or isinstance(content.get("sender_chat"), dict):
                return None
            if chat.get("type") not in ("private", "group", "supergroup"):
                return None
            return kind, content, chat, user["id"]
    return None


class Webhook:
    def __init__(self, roulette: Roulette) -> None:
        self.roulette, self.telegram = roulette, roulette.telegram
        self.seen = Lru(MAX_SEEN)

    async def __call__(self, request: web.Request) -> web.Response:
        given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), SECRET.encode()):
            return web.Response(status=401, headers={"Connection": "close"})
        try:
            body = await asyncio.wait_for(request.read(), 15)
            update = json.loads(body.decode())
        except (ValueError, RecursionError, TimeoutError, OSError):
            return web.Response(status=400)
        except (web.RequestPayloadError, http_exceptions.HttpProcessingError, aiohttp.ClientPayloadError):
            return web.Response(status=400)
        if not isinstance(update, dict) or type(update.get("update_id")) is not int:
            return web.Response(status=400)
        known = sender(update)
        if known is None or update["update_id"] in self.seen:
            return web.Response()
        kind, content, chat, user = known
        if self.telegram.busy(chat["id"]):
            return web.Response(status=429, headers={"Retry-After": "5"})
        self.seen[update["update_id"]] = True
        try:
            if kind == "message":
                self.roulette.message(content, chat, user)
            elif kind == "my_chat_member":
                new = content.get("new_chat_member")
                if chat["type"] == "private" and isinstance(new, dict) and new.get("status") == "kicked":
                    self.roulette.gone(user)
            elif isinstance(content.get("id"), str):
                text = self.roulette.press(content, user)
                self.telegram.spawn(self.telegram.answer(content["id"], text))
                self.telegram.say(user, text)
        except Exception:
            log.exception("update %s", update["update_id"])
            self.telegram.say(chat["id"], "Извините, что-то пошло не так. Попробуйте ещё раз.")
        return web.Response()


async def application() -> web.Application:
    telegram = Telegram()
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post(PATH, Webhook(Roulette(telegram)))
    telegram.spawn(telegram.learn_name())
    app.on_cleanup.append(lambda _: telegram.http.close())
    return app


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    web.run_app(application(), host="127.0.0.1", port=PORT, print=None, access_log=None)
