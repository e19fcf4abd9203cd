"""The numbers say what users would have experienced: coordinated omission, lateness, queues, bounded ends."""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from chaosbot.core.errors import EngineError, UsageError
from chaosbot.core.event import IntervalMeasured, Noted, RequestDone, Trouble
from chaosbot.core.outcome import Fate
from chaosbot.load.pending import PendingRequest

from .memory import MemoryConnection, virtual

Serve = Load = Callable[..., Any]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def merged(frames: Any, name: str) -> HdrHistogram:
    whole = HdrHistogram(1, 3_600_000_000, 3)
    for frame in frames:
        if getattr(frame, name):
            whole.add(HdrHistogram.decode(getattr(frame, name)))
    return whole


def stalling(at: int, seconds: float) -> Any:
    """A target in memory that answers after a millisecond, and once stands still with everything that it has."""
    until = [0.0]

    class Stalling(MemoryConnection):
        def fire(self, shot: PendingRequest) -> None:
            super().fire(shot)
            if shot.ordinal == at:
                until[0] = shot.started + seconds

        def _end(self, shot: PendingRequest, fate: Fate, ended: float | None = None) -> None:
            if self._loop.clock() < until[0]:
                self._loop.at(until[0], lambda: super(Stalling, self)._end(shot, fate, ended))
            else:
                super()._end(shot, fate, ended)

    Stalling.latency = (0.001, 0.001)
    return Stalling


def test_a_server_that_stalls_once_shows_in_response_time_not_in_service_time() -> None:
    # One request in 1200 meets the stall; the 140 that were due meanwhile waited for it, and a closed loop would hide them.
    engine, events = virtual("steady", {"rate": "100/s", "duration": "12s"}, stalling(500, 1.4), connections=4)
    assert engine.aggregator.total.completed == engine.aggregator.total.planned == 1200
    frames = [event for event in events if isinstance(event, IntervalMeasured)]
    response, service = merged(frames, "response"), merged(frames, "service")
    assert response.get_total_count() == service.get_total_count() == 1200
    # 1.4 s × 100/s = 140 late arrivals, evenly late by 1.4 s … 0; the 12th worst of 1200 is 1.4 × (1 − 12/140) = 1.28 s late.
    assert response.get_value_at_percentile(99) / 1e6 == pytest.approx(1.28, rel=0.02)
    assert service.get_value_at_percentile(99) / 1e6 == pytest.approx(0.001, rel=0.01)


def test_a_real_server_that_stalls_is_charged_with_what_was_due_meanwhile(serve: Serve, load: Load) -> None:
    async def stall_once(asked: Any, _hand: Any) -> bytes:
        if asked.number == 100:
            time.sleep(0.7)  # noqa: ASYNC251 - the whole server stalls, as a stop-the-world pause does
        return OK

    done = load(serve(stall_once).url, options={"rate": "200/s", "duration": "1500ms"}, connections=4)
    assert done.result.completed == done.result.planned == 300
    response = merged(done.frames, "response")
    assert response.get_max_value() / 1e6 >= 0.69
    # 140 were due in that time, evenly late by 0.7 s … 0; so a hundred of the 300, more than a quarter, are late by 0.2 s.
    assert response.get_value_at_percentile(75) / 1e6 > 0.2


def test_arrivals_wait_in_a_queue_when_all_connections_are_busy(serve: Serve, load: Load) -> None:
    async def slow(_asked: Any, _hand: Any) -> bytes:
        await asyncio.sleep(0.05)
        return OK

    target = serve(slow)
    done = load(target.url, options={"rate": "100/s", "duration": "1s"}, connections=2)
    # Two connections answer forty a second, so a hundred take two and a half; the queue is part of the response time.
    assert done.result.completed == 100
    assert target.most_open <= 2
    assert done.result.duration_s > 2.2
    response, service = merged(done.frames, "response"), merged(done.frames, "service")
    assert response.get_max_value() / 1e6 > 1.2
    assert response.get_value_at_percentile(50) > 5 * service.get_value_at_percentile(50)


def test_what_never_gets_its_turn_is_dropped_and_makes_the_run_invalid(serve: Serve, load: Load) -> None:
    async def never(_asked: Any, _hand: Any) -> None:
        await asyncio.sleep(3600)

    done = load(serve(never).url, options={"rate": "100/s", "duration": "500ms"}, connections=2, timeout_s=0.3)
    assert done.result.timed_out >= 2
    assert done.result.dropped > 30
    assert not done.result.valid
    assert any("never started" in reason for reason in done.result.reasons)
    note = next(note for note in done.all(Noted) if note.area == "generator")
    assert note.data["valid"] is False


def test_frames_are_seconds_of_one_clock(serve: Serve, load: Load) -> None:
    started = time.monotonic() - 100
    done = load(serve().url, options={"rate": "50/s", "duration": "2500ms"}, started=started, record_requests=True)
    numbers = list(range(len(done.frames)))  # three, and more if the machine ends the run late
    assert numbers[:3] == [0, 1, 2]
    assert [frame.second for frame in done.frames] == numbers
    assert [frame.t - done.frames[0].t for frame in done.frames] == pytest.approx(numbers)
    assert 101 <= done.frames[0].t < 160
    assert sum(frame.planned for frame in done.frames) == 125
    requests = done.all(RequestDone)
    assert len(requests) == 125
    assert all(frame.t - frame.second - 1 <= request.due for frame in done.frames[:1] for request in requests)
    assert len({request.exchange for request in requests}) == 125


def test_open_arrivals_start_when_they_are_due(serve: Serve, load: Load) -> None:
    # A busy machine makes most of them late; the driver's own lateness shows in those that it did not disturb.
    for _ in range(5):
        done = load(serve().url, options={"rate": "400/s", "duration": "500ms"}, record_requests=True)
        late = sorted(request.started - request.due for request in done.all(RequestDone))
        assert late[0] >= 0
        if late[len(late) // 10] < 0.001:
            break
    assert late[len(late) // 10] < 0.001


def test_somebody_who_stops_a_run_gets_the_sums_within_a_second(serve: Serve, load: Load) -> None:
    async def never(_asked: Any, _hand: Any) -> None:
        await asyncio.sleep(3600)

    stop_at = time.monotonic() + 0.5
    done = load(
        serve(never).url,
        "smoke",
        {"users": 30, "spawn_rate": "300/s"},
        {"should_stop": lambda: time.monotonic() > stop_at},
    )
    # A second is the aim; a busy machine may take several, but not the half minute that the requests have.
    assert time.monotonic() - stop_at < 20
    assert done.result.how == "stopped"
    assert done.result.cancelled == done.result.started == 30
    assert done.result.valid, "who stops a run does not make it invalid"


def test_a_run_that_still_waits_for_its_beginning_can_be_stopped(serve: Serve, load: Load) -> None:
    async def at_once(_asked: Any, _hand: Any) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    began = time.monotonic()
    profile = {"rate": "50/s", "duration": "1s"}
    done = load(serve(at_once).url, "steady", profile, {"should_stop": lambda: True}, started=began, zero_s=3600.0)
    assert time.monotonic() - began < 600
    assert done.result.how == "stopped"
    assert done.result.started == 0


def test_ctrl_c_ends_a_run_with_its_last_frame_and_sums(serve: Serve, tmp_path: Path) -> None:
    script = tmp_path / "drive.py"
    script.write_text(
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts tests in the background may have it ignored\n"
        "from chaosbot.load.driver import drive\n"
        "from chaosbot.load.spec import LoadSpec\n"
        "from chaosbot.core.platform import Endpoint\n"
        "from chaosbot.core.profile import PROFILES\n"
        "def emit(event):\n"
        "    if type(event).__name__ == 'IntervalMeasured': print('frame', flush=True)\n"
        "spec = LoadSpec(sys.argv[1], Endpoint('x', '/'), 'telegram', 1, PROFILES.build('steady', {'rate': '50/s', 'duration': '1m'}))\n"
        "result = drive(spec, emit)\n"
        "print(result.how, result.started == result.completed + result.cancelled, result.completed > 0, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, str(script), serve().url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "frame\n"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert time.monotonic() - began < 30, "the run had a minute"
    assert rest == "frame\ninterrupted True True\n"


def test_too_few_descriptors_are_told_before_anything_is_sent(serve: Serve, load: Load) -> None:
    target = serve()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with pytest.raises(UsageError, match=r"file descriptors, this process may have .*ulimit -n"):
        load(target.url, "sustained", {"users": hard + 1, "spawn_rate": "1000000/s"})
    assert target.connections == 0


def test_the_soft_limit_is_raised_as_far_as_needed(serve: Serve, load: Load) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        done = load(serve().url, "smoke", {"users": 300, "spawn_rate": "1000/s", "duration": "500ms"})
        assert done.result.failed == 0
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_phase_and_faults_are_in_every_frame(serve: Serve, load: Load) -> None:
    words = itertools.count()
    hooks = {"phase": lambda: f"phase-{next(words)}", "faults": lambda: ("latency",)}
    done = load(serve().url, options={"rate": "10/s", "duration": "1500ms"}, hooks=hooks)
    assert len(done.frames) >= 2
    assert [frame.phase for frame in done.frames] == [f"phase-{number}" for number in range(len(done.frames))]
    assert all(frame.faults == ("latency",) for frame in done.frames)


def test_the_exchange_header_stands_in_every_request_and_joins_them(serve: Serve, load: Load) -> None:
    target = serve()
    done = load(target.url, options={"rate": "50/s", "duration": "500ms"}, exchange_header=True, record_requests=True)
    asked = sorted(request.header("x-chaosbot-exchange") for request in target.asked)
    assert asked == sorted(request.exchange for request in done.all(RequestDone))
    assert len(set(asked)) == 25
    plain = serve()
    load(plain.url, options={"rate": "50/s", "duration": "200ms"})
    assert all(request.header("x-chaosbot-exchange") is None for request in plain.asked)


def test_a_run_in_a_thread_works_as_well(serve: Serve, load: Load) -> None:
    box: list[Any] = []
    thread = threading.Thread(
        target=lambda: box.append(load(serve().url, options={"rate": "50/s", "duration": "200ms"}))
    )
    thread.start()
    thread.join(60)
    assert box[0].result.completed == 10


def test_slow_users_are_slow_and_do_not_count_as_the_targets_latency(serve: Serve, load: Load) -> None:
    target = serve()
    done = load(target.url, "smoke", {"users": 10, "spawn_rate": "100/s", "duration": "500ms"}, slow_share=1.0)
    tasks = {name for frame in done.frames for name in frame.tasks}
    assert {name.rpartition("(")[2] for name in tasks} == {"slow body)", "slow unread)"}
    assert done.result.completed == done.result.started == 10
    assert done.result.duration_s > 2.5
    assert merged(done.frames, "service").get_total_count() == 0


def test_a_run_leaves_no_descriptor_behind(serve: Serve, load: Load) -> None:
    target = serve()
    load(target.url, options={"rate": "50/s", "duration": "200ms"})
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc here")
    # The target lives in this process too: its side must be closed before the rest is counted.
    assert target.idle.wait(60)
    before = len(list(folder.iterdir()))
    load(target.url, options={"rate": "200/s", "duration": "300ms"})
    assert target.idle.wait(60)
    assert len(list(folder.iterdir())) <= before + 2  # a socket of the target's may still be on its way out


def test_a_broken_sampler_becomes_trouble_and_the_run_goes_on(
    serve: Serve, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("the probe broke")

    looks = iter([[("memory", True, 1.0, "")]])
    monkeypatch.setattr("chaosbot.load.assembly.watches", lambda *_: [lambda: next(looks, None) or broken()])
    done = load(serve().url, options={"rate": "50/s", "duration": "500ms"})
    assert done.result.completed == 25
    (trouble,) = done.all(Trouble)
    assert "the probe broke" in trouble.what


def test_a_source_that_breaks_in_the_middle_is_an_engine_error_with_the_frames_kept(
    serve: Serve, load: Load, tmp_path: Path
) -> None:
    journey = tmp_path / "late.py"
    journey.write_text(
        "from chaosbot.core.platform import Request\n"
        "def build(task, user, ordinal, dice, endpoint):\n"
        "    if ordinal > 20:\n"
        "        raise ValueError('no more')\n"
        "    return Request(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n', task)\n"
    )
    frames: list[Any] = []
    with pytest.raises(EngineError, match="ValueError: no more"):
        load(
            serve().url,
            options={"rate": "50/s", "duration": "2s"},
            hooks={"on_interval": frames.append},
            journey=journey,
        )
    assert sum(frame.started for frame in frames) >= 20


def test_a_second_run_delivers_other_updates_than_the_first(
    serve: Serve, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = serve()
    clock = itertools.count(1_770_000_000, 60)
    monkeypatch.setattr("chaosbot.load.driver.time.time", lambda: next(clock))
    for _ in range(2):
        load(target.url, options={"rate": "50/s", "duration": "200ms"})
    ids = [json.loads(asked.body)["update_id"] for asked in target.asked]
    assert len(set(ids)) == len(ids) == 20
