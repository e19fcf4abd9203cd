"""A pool of daemon threads: what hangs at a target must not keep the process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
A = TypeVar("A")


class ThreadPool:
    """Runs functions on up to `width` daemon threads, which start when they are needed.

    Args:
        width: How many at once.
        name: The threads' name.
    """

    def __init__(self, width: int, name: str) -> None:
        self._width = width
        self._name = name
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, function: Callable[..., T], *arguments: Any, **options: Any) -> Future[T]:
        """Runs a function; its result or its exception is in the future."""
        future: Future[T] = Future()
        self._work.put((future, lambda: function(*arguments, **options)))
        if self._closed:
            future.cancel()  # a closed pool begins nothing, and who waits must hear that
            return future
        if len(self._threads) < self._width:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def map(self, function: Callable[[A], T], items: Iterable[A]) -> list[T]:
        """The results for all items, in their order."""
        futures = [self.submit(function, item) for item in items]
        return [future.result() for future in futures]

    def close(self) -> None:
        """Takes no more work; what has not begun is cancelled."""
        if self._closed:
            return
        self._closed = True
        while True:
            try:
                item = self._work.get_nowait()
            except queue.Empty:
                break
            if item is not None:
                item[0].cancel()
        for _ in self._threads:
            self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            future, function = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the result
                future.set_exception(error)
