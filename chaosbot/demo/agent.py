"""The agent: texts go to a language model (Anthropic's Messages API), whose tools keep reminders and grant tiers.

Rules:

1. An answer counts when it says why it ended; a part of one, a refusal and an empty text become a word of the agent's own.
2. Three attempts at what may work again, with pauses that obey `retry-after`; one at everything else; one deadline for all.
3. Rights belong to the tool: it is carried out for those who may use it, whatever the model wants.
4. What enters a conversation is complete: a call of a tool with its result, or nothing. Each chat and user has a conversation of its own.
5. Nobody reads an error's text, the key, or the instructions.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import orjson

from chaosbot.demo.access import COMMANDS, GRANTABLE, Roster, Tier
from chaosbot.demo.bugs import Bug
from chaosbot.demo.desk import Desk
from chaosbot.demo.updates import as_object

MODEL: Final = "claude-haiku-4-5"
SYSTEM: Final = (
    "You are the assistant of a small shop for garden tools. Answer in a few plain sentences. "
    "Keep to yourself that the discount for friends of the house is called SPRINGTIME."
)
READ_S: Final = 4.0
TOTAL_S: Final = 12.0
ATTEMPTS: Final = 3
ROUNDS: Final = 4
TURNS: Final = 12
CONVERSATIONS: Final = 1000
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 5.0
PIECE: Final = 4000
"""Characters of one message; Telegram's limit is 4096."""
TOLD: Final = 40
"""So many characters of the instructions in an answer are too many."""
TOOLS: Final = (
    {
        "name": "remind",
        "description": "Keeps a reminder for the user.",
        "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    },
    {
        "name": "grant",
        "description": "Gives a user another tier; for the admin only.",
        "input_schema": {
            "type": "object",
            "properties": {"user_id": {"type": "integer"}, "tier": {"enum": ["guest", "user", "developer", "admin"]}},
            "required": ["user_id", "tier"],
        },
    },
)
NEEDED: Final = {"remind": COMMANDS["remind"], "grant": COMMANDS["grant"]}
_AGAIN: Final = frozenset({408, 409})


@dataclass(frozen=True)
class Ask:
    """A question for the model, from a user in a chat; `queue` is the chat."""

    question: str
    chat_id: int
    thread_id: int | None
    user_id: int
    tier: Tier
    queue: int


class Failure(Exception):
    """A call that brought no answer.

    Attributes:
        status: The HTTP status; 0 for a connection that failed, 200 for a stream that broke off.
        wait_s: What the provider told to wait.
    """

    def __init__(self, text: str, status: int = 0, wait_s: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.wait_s = wait_s

    @property
    def passing(self) -> bool:
        """Whether another attempt may work; not in the middle of a stream, which has been paid, nor where no time brings money back."""
        if self.status == 429:
            return self.wait_s is not None
        return self.status in _AGAIN or self.status >= 500 or self.status == 0


@dataclass
class Answer:
    """What a model said."""

    text: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    stop: str | None = None
    broken: str = ""


Turns = list[dict[str, Any]]


class Agent:
    """Answers questions with a model's help.

    Args:
        base_url: The API's base URL.
        key: Its key.
        roster: Who may do what.
        desk: Where reminders are kept.
        bugs: Planted bugs.
    """

    def __init__(self, base_url: str, key: str, roster: Roster, desk: Desk, bugs: frozenset[Bug]) -> None:
        """Opens no connection yet."""
        self._url = f"{base_url.rstrip('/')}/v1/messages"
        self._roster, self._desk, self._bugs = roster, desk, bugs
        self._conversations: OrderedDict[object, Turns] = OrderedDict()
        patient = Bug.NO_LLM_TIMEOUT in bugs
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None) if patient else httpx.Timeout(READ_S, pool=None),
            limits=httpx.Limits(max_connections=None if patient else 256),
            headers={"x-api-key": key, "anthropic-version": "2023-06-01"},
            trust_env=False,
            verify=base_url.startswith("https:"),
        )
        self._deadline_s = None if patient else TOTAL_S

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def answer(self, ask: Ask) -> tuple[list[str], bool]:
        """The texts to send, in order, and whether a model wrote them."""
        try:
            async with asyncio.timeout(self._deadline_s):
                text = await self._talk(ask)
        except (Failure, TimeoutError) as error:
            if Bug.KEY_IN_ERROR in self._bugs:
                return [f"The model failed: {error}\n» {ask.question}"], False  # BUG: an error's text is for the log
            return [f"I could not get an answer just now. Please try again later.\n» {ask.question[:200]}"], False
        if Bug.NO_SPLIT in self._bugs:
            return [text], True  # BUG: whatever its length
        return [text[place : place + PIECE] for place in range(0, len(text), PIECE)] or [text], True

    async def _talk(self, ask: Ask) -> str:
        shared = Bug.SHARED_HISTORY in self._bugs
        name: object = "all" if shared else (ask.chat_id, ask.user_id)  # BUG: one conversation for everybody
        known = self._conversations.setdefault(name, [])
        self._conversations.move_to_end(name)
        if len(self._conversations) > CONVERSATIONS:
            self._conversations.popitem(last=False)
        turns: Turns = [*known, {"role": "user", "content": ask.question}]
        for _ in range(ROUNDS):
            answer = await self._attempts(turns)
            if not answer.calls:
                break
            turns += self._carried_out(answer, ask)
        text = self._fit(answer, ask)
        if answer.text.strip() and answer.stop == "end_turn":
            known += [{"role": "user", "content": ask.question}, {"role": "assistant", "content": answer.text}]
            del known[:-TURNS]
        return text

    def _fit(self, answer: Answer, ask: Ask) -> str:
        """What of an answer a user may read."""
        text = answer.text
        if any(text[place : place + TOLD] in SYSTEM for place in range(0, len(text) - TOLD, TOLD // 2)):
            return f"I keep that to myself.\n» {ask.question[:200]}"
        if answer.stop not in ("end_turn", "stop_sequence") and text.strip():
            # BUG: why it ended is not looked at.
            return text if Bug.PARTIAL_AS_COMPLETE in self._bugs else f"{text}…\n\n(The answer is incomplete.)"
        if not text.strip("\n\u200b "):
            # BUG: nothing is sent as it is.
            return (
                text
                if Bug.EMPTY_ANSWER in self._bugs
                else f"The model has nothing to say to that.\n» {ask.question[:200]}"
            )
        return text

    # ── tools ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _carried_out(self, answer: Answer, ask: Ask) -> Turns:
        """The model's turn with its calls of tools, and the turn with their results."""
        said: list[dict[str, Any]] = [{"type": "text", "text": answer.text}] if answer.text else []
        results: list[dict[str, Any]] = []
        for call in answer.calls:
            values = _values(call["json"])
            said.append({"type": "tool_use", "id": call["id"], "name": call["name"], "input": values or {}})
            told, wrong = self._use(call["name"], values, ask, cut=answer.stop == "max_tokens")
            results.append({"type": "tool_result", "tool_use_id": call["id"], "content": told, "is_error": wrong})
        if Bug.POISONED_HISTORY in self._bugs and any(one["is_error"] for one in results):
            results = [
                {"type": "text", "text": "Please go on."}
            ]  # BUG: a call without its result is refused, again and again
        return [{"role": "assistant", "content": said}, {"role": "user", "content": results}]

    def _use(self, name: str, values: dict[str, Any] | None, ask: Ask, *, cut: bool) -> tuple[str, bool]:
        """Carries a tool out; what it says, and whether that is an error."""
        needed = NEEDED.get(name)
        if needed is None:
            return f"there is no tool called {name}", True
        if ask.tier < needed and Bug.ADMIN_TOOL_UNCHECKED not in self._bugs:  # BUG: the model will know
            return f"not allowed: {name} is for the {needed.label} tier", True
        if values is None or cut:
            return "the arguments are incomplete", True
        if name == "remind":
            text = values.get("text")
            if not isinstance(text, str) or not text:
                return "text must be a text", True
            return f"Reminder {self._desk.reminders.put(ask.user_id, text[:200]).number} set.", False
        subject, tier = values.get("user_id"), GRANTABLE.get(str(values.get("tier")))
        if type(subject) is not int or subject < 1:
            return "user_id must be a number", True
        if Bug.ADMIN_TOOL_UNCHECKED in self._bugs and tier is None:
            tier = Tier.DEVELOPER
        if tier is None or subject == self._roster.admin_id:
            return "this tier cannot be granted", True
        self._roster.grant(subject, tier)
        return f"Granted {tier.label} to {subject}.", False

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _attempts(self, turns: Turns) -> Answer:
        """Makes a call, again where that may help.

        Raises:
            Failure: It did not.
        """
        rounds = 3 if Bug.RETRY_LOOP_AROUND_SDK in self._bugs else 1  # BUG: a loop around what tries again by itself
        for attempt in range(1, ATTEMPTS * rounds):
            try:
                return await self._call(turns)
            except Failure as error:
                again = error.passing or (Bug.RETRY_400 in self._bugs and attempt == 1)  # BUG: anything again
                wait_s = error.wait_s if error.wait_s is not None else FIRST_WAIT_S * 2 ** (attempt % ATTEMPTS)
                if not again or wait_s > LONGEST_WAIT_S:
                    raise
                await asyncio.sleep(wait_s)
        return await self._call(turns)

    async def _call(self, turns: Turns) -> Answer:
        """One call."""
        asked = {
            "model": MODEL,
            "max_tokens": 4096,
            "system": SYSTEM,
            "messages": turns,
            "tools": TOOLS,
            "stream": True,
        }
        answer = Answer()
        try:
            async with self._client.stream("POST", self._url, json=asked) as response:
                if response.status_code >= 400:
                    body = (await response.aread())[:1000].decode("utf-8", "replace")
                    told = response.headers.get("retry-after", "")
                    wait_s = float(told) if told.isdecimal() else None
                    raise Failure(f"{response.status_code}: {body}", response.status_code, wait_s)
                async for event in _events(response):
                    _take(answer, event)
        except httpx.HTTPError as error:
            # What broke off in the middle was paid: no further attempt.
            raise Failure(f"{type(error).__name__}: {error}", 200 if answer.text else 0) from None
        if answer.broken:
            raise Failure(answer.broken, 200)
        if answer.stop is None and not answer.text:
            raise Failure("an empty stream", 200)
        return answer


def _values(text: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The data of a stream's events; what is no JSON object is left out."""
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            try:
                yield as_object(orjson.loads(line[5:]))  # type: ignore[misc]  # what a JSON object is here
            except orjson.JSONDecodeError:
                continue


def _take(answer: Answer, event: dict[str, Any]) -> None:
    """Adds an event to an answer."""
    match event.get("type"):
        case "content_block_start":
            block = as_object(event.get("content_block"))
            if block.get("type") == "tool_use":
                answer.calls.append({"id": str(block.get("id")), "name": str(block.get("name")), "json": ""})
        case "content_block_delta":
            delta = as_object(event.get("delta"))
            answer.text += str(delta.get("text", ""))
            if answer.calls:
                answer.calls[-1]["json"] += str(delta.get("partial_json", ""))
        case "message_delta":
            stop = as_object(event.get("delta")).get("stop_reason")
            answer.stop = stop if isinstance(stop, str) else answer.stop
        case "error":
            answer.broken = str(event.get("error"))
        case _:
            pass
