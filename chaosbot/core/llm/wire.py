"""Answers, streams and errors as each provider writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec

from chaosbot.core.llm import Api, Completion, LlmCall, Provider, anthropic, gemini, openai, tokens_of
from chaosbot.core.mock import Headers

JSON: Final[Headers] = (("content-type", "application/json"),)
EVENTS: Final[Headers] = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))


class SseEvent(NamedTuple):
    """One event of a stream: its bytes, and the piece of the answer that is in it, as the provider's delta."""

    data: bytes
    delta: Any = None

    @property
    def tokens(self) -> int:
        """About how many tokens of the answer are in it."""
        if not isinstance(self.delta, dict):
            return 0
        names = ("text", "thinking", "partial_json", "content")
        return sum(tokens_of(said) for name in names if isinstance(said := self.delta.get(name), str))


def packed(document: Any) -> bytes:
    """A document as JSON."""
    try:
        return msgspec.json.encode(document)
    except (ValueError, OverflowError):  # half a character, or a number of any length, which a client may have sent
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def document(call: LlmCall, answer: Completion) -> bytes:
    """The body of an answer that comes in one piece."""
    match call.api:
        case Api.MESSAGES:
            return packed(anthropic.document(call, answer))
        case Api.CHAT:
            return packed(openai.chat_document(call, answer))
        case Api.RESPONSES:
            return packed(openai.response_document(call, answer))
        case _:
            return packed(gemini.document(call, answer))


def stream(call: LlmCall, answer: Completion) -> Iterator[SseEvent]:
    """The body of an answer that streams, event by event."""
    match call.api:
        case Api.MESSAGES:
            for name, data in anthropic.events(call, answer):
                yield SseEvent(_named(name, data), data.get("delta"))
        case Api.CHAT:
            for _, chunk in openai.chat_events(call, answer):
                delta = chunk["choices"][0]["delta"] if chunk is not None and chunk["choices"] else None
                yield SseEvent(b"data: %b\n\n" % (b"[DONE]" if chunk is None else packed(chunk)), delta)
        case Api.RESPONSES:
            for name, data in openai.response_events(call, answer):
                yield SseEvent(_named(name, data), {"text": data.get("delta")})
        case _:
            yield from _gemini_stream(call, answer)


def _gemini_stream(call: LlmCall, answer: Completion) -> Iterator[SseEvent]:
    for number, (_, data) in enumerate(gemini.events(call, answer)):
        parts = data["candidates"][0].get("content", {}).get("parts", [{}])
        if call.events:
            yield SseEvent(b"data: %b\r\n\r\n" % packed(data), parts[0])
        else:  # an array that grows
            yield SseEvent((b",\r\n" if number else b"[") + packed(data), parts[0])
    if not call.events:
        yield SseEvent(b"]")


def _named(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), packed({"type": name, **data}))


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_ANTHROPIC: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OPENAI: Final = {401: ("invalid_request_error", "invalid_api_key"), 404: ("invalid_request_error", "model_not_found")}
_GEMINI: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def request_id(provider: Provider, id: str) -> Headers:
    """The header by which a provider names a call."""
    match provider:
        case Provider.ANTHROPIC:
            return (("request-id", f"req_{id}"), ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"))
        case Provider.OPENAI:
            return (
                ("x-request-id", f"req_{id}"),
                ("openai-version", "2020-10-01"),
                ("openai-organization", "chaosbot"),
            )
        case Provider.GEMINI:
            return (("server", "scaffolding on HTTPServer2"),)


def error_document(
    provider: Provider,
    status: int,
    message: str,
    *,
    id: str = "0",
    code: str | None = None,
    param: str | None = None,
) -> dict[str, Any]:
    """An error as a provider says it.

    Args:
        provider: Whose error.
        status: The HTTP status.
        message: What it says.
        id: The call's id.
        code: OpenAI's code.
        param: OpenAI's name of the wrong parameter.
    """
    match provider:
        case Provider.ANTHROPIC:
            error: dict[str, Any] = {"type": _ANTHROPIC.get(status, "api_error"), "message": message}
            return {"type": "error", "error": error, "request_id": f"req_{id}"}
        case Provider.OPENAI:
            usual = _OPENAI.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
            return {"error": {"message": message, "type": usual[0], "param": param, "code": code or usual[1]}}
        case Provider.GEMINI:
            return {"error": {"code": status, "message": message, "status": _GEMINI.get(status, "UNKNOWN")}}


def gateway_page(status: int) -> tuple[Headers, bytes]:
    """The page of HTML that the edge before a provider answers with."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Server Error"
    page = (
        f"<html>\r\n<head><title>{status} {phrase}</title></head>\r\n<body>\r\n<center><h1>{status} {phrase}</h1></center>\r\n"
        "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    )
    return (("content-type", "text/html; charset=utf-8"), ("cf-ray", "9a0b1c2d3e4f5a6b-FRA")), page.encode()
