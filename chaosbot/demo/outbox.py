"""The outbox: what was acknowledged gets done, however long the Bot API is away.

Rules:
1. One queue per chat, in order; queues are independent, so a chat that must wait delays nobody else.
2. The place is taken before the update is acknowledged. Without a place it is not acknowledged: the platform keeps it.
3. 429 waits as long as it is told. Failures wait twice as long each time, with jitter, at most 5 s. A refusal ends the
   matter. After 15 minutes an item is given up, and counted.
4. Waiting holds no connection.

Everything is in memory: a restart loses what waits here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from chaosbot.demo.agent import Agent, Ask
from chaosbot.demo.botapi import (
    CONCURRENCY,
    MAX_FILE,
    BotApi,
    Delivered,
    Failed,
    Migrated,
    Outcome,
    Refused,
    Throttled,
    safe_path,
)
from chaosbot.demo.bugs import Bug
from chaosbot.demo.updates import as_object

CAPACITY: Final = 10_000
GIVE_UP_S: Final = 900.0
FILE_ATTEMPTS: Final = 4
MAX_MIGRATIONS: Final = 3
MAX_RETRY_AFTER_S: Final = 300.0
HAMMER: Final = 20
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0


class Outbox:
    """Delivers calls in the background."""

    def __init__(self, api: BotApi, counts: Counter[str], bugs: frozenset[Bug], agent: Agent | None = None) -> None:
        """Starts empty."""
        self._api = api
        self._agent = agent
        self._counts = counts
        self._bugs = bugs
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._queues: dict[int, deque[Outgoing]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.depth = 0

    @property
    def has_room(self) -> bool:
        """Whether one more update can be accepted."""
        return self.depth + 2 <= CAPACITY

    def put(self, item: Outgoing) -> None:
        """Takes responsibility for an item."""
        self.depth += 1
        queue = self._queues.get(item.queue)
        if queue is not None:
            queue.append(item)
            return
        self._queues[item.queue] = deque([item])
        task = asyncio.get_running_loop().create_task(self._drain(item.queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, seconds: float = 0.2) -> None:
        """Gives what is under way a moment, then stops."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()

    async def _drain(self, key: int) -> None:
        queue = self._queues[key]
        while queue:
            try:
                await self._deliver(queue[0])
            except Exception:  # noqa: BLE001 -- a queue must not die with what comes after
                self._counts["error"] += 1
            finally:
                queue.popleft()
                self.depth -= 1
        del self._queues[key]

    async def _deliver(self, item: Outgoing) -> None:
        if isinstance(item, Ask):
            for call in await self.asked(item):
                await self._deliver(call)
            return
        if isinstance(item, Fetch):
            item = await self._fetch(item)
        outcome = await self._send(item)
        self._counts["delivered" if isinstance(outcome, Delivered) else "dropped"] += 1

    async def asked(self, ask: Ask) -> list[Call]:
        """Asks the model; the messages to send."""
        if self._agent is None:
            return [send_message(ask.chat_id, f"I have no model to ask.\n» {ask.question}", ask.thread_id)]
        texts, by_model = await self._agent.answer(ask)
        # BUG: a model writes no valid markup
        markup = {"parse_mode": "Markdown"} if by_model and Bug.MARKDOWN_UNESCAPED in self._bugs else {}
        calls = [send_message(ask.chat_id, text, ask.thread_id, **markup) for text in texts]
        return [replace(call, payload={**call.payload, "text": text}) for call, text in zip(calls, texts, strict=True)]

    async def _send(self, call: Call, attempts: int | None = None) -> Outcome:
        """Makes a call until it is settled; migrations are followed here."""
        for _ in range(MAX_MIGRATIONS):
            payload = call.payload
            outcome = await self._settle(lambda m=call.method, p=payload: self._api.call(m, p), attempts)  # type: ignore[misc]
            if not isinstance(outcome, Migrated) or Bug.MIGRATION_IGNORED in self._bugs:
                return outcome
            self._counts["migrated"] += 1
            call = replace(call, payload={**payload, "chat_id": outcome.chat_id})
        return Refused(400)

    async def _fetch(self, fetch: Fetch) -> Call:
        """Gets a file and turns the job into the reply about it; a failure is a friendly reply, too."""
        size: int | None = None
        found = await self._send(Call("getFile", {"file_id": fetch.file_id}, fetch.queue), FILE_ATTEMPTS)
        if isinstance(found, Delivered):
            file = as_object(found.result)
            path, announced = safe_path(file.get("file_path")), file.get("file_size")
            if path is not None and not (isinstance(announced, int) and announced > MAX_FILE):
                got = await self._settle(lambda: self._api.download(path), FILE_ATTEMPTS)
                size = got.result if isinstance(got, Delivered) else None
        text = fetch.failed if size is None else fetch.done.replace("{size}", str(size), 1)
        return send_message(fetch.chat_id, text, fetch.thread_id)

    async def _settle(self, attempt: Callable[[], Awaitable[Outcome]], attempts: int | None) -> Outcome:
        """Repeats an attempt until its outcome is final, `attempts` are used up or the item is too old."""
        deadline = time.monotonic() + GIVE_UP_S
        failures = throttles = 0
        while True:
            async with self._slots:
                outcome = await attempt()
            self._counts[type(outcome).__name__.lower()] += 1
            if isinstance(outcome, Throttled):
                throttles += 1
                if Bug.RETRY_AFTER_IGNORED in self._bugs and throttles <= HAMMER:
                    continue  # BUG: at once, unheard what it said
                pause = min(outcome.seconds, MAX_RETRY_AFTER_S) + random.uniform(0.02, 0.1)
            elif isinstance(outcome, Failed):
                failures += 1
                if Bug.ACK_THEN_LOSE in self._bugs or (attempts is not None and failures >= attempts):
                    return outcome  # BUG (the first condition): the update was acknowledged, yet nobody tries again
                pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)
            else:
                return outcome
            if time.monotonic() + pause > deadline:
                return outcome
            await asyncio.sleep(pause)


MAX_TEXT: Final = 4096
"""Telegram's limit for a message, in UTF-16 units."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a Bot API method. Calls of one queue are made in order; `queue` is the chat they are about."""

    method: str
    payload: Mapping[str, Any]
    queue: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Download the file, then answer with `done` (which has a `{size}`) or with `failed`."""

    file_id: str
    chat_id: int
    thread_id: int | None
    done: str
    failed: str
    queue: int = field(default=0)


Outgoing = Call | Fetch | Ask


def bounded(text: str, limit: int = MAX_TEXT) -> str:
    """Shortens a text in its middle, so that its beginning and its end survive."""
    if len(text) * 2 <= limit:
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= limit * 2:
        return text
    head, tail = (limit - 1) // 2, limit - 1 - (limit - 1) // 2
    beginning = units[: head * 2].decode("utf-16-le", "ignore")
    end = units[len(units) - tail * 2 :]
    if end and 0xDC <= end[1] <= 0xDF:  # the cut fell inside a surrogate pair
        end = end[2:]
    return f"{beginning}…{end.decode('utf-16-le', 'ignore')}"


def send_message(chat_id: int, text: str, thread_id: int | None = None, **more: Any) -> Call:
    """Builds a sendMessage call."""
    payload: dict[str, Any] = {"chat_id": chat_id, "text": bounded(text), **more}
    if thread_id is not None:
        payload["message_thread_id"] = thread_id
    return Call("sendMessage", payload, chat_id)


def answer_callback(query_id: str, text: str, queue: int) -> Call:
    """Builds an answerCallbackQuery call; its text has at most 200 characters."""
    return Call("answerCallbackQuery", {"callback_query_id": query_id, "text": bounded(text, 200)}, queue)
