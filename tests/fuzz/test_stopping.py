"""A stop that also ends the target (a signal to the whole process group) charges the target with nothing."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest

from chaosbot.core.event import Event, ProbeSeen, Trouble
from chaosbot.fuzz.campaign import Campaign
from tests.support.campaigns import spec_of

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@contextmanager
def ended_after(requests: int, ends: Callable[[], None]) -> Iterator[str]:
    """A server that calls `ends` on a later request, and whose process is as good as gone from then on."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    gone, numbers = threading.Event(), iter(range(1 << 20))

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5.0)
            if not connection.recv(1 << 16):
                return
            if next(numbers) == requests:
                ends()
                gone.set()
                listener.shutdown(socket.SHUT_RDWR)
                listener.close()
            if not gone.is_set():
                connection.sendall(_OK)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
    finally:
        listener.close()


@pytest.mark.parametrize("signal_comes", ["with its end", "a moment after its end"])
@pytest.mark.parametrize("requests", [3, 40, 90])
def test_a_target_that_ends_with_the_run_is_charged_with_nothing(
    requests: int, signal_comes: str, tmp_path: Path
) -> None:
    stop, events, first = threading.Event(), list[Event](), signal_comes == "with its end"

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, ProbeSeen) and not event.ok:
            stop.set()

    with ended_after(requests, stop.set if first else lambda: None) as url:
        spec = spec_of(url, tmp_path, monotonic(), stages=("catalogue", "sequences"), platform="json_webhook")
        result = Campaign(spec, emit).run(stop.is_set)
    assert stop.is_set()
    assert not result.complete
    lost = [(one.check, one.title) for one in result.findings if one.cause.symptom in ("died", "lost", "hung")]
    assert not lost
    told = [event.what for event in events if isinstance(event, Trouble)]
    assert not [what for what in told if "--duration" in what or "no answer" in what]
