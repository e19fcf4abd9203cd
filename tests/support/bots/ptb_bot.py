"""An echo bot as python-telegram-bot's documentation writes one: run_webhook with a secret."""

import os

from telegram import Update
from telegram.ext import Application, CallbackQueryHandler, ContextTypes, MessageHandler, filters


async def echo(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
    if update.effective_message is not None:
        await update.effective_message.reply_text(f"You said: {update.effective_message.text}")


async def pressed(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
    if update.callback_query is not None:
        await update.callback_query.answer("ok")


def main() -> None:
    application = Application.builder().token(os.environ["BOT_TOKEN"]).base_url(os.environ["BOT_API"] + "/bot").build()
    application.add_handler(MessageHandler(filters.ALL, echo))
    application.add_handler(CallbackQueryHandler(pressed))
    application.run_webhook(
        listen="127.0.0.1",
        port=int(os.environ["PORT"]),
        url_path="hook",
        secret_token=os.environ["TELEGRAM_SECRET_TOKEN"],
        webhook_url="https://example.com/hook",
        allowed_updates=Update.ALL_TYPES,
    )


main()
