"""The control API's HTTP part: Toxiproxy's contract (v2.12), `/metrics` and our own `/plan`.

Rules:

- Status codes, texts and defaults are the contract's; clients of Toxiproxy work unmodified. Errors are JSON in text/plain.
- A web page must not be able to steer a proxy on this machine: browsers are refused (403), and so is every change that names another
  host than this API's (a name that was bound anew), or that comes from another site.
- Every change happens under one lock, in the order of arrival.
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
import json
import os
import re
import secrets
import time
from asyncio import Future, get_running_loop
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from chaosbot.control.metrics import ProxyMetrics
from chaosbot.control.proxies import Proxies, Surroundings, ToxicProxy
from chaosbot.control.toxics import ApiError, Toxic, bad_body
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, EngineError
from chaosbot.files import check_extent
from chaosbot.transport import enforce, is_loopback
from chaosbot.workers import AsyncParent

# The version of the contract that is spoken; clients compare it to learn what they may use.
CONTRACT_VERSION: Final = "2.12.0"
_REQUEST_ID: Final = "X-Toxiproxy-Request-Id"
_REQUESTS: Final = itertools.count(secrets.randbits(16))
_READ_S: Final = 15.0
"""A request's body has come after so long, or the connection is closed; as the original."""
_IDLE_S: Final = 60.0
"""A request's head has come so long after the last answer; as the original waits for the next request."""
_WRITE_S: Final = 30.0
"""An answer has been taken after so long, or the connection is closed; as the original."""
_HERE: Final = secrets.token_bytes(3) + (os.getpid() & 0xFFFF).to_bytes(2, "big")
_HOST: Final = re.compile(r"[a-z0-9._-]{1,253}(?::\d{1,5})?|\[[0-9a-f:.]{2,45}\](?::\d{1,5})?")


class Parent(Protocol):
    """What the API asks its parent process for."""

    async def ask(self, question: str, value: Any = None) -> Any:
        """The parent's answer.

        Raises:
            ApiError: The parent refused, or there is nothing of that kind.
        """

    def flush(self) -> None:
        """Sends the events so far."""


class _Base(RequestHandler):
    """What all pages share."""

    SUPPORTED_METHODS = ("GET", "POST", "PATCH", "DELETE", "PUT")  # type: ignore[assignment]  # fewer than tornado's

    def initialize(self, proxies: Proxies, parent: Parent, names: Collection[str]) -> None:
        """Called by tornado with what the pages work on."""
        self.proxies = proxies
        self.parent = parent
        self.names = names

    def set_default_headers(self) -> None:
        """Nothing about who serves, and a number that no other request has."""
        self.clear_header("Server")
        self.set_header(_REQUEST_ID, _request_id())

    def compute_etag(self) -> str | None:
        """No 304: clients want to see the state."""
        return None

    def prepare(self) -> None:
        """Refuses browsers, and what another site may have sent, or would read under a name of its own."""
        headers = self.request.headers
        if headers.get("User-Agent", "").startswith("Mozilla/"):
            self._plain(403, "User agent not allowed")
        elif why := foreign(headers, self.names):
            self._plain(403, why)

    def body(self) -> Any:
        """The request's JSON value; as for the original, only the first value counts."""
        text = self.request.body.decode("utf-8", "replace").lstrip()
        if not text:
            raise bad_body("EOF")
        try:
            value, _ = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError) as error:
            raise bad_body(str(error)) from None
        try:
            check_extent(value, "the body")
        except ConfigError as error:
            raise bad_body(str(error)) from None
        return value

    def show(self, value: Any, status: int = 200) -> None:
        """Answers with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, separators=(",", ":")))

    def done(self) -> None:
        """Answers that it was done."""
        self.set_status(204)
        self.finish()

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Future[None]:
        """Answers; the events that the change caused leave before."""
        self.parent.flush()
        done = super().finish(chunk)
        late = get_running_loop().call_later(_WRITE_S, self.request.connection.stream.close)  # type: ignore[union-attr]
        done.add_done_callback(lambda _: late.cancel())
        return done

    def _plain(self, status: int, text: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(text + "\n")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answers with an error in the contract's form."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, ApiError):
            self._plain(error.status, _error_json(error.message, error.status))
        elif status_code == 405:
            self.clear_header(_REQUEST_ID)
            self.set_status(405)
            self.finish()
        elif status_code == 404:
            self.clear_header(_REQUEST_ID)
            self._plain(404, "404 page not found")
        else:
            self._plain(status_code, _error_json(str(error or self._reason), status_code))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Errors of the contract are answers, not accidents."""
        if not isinstance(value, ApiError):
            super().log_exception(typ, value, tb)


def _request_id() -> str:
    """A globally unique id as the original makes them (xid): time, machine, process and a counter, 20 letters and digits."""
    raw = int(time.time()).to_bytes(4, "big") + _HERE + (next(_REQUESTS) & 0xFFFFFF).to_bytes(3, "big")
    return base64.b32hexencode(raw).decode().rstrip("=").lower()


def _error_json(message: str, status: int) -> str:
    return json.dumps({"error": message, "status": status}, separators=(",", ":"))


def foreign(headers: Mapping[str, str], names: Collection[str]) -> str:
    """Why a request may have been sent by a page of another site; empty when it cannot.

    Args:
        headers: The request's.
        names: Globs of host names under which the API may be addressed, besides localhost and IP addresses.
    """
    host = headers.get("Host", "").lower()
    name = (urlsplit(f"//{host}").hostname or "") if _HOST.fullmatch(host) else ""
    if not name or not (is_address(name) or is_loopback(name) or any(fnmatchcase(name, each) for each in names)):
        return f"Host '{host}' is not this API's; use its address, or start chaosbot with --allow-host {name or 'NAME'}"
    if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return "Sec-Fetch-Site: requests of other sites are refused"
    origin = headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{host}":
        return f"Origin '{origin}' is not this API's; requests of other sites are refused"
    return ""


def is_address(name: str) -> bool:
    """Whether a host is an IP address, which nobody can bind anew."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class _Missing(_Base):
    def prepare(self) -> None:
        super().prepare()
        if not self._finished:
            self.send_error(404)


class _ProxyIndex(_Base):
    def get(self) -> None:
        self.show({proxy.name: proxy.as_json() for proxy in self.proxies.all()})

    async def post(self) -> None:
        body = self.body()
        async with self.proxies.lock:
            proxy = await self.proxies.create(body)
        self.show(proxy.as_json(), 201)


class _ProxyPage(_Base):
    def get(self, name: str) -> None:
        self.show(self.proxies.get(name).as_json())

    async def patch(self, name: str) -> None:
        async with self.proxies.lock:
            proxy = self.proxies.get(name)
            await self.proxies.update(proxy, self.body())
        self.show(proxy.as_json())

    post = patch

    async def delete(self, name: str) -> None:
        async with self.proxies.lock:
            await self.proxies.remove(self.proxies.get(name))
        self.done()


class _ToxicIndex(_Base):
    def get(self, name: str) -> None:
        self.show([toxic.as_json() for toxic in self.proxies.get(name).ordered()])

    async def post(self, name: str) -> None:
        async with self.proxies.lock:
            proxy = self.proxies.get(name)
            toxic = Toxic.read(self.body())
            proxy.add(toxic)
        self.show(toxic.as_json())


class _ToxicPage(_Base):
    def _both(self, name: str, toxic: str) -> tuple[ToxicProxy, Toxic]:
        proxy = self.proxies.get(name)
        return proxy, proxy.toxic(toxic)

    def get(self, name: str, toxic: str) -> None:
        self.show(self._both(name, toxic)[1].as_json())

    async def patch(self, name: str, toxic: str) -> None:
        async with self.proxies.lock:
            proxy, old = self._both(name, toxic)
            new = old.merged(self.body())
            proxy.replace(old, new)
        self.show(new.as_json())

    post = patch

    async def delete(self, name: str, toxic: str) -> None:
        async with self.proxies.lock:
            proxy, old = self._both(name, toxic)
            proxy.remove(old)
        self.done()


class _Populate(_Base):
    async def post(self) -> None:
        done: list[ToxicProxy] = []
        error: ApiError | None = None
        async with self.proxies.lock:
            try:
                await self.proxies.populate(self.body(), done)
            except ApiError as raised:
                error = raised
        answer: dict[str, Any] = {} if error is None else {"error": error.message, "status": error.status}
        answer["proxies"] = [proxy.as_json() for proxy in done] or None
        self.show(answer, 201 if error is None else error.status)


class _Reset(_Base):
    async def post(self) -> None:
        async with self.proxies.lock:
            await self.proxies.reset()
        self.done()


class _Version(_Base):
    def get(self) -> None:
        self.set_header("Content-Type", "application/json;charset=utf-8")
        self.finish(f'{{"version": "{CONTRACT_VERSION}"}}\n')


class _Metrics(_Base):
    async def get(self) -> None:
        try:
            more = str(await self.parent.ask("metrics"))
        except ApiError:
            more = ""
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(ProxyMetrics(self.proxies.all()).text() + more)


class _Plan(_Base):
    """Our own: reads, replaces or merges the fault plan of the proxy beside which the API runs."""

    async def get(self) -> None:
        self.show(await self.parent.ask("plan"))

    async def put(self) -> None:
        await self._change(self.body(), merge=False)

    async def patch(self) -> None:
        await self._change(self.body(), merge=True)

    async def _change(self, value: Any, *, merge: bool) -> None:
        if not isinstance(value, dict):
            raise bad_body("a plan is an object")
        async with self.proxies.lock:
            plan = merged(await self.parent.ask("plan"), value) if merge else value
            await self.parent.ask("replace", plan)
            now = await self.parent.ask("plan")
        self.show(now)


def merged(plan: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A plan with a patch laid over it: JSON merge patch (RFC 7396), and rules by their names.

    `rules` of a patch is an object by name (null removes a rule), or a list of rules with names. What a patch does not name
    stays; new rules come last.
    """
    result = _merge({key: value for key, value in plan.items() if key != "rules"}, {**patch, "rules": None})
    changes = patch.get("rules") or {}
    if isinstance(changes, list):
        if not all(isinstance(rule, dict) and isinstance(rule.get("name"), str) for rule in changes):
            raise bad_body("rules of a patch need names, or nobody knows which ones they change")
        changes = {rule["name"]: rule for rule in changes}
    if not isinstance(changes, dict):
        raise bad_body("rules are a list, or an object by name")
    rules = {rule.get("name", str(index)): rule for index, rule in enumerate(plan.get("rules") or [])}
    for name, change in changes.items():
        if change is None:
            rules.pop(name, None)
        elif isinstance(change, dict):
            rules[name] = _merge(rules.get(name, {}), {**change, "name": name})
        else:
            raise bad_body(f"rule '{name}' is no object")
    if rules or "rules" in plan or "rules" in patch:
        result["rules"] = list(rules.values())
    return result


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            old = result.get(key)
            result[key] = _merge(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = value
    return result


def application(proxies: Proxies, parent: Parent, names: Collection[str] = ()) -> Application:
    """The pages of the API; `names` are globs of host names under which it may be addressed."""
    shared = {"proxies": proxies, "parent": parent, "names": names}
    proxy, toxic = r"/proxies/([^/]+)", r"/toxics/([^/]+)"
    pages = {
        r"/proxies": _ProxyIndex,
        proxy: _ProxyPage,
        proxy + r"/toxics": _ToxicIndex,
        proxy + toxic: _ToxicPage,
        r"/populate": _Populate,
        r"/reset": _Reset,
        r"/version": _Version,
        r"/metrics": _Metrics,
        r"/plan": _Plan,
    }
    return Application(
        [(path, page, shared) for path, page in pages.items()],
        default_handler_class=_Missing,
        default_handler_args=shared,
        log_function=lambda _handler: None,
    )


def http_server(pages: Application, *, read_s: float = _READ_S, idle_s: float = _IDLE_S) -> HTTPServer:
    """What serves the pages; no client keeps it waiting for ever, however slowly it says what it wants."""
    return HTTPServer(pages, max_body_size=16 << 20, body_timeout=read_s, idle_connection_timeout=idle_s)


# ── the worker process ────────────────────────────────────────────────────────────────────────────────────────────────

# The pipes live there, so that they share no interpreter with a load driver.


_ASK_TIMEOUT_S = 10.0


class PlanOwner:
    """The parent process, where the plan and the figures of the run are."""

    def __init__(self, parent: AsyncParent) -> None:
        self._parent = parent

    async def ask(self, question: str, value: Any = None) -> Any:
        """Asks the parent and waits for its answer.

        Raises:
            ApiError: It refused, or did not answer in time.
        """
        try:
            answer = await self._parent.ask((question, value), _ASK_TIMEOUT_S)
        except TimeoutError:
            raise ApiError(f"the proxy did not answer within {_ASK_TIMEOUT_S:.0f} s", 500) from None
        except EngineError as error:
            raise ApiError(str(error), 500) from None
        if "error" in answer:
            raise ApiError(str(answer["error"]), int(answer.get("status", 400)))
        return answer.get("value")

    def flush(self) -> None:
        """Sends the events so far."""
        self._parent.flush()


async def serve(parent: AsyncParent, seed: int, origin: float, allow: Collection[str]) -> None:
    """Serves until the parent wants it to end; the toxics' tallies are its last messages."""
    enforce(allow)
    parent.together_s = 0  # at the end of the loop's turn: a toxic may meet thousands of connections in one
    around = Surroundings(Dice(seed).at("control"), parent.send, lambda: time.monotonic() - origin, allow)
    proxies = Proxies(around)
    (api,) = parent.sockets
    api.setblocking(False)
    server = http_server(application(proxies, PlanOwner(parent), allow))
    server.add_socket(api)
    parent.ready()
    await parent.stopping.wait()
    server.stop()
    await proxies.close()
    for proxy in proxies.all():
        for event in proxy.pipe.tallied():
            parent.send(event)
