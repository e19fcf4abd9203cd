"""Gemini's generateContent on the wire: an answer as a document, and as events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from chaosbot.core.llm import Block, Completion, LlmCall, Stop, ToolCall, Words, pieces

FINISHES: Final = {Stop.END: "STOP", Stop.LENGTH: "MAX_TOKENS", Stop.TOOL: "STOP", Stop.REFUSAL: "SAFETY"}


def _part(block: Block) -> dict[str, Any]:
    if isinstance(block, ToolCall):
        return {"functionCall": {"name": block.name, "args": block.values}}
    return {"text": block.text, "thought": True} if block.thought else {"text": block.text}


def document(
    call: LlmCall, answer: Completion, parts: list[dict[str, Any]] | None = None, *, last: bool = True
) -> dict[str, Any]:
    """The whole answer, or the piece of one that holds these parts."""
    candidate: dict[str, Any] = {"index": 0}
    shown = [_part(block) for block in answer.blocks] if parts is None else parts
    if shown:
        candidate["content"] = {"role": "model", "parts": shown}
    if last:
        candidate["finishReason"] = FINISHES[answer.stop]
    made: dict[str, Any] = {"candidates": [candidate], "modelVersion": call.model, "responseId": answer.id}
    spent, written = call.input_tokens, answer.output_tokens
    made["usageMetadata"] = {
        "promptTokenCount": spent,
        "candidatesTokenCount": written,
        "totalTokenCount": spent + written,
    }
    return made


def events(call: LlmCall, answer: Completion) -> Iterator[tuple[str, dict[str, Any]]]:
    """The answer's events, which have no names; the last says why it ends."""
    parts: list[dict[str, Any]] = []
    for block in answer.blocks:
        if isinstance(block, ToolCall):
            parts.append(_part(block))
        else:
            parts += [_part(Words(text, block.thought)) for text in pieces(block.text)]
    for number, part in enumerate(parts, 1):
        yield "", document(call, answer, [part], last=number == len(parts))
    if not parts:
        yield "", document(call, answer, [])
