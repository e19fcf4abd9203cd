"""Talks to a bot of the park as Telegram does, and hears what it says through the mock or in its answers."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from chaosbot.core.event import ApiCalled, Event
from chaosbot.mocks.server import MockListener, MockServer
from chaosbot.mocks.telegram import Script, TelegramApi

from .roster import Bot
from .running import ADMIN_ID, SECRET, TOKEN, WEBHOOK_PATH, Running, running

USER, OTHER, GROUP = 42_000_001, 42_000_002, -1_001_234_567_890
BASIC_GROUP = -555_000_111
ADMIN = ADMIN_ID
STICKER = {
    "file_id": "x",
    "file_unique_id": "y",
    "type": "regular",
    "width": 512,
    "height": 512,
    "is_animated": False,
    "is_video": False,
}


@dataclass
class Talk:
    """A conversation with one running bot.

    Args:
        running: The bot.
        mock: The Bot API that it calls.
        events: What the mock heard.
    """

    running: Running
    mock: MockServer
    events: list[Event]
    replies: list[dict[str, Any]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(70_000))

    @property
    def bot(self) -> Bot:
        """Who is talked to."""
        return self.running.bot

    def post(
        self, body: bytes | dict[str, Any], *, secret: str | None = SECRET, query: str = "", timeout_s: float = 10
    ) -> tuple[int, bytes]:
        """One delivery; status 0 when there was no answer."""
        where = urlsplit(self.running.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout_s)
        headers = {"Content-Type": "application/json"}
        if secret is not None:
            headers["X-Telegram-Bot-Api-Secret-Token"] = secret
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request("POST", where.path + query, data, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()
        if answer.startswith(b'{"method"'):
            self.replies.append(json.loads(answer))
        return response.status, answer

    def update(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """An update with a number of its own."""
        return {"update_id": next(self.numbers), kind: content}

    def message(self, user: int, text: str | None, *, chat: int | None = None, **more: Any) -> dict[str, Any]:
        """A message as Telegram sends it."""
        chat = user if chat is None else chat
        kind = "private" if chat > 0 else "supergroup" if chat <= -1_000_000_000_000 else "group"
        where: dict[str, Any] = {"id": chat, "type": kind}
        where.update({"first_name": "Ann"} if chat > 0 else {"title": "Friends"})
        message = {
            "message_id": next(self.numbers),
            "date": int(time.time()),
            "from": {"id": user, "is_bot": False, "first_name": "Ann"},
            "chat": where,
        }
        if text is not None:
            message["text"] = text
            if text.startswith("/"):
                message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
        return {**message, **more}

    def say(self, user: int, text: str, *, chat: int | None = None, kind: str = "message", **more: Any) -> int:
        """Sends a message and gives the status."""
        return self.post(self.update(kind, self.message(user, text, chat=chat, **more)))[0]

    def press(
        self,
        user: int,
        data: str,
        *,
        chat: int | None = None,
        message: bool = True,
        sender: dict[str, Any] | None = None,
    ) -> int:
        """Presses a button and gives the status."""
        query: dict[str, Any] = {
            "id": str(next(self.numbers)),
            "from": sender or {"id": user, "is_bot": False, "first_name": "Ann"},
            "chat_instance": "1",
            "data": data,
        }
        if message:
            query["message"] = self.message(user, "menu", chat=chat)
        else:
            query["inline_message_id"] = "BAAAAJP9"
        return self.post(self.update("callback_query", query))[0]

    def at_once(self, *deliveries: Callable[[], Any]) -> None:
        """Runs these at the same time."""
        threads = [threading.Thread(target=one) for one in deliveries]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def heard(self, chat: int | None = None, *, status: int | None = 200) -> list[str]:
        """The texts that the bot sent or edited so far, to one chat or to all, in their order."""
        self.mock.sync()
        calls = [
            event.text
            for event in list(self.events)
            if isinstance(event, ApiCalled)
            and event.method in {"sendMessage", "editMessageText"}
            and (chat is None or event.chat == chat)
            and (status is None or event.status == status)
        ]
        return calls + [reply.get("text", "") for reply in self.replies if chat is None or reply.get("chat_id") == chat]

    def calls(self, method: str) -> list[ApiCalled]:
        """The calls of a method so far."""
        self.mock.sync()
        return [event for event in list(self.events) if isinstance(event, ApiCalled) and event.method == method]

    def wait(self, condition: Callable[[], Any], timeout_s: float = 8) -> bool:
        """Waits until something is so; says whether it came to be."""
        until = time.monotonic() + timeout_s
        while not (found := condition()) and time.monotonic() < until:
            time.sleep(0.03)
        return bool(found)

    def ask(self, user: int, text: str, *, chat: int | None = None, timeout_s: float = 8, **more: Any) -> str:
        """Says something and gives the next text that comes to that chat; empty when none comes."""
        chat = user if chat is None else chat
        before = len(self.heard(chat))
        self.say(user, text, chat=chat, **more)
        self.wait(lambda: len(self.heard(chat)) > before, timeout_s)
        return (self.heard(chat)[before:] or [""])[0]

    def settled(self, seconds: float = 2.4) -> None:
        """Waits until the bot has said nothing new for as long as its queue may take."""
        time.sleep(seconds)

    @property
    def alive(self) -> bool:
        """Whether it lives and answers an ordinary command."""
        return self.running.alive and bool(self.ask(next(self.numbers) + 90_000_000, self.bot.user))


@contextmanager
def talking(bot: Bot, bug: str = "", *scripts: Script) -> Iterator[Talk]:
    """A bot, its Bot API mock and a conversation between."""
    events: list[Event] = []
    with (
        MockServer((MockListener(TelegramApi(scripts)),), events.append, time.monotonic()) as mock,
        running(bot, mock.url, bug=bug) as process,
    ):
        yield Talk(process, mock, events)


__all__ = [
    "ADMIN",
    "BASIC_GROUP",
    "GROUP",
    "OTHER",
    "SECRET",
    "STICKER",
    "TOKEN",
    "USER",
    "WEBHOOK_PATH",
    "Talk",
    "talking",
]
