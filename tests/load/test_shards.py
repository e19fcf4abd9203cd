"""Several processes share one plan exactly, and a lost one is told with its share."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaosbot.core.arrival import GeneratorHealth, Shard
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Event, IntervalMeasured, Noted, RequestDone, TaskInterval, Trouble
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.platform import Endpoint
from chaosbot.core.profile import PROFILES
from chaosbot.load.aggregator import RequestCounts
from chaosbot.load.driver import _conclude
from chaosbot.load.shards import owed, unblamed
from chaosbot.load.spec import LoadSpec, Wish

Serve = Load = Callable[..., Any]


def signature(target: Any) -> list[tuple[int, int]]:
    """Who wrote what: sender and update id of every update, which do not depend on the clock."""
    found = []
    for asked in target.asked:
        update = json.loads(asked.body)
        inner = update.get("message") or update["callback_query"]
        found.append((update["update_id"], inner["from"]["id"]))
    return sorted(found)


def test_two_processes_do_exactly_what_one_does(serve: Serve, load: Load) -> None:
    options = {"rate": "150/s", "duration": "1s"}
    one, two = serve(), serve()
    alone = load(one.url, options=options, endpoint=Endpoint("same", "/", started=1_770_000_000))
    shared = load(
        two.url,
        options=options,
        endpoint=Endpoint("same", "/", started=1_770_000_000),
        processes=2,
        record_requests=True,
    )
    assert alone.result.planned == shared.result.planned == 150
    assert signature(one) == signature(two)
    assert {frame.shard for frame in shared.frames} == {0, 1}
    assert all(sum(frame.planned for frame in shared.frames if frame.shard == shard) > 30 for shard in (0, 1))
    # One clock: the shards' first requests are due at the same start.
    dues = {shard: min(request.due for request in shared.all(RequestDone)) for shard in (0, 1)}
    assert abs(dues[0] - dues[1]) < 0.05
    owners = {}
    for request in shared.all(RequestDone):
        owners.setdefault(request.user, set()).add(request.user % 2)
    assert all(len(shards) == 1 for shards in owners.values())


def users_at(frames: list[IntervalMeasured], second: int) -> int:
    return sum(frame.active_users for frame in frames if frame.second == second)


@pytest.mark.slow
def test_several_processes_are_steered_as_one_is(serve: Serve, load: Load) -> None:
    seen: list[IntervalMeasured] = []

    def second() -> int:
        """Seconds that all processes have told of."""
        return min(max((frame.second for frame in seen if frame.shard == shard), default=-1) for shard in (0, 1))

    def wish() -> Wish:
        now = second()
        return Wish() if now < 2 else Wish(level=31) if now < 5 else Wish(paused=True, level=31) if now < 8 else Wish()

    done = load(
        serve().url,
        "smoke",
        {"users": 12, "spawn_rate": "1000/s", "duration": "12s"},
        {"wish": wish, "on_interval": seen.append},
        processes=2,
    )
    assert {frame.shard for frame in done.frames} == {0, 1}
    # A busy machine tells of a second late; each wish holds for three, of which the last is sure.
    assert [users_at(done.frames, at) for at in (1, 5, 8, 11)] == [12, 31, 0, 12] or [
        max(users_at(done.frames, at) for at in range(3)),
        max(users_at(done.frames, at) for at in range(3, 8)),
        min(users_at(done.frames, at) for at in range(6, 11)),
    ] == [12, 31, 0]


@pytest.mark.slow
def test_a_rate_that_a_person_wants_is_that_of_all_processes_together(serve: Serve, load: Load) -> None:
    seen: list[IntervalMeasured] = []
    done = load(
        serve().url,
        options={"rate": "20/s", "duration": "7s"},
        hooks={
            "wish": lambda: Wish(level=100) if any(frame.second == 2 for frame in seen) else Wish(),
            "on_interval": seen.append,
        },
        processes=2,
    )
    planned = [sum(frame.planned for frame in done.frames if frame.second == at) for at in range(7)]
    assert planned[1] == 20
    assert sum(planned[5:6]) == pytest.approx(100, abs=5)


def test_a_killed_process_marks_the_run_degraded_with_its_share(serve: Serve, load: Load) -> None:
    killed: list[int] = []

    def kill_one(frame: IntervalMeasured) -> None:
        if frame.second == 0 and frame.shard == 1 and not killed:
            children = sorted(
                (child for child in psutil.Process().children() if "chaosbot.workers" in " ".join(child.cmdline())),
                key=lambda child: child.create_time(),
            )
            killed.append(children[-1].pid)
            os.kill(killed[0], signal.SIGKILL)

    done = load(serve().url, options={"rate": "100/s", "duration": "3s"}, hooks={"on_interval": kill_one}, processes=2)
    assert killed
    (trouble,) = done.all(Trouble)
    assert trouble.where == "load:shard 1"
    assert "was not delivered; the run is degraded" in trouble.what
    # It ran one of three seconds (more, if the machine was slow to kill it) and had about half the chats.
    ran = sum(frame.shard == 1 for frame in done.frames)
    assert ran >= 1
    assert done.result.undelivered == pytest.approx((1 - ran / 3) / 2, abs=0.1)
    assert done.result.planned == pytest.approx(300 * (1 - done.result.undelivered), abs=1)
    assert max(frame.second for frame in done.frames if frame.shard == 0) >= 2, "the other one goes on"


def test_what_a_lost_shard_owes_of_a_closed_plan_is_counted_in_time() -> None:
    spec = LoadSpec(
        "http://127.0.0.1/", Endpoint(), "telegram", 1, PROFILES.build("smoke", {"users": 100, "spawn_rate": "1000/s"})
    )
    whole = sum(owed(spec, Shard(index, 4), 0, 0.0) for index in range(4))
    half = sum(owed(spec, Shard(index, 4), 0, 15.0) for index in range(4))
    assert (whole, half) == (pytest.approx(1.0), pytest.approx(0.5, abs=0.01))


def test_stopping_reaches_every_process(serve: Serve, load: Load) -> None:
    frames: list[IntervalMeasured] = []
    hooks = {"on_interval": frames.append, "should_stop": lambda: len(frames) >= 2}
    done = load(serve().url, options={"rate": "50/s", "duration": "1m"}, hooks=hooks, processes=2)
    assert done.result.how == "stopped"
    assert done.result.duration_s < 30
    assert not done.all(Trouble)


def test_a_bad_journey_file_is_told_like_in_one_process(serve: Serve, load: Load, tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def journeys():\n    return 1 / 0\n")
    with pytest.raises(ConfigError, match=r"bad\.py:2: journeys\(\) raised ZeroDivisionError"):
        load(serve().url, journey=bad, processes=2)


def test_a_search_is_not_shared(serve: Serve, load: Load) -> None:
    with pytest.raises(ConfigError, match="--processes"):
        load(serve().url, "knee", processes=2)


def test_one_note_says_how_the_worst_generator_did(serve: Serve, load: Load) -> None:
    done = load(serve().url, options={"rate": "50/s", "duration": "500ms"}, processes=2)
    notes = [note for note in done.all(Noted) if note.area == "generator"]
    assert len(notes) == 1
    assert notes[0].data["planned"] == 25


def test_a_process_that_is_late_or_full_makes_the_run_invalid_by_its_name() -> None:
    spec = LoadSpec("http://127.0.0.1/", Endpoint(), "telegram", 1, PROFILES.build("smoke"))
    each = {
        "load process 0 on alpha": GeneratorHealth(50, 0, 0.001, 0.0),
        "load process 1 on beta": GeneratorHealth(50, 0, 0.3, 0.0),
        "load process 2 on gamma": GeneratorHealth(50, 20, 0.001, 0.0),
    }
    told: list[Event] = []
    done = _conclude(
        spec, RequestCounts(), "completed", 0.0, GeneratorHealth(150, 20, 0.3, 0.0), told.append, each=each
    )
    assert [reason.partition(":")[0] for reason in done.reasons] == [
        "load process 1 on beta",
        "load process 2 on gamma",
    ]
    assert "300 ms late" in done.reasons[0]
    assert "20 of 50 arrivals were never started" in done.reasons[1]
    stopped = _conclude(
        spec, RequestCounts(), "stopped", 0.0, GeneratorHealth(150, 20, 0.0, 0.0), told.append, each=each
    )
    assert len(stopped.reasons) == 1, "what waits when a person stops a run is nobody's fault"


def test_what_a_process_met_in_the_second_of_a_stop_is_charged_to_nobody() -> None:
    errors: dict[str, int] = {Fate.REFUSED: 4, Fate.RESET: 1, Fate.TIMEOUT: 2, "status_500": 3}
    told = IntervalMeasured(
        1.0, 0, 0, 30, 30, 20, 8, 2, 0, "", "", dict(errors), by_task={"text": TaskInterval(30, dict(errors))}
    )
    kept = {Fate.TIMEOUT: 2, "status_500": 3}
    seen = unblamed(told)
    assert isinstance(seen, IntervalMeasured)
    assert (seen.completed, seen.failed, seen.timed_out, seen.cancelled, seen.errors) == (20, 3, 2, 5, kept)
    assert (seen.by_task["text"].done, seen.by_task["text"].errors) == (25, kept)
    refused = RequestDone(1.0, "load-1", 0.9, 0.9, Outcome(Fate.REFUSED))
    lost = unblamed(refused)
    assert isinstance(lost, RequestDone)
    assert lost.outcome.fate is Fate.CANCELLED
