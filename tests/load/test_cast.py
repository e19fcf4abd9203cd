"""Who takes part: what promises are about must be among it, or the run is refused before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.event import Noted
from chaosbot.core.journey import Task
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.core.profile import PROFILES
from chaosbot.load.assembly import check, made_of
from chaosbot.load.cast import cast_of, shared_ids
from chaosbot.load.spec import LoadSpec

USER = re.compile(rb'"from":\{"id":(\d+)')


def checked(*promised: str, platform: str = "telegram", profile: str = "smoke", **more: Any) -> None:
    check(spec_of(platform, profile, promised=promised, **more))


def spec_of(platform: str, profile: str = "smoke", **more: Any) -> LoadSpec:
    return LoadSpec("http://127.0.0.1:9/", Endpoint("127.0.0.1:9"), platform, 1, PROFILES.build(profile, {}), **more)


@pytest.mark.parametrize(
    "promised", ["p95", "p95{/grant}", "p95{grant}", "error_rate{admin/grant}", "throughput{chat}"]
)
def test_a_promise_about_a_task_that_takes_part_is_taken(promised: str) -> None:
    checked(promised, profile="sustained")
    checked(promised, profile="steady")


@pytest.mark.parametrize(
    ("promised", "more", "says"),
    [
        ("p95{/grant}", {}, r"promise about p95\{/grant\}: is about admin alone, of whom there is none among 5 users"),
        ("p95{grant}", {"users": 1}, "among 1 user; use more, or choose who takes part by --class"),
        ("error_rate{traces}", {"users": 8}, "is about admin and developer alone"),
        ("stream_gap_p99{market_stream}", {"platform": "market"}, "is about market_stream alone"),
        ("p95{market_stream:connect}", {"platform": "market"}, "is about market_stream alone"),
        ("stream_errors", {"platform": "market", "users": 2}, "burst_test and market_stream and reconnect_storm alone"),
    ],
)
def test_a_promise_about_whom_too_few_users_leave_out_is_refused(
    promised: str, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        checked(promised, **more)


GUESTS, BOTH = (("guest", 1.0),), (("guest", 1.0), ("admin", 1.0))


@pytest.mark.parametrize(
    ("mix", "more", "says"),
    [
        ("grant", {"classes": GUESTS}, "--mix: unknown task 'grant'; Available: category, chat, "),
        ("admin/grant", {"classes": GUESTS}, "unknown task 'admin/grant'"),
        ("alerts", {"platform": "market", "classes": (("foreign_flow", 1.0),)}, "Available: foreign-detail, snapshot"),
        ("alerts", {"platform": "market", "classes": (("market_stream", 1.0),)}, "unknown task 'alerts'"),
        ("grant", {}, "--mix grant: is about admin alone, of whom there is none among 5 users"),
    ],
)
def test_a_mix_of_what_nobody_does_is_refused(mix: str, more: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        checked(mix=((mix, 1.0), ("chat", 0.0)) if "platform" not in more else ((mix, 1.0),), **more)


def missing(platform: str, profile: str = "smoke", **more: Any) -> dict[str, str]:
    spec = spec_of(platform, profile, **more)
    return dict(made_of(spec)[1].missing)


def test_who_has_no_user_or_arrival_is_named_with_the_number_that_is_enough(tmp_path: Path) -> None:
    assert missing("telegram", users=5)["admin"] == (
        "did not run: 5 users are too few, 60 are enough; use more, or choose who takes part by --class"
    )
    assert missing("telegram", users=60) == {}
    assert "none of the 1 arrival was drawn for it" in missing("telegram", "steady", rate=1, duration_s=1)["admin"]
    assert missing("telegram", "steady") == {}
    assert (
        "too small for any number of users"
        in missing("market", classes=(("client", 999.0), ("foreign_flow", 1.0)))["foreign_flow"]
    )
    assert missing("market", users=10).keys() == {"market_stream", "reconnect_storm"}


def test_streams_that_arrivals_or_a_journey_file_leave_out_are_named_unless_somebody_chose(tmp_path: Path) -> None:
    streams = {"market_stream", "foreign_flow", "burst_test", "reconnect_storm"}
    arrivals = missing("market", "steady")
    assert arrivals.keys() == streams
    assert all("use --users in place of --rate" in why for why in arrivals.values())
    file = tmp_path / "own.py"
    file.write_text("from chaosbot.core.platform import PLATFORMS\nbuild = PLATFORMS.build('market', {}).build\n")
    replaced = missing("market", journey=file)
    assert replaced.keys() == streams
    assert all("brings no streams" in why for why in replaced.values())
    for chosen in ({"streams": ("none",)}, {"classes": (("client", 1.0),)}):
        assert missing("market", "steady", **chosen) == missing("market", journey=file, **chosen) == {}


def test_a_mix_holds_for_whoever_has_its_tasks_and_may_leave_out_those_of_others() -> None:
    checked(mix=(("grant", 1.0),), classes=BOTH)
    checked(mix=(("chat", 1.0), ("grant", 0.0)), classes=GUESTS)
    market = PLATFORMS.build("market", {})
    spec = spec_of("market", mix=(("snapshot", 1.0),), classes=(("foreign_flow", 1.0),))
    assert cast_of(spec, market).people[0].tasks == (Task("snapshot", 1.0),)


def test_kinds_of_users_with_the_same_ids_share_none_while_there_are_enough() -> None:
    telegram = PLATFORMS.build("telegram", {})

    def shared(users: int, **classes: float) -> str:
        spec = spec_of("telegram", "sustained", users=users, classes=tuple(classes.items()))
        return shared_ids(cast_of(spec, telegram), spec.shaped()[2])

    assert shared(1000, guest=1, mixed=1) == ""
    assert shared(1002, guest=1, mixed=1) == "virtual users that share ids: 2 of guest, 2 of mixed have 2 between them"
    assert shared(3, admin=1) == "virtual users that share ids: 3 of admin have 1 between them"
    market = spec_of("market", "sustained", users=400)
    assert shared_ids(cast_of(market, PLATFORMS.build("market", {})), market.shaped()[2]) == ""


def test_users_of_several_kinds_write_under_ids_of_their_own(
    serve: Callable[..., Any], load: Callable[..., Any]
) -> None:
    target = serve()
    found = load(
        target.url,
        "smoke",
        {"users": 10, "spawn_rate": "100/s", "duration": "1s"},
        classes=(("guest", 1.0), ("mixed", 1.0)),
    )
    ids = {asked.connection: USER.search(asked.body)[1] for asked in target.asked}
    assert len(set(ids.values())) == len(ids) == 10
    assert not [note for note in found.all(Noted) if note.area == "users"]


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
    checked("error_rate{market_stream:session}", "p95{burst_test:connect}", platform="market", users=100)
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
