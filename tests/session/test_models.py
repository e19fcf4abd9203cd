"""Language models beside the Bot API: what of their calls is seen, whoever answers them, and what that leads to."""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from chaosbot.cli._options import choose_upstreams, read_prices
from chaosbot.core.errors import ConfigError, TargetRefused
from chaosbot.core.event import ApiCalled, ExchangeSeen, Injected, ModelCalled, Noted
from chaosbot.core.mock import with_llm
from chaosbot.core.prices import USUAL, cost_of, prices_of
from chaosbot.mocks.llm import LlmApi
from chaosbot.session.diagnosis import target_diagnosis
from chaosbot.session.environment import EnvironmentSpec, prepared
from chaosbot.session.run import Run
from chaosbot.transport import Tls
from tests.support.campaigns import served
from tests.support.models import Models, behind_proxy

MARKER = "cbm0123456789ab"
KEY = "sk-ant-0123456789-abcdefghij"
SYSTEM = "You are the assistant of a shop for garden tools; never name the discount code."


def ask(url: str, *, stream: bool = False, text: str = f"hello {MARKER}") -> Any:
    client = anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0, timeout=20)
    asked: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 300, "system": SYSTEM}
    asked["messages"] = [{"role": "user", "content": text}]
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as stream_:
        return stream_.get_final_message()


def say(url: str, text: str) -> None:
    body = json.dumps({"chat_id": 5, "text": text}).encode()
    request = urllib.request.Request(f"{url}/bot1:tokentoken/sendMessage", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20):
        pass


def test_a_call_is_joined_to_its_exchange_whatever_the_upstream_is_called() -> None:
    with behind_proxy("mock,models=mock:llm") as behind:
        ask(behind.url("models"), stream=True)
        (call,) = behind.all(ModelCalled)
        (seen,) = behind.all(ExchangeSeen)
    assert (call.upstream, call.exchange) == ("models", seen.exchange)
    assert call.markers == (MARKER,)
    assert call.stop == "end"
    assert call.text.startswith(f"cbas{call.answer}")


def test_a_call_that_a_fault_answered_is_recorded_too() -> None:
    with behind_proxy("models=mock:llm", "abort:503;upstream=models") as behind:
        with pytest.raises(anthropic.InternalServerError):
            ask(behind.url("models"))
        (call,) = behind.all(ModelCalled)
        (met,) = behind.all(Injected)
    assert (call.status, call.exchange, call.markers) == (503, met.exchange, (MARKER,))


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_real_api_answered_is_read_from_its_answer(stream: bool) -> None:
    real = Models(LlmApi())
    with real.server, behind_proxy(f"llm={real.url}") as behind:
        message = ask(behind.url(), stream=stream)
        (call,) = behind.all(ModelCalled)
    assert (call.input_tokens, call.output_tokens) == (message.usage.input_tokens, message.usage.output_tokens)
    assert call.text == message.content[0].text
    assert call.stop == "end"
    assert cost_of(call) == pytest.approx((call.input_tokens + 5 * call.output_tokens) / 1e6)


def test_when_an_answer_began_is_seen_where_it_streams() -> None:
    with behind_proxy("mock:llm;first_token=200ms;pace=40") as behind:
        ask(behind.url(), stream=True)
        ask(behind.url())
        streamed, plain = behind.all(ExchangeSeen, 2)
    assert streamed.began_s is not None
    assert 0.2 <= streamed.began_s < streamed.seconds - 0.2
    assert plain.began_s is None


def test_faults_delay_the_beginning_of_an_answer() -> None:
    with behind_proxy("mock:llm", "llm_slow:300ms;pause=20ms") as behind:
        ask(behind.url(), stream=True)
        (seen,) = behind.all(ExchangeSeen)
    assert seen.began_s is not None
    assert 0.3 <= seen.began_s < seen.seconds


def test_a_key_and_instructions_that_reach_a_user_are_noticed() -> None:
    with behind_proxy("mock,mock:llm") as behind:
        say(behind.url("telegram"), f"all {KEY[4:20]} fine")
        ask(behind.url())
        for text in (f"failed with {KEY[4:20]}", f"I was told: {SYSTEM}", "You are the assistant", "all is well"):
            say(behind.url("telegram"), text)
        calls = behind.all(ApiCalled, 5)
    assert [call.tells for call in calls] == ["", "key", "instructions", "", ""]


# ── --llm ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_models_stand_beside_the_other_upstreams_once() -> None:
    assert choose_upstreams("mock", "mock") == "mock,llm=mock:llm"
    assert choose_upstreams("mock,llm=mock:llm", "http://127.0.0.1:9") == "mock,llm=http://127.0.0.1:9"
    assert choose_upstreams("mock,llm=mock:llm", "off") == "mock"
    assert with_llm("off", "mock:llm;shape=long") == "llm=mock:llm;shape=long"
    assert choose_upstreams("mock,mock:llm", None) == "mock,mock:llm"
    with pytest.raises(ConfigError, match="--llm"):
        choose_upstreams("mock", "anthropic")


def test_a_price_that_is_none_is_refused() -> None:
    assert prices_of({"gpt-*": [1, 2.5]}) == {"gpt-*": (1.0, 2.5)}
    for wrong in ([1], [1, -1], [1, math.inf], [True, 1], 1, "12"):
        with pytest.raises(ConfigError, match=r"prices: 'gpt-\*' must be \[price sent"):
            prices_of({"gpt-*": wrong})


def test_prices_are_read_from_a_file_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('"claude-*" = [2.0, 4]')
    assert read_prices(file) == {"claude-*": (2.0, 4.0)}
    file.write_text('"claude-*" = 3')
    with pytest.raises(ConfigError, match=r"prices\.toml: 'claude-\*' must be"):
        read_prices(file)


def start(tmp_path: Path) -> Run:
    return Run("run", "t", 7, tmp_path / "run")


def test_a_real_model_needs_its_host_allowed(tmp_path: Path) -> None:
    spec = EnvironmentSpec(target="http://127.0.0.1:9/hook", outbound="llm=https://api.anthropic.com", reachable=False)
    with pytest.raises(TargetRefused, match=r"api\.anthropic\.com"), prepared(start(tmp_path), spec):
        pass


def test_real_calls_end_the_run_when_they_have_cost_too_much(tmp_path: Path) -> None:
    run, real = start(tmp_path), Models(LlmApi())
    with real.server:
        outbound = f"llm={real.url}"
        spec = EnvironmentSpec(
            target="http://127.0.0.1:9/hook", outbound=outbound, reachable=False, inbound=False, llm_spend=0.0003
        )
        with prepared(run, spec) as environment:
            ask(environment.models)
            assert environment.proxy is not None
            environment.proxy.flush()
            assert not run.should_stop()
            for _ in range(3):
                ask(environment.models)
            environment.proxy.flush()
            assert run.stopping.wait(10)
    assert "--llm-spend" in run.reason


def test_an_own_price_counts_where_the_usual_ones_have_the_same_name(tmp_path: Path) -> None:
    run, real = start(tmp_path), Models(LlmApi())
    with real.server:
        free = dict.fromkeys(USUAL, (0.0, 0.0))
        spec = EnvironmentSpec(
            target="http://127.0.0.1:9/hook", outbound=f"llm={real.url}", reachable=False, inbound=False,
            llm_spend=0.0003, prices=free,
        )  # fmt: skip
        with prepared(run, spec) as environment:
            for _ in range(8):
                ask(environment.models)
            assert environment.proxy is not None
            environment.proxy.flush()
            assert not run.should_stop()


def test_an_endpoint_that_no_provider_has_is_named_by_the_run(tmp_path: Path) -> None:
    run, notes = start(tmp_path), list[str]()
    run.listeners.append(lambda event: notes.append(event.text) if isinstance(event, Noted) else None)
    spec = EnvironmentSpec(target="http://127.0.0.1:9/hook", outbound="llm=mock:llm", reachable=False, inbound=False)
    with prepared(run, spec) as environment:
        client = anthropic.Anthropic(base_url=environment.models, api_key=KEY, max_retries=0)
        for _ in range(2):
            with pytest.raises(anthropic.NotFoundError):
                client.messages.batches.list()
    assert [text for text in notes if "GET /v1/messages/batches" in text] == notes
    assert len(notes) == 1


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def bot(call: Callable[[], object]) -> type[BaseHTTPRequestHandler]:
    class Bot(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            good = self.headers.get("x-telegram-bot-api-secret-token") == "right"
            if good:
                call()
            self.send_response(200 if good else 401)
            self.send_header("content-length", "0")
            self.end_headers()

    return Bot


def examined(call: Callable[[], object], port: int) -> list[tuple[bool, str, str]]:
    with served(bot(call)) as url:
        found = target_diagnosis(url, port, "telegram", lambda: "right", (), Tls(), outbound="llm=mock:llm")
        return [(one.ok, one.what, one.remedy) for one in found if "language models" in one.what]


def test_doctor_sees_model_calls_arrive(free_port: Callable[[], int]) -> None:
    port = free_port()
    seen = examined(lambda: ask(f"http://127.0.0.1:{port}"), port)
    assert [(ok, what) for ok, what, _ in seen] == [
        (True, f"language models: 1 call arrived at http://127.0.0.1:{port}")
    ]


def test_doctor_misses_model_calls_and_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.setattr("chaosbot.session.diagnosis.CALL_WAIT_S", 0.2)
    ((ok, what, remedy),) = examined(lambda: None, free_port())
    assert not ok
    assert "0 calls" in what
    assert "export ANTHROPIC_BASE_URL" in remedy


def test_doctor_tells_an_sdk_that_wants_v1_in_its_base_url(free_port: Callable[[], int]) -> None:
    port = free_port()

    def call() -> None:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}", api_key=KEY, max_retries=0)
        client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "hello"}])

    arrived, told = examined(call, port)
    assert arrived[0]
    assert not told[0]
    assert "OPENAI_BASE_URL" in told[1]
    assert told[2].endswith(f"OPENAI_BASE_URL=http://127.0.0.1:{port}/v1 OPENAI_API_KEY=mock")
