"""The whole tour: every planted bug that it promises is found, and a healthy bot with its agent passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaosbot.cli._answers import UNPROMISED
from chaosbot.demo.bugs import AGENTS, FRAGILE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize(("options", "count"), [((), len(FRAGILE - UNPROMISED.keys())), (("--llm",), len(AGENTS))])
def test_every_planted_bug_that_is_promised_is_found(
    chaosbot: Callable[..., Any], tmp_path: Path, options: tuple[str, ...], count: int
) -> None:
    done = chaosbot("demo", *options, "--out", str(tmp_path / "run"), timeout=300)
    assert (done.code, f"{count} of {count} planted bugs found" in done.out) == (0, True), done.out


def test_a_healthy_bot_and_its_agent_pass(chaosbot: Callable[..., Any], tmp_path: Path) -> None:
    done = chaosbot("demo", "--healthy", "--out", str(tmp_path / "run"), timeout=300)
    assert (done.code, "  critical" in done.out) == (0, False), done.out
