"""What the providers refuse: requests that lack something, or whose history does not fit together.

A refusal here is the target's own mistake, not an injected one: a history that lacks a tool's result is refused by the real API too, on
every further call of that conversation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from chaosbot.core.llm import Api, LlmCall

_SAMPLING: Final = ("temperature", "top_p", "top_k")
_WITHOUT_SAMPLING: Final = "2026-10-21"
"""From this version on Anthropic refuses sampling parameters."""


class Problem(NamedTuple):
    """Why a request is refused: what the provider says, and the parameter that OpenAI names."""

    message: str
    param: str | None = None


def problem_of(call: LlmCall) -> Problem | None:
    """What the provider refuses the request for; None when it takes it."""
    check = _CHECKS.get(call.api)
    if check is None:
        return None
    if not call.document and call.api is not Api.TRANSCRIPTIONS:
        return Problem("The body of the request is not a valid JSON object.")
    return check(call, call.document)


def _anthropic(call: LlmCall, asked: dict[str, Any]) -> Problem | None:
    version = call.headers.get("anthropic-version", "")
    if not version:
        return Problem("anthropic-version: header is required")
    needed = ("model", "messages") if call.api is Api.COUNT_TOKENS else ("model", "max_tokens", "messages")
    for name in needed:
        if name not in asked:
            return Problem(f"{name}: Field required")
    most = asked.get("max_tokens", 1)
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        return Problem("max_tokens: Input should be a valid integer greater than or equal to 1")
    if version >= _WITHOUT_SAMPLING:
        for name in _SAMPLING:
            if name in asked:
                return Problem(f"{name}: this parameter is not supported with anthropic-version {version}")
    turns = asked["messages"]
    if not isinstance(turns, list) or not turns:
        return Problem("messages: at least one message is required")
    waiting: set[str] = set()
    for number, turn in enumerate(turns):
        where = f"messages.{number}"
        role = turn.get("role") if isinstance(turn, dict) else None
        if role not in ("user", "assistant"):
            return Problem(f"{where}.role: Input should be 'user' or 'assistant'")
        if not number and role != "user":
            return Problem('messages: first message must use the "user" role')
        content = turn.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(blocks, list) or (not blocks and not (role == "assistant" and number == len(turns) - 1)):
            return Problem(f"{where}.content: Input should be a valid string or a non-empty list")
        blocks = [block for block in blocks if isinstance(block, dict)]
        if any(block.get("type") == "text" and not block.get("text") for block in blocks):
            return Problem(f"{where}: text content blocks must be non-empty")
        answered = {str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"}
        if missing := waiting - answered:
            ids = ", ".join(sorted(missing))
            return Problem(
                f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. Each `tool_use` block must "
                "have a corresponding `tool_result` block in the next message."
            )
        if foreign := answered - waiting:
            ids = ", ".join(sorted(foreign))
            return Problem(f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {ids}.")
        used = [block for block in blocks if block.get("type") == "tool_use"]
        if any(not isinstance(block.get("input"), dict) for block in used):
            return Problem(f"{where}.content: tool_use.input: Input should be a valid dictionary")
        waiting = {str(block.get("id")) for block in used}
    return None


def _chat(call: LlmCall, asked: dict[str, Any]) -> Problem | None:
    del call
    for name in ("model", "messages"):
        if name not in asked:
            return Problem(f"Missing required parameter: '{name}'.", name)
    turns = asked["messages"]
    if not isinstance(turns, list) or not turns:
        return Problem("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages")
    waiting: set[str] = set()
    for number, turn in enumerate(turns):
        where = f"messages[{number}]"
        role = turn.get("role") if isinstance(turn, dict) else None
        if role not in ("system", "developer", "user", "assistant", "tool", "function"):
            return Problem(f"Invalid value for '{where}.role'.", f"{where}.role")
        if role == "tool":
            answered = str(turn.get("tool_call_id"))
            if answered not in waiting:
                said = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                return Problem(f"Invalid parameter: {said}", f"{where}.role")
            waiting.discard(answered)
            continue
        if waiting:
            ids = ", ".join(sorted(waiting))
            return Problem(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
                f"The following tool_call_ids did not have response messages: {ids}",
                where,
            )
        calls = turn.get("tool_calls") or []
        if turn.get("content") is None and not (role == "assistant" and (calls or turn.get("function_call"))):
            return Problem("Invalid value for 'content': expected a string, got null.", f"{where}.content")
        waiting = {str(each.get("id")) for each in calls if isinstance(each, dict)}
    return None


def _responses(call: LlmCall, asked: dict[str, Any]) -> Problem | None:
    del call
    if "model" not in asked:
        return Problem("Missing required parameter: 'model'.", "model")
    if not asked.get("input") and "prompt" not in asked:
        return Problem("Missing required parameter: 'input'.", "input")
    items = asked["input"] if isinstance(asked.get("input"), list) else []

    def ids(kind: str) -> list[str]:
        return [str(item.get("call_id")) for item in items if isinstance(item, dict) and item.get("type") == kind]

    called, told = ids("function_call"), ids("function_call_output")
    for name in called:
        if name not in told:
            return Problem(f"No tool output found for function call {name}.", "input")
    for name in told:
        if name not in called and "previous_response_id" not in asked:
            return Problem(f"No tool call found for function call output with call_id {name}.", "input")
    return None


def _embeddings(call: LlmCall, asked: dict[str, Any]) -> Problem | None:
    del call
    missing = next((name for name in ("model", "input") if not asked.get(name)), None)
    return Problem(f"Missing required parameter: '{missing}'.", missing) if missing else None


def _transcriptions(call: LlmCall, asked: dict[str, Any]) -> Problem | None:
    del asked
    if not call.headers.get("content-type", "").startswith("multipart/form-data"):
        return Problem("Request must be multipart/form-data.")
    missing = next((name for name in ("model", "file") if b'name="%b"' % name.encode() not in call.body), None)
    return Problem(f"Missing required parameter: '{missing}'.", missing) if missing else None


def _gemini(call: LlmCall, asked: dict[str, Any]) -> Problem | None:
    del call
    turns = asked.get("contents")
    if not isinstance(turns, list) or not turns:
        return Problem("* GenerateContentRequest.contents: contents is not specified\n")
    for number, turn in enumerate(turns):
        if not isinstance(turn, dict) or turn.get("role", "user") not in ("user", "model", "function"):
            return Problem("Please use a valid role: user, model.")
        if not turn.get("parts"):
            return Problem(f"* GenerateContentRequest.contents[{number}].parts: contents.parts must not be empty.\n")
    return None


_CHECKS: Final[dict[Api, Callable[[LlmCall, dict[str, Any]], Problem | None]]] = {
    Api.MESSAGES: _anthropic,
    Api.COUNT_TOKENS: _anthropic,
    Api.CHAT: _chat,
    Api.RESPONSES: _responses,
    Api.EMBEDDINGS: _embeddings,
    Api.TRANSCRIPTIONS: _transcriptions,
    Api.GENERATE: _gemini,
}
