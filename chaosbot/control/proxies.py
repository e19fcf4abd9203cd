"""The proxies that the control API manages: each a byte pipe with its toxics.

Rules:

- Toxics live with the proxy, not with its pipe: they survive disable and enable, and reach live connections at once.
- Removing toxics cannot wait for anything: a plan without them is put in force, and what they held is released.
- A proxy goes on counting its connections when it is restarted, so its dice do not start again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from chaosbot.control.toxics import ApiError, Toxic, bad_body, expect_object, field
from chaosbot.core.dice import Dice
from chaosbot.core.event import Event
from chaosbot.core.plan import FaultPlan
from chaosbot.core.units import MOST_PORT, whole
from chaosbot.tcp.server import PipeServer
from chaosbot.transport import bracketed, is_loopback
from chaosbot.workers import bind


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[::1]:port``; without a number the port is 0."""
    host, _, port = text.rpartition(":")
    if not host and not text.startswith(":"):
        return text, 0
    return host.removeprefix("[").removesuffix("]"), whole(port, MOST_PORT) or 0


def _listen_address(text: str) -> tuple[str, int]:
    """Where to listen. Nothing is opened to the network unless an address of it is written out."""
    host, port = split_address(text)
    return ("127.0.0.1" if host in ("", "localhost") else host), port


@dataclass(frozen=True)
class Surroundings:
    """What all proxies of an API share."""

    dice: Dice
    emit: Callable[[Event], None]
    clock: Callable[[], float]
    allow_hosts: Collection[str] = ()

    def check(self, upstream: str) -> None:
        """Refuses an upstream that is neither this machine nor allowed by name.

        Raises:
            ApiError: With the remedy.
        """
        host, _ = split_address(upstream)
        if not is_loopback(host) and not any(fnmatchcase(host, pattern) for pattern in self.allow_hosts):
            raise ApiError(f"upstream host '{host}' is not allowed; start chaosbot with --allow-host {host}", 400)


class ToxicProxy:
    """One named proxy.

    Args:
        name: Its name, for ever.
        listen_on: ``host:port``; port 0 or nothing takes a free one.
        upstream: ``host:port``.
        around: What all proxies share.
    """

    def __init__(self, name: str, listen_on: str, upstream: str, around: Surroundings) -> None:
        self.name = name
        self.listen = listen_on
        self.upstream = upstream
        self.enabled = False
        self.toxics: list[Toxic] = []
        host, port = split_address(upstream)
        self.pipe = PipeServer(
            None, host, port, dice=around.dice.at("proxy", name), emit=around.emit, clock=around.clock, label=name
        )

    def as_json(self) -> dict[str, Any]:
        """What the API shows."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [toxic.as_json() for toxic in self.ordered()],
        }

    def ordered(self) -> list[Toxic]:
        """Its toxics, those of the upstream first, else in the order of insertion."""
        return sorted(self.toxics, key=lambda toxic: not toxic.upstream)

    def differs(self, listen_on: str, upstream: str) -> bool:
        """Whether these addresses are others than its own."""
        return upstream != self.upstream or _listen_address(listen_on) != _listen_address(self.listen)

    async def start(self) -> None:
        """Begins to listen; the answer then shows the port that was taken.

        Raises:
            ApiError: 500, the address cannot be bound.
        """
        if self.enabled:
            return
        host, port = _listen_address(self.listen)
        try:
            sock = bind(host, port)
        except OSError as error:
            raise ApiError(f"listen tcp {host}:{port}: bind: {(error.strerror or str(error)).lower()}", 500) from None
        await self.pipe.start(sock)
        host, port = self.pipe.address
        self.listen = f"{bracketed(host)}:{port}"
        self.enabled = True

    async def stop(self) -> None:
        """Stops to listen and drops its connections."""
        if self.enabled:
            self.enabled = False
            await self.pipe.stop()

    async def update(self, listen_on: str, upstream: str, *, enabled: bool) -> None:
        """Takes new addresses (dropping connections when they differ) and the new state."""
        if self.differs(listen_on, upstream):
            await self.stop()
            self.listen, self.upstream = listen_on, upstream
            self.pipe.upstream = split_address(upstream)
        if enabled:
            await self.start()
        else:
            await self.stop()

    # ── toxics ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def toxic(self, name: str) -> Toxic:
        """A toxic by its name.

        Raises:
            ApiError: 404.
        """
        for toxic in self.toxics:
            if toxic.name == name:
                return toxic
        raise ApiError("toxic not found", 404)

    def add(self, toxic: Toxic) -> None:
        """Adds a toxic, on live connections too.

        Raises:
            ApiError: 409, the name is taken.
        """
        if any(other.name == toxic.name for other in self.toxics):
            raise ApiError("toxic already exists", 409)
        self._apply([*self.toxics, toxic])

    def replace(self, old: Toxic, new: Toxic) -> None:
        """Puts a changed toxic in the place of the old one."""
        self._apply([new if toxic is old else toxic for toxic in self.toxics])

    def remove(self, toxic: Toxic) -> None:
        """Takes a toxic away; what it held is released at once."""
        self._apply([other for other in self.toxics if other is not toxic])

    def clear(self) -> None:
        """Takes all toxics away."""
        self._apply([])

    def _apply(self, toxics: list[Toxic]) -> None:
        rules = [rule for toxic in toxics if (rule := toxic.rule(self.name)) is not None]
        self.pipe.set_plan(FaultPlan(tuple(rules)))
        self.toxics = toxics


def _toxics(body: dict[str, Any]) -> list[Toxic]:
    """The toxics that a new proxy brings along (the original drops them without a word)."""
    return [Toxic.read(value) for value in field(body, "toxics", list, [])]


class Proxies:
    """All proxies by name; changes are made one after the other."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._by_name: dict[str, ToxicProxy] = {}
        self.lock = asyncio.Lock()

    def all(self) -> list[ToxicProxy]:
        """All proxies."""
        return list(self._by_name.values())

    def get(self, name: str) -> ToxicProxy:
        """A proxy by its name.

        Raises:
            ApiError: 404.
        """
        if name not in self._by_name:
            raise ApiError("proxy not found", 404)
        return self._by_name[name]

    async def create(self, value: Any) -> ToxicProxy:
        """Creates the proxy that a client wants."""
        body = expect_object(value, "the proxy")
        name, upstream = field(body, "name", str, ""), field(body, "upstream", str, "")
        listen_on, enabled = field(body, "listen", str, ""), field(body, "enabled", bool, True)
        for key, content in (("name", name), ("upstream", upstream)):
            if not content:
                raise ApiError(f"missing required field: {key}", 400)
        if name in self._by_name:
            raise ApiError("proxy already exists", 409)
        return await self._add(name, listen_on, upstream, _toxics(body), enabled=enabled)

    async def _add(self, name: str, listen_on: str, upstream: str, toxics: list[Toxic], *, enabled: bool) -> ToxicProxy:
        if enabled:
            self._around.check(upstream)
        proxy = ToxicProxy(name, listen_on, upstream, self._around)
        for toxic in toxics:
            proxy.add(toxic)
        if enabled:
            await proxy.start()
        self._by_name[name] = proxy
        return proxy

    async def update(self, proxy: ToxicProxy, value: Any) -> None:
        """Changes a proxy; its name stays.

        Another upstream is taken as it is, as the original does; the guard refuses connections to one that is not allowed.

        Raises:
            ApiError: 400, it is to be enabled and its upstream is not allowed; 500, the address cannot be bound.
        """
        body = expect_object(value, "the proxy")
        listen_on = field(body, "listen", str, proxy.listen)
        upstream = field(body, "upstream", str, proxy.upstream)
        enabled = field(body, "enabled", bool, proxy.enabled)
        if enabled and upstream == proxy.upstream:
            self._around.check(upstream)
        await proxy.update(listen_on, upstream, enabled=enabled)

    async def remove(self, proxy: ToxicProxy) -> None:
        """Ends a proxy."""
        await proxy.stop()
        self._by_name.pop(proxy.name, None)

    async def populate(self, value: Any, done: list[ToxicProxy]) -> None:
        """Creates or replaces proxies from a list; those that match already stay untouched.

        Args:
            value: The list.
            done: Takes what was created before an error.
        """
        if value is not None and not isinstance(value, list):
            raise bad_body("a list of proxies is expected")
        wanted = []
        for number, item in enumerate(value or (), 1):
            body = expect_object(item, f"proxy {number}")
            name, upstream = field(body, "name", str, ""), field(body, "upstream", str, "")
            for key, content in (("name", name), ("upstream", upstream)):
                if not content:
                    raise ApiError(f"missing required field: {key} at proxy {number}", 400)
            listen_on, enabled = field(body, "listen", str, ""), field(body, "enabled", bool, True)
            wanted.append((name, listen_on, upstream, _toxics(body), enabled))
        for name, listen_on, upstream, toxics, enabled in wanted:
            existing = self._by_name.get(name)
            if existing is not None and not existing.differs(listen_on, upstream):
                done.append(existing)
                continue
            if existing is not None:
                await self.remove(existing)
            done.append(await self._add(name, listen_on, upstream, toxics, enabled=enabled))

    async def reset(self) -> None:
        """Enables all proxies and drops all toxics; one that cannot listen does not keep the others from it.

        Raises:
            ApiError: 500, a proxy cannot listen any more.
        """
        failed: ApiError | None = None
        for proxy in self.all():
            proxy.clear()
            try:
                await proxy.start()
            except ApiError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    async def close(self) -> None:
        """Ends all proxies."""
        for proxy in self.all():
            await proxy.stop()
