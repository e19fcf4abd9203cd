"""Shorter ways through mitmproxy for what every exchange does; nothing here changes what is sent.

Rules:

- Each is what mitmproxy does, without work that is not needed: a `Headers` is searched without converting what does not match,
  a fork of a context makes no server only to throw it away, an option is an attribute, and mitmproxy's other addons are not imported.
- Through names that are the same in mitmproxy 11.0 and 12.x (`tests/addons/_mitm/test_shortcuts.py` compares them with the originals).
- ``CHAOSBOT_PLAIN_PROXY=1`` leaves all of them out, and those of `quick`.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from functools import lru_cache
from typing import Any, Final

from mitmproxy import http
from mitmproxy.proxy import context

_CODE: Final = ("utf-8", "surrogateescape")


def skip_the_collection() -> None:
    """Puts an empty package in place of ``mitmproxy.addons``, whose own file imports every addon there is (0.3 s)."""
    found = importlib.util.find_spec("mitmproxy")
    if "mitmproxy.addons" not in sys.modules and found is not None and found.submodule_search_locations:
        package = types.ModuleType("mitmproxy.addons")
        package.__path__ = [f"{place}/addons" for place in found.submodule_search_locations]
        sys.modules["mitmproxy.addons"] = package


class Snapshot:
    """mitmproxy's options with their values of now, as plain attributes; its manager copies deeply at each read."""

    def __init__(self, manager: Any) -> None:
        self.__dict__.update({name: option.current() for name, option in manager.items()})


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
    """Replaces these methods of mitmproxy, in this process."""
    headers: Any = http.Headers
    headers.get_all, headers.__contains__, headers.get = _get_all, _contains, _get
    context.Context.fork = _fork  # type: ignore[method-assign]
