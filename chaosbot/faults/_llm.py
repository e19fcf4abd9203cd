"""Calls of language models, and what a provider answers to them, shared by the faults of its name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Answer, Effect, Point
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.jsontext import read_json
from chaosbot.core.llm import (
    SENTENCES,
    Api,
    Block,
    Completion,
    LlmCall,
    Provider,
    Stop,
    Words,
    about,
    marked,
    read_call,
    wire,
)
from chaosbot.core.mock import Headers

ANSWERS: Final = "for calls of language models that generate an answer"

CONTENT: Final = rb'content_block_delta|"delta": ?\{"(?:content"|tool_calls")|output_text\.delta|"candidates"'
"""An event with a piece of the answer."""
REASON: Final = (
    rb'(?m)^event: ?(?:message_delta|response\.(?:completed|incomplete|failed))|"finish_reason": ?"|"finishReason"'
)
"""The event that says why the answer ends."""
LAST: Final = (
    rb'(?m)^event: ?(?:message_stop|response\.(?:completed|incomplete|failed))|^data: ?\[DONE\]|"finishReason"'
)
"""The event that a stream ends with."""


def call_of(exchange: Exchange) -> LlmCall | None:
    """The call of a language model that an exchange is; None for everything else."""
    if exchange.direction is not Direction.OUTBOUND:
        return None
    target = f"{exchange.path}?{exchange.query}" if exchange.query else exchange.path
    call = read_call(exchange.method, target, dict(exchange.headers), exchange.body)
    return None if call.api in (Api.UNKNOWN, Api.MODELS) else call


def generating(exchange: Exchange) -> LlmCall | None:
    """The call, where a model writes an answer to it."""
    call = call_of(exchange)
    return call if call is not None and call.api.generates else None


def streams(exchange: Exchange) -> bool:
    """Whether the answer may be a stream of events."""
    call = generating(exchange)
    if call is not None:
        return call.events
    return any(name == "accept" and "text/event-stream" in value for name, value in exchange.headers)


class CallFault(Fault):
    """A fault of any call of a language model: one answer in the provider's place."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    direction: ClassVar[Direction | None] = Direction.OUTBOUND
    possible_when: ClassVar[str] = "for calls of language models"

    @staticmethod
    def met(exchange: Exchange) -> LlmCall | None:
        """The call that the fault can act on; None for everything else."""
        return call_of(exchange)

    def possible(self, exchange: Exchange) -> bool:
        """A call."""
        return self.met(exchange) is not None

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """What the call meets."""
        call = self.met(exchange)
        return self.on_call(dice, call) if call is not None else ()

    @abstractmethod
    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """The physical actions for this call."""


class AnswerFault(CallFault):
    """A fault of what a model answers."""

    possible_when: ClassVar[str] = ANSWERS

    @staticmethod
    def met(exchange: Exchange) -> LlmCall | None:
        """A call to which a model answers."""
        return generating(exchange)


class StreamFault(Fault):
    """A fault of a stream of events, of a language model or of anything else."""

    depth: ClassVar[Depth] = Depth.EXCHANGE
    possible_when: ClassVar[str] = (
        "for calls of language models that ask for a stream, and for requests that accept text/event-stream"
    )

    def possible(self, exchange: Exchange) -> bool:
        """A stream of events."""
        return streams(exchange)


def prose(call: LlmCall, dice: Dice, text: str = "") -> tuple[str, str]:
    """An answer's id, and its text between its marks: the one given, or a sentence."""
    key = dice.at("id").token(24)
    return key, marked(about(call, text or dice.at("sentence").choice(SENTENCES)), key)


def said(
    call: LlmCall,
    key: str,
    *blocks: Block | str,
    stop: Stop = Stop.END,
    change: Callable[[Any], Any] | None = None,
) -> tuple[Effect, ...]:
    """An answer in the provider's place.

    Args:
        call: The call.
        key: The answer's id.
        blocks: What it is made of; a text is a block of words.
        stop: Why it ends.
        change: What is done to each JSON document of it.
    """
    made = tuple(Words(block) if isinstance(block, str) else block for block in blocks)
    completion = Completion(key, tuple(block for block in made if not isinstance(block, Words) or block.text), stop)
    if call.streams:
        body = b"".join(_changed(event.data, change) for event in wire.stream(call, completion))
        kind = wire.EVENTS if call.events else wire.JSON
    else:
        body, kind = _changed(wire.document(call, completion), change), wire.JSON
    return (Answer(Point.BEFORE, 200, (*kind, *wire.request_id(call.provider, key)), body),)


def _changed(data: bytes, change: Callable[[Any], Any] | None) -> bytes:
    """A document, or an event with one, after a change."""
    start, end = data.find(b"{"), data.rfind(b"}") + 1
    if change is None or start < 0:
        return data
    return data[:start] + wire.packed(change(read_json(data[start:end]))) + data[end:]


def refused(
    call: LlmCall, status: int, document: dict[str, Any], dice: Dice, headers: Headers = ()
) -> tuple[Effect, ...]:
    """A refusal in the provider's words."""
    key = dice.at("id").token(24)
    if "request_id" in document:
        document = document | {"request_id": f"req_{key}"}
    return (
        Answer(
            Point.BEFORE, status, (*wire.JSON, *headers, *wire.request_id(call.provider, key)), wire.packed(document)
        ),
    )


def error_event(exchange: Exchange, status: int, message: str) -> bytes:
    """An error as the provider writes it into a stream that has begun."""
    call = generating(exchange)
    provider = call.provider if call is not None else Provider.OPENAI
    document = wire.error_document(provider, status, message)
    if provider is Provider.ANTHROPIC:
        document.pop("request_id")
        return b"event: error\ndata: %b\n\n" % wire.packed(document)
    if call is not None and call.api is Api.RESPONSES:
        error = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 999}
        return b"event: error\ndata: %b\n\n" % wire.packed(error)
    return b"data: %b\n\n" % wire.packed(document)


PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
COMMENT: Final = b": keep-alive\n\n"


def ping_of(exchange: Exchange) -> bytes:
    """What the provider sends to keep a stream open."""
    call = generating(exchange)
    return PING if call is not None and call.provider is Provider.ANTHROPIC else COMMENT
