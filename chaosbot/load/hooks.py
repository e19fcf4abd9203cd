"""A person's code inside a run: what a stream's `on_message` answers, what it does wrong, and an end for what has none.

Rules:

- A hook runs in the load's own loop, so while it runs nothing else is sent or read. One that takes longer than `SLOW_S` is told with its line.
- One that does not come back is ended after `OVERDUE_S`: the loop that it holds could not even be stopped by Ctrl-C.
- Whatever it raises is its own mistake, `SystemExit` and `KeyboardInterrupt` as well (a real Ctrl-C waits for the loop's next checkpoint);
  an ``AssertionError`` alone speaks of the target.
"""

from __future__ import annotations

import ctypes
import inspect
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from chaosbot.core.journey import OnMessage, StreamMessage, bad_text

OVERDUE_S: Final = 10.0
"""How long a hook may take."""
SLOW_S: Final = 1.0
_LOOK_S: Final = 0.5


class Overdue(BaseException):
    """Ends a person's code that does not come to an end itself."""

    def __str__(self) -> str:
        """What a person reads."""
        return f"still ran after {OVERDUE_S:g} s"


class WrongAnswer(Exception):
    """A hook returned what no client can send."""


def interrupt(thread: int) -> None:
    """Raises `Overdue` in a thread: ends a loop in Python, but nothing that waits in C."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Overdue))


def answers(hook: OnMessage, message: StreamMessage) -> list[str | bytes]:
    """What a hook answers to a message.

    Raises:
        WrongAnswer: It returned anything but texts.
    """
    made: Any = hook(message)
    if made is None:
        return []
    if isinstance(made, (str, bytes)):
        made = [made]
    elif isinstance(made, Mapping) or not isinstance(made, Iterable):
        if inspect.iscoroutine(made):
            made.close()
        raise WrongAnswer(f"returned a {type(made).__name__}; it must return texts, or None")
    texts = list(made)
    for text in texts:
        if problem := bad_text(text):
            raise WrongAnswer(f"returned {problem}")
    return texts


def blame(hook: Callable[..., Any], error: BaseException) -> str:
    """What a hook did wrong, with file and line: the last of its file's that was under way, else that of the hook."""
    said = str(error) if isinstance(error, (WrongAnswer, Overdue)) else f"raised {type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    file, line = _place(hook)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    return f"{said} ({file}:{lines[-1] if lines else line})"


def slow(hook: Callable[..., Any], took_s: float) -> str:
    """That a hook takes too long, in words; empty where it does not."""
    file, line = _place(hook)
    told = (
        f"took {took_s:.1f} s, and nothing else is sent or read meanwhile; let it only look and answer ({file}:{line})"
    )
    return told if took_s > SLOW_S else ""


def _place(hook: Callable[..., Any]) -> tuple[str, int]:
    """Where a hook stands; an object's is its `__call__`."""
    plain = inspect.unwrap(getattr(hook, "func", hook))
    code = getattr(plain, "__code__", None) or getattr(
        inspect.getattr_static(type(plain), "__call__", None), "__code__", None
    )
    return (code.co_filename, code.co_firstlineno) if code is not None else (repr(hook), 1)


class HookWatch:
    """Ends hooks that do not come back; a context around each call. One thread looks after all, and ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None
        self._owner = 0
        self.took_s = 0.0
        """How long the last call took."""

    def __enter__(self) -> None:
        """A call begins."""
        if not self._owner:
            self._owner = threading.get_ident()
            threading.Thread(target=self._look, name="chaosbot-hooks", daemon=True).start()
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        """It came back."""
        with self._lock:
            began, self._since = self._since, None
        self.took_s = time.monotonic() - (began or 0.0)

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            with self._lock:
                if self._since is not None and time.monotonic() - self._since > OVERDUE_S:
                    interrupt(self._owner)
