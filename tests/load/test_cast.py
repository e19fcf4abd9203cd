"""Who takes part: what promises are about must be among it, or the run is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.platform import Endpoint
from chaosbot.core.profile import PROFILES
from chaosbot.load.assembly import check
from chaosbot.load.spec import LoadSpec


def checked(*promised: str, platform: str = "telegram", profile: str = "smoke", **more: Any) -> None:
    check(
        LoadSpec(
            "http://127.0.0.1:9/",
            Endpoint("127.0.0.1:9"),
            platform,
            1,
            PROFILES.build(profile, {}),
            promised=promised,
            **more,
        )
    )


@pytest.mark.parametrize(
    "promised", ["p95", "p95{/grant}", "p95{grant}", "error_rate{admin/grant}", "throughput{chat}"]
)
def test_a_promise_about_a_task_that_takes_part_is_taken(promised: str) -> None:
    checked(promised)


@pytest.mark.parametrize(
    ("promised", "more", "says"),
    [
        (
            "p95{/grnt}",
            {},
            r"promise about p95\{/grnt\}: unknown task 'grnt'; did you mean 'grant'\? Available: admin, ",
        ),
        ("error_rate{guest/chatt}", {}, "unknown task 'guest/chatt'; did you mean 'guest/chat'"),
        ("p95{grant}", {"classes": (("guest", 1.0),)}, "unknown task 'grant'; Available: category, chat, complex, "),
        ("p95{look}", {"mix": (("chat", 1.0),)}, "unknown task 'look'"),
        ("p95{mixed/chat}", {}, "unknown task 'mixed/chat'"),
        ("p95{alert}", {"platform": "market"}, "did you mean 'alerts'"),
        ("stream_gap_p99{market_steam}", {"platform": "market"}, "unknown stream 'market_steam'; did you mean"),
        ("stream_errors{foreign_flow}", {"platform": "market"}, "unknown stream 'foreign_flow'"),
    ],
)
def test_a_promise_about_what_does_not_take_part_names_what_does(
    promised: str, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(UnknownName, match=says):
        checked(promised, **more)


def test_connections_of_streams_and_slow_users_are_tasks_too() -> None:
    checked("error_rate{market_stream:session}", "p95{burst_test:connect}", platform="market")
    checked("error_rate{guest/chat (slow body)}", slow_share=0.1)
    with pytest.raises(UnknownName, match="slow body"):
        checked("error_rate{guest/chat (slow body)}")


def test_a_promise_about_streams_needs_some() -> None:
    for more in ({}, {"platform": "market", "profile": "steady"}, {"platform": "market", "streams": ("none",)}):
        with pytest.raises(ConfigError, match="promise about stream_errors: no stream takes part"):
            checked("stream_errors", **more)


def test_a_builder_that_counts_under_its_own_names_may_be_promised_about(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from chaosbot.core.platform import Request\n"
        "def build(task, user, ordinal, dice, endpoint):\n"
        "    return Request(b'GET / HTTP/1.1\\r\\n\\r\\n', f'user{user}')\n"
    )
    checked("p95{user7}", journey=file)
    file.write_text(file.read_text().replace("f'user{user}'", "task"))
    with pytest.raises(UnknownName, match="unknown task 'user7'"):
        checked("p95{user7}", journey=file)
