"""mitmproxy without its Master: the parts that connections need, configured once. Works on 11.0.2 and on 12.2.

Rules:

- mitmproxy's insides are known in this folder alone: `connection` (a client connection), `http` (what HTTP sends), `shortcuts` (what is done
  in a shorter way), and `addons/websocket.py`. All others see `mitmproxy.http` and flows at most.
- There is no Master and no addon manager: options are read once into a snapshot (each read of mitmproxy's manager copies deeply),
  and hooks are plain functions that are called in place; only one that returns a coroutine costs a task. Together with
  ``python -O`` and the shortcuts that makes a worker about three times as fast as mitmdump.
- Runs in worker processes only: `mitmproxy.ctx` is global.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import types
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from chaosbot.addons._mitm.connection import Handler


def _skip_the_collection() -> None:
    """Puts an empty package in place of ``mitmproxy.addons``, whose own file imports every addon there is (0.3 s)."""
    found = importlib.util.find_spec("mitmproxy")
    if "mitmproxy.addons" not in sys.modules and found is not None and found.submodule_search_locations:
        package = types.ModuleType("mitmproxy.addons")
        package.__path__ = [f"{place}/addons" for place in found.submodule_search_locations]
        sys.modules["mitmproxy.addons"] = package


_skip_the_collection()

from mitmproxy import ctx, options  # noqa: E402 - the stub above comes first
from mitmproxy.addons import core, next_layer, proxyserver, tlsconfig  # noqa: E402
from mitmproxy.proxy import layers, mode_servers, mode_specs  # noqa: E402
from mitmproxy.proxy.layers.http import _http1  # noqa: E402

from chaosbot.addons._mitm import shortcuts  # noqa: E402

Hook: TypeAlias = Callable[["Handler", Any], Coroutine[Any, Any, None] | None]
"""What happens at a hook: in place, or later when it returns a coroutine."""


class Snapshot:
    """mitmproxy's options with their values of now, as plain attributes."""

    def __init__(self, manager: Any) -> None:
        self.__dict__.update({name: option.current() for name, option in manager.items()})


class _Loader:
    """Lets an addon declare its options."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def add_option(self, name: str, typespec: Any, default: Any, help: str, choices: list[str] | None = None) -> None:
        self._manager.add_option(name, typespec, default, help, choices)


class Core:
    """The parts of mitmproxy that every connection of a worker needs, configured once.

    Args:
        values: Options that differ from mitmproxy's own.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        manager: Any = options.Options()
        # mitmproxy's addons are not annotated.
        listening: Any = proxyserver.Proxyserver
        self.next_layer: Any = next_layer.NextLayer()
        self.tls: Any = tlsconfig.TlsConfig()
        basics: Any = core.Core()
        for addon in (listening(), self.tls):
            addon.load(_Loader(manager))
        manager.update(**values)
        self.options = Snapshot(manager)
        ctx.options = self.options  # type: ignore[assignment]  # reads like one
        # Left out: only a warning hangs on the TLS versions, and looking for it fails on OpenSSL 4, which has no SSLv3 to try.
        everything = {name for name in manager.keys() if not name.startswith("tls_version")}  # noqa: SIM118 - no dict
        for configured in (basics, self.next_layer, self.tls):
            configured.configure(everything)
        logging.getLogger("mitmproxy").setLevel(logging.ERROR)
        shortcuts.take()

    def hooks(self) -> dict[str, Hook]:
        """What mitmproxy itself does in choosing protocols and in TLS."""
        names = ("tls_clienthello", "tls_start_client", "tls_start_server")
        found: dict[str, Hook] = {name: _own(getattr(self.tls, name)) for name in names}
        found["next_layer"] = self._choose_layer
        return found

    def _choose_layer(self, handler: Handler, chooser: Any) -> None:
        self.next_layer.next_layer(chooser)
        for layer in chooser.context.layers:
            if type(layer) is layers.HttpLayer:
                handler.watch(layer)


def _own(function: Callable[[Any], None]) -> Hook:
    def call(_handler: Handler, data: Any) -> None:
        function(data)

    return call


def tag_errors(make: Callable[[int, str], bytes]) -> None:
    """Lets `make` write the answers that mitmproxy gives of its own accord (502 and its like)."""
    _http1.make_error_response = make  # type: ignore[assignment]  # called by position


class Mode:
    """What a listener does with its connections: an upstream behind it, or a regular proxy when `upstream` is empty."""

    def __init__(self, upstream: str) -> None:
        self.spec = mode_specs.ProxyMode.parse(f"reverse:{upstream}" if upstream else "regular")
        manager: Any = _Manager()
        self.instance: Any = mode_servers.ServerInstance.make(self.spec, manager)

    @property
    def address(self) -> tuple[str, int] | None:
        """The upstream's host and port."""
        return self.spec.address if isinstance(self.spec, mode_specs.ReverseMode) else None


class _Manager:
    """What a server instance wants to know its connections by; nobody asks here."""

    connections: dict[Any, Any] = {}  # noqa: RUF012 - never filled
