"""OpenAI's Chat Completions and Responses on the wire: an answer as a document, and as events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from chaosbot.core.llm import Completion, LlmCall, Stop, ToolCall, Words, pieces

FINISHES: Final = {Stop.END: "stop", Stop.LENGTH: "length", Stop.TOOL: "tool_calls", Stop.REFUSAL: "content_filter"}
_INCOMPLETE: Final = {Stop.LENGTH: "max_output_tokens", Stop.REFUSAL: "content_filter"}
CREATED: Final = 1_790_000_000
"""When every answer says it was made: answers of one seed are alike."""


# ── Chat Completions ─────────────────────────────────────────────────────────────────────────────────────────────────


def _chat(call: LlmCall, answer: Completion, kind: str) -> dict[str, Any]:
    made = {"id": f"chatcmpl-{answer.id}", "object": kind, "created": CREATED, "model": call.model}
    return made | {"service_tier": "default", "system_fingerprint": "fp_chaosbot"}


def _chat_usage(call: LlmCall, answer: Completion) -> dict[str, Any]:
    spent, written = call.input_tokens, answer.output_tokens
    return {
        "prompt_tokens": spent,
        "completion_tokens": written,
        "total_tokens": spent + written,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _function(answer: Completion, number: int, block: ToolCall, arguments: str) -> dict[str, Any]:
    function = {"name": block.name, "arguments": arguments}
    return {"id": f"call_{answer.id}{number:02x}", "type": "function", "function": function}


def _tools(answer: Completion) -> list[ToolCall]:
    return [block for block in answer.blocks if isinstance(block, ToolCall)]


def chat_document(call: LlmCall, answer: Completion) -> dict[str, Any]:
    """The whole answer of Chat Completions."""
    tools = [_function(answer, number, block, block.arguments) for number, block in enumerate(_tools(answer))]
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or (None if tools else ""), "refusal": None}
    if tools:
        message["tool_calls"] = tools
    made = _chat(call, answer, "chat.completion")
    made["choices"] = [{"index": 0, "message": message, "logprobs": None, "finish_reason": FINISHES[answer.stop]}]
    made["usage"] = _chat_usage(call, answer)
    return made


def chat_events(call: LlmCall, answer: Completion) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """The chunks of Chat Completions; they have no names, and the last, None, is ``[DONE]``."""
    head = _chat(call, answer, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> tuple[str, dict[str, Any]]:
        return "", head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for text in pieces(answer.text):
        yield chunk({"content": text})
    for number, block in enumerate(_tools(answer)):
        yield chunk({"tool_calls": [{"index": number, **_function(answer, number, block, "")}]})
        for text in pieces(block.arguments):
            yield chunk({"tool_calls": [{"index": number, "function": {"arguments": text}}]})
    yield chunk({}, FINISHES[answer.stop])
    if call.wants_usage:
        yield "", head | {"choices": [], "usage": _chat_usage(call, answer)}
    yield "", None


# ── Responses ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _response(call: LlmCall, answer: Completion, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    asked = call.document
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": call.most_tokens,
        "model": call.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": asked.get("previous_response_id"),
        "store": asked.get("store", True),
        "temperature": asked.get("temperature", 1.0),
        "text": asked.get("text") or {"format": {"type": "text"}},
        "tool_choice": asked.get("tool_choice", "auto"),
        "tools": asked.get("tools", []),
        "top_p": asked.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "metadata": asked.get("metadata") or {},
    }


def _item(answer: Completion, number: int, *, done: bool) -> dict[str, Any]:
    block = answer.blocks[number]
    key, status = f"{answer.id}{number:02x}", "completed" if done else "in_progress"
    if isinstance(block, ToolCall):
        item = {
            "type": "function_call",
            "id": f"fc_{key}",
            "call_id": f"call_{key}",
            "name": block.name,
            "status": status,
        }
        return item | {"arguments": block.arguments if done else ""}
    if block.thought:
        summary = [{"type": "summary_text", "text": block.text}] if done else []
        return {"type": "reasoning", "id": f"rs_{key}", "summary": summary}
    content = [_text(block.text)] if done else []
    return {"type": "message", "id": f"msg_{key}", "role": "assistant", "status": status, "content": content}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response_document(call: LlmCall, answer: Completion) -> dict[str, Any]:
    """The whole answer of the Responses API."""
    reason = _INCOMPLETE.get(answer.stop)
    output = [_item(answer, number, done=True) for number in range(len(answer.blocks))]
    made = _response(call, answer, "incomplete" if reason else "completed", output)
    made["incomplete_details"] = {"reason": reason} if reason else None
    spent, written = call.input_tokens, answer.output_tokens
    made["usage"] = {
        "input_tokens": spent,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": spent + written,
    }
    return made


def response_events(call: LlmCall, answer: Completion) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of the Responses API, numbered."""
    for number, (name, data) in enumerate(_response_events(call, answer)):
        yield name, data | {"sequence_number": number}


def _response_events(call: LlmCall, answer: Completion) -> Iterator[tuple[str, dict[str, Any]]]:
    begun = _response(call, answer, "in_progress", [])
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, block in enumerate(answer.blocks):
        item = _item(answer, index, done=True)
        place = {"item_id": item["id"], "output_index": index}
        yield "response.output_item.added", {"output_index": index, "item": _item(answer, index, done=False)}
        if isinstance(block, ToolCall):
            for text in pieces(block.arguments):
                yield "response.function_call_arguments.delta", place | {"delta": text}
            yield "response.function_call_arguments.done", place | {"name": block.name, "arguments": block.arguments}
        else:
            yield from _words_events(block, place)
        yield "response.output_item.done", {"output_index": index, "item": item}
    whole = response_document(call, answer)
    yield f"response.{whole['status']}", {"response": whole}


def _words_events(block: Words, place: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if block.thought:
        place = place | {"summary_index": 0}
        yield "response.reasoning_summary_part.added", place | {"part": {"type": "summary_text", "text": ""}}
        for text in pieces(block.text):
            yield "response.reasoning_summary_text.delta", place | {"delta": text}
        yield "response.reasoning_summary_text.done", place | {"text": block.text}
        yield "response.reasoning_summary_part.done", place | {"part": {"type": "summary_text", "text": block.text}}
        return
    place = place | {"content_index": 0}
    yield "response.content_part.added", place | {"part": _text("")}
    for text in pieces(block.text):
        yield "response.output_text.delta", place | {"delta": text, "logprobs": []}
    yield "response.output_text.done", place | {"text": block.text, "logprobs": []}
    yield "response.content_part.done", place | {"part": _text(block.text)}
