"""What a provider answered, read from its bytes: the mock's, a fault's or the real API's, plain or streamed, whole or broken off.

Reading never fails: what is missing is empty, what is no answer says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from chaosbot.core.jsontext import read_json
from chaosbot.core.llm import Api, LlmCall, Stop
from chaosbot.core.marker import answer_marks_in

_STOPS: Final = {
    Stop.END: {"end_turn", "stop_sequence", "stop", "completed", "STOP"},
    Stop.LENGTH: {"max_tokens", "length", "max_output_tokens", "MAX_TOKENS", "model_context_window_exceeded"},
    Stop.TOOL: {"tool_use", "tool_calls", "function_call"},
    Stop.REFUSAL: {"refusal", "content_filter", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "RECITATION"},
}
_STOP_OF: Final = {word: stop for stop, words in _STOPS.items() for word in words}
_DATA: Final = re.compile(rb"^data: ?(.*?)\r?$", re.MULTILINE)
_USAGES: Final = (("input_tokens", "output_tokens"), ("prompt_tokens", "completion_tokens"))
_GEMINI_USAGE: Final = ("promptTokenCount", "candidatesTokenCount")


@dataclass(slots=True)
class Served:
    """An answer as its bytes tell it.

    Args:
        text: What is said.
        stop: Why it ends; None where it does not say so, as one that was cut off.
        tools: The tools that it calls, in order.
        input_tokens: What the provider counted; None where it does not say.
        output_tokens: The same of the answer.
    """

    text: str = ""
    stop: Stop | None = None
    tools: list[str] = field(default_factory=list)
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def mark(self) -> str:
        """The mark of a mocked answer; empty where it has none."""
        return next((mark[4:] for mark in answer_marks_in(self.text)), "")


def read_answer(call: LlmCall, body: bytes) -> Served:
    """Reads the body of an answer to a call; of a long stream its beginning and its end are enough."""
    served = Served()
    for found in _documents(body):
        match call.api:
            case Api.MESSAGES:
                _messages(served, found)
            case Api.CHAT:
                _chat(served, found)
            case Api.RESPONSES:
                _responses(served, found)
            case Api.GENERATE:
                _gemini(served, found)
            case _:
                _usage(served, found.get("usage"))
    if served.tools and served.stop is Stop.END:  # OpenAI's Responses and Gemini have no word of their own for it
        served.stop = Stop.TOOL
    return served


def error_code(body: bytes) -> str:
    """The most telling code or type of an error; empty where the body is no provider's error."""
    error = _object(next((_object(found.get("error")) for found in _documents(body)), {}))
    details = _object(error.get("details"))
    found = (details.get("error_code"), error.get("code"), error.get("type"), error.get("status"))
    return next((word[:80] for word in found if isinstance(word, str) and word), "")


def _documents(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a body: itself, the items of an array, or the data of events."""
    whole = _json(body)
    found = whole if isinstance(whole, list) else [whole] if whole is not None else map(_json, _DATA.findall(body))
    yield from (one for one in found if isinstance(one, dict))


def _json(data: bytes) -> Any:
    try:
        return read_json(data)
    except ValueError:
        return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _stopped(served: Served, word: Any) -> None:
    if isinstance(word, str) and word:
        served.stop = _STOP_OF.get(word, served.stop or Stop.END)


def _usage(served: Served, usage: Any, names: tuple[tuple[str, str], ...] = _USAGES) -> None:
    for given, written in names:
        counted = _object(usage)
        if isinstance(counted.get(given), int):
            served.input_tokens = counted[given]
        if isinstance(counted.get(written), int):
            served.output_tokens = counted[written]


def _said(served: Served, text: Any) -> None:
    if isinstance(text, str):
        served.text += text


def _called(served: Served, name: Any) -> None:
    if isinstance(name, str) and name:
        served.tools.append(name)


def _messages(served: Served, found: dict[str, Any]) -> None:
    message = _object(found.get("message")) or found
    for block in [*_objects(message.get("content")), _object(found.get("content_block"))]:
        _said(served, block.get("text"))
        if block.get("type") == "tool_use":
            _called(served, block.get("name"))
    delta = _object(found.get("delta"))
    _said(served, delta.get("text"))
    _stopped(served, delta.get("stop_reason") or message.get("stop_reason"))
    _usage(served, found.get("usage") or message.get("usage"))


def _chat(served: Served, found: dict[str, Any]) -> None:
    for choice in _objects(found.get("choices")):
        said = _object(choice.get("message") or choice.get("delta"))
        _said(served, said.get("content"))
        for tool in _objects(said.get("tool_calls")):
            _called(served, _object(tool.get("function")).get("name"))
        _stopped(served, choice.get("finish_reason"))
    _usage(served, found.get("usage"))


def _responses(served: Served, found: dict[str, Any]) -> None:
    kind = str(found.get("type", ""))
    if kind == "response.output_text.delta":
        _said(served, found.get("delta"))
    if kind == "response.output_item.added":
        item = _object(found.get("item"))
        _called(served, item.get("name") if item.get("type") == "function_call" else None)
    whole = _object(found.get("response")) or (found if "output" in found else {})
    if not kind:  # a document: in a stream its parts were told before
        for item in _objects(whole.get("output")):
            _called(served, item.get("name") if item.get("type") == "function_call" else None)
            for part in _objects(item.get("content")):
                _said(served, part.get("text"))
    if whole.get("status") in ("completed", "incomplete"):
        _stopped(served, _object(whole.get("incomplete_details")).get("reason") or "completed")
    _usage(served, whole.get("usage"))


def _gemini(served: Served, found: dict[str, Any]) -> None:
    for candidate in _objects(found.get("candidates")):
        for part in _objects(_object(candidate.get("content")).get("parts")):
            if not part.get("thought"):
                _said(served, part.get("text"))
            _called(served, _object(part.get("functionCall")).get("name"))
        _stopped(served, candidate.get("finishReason"))
    _usage(served, found.get("usageMetadata"), (_GEMINI_USAGE,))
