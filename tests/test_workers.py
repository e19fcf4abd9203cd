"""Child processes, with real ones: messages, requests, deaths at any moment, stopped children, lost parents, slow readers."""

from __future__ import annotations

import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaosbot.core.errors import EngineError, PortBusy, UsageError, WorkerDied
from chaosbot.workers import Worker, listen

ROOT = Path(__file__).parents[1]


class Child:
    """A worker, and everything that it said."""

    def __init__(self, function: str, *arguments: Any, **options: Any) -> None:
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.deaths: list[str] = []
        options.setdefault("on_message", self.said.put)
        self.worker = Worker(
            "child", f"tests.support.children:{function}", *arguments, on_death=self.deaths.append, **options
        )

    def rest(self) -> list[Any]:
        """What was said and not taken yet."""
        found = []
        while not self.said.empty():
            found.append(self.said.get())
        return found


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_messages_go_both_ways_in_order_and_may_hold_anything() -> None:
    child = Child("echo", "good morning")
    assert child.worker.ready() == "good morning"
    odd = ["\ud800", 10**5000, b"\0\n", {("a", 1): float("inf")}, "x" * 3_000_000]
    for message in (*range(200), *odd):
        child.worker.send(message)
    got = [child.said.get(timeout=30) for _ in range(205)]
    assert got == [*range(200), *odd]
    assert child.worker.stop()
    assert child.rest() == ["bye"]
    assert child.worker.exit_code == 0
    assert not child.deaths


def test_requests_are_answered_after_everything_that_was_sent_before() -> None:
    child = Child("echo_async", "hello", on_request=lambda request: request.upper())
    assert child.worker.ready() == "hello"
    assert child.worker.ask(5, 30) == [5, 5]
    seen = child.rest()
    assert ("seen", 5) in seen
    numbers = [child.worker.post(number) for number in range(50)]
    assert [child.worker.wait(number, 30) for number in reversed(numbers)] == [[n, n] for n in reversed(range(50))]
    with pytest.raises(EngineError, match=r"^child: a plan: ValueError: not this$"):
        child.worker.ask("refuse", 30, "a plan")
    assert child.worker.stop()
    assert ("asked", "QUESTION") in [*seen, *child.rest()]


def test_what_the_parent_refuses_is_raised_in_the_child() -> None:
    child = Child("ask_what_is_refused", on_request=lambda _request: 1 / 0)
    child.worker.ready()
    assert child.said.get(timeout=30) == "ZeroDivisionError: division by zero"
    assert child.worker.stop()


def test_a_child_that_is_never_ready_is_named_with_what_it_wrote_last() -> None:
    child = Child("silent")
    eventually(lambda: b"importing" in child.worker._stderr)
    with pytest.raises(WorkerDied, match=r"child did not get ready within 0\.1 s \(still importing\)"):
        child.worker.ready(0.1)
    assert gone(child.worker.pid)


def test_a_child_that_fails_before_it_is_ready_says_why() -> None:
    child = Child("broken")
    with pytest.raises(WorkerDied, match=r"child ended with code 1 \(.*RuntimeError: no such device\) before"):
        child.worker.ready()
    assert not child.deaths


@pytest.mark.parametrize("function", ["refuses", "refuses_async"])
def test_what_a_child_refuses_is_a_usage_error_here(function: str) -> None:
    with pytest.raises(UsageError, match=r"^journey\.py: has no journeys$"):
        Child(function).worker.ready()


def test_a_function_that_is_not_there_is_an_error_with_its_name() -> None:
    with pytest.raises(WorkerDied, match="nowhere"):
        Child("nowhere").worker.ready()


@pytest.mark.parametrize("function", ["echo", "echo_async"])
def test_a_death_is_reported_once_and_ends_all_waiting(function: str) -> None:
    child = Child(function, "x", on_request=lambda request: request)
    child.worker.ready()
    os.kill(child.worker.pid, signal.SIGSTOP)  # so that the request is not answered before the death
    number = child.worker.post("x")
    os.kill(child.worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="was killed by signal 9 when asked for a reply"):
        child.worker.wait(number, 60, "a reply")
    child.worker._thread.join(30)
    assert child.deaths == ["was killed by signal 9 without being asked to"]
    with pytest.raises(WorkerDied, match="child is gone"):
        child.worker.send("x")
    assert not child.worker.stop()
    assert len(child.deaths) == 1


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_a_child_is_noticed(seed: int) -> None:
    dice = random.Random(seed)
    child = Child(dice.choice(["flood", "flood_async"]), 1_000_000, dice.choice([1, 1000, 100_000]))
    early = dice.random() < 0.3
    if not early:
        child.worker.ready()
    threading.Event().wait(dice.random() * 0.2)
    os.kill(child.worker.pid, signal.SIGKILL)
    child.worker._thread.join(30)
    assert not child.worker.alive
    assert child.worker.exit_code == -signal.SIGKILL
    if child.deaths:
        assert child.deaths == ["was killed by signal 9 without being asked to"]
    else:
        with pytest.raises(WorkerDied, match="before it was ready"):
            child.worker.ready()
    numbers = [number for number, _ in child.rest()]
    assert numbers == list(range(len(numbers)))


def test_a_stopped_child_is_waited_for_and_goes_on() -> None:
    child = Child("echo_async", "x", on_request=lambda request: request)
    child.worker.ready()
    os.kill(child.worker.pid, signal.SIGSTOP)
    number = child.worker.post(1)
    with pytest.raises(WorkerDied, match=r"did not answer within 0\.1 s"):
        child.worker.wait(number, 0.1)
    later = child.worker.post(2)
    os.kill(child.worker.pid, signal.SIGCONT)
    assert child.worker.wait(later, 30) == [2, 2]
    assert child.worker.stop()


@pytest.mark.parametrize("stopped", [True, False])
def test_a_child_that_does_not_end_is_killed(stopped: bool) -> None:
    child = Child("stubborn")
    child.worker.ready()
    if stopped:
        os.kill(child.worker.pid, signal.SIGSTOP)
    assert not child.worker.stop(0.2)
    assert child.worker.exit_code == -signal.SIGKILL
    assert not child.deaths


def test_children_outlive_the_signals_of_a_terminal_in_a_group_of_their_own() -> None:
    child = Child("signalled")
    group, pid = child.worker.ready()
    assert group == pid == child.worker.pid
    assert child.worker.stop()


def test_no_child_outlives_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.support.children"], stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(text) for text in parent.stdout.readline().split()]
    assert len(pids) == 4
    parent.kill()
    parent.wait()
    eventually(lambda: all(map(gone, pids)))


@pytest.mark.parametrize(("function", "most"), [("flood", 2 << 20), ("flood_async", 64 << 20)])
def test_a_parent_that_reads_slowly_slows_its_child_down(function: str, most: int) -> None:
    """Of 200 MB only what the buffers hold is made while the parent takes nothing; then all of it comes."""
    may_read = threading.Event()
    count = [0]

    def take(message: tuple[int, bytes]) -> None:
        may_read.wait(60)
        assert message[0] == count[0]
        count[0] += 1

    child = Child(function, 2000, 100_000, on_message=take)
    child.worker.ready()
    child_memory = psutil.Process(child.worker.pid)
    before = child_memory.memory_info().rss
    threading.Event().wait(0.5)
    assert child.worker.alive
    assert child_memory.memory_info().rss - before < most
    may_read.set()
    child.worker._thread.join(60)
    assert count == [2000]


def test_a_handler_that_fails_ends_the_child_and_is_reported() -> None:
    child = Child("flood", 100, 10, on_message=lambda _message: 1 / 0)
    child.worker._thread.join(30)
    assert child.deaths == ["its messages cannot be taken any more (ZeroDivisionError: division by zero)"]


def test_sockets_are_inherited_and_their_backlog_with_them() -> None:
    with listen("127.0.0.1", 0) as sock:
        with socket.create_connection(sock.getsockname()) as early:
            child = Child("serve_one", sockets=[sock])
            child.worker.ready()
            assert early.recv(100) == b"hello"
        with pytest.raises(PortBusy, match=r"--listen 127\.0\.0\.1:\d+ is taken"):
            listen(*sock.getsockname(), "--listen")
        assert child.worker.stop()
    with pytest.raises(UsageError, match="cannot be listened on"):
        listen("203.0.113.7", 0)


def test_a_message_that_cannot_be_said_keeps_no_other_one() -> None:
    child = Child("says_what_cannot_be_said", on_request=lambda request: request.upper())
    child.worker.ready()
    said = [child.said.get(timeout=30) for _ in range(3)]
    assert said[0] == "before"
    assert "what was to be asked cannot be told" in said[1]
    assert said[2] == "AFTER"
    assert child.worker.stop()
    assert not child.deaths
