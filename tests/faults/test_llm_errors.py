"""Refusals of language models, status by status, in the words of each provider."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Answer
from chaosbot.core.fault import FAULTS
from chaosbot.core.llm import Provider, read_call
from chaosbot.core.marker import markers_in

CALLS = {
    Provider.ANTHROPIC: read_call("POST", "/v1/messages", {"x-api-key": "sk-ant-0123456789abcdef"}, b"{}"),
    Provider.OPENAI: read_call("POST", "/v1/chat/completions", {"authorization": "Bearer sk-0123456789abcdef"}, b"{}"),
    Provider.GEMINI: read_call("POST", "/v1/models/gemini-3-pro:generateContent", {"x-goog-api-key": "k" * 20}, b"{}"),
}


def told(fault: str, provider: Provider, **options: Any) -> tuple[Answer, dict[str, Any]]:
    """The one answer of a fault to a call, and the error in it."""
    (made,) = FAULTS.build(fault, options).on_call(Dice(7), CALLS[provider])  # type: ignore[attr-defined]
    assert isinstance(made, Answer)
    error: dict[str, Any] = json.loads(made.body)["error"]
    assert error["message"]
    return made, error


@pytest.mark.parametrize(
    ("status", "claude", "gpt", "gemini"),
    [
        (400, "invalid_request_error", ("invalid_request_error", "context_length_exceeded"), "INVALID_ARGUMENT"),
        (401, "authentication_error", ("invalid_request_error", "invalid_api_key"), "UNAUTHENTICATED"),
        (402, "billing_error", ("invalid_request_error", None), "UNKNOWN"),
        (403, "permission_error", ("invalid_request_error", None), "PERMISSION_DENIED"),
        (404, "not_found_error", ("invalid_request_error", "model_not_found"), "NOT_FOUND"),
        (409, "conflict_error", ("invalid_request_error", None), "ABORTED"),
        (413, "request_too_large", ("invalid_request_error", None), "UNKNOWN"),
        (500, "api_error", ("server_error", None), "INTERNAL"),
        (503, "api_error", ("server_error", None), "UNAVAILABLE"),
        (504, "timeout_error", ("server_error", None), "DEADLINE_EXCEEDED"),
        (529, "overloaded_error", ("server_error", None), "UNAVAILABLE"),
    ],
)
def test_each_status_has_its_provider_s_type(
    status: int, claude: str, gpt: tuple[str, str | None], gemini: str
) -> None:
    made, error = told("llm_error", Provider.ANTHROPIC, status=status)
    assert (made.status, error["type"]) == (status, claude)
    assert json.loads(made.body)["request_id"] == dict(made.headers)["request-id"]
    elsewhere = 503 if status == 529 else status
    made, error = told("llm_error", Provider.OPENAI, status=status)
    assert (made.status, (error["type"], error["code"])) == (elsewhere, gpt)
    made, error = told("llm_error", Provider.GEMINI, status=status)
    assert (made.status, error["code"], error["status"]) == (elsewhere, elsewhere, gemini)


@pytest.mark.parametrize(
    ("what", "code", "kind", "waits"),
    [
        ("rate", "rate_limit_exceeded", "rate_limit_error", True),
        ("slow_down", "slow_down", "rate_limit_error", True),
        ("quota", "insufficient_quota", "insufficient_quota", False),
        ("credit", "credit_balance_exhausted", "insufficient_quota", False),
        ("spend_cap", "insufficient_quota", "insufficient_quota", False),
    ],
)
def test_429_says_whether_waiting_helps(what: str, code: str, kind: str, waits: bool) -> None:
    made, error = told("llm_429", Provider.OPENAI, what=what)
    assert (made.status, error["code"], error["type"]) == (429, code, kind)
    assert ("retry-after" in dict(made.headers)) is waits
    made, error = told("llm_429", Provider.ANTHROPIC, what=what)
    assert error["type"] == "rate_limit_error"
    assert ("retry-after" in dict(made.headers)) is waits
    assert ("details" in error) is not waits
    made, error = told("llm_429", Provider.GEMINI, what=what)
    assert error["status"] == "RESOURCE_EXHAUSTED"
    assert ("details" in error) is waits


def test_what_another_user_might_have_said_carries_nobody_s_marker() -> None:
    (made,) = FAULTS.build("llm_echo", {"what": "other"}).on_call(Dice(7), CALLS[Provider.ANTHROPIC])  # type: ignore[attr-defined]
    assert b"the user before you wrote" in made.body
    assert markers_in(made.body.decode()) == ()
