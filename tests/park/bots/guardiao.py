"""Guardião: moderates groups in Portuguese, on aiogram 3 behind an aiohttp server.

Warns, mutes and bans in answer to messages, greets newcomers with a captcha button, and has its settings under an inline
keyboard; who may do so is asked of Telegram each time. Each group has a queue, so that its updates come one by one.
"""

from __future__ import annotations

import asyncio
import hmac
import html
import json
import logging
import os
import random
import re
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import timedelta

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.filters import Command, CommandObject
from aiogram.types import (
    CallbackQuery,
    ChatPermissions,
    ErrorEvent,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    Update,
    User,
)
from aiohttp import ClientPayloadError, http_exceptions, web
from pydantic import ValidationError

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "").encode()
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
OWNER = int(os.environ.get("ADMIN_ID", "0"))
ANONYMOUS_ADMIN = 1087968824  # Telegram writes under this id for admins who hide theirs
MAX_BODY, MAX_PENDING, MAX_CHATS, CAPTCHA_S = 1 << 20, 200, 5000, 120
BACKOFF = (0.5, 1, 2, 4, 8, 15)
log = logging.getLogger("guardiao")

HELP = """Eu cuido de grupos.
/regras - as regras do grupo
/avisos - os seus avisos (ou, em resposta, os de outra pessoa)
/report - em resposta: chama os administradores
Para administradores do grupo, em resposta a uma mensagem:
/warn motivo, /unwarn - dar ou tirar um aviso
/mute minutos, /unmute - silenciar
/ban, /unban - banir
/setregras texto - mudar as regras
/config - captcha, limite de avisos, punição
Para o dono do bot, em privado: /grupos, /sair id"""


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


@dataclass
class Group:
    title: str = ""
    rules: str = "Seja gentil. Nada de spam."
    captcha: bool = True
    limit: int = 3
    ban: bool = False
    warns: Lru = field(default_factory=lambda: Lru(1000))  # user -> how many
    handled: Lru = field(default_factory=lambda: Lru(500))  # (what, message) -> True
    newcomers: Lru = field(default_factory=lambda: Lru(500))  # user -> until when they may press


class Groups(Lru):
    def of(self, message: Message) -> Group:
        group = self.get(message.chat.id) or Group()
        group.title = (message.chat.title or "")[:60]
        self[message.chat.id] = group
        return group

    def migrate(self, old: int, new: int) -> None:
        if (group := self.pop(old, None)) and new not in self:
            self[new] = group


groups = Groups(3000)


# ---------------------------------------------------------------- the Bot API


class Patience(BaseRequestMiddleware):
    """One call at a time for each chat; waits as told, follows migrations, retries what is nobody's fault."""

    def __init__(self) -> None:
        self.locks: dict[int, list] = {}
        self.moved, self.quiet_until = Lru(1000), Lru(5000)

    async def __call__(self, make_request, bot, method):
        if (chat := getattr(method, "chat_id", None)) is None:
            return await self._patiently(make_request, bot, method, BACKOFF[:2])
        lock = self.locks.setdefault(chat, [asyncio.Lock(), 0])
        lock[1] += 1
        try:
            async with lock[0]:
                return await self._patiently(make_request, bot, method, BACKOFF)
        finally:
            lock[1] -= 1
            if not lock[1]:
                self.locks.pop(chat, None)

    async def _patiently(self, make_request, bot, method, backoff: tuple):
        tries = waits = 0
        while True:
            if (chat := getattr(method, "chat_id", None)) in self.moved:
                method = method.model_copy(update={"chat_id": self.moved[chat]})
            key = getattr(method, "chat_id", method.__api_method__)
            pause = self.quiet_until.get(key, 0) - time.monotonic()
            if pause > 300:
                raise TelegramRetryAfter(method, "waiting is no use", int(pause))
            await asyncio.sleep(max(0, pause))
            try:
                return await make_request(bot, method)
            except (TelegramBadRequest, TelegramForbiddenError, TelegramNotFound, TelegramUnauthorizedError):
                raise
            except TelegramRetryAfter as error:
                self.quiet_until[key] = time.monotonic() + max(1, error.retry_after) + 0.1
                waits += 1
                if waits > 5:
                    raise
            except TelegramMigrateToChat as error:
                waits += 1
                if waits > 5 or error.migrate_to_chat_id == key:
                    raise
                self.moved.pop(error.migrate_to_chat_id, None)
                self.moved[key] = error.migrate_to_chat_id
                groups.migrate(key, error.migrate_to_chat_id)
            except Exception as error:
                if (
                    isinstance(error, ClientDecodeError)
                    and isinstance(error.data, dict)
                    and error.data.get("ok") is True
                ):
                    return None  # it was done; only the copy was not understood
                log.info("%s: %s", method.__api_method__, type(error).__name__)
                if tries >= len(backoff):
                    raise Unreachable from error
                await asyncio.sleep(backoff[tries] * random.uniform(0.9, 1.1))
                tries += 1


class Unreachable(AiogramError):
    """The Bot API did not answer in all attempts."""


session = AiohttpSession(api=TelegramAPIServer.from_base(API), timeout=8, limit=1000)
session.middleware(Patience())
bot = Bot(os.environ.get("BOT_TOKEN", "1:x"), session=session)
dp = Dispatcher(disable_fsm=True)


# ---------------------------------------------------------------- rights


class Refused(Exception):
    """What was asked for cannot be; the text is for who asked."""


async def is_admin(chat: int, user: int) -> bool:
    if user == OWNER:
        return True
    member = await bot.get_chat_member(chat, user)
    return getattr(member, "status", "") in ("creator", "administrator")


async def need_admin(message: Message) -> None:
    if message.chat.type == "private":
        raise Refused("Esse comando é para grupos.")
    if message.sender_chat:  # only admins can write in the name of their own group
        if message.sender_chat.id != message.chat.id or message.from_user.id != ANONYMOUS_ADMIN:
            raise Refused("Isso é só para administradores do grupo.")
    elif not await is_admin(message.chat.id, message.from_user.id):
        raise Refused("Isso é só para administradores do grupo.")


async def target(message: Message) -> User:
    """Whom a command in answer to a message means; never an admin."""
    await need_admin(message)
    reply = message.reply_to_message
    if reply is None or reply.from_user is None or reply.forum_topic_created:
        raise Refused("Use esse comando em resposta a uma mensagem.")
    if reply.sender_chat or reply.from_user.is_bot:
        raise Refused("Não posso moderar bots, canais nem anônimos.")
    if await is_admin(message.chat.id, reply.from_user.id):
        raise Refused("Não posso moderar administradores.")
    return reply.from_user


def name(user: User) -> str:
    text = re.sub(r"[\s\x00-\x1f\x7f\ud800-\udfff\u202a-\u202e]+", " ", user.first_name[:40]).strip()
    return f'<a href="tg://user?id={user.id}">{html.escape(text or str(user.id))}</a>'


def clean(text: str | None, limit: int) -> str:
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]+", " ", text or "").strip()[:limit]


async def tell(message: Message, text: str, markup: InlineKeyboardMarkup | None = None) -> None:
    await bot.send_message(message.chat.id, text, parse_mode="HTML", reply_markup=markup)


async def act(call) -> None:
    """A call for which the bot needs rights in the group."""
    try:
        await call
    except TelegramBadRequest as error:
        raise Refused("Não consegui: preciso ser administrador, com direito de restringir membros.") from error


# ---------------------------------------------------------------- commands


@dp.message(F.migrate_to_chat_id, F.chat.type != "private")
async def migrated(message: Message) -> None:
    groups.migrate(message.chat.id, message.migrate_to_chat_id)


@dp.message(F.new_chat_members, F.chat.type != "private")
async def newcomers(message: Message) -> None:
    group = groups.of(message)
    for user in message.new_chat_members[:20]:
        if user.id == bot.id:
            await tell(message, "Olá! Para eu cuidar do grupo, torne-me administrador. /ajuda")
        elif not user.is_bot and not group.captcha:
            await tell(message, f"Bem-vindo, {name(user)}! /regras")
        elif not user.is_bot:
            await act(bot.restrict_chat_member(message.chat.id, user.id, ChatPermissions(can_send_messages=False)))
            group.newcomers[user.id] = time.monotonic() + CAPTCHA_S
            button = InlineKeyboardButton(text="Não sou um robô", callback_data=f"cap:{user.id}")
            markup = InlineKeyboardMarkup(inline_keyboard=[[button]])
            await tell(message, f"{name(user)}, aperte o botão em {CAPTCHA_S} segundos para poder escrever.", markup)


@dp.message(F.left_chat_member, F.chat.type != "private")
async def left(message: Message) -> None:
    groups.of(message).newcomers.pop(message.left_chat_member.id, None)


@dp.message(Command("start", "ajuda", "help"))
async def help_(message: Message) -> None:
    await tell(message, HELP)


@dp.message(Command("regras"))
async def rules(message: Message) -> None:
    if message.chat.type == "private":
        raise Refused("Cada grupo tem as suas regras; pergunte lá.")
    await tell(message, f"Regras:\n{html.escape(groups.of(message).rules)}")


@dp.message(Command("setregras"))
async def set_rules(message: Message, command: CommandObject) -> None:
    await need_admin(message)
    if not (text := clean(command.args, 1000)):
        raise Refused("Assim: /setregras texto")
    groups.of(message).rules = text
    await tell(message, "As regras foram mudadas.")


@dp.message(Command("avisos"))
async def warnings(message: Message) -> None:
    if message.chat.type == "private":
        raise Refused("Os avisos são de cada grupo; pergunte lá.")
    reply, group = message.reply_to_message, groups.of(message)
    user = reply.from_user if reply and reply.from_user and not reply.forum_topic_created else message.from_user
    await tell(message, f"{name(user)} tem {group.warns.get(user.id, 0)} de {group.limit} avisos.")


@dp.message(Command("warn"))
async def warn(message: Message, command: CommandObject) -> None:
    user, group = await target(message), groups.of(message)
    which = ("warn", message.reply_to_message.message_id)
    if which in group.handled:
        raise Refused("Essa mensagem já recebeu um aviso.")
    group.handled[which] = True
    count = group.warns[user.id] = group.warns.get(user.id, 0) + 1
    reason = html.escape(clean(command.args, 200)) or "sem motivo"
    if count < group.limit:
        return await tell(message, f"{name(user)}: aviso {count} de {group.limit} ({reason}).")
    try:
        await act(bot.ban_chat_member(message.chat.id, user.id) if group.ban else silence(message, user, 60))
    except Exception:  # not done, so this warning was none
        group.handled.pop(which, None)
        group.warns[user.id] = count - 1
        raise
    group.warns.pop(user.id, None)
    return await tell(
        message,
        f"{name(user)}: aviso {count} de {group.limit}, {'banido' if group.ban else 'em silêncio por 60 minutos'} ({reason}).",
    )


@dp.message(Command("unwarn"))
async def unwarn(message: Message) -> None:
    user, group = await target(message), groups.of(message)
    if not group.warns.get(user.id):
        raise Refused("Essa pessoa não tem avisos.")
    group.warns[user.id] -= 1
    await tell(message, f"{name(user)} tem agora {group.warns[user.id]} de {group.limit} avisos.")


def silence(message: Message, user: User, minutes: int):
    permissions = ChatPermissions(can_send_messages=False)
    return bot.restrict_chat_member(message.chat.id, user.id, permissions, until_date=timedelta(minutes=minutes))


def free(chat: int, user: int):
    kinds = [key for key in ChatPermissions.model_fields if re.match(r"can_(send|add)_", key)]
    return bot.restrict_chat_member(chat, user, ChatPermissions(**dict.fromkeys([*kinds, "can_invite_users"], True)))


@dp.message(Command("mute"))
async def mute(message: Message, command: CommandObject) -> None:
    user, word = await target(message), (command.args or "60").strip()
    if not re.fullmatch(r"[0-9]{1,5}", word) or not 1 <= int(word) <= 43_200:
        raise Refused("Assim: /mute minutos (de 1 a 43200)")
    await act(silence(message, user, int(word)))
    await tell(message, f"{name(user)} está em silêncio por {int(word)} minutos.")


@dp.message(Command("unmute"))
async def unmute(message: Message) -> None:
    user = await target(message)
    await act(free(message.chat.id, user.id))
    groups.of(message).newcomers.pop(user.id, None)
    await tell(message, f"{name(user)} pode escrever de novo.")


@dp.message(Command("ban"))
async def ban(message: Message) -> None:
    user = await target(message)
    await act(bot.ban_chat_member(message.chat.id, user.id))
    await tell(message, f"{name(user)} foi banido.")


@dp.message(Command("unban"))
async def unban(message: Message) -> None:
    user = await target(message)
    await act(bot.unban_chat_member(message.chat.id, user.id, only_if_banned=True))
    await tell(message, f"{name(user)} pode voltar.")


@dp.message(Command("report"))
async def report(message: Message) -> None:
    reply = message.reply_to_message
    if message.chat.type == "private" or reply is None or reply.forum_topic_created:
        raise Refused("Use /report num grupo, em resposta a uma mensagem.")
    group, which = groups.of(message), ("report", reply.message_id)
    if which in group.handled:
        raise Refused("Os administradores já foram chamados por essa mensagem.")
    group.handled[which] = True
    admins = [one.user for one in await bot.get_chat_administrators(message.chat.id) or [] if not one.user.is_bot]
    await tell(message, f"🚨 Mensagem denunciada. {' '.join(map(name, admins[:10]))}")


def settings(group: Group) -> tuple[str, InlineKeyboardMarkup]:
    labels = {
        "captcha": f"Captcha: {'sim' if group.captcha else 'não'}",
        "limit": f"Limite: {group.limit} avisos",
        "ban": f"Punição: {'banir' if group.ban else 'silenciar'}",
    }
    rows = [[InlineKeyboardButton(text=text, callback_data=f"cfg:{key}")] for key, text in labels.items()]
    return "Configuração\n" + "\n".join(labels.values()), InlineKeyboardMarkup(inline_keyboard=rows)


@dp.message(Command("config"))
async def config(message: Message) -> None:
    await need_admin(message)
    await tell(message, *settings(groups.of(message)))


@dp.message(Command("grupos", "sair"))
async def owner(message: Message, command: CommandObject) -> None:
    if message.from_user.id != OWNER or message.sender_chat:
        raise Refused("Isso é só para o dono do bot.")
    if message.chat.type != "private":
        raise Refused("Isso, só em privado.")
    if command.command == "grupos":
        lines = [f"{chat}: {html.escape(clean(group.title, 60))}" for chat, group in list(groups.items())[-20:]]
        return await tell(message, "\n".join([f"Estou em {len(groups)} grupos.", *lines]))
    word = (command.args or "").strip()
    if not re.fullmatch(r"-[0-9]{1,15}", word) or groups.pop(int(word), None) is None:
        raise Refused("Assim: /sair id (como em /grupos)")
    await act(bot.leave_chat(int(word)))
    return await tell(message, f"Saí de {int(word)}.")


@dp.message(F.chat.type == "private")
async def other(message: Message) -> None:
    if message.text and message.text.startswith("/"):
        raise Refused("Não conheço esse comando. /ajuda")
    if message.content_type in ("text", "photo", "video", "sticker", "voice", "audio", "document", "location"):
        raise Refused("Coloque-me num grupo e torne-me administrador. /ajuda")


# ---------------------------------------------------------------- buttons


@dp.callback_query(F.data.regexp(r"^cap:[0-9]{1,15}$"))
async def captcha(query: CallbackQuery) -> None:
    if query.message is None or query.message.chat.type == "private" or int(query.data[4:]) != query.from_user.id:
        raise Refused("Esse botão não é para você.")
    group = groups.of(query.message)
    until = group.newcomers.pop(query.from_user.id, None)
    if until is None:
        raise Refused("Isso já está resolvido.")
    try:
        await act(free(query.message.chat.id, query.from_user.id))
    except Exception:
        group.newcomers[query.from_user.id] = until  # press again
        raise
    queues.start(answered(query, "Bem-vindo!"))
    await tell(query.message, f"Bem-vindo, {name(query.from_user)}! /regras")


@dp.callback_query(F.data.in_({"cfg:captcha", "cfg:limit", "cfg:ban"}))
async def change(query: CallbackQuery) -> None:
    if query.message is None or query.message.chat.type == "private":
        raise Refused("Abra /config no grupo.")
    if not await is_admin(query.message.chat.id, query.from_user.id):
        raise Refused("Isso é só para administradores do grupo.")
    group = groups.of(query.message)
    if query.data == "cfg:captcha":
        group.captcha = not group.captcha
    elif query.data == "cfg:ban":
        group.ban = not group.ban
    else:
        group.limit = group.limit % 5 + 1
    text, markup = settings(group)
    queues.start(answered(query, text.replace("\n", ", ")))
    try:
        await bot.edit_message_text(
            text, chat_id=query.message.chat.id, message_id=query.message.message_id, reply_markup=markup
        )
    except TelegramBadRequest:  # too old, or gone: say it anew
        await tell(query.message, text, markup)


@dp.callback_query()
async def unknown(query: CallbackQuery) -> None:
    raise Refused("Não conheço esse botão.")


async def answered(query: CallbackQuery, text: str, *, alert: bool = False) -> None:
    try:
        await bot.answer_callback_query(query.id, text[:190], show_alert=alert)
    except (TelegramAPIError, AiogramError) as error:
        log.info("button: %s", type(error).__name__)


@dp.errors()
async def failed(event: ErrorEvent) -> None:
    error, query, message = event.exception, event.update.callback_query, event.update.message
    text = str(error) if isinstance(error, Refused) else ""
    if not text and not isinstance(error, (TelegramAPIError, AiogramError)):
        log.error("update %s", event.update.update_id, exc_info=error)
    if isinstance(error, (TelegramForbiddenError, TelegramUnauthorizedError, TelegramNotFound)):
        return
    late = isinstance(error, (Unreachable, TelegramRetryAfter))
    if query:
        queues.start(answered(query, text or "Desculpe, não consegui. Tente de novo.", alert=True))
    if query or message is None:
        return
    if text:
        try:
            await tell(message, html.escape(text))
            return
        except (TelegramForbiddenError, TelegramUnauthorizedError, TelegramNotFound):
            return
        except Exception:
            late = True
    if time.monotonic() - queues.sorry.get(message.chat.id, -99) > 60:
        queues.sorry[message.chat.id] = time.monotonic()
        queues.start(apologise(message, 20 if late else 0))


async def apologise(message: Message, delay: float) -> None:
    await asyncio.sleep(delay)
    try:
        await tell(message, "Desculpe, não consegui. Tente de novo, por favor.")
    except Exception as error:
        log.info("no apology: %s", type(error).__name__)


# ---------------------------------------------------------------- queues and the webhook


class Queues:
    def __init__(self) -> None:
        self.waiting: dict[int, deque] = {}
        self.tasks: set[asyncio.Task] = set()
        self.seen, self.sorry = Lru(20_000), Lru(1000)

    def start(self, work) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def put(self, chat: int, update: Update) -> None:
        if chat in self.waiting:
            self.waiting[chat].append(update)
        else:
            self.waiting[chat] = deque([update])
            self.start(self._work(chat))

    async def _work(self, chat: int) -> None:
        queue = self.waiting[chat]
        while queue:
            try:
                await dp.feed_update(bot, queue[0])
            except Exception as error:  # the error handler itself could not say it
                log.info("update: %s", type(error).__name__)
            queue.popleft()
        del self.waiting[chat]

    async def kick_idlers(self) -> None:
        """Who has not pressed the captcha's button in time has to come again."""
        while True:
            await asyncio.sleep(5)
            for chat, group in list(groups.items()):
                for user in [user for user, until in group.newcomers.items() if until < time.monotonic()]:
                    group.newcomers.pop(user, None)
                    self.start(self._kick(chat, user))

    async def _kick(self, chat: int, user: int) -> None:
        try:
            await bot.unban_chat_member(chat, user)  # removes without a ban
        except Exception as error:
            log.info("not removed: %s", type(error).__name__)


queues: Queues


def chat_of(update: Update) -> int | None:
    """The chat in whose queue an update belongs; None where there is nothing to do."""
    message, query = update.message, update.callback_query
    if query:
        return query.message.chat.id if query.message else query.from_user.id
    if message is None or message.from_user is None or message.chat.type not in ("private", "group", "supergroup"):
        return None
    if message.from_user.is_bot and not message.sender_chat and not message.new_chat_members:
        return None
    return message.chat.id


async def webhook(request: web.Request) -> web.Response:
    given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "").encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, SECRET):
        return web.Response(status=401, headers={"Connection": "close"})
    try:
        data = json.loads((await asyncio.wait_for(request.read(), 15)).decode())
    except (ValueError, RecursionError, TimeoutError, OSError, ClientPayloadError):
        return web.Response(status=400)
    except (web.RequestPayloadError, http_exceptions.HttpProcessingError):
        return web.Response(status=400)
    if not isinstance(data, dict) or type(data.get("update_id")) is not int:
        return web.Response(status=400)
    try:
        update = Update.model_validate(data, context={"bot": bot})
    except (
        ValidationError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:  # newer than this aiogram, or no update
        log.info("not understood: %s", type(error).__name__)
        return web.Response()
    chat = chat_of(update)
    if chat is None or not 0 < abs(chat) < 1 << 53 or update.update_id in queues.seen:
        return web.Response()
    if len(queues.waiting.get(chat, ())) >= MAX_PENDING or len(queues.tasks) >= MAX_CHATS:
        return web.Response(status=429, headers={"Retry-After": "5"})
    queues.seen[update.update_id] = True
    queues.put(chat, update)
    return web.Response()


async def site() -> web.Application:
    global queues
    queues = Queues()
    queues.start(queues.kick_idlers())
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post(PATH, webhook)
    return app


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("aiogram").setLevel(logging.WARNING)
    web.run_app(site(), host="127.0.0.1", port=PORT, print=None, access_log=None)
