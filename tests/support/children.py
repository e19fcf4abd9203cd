"""Functions that run in child processes of tests/test_workers.py."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time

from chaosbot.core.errors import EngineError, UsageError
from chaosbot.workers import AsyncParent, Parent, Worker


def echo(parent: Parent, greeting: str) -> None:
    """Sends back what comes."""
    parent.ready(greeting)
    while (message := parent.receive()) is not None:
        parent.send(message)
    parent.send("bye")


async def echo_async(parent: AsyncParent, greeting: str) -> None:
    """The same in a loop; requests are answered doubled, a text is asked back."""

    def answer(request: object) -> object:
        parent.send(("seen", request))
        if request == "refuse":
            raise ValueError("not this")
        return [request, request]

    parent.answer = answer
    parent.ready(greeting)
    parent.send(("asked", await parent.ask("question", 10)))
    await parent.stopping.wait()
    parent.send("bye")


async def says_what_cannot_be_said(parent: AsyncParent) -> None:
    """Asks something that no bytes can carry, between what they can."""
    parent.ready()
    parent.send("before")
    try:
        await parent.ask(lambda: None, 10)
    except EngineError as error:
        parent.send(str(error))
    parent.send(await parent.ask("after", 10))
    await parent.stopping.wait()


async def ask_what_is_refused(parent: AsyncParent) -> None:
    """Reports how its request was refused."""
    parent.ready()
    try:
        await parent.ask("x", 10)
    except Exception as error:  # noqa: BLE001 - it is what the test looks at
        parent.send(str(error))
    await parent.stopping.wait()


def silent(_parent: Parent) -> None:
    """Never says that it is ready."""
    sys.stderr.write("still importing\n")
    sys.stderr.flush()
    threading.Event().wait()


def broken(_parent: Parent) -> None:
    """Fails before it is ready."""
    raise RuntimeError("no such device")


def refuses(_parent: Parent) -> None:
    """Refuses what it was told."""
    raise UsageError("journey.py: has no journeys")


async def refuses_async(_parent: AsyncParent) -> None:
    """The same in a loop."""
    raise UsageError("journey.py: has no journeys")


def stubborn(parent: Parent) -> None:
    """Does not listen."""
    parent.ready()
    threading.Event().wait()


def flood(parent: Parent, count: int, size: int) -> None:
    """Sends as fast as it can."""
    parent.ready()
    for number in range(count):
        parent.send((number, b"x" * size))


async def flood_async(parent: AsyncParent, count: int, size: int) -> None:
    """The same in a loop."""
    parent.ready()
    for number in range(count):
        parent.send((number, b"x" * size))
        if not number % 10:
            await asyncio.sleep(0)


def signalled(parent: Parent) -> None:
    """Sends itself what a terminal sends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(os.getpid(), number)
    parent.ready((os.getpgid(0), os.getpid()))
    parent.receive()


def serve_one(parent: Parent) -> None:
    """Accepts one connection on the inherited socket."""
    parent.sockets[0].setblocking(True)
    parent.ready()
    client, _ = parent.sockets[0].accept()
    with client:
        client.sendall(b"hello")
    parent.receive()


def busy(parent: Parent) -> None:
    """Computes without ever looking at its parent."""
    parent.ready()
    while True:
        time.monotonic()


def have_children() -> None:
    """A parent that starts children and then waits to be killed; prints their process ids."""
    workers = [
        Worker("a", "tests.support.children:echo", "a"),
        Worker("b", "tests.support.children:echo_async", "b", on_request=lambda request: request),
        Worker("c", "tests.support.children:busy"),
        Worker("d", "tests.support.children:silent"),
    ]
    for worker in workers[:3]:
        worker.ready()
    sys.stdout.write(" ".join(str(worker.pid) for worker in workers) + "\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    have_children()
