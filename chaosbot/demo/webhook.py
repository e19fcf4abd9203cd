"""`POST /webhook/telegram`: gate, body, update, bot, answer — in this order.

| situation | answer |
|---|---|
| secret missing, doubled or wrong | 401 |
| another method | 405 |
| body refused, see `body` | 400, 408, 413, 415 |
| no update: root no object, `update_id` no id | 400 |
| outbox full | 503 with `Retry-After` |
| everything else, understood or not | 200 |

Written against plain ASGI: this is the hot path.
"""

from __future__ import annotations

import hmac
import sys
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
import structlog

from chaosbot.demo.body import MAX_BODY, UNCAPPED, BadBody, Gone, check_headers, inflate, parse, read_body
from chaosbot.demo.bot import Bot, Overloaded, UnknownKind
from chaosbot.demo.bugs import Bug
from chaosbot.demo.settings import DemoSettings
from chaosbot.demo.updates import MalformedUpdate, Update, read_update

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_NOTHING: Final = b"{}"


class Webhook:
    """The endpoint as an ASGI application."""

    def __init__(self, bot: Bot, settings: DemoSettings) -> None:
        """Binds the endpoint to its bot."""
        self._bot = bot
        self._bugs = settings.bugs
        self._secret = settings.secret
        self._token_url = f"{settings.bot_api or 'https://api.telegram.org'}/bot{settings.bot_token}/sendMessage"
        self._kept: list[tuple[bytes, object]] = []
        self._log = _logger() if settings.log else None
        self.answers: Counter[int] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        began = time.perf_counter()
        extra: tuple[tuple[bytes, bytes], ...] = ()
        try:
            status, content, extra = await self._answer(scope, receive)
        except Gone:
            return
        except BadBody as error:
            status, content = error.status, self._complaint(str(error))
        except MalformedUpdate as error:
            status, content = 400, self._complaint(str(error))
        except Exception:  # noqa: BLE001 -- the last resort: a bug, planted or not; its nature is nobody's business outside
            status, content = 500, self._complaint("internal error")
        self.answers[status] += 1
        headers = [_JSON, (b"content-length", str(len(content)).encode()), *extra]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        if self._log is not None:
            update = scope.get("update")
            facts = {"update": update.id, "kind": update.kind} if isinstance(update, Update) else {}
            self._log.info("answered", status=status, ms=round(1000 * (time.perf_counter() - began), 1), **facts)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes, tuple[tuple[bytes, bytes], ...]]:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        body: bytes | None = None
        if Bug.UNCAPPED_BODY in self._bugs or Bug.BODY_BEFORE_SECRET in self._bugs:
            body = await self._body_first(headers, receive)
        if not knows_secret(headers, scope["query_string"], self._secret, self._bugs):
            return 401, _error("wrong secret"), ()
        if scope["method"] != "POST":
            return 405, _error("use POST"), ((b"allow", b"POST"),)
        named = dict(headers)
        check_headers(named)
        zipped = named.get(b"content-encoding", b"").strip().lower() == b"gzip"
        if body is None:
            body = await read_body(receive, self._bugs, binary=zipped)
        if zipped:
            body = inflate(body, self._bugs)
        return await self._deliver(body, scope)

    async def _deliver(self, body: bytes, scope: Scope) -> tuple[int, bytes, tuple[tuple[bytes, bytes], ...]]:
        root = parse(body, self._bugs)
        if Bug.CRASH_ON_NON_OBJECT_ROOT in self._bugs and not isinstance(root, dict):
            root["update_id"]  # type: ignore[index]  # BUG: not everything is an object
        update = scope["update"] = read_update(root)
        if Bug.UPDATES_KEPT_FOR_EVER in self._bugs:
            self._kept.append((body + bytes(8192), root))  # BUG: "for debugging"
        try:
            reply = await self._bot.handle(update)
        except Overloaded:
            return 503, _error("try again"), ((b"retry-after", b"1"),)
        except UnknownKind:
            return 400, self._complaint("unknown kind of update"), ()
        return 200, _NOTHING if reply is None else orjson.dumps(reply), ()

    async def _body_first(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes:
        """BUG: works for strangers: holds whatever they send, or parses it."""
        cap = UNCAPPED if Bug.UNCAPPED_BODY in self._bugs else MAX_BODY
        zipped = (b"content-encoding", b"gzip") in headers
        body = await read_body(receive, self._bugs, cap, zipped)
        if Bug.BODY_BEFORE_SECRET in self._bugs and not zipped:
            try:
                parse(body, frozenset())
            except BadBody:
                if not knows_secret(headers, b"", self._secret, frozenset()):
                    raise
        return body

    def _complaint(self, why: str) -> bytes:
        if Bug.ERRORS_LEAK in self._bugs:  # BUG: as helpful to a stranger as to a developer
            return _error(why, traceback=traceback.format_exc(), api=self._token_url)
        return _error(why)


def _logger() -> Any:
    """Lines for people where standard error is a terminal, else JSON; no text of a user's and no secret is ever among the facts."""
    people = sys.stderr.isatty()
    last: Any = structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer()
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr), processors=[structlog.processors.add_log_level, stamp, last]
    )


def _error(why: str, **more: str) -> bytes:
    return orjson.dumps({"error": why, **more})


# ── the gate ──────────────────────────────────────────────────────────────────────────────────────────────────────────


HEADER: Final = b"x-telegram-bot-api-secret-token"


def knows_secret(headers: list[tuple[bytes, bytes]], query: bytes, secret: str | None, bugs: frozenset[Bug]) -> bool:
    """Tells whether a request carries the secret.

    Rules:
    1. The header must be there exactly once. The comparison takes the same time however wrong the secret is.
    2. Nothing else of the request is looked at before, and no byte of the body is read.
    3. What cannot be a secret (empty, non-ASCII, too long) is a wrong secret, not an error.
    """
    if secret is None:
        return True
    given = [value for name, value in headers if name == HEADER]
    if Bug.SECRET_IN_QUERY in bugs and not given:
        given = [v.encode() for _, v in parse_qsl(query.decode("latin-1")) if v == secret]  # BUG: queries get logged
    if len(given) != 1:
        return False
    if Bug.CRASH_ON_NON_ASCII_SECRET in bugs:
        hmac.compare_digest(given[0].decode("latin-1"), secret)  # BUG: text with a non-ASCII character raises
    if Bug.SECRET_PREFIX_ACCEPTED in bugs and given[0] and secret.encode().startswith(given[0]):
        return True  # BUG: the wrong way round, and too generous in either
    return hmac.compare_digest(given[0], secret.encode())
