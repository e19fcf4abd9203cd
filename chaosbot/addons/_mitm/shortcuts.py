"""Shorter ways through mitmproxy for what every exchange does; nothing here changes what is sent.

Rules:

- Each is what mitmproxy does, without work that nobody looks at: a `Headers` is searched without converting what does not match,
  a fork of a context makes no server only to throw it away, and a hook that has nothing to wait for does not stop its stream.
- Through names that are the same in mitmproxy 11.0 and 12.2 (`tests/unit/addons/test_shortcuts.py` compares them with the originals).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import lru_cache
from typing import Any, Final

from mitmproxy import http
from mitmproxy.proxy import commands, context, events, layer
from mitmproxy.proxy.layers.http import HttpStream

CallHook = Callable[[commands.StartHook], Coroutine[Any, Any, None] | None]
"""Calls what belongs to a hook; gives a coroutine back when the stream must wait for it."""

Commands = Generator[Any, Any, None]

_CODE: Final = ("utf-8", "surrogateescape")


# ── headers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@lru_cache(1024)
def _folded(name: str | bytes) -> bytes:
    return (name if isinstance(name, bytes) else name.encode(*_CODE)).lower()


def _get_all(self: http.Headers, name: str | bytes) -> list[str]:
    key = _folded(name)
    size = len(key)
    return [value.decode(*_CODE) for known, value in self.fields if len(known) == size and known.lower() == key]


def _contains(self: http.Headers, name: object) -> bool:
    return isinstance(name, (str, bytes)) and bool(_get_all(self, name))


def _get(self: http.Headers, name: str | bytes, default: Any = None) -> Any:
    values = _get_all(self, name)
    if not values:
        return default
    return values[0] if len(values) == 1 else ", ".join(values)


# ── contexts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _fork(self: context.Context) -> context.Context:
    fork = context.Context.__new__(context.Context)
    fork.client, fork.options, fork.server = self.client, self.options, self.server
    fork.layers = self.layers.copy()
    return fork


def take() -> None:
    """From now on mitmproxy goes these ways, in this process."""
    headers: Any = http.Headers
    headers.get_all, headers.__contains__, headers.get = _get_all, _contains, _get
    context.Context.fork = _fork  # type: ignore[method-assign]


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class PromptStream(HttpStream):
    """One exchange inside mitmproxy; goes on at once after a hook that did what it had to do in place.

    Args:
        context: As mitmproxy makes it.
        stream_id: The exchange's number on its connection.
        call: Calls what belongs to a hook.
        nested: Whether the request was found while an event of another exchange is being handled (pipelining). Such a stream
            stops at its first hook as mitmproxy's own do, so that the other exchange is finished before this one goes upstream.
    """

    def __init__(self, context: context.Context, stream_id: int, call: CallHook, *, nested: bool = False) -> None:
        super().__init__(context, stream_id)
        self._call = call
        self._nested = nested

    def handle_event(self, event: events.Event) -> Commands:
        """Handles an event; while a command is waited for, mitmproxy's own way of waiting holds."""
        if isinstance(event, events.CommandCompleted):
            self._nested = False
        if self._paused or self._nested:
            return super().handle_event(event)
        return self._go_on(self._handle_event(event))

    def _go_on(self, steps: Commands) -> Commands:
        for command in steps:
            # A hook of a layer inside (a tunnel's TLS) blocks that layer, and is nothing of this one's.
            if command.blocking is True:
                if isinstance(command, commands.StartHook):
                    later = self._call(command)
                    if later is None:
                        continue
                    command.later = later  # type: ignore[attr-defined]  # for whoever performs it
                command.blocking = self
                self._paused = layer.Paused(command, steps)
                yield command
                return
            yield command
