"""Users without pauses on the fast path: whatever the target does, nothing is lost, sent twice or counted as something else."""

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaosbot.core.event import RequestDone
from chaosbot.core.platform import PLATFORMS
from chaosbot.load.closed import VirtualUser
from chaosbot.load.pending import PendingRequest
from tests.load.conftest import OK, Asked, Hand, Run, Target

Serve = Callable[..., Target]
Load = Callable[..., Run]
JOURNEY = """
import dataclasses
from chaosbot.core.event import RequestDone
from chaosbot.core.platform import PLATFORMS

def journeys():
    return tuple(dataclasses.replace(j, wait_s=(0.0, 0.0)) for j in PLATFORMS.build("telegram").journeys())
"""
USERS = 7
OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}'


@pytest.fixture
def journey(tmp_path: Path) -> Path:
    (tmp_path / "journey.py").write_text(JOURNEY)
    return tmp_path / "journey.py"


@pytest.fixture
def plain_ends(monkeypatch: pytest.MonkeyPatch) -> list[PendingRequest]:
    """Requests whose end the plain path decided about."""
    ended: list[PendingRequest] = []
    finished = VirtualUser.finished

    def counted(self: VirtualUser, pending: PendingRequest) -> None:
        ended.append(pending)
        finished(self, pending)

    monkeypatch.setattr(VirtualUser, "finished", counted)
    return ended


def steps(target: Target) -> None:
    """Every user's updates have the plan's numbers: one after the other, none left out, none twice."""
    telegram = PLATFORMS.build("telegram")
    updates: defaultdict[Any, list[int]] = defaultdict(list)
    for asked in target.asked:
        facts = telegram.facts("POST", "/", (), asked.body)
        assert facts is not None
        assert isinstance(facts.update_id, int)
        assert b"%d" % facts.update_id in asked.body
        updates[facts.user].append(facts.update_id)
        text = json.loads(asked.body).get("message", {}).get("text")
        assert facts.command or not text or facts.marker in text
    assert len(updates) == USERS
    for ids in updates.values():
        assert [after - before for before, after in itertools.pairwise(ids)] == [USERS] * (len(ids) - 1)


def test_users_without_pauses_are_served_in_turns(
    serve: Serve, load: Load, journey: Path, plain_ends: list[PendingRequest]
) -> None:
    target = serve()
    done = load(target.url, "smoke", {"users": USERS, "spawn_rate": "1000/s", "duration": "1500ms"}, journey=journey)
    assert done.result.completed == done.result.started == len(target.asked)
    assert target.connections <= USERS + 1, "and the look whether it listens"
    # The first answer is parsed, those after it are known; at the end each user leaves.
    assert len(plain_ends) <= 4 * USERS < len(target.asked)
    steps(target)
    counted: Counter[str] = Counter()
    for frame in done.frames:
        counted.update({task: interval.done for task, interval in frame.by_task.items()})
        assert frame.in_flight <= USERS
    assert counted.total() == done.result.completed


def test_what_is_not_plain_sailing_is_told_as_ever(serve: Serve, load: Load, journey: Path) -> None:
    did: Counter[str] = Counter()

    async def moody(asked: Asked, hand: Hand) -> bytes | None:
        turn = asked.number % 23
        if turn == 3:
            did["status_500"] += 1
            return b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
        if turn == 5:
            return b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000)  # more than is read at once
        if turn == 9:
            hand.say(b"HTTP/1.1 200 OK\r\n\r\nuntil the end of the connection")
            hand.close()
            return None
        if turn == 7:
            hand.say(OK[:20])
            await hand.writer.drain()
            return OK[20:]
        if turn == 11:
            hand.say(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            hand.close()
            return None
        if turn == 15:
            did["lost"] += 1
            hand.reset()
            return None
        if turn == 19:
            hand.say(OTHER)
            await hand.writer.drain()
            hand.close()  # unannounced, between two requests
            return None
        return OTHER if turn % 2 else OK

    target = serve(moody)
    done = load(target.url, "smoke", {"users": USERS, "spawn_rate": "1000/s", "duration": "2s"}, journey=journey)
    errors = done.errors()
    assert errors.pop("status_500") == did["status_500"] > 0
    # A request that was written to a connection which closes at that moment never arrives, and is lost as well.
    assert sum(errors.values()) >= did["lost"] > 0
    assert set(errors) <= {"reset", "closed"}
    never_came = sum(errors.values()) - did["lost"]
    assert done.result.started - never_came <= len(target.asked) <= done.result.started
    assert done.result.completed + done.result.failed == done.result.started


def test_an_answer_that_never_comes_times_out_on_the_fast_path(serve: Serve, load: Load, journey: Path) -> None:
    async def stuck(asked: Asked, _hand: Hand) -> bytes | None:
        return None if asked.number >= 200 else OK

    target = serve(stuck)
    done = load(
        target.url,
        "smoke",
        {"users": USERS, "spawn_rate": "1000/s", "duration": "2s"},
        journey=journey,
        timeout_s=0.4,
    )
    assert done.errors()["timeout"] == done.result.timed_out >= USERS
    assert done.result.completed == 200


@pytest.mark.parametrize(("wait_s", "recorded"), [((0.0, 0.0), False), ((0.1, 0.3), True)])
def test_requests_are_written_one_by_one_only_where_they_come_slowly(
    serve: Serve, load: Load, wait_s: tuple[float, float], recorded: bool
) -> None:
    target = serve()
    options = {"users": USERS, "spawn_rate": "1000/s", "duration": "1s"}
    done = load(target.url, "smoke", options, wait_s=wait_s, record_requests=True, most_recorded_rps=1500.0)
    assert len(done.all(RequestDone)) == (done.result.completed if recorded else 0)
    assert done.result.completed == len(target.asked)
