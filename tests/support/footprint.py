"""How much memory a process and all below it come to while something runs."""

from __future__ import annotations

import contextlib
import threading
from typing import Self

import psutil

_EVERY_S = 0.1


class Footprint:
    """Looks at a process and its descendants until it is left.

    Args:
        pid: The process at the top.

    Attributes:
        peak: The most bytes that any one of them was seen to hold (RSS).
        whose: The command line of that one.
    """

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self.whose = ""
        self._top = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                for each in (self._top, *self._top.children(recursive=True)):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        held = int(each.memory_info().rss)
                        if held > self.peak:
                            self.peak, self.whose = held, " ".join(each.cmdline())[:200]
