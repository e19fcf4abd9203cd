"""Hábitos: a Brazilian habit tracker on python-telegram-bot behind Starlette; it edits one panel per chat instead of writing new messages.

Habits are numbered for everybody and belong to who made them. A conversation asks for a name when /novo has none.
"""

import asyncio
import hmac
import itertools
import json
import os
import sys
from collections import OrderedDict
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError
from telegram.ext import Application, CallbackQueryHandler, CommandHandler, ContextTypes, MessageHandler, filters
from telegram.request import HTTPXRequest

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"]
ADMIN = int(os.environ["ADMIN_ID"])
AJUDA = "Comandos: /novo, /habitos, /feito, /apagar."
Context = ContextTypes.DEFAULT_TYPE

habits: OrderedDict[int, dict] = OrderedDict()
numbers = itertools.count(301)
panels: OrderedDict[int, tuple[int, str]] = OrderedDict()
asking: OrderedDict[tuple[int, int], bool] = OrderedDict()
seen: OrderedDict[int, None] = OrderedDict()
locks: dict[int, asyncio.Lock] = {}
tasks: set[asyncio.Task] = set()
moved: dict[int, int] = {}
paused: set[int] = set()
pages: list[object] = []


async def tried(action, chat: int):
    """Does one call to the API, five times at most, as far apart as it asks for."""
    for attempt in range(1, 6):
        try:
            return await action(moved.get(chat, chat))
        except RetryAfter as error:
            wait = error.retry_after if isinstance(error.retry_after, int) else error.retry_after.total_seconds()
            if BUG == "flood-halved":
                wait = 0.05
            if wait > 60:
                return None
            await asyncio.sleep(wait + 0.1)
        except ChatMigrated as error:
            if BUG == "migration-loops":
                await asyncio.sleep(0.05)
                continue
            moved[chat] = error.new_chat_id
        except Forbidden:
            if BUG == "blocked-raises":
                raise
            return None
        except BadRequest:
            raise
        except TelegramError:
            if BUG == "one-try":
                return None
            await asyncio.sleep(0.3 * 2**attempt)
    return None


async def panel(bot: Bot, chat: int, text: str, *buttons: tuple[str, str]) -> None:
    """Shows a text in the chat's panel: edits it, or writes it anew when it is gone."""
    markup = (
        InlineKeyboardMarkup([[InlineKeyboardButton(label, callback_data=data)] for label, data in buttons])
        if buttons
        else None
    )
    old = panels.get(0 if BUG == "one-panel" else chat)
    if old is not None and old[1] != text:
        where = chat

        async def edit(target: int) -> object:
            return await bot.edit_message_text(text, chat_id=target, message_id=old[0], reply_markup=markup)

        try:
            if await tried(edit, where) is not None:
                panels[chat] = (old[0], text)
                return
        except BadRequest:
            if BUG == "edit-refused":
                raise
    message = await tried(lambda target: bot.send_message(target, text, reply_markup=markup), chat)
    if message is not None:
        panels[0 if BUG == "one-panel" else chat] = (message.message_id, text)
        while len(panels) > 5000:
            panels.popitem(last=False)


def number(words: list[str]) -> int:
    """The number that somebody wrote; 0 for none."""
    word = words[0] if words else ""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else 0


async def start(update: Update, context: Context) -> None:
    tail = " Só para você: /panorama, /pausar, /limpar." if update.effective_user.id == ADMIN else ""
    await panel(context.bot, update.effective_chat.id, "Bem-vindo! " + AJUDA + tail)


def made(user: int) -> str:
    if sum(habit["user"] == user for habit in habits.values()) >= 20:
        return "Vinte hábitos bastam. Apague um primeiro."
    which = next(numbers)
    habits[which] = {"user": user, "done": 0}
    while len(habits) > 5000:
        habits.popitem(last=False)
    return f"Hábito {which} criado."


async def new(update: Update, context: Context) -> None:
    chat, user = update.effective_chat.id, update.effective_user.id
    if context.args:
        await panel(context.bot, chat, made(user))
        return
    asking[chat if BUG == "asks-the-chat" else (chat, user)] = True
    while len(asking) > 5000:
        asking.popitem(last=False)
    await panel(context.bot, chat, "Qual é o nome do hábito?")


async def listed(update: Update, context: Context) -> None:
    user = update.effective_user.id
    mine = [which for which, habit in habits.items() if habit["user"] == user][-8:]
    text = (
        "Seus hábitos: " + ", ".join(f"{which} ({habits[which]['done']}×)" for which in mine)
        if mine
        else "Nenhum hábito ainda."
    )
    await panel(context.bot, update.effective_chat.id, text, *[(f"Feito {which}", f"feito:{which}") for which in mine])


async def mark(which: int, user: int) -> str:
    habit = habits.get(which)
    if habit is None or (habit["user"] != user and BUG != "marks-anything"):
        return "Você não tem esse hábito."
    if BUG == "done-race":
        count = habit["done"]
        await asyncio.sleep(0.15)
        habit["done"] = count + 1
    else:
        habit["done"] += 1
    return f"Hábito {which}: {habit['done']} vezes."


async def done(update: Update, context: Context) -> None:
    which = int(context.args[0]) if BUG == "argument-assumed" else number(context.args or [])
    await panel(context.bot, update.effective_chat.id, await mark(which, update.effective_user.id))


async def erase(update: Update, context: Context) -> None:
    which = number(context.args or [])
    habit = habits.get(which)
    if habit is None or (habit["user"] != update.effective_user.id and BUG != "erases-anything"):
        await panel(context.bot, update.effective_chat.id, "Esse hábito não é seu.")
        return
    del habits[which]
    await panel(context.bot, update.effective_chat.id, "Hábito apagado.")


async def pressed(update: Update, context: Context) -> None:
    query = update.callback_query

    async def spin(_target: int) -> object:
        return await query.answer()

    with suppress(BadRequest):  # too old: the spinner has ended by itself
        await tried(spin, 0)
    if update.effective_chat is None or not isinstance(query.data, str):
        return
    action, _, which = query.data.partition(":")
    if action == "feito":
        text = await mark(number([which]), query.from_user.id)
    elif action == "limpar" and (query.from_user.id == ADMIN or BUG == "button-for-all"):
        habits.clear()
        text = "Tudo limpo."
    else:
        text = "Esse botão não vale mais."
    await panel(context.bot, update.effective_chat.id, text)


def is_admin(update: Update) -> bool:
    if BUG == "chat-is-admin":
        return ADMIN in {update.effective_chat.id, update.effective_user.id}
    if BUG == "reply-is-admin" and update.effective_message.reply_to_message is not None:
        author = update.effective_message.reply_to_message.from_user
        return author is not None and author.id == ADMIN
    return update.effective_user.id == ADMIN


async def manage(update: Update, context: Context) -> None:
    chat, words = update.effective_chat.id, update.effective_message.text.split()
    command = words[0].partition("@")[0].lower()
    if not is_admin(update) and not (BUG == "overview-for-all" and command == "/panorama"):
        await panel(context.bot, chat, "Só quem administra pode.")
    elif command == "/panorama":
        await panel(context.bot, chat, f"Hábitos ao todo: {len(habits)}")
    elif command == "/pausar":
        await panel(context.bot, chat, "Avisos pausados.")
    else:
        await panel(context.bot, chat, "Apagar tudo?", ("Sim, limpar", "limpar:1"))


async def text(update: Update, context: Context) -> None:
    chat, user = update.effective_chat.id, update.effective_user.id
    if asking.pop(chat if BUG == "asks-the-chat" else (chat, user), False):
        await panel(context.bot, chat, made(user))
    elif chat > 0:
        await panel(context.bot, chat, "Não entendi. " + AJUDA)


async def process(application: Application, update: Update) -> None:
    chat = update.effective_chat.id if update.effective_chat else 0
    lock = locks.setdefault(chat, asyncio.Lock())
    async with asyncio.Lock() if BUG == "done-race" else lock:
        try:
            await application.process_update(update)
        except Exception as error:
            print("failed:", type(error).__name__, file=sys.stderr)
    if len(locks) > 2000:
        for key in [key for key, one in locks.items() if not one.locked()]:
            del locks[key]


def application_() -> Application:
    timeout = None if BUG == "no-timeout" else 5.0
    request = HTTPXRequest(
        connection_pool_size=8 if BUG == "no-timeout" else 128,
        read_timeout=timeout,
        write_timeout=timeout,
        connect_timeout=timeout,
        pool_timeout=timeout,
    )
    builder = (
        Application.builder().token(os.environ["BOT_TOKEN"]).base_url(os.environ["BOT_API"] + "/bot").request(request)
    )
    application = builder.updater(None).build()
    new_only = filters.UpdateType.MESSAGE
    for names, handler in {
        ("start", "comecar", "ajuda"): start,
        ("novo",): new,
        ("habitos",): listed,
        ("feito",): done,
        ("apagar",): erase,
        ("panorama", "pausar", "limpar"): manage,
    }.items():
        application.add_handler(CommandHandler(names, handler, filters=filters.ALL if BUG == "edits-run" else new_only))
    application.add_handler(CallbackQueryHandler(pressed))
    application.add_handler(MessageHandler(filters.TEXT & new_only & ~filters.SenderChat.ALL, text))
    return application


async def main() -> None:
    application = application_()

    async def hook(request: Request) -> Response:
        given = request.headers.get("x-telegram-bot-api-secret-token") or ""
        if BUG == "json-before-secret":
            await request.json()
        if BUG == "secret-stripped":
            given = given.strip().rstrip("=._-")
        if BUG == "secret-in-path" and request.query_params.get("token") == SECRET:
            given = SECRET
        if not hmac.compare_digest(given.encode("utf-8", "replace"), SECRET.encode()) and not (
            BUG == "secret-contained" and given and given in SECRET
        ):
            return Response(status_code=403)
        body = b""
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > 256 * 1024 and BUG != "json-before-secret":
                    return Response(status_code=413)
            data = json.loads(body)
            if not isinstance(data, dict):
                return Response(status_code=400)
            update = Update.de_json(data, application.bot)
            if type(update.update_id) is not int:
                return Response(status_code=400)
        except ClientDisconnect:
            return Response(status_code=400)
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError, OverflowError, OSError) as error:
            if BUG == "parse-error-told":
                return PlainTextResponse(f"{error!r} in {application.bot.base_url}", 500)
            return Response(status_code=500 if BUG == "parse-error-is-500" else 200)
        if BUG == "pages-kept":
            pages.append((data, bytes(20_000)))
        if update.update_id in seen and BUG != "update-repeated":
            return Response()
        seen[update.update_id] = None
        while len(seen) > 20_000:
            seen.popitem(last=False)
        task = asyncio.create_task(process(application, update))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return Response()

    app = Starlette(routes=[Route(os.environ["WEBHOOK_PATH"], hook, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=int(os.environ["PORT"]), log_level="critical"))
    async with application:
        await application.start()
        await server.serve()
        await application.stop()


asyncio.run(main())
