"""Requests that no SDK would send: the mock refuses them and never breaks."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosbot.core.event import Event, ModelCalled
from chaosbot.core.mock import MockAnswer, MockRequest, MockServices
from chaosbot.mocks.llm import LlmApi

HEADERS = (("Authorization", "Bearer k"), ("anthropic-version", "2023-06-01"), ("Content-Type", "application/json"))
PATHS = (
    *(
        "/v1/messages",
        "/messages/",
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/audio/transcriptions",
    ),
    *("/v1beta/models/m:generateContent", "/v1/models/m:streamGenerateContent?alt=sse", "/v1/messages/count_tokens"),
)
WORDS = (
    *(
        "model",
        "messages",
        "input",
        "contents",
        "role",
        "content",
        "parts",
        "tools",
        "tool_choice",
        "stream",
        "thinking",
    ),
    *(
        "text",
        "type",
        "name",
        "system",
        "max_tokens",
        "response_format",
        "output_config",
        "generationConfig",
        "tool_calls",
    ),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["user", "assistant", "tool", "", "tool_result", "m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=25,
)


def asked(path: str, body: Any, method: str = "POST") -> tuple[MockAnswer, list[Event]]:
    events: list[Event] = []
    api = LlmApi().api(MockServices(lambda: 0.0, events.append, itertools.count(1)))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api.answer(MockRequest(method, path, HEADERS, data)), events


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PATHS), st.dictionaries(st.sampled_from(WORDS), JSON, max_size=6))
def test_any_json_is_answered_and_recorded(path: str, body: dict[str, Any]) -> None:
    answer, events = asked(path, body)
    assert answer.status in (200, 400)
    assert answer.body
    assert isinstance(events[0], ModelCalled)
    assert (answer.status == 400) is bool(events[0].problem)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\x00", b"[" * 100_000])
def test_what_is_no_json_is_refused_in_the_providers_words(path: str, body: bytes) -> None:
    answer, _ = asked(path, body)
    assert answer.status == 400
    assert "error" in json.loads(answer.body)


def test_without_a_key_each_provider_says_so() -> None:
    api = LlmApi().api(MockServices(lambda: 0.0, lambda _: None, itertools.count(1)))
    statuses = [api.answer(MockRequest("POST", path, (), b"{}")).status for path in PATHS]
    assert statuses == [401] * 6 + [403, 403, 401]
