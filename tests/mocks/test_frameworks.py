"""Unmodified bot frameworks talk to the mock and believe it."""

from __future__ import annotations

import asyncio
import io

import pytest
from aiogram import Bot as AiogramBot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import ClientDecodeError, TelegramBadRequest, TelegramRetryAfter
from aiogram.types import BufferedInputFile, InlineKeyboardButton, InlineKeyboardMarkup, InputMediaPhoto
from telegram import Bot as PtbBot
from telegram import InputMediaPhoto as PtbPhoto
from telegram.error import BadRequest, RetryAfter

from chaosbot.core.event import ApiCalled
from chaosbot.mocks.telegram import Script

from .conftest import TOKEN, Running, Start

MARK = "cbm0123456789ab"


def test_an_aiogram_bot_sends_uploads_edits_and_downloads(start: Start) -> None:
    server = start()

    async def talk(bot: AiogramBot) -> bytes:
        me = await bot.get_me()
        assert me.is_bot
        assert me.id == bot.id
        keyboard = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="ok", callback_data="yes")]])
        first = await bot.send_message(7, f"hello {MARK}", reply_markup=keyboard)
        assert first.text == f"hello {MARK}"
        assert first.reply_markup.inline_keyboard[0][0].callback_data == "yes"
        second = await bot.send_message(-1001234567890, "there", reply_to_message_id=3)
        assert second.chat.type == "supergroup"
        assert second.message_id > first.message_id
        edited = await bot.edit_message_text("changed", chat_id=7, message_id=first.message_id)
        assert (edited.message_id, edited.text) == (first.message_id, "changed")
        document = await bot.send_document(7, BufferedInputFile(bytes(12_345), f"{MARK}.bin"), caption="a file")
        assert (document.document.file_size, document.document.file_name) == (12_345, f"{MARK}.bin")
        album = [InputMediaPhoto(media=BufferedInputFile(b"x" * size, "p.jpg")) for size in (10, 20)]
        photos = await bot.send_media_group(7, album)
        assert [message.photo[0].file_size for message in photos] == [10, 20]
        assert await bot.answer_callback_query("55", text="done")
        file = await bot.get_file(document.document.file_id)
        assert file.file_size == 12_345
        return (await bot.download_file(file.file_path)).read()

    async def main() -> bytes:
        session = AiohttpSession(api=TelegramAPIServer.from_base(server.url))
        async with AiogramBot(TOKEN, session=session) as bot:
            return await talk(bot)

    assert len(asyncio.run(main())) == 12_345
    calls = server.calls()
    assert [call.method for call in calls] == [
        "getMe",
        "sendMessage",
        "sendMessage",
        "editMessageText",
        "sendDocument",
        "sendMediaGroup",
        "answerCallbackQuery",
        "getFile",
        "download",
    ]
    assert [call.chat for call in calls][1:6] == [7, -1001234567890, 7, 7, 7]
    assert calls[1].markers == calls[4].markers == (MARK,)
    assert calls[2].reply_to == 3
    assert TOKEN.partition(":")[2] not in repr(calls)


def test_a_python_telegram_bot_sends_uploads_and_downloads(start: Start) -> None:
    server = start()

    async def main() -> bytes:
        async with PtbBot(TOKEN, base_url=f"{server.url}/bot", base_file_url=f"{server.url}/file/bot") as bot:
            assert bot.username == "chaosbot_mock_bot"
            sent = await bot.send_message(7, f"hello {MARK}")
            assert sent.text == f"hello {MARK}"
            voice = await bot.send_voice("@channel", io.BytesIO(bytes(999)))
            assert (voice.voice.file_size, voice.chat.type) == (999, "channel")
            poll = await bot.send_poll(7, "which?", ["a", "b"])
            assert [option.text for option in poll.poll.options] == ["a", "b"]
            album = await bot.send_media_group(7, [PtbPhoto(b"x" * 10), PtbPhoto("an-id-from-elsewhere")])
            assert len(album) == 2
            assert await bot.set_my_commands([("start", "begin")])
            assert [item.command for item in await bot.get_my_commands()] == ["start"]
            assert await bot.set_webhook("https://example.com/hook")
            assert (await bot.get_webhook_info()).url == "https://example.com/hook"
            file = await bot.get_file(voice.voice.file_id)
            return bytes(await file.download_as_bytearray())

    content = asyncio.run(main())
    assert len(content) == 999
    assert content.startswith(b"OggS")
    calls = server.calls()
    assert calls[-1].method == "download"
    assert [call.chat for call in calls if call.method == "sendVoice"] == ["@channel"]
    assert "example.com" not in repr(calls)


@pytest.mark.parametrize("text", ["", "x" * 4097])
def test_refusals_carry_the_real_servers_words(start: Start, text: str) -> None:
    server = start()

    async def aiogram() -> None:
        session = AiohttpSession(api=TelegramAPIServer.from_base(server.url))
        async with AiogramBot(TOKEN, session=session) as bot:
            with pytest.raises(TelegramBadRequest, match=r"message text is empty|message is too long"):
                await bot.send_message(7, text)

    async def ptb() -> None:
        async with PtbBot(TOKEN, base_url=f"{server.url}/bot") as bot:
            with pytest.raises(BadRequest, match=r"text is empty|too long"):
                await bot.send_message(7, text)

    asyncio.run(aiogram())
    asyncio.run(ptb())
    assert [call.status for call in server.calls() if call.method == "sendMessage"] == [400, 400]


def retry_in(server: Running) -> tuple[list[float], bool]:
    async def main() -> tuple[list[float], bool]:
        waits = []
        session = AiohttpSession(api=TelegramAPIServer.from_base(server.url))
        async with AiogramBot(TOKEN, session=session) as bot:
            try:
                await bot.send_message(7, "one")
            except TelegramRetryAfter as error:
                waits.append(error.retry_after)
        async with PtbBot(TOKEN, base_url=f"{server.url}/bot") as bot:
            try:
                await bot.send_message(7, "two")
            except RetryAfter as error:
                waits.append(float(error._retry_after.total_seconds()))
            return waits, (await bot.send_message(7, "three")).text == "three"

    return asyncio.run(main())


@pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
def test_scripted_throttling_is_understood_and_ends(start: Start) -> None:
    server = start(Script(429, "sendMessage", first=2, description="Too Many Requests: retry after 3", retry_after_s=3))
    assert retry_in(server) == ([3, 3.0], True)
    sent = [call for call in server.calls() if call.method == "sendMessage"]
    assert [(call.status, call.retry_after_s) for call in sent] == [(429, 3.0), (429, 3.0), (200, None)]


def test_an_html_error_page_is_no_json_to_a_framework(start: Start) -> None:
    server = start(Script(502, "sendMessage", html=True, description="Bad Gateway"))

    async def main() -> None:
        session = AiohttpSession(api=TelegramAPIServer.from_base(server.url))
        async with AiogramBot(TOKEN, session=session) as bot:
            with pytest.raises(ClientDecodeError):
                await bot.send_message(7, "x")

    asyncio.run(main())
    (call,) = server.calls()
    assert isinstance(call, ApiCalled)
    assert call.status == 502
