"""The providers' JavaScript SDKs, unmodified, understand everything that the mock answers, and what they make of broken streams."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.models import Models, behind_proxy
from tests.support.node import with_packages

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]
SDKS = ("@anthropic-ai/sdk@1", "openai@6", "@google/genai@2")


HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the SDKs are installed, with the scripts beside them."""
    found = with_packages(tmp_path_factory.mktemp("node"), HERE / "js_sdks.mjs", *SDKS).parent
    shutil.copy(HERE / "js_faults.mjs", found)
    return found


def printed(script: Path, url: str) -> Any:
    ran = subprocess.run(["node", str(script), url], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def read(plain: Models, folder: Path) -> dict[str, Any]:
    """What the SDKs made of the answers."""
    found: dict[str, Any] = printed(folder / "js_sdks.mjs", plain.url)
    return found


@pytest.mark.parametrize(
    ("sdk", "ends"),
    [
        ("anthropic", ["end_turn", "end_turn", "tool_use"]),
        ("openai", ["stop", "tool_calls", "completed", "completed"]),
        ("gemini", ["STOP"]),
    ],
)
def test_answers_are_read_whole_with_their_ends_usage_and_tool_calls(
    read: dict[str, Any], sdk: str, ends: list[str]
) -> None:
    found = read[sdk]
    for text in found["texts"]:
        assert text.startswith("cbas")
        assert text[4:12] == text[-8:]
        assert "cbm0123456789ab" in text
    assert found["ends"] == ends
    assert all(count > 3 for count in found["usage"])
    name, arguments = found["tool"]
    assert name == "weather"
    assert arguments["unit"] in ("c", "f")
    assert arguments["days"] >= 2


def test_what_only_one_of_them_has_is_read_too(read: dict[str, Any]) -> None:
    assert read["anthropic"]["blocks"] == ["thinking", "text"]
    assert "claude-haiku-4-5" in read["anthropic"]["models"]
    assert "gpt-5-mini" in read["openai"]["models"]
    assert read["openai"]["vector"] == 8
    assert read["openai"]["heard"] > 10


def test_refusals_are_the_sdks_own_errors(read: dict[str, Any]) -> None:
    assert read["anthropic"]["refused"] == [400, "invalid_request_error"]
    assert read["openai"]["refused"] == [400, "invalid_request_error"]


@pytest.mark.parametrize(
    ("fault", "claude", "gpt"),
    [
        ("llm_cut_stream", ("part", "AnthropicError"), ("part", "OpenAIError")),
        ("llm_cut_stream;end=eof", ("part", "AnthropicError"), ("part", "OpenAIError")),
        ("llm_cut_stream;end=fin", ("TypeError", "AnthropicError"), ("TypeError", "OpenAIError")),
        ("llm_cut_stream;end=rst", ("TypeError", "AnthropicError"), ("TypeError", "OpenAIError")),
        ("llm_cut_stream;where=line", ("part", "AnthropicError"), ("part", "OpenAIError")),
        ("llm_cut_stream;where=last", ("whole", "AnthropicError"), ("whole", "whole")),
        ("llm_error_event", ("APIError", "APIError"), ("APIError", "APIError")),
        ("llm_split", ("whole", "whole"), ("whole", "whole")),
        ("llm_keepalive:id", ("whole", "whole"), ("whole", "whole")),
        ("llm_keepalive:data", ("whole", "whole"), ("SyntaxError", "OpenAIError")),
        ("llm_keepalive:empty", ("whole", "whole"), ("SyntaxError", "OpenAIError")),
        ("llm_max_tokens", ("part", "part"), ("part", "part")),
        ("llm_refusal", ("nothing", "nothing"), ("nothing", "nothing")),
        ("llm_no_usage", ("whole", "AnthropicError"), ("whole", "whole")),
    ],
)
def test_broken_streams_are_seen_as_measured(
    folder: Path, fault: str, claude: tuple[str, str], gpt: tuple[str, str]
) -> None:
    """Raw iteration and the stream helper of each: the text that it ended with quietly, or the class of its error."""
    with behind_proxy("mock:llm", fault) as behind:
        assert printed(folder / "js_faults.mjs", behind.url()) == [*claude, *gpt]
