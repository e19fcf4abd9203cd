"""The providers' JavaScript SDKs, unmodified, understand everything that the mock answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.models import Models
from tests.support.node import with_packages

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]
SDKS = ("@anthropic-ai/sdk@1", "openai@6", "@google/genai@2")


@pytest.fixture(scope="module")
def read(plain: Models, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the SDKs made of the answers."""
    script = with_packages(tmp_path_factory.mktemp("node"), Path(__file__).with_name("js_sdks.mjs"), *SDKS)
    ran = subprocess.run(["node", str(script), plain.url], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
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
