"""Regole: an Italian group moderator on python-telegram-bot's run_webhook; who may warn is asked of Telegram (getChatMember).

Tornado's handler, as python-telegram-bot ships it, takes the deliveries: what it does with broken bodies and sizes is not this bot's.
"""

import asyncio
import logging
import os
from collections import OrderedDict

from telegram import Bot, Update
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError, RetryAfter, TelegramError
from telegram.ext import (
    Application,
    ApplicationHandlerStop,
    BaseUpdateProcessor,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    TypeHandler,
    filters,
)
from telegram.request import HTTPXRequest

BUG = os.environ.get("BUG", "")
ADMIN = int(os.environ["ADMIN_ID"])
AIUTO = "Comandi: /regole, /ammonizioni, /segnala. Per gli amministratori del gruppo: /ammonisci, /perdona."
Context = ContextTypes.DEFAULT_TYPE

rules: OrderedDict[int, str] = OrderedDict()
warnings: OrderedDict[tuple[int, int], int] = OrderedDict()
seen: OrderedDict[int, None] = OrderedDict()
moved: dict[int, int] = {}
trusted: dict[int, bool] = {}
kept: list[object] = []
current: Update | None = None


class ByChat(BaseUpdateProcessor):
    """Works on chats side by side, and on the updates of one chat in their order."""

    def __init__(self) -> None:
        super().__init__(256)
        self._locks: dict[int, asyncio.Lock] = {}

    async def do_process_update(self, update: object, coroutine) -> None:
        chat = update.effective_chat.id if isinstance(update, Update) and update.effective_chat else 0
        if BUG in {"no-order", "count-race"}:
            await coroutine
            return
        lock = self._locks.setdefault(0 if BUG == "one-lock" else chat, asyncio.Lock())
        async with lock:
            await coroutine
        if len(self._locks) > 2000:
            self._locks = {key: one for key, one in self._locks.items() if one.locked()}

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to give back."""


async def say(bot: Bot, chat: int, text: str) -> bool:
    """Sends a text; five tries at most, as far apart as Telegram asks for."""
    for attempt in range(1, 6):
        target = chat if BUG == "migration-unheard" else moved.get(chat, chat)
        try:
            await bot.send_message(target, text[:4096])
            return True
        except RetryAfter as error:
            if BUG == "flood-ends-it":
                raise
            wait = error.retry_after if isinstance(error.retry_after, int) else error.retry_after.total_seconds()
            if BUG == "fixed-pause":
                await asyncio.sleep(0.3)
                continue
            if wait > 60:
                return False
            await asyncio.sleep(wait + 0.1)
        except ChatMigrated as error:
            if BUG == "migration-unheard":
                return False
            moved[chat] = error.new_chat_id
        except (BadRequest, Forbidden):
            return False
        except NetworkError:
            if BUG == "outage-raises":
                raise
            await asyncio.sleep(0.3 * 2**attempt)
        except TelegramError:
            await asyncio.sleep(0.3 * 2**attempt)
    return False


async def may_moderate(update: Update, context: Context) -> bool:
    """Whether the sender is an administrator of the group, by Telegram's own word."""
    chat, user = update.effective_chat, update.effective_user
    if user is None or chat is None:
        return False
    if user.id == ADMIN:
        if BUG == "trusted-for-ever":
            trusted[chat.id] = True
        return True
    if BUG == "trusted-for-ever" and trusted.get(chat.id):
        return True
    if BUG == "via-bot-trusted" and update.effective_message.via_bot is not None:
        return True
    if BUG == "sender-chat-trusted" and update.effective_message.sender_chat is not None:
        return True
    if chat.type == chat.PRIVATE:
        return False
    for attempt in range(3):
        try:
            member = await context.bot.get_chat_member(chat.id, user.id)
        except TelegramError:
            if BUG == "check-fails-open":
                return True
            await asyncio.sleep(0.3 * 2**attempt)
        else:
            return member.status in {"administrator", "creator"}
    return False


async def start(update: Update, context: Context) -> None:
    tail = " Solo per te: /riepilogo, /azzera." if update.effective_user.id == ADMIN else ""
    await say(context.bot, update.effective_chat.id, "Ciao! " + AIUTO + tail)


async def show(update: Update, context: Context) -> None:
    target = update.effective_chat.id
    if BUG == "update-in-global":
        await asyncio.sleep(0.1)
        target = current.effective_chat.id
    await say(context.bot, target, rules.get(update.effective_chat.id, "Qui vale il buon senso."))


async def mine(update: Update, context: Context) -> None:
    key = (update.effective_chat.id, update.effective_user.id)
    if BUG == "warnings-of-anybody" and context.args:
        key = (key[0], int(context.args[0]))
    await say(context.bot, key[0], f"Ammonizioni tue: {warnings.get(key, 0)}")


async def report(update: Update, context: Context) -> None:
    message = update.effective_message
    if BUG == "reply-assumed":
        author = message.reply_to_message.from_user
    else:
        author = message.reply_to_message.from_user if message.reply_to_message else None
    text = "Segnalazione ricevuta." if author else "Rispondi al messaggio da segnalare."
    await say(context.bot, update.effective_chat.id, text)


async def warn(update: Update, context: Context) -> None:
    chat = update.effective_chat.id
    if not await may_moderate(update, context):
        await say(context.bot, chat, "Solo gli amministratori del gruppo possono ammonire.")
        return
    word = context.args[0] if context.args else ""
    if BUG == "number-assumed" or (word.isascii() and word.isdigit() and len(word) < 16):
        who = int(word)
    else:
        await say(context.bot, chat, "Chi? Scrivi il suo numero.")
        return
    key = (chat, who)
    if update.effective_message.text.lower().startswith("/perdona"):
        warnings.pop(key, None)
        await say(context.bot, chat, "Perdonato.")
        return
    if BUG == "count-race":
        count = warnings.get(key, 0)
        await asyncio.sleep(0.15)
        warnings[key] = count + 1
    else:
        warnings[key] = warnings.get(key, 0) + 1
    while len(warnings) > 5000:
        warnings.popitem(last=False)
    await say(context.bot, chat, f"Ammonito, ora {warnings[key]}.")


async def manage(update: Update, context: Context) -> None:
    chat = update.effective_chat.id
    if update.effective_user is None or (update.effective_user.id != ADMIN and BUG != "summary-for-all"):
        await say(context.bot, chat, "Questo comando non è per te.")
    elif update.effective_message.text.lower().startswith("/azzera"):
        warnings.clear()
        await say(context.bot, chat, "Tutto azzerato.")
    else:
        await say(context.bot, chat, f"Ammoniti in tutto: {len(warnings)}")


async def other(update: Update, context: Context) -> None:
    if update.effective_chat.type == "private":
        await say(context.bot, update.effective_chat.id, "Non capisco. Prova /aiuto.")


async def once(update: Update, _context: Context) -> None:
    """Ends what was seen before, what has no sender, and what is only an edit."""
    global current
    current = update
    if BUG == "all-kept":
        kept.append((update.to_dict(), bytes(20_000)))
    if update.update_id in seen and BUG != "seen-forgotten":
        raise ApplicationHandlerStop
    seen[update.update_id] = None
    while len(seen) > 20_000:
        seen.popitem(last=False)
    if update.message is None or update.effective_user is None:
        if BUG == "edits-count" and update.edited_message is not None and update.effective_user is not None:
            return
        raise ApplicationHandlerStop


async def failed(update: object, context: Context) -> None:
    if BUG == "error-to-user" and isinstance(update, Update) and update.effective_chat:
        await say(context.bot, update.effective_chat.id, f"Errore: {context.error!r}, bot {context.bot.token}")
    logging.getLogger("regole").warning("failed: %s", type(context.error).__name__)


def main() -> None:
    timeout = None if BUG == "no-timeout" else 5.0
    request = HTTPXRequest(
        connection_pool_size=8 if BUG == "no-timeout" else 128,
        read_timeout=timeout,
        write_timeout=timeout,
        connect_timeout=timeout,
        pool_timeout=timeout,
    )
    builder = Application.builder().token(os.environ["BOT_TOKEN"]).base_url(os.environ["BOT_API"] + "/bot")
    application = builder.request(request).concurrent_updates(ByChat()).build()
    application.add_handler(TypeHandler(Update, once), group=-1)
    handlers = {("start", "ciao", "aiuto"): start, ("regole",): show, ("ammonizioni",): mine, ("segnala",): report}
    handlers |= {("ammonisci", "perdona"): warn, ("riepilogo", "azzera"): manage}
    for names, handler in handlers.items():
        application.add_handler(CommandHandler(names, handler))
    application.add_handler(MessageHandler(filters.ALL, other))
    application.add_error_handler(failed)
    application.run_webhook(
        listen="127.0.0.1",
        port=int(os.environ["PORT"]),
        url_path=os.environ["WEBHOOK_PATH"].lstrip("/"),
        secret_token=None if BUG == "secret-not-given" else os.environ["SECRET"],
        webhook_url="https://bot.example.org" + os.environ["WEBHOOK_PATH"],
        allowed_updates=Update.ALL_TYPES,
    )


main()
