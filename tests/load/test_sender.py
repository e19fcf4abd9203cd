"""The telegram sender against a target that fails: order, connections, redelivery, 410."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.event import Noted, RequestDone
from chaosbot.core.journey import DeliveryRules
from chaosbot.core.outcome import Fate
from chaosbot.core.platform import Endpoint
from chaosbot.load.pending import PendingRequest

from .memory import MemoryConnection, virtual

Serve = Load = Callable[..., Any]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
RATE = {"rate": "200/s", "duration": "500ms"}


def sums(done: Any) -> dict[str, int]:
    return next(note.data for note in done.all(Noted) if note.area == "sender")


def update_id(asked: Any) -> int:
    return int(json.loads(asked.body)["update_id"])


def test_a_chat_is_served_one_after_the_other_and_at_most_forty_connections_are_open(serve: Serve, load: Load) -> None:
    flying: dict[Any, int] = defaultdict(int)
    together = []

    async def slow(asked: Any, _hand: Any) -> bytes:
        update = json.loads(asked.body)
        chat = (
            update["message"]["chat"]["id"] if "message" in update else update["callback_query"]["from"]["id"],
            "message" in update,
        )
        flying[chat] += 1
        together.append(flying[chat])
        await asyncio.sleep(0.02)
        flying[chat] -= 1
        return OK

    target = serve(slow)
    done = load(target.url, options={"rate": "3000/s", "duration": "500ms"}, sender="telegram")
    assert done.result.completed == sums(done)["acknowledged"] == 1500
    assert target.most_open == 40
    assert max(together) == 1


def test_a_failed_update_is_sent_again_at_once_then_after_two_seconds_and_blocks_its_chat(
    serve: Serve, load: Load
) -> None:
    tries: dict[int, int] = defaultdict(int)

    async def third_time(asked: Any, _hand: Any) -> bytes:
        number = update_id(asked)
        tries[number] += 1
        return OK if tries[number] == 3 else BUSY

    done = load(
        serve(third_time).url, options={"rate": "20/s", "duration": "500ms"}, sender="telegram", record_requests=True
    )
    assert done.result.completed == 10
    assert done.result.failed == 20
    assert done.result.planned == 30, "each attempt is a request of its own"
    assert sums(done) == {
        "updates": 10,
        "acknowledged": 10,
        "redelivered": 20,
        "expired": 0,
        "undelivered": 0,
        "shard": 0,
    }
    by_update: dict[Any, list[Any]] = defaultdict(list)
    for request in done.all(RequestDone):
        by_update[request.update_id].append(request)
    for attempts in by_update.values():
        assert [attempt.attempt for attempt in attempts] == [1, 2, 3]
        first, second, third = attempts
        assert third.started - second.t >= 2.0
        assert first.due == third.due, "latency counts from the update's arrival"


def test_retry_after_is_honoured(serve: Serve, load: Load) -> None:
    seen: dict[int, list[float]] = defaultdict(list)

    async def later(asked: Any, _hand: Any) -> bytes:
        times = seen[update_id(asked)]
        times.append(asked.at)
        return OK if len(times) > 1 else b"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"

    done = load(serve(later).url, options={"rate": "20/s", "duration": "250ms"}, sender="telegram")
    assert sums(done)["acknowledged"] == 5
    assert all(again - first >= 1.0 for first, again in seen.values())


class Refusing(MemoryConnection):
    """Refuses each update twice."""

    latency = (0.01, 0.01)

    def _end(self, shot: PendingRequest, fate: Fate, ended: float | None = None) -> None:
        super()._end(shot, fate if shot.attempt == 3 else Fate.RESET, ended)


def test_redeliveries_come_when_the_platform_sends_them_to_the_millisecond() -> None:
    _, events = virtual("steady", {"rate": "1/s", "duration": "5s"}, Refusing, sender="telegram", record_requests=True)
    by_update: dict[Any, list[Any]] = defaultdict(list)
    for request in events:
        if isinstance(request, RequestDone):
            by_update[request.update_id].append(request)
    assert len(by_update) == 5
    for first, second, third in by_update.values():
        assert second.started - first.t == pytest.approx(0, abs=0.001)
        assert third.started - second.t == pytest.approx(2, abs=0.001)


def test_410_closes_the_webhook(serve: Serve, load: Load) -> None:
    async def gone(asked: Any, _hand: Any) -> bytes:
        return OK if asked.number < 20 else b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"

    target = serve(gone)
    done = load(target.url, options=RATE, sender="telegram")
    assert done.result.completed == 20
    assert len(target.asked) <= 20 + 40
    assert done.result.dropped >= 100 - len(target.asked)
    assert not done.result.valid


def test_users_wait_for_the_platform_to_deliver(serve: Serve, load: Load) -> None:
    target = serve()
    done = load(target.url, "smoke", {"users": 60, "spawn_rate": "600/s", "duration": "800ms"}, sender="telegram")
    assert done.result.completed == sums(done)["updates"] == 60
    assert target.most_open <= 40
    assert done.frames[0].active_users in {0, 60}


def test_an_update_that_is_never_acknowledged_is_told_as_undelivered(serve: Serve, load: Load) -> None:
    async def never(_asked: Any, _hand: Any) -> bytes:
        return BUSY

    done = load(serve(never).url, options={"rate": "20/s", "duration": "250ms"}, sender="telegram", timeout_s=0.5)
    assert done.result.completed == 0
    assert sums(done)["undelivered"] == 5
    assert done.result.failed == 10, "the first attempt and the one right after it"


SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


def slack(url: str) -> dict[str, Any]:
    where = Endpoint(url.split("/")[2], "/hook", SLACK_SECRET, started=int(time.time()))
    return {"sender": "platform", "endpoint": where, "options": {"rate": "20/s", "duration": "250ms"}}


def test_an_event_of_slack_comes_again_with_its_number_and_a_right_signature(serve: Serve, load: Load) -> None:
    seen: dict[str, list[Any]] = defaultdict(list)

    async def second_time(asked: Any, _hand: Any) -> bytes:
        times = seen[json.loads(asked.body)["event_id"]]
        times.append(asked)
        return OK if len(times) > 1 else BUSY

    url = serve(second_time).url
    done = load(url, platform='slack:{"only": "message"}', **slack(url))
    assert sums(done)["acknowledged"] == len(seen) == 5
    for first, again in seen.values():
        assert first.header("x-slack-retry-num") is None
        assert again.header("x-slack-retry-num") == "1"
        assert again.header("x-slack-retry-reason") == "http_error"
        stamp = again.header("x-slack-request-timestamp")
        right = hmac.new(SLACK_SECRET.encode(), f"v0:{stamp}:".encode() + again.body, hashlib.sha256).hexdigest()
        assert again.header("x-slack-signature") == f"v0={right}"


@pytest.mark.parametrize(
    ("only", "answer"),
    [("command", BUSY), ("message", b"HTTP/1.1 500 Oops\r\nX-Slack-No-Retry: 1\r\nContent-Length: 0\r\n\r\n")],
)
def test_commands_and_what_the_target_wants_no_more_come_once(
    serve: Serve, load: Load, only: str, answer: bytes
) -> None:
    async def never(_asked: Any, _hand: Any) -> bytes:
        return answer

    url = serve(never).url
    done = load(url, platform=f'slack:{{"only": "{only}"}}', **slack(url))
    assert sums(done)["redelivered"] == 0
    assert sums(done)["undelivered"] == 5


def test_a_schedule_ends_after_its_last_pause() -> None:
    rules = DeliveryRules(schedule_s=(0.0, 60.0, 300.0), once_kinds=frozenset({"command"}))
    assert [rules.pause_s(failures, Dice(1)) for failures in (1, 2, 3)] == [0.0, 60.0, 300.0]
    assert [rules.gives_up("message", failures) for failures in (1, 3, 4)] == [False, False, True]
    assert rules.gives_up("command", 1)
    assert DeliveryRules(retries=False).gives_up("push", 1)
    assert not DeliveryRules().gives_up("message", 100)
    assert DeliveryRules(success=frozenset({200})).acknowledged(200)
    assert not DeliveryRules(success=frozenset({200})).acknowledged(202)
