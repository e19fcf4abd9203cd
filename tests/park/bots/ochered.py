"""Очередь: a Russian clinic's queue on aiogram 3 with a finite state machine; the admin's command writes into other people's chats.

Numbers are drawn by a conversation (doctor, then name). Dispatcher and aiohttp as aiogram's documentation shows them, with the guards
that it leaves to the bot: size, duplicates, order, trouble of the Bot API.
"""

import asyncio
import hmac
import os
import sys
from collections import OrderedDict

from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.filters import Command, CommandObject
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.memory import MemoryStorage, SimpleEventIsolation
from aiogram.fsm.strategy import FSMStrategy
from aiogram.methods import AnswerCallbackQuery
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import ContentEncodingError
from pydantic import ValidationError

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
ADMIN = int(os.environ["ADMIN_ID"])
DOCTORS = {"ter": "терапевт", "hir": "хирург", "okul": "окулист"}
router = Router()
tickets: OrderedDict[int, dict] = OrderedDict()
last_ticket = 100
seen: OrderedDict[int, None] = OrderedDict()
running: set[asyncio.Task] = set()
trace: list[object] = []
moved: dict[int, int] = {}


class Entry(StatesGroup):
    name = State()


class Persistent(BaseRequestMiddleware):
    """Repeats a call that failed for a while: as long as the API asks for, four times at most."""

    async def __call__(self, make_request, bot, method):
        attempt = 0
        while True:
            attempt += 1
            chat = getattr(method, "chat_id", None)
            if chat in moved and BUG != "migration-raises":
                method.chat_id = moved[chat]
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as error:
                if BUG == "flood-dropped" or attempt > 4 or error.retry_after > 60:
                    raise
                await asyncio.sleep(error.retry_after + 0.1 if BUG != "flood-hammered" else 0.05)
                if BUG == "flood-hammered":
                    attempt = 1
            except TelegramBadRequest:
                if not isinstance(method, AnswerCallbackQuery):
                    raise
                return True  # too late to end the button's waiting, which is no reason to say nothing
            except TelegramMigrateToChat as error:
                if BUG == "migration-raises" or attempt > 4:
                    raise
                moved[method.chat_id] = error.migrate_to_chat_id
            except (TelegramNetworkError, TelegramServerError):
                if BUG == "outage-drops" or attempt > 4:
                    raise
                await asyncio.sleep(0.4 * 2**attempt)
            except ClientDecodeError:
                if BUG == "outage-drops" or attempt > 4:
                    raise
                await asyncio.sleep(0.4 * 2**attempt)


class OnlyText(BaseMiddleware):
    """Ends the process's memory of a message that has no sender."""

    async def __call__(self, handler, event, data):
        return await handler(event, data) if event.from_user else None


def admin(message: Message) -> bool:
    sender = message.from_user
    if BUG == "anonymous-is-admin" and message.sender_chat is not None and sender.id == 1087968824:
        return True
    if BUG == "admin-by-id-text":
        return str(sender.id) in os.environ["ADMIN_ID"]
    if BUG == "forward-is-author" and message.forward_origin is not None:
        author = getattr(message.forward_origin, "sender_user", None)
        return author is not None and author.id == ADMIN
    return sender.id == ADMIN


@router.message(Command("start", "pomosh", ignore_case=True))
async def start(message: Message, state: FSMContext) -> None:
    await state.clear()
    tail = " Регистратура: /vyzvat, /ochered, /ochistit." if message.from_user.id == ADMIN else ""
    await message.answer("Здравствуйте! /zapis — взять талон, /talon — мои талоны, /otmena — передумать." + tail)


@router.message(Command("otmena", ignore_case=True))
async def cancel(message: Message, state: FSMContext) -> None:
    await state.clear()
    await message.answer("Хорошо, забыли.")


@router.message(Command("zapis", ignore_case=True))
async def enter(message: Message) -> None:
    rows = [[InlineKeyboardButton(text=title, callback_data=f"vrach:{key}")] for key, title in DOCTORS.items()]
    await message.answer("К кому вас записать?", reply_markup=InlineKeyboardMarkup(inline_keyboard=rows))


@router.callback_query(F.data.startswith("vrach:"))
async def doctor(query: CallbackQuery, state: FSMContext) -> None:
    key = query.data.split(":")[1]
    if key not in DOCTORS:
        await query.answer("Такого врача нет.")
        return
    await state.set_state(Entry.name)
    await state.update_data(doctor=key)
    await query.answer()
    if BUG == "press-without-message":
        await query.message.edit_text("Как вас зовут?")
    elif isinstance(query.message, Message):
        await query.message.answer("Как вас зовут?")


@router.callback_query(F.data.startswith("snyat:"))
async def remove(query: CallbackQuery) -> None:
    word = query.data.partition(":")[2]
    number = int(word) if BUG == "number-assumed" or (word.isascii() and word.isdigit() and len(word) < 10) else 0
    ticket = tickets.get(number)
    if ticket is None or (ticket["user"] != query.from_user.id and BUG != "removes-any-ticket"):
        await query.answer("Это не ваш талон.")
        return
    del tickets[number]
    await query.answer("Талон снят.")


@router.callback_query()
async def stale(query: CallbackQuery) -> None:
    await query.answer("Кнопка устарела.")


@router.message(Command("talon", ignore_case=True))
async def mine(message: Message) -> None:
    numbers = [number for number, ticket in tickets.items() if ticket["user"] == message.from_user.id]
    if not numbers:
        await message.answer("У вас нет талонов.")
        return
    rows = [[InlineKeyboardButton(text=f"Снять {number}", callback_data=f"snyat:{number}")] for number in numbers[-6:]]
    await message.answer(f"Ваших талонов: {len(numbers)}.", reply_markup=InlineKeyboardMarkup(inline_keyboard=rows))


@router.message(Command("vyzvat", "ochered", "ochistit", ignore_case=BUG != "case-decides"))
async def manage(message: Message, command: CommandObject, bot: Bot) -> None:
    if not admin(message):
        await message.answer("Только для регистратуры.")
        return
    word = command.command.lower()
    if word == "ochered":
        await message.answer(f"В очереди {len(tickets)}.")
    elif word == "ochistit":
        tickets.clear()
        await message.answer("Очередь пуста.")
    elif not tickets:
        await message.answer("Никого нет.")
    else:
        number, ticket = tickets.popitem(last=False)
        try:
            await bot.send_message(ticket["chat"], f"Талон {number}: проходите, пожалуйста.")
        except TelegramAPIError:
            if BUG == "blocked-user-stops-call":
                raise
        await message.answer(f"Вызван талон {number}.")


@router.message(Command("vyzvat", "ochered", "ochistit", ignore_case=True))
async def manage_anyhow(message: Message, command: CommandObject, bot: Bot) -> None:
    """Only reached by BUG=case-decides: another spelling of a command falls through to a handler that forgot to ask."""
    await message.answer(f"В очереди {len(tickets)}.")


@router.message(Entry.name, F.text)
async def named(message: Message, state: FSMContext) -> None:
    global last_ticket
    data = await state.get_data()
    if message.text.startswith("/"):
        await message.answer("Сначала имя, или /otmena.")
        return
    await state.clear()
    if BUG == "number-race":
        number = last_ticket + 1
        await asyncio.sleep(0.2)  # the card is looked up
        last_ticket = number
    else:
        last_ticket += 1
        number = last_ticket
        await asyncio.sleep(0.05)
    tickets[number] = {"user": message.from_user.id, "chat": message.chat.id, "doctor": data.get("doctor")}
    while len(tickets) > 3000:
        tickets.popitem(last=False)
    await message.answer(f"Ваш талон {number}, врач: {DOCTORS.get(data.get('doctor'), '?')}.")


@router.message(F.chat.type == "private")
async def unknown(message: Message) -> None:
    await message.answer("Не понимаю. Есть /pomosh.")


def key_of(update: Update) -> int:
    event = update.message or update.callback_query
    return event.chat.id if isinstance(event, Message) else event.from_user.id if event else 0


async def feed(bot: Bot, dispatcher: Dispatcher, update: Update) -> None:
    try:
        await dispatcher.feed_update(bot, update)
    except Exception as error:
        print("failed:", type(error).__name__, file=sys.stderr)
        if BUG == "error-told":
            await bot.send_message(
                update.message.chat.id if update.message else ADMIN, f"Ошибка: {error!r} {bot.token}"
            )


def application(bot: Bot, dispatcher: Dispatcher) -> web.Application:
    async def hook(request: web.Request) -> web.Response:
        given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        if BUG == "secret-unchecked-without-header" and not given:
            given = SECRET
        same = (
            given.startswith(SECRET)
            if BUG == "secret-startswith"
            else hmac.compare_digest(given.encode("utf-8", "surrogateescape"), SECRET.encode())
        )
        if not same:
            return web.Response(status=401)
        try:
            body = await request.read()
        except (web.RequestPayloadError, ContentEncodingError, ClientPayloadError):
            return web.Response(status=400)
        try:
            update = Update.model_validate_json(body, context={"bot": bot})
        except ValidationError:
            return web.Response(status=500 if BUG == "unknown-is-500" else 200)
        if BUG == "all-kept":
            trace.append((update.model_dump(), b"x" * 20_000))
        if update.update_id in seen and BUG != "repeats-run":
            return web.Response()
        seen[update.update_id] = None
        while len(seen) > 20_000:
            seen.popitem(last=False)
        if BUG in {"number-assumed", "press-without-message"}:
            try:  # awaited, so that the handler's mistake is answered 500
                await dispatcher.feed_update(bot, update)
            except (AttributeError, ValueError):
                return web.Response(status=500)
            except Exception as error:
                print("failed:", type(error).__name__, file=sys.stderr)
            return web.Response()
        task = asyncio.create_task(feed(bot, dispatcher, update))
        running.add(task)
        task.add_done_callback(running.discard)
        return web.Response()

    app = web.Application(client_max_size=256 * 1024)
    app.router.add_post(os.environ["WEBHOOK_PATH"], hook)
    return app


async def main() -> None:
    session = AiohttpSession(
        api=TelegramAPIServer.from_base(os.environ["BOT_API"]), timeout=100_000 if BUG == "no-timeout" else 5
    )
    session.middleware(Persistent())
    bot = Bot(os.environ["BOT_TOKEN"], session=session)
    strategy = FSMStrategy.CHAT if BUG == "state-of-chat" else FSMStrategy.USER_IN_CHAT
    isolation = None if BUG == "number-race" else SimpleEventIsolation()
    dispatcher = Dispatcher(storage=MemoryStorage(), fsm_strategy=strategy, events_isolation=isolation)
    router.message.outer_middleware(OnlyText())
    dispatcher.include_router(router)
    runner = web.AppRunner(application(bot, dispatcher))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
    await asyncio.Event().wait()


asyncio.run(main())
