"""The providers' own SDKs, unmodified, understand everything that the mock answers."""

from __future__ import annotations

import json
import time
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as genai_types

from chaosbot.mocks.llm import LlmApi
from tests.support.models import Models

MARKER = "cbm0123456789ab"
ASK: list[Any] = [{"role": "user", "content": f"hello {MARKER}"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city"],
}


def claude(models: Models) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=models.url, api_key="sk-test", max_retries=0, timeout=20)


def gpt(models: Models) -> openai.OpenAI:
    return openai.OpenAI(base_url=models.url + "/v1", api_key="sk-test", max_retries=0, timeout=20)


def gemini(models: Models) -> Any:
    return genai.Client(api_key="key", http_options=genai_types.HttpOptions(base_url=models.url))


def complete(text: str) -> bool:
    """Whether a text runs from an answer's first word to its last, about the marker that was asked."""
    return text.startswith("cbas") and text[4:12] == text[-8:] and text[-12:-8] == "cbae" and MARKER in text


# ── Anthropic ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_anthropic_reads_a_message_with_its_usage_request_id_and_limits(plain: Models) -> None:
    raw = claude(plain).messages.with_raw_response.create(model="claude-haiku-4-5", max_tokens=500, messages=ASK)
    message = raw.parse()
    assert complete(message.content[0].text)
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 5
    assert message.id.startswith("msg_")
    assert raw.headers["request-id"].startswith("req_")
    for what in ("requests", "tokens", "input-tokens", "output-tokens"):
        assert raw.headers[f"anthropic-ratelimit-{what}-remaining"].isdecimal()


def test_anthropic_streams_text_and_thinking(plain: Models) -> None:
    asked: dict[str, Any] = {"model": "claude-opus-4-6", "max_tokens": 2000, "messages": ASK}
    with claude(plain).messages.stream(**asked, thinking={"type": "enabled", "budget_tokens": 1024}) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert len(pieces) > 2
    assert complete("".join(pieces))
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].signature
    assert message.stop_reason == "end_turn"
    kinds = [event.type for event in claude(plain).messages.create(**asked, stream=True)]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]


def test_anthropic_gets_a_tool_call_whose_arguments_fit_and_after_its_result_an_answer(plain: Models) -> None:
    tools: list[Any] = [{"name": "weather", "description": "d", "input_schema": SCHEMA}]
    asked: dict[str, Any] = {"model": "m", "max_tokens": 500, "tools": tools, "tool_choice": {"type": "any"}}
    with claude(plain).messages.stream(**asked, messages=ASK) as stream:
        message = stream.get_final_message()
    call = message.content[0]
    assert (message.stop_reason, call.type, call.name) == ("tool_use", "tool_use", "weather")
    assert call.input["unit"] in ("c", "f")
    assert call.input["days"] >= 2
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    turns = [*ASK, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    after = claude(plain).messages.create(**asked, messages=turns)
    assert after.stop_reason == "end_turn"
    with pytest.raises(anthropic.BadRequestError, match="tool_result"):
        claude(plain).messages.create(**asked, messages=[*turns[:2], {"role": "user", "content": "well?"}])


def test_anthropic_counts_tokens_and_lists_models(plain: Models) -> None:
    assert claude(plain).messages.count_tokens(model="m", messages=ASK).input_tokens > 3
    assert "claude-haiku-4-5" in [model.id for model in claude(plain).models.list()]
    assert claude(plain).models.retrieve("claude-x").id == "claude-x"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "first message"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"extra_body": {"temperature": 1.0}, "extra_headers": {"anthropic-version": "2026-10-21"}}, "temperature"),
    ],
)
def test_anthropic_is_refused_as_the_real_api_would(plain: Models, wrong: dict[str, Any], said: str) -> None:
    asked = {"model": "m", "max_tokens": 100, "messages": ASK} | wrong
    with pytest.raises(anthropic.BadRequestError, match=said) as caught:
        claude(plain).messages.create(**asked)
    assert caught.value.type == "invalid_request_error"
    assert plain.calls()[-1].problem


# ── OpenAI ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_openai_reads_a_completion_and_a_stream_with_usage(plain: Models) -> None:
    raw = gpt(plain).chat.completions.with_raw_response.create(model="gpt-5-mini", messages=ASK)
    made = raw.parse()
    assert complete(made.choices[0].message.content or "")
    assert made.choices[0].finish_reason == "stop"
    assert made.usage is not None
    assert made.usage.total_tokens > made.usage.completion_tokens > 5
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-ratelimit-remaining-tokens"].isdecimal()
    chunks = list(
        gpt(plain).chat.completions.create(model="m", messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    assert complete("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
    assert chunks[-1].usage is not None
    with gpt(plain).chat.completions.stream(model="m", messages=ASK) as stream:
        assert complete(stream.until_done().get_final_completion().choices[0].message.content or "")


def test_openai_gets_tool_calls_and_json(plain: Models) -> None:
    tools: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    asked: dict[str, Any] = {"model": "m", "messages": ASK, "tools": tools, "tool_choice": "required"}
    with gpt(plain).chat.completions.stream(**asked) as stream:
        choice = stream.until_done().get_final_completion().choices[0]
    call = choice.message.tool_calls[0]
    assert (choice.finish_reason, call.function.name) == ("tool_calls", "weather")
    assert json.loads(call.function.arguments)["unit"] in ("c", "f")
    history = [*ASK, {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]}]
    answered = [*history, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    assert gpt(plain).chat.completions.create(**asked | {"messages": answered}).choices[0].finish_reason == "stop"
    with pytest.raises(openai.BadRequestError, match="did not have response messages"):
        gpt(plain).chat.completions.create(**asked | {"messages": [*history, *ASK]})
    form: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    made = gpt(plain).chat.completions.create(model="m", messages=ASK, response_format=form)
    assert json.loads(made.choices[0].message.content or "")["days"] >= 2


def test_openai_responses_plain_and_streamed_with_a_function_call(plain: Models) -> None:
    made = gpt(plain).responses.create(model="gpt-5.2", input=f"hello {MARKER}", instructions="be kind")
    assert complete(made.output_text)
    assert made.status == "completed"
    assert made.usage is not None
    with gpt(plain).responses.stream(model="gpt-5.2", input=ASK) as stream:
        numbers = [event.sequence_number for event in stream]
        assert complete(stream.get_final_response().output_text)
    assert numbers == list(range(len(numbers)))
    tools: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
    with gpt(plain).responses.stream(model="m", input=ASK, tools=tools, tool_choice="required") as stream:
        call = stream.get_final_response().output[0]
    assert (call.type, call.name) == ("function_call", "weather")
    asked = [*ASK, call.model_dump(include={"type", "call_id", "name", "arguments"})]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    assert gpt(plain).responses.create(model="m", input=[*asked, result], tools=tools).output_text  # type: ignore[list-item]
    with pytest.raises(openai.BadRequestError, match="No tool output found"):
        gpt(plain).responses.create(model="m", input=asked, tools=tools)


def test_openai_embeddings_transcriptions_and_models(plain: Models) -> None:
    made = gpt(plain).embeddings.create(model="text-embedding-3-small", input=["a", "b", "a"], dimensions=8)
    first, second, third = (each.embedding for each in made.data)
    assert len(first) == 8
    assert first == third != second
    floats = gpt(plain).embeddings.create(model="m", input="a", dimensions=8, encoding_format="float").data[0]
    assert floats.embedding == pytest.approx(first, abs=1e-6)
    heard = gpt(plain).audio.transcriptions.create(model="whisper-1", file=("voice.ogg", b"OggS" * 10))
    assert len(heard.text) > 10
    assert "gpt-5-mini" in [model.id for model in gpt(plain).models.list()]


# ── Gemini ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_gemini_generates_streams_and_calls_functions(plain: Models) -> None:
    client = gemini(plain)
    made = client.models.generate_content(model="gemini-2.5-flash", contents=f"hello {MARKER}")
    assert complete(made.text)
    assert made.usage_metadata.total_token_count > 5
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash", contents=f"hello {MARKER}"))
    assert len(chunks) > 2
    assert complete("".join(chunk.text for chunk in chunks))
    assert chunks[-1].candidates[0].finish_reason == "STOP"
    function = genai_types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)
    config = genai_types.GenerateContentConfig(
        tools=[genai_types.Tool(function_declarations=[function])],
        tool_config=genai_types.ToolConfig(
            function_calling_config=genai_types.FunctionCallingConfig(mode=genai_types.FunctionCallingConfigMode.ANY)
        ),
    )
    called = client.models.generate_content(model="m", contents="hello", config=config).function_calls[0]
    assert called.name == "weather"
    assert called.args["unit"] in ("c", "f")


# ── shapes, pace, limits ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("models", "holds"),
    [
        ({"shape": "long"}, lambda text: 1500 < len(text) < 4096 and "Part 2." in text),
        ({"shape": "over4096"}, lambda text: len(text) > 4096),
        ({"shape": "markdown"}, lambda text: "**Bold**" in text),
        ({"shape": "html"}, lambda text: "<br/>" in text),
        ({"shape": "empty"}, lambda text: text == ""),
    ],
    indirect=["models"],
)
def test_answers_have_the_shape_that_was_asked_for(models: Models, holds: Any) -> None:
    asked: dict[str, Any] = {"model": "m", "messages": ASK}
    assert holds(gpt(models).chat.completions.create(**asked).choices[0].message.content)
    with claude(models).messages.stream(**asked, max_tokens=8000) as stream:
        assert holds("".join(stream.text_stream))


def test_an_answer_longer_than_its_bound_stops_there_and_says_so(plain: Models) -> None:
    message = claude(plain).messages.create(model="m", max_tokens=4, messages=ASK)
    assert (message.stop_reason, len(message.content[0].text)) == ("max_tokens", 16)
    assert (
        gpt(plain).chat.completions.create(model="m", max_completion_tokens=4, messages=ASK).choices[0].finish_reason
        == "length"
    )
    made = gpt(plain).responses.create(model="m", max_output_tokens=4, input="hello")
    assert (made.status, made.incomplete_details.reason) == ("incomplete", "max_output_tokens")  # type: ignore[union-attr]


@pytest.mark.parametrize("models", [{"first_token": 0.3, "pace": 100.0}], indirect=True)
def test_the_pace_is_kept(models: Models) -> None:
    begun = time.monotonic()
    with claude(models).messages.stream(model="m", max_tokens=500, messages=ASK) as stream:
        tokens = stream.get_final_message().usage.output_tokens
    assert time.monotonic() - begun > 0.3 + 0.8 * tokens / 100


@pytest.mark.parametrize("models", [{"requests": 2}], indirect=True)
def test_each_key_has_a_bucket_and_is_told_how_long_to_wait(models: Models) -> None:
    for _ in range(2):
        claude(models).messages.create(model="m", max_tokens=9, messages=ASK)
    with pytest.raises(anthropic.RateLimitError) as caught:
        claude(models).messages.create(model="m", max_tokens=9, messages=ASK)
    assert caught.value.type == "rate_limit_error"
    assert 25 <= int(caught.value.response.headers["retry-after"]) <= 30
    other = openai.OpenAI(base_url=models.url + "/v1", api_key="another", max_retries=0)
    assert other.chat.completions.create(model="m", messages=ASK).choices
    assert [call.status for call in models.calls()] == [200, 200, 429, 200]
    assert models.calls()[2].retry_after_s is not None


def test_an_endpoint_that_is_not_mocked_is_the_providers_404_and_stands_in_the_run(plain: Models) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude(plain).messages.batches.list()
    assert caught.value.type == "not_found_error"
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        openai.OpenAI(base_url=plain.url + "/v1", api_key="k").images.generate(prompt="a cat", model="m")
    assert [call.problem for call in plain.calls()[-2:]] == [
        "no such endpoint: GET /v1/messages/batches",
        "no such endpoint: POST /v1/images/generations",
    ]


def test_a_call_is_recorded_with_what_was_asked_and_answered_and_without_its_key(plain: Models) -> None:
    text = gpt(plain).chat.completions.create(model="gpt-5-mini", messages=ASK).choices[0].message.content or ""
    call = plain.calls()[-1]
    assert (call.provider, call.api, call.model, call.upstream) == ("openai", "chat", "gpt-5-mini", "llm")
    assert call.markers == (MARKER,)
    assert call.answer == text[4:12]
    assert (call.attempt, call.stream, call.read_timeout_s) == (1, False, 20.0)
    assert "sk-test" not in repr(plain.events)


def test_answers_of_one_seed_are_alike_and_those_of_one_question_differ(plain: Models) -> None:
    def ask(models: Models) -> list[str | None]:
        asked: Any = [{"role": "user", "content": "the same question"}]
        client = gpt(models)
        return [client.chat.completions.create(model="m", messages=asked).choices[0].message.content for _ in range(2)]

    other = Models(LlmApi())
    with other.server:
        first = ask(plain)
        assert first == ask(other)
    assert first[0] != first[1]
