"""Remate: auctions in Spanish on aiogram 3, served by aiohttp.

Everybody bids on everybody's lots behind a drawn paddle number; bids are maxima, of which only as much shows as it takes to lead.
Handlers change the state at once and send nothing themselves: an outbox for each chat does, in order.
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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramAPIError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update, User
from aiohttp import web
from pydantic import ValidationError

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))

MAX_BODY = 1 << 20
MAX_SEEN = 20_000
MAX_PENDING = 1000  # per chat
MAX_BUSY = 5000  # chats with something to send
MAX_LOTS = 300
MAX_PER_SELLER = 5
MAX_PRICE = 1_000_000
MAX_BIDDERS = 200
SOFT_CLOSE_S = 30
CARD_EVERY_S = 1.0
BACKOFF = (0.5, 1, 2, 4, 8)

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
log = logging.getLogger("remate")


class Lru(OrderedDict[Any, Any]):
    """A dictionary that forgets what was set longest ago."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.limit:
            self.popitem(last=False)


def clean(text: str, limit: int) -> str:
    """One line without control characters and halves of characters."""
    return re.sub(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]+", " ", text).strip()[:limit]


def figure(text: str, most: int) -> int | None:
    """A positive whole number in ASCII digits."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) and 0 < int(text) <= most else None


# ---------------------------------------------------------------- sending


class Outbox:
    """Sends to each chat in order and patiently; a chat that stalls holds up no other."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.queues: dict[Any, deque[Callable[[], Awaitable[Any]]]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.moved: Lru = Lru(1000)

    def full(self, chat: int) -> bool:
        """Whether more for this chat would only be thrown away."""
        return len(self.queues.get(chat, ())) >= MAX_PENDING or len(self.queues) >= MAX_BUSY

    def put(self, key: Any, job: Callable[[], Awaitable[Any]]) -> None:
        """Appends a job to the queue of this key."""
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = deque()
            task = asyncio.create_task(self._work(key, queue))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        if len(queue) >= 2 * MAX_PENDING:
            log.warning("the outbox of %s is full", key)
            return
        queue.append(job)

    async def _work(self, key: Any, queue: deque[Callable[[], Awaitable[Any]]]) -> None:
        try:
            while queue:
                try:
                    await queue.popleft()()
                except Exception as error:
                    log.warning("not delivered to %s: %s", key, type(error).__name__)
        finally:
            del self.queues[key]

    async def patiently(self, chat: int, call: Callable[[int], Awaitable[Any]], attempts: int = len(BACKOFF)) -> Any:
        """Calls until it succeeds or there is no sense in it any more."""
        failed = waited = 0
        while True:
            chat = self.moved.get(chat, chat)
            try:
                return await call(chat)
            except TelegramRetryAfter as error:
                waited += 1
                if waited > 5 or error.retry_after > 300:
                    raise
                await asyncio.sleep(max(1, error.retry_after) + 0.1)
            except TelegramMigrateToChat as error:
                waited += 1
                if waited > 5 or error.migrate_to_chat_id == chat:
                    raise
                self.moved[chat] = error.migrate_to_chat_id
            except ClientDecodeError as error:
                if isinstance(error.data, dict) and error.data.get("ok") is True:
                    return None  # done, only told in an odd way
                failed += 1
                if failed > attempts:
                    raise
                await asyncio.sleep(BACKOFF[failed - 1])
            except (TelegramServerError, TelegramNetworkError, UnicodeDecodeError, TypeError):  # 5xx, nothing, rubbish
                failed += 1
                if failed > attempts:
                    raise
                await asyncio.sleep(BACKOFF[failed - 1])
            except TelegramAPIError as error:
                if "too many requests" not in str(error).lower() or waited >= 5:
                    raise
                waited += 1
                await asyncio.sleep(2)

    def say(self, chat: int, text: str, buttons: InlineKeyboardMarkup | None = None) -> None:
        """Sends a text to a chat, some time soon."""
        self.put(
            chat,
            lambda: self.patiently(chat, lambda to: self.bot.send_message(to, text[:2000], reply_markup=buttons)),
        )

    def toast(self, query: CallbackQuery, text: str, alert: bool = False) -> None:
        """Answers a button: that is over soon, or of no use."""
        self.put(
            ("query", query.id),
            lambda: self.patiently(0, lambda _: self.bot.answer_callback_query(query.id, text[:190], alert), 1),
        )


# ---------------------------------------------------------------- what is known


@dataclass
class Lot:
    """One thing for sale.

    Args:
        id: Its number.
        title: What it is.
        seller: Whose.
        price: What it costs at the moment, or where it starts.
        ends: When it is over.
        maxima: How far each bidder goes; the rest need not know.
        leader: Who has it at the moment.
        cards: Where it is shown: message ids by chat.
        dirty: Whether those must be drawn again.
    """

    id: int
    title: str
    seller: int
    price: int
    ends: float
    maxima: dict[int, int] = field(default_factory=dict)
    leader: int = 0
    cards: dict[int, int] = field(default_factory=dict)
    followers: set[int] = field(default_factory=set)
    dirty: bool = False
    over: str = ""

    @property
    def step(self) -> int:
        """By how much a bid must go beyond."""
        return max(1, self.price // 20)


lots: dict[int, Lot] = {}
paddles: Lru = Lru(5000)  # user -> number
owners: Lru = Lru(5000)  # number -> user
drafts: Lru = Lru(2000)  # user -> what is asked of them
banned: set[int] = set()
drawing: set[tuple[int, int]] = set()  # cards that are about to be drawn anyway
last_lot = random.randint(100, 199)

bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(API), timeout=8, limit=500))
dispatcher = Dispatcher()
outbox = Outbox(bot)


def paddle(user: int) -> int:
    """The number behind which somebody bids; drawn at the first use."""
    if user not in paddles:
        number = random.randint(1000, 9999)
        while number in owners:
            number = random.randint(1000, 99_999)
        paddles[user], owners[number] = number, user
    return paddles[user]


def left(lot: Lot) -> str:
    seconds = int(lot.ends - time.time())
    return lot.over or (f"cierra en {seconds // 60 + 1} min" if seconds > 90 else f"cierra en {max(0, seconds)} s")


def card(lot: Lot) -> str:
    who = f"va ganando la paleta {paddle(lot.leader)}" if lot.leader else "sin pujas todavía"
    return f"Lote {lot.id}: {lot.title}\n{lot.price} € — {who}\nPostores: {len(lot.maxima)} — {left(lot)}"


def buttons(lot: Lot) -> InlineKeyboardMarkup | None:
    if lot.over:
        return None
    row = [InlineKeyboardButton(text=f"+{n * lot.step} €", callback_data=f"up:{lot.id}:{n}") for n in (1, 2, 5)]
    follow = InlineKeyboardButton(text="Seguir", callback_data=f"seguir:{lot.id}")
    return InlineKeyboardMarkup(inline_keyboard=[row, [follow]])


def show(chat: int, lot: Lot) -> None:
    """Puts the lot's card into a chat: it is the one that is kept up to date there."""

    async def job() -> None:
        async def call(to: int) -> Message:
            return await bot.send_message(to, card(lot), reply_markup=buttons(lot))

        sent = await outbox.patiently(chat, call)
        if isinstance(sent, Message) and len(lot.cards) < 50:
            lot.cards[chat] = sent.message_id

    outbox.put(chat, job)


def redraw(lot: Lot) -> None:
    """Edits the cards of a lot, once for all that happened meanwhile."""
    lot.dirty = False
    for chat, number in list(lot.cards.items()):
        if (lot.id, chat) in drawing:
            continue
        drawing.add((lot.id, chat))

        async def job(chat: int = chat, number: int = number) -> None:
            drawing.discard((lot.id, chat))

            async def call(to: int) -> Any:
                text, keys = card(lot), buttons(lot)
                return await bot.edit_message_text(text, chat_id=to, message_id=number, reply_markup=keys)

            try:
                await outbox.patiently(chat, call, 2)
            except AiogramError as error:
                if "not modified" not in str(error):
                    lot.cards.pop(chat, None)

        outbox.put(chat, job)


def bid(lot: Lot, user: int, most: int) -> str:
    """Takes a bid, at once and as a whole; gives what the bidder is told."""
    if lot.over:
        return f"El lote {lot.id} ya está cerrado ({lot.over})."
    if user in banned:
        return "La administración ha retirado tu paleta."
    if user == lot.seller:
        return "No puedes pujar por tu propio lote."
    least = lot.price + lot.step if lot.leader else lot.price
    if user == lot.leader:
        if most <= lot.maxima[user]:
            return f"Ya vas ganando con un máximo de {lot.maxima[user]} €; solo puedes subirlo."
        lot.maxima[user] = most
        return f"Tu máximo para el lote {lot.id} sube a {most} €. El precio no cambia: {lot.price} €."
    if most < least:
        return f"Hay que ofrecer al menos {least} € por el lote {lot.id}."
    if user not in lot.maxima and len(lot.maxima) >= MAX_BIDDERS:
        return "Este lote ya no admite más postores."
    lot.dirty = True
    lot.maxima[user] = most
    lot.ends = max(lot.ends, time.time() + SOFT_CLOSE_S)
    if not lot.leader:
        lot.leader = user
        return f"Puja aceptada: vas ganando el lote {lot.id} a {lot.price} €."
    rival = lot.maxima[lot.leader]
    if most <= rival:  # whoever said it first keeps it
        lot.price = min(rival, most + lot.step)
        return f"Otra paleta tenía un máximo mayor: te superan al instante. El lote {lot.id} va por {lot.price} €."
    loser, lot.leader = lot.leader, user
    lot.price = min(most, rival + lot.step)
    outbox.say(loser, f"Te han superado en el lote {lot.id} ({lot.title}): va por {lot.price} €.")
    return f"Puja aceptada: vas ganando el lote {lot.id} a {lot.price} €."


def close(lot: Lot, why: str) -> None:
    """Ends a lot and tells those whom it concerns."""
    lot.over = why
    redraw(lot)
    if lot.leader and why == "vendido":
        outbox.say(lot.leader, f"¡Enhorabuena! El lote {lot.id} ({lot.title}) es tuyo por {lot.price} €.")
        outbox.say(
            lot.seller, f"Tu lote {lot.id} ({lot.title}) se vende a la paleta {paddle(lot.leader)}: {lot.price} €."
        )
    elif lot.seller:
        outbox.say(lot.seller, f"Tu lote {lot.id} ({lot.title}): {why}.")
    for user in lot.followers - {lot.leader, lot.seller}:
        outbox.say(user, f"El lote {lot.id} que sigues: {why}, {lot.price} €.")


async def clock() -> None:
    """Ends what is over, redraws what changed, forgets what is long past."""
    while True:
        await asyncio.sleep(CARD_EVERY_S)
        try:
            now = time.time()
            for lot in list(lots.values()):
                if not lot.over and lot.ends <= now:
                    close(lot, "vendido" if lot.leader else "sin postores")
                elif lot.dirty:
                    redraw(lot)
                elif lot.over and lot.ends < now - 3600:
                    del lots[lot.id]
        except Exception:
            log.exception("the clock")


# ---------------------------------------------------------------- what people say

HELP = """Remate: subastas entre vecinos.
/lotes - lo que está en subasta
/lote N - la ficha de un lote, con botones
/pujar N importe - tu máximo; solo se usa lo necesario
/vender - subastar algo (en privado)
/retirar N - retirar un lote tuyo sin pujas
/mispujas - dónde pujas
/misventas - lo que vendes
/seguir N - avisarme cuando cierre
/paleta - tu número
/cancelar - dejar lo que estabas escribiendo
/estado, /anular N, /vetar paleta - administración"""


def sender(message: Message) -> User | None:
    """Who wrote it, if it was a person under their own name."""
    user = message.from_user
    return None if user is None or user.is_bot or message.sender_chat else user


def is_admin(user: User) -> bool:
    return user.id == ADMIN_ID


def found(command: CommandObject, message: Message) -> Lot | None:
    """The lot that a command names; says so when there is none."""
    word = (command.args or "").split()[:1]
    number = figure(word[0].lstrip("#"), 10**9) if word else None
    lot = lots.get(number or 0)
    if lot is None:
        outbox.say(message.chat.id, "No conozco ese lote. Mira /lotes.")
    return lot


def on(*names: str) -> Any:
    """Registers a command, by whatever name the bot is called."""
    return dispatcher.message(Command(*names, ignore_mention=True, ignore_case=True))


@dispatcher.message.outer_middleware()
async def people_only(handler: Any, message: Message, data: dict[str, Any]) -> Any:
    user = sender(message)
    if message.migrate_to_chat_id:
        outbox.moved[message.chat.id] = message.migrate_to_chat_id
        for lot in lots.values():
            lot.cards.pop(message.chat.id, None)
        return None
    if user is None:
        return None
    try:
        return await handler(message, {**data, "user": user})
    except Exception:
        log.exception("a handler")
        outbox.say(message.chat.id, "Algo ha fallado. Inténtalo otra vez.")


@on("start", "ayuda", "help")
async def help_(message: Message) -> None:
    outbox.say(message.chat.id, HELP)


@on("lotes")
async def list_(message: Message) -> None:
    there = sorted((one for one in lots.values() if not one.over), key=lambda one: one.ends)
    lines = [f"{one.id}: {one.title} — {one.price} € ({len(one.maxima)} postores, {left(one)})" for one in there[:15]]
    more = [f"… y {len(there) - 15} más"] if len(there) > 15 else []
    outbox.say(message.chat.id, "\n".join(["En subasta:", *lines, *more]) if there else "No hay nada en subasta.")


@on("lote")
async def lot_(message: Message, command: CommandObject) -> None:
    if lot := found(command, message):
        show(message.chat.id, lot)


@on("pujar")
async def bid_(message: Message, command: CommandObject, user: User) -> None:
    words = (command.args or "").split()
    most = figure(words[1].rstrip("€"), MAX_PRICE) if len(words) == 2 else None
    if most is None:
        outbox.say(message.chat.id, "Uso: /pujar N importe (euros enteros, hasta un millón)")
    elif message.forward_origin:
        outbox.say(message.chat.id, "Una puja reenviada no vale: escríbela tú.")
    elif lot := found(command, message):
        outbox.say(message.chat.id, bid(lot, user.id, most))


@on("vender")
async def sell_(message: Message, command: CommandObject, user: User) -> None:
    if message.chat.type != "private":
        outbox.say(message.chat.id, "Para vender, escríbeme en privado.")
        return
    if user.id in banned:
        outbox.say(message.chat.id, "La administración ha retirado tu paleta.")
        return
    if command.args:
        parts = [part.strip() for part in command.args.split(";")]
        outbox.say(message.chat.id, offer(user.id, *parts) if len(parts) == 3 else "Uso: /vender cosa; precio; minutos")
        return
    drafts[user.id] = []
    outbox.say(message.chat.id, "¿Qué vendes? (o /cancelar)")


def offer(user: int, title: str, price: str, minutes: str) -> str:
    """Puts something up for auction, or says why not."""
    global last_lot
    title = clean(title, 60)
    start, lasts = figure(price, MAX_PRICE), figure(minutes, 1440)
    if not title or start is None or lasts is None:
        return "Necesito un título, un precio en euros enteros y los minutos (1 a 1440)."
    if sum(one.seller == user and not one.over for one in lots.values()) >= MAX_PER_SELLER:
        return f"Puedes tener {MAX_PER_SELLER} lotes abiertos a la vez."
    if len(lots) >= MAX_LOTS:
        old = [one.id for one in lots.values() if one.over]
        if not old:
            return "La sala está llena. Vuelve más tarde."
        del lots[old[0]]
    last_lot += random.randint(1, 4)
    lots[last_lot] = Lot(last_lot, title, user, start, time.time() + 60 * lasts)
    return f"Lote {last_lot} en subasta: {title}, desde {start} €, {lasts} min."


@on("retirar")
async def withdraw_(message: Message, command: CommandObject, user: User) -> None:
    if not (lot := found(command, message)):
        return
    if lot.seller != user.id:
        outbox.say(message.chat.id, "Ese lote no es tuyo.")
    elif lot.over or lot.leader:
        outbox.say(message.chat.id, "Ya no se puede retirar: tiene pujas o está cerrado.")
    else:
        close(lot, "retirado")
        outbox.say(message.chat.id, f"Lote {lot.id} retirado.")


@on("mispujas")
async def my_bids(message: Message, user: User) -> None:
    mine = [one for one in lots.values() if user.id in one.maxima][-15:]
    if message.chat.type != "private":  # how far one goes is nobody else's business
        outbox.say(message.chat.id, "Tus máximos son secretos: pregúntame en privado.")
        return
    lines = [
        f"{one.id}: {one.title} — va por {one.price} €, tu máximo {one.maxima[user.id]} €"
        f"{' (ganas)' if one.leader == user.id else ''}"
        for one in mine
    ]
    outbox.say(message.chat.id, "\n".join(lines) or "No has pujado.")


@on("misventas")
async def my_lots(message: Message, user: User) -> None:
    mine = [f"{one.id}: {one.title} — {one.price} € ({left(one)})" for one in lots.values() if one.seller == user.id]
    outbox.say(message.chat.id, "\n".join(mine[-15:]) or "No vendes nada.")


def follow(lot: Lot, user: int) -> str:
    """Follows a lot, or no longer."""
    if user in lot.followers:
        lot.followers.discard(user)
        return f"Ya no sigues el lote {lot.id}."
    if lot.over or len(lot.followers) >= 100:
        return "Ese lote ya no se puede seguir."
    lot.followers.add(user)
    return f"Te avisaré cuando cierre el lote {lot.id}."


@on("seguir")
async def follow_(message: Message, command: CommandObject, user: User) -> None:
    if lot := found(command, message):
        outbox.say(message.chat.id, follow(lot, user.id))


@on("paleta")
async def paddle_(message: Message, user: User) -> None:
    if message.chat.type == "private":
        outbox.say(message.chat.id, f"Tu paleta es la {paddle(user.id)}.")
    else:
        outbox.say(message.chat.id, "Eso te lo digo en privado.")


@on("cancelar")
async def cancel_(message: Message, user: User) -> None:
    there = drafts.pop(user.id, None) is not None
    outbox.say(message.chat.id, "De acuerdo, lo dejamos." if there else "No había nada a medias.")


@on("estado", "anular", "vetar")
async def admin_(message: Message, command: CommandObject, user: User) -> None:
    if not is_admin(user):
        outbox.say(message.chat.id, "Solo para la administración.")
    elif command.command.lower() == "estado":
        there = sum(not one.over for one in lots.values())
        outbox.say(message.chat.id, f"Lotes abiertos: {there}; paletas: {len(paddles)}; vetadas: {len(banned)}.")
    elif command.command.lower() == "anular":
        if (lot := found(command, message)) and not lot.over:
            close(lot, "anulado")
            outbox.say(message.chat.id, f"Lote {lot.id} anulado.")
        elif lot:
            outbox.say(message.chat.id, "Ya estaba cerrado.")
    else:
        whom = owners.get(figure((command.args or "").strip(), 99_999))
        if whom is None or whom == ADMIN_ID or len(banned) >= 1000:
            outbox.say(message.chat.id, "No conozco esa paleta.")
        else:
            banned.symmetric_difference_update({whom})
            outbox.say(message.chat.id, "Paleta vetada." if whom in banned else "Paleta readmitida.")


@dispatcher.message(F.text.startswith("/"))
async def unknown_(message: Message) -> None:
    if message.chat.type == "private":  # in a group it may be meant for another bot
        outbox.say(message.chat.id, "No conozco esa orden. Mira /ayuda.")


@dispatcher.message(F.chat.type == "private")
async def text_(message: Message, user: User) -> None:
    draft = drafts.get(user.id)
    text = clean(message.text or "", 60)
    if draft is None:
        outbox.say(message.chat.id, "Escribe /ayuda para ver lo que sé hacer.")
    elif not text:
        outbox.say(message.chat.id, "Respóndeme con texto, o /cancelar.")
    elif len(draft) == 0:
        drafts[user.id] = [text]
        outbox.say(message.chat.id, "¿Precio de salida, en euros enteros?")
    elif figure(text, MAX_PRICE if len(draft) == 1 else 1440) is None:
        outbox.say(message.chat.id, "Eso no es un número que me sirva. Otra vez, o /cancelar.")
    elif len(draft) == 1:
        drafts[user.id] = [*draft, text]
        outbox.say(message.chat.id, "¿Cuántos minutos? (1 a 1440)")
    else:
        del drafts[user.id]
        outbox.say(message.chat.id, offer(user.id, draft[0], draft[1], text))


@dispatcher.callback_query()
async def pressed(query: CallbackQuery) -> None:
    match = re.fullmatch(r"(up|seguir):([0-9]{1,9})(?::([125]))?", query.data or "")
    lot = lots.get(int(match[2])) if match else None
    user = query.from_user
    if user.is_bot:
        return
    if not match or (match[1] == "up") != bool(match[3]):
        outbox.toast(query, "Ese botón no lo conozco.")
    elif lot is None:
        outbox.toast(query, "Ese lote ya no existe.")
    elif match[1] == "seguir":
        outbox.toast(query, follow(lot, user.id))
    else:
        base = lot.maxima[user.id] if lot.leader == user.id else lot.price
        most = min(MAX_PRICE, base + int(match[3]) * lot.step)
        outbox.toast(query, bid(lot, user.id, most), alert=True)


# ---------------------------------------------------------------- the webhook

seen: Lru = Lru(MAX_SEEN)


async def webhook(request: web.Request) -> web.Response:
    given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), SECRET.encode()):
        return web.Response(status=403)
    try:
        async with asyncio.timeout(10):
            data = json.loads(await request.read())
        if not isinstance(data, dict) or type(data.get("update_id")) is not int:
            return web.Response(status=400)
        update = Update.model_validate(data, context={"bot": bot})
    except TimeoutError:
        return web.Response(status=408)
    except (ValueError, RecursionError, ValidationError):
        return web.Response(status=400)
    if update.callback_query and not clean(update.callback_query.id, 64):
        return web.Response(status=400)
    if update.update_id in seen:
        return web.Response()
    chat = update.message.chat.id if update.message else 0
    if outbox.full(chat):
        return web.Response(status=503, headers={"Retry-After": "5"})
    seen[update.update_id] = True
    try:
        if update.message or update.callback_query:  # nothing else is asked for
            await dispatcher.feed_update(bot, update)
    except Exception:
        log.exception("an update")
    return web.Response()


def application() -> web.Application:
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post(PATH, webhook)

    async def lives(_: web.Application) -> Any:
        ticking = asyncio.create_task(clock())
        yield
        ticking.cancel()
        if outbox.tasks:
            await asyncio.wait(outbox.tasks, timeout=3)
        await bot.session.close()

    app.cleanup_ctx.append(lives)
    return app


if __name__ == "__main__":
    web.run_app(application(), port=PORT, print=None, access_log=None)
