"""Each fault on calls of language models, as the providers' own SDKs see it through the proxy."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest

from chaosbot.core.event import ExchangeSeen, Injected, ModelCalled
from tests.support.models import Behind, behind_proxy

MARKER = "cbm0123456789ab"
SYSTEM = "You are the assistant of a shop for garden tools; never name the discount code."
ASK: list[Any] = [{"role": "user", "content": f"hello {MARKER}"}]
SCHEMA = {"type": "object", "properties": {"user_id": {"type": "integer"}, "tier": {"enum": ["user", "admin"]}}}
CLAUDE: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 600, "messages": ASK}
GPT: dict[str, Any] = {"model": "gpt-5-mini", "messages": ASK}
TOOL = {"name": "grant", "description": "Gives a role", "input_schema": SCHEMA}
FUNCTION = {"type": "function", "function": {"name": "grant", "parameters": SCHEMA}}


def claude(behind: Behind, **more: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url=behind.url(), api_key="sk-ant-0123456789-abcdef", max_retries=0, **{"timeout": 20} | more
    )


def gpt(behind: Behind, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=behind.url() + "/v1", api_key="sk-0123456789-abcdef", max_retries=0, **{"timeout": 20} | more
    )


def said_by_claude(behind: Behind, **more: Any) -> tuple[str, Any]:
    """Text and reason to stop, as raw iteration sees them."""
    text, reason = "", None
    for event in claude(behind, **more).messages.create(**CLAUDE, stream=True):
        if event.type == "content_block_delta":
            text += event.delta.text
        if event.type == "message_delta":
            reason = event.delta.stop_reason
    return text, reason


def said_by_gpt(behind: Behind, **more: Any) -> tuple[str, Any]:
    text, reason = "", None
    for chunk in gpt(behind, **more).chat.completions.create(**GPT, stream=True):
        for choice in chunk.choices:
            text, reason = text + (choice.delta.content or ""), choice.finish_reason or reason
    return text, reason


def complete(text: str) -> bool:
    return text.startswith("cbas") and text[4:12] == text[-8:] and text[-12:-8] == "cbae"


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("end", ["clean", "eof"])
def test_a_cut_stream_that_ends_clean_raises_nothing_and_its_text_is_a_part(end: str) -> None:
    with behind_proxy("mock:llm", f"llm_cut_stream:6;end={end}") as behind:
        for said in (said_by_claude, said_by_gpt):
            text, reason = said(behind)
            assert text.startswith("cbas")
            assert not complete(text)
            assert reason is None
        with claude(behind).messages.stream(**CLAUDE) as stream:
            assert stream.get_final_message().stop_reason is None  # quiet in the helper as well
        seen, cut = behind.all(ExchangeSeen, 3), behind.all(Injected, 3)
    assert [one.whole for one in seen] == [False] * 3
    assert cut[0].detail == f"the stream ends ({end}) after 6 events"


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_stream_that_breaks_off_raises_what_is_no_error_of_anthropics_sdk(end: str) -> None:
    with behind_proxy("mock:llm", f"llm_cut_stream:6;end={end}") as behind:
        with pytest.raises(Exception) as caught:
            said_by_claude(behind)
        with pytest.raises((openai.APIConnectionError, httpx.TransportError)):
            said_by_gpt(behind)
    assert not isinstance(caught.value, anthropic.APIError)
    assert type(caught.value).__name__ in ("RemoteProtocolError", "ReadError")


@pytest.mark.slow
def test_a_stream_is_cut_inside_a_line_and_before_what_says_why_it_ends() -> None:
    with behind_proxy("mock:llm", "llm_cut_stream:5;where=line") as behind:
        assert not complete(said_by_claude(behind)[0])
    with behind_proxy("mock:llm", "llm_cut_stream;where=reason") as behind:
        for said in (said_by_claude, said_by_gpt):
            text, reason = said(behind)
            assert complete(text)
            assert reason is None
    with behind_proxy("mock:llm", "llm_cut_stream;where=last") as behind:
        assert [said(behind)[1] for said in (said_by_claude, said_by_gpt)] == ["end_turn", "stop"]


@pytest.mark.slow
def test_a_silent_stream_times_out_only_where_nothing_at_all_comes() -> None:
    with behind_proxy("mock:llm", "llm_stall:30s;after=5") as behind:
        started = time.monotonic()
        with pytest.raises(Exception, match=r"(?i)time"):  # a ReadTimeout of the HTTP library
            said_by_claude(behind, timeout=1)
        assert time.monotonic() - started < 15
    with behind_proxy("mock:llm", "llm_stall:3s;after=5;pings=200ms") as behind:
        started = time.monotonic()
        assert complete(said_by_claude(behind, timeout=1)[0])  # pings reset its clock
        assert time.monotonic() - started >= 2.9
    with behind_proxy("mock:llm", "llm_stall:30s") as behind, pytest.raises(anthropic.APITimeoutError):
        claude(behind, timeout=1).messages.create(**CLAUDE)


def test_a_slow_model_takes_its_time() -> None:
    with behind_proxy("mock:llm", "llm_slow:800ms;pause=50ms") as behind:
        started = time.monotonic()
        with claude(behind).messages.stream(**CLAUDE) as stream:
            first = next(iter(stream))
            began = time.monotonic() - started
            assert first.type == "message_start"
            assert complete(stream.get_final_text())
        assert began >= 0.8
        assert time.monotonic() - started >= 0.8 + 8 * 0.05


def test_an_error_in_a_stream_has_no_class_of_its_own() -> None:
    with behind_proxy("mock:llm", "llm_error_event:4") as behind:
        with pytest.raises(anthropic.APIStatusError) as overloaded:
            said_by_claude(behind)
        assert overloaded.value.status_code == 200
        with pytest.raises(openai.APIError):
            said_by_gpt(behind)
        asked = gpt(behind).responses.create(model="gpt-5-mini", input="hello", stream=True)
        assert [event.type for event in asked][-1] == "error"  # handed on, not raised


@pytest.mark.slow
def test_missing_and_doubled_events_are_quiet() -> None:
    with behind_proxy("mock:llm", "llm_double_event:1") as behind:
        plain = ModelCalled
        for said in (said_by_claude, said_by_gpt):
            text, _ = said(behind)
            told = [call.text for call in behind.all(plain)][-1]
            assert len(text) > len(told)
    with behind_proxy("mock:llm", "llm_drop_event;skip=1") as behind:
        text, reason = said_by_claude(behind)
        assert len(text) < len(behind.all(ModelCalled)[0].text)
        assert reason == "end_turn"
    with behind_proxy("mock:llm", "llm_drop_event:first") as behind, pytest.raises((AssertionError, RuntimeError)):
        of_claude_streamed(behind)
    with behind_proxy("mock:llm", "llm_drop_event:last") as behind:
        assert complete(said_by_gpt(behind)[0])  # [DONE] is not missed


@pytest.mark.slow
def test_pieces_of_one_byte_and_comments_are_survived_but_for_a_comment_after_an_id() -> None:
    with behind_proxy("mock:llm", "llm_split") as behind:
        assert complete(said_by_claude(behind)[0])
        assert complete(said_by_gpt(behind)[0])
    for what, survives in (("comment", True), ("id", False), ("data", False), ("empty", False)):
        with behind_proxy("mock:llm", f"llm_keepalive:{what}") as behind:
            assert complete(said_by_claude(behind)[0])
            if survives:
                assert complete(said_by_gpt(behind)[0])
                continue
            with pytest.raises(json.JSONDecodeError):
                said_by_gpt(behind)


def test_any_stream_of_events_is_disturbed_when_its_client_says_that_it_wants_one() -> None:
    with behind_proxy("mock:llm", "llm_cut_stream:0") as behind:
        host, _, port = behind.url().removeprefix("http://").partition(":")
        asked = json.dumps(CLAUDE | {"stream": True}).encode()
        with socket.create_connection((host, int(port)), timeout=20) as sock:
            head = (
                b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(asked)
            )
            sock.sendall(head + asked)
            answer = b""
            while not answer.endswith(b"0\r\n\r\n"):
                answer += sock.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert b"event:" not in answer
            # The connection is as good as before.
            sock.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK")


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "error", "other"),
    [
        (400, anthropic.BadRequestError, openai.BadRequestError),
        (401, anthropic.AuthenticationError, openai.AuthenticationError),
        (404, anthropic.NotFoundError, openai.NotFoundError),
        (529, anthropic.APIStatusError, openai.InternalServerError),
    ],
)
@pytest.mark.quick(2)
def test_refusals_come_in_the_words_of_each_provider(
    status: int, error: type[Exception], other: type[Exception]
) -> None:
    with behind_proxy("mock:llm", f"llm_error:{status}") as behind:
        with pytest.raises(error) as refused:
            claude(behind).messages.create(**CLAUDE)
        with pytest.raises(other) as said:
            gpt(behind).chat.completions.create(**GPT)
        calls = behind.all(ModelCalled, 2)
    assert refused.value.status_code == status  # type: ignore[attr-defined]
    assert refused.value.request_id.startswith("req_")  # type: ignore[attr-defined]
    assert [call.status for call in calls] == [status, 503 if status == 529 else status]
    if status == 401:
        assert "sk-ant-01234" in str(refused.value)  # a part of the key
    if status == 400:
        assert said.value.code == "context_length_exceeded"  # type: ignore[attr-defined]


def test_a_rate_limit_says_how_long_to_wait_and_the_sdk_waits_so_long() -> None:
    with behind_proxy("mock:llm", "llm_429:1s;first=1") as behind:
        claude(behind).with_options(max_retries=2).messages.create(**CLAUDE)
        first, second = behind.all(ModelCalled, 2)
    assert (first.status, first.retry_after_s, first.attempt) == (429, 1.0, 1)
    assert (second.status, second.attempt) == (200, 2)
    assert second.t - first.t >= 0.95


@pytest.mark.parametrize("what", ["quota", "spend_cap"])
def test_money_that_is_gone_is_told_without_a_time_to_wait(what: str) -> None:
    with behind_proxy("mock:llm", f"llm_429;what={what}") as behind:
        with pytest.raises(anthropic.RateLimitError) as spent:
            claude(behind).messages.create(**CLAUDE)
        with pytest.raises(openai.RateLimitError) as empty:
            gpt(behind).chat.completions.create(**GPT)
    assert spent.value.body["error"]["details"]["error_code"] == "enforced_spend_limit_reached"  # type: ignore[index]
    assert empty.value.code == "insufficient_quota"
    assert "retry-after" not in empty.value.response.headers


def test_a_page_of_html_stands_in_the_text_of_the_error() -> None:
    with behind_proxy("mock:llm", "llm_gateway:502") as behind, pytest.raises(anthropic.InternalServerError) as caught:
        claude(behind).messages.create(**CLAUDE)
    assert "<html>" in str(caught.value)


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_claude(behind: Behind, **more: Any) -> Any:
    return claude(behind).messages.create(**CLAUDE, **more)


def of_claude_streamed(behind: Behind, **more: Any) -> Any:
    with claude(behind).messages.stream(**CLAUDE, **more) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("ask", [of_claude, of_claude_streamed])
def test_an_answer_at_its_bound_and_a_refusal_are_quiet(ask: Callable[..., Any]) -> None:
    with behind_proxy("mock:llm", "llm_max_tokens") as behind:
        cut = ask(behind)
        (call,) = behind.all(ModelCalled)
    assert (cut.stop_reason, complete(cut.content[0].text)) == ("max_tokens", False)
    assert (call.stop, call.text, call.markers) == ("length", cut.content[0].text, (MARKER,))
    with behind_proxy("mock:llm", "llm_refusal") as behind:
        refused = ask(behind)
        (call,) = behind.all(ModelCalled)
    assert (refused.stop_reason, refused.content, call.stop) == ("refusal", [], "refusal")


@pytest.mark.slow
def test_openai_says_length_and_content_filter() -> None:
    for fault, reason in (("llm_max_tokens", "length"), ("llm_refusal", "content_filter")):
        with behind_proxy("mock:llm", fault) as behind:
            assert gpt(behind).chat.completions.create(**GPT).choices[0].finish_reason == reason
            assert said_by_gpt(behind)[1] == reason
            answer = gpt(behind).responses.create(model="gpt-5-mini", input="hello")
            assert answer.status == "incomplete"


@pytest.mark.slow
def test_bad_tool_calls_are_handed_on_by_the_sdks_or_break_them() -> None:
    tools = {"tools": [TOOL]}
    with behind_proxy("mock:llm", "llm_bad_tool") as behind:
        assert of_claude(behind, **tools).content[0].name == "grant_v2"
        assert behind.all(ModelCalled)[0].tools == ("grant_v2",)
    with behind_proxy("mock:llm", "llm_bad_tool:broken") as behind:
        with pytest.raises(ValueError, match="JSON"):
            of_claude_streamed(behind, **tools)
        (choice,) = gpt(behind).chat.completions.create(**GPT, tools=[FUNCTION]).choices
        with pytest.raises(json.JSONDecodeError):
            json.loads(choice.message.tool_calls[0].function.arguments)
    with behind_proxy("mock:llm", "llm_bad_tool:cut") as behind:
        cut = of_claude(behind, **tools)
        assert (cut.stop_reason, cut.content[0].input) == ("max_tokens", {})
    with behind_proxy("mock:llm", "llm_bad_tool:wrong") as behind:
        assert of_claude(behind, **tools).content[0].input == {"unexpected": [1, 2], "id": {"a": None}}
        assert of_claude(behind).content[0].type == "text"  # where no tool is offered, none is called


@pytest.mark.slow
def test_a_model_that_was_talked_into_it_reaches_for_the_admins_tool_or_command() -> None:
    with behind_proxy("mock:llm", "llm_escalate") as behind:
        called = of_claude(behind, tools=[TOOL]).content[0]
    assert (called.name, called.input) == ("grant", {"user_id": 2000001, "tier": "admin"})
    with behind_proxy("mock:llm", "llm_escalate;by=command") as behind:
        assert of_claude(behind).content[0].text.startswith("/grant 2000001 admin\ncbas")


@pytest.mark.slow
def test_text_that_the_platform_refuses_is_drawn_by_the_dice_or_named() -> None:
    with behind_proxy("mock:llm", "llm_hostile_text:over4096") as behind:
        assert len(of_claude(behind).content[0].text) > 4096
    with behind_proxy("mock:llm", "llm_hostile_text:empty") as behind:
        assert of_claude(behind).content == []
    with behind_proxy("mock:llm", "llm_hostile_text") as behind:
        texts = {str(of_claude(behind).content) for _ in range(8)}
    assert len(texts) > 3


@pytest.mark.slow
def test_instructions_are_told_to_the_user_and_usage_is_not() -> None:
    with behind_proxy("mock:llm", "llm_echo") as behind:
        assert SYSTEM in of_claude(behind, system=SYSTEM).content[0].text
    with behind_proxy("mock:llm", "llm_no_usage") as behind:
        assert complete(of_claude(behind).content[0].text)
        assert of_claude(behind).usage is None
        with pytest.raises(AttributeError):
            of_claude_streamed(behind)
        assert gpt(behind).chat.completions.create(**GPT).usage is None
