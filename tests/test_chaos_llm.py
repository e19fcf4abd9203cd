"""The fixture ``chaos_llm`` with the providers' own SDKs: what it sets, what it judges right, and what it does not let pass unseen."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from chaosbot.core.errors import ConfigError
from chaosbot.testing import (
    ChaosLlm,
    fault,
    llm_429,
    llm_cut_stream,
    llm_error,
    llm_error_event,
    llm_keepalive,
    llm_max_tokens,
)

pytest_plugins = ("pytester",)

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "testing.md"
QUESTION: Any = [{"role": "user", "content": "Where is my order?"}]
SORRY = "Sorry, I cannot answer now."


def claude(**options: Any) -> Any:
    """Made as programs make it: without a base URL."""
    return anthropic.Anthropic(**{"timeout": 20.0, "max_retries": 0, **options}).messages


def gpt(**options: Any) -> Any:
    return openai.OpenAI(**{"timeout": 20.0, "max_retries": 0, **options}).chat.completions


def asked(messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "claude-haiku-4-5", "max_tokens": 300, "messages": messages, **more}


def careless() -> str:
    """Believes whatever came."""
    with claude().stream(**asked(QUESTION)) as stream:
        return "".join(stream.text_stream)


def careful() -> str:
    """Asks again plainly when a stream breaks off, and apologises when that fails too."""
    try:
        with claude().stream(**asked(QUESTION)) as stream:
            message = stream.get_final_message()
            if message.stop_reason == "end_turn":
                return str(message.content[0].text)
        return str(claude().create(**asked(QUESTION)).content[0].text)
    except Exception:  # noqa: BLE001 - what streams raise stands outside of the SDK's own tree of errors
        return SORRY


def quietly(ask: Callable[[], str]) -> str | None:
    """What the user sees of an agent that says nothing when it fails."""
    try:
        return ask()
    except (anthropic.APIError, openai.APIError):
        return None


# ── where SDKs are led ───────────────────────────────────────────────────────────────────────────────────────────────


def test_clients_that_are_told_nothing_reach_the_mock_and_a_healthy_answer_passes(chaos_llm: ChaosLlm) -> None:
    reply = claude().create(**asked(QUESTION)).content[0].text
    chaos_llm.assert_resilient(reply)
    made = gpt().create(model="gpt-5-mini", messages=QUESTION)
    chaos_llm.assert_resilient(made.choices[0].message.content)
    assert [call.provider for call in chaos_llm.model_calls] == ["anthropic", "openai"]
    assert os.environ["GOOGLE_GEMINI_BASE_URL"] == chaos_llm.url


@pytest.mark.chaos_llm(shape="markdown")
def test_a_mark_sets_the_options_of_the_models(chaos_llm: ChaosLlm) -> None:
    assert "**Bold**" in claude().create(**asked(QUESTION)).content[0].text
    chaos_llm.assert_resilient()


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ConfigError, match="shape"):
        ChaosLlm(shape="round")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_asynchronous_clients_need_nothing_else(chaos_llm: ChaosLlm) -> None:
    client = anthropic.AsyncAnthropic(timeout=20.0, max_retries=1)
    with chaos_llm.inject(llm_error(529), first=1) as injected:
        message = await client.messages.create(**asked(QUESTION))
    assert injected.count == 1
    chaos_llm.assert_resilient(message.content[0].text)  # type: ignore[union-attr]


# ── what is judged ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_part_that_is_passed_off_as_the_whole_is_found(chaos_llm: ChaosLlm) -> None:
    with chaos_llm.inject(llm_cut_stream()):
        reply = careless()
    with pytest.raises(AssertionError, match=r"llm_truncation_shown \(high\).*\n.*\n  remedy: Believe an answer only"):
        chaos_llm.assert_resilient(reply)


def test_an_openai_answer_at_its_bound_is_found_too(chaos_llm: ChaosLlm) -> None:
    with chaos_llm.inject(llm_max_tokens()):
        made = gpt().create(model="gpt-5-mini", messages=QUESTION)
    with pytest.raises(AssertionError, match="llm_truncation_shown"):
        chaos_llm.assert_resilient(made.choices[0].message.content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "options", "said"),
    [
        (llm_cut_stream(), {"first": 1}, "cbae"),  # noticed, and asked again without streaming
        (llm_cut_stream(end="fin"), {}, SORRY),  # a dropped stream, and an apology
        (llm_error_event(), {}, SORRY),  # an event that raises in the SDK, and an apology
    ],
)
def test_three_cases_that_a_look_at_the_provider_alone_gets_wrong(
    chaos_llm: ChaosLlm, broken: Any, options: dict[str, Any], said: str
) -> None:
    with chaos_llm.inject(broken, **options) as injected:
        reply = careful()
    assert said in reply
    assert injected.count
    chaos_llm.assert_resilient(reply)


def test_silence_after_a_failed_call_is_found_and_a_word_is_not(chaos_llm: ChaosLlm) -> None:
    with chaos_llm.inject(llm_error(529)):
        assert quietly(careless) is None
    with pytest.raises(AssertionError, match="llm_user_answered"):
        chaos_llm.assert_resilient(None)
    with chaos_llm.inject(llm_error(529)):
        assert careful() == SORRY
    chaos_llm.assert_resilient(SORRY)


def test_a_loop_that_does_not_wait_as_it_was_told_is_found(chaos_llm: ChaosLlm) -> None:
    with chaos_llm.inject(llm_429(retry_after="2s")):
        for _ in range(2):
            quietly(lambda: gpt().create(model="gpt-5-mini", messages=QUESTION))
    with pytest.raises(AssertionError, match=r"told to wait 2 s, called again after [01]\.\d"):
        chaos_llm.assert_resilient(SORRY)


def test_what_is_retried_although_it_was_refused_for_good_is_found_and_can_be_let_pass(chaos_llm: ChaosLlm) -> None:
    with chaos_llm.inject(llm_error(404)):
        for _ in range(2):
            quietly(careless)
    chaos_llm.assert_resilient(SORRY, ignore=["llm_not_retried"])
    with chaos_llm.inject(llm_error(404)):
        for _ in range(2):
            quietly(careless)
    with pytest.raises(AssertionError, match="llm_not_retried"):
        chaos_llm.assert_resilient(SORRY)


def test_a_key_in_what_the_user_reads_is_found(chaos_llm: ChaosLlm) -> None:
    claude().create(**asked(QUESTION))
    with pytest.raises(AssertionError, match="no_leak"):
        chaos_llm.assert_resilient(f"failed with {os.environ['ANTHROPIC_API_KEY']}")


def test_a_client_that_would_wait_ten_minutes_is_warned_of(chaos_llm: ChaosLlm) -> None:
    message = claude(timeout=600.0).create(**asked(QUESTION))
    with pytest.warns(UserWarning, match=r"llm_timeout \(low\)"):
        chaos_llm.assert_resilient(message.content[0].text)


def test_what_the_user_got_is_only_judged_where_it_is_told(chaos_llm: ChaosLlm) -> None:
    with chaos_llm.inject(llm_error(529)):
        assert quietly(careless) is None
    chaos_llm.assert_resilient()


# ── never green by accident ──────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_call_nothing_passes(chaos_llm: ChaosLlm) -> None:
    with pytest.raises(AssertionError, match="make the client after the fixture"):
        chaos_llm.assert_resilient(SORRY)


def test_a_fault_that_met_nothing_passes_nothing(chaos_llm: ChaosLlm) -> None:
    with chaos_llm.inject(llm_cut_stream()):  # acts on streams only
        reply = claude().create(**asked(QUESTION)).content[0].text
    with pytest.raises(AssertionError, match="no injected fault met a call"):
        chaos_llm.assert_resilient(reply)
    with chaos_llm.inject(llm_keepalive()):
        reply = careless()
    chaos_llm.assert_resilient(reply)


def test_an_endpoint_that_is_not_mocked_is_named(chaos_llm: ChaosLlm) -> None:
    with pytest.raises(anthropic.NotFoundError):
        claude().batches.list()
    with pytest.raises(AssertionError, match="no such endpoint: GET /v1/messages/batches"):
        chaos_llm.assert_resilient()


def test_what_a_provider_refuses_is_the_code_s_own_mistake(chaos_llm: ChaosLlm) -> None:
    with pytest.raises(anthropic.BadRequestError):
        claude().create(**asked([{"role": "user", "content": ""}]))
    with pytest.raises(AssertionError, match="llm_history_valid"):
        chaos_llm.assert_resilient(SORRY)


def test_each_question_is_judged_alone(chaos_llm: ChaosLlm) -> None:
    with chaos_llm.inject(fault("llm_cut_stream")):
        reply = careless()
    with pytest.raises(AssertionError):
        chaos_llm.assert_resilient(reply)
    chaos_llm.assert_resilient(careless())


# ── the guide ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_thirty_seconds_of_the_guide_come_out_as_they_stand_there(pytester: pytest.Pytester) -> None:
    blocks = re.findall(
        r"^```(\w*)\n(.*?)^```", GUIDE.read_text().partition("## Thirty seconds")[2], re.DOTALL | re.MULTILINE
    )
    code, shown = dict(blocks)["python"], dict(blocks)[""]
    pytester.makepyfile(code)
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=100)
    ran.assert_outcomes(failed=1)
    lines = [
        re.sub("'cbas.*'", "'cbas*'", line.strip()) for line in shown.splitlines()
    ]  # bodies differ by the SDK's version
    ran.stdout.fnmatch_lines([f"E*{line}" for line in lines])
