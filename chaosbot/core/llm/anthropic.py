"""Anthropic's Messages API on the wire: an answer as a document, and as events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from chaosbot.core.llm import Completion, LlmCall, Stop, ToolCall, pieces

STOPS: Final = {Stop.END: "end_turn", Stop.LENGTH: "max_tokens", Stop.TOOL: "tool_use", Stop.REFUSAL: "refusal"}


def _message(call: LlmCall, answer: Completion) -> dict[str, Any]:
    """A message before anything is written."""
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(call, 1),
    }


def _usage(call: LlmCall, output: int) -> dict[str, Any]:
    return {
        "input_tokens": call.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
        "service_tier": "standard",
    }


def _block(answer: Completion, number: int) -> dict[str, Any]:
    block = answer.blocks[number]
    if isinstance(block, ToolCall):
        key = f"toolu_{answer.id}{number:02x}"
        return {"type": "tool_use", "id": key, "name": block.name, "input": block.values}
    if block.thought:
        return {"type": "thinking", "thinking": block.text, "signature": f"sig{answer.id}"}
    return {"type": "text", "text": block.text}


def _stopped(answer: Completion) -> dict[str, Any]:
    end: dict[str, Any] = {"stop_reason": STOPS[answer.stop], "stop_sequence": None}
    if answer.stop is Stop.REFUSAL:
        end["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return end


def document(call: LlmCall, answer: Completion) -> dict[str, Any]:
    """The whole answer."""
    made = _message(call, answer)
    made["content"] = [_block(answer, number) for number in range(len(answer.blocks))]
    made |= _stopped(answer)
    made["usage"] = _usage(call, answer.output_tokens)
    return made


def events(call: LlmCall, answer: Completion) -> Iterator[tuple[str, dict[str, Any]]]:
    """The answer's events: names and data."""
    yield "message_start", {"message": _message(call, answer)}
    for index, block in enumerate(answer.blocks):
        whole = _block(answer, index)
        if isinstance(block, ToolCall):
            yield "content_block_start", {"index": index, "content_block": whole | {"input": {}}}
            deltas = [{"type": "input_json_delta", "partial_json": text} for text in ("", *pieces(block.arguments))]
        elif block.thought:
            yield "content_block_start", {"index": index, "content_block": whole | {"thinking": "", "signature": ""}}
            deltas = [{"type": "thinking_delta", "thinking": text} for text in pieces(block.text)]
            deltas.append({"type": "signature_delta", "signature": whole["signature"]})
        else:
            yield "content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}}
            deltas = [{"type": "text_delta", "text": text} for text in pieces(block.text)]
        if not index:
            yield "ping", {}
        for delta in deltas:
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    yield "message_delta", {"delta": _stopped(answer), "usage": {"output_tokens": answer.output_tokens}}
    yield "message_stop", {}
