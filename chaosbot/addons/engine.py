"""The engine of one proxy worker: every exchange is met, judged by the plan, disturbed, and told of.

Rules:

- An event leaves before the bytes that it speaks of: whoever has seen an answer can count on its record.
- Nothing here waits without an end: the client's leaving and `clear` cut every pause short.
- What happens to sockets is the handler's and the layers' business, what a rule decides the model's; here they meet.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from chaosbot.addons._mitm import http, runtime
from chaosbot.addons._mitm.connection import Handler
from chaosbot.addons.answers import answer, plainly
from chaosbot.addons.deliveries import Deliveries
from chaosbot.addons.effects import Performer
from chaosbot.addons.record import HarRecorder, taped
from chaosbot.addons.spec import MOCK, ListenerSpec, ProxySpec
from chaosbot.addons.station import Station
from chaosbot.core.effect import Point
from chaosbot.core.event import Event, ExchangeSeen, Noted, Trouble
from chaosbot.core.exchange import EXCHANGE_HEADER, Depth, Direction, Exchange, split_exchange
from chaosbot.core.plan import FaultPlan, Scope
from chaosbot.core.platform import platform_of
from chaosbot.injection.recorder import Ledger
from chaosbot.injection.visit import Fired, Visit, about
from chaosbot.mocks.telegram_api.mock import BotApiMock, reply_in_response

CONTROL_HEADER: Final = "x-chaosbot-fault"
"""Names the rules that are to meet this request (``none`` for none); read and stripped when header control is on."""

MOST_BODY: Final = 1 << 20
"""Targeting reads at most so much of a body."""

STREAM_REQUEST: Final = 16 << 20
STREAM_RESPONSE: Final = 256 << 10
_KNOWN_REQUESTS: Final = 1 << 16
_MOST_NOTED: Final = 1000
_EXCHANGES: Final = frozenset({Scope.EXCHANGE, Scope.UPDATE})


class Engine:
    """Meets every exchange of one worker.

    Args:
        spec: What the proxy is to be.
        emit: Takes the events.
        index: The worker's number; connections and mock ids of workers interleave by it.
        tape: Takes the recording, line by line, when there is to be one.
    """

    def __init__(
        self,
        spec: ProxySpec,
        emit: Callable[[Event], None],
        index: int = 0,
        tape: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.spec = spec
        self.emit = emit
        self.ledger = Ledger(spec, emit, self.now, speaks=index == 0)
        self._platform = platform_of(spec.platform)
        self._mock = BotApiMock(self.now, emit, ids=itertools.count(index + 1, max(1, spec.workers)))
        self._index = index
        self._tape = tape
        self._recorder = HarRecorder(spec.record) if spec.record is not None and tape is not None else None
        self._connections = 0
        self._ordinals = dict.fromkeys(Direction, 0)
        self._known: OrderedDict[bytes, int] = OrderedDict()
        self._wakers: set[Callable[[], None]] = set()
        self.deliveries = Deliveries(self)
        self._performer = Performer(self, self.deliveries)
        self.handlers: dict[Handler, Station] = {}
        self._noted: set[str] = set()
        self._remembers = False
        self.set_plan(spec.plan)

    def now(self) -> float:
        """Seconds of the run."""
        return time.monotonic() - self.spec.started

    def note(self, area: str, text: str, data: dict[str, Any]) -> None:
        """Records something that is no fault."""
        self.emit(Noted(self.now(), area, text, data))

    def broke(self, where: str, error: BaseException) -> None:
        """Records what nobody foresaw; the run cannot be a pass."""
        self.emit(Trouble(self.now(), f"proxy.{where}", f"{type(error).__name__}: {error}"))

    # ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def set_plan(self, plan: FaultPlan) -> None:
        """From now on these rules hold, on connections in use too."""
        self.ledger.set_plan(plan)
        self._remembers = any(rule.fault.depth is Depth.UPDATE for rule in plan.rules)
        self.refresh()

    def set_phase(self, phase: str) -> None:
        """The run's phase changed."""
        self.ledger.phase = phase
        self.refresh()

    def refresh(self) -> None:
        """Looks at the windows; connections in use get the byte faults of now."""
        self.ledger.look_at_windows()
        for station in tuple(self.handlers.values()):
            station.rearm()

    def clear(self) -> None:
        """All faults are gone, everything held goes on."""
        self.set_plan(FaultPlan())
        for wake in tuple(self._wakers):
            wake()
        for station in tuple(self.handlers.values()):
            station.release()
        self.deliveries.cancel()

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────

    def open(self, handler: Handler, listener: ListenerSpec, own: frozenset[str]) -> None:
        """A client has connected to a listener."""
        self._connections += 1
        number = (self._connections - 1) * max(1, self.spec.workers) + self._index + 1
        self.handlers[handler] = Station(self, handler, listener, number, own)

    def hooks(self) -> dict[str, runtime.Hook]:
        """What happens at each hook."""
        return {
            "client_connected": lambda handler, _client: self.handlers[handler].welcome(),
            "client_disconnected": lambda handler, _client: self.handlers.pop(handler).leave(),
            "server_connect": self._connect,
            "requestheaders": self._request_head,
            "request": self._request,
            "responseheaders": self._response_head,
            "response": self._response,
            "error": self._error,
            "tcp_message": lambda _handler, flow: flow.messages.clear(),
            "websocket_message": lambda handler, flow: self.handlers[handler].message(flow),
            "websocket_end": lambda _handler, flow: self._over(flow),
        }

    def _connect(self, handler: Handler, data: Any) -> None:
        host, port = data.server.address[:2]
        if not self.handlers[handler].may_connect(host, port):
            data.server.error = f"{host}:{port} is not allowed; name it by --allow-host"

    # ── exchanges ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _request_head(self, handler: Handler, flow: Any) -> Coroutine[Any, Any, None] | None:
        length = flow.request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > STREAM_REQUEST:
            # Too long to be held: decided by its head; the body passes as it comes.
            later = self._request(handler, flow)
            flow.request.stream = flow.response is None
            return later
        return None

    def _request(self, handler: Handler, flow: Any) -> Coroutine[Any, Any, None] | None:
        if "chaosbot" in flow.metadata:
            return None
        station = self.handlers[handler]
        visit = self._meet(station, flow)
        flow.metadata["chaosbot"] = visit
        station.begin(visit)
        forced = flow.request.headers.pop(CONTROL_HEADER, None) if self.spec.header_control else None
        if forced is not None:
            self._heed(forced)
        visit.fired = self.ledger.decide(visit.exchange, _EXCHANGES, forced)
        if visit.fired:
            flow.metadata[http.SCRIPT] = visit.script
            return self._before(visit, station)
        if station.listener.upstream == MOCK:
            return self._stand_in(visit)
        return None

    def _heed(self, forced: str) -> None:
        """A client that asks for a rule which is not there would take its silence for health."""
        names = {rule.name for rule in self.ledger.rules} | {"none"}
        for wish in {name.strip() for name in forced.split(",")} - names - self._noted:
            if len(self._noted) < _MOST_NOTED:
                self._noted.add(wish)
                text = f"a client asked for rule '{wish[:80]}', which the plan does not have; it has {', '.join(sorted(names))}"
                self.note("header_control", text, {})

    def _meet(self, station: Station, flow: Any) -> Visit:
        request = flow.request
        direction = station.listener.direction
        path, _, query = request.path.partition("?")
        body = (request.raw_content or b"")[:MOST_BODY]
        key, due_s = "", None
        if EXCHANGE_HEADER in request.headers:
            said = request.headers.pop(EXCHANGE_HEADER)
            key, due_s = split_exchange(said.encode("utf-8", "backslashreplace").decode())
        key = key or self._repetition(request.method, request.path, body)
        headers = tuple((name.lower(), value) for name, value in request.headers.items(multi=True))
        if request.headers.get("host", "") in station.own:
            request.headers["host"] = station.upstream_host
        facts = self._platform.facts(request.method, path, headers, body) if direction is Direction.INBOUND else None
        exchange = Exchange(key, direction, station.number, request.method, path, query, headers, body, facts, due_s)
        self._ordinals[direction] += 1
        visit = Visit(exchange, self.now(), self._ordinals[direction], flow, station.handler, station.listener.address)
        if self._remembers and direction is Direction.INBOUND:
            self.deliveries.remember(visit)
        return visit

    def _repetition(self, method: str, target: str, body: bytes) -> str:
        """A key for an exchange that brings none: the same request seen for the n-th time."""
        digest = blake2b(
            b"\0".join((method.encode("utf-8", "surrogateescape"), target.encode("utf-8", "surrogateescape"), body)),
            digest_size=8,
        ).digest()
        count = self._known.pop(digest, 0) + 1
        self._known[digest] = count
        if len(self._known) > _KNOWN_REQUESTS:
            self._known.popitem(last=False)
        return f"{digest.hex()}-{count}"

    async def _before(self, visit: Visit, station: Station) -> None:
        visit.by = "proxy"  # if it ends here, the upstream was never asked
        await self._perform_all(visit, Point.BEFORE)
        visit.by = "target" if visit.flow.response is None else "proxy"
        station.arm(visit)
        if visit.flow.response is None and station.listener.upstream == MOCK:
            later = self._stand_in(visit)
            if later is not None:
                await later
        elif visit.flow.response is not None and visit.exchange.direction is Direction.OUTBOUND:
            self._note_call(visit)

    def _note_call(self, visit: Visit) -> None:
        """A fault answered the bot's call in the API's place; the call was made all the same."""
        exchange, response = visit.exchange, visit.flow.response
        status = None if visit.script.stops else response.status_code
        wait = response.headers.get("retry-after", "")
        self._mock.note(
            exchange.method,
            visit.flow.request.path,
            exchange.headers,
            exchange.body,
            status=status,
            exchange=exchange.key,
            retry_after_s=float(wait) if wait.isdecimal() else None,
        )

    def _stand_in(self, visit: Visit) -> Coroutine[Any, Any, None] | None:
        request = visit.flow.request
        made = self._mock.answer(
            request.method,
            request.path,
            visit.exchange.headers,
            request.raw_content or b"",
            exchange=visit.exchange.key,
        )
        visit.by = "mock"
        visit.flow.response = answer(made.status, made.headers, made.body, "")
        return self.pause(made.hold_s, visit.handler) if made.hold_s else None

    def _response_head(self, _handler: Handler, flow: Any) -> None:
        visit: Visit | None = flow.metadata.get("chaosbot")
        if visit is None or visit.fired or flow.response.raw_content is not None:
            return
        length = flow.response.headers.get("content-length", "")
        flow.response.stream = not length.isdecimal() or int(length) > STREAM_RESPONSE

    def _response(self, _handler: Handler, flow: Any) -> Coroutine[Any, Any, None] | None:
        visit: Visit | None = flow.metadata.get("chaosbot")
        if visit is None:
            return None
        if visit.asked_upstream:
            visit.upstream_status = flow.response.status_code
        if visit.fired:
            return self._after(visit)
        visit.status = flow.response.status_code
        self.finish(visit)
        return None

    async def _after(self, visit: Visit) -> None:
        await self._perform_all(visit, Point.AFTER)
        script = visit.script
        visit.status = visit.flow.response.status_code
        if script.for_answer:
            if not script.status_arrives:
                visit.status = _status_of(script.raw)
            script.ended = partial(self.finish, visit)
        else:
            self.finish(visit)

    async def _perform_all(self, visit: Visit, now: Point) -> None:
        for fired in visit.fired:
            for effect in fired.decision.effects:
                if fired.failed:
                    break
                try:
                    done = await self._performer.perform(visit, fired, effect, now)
                except Exception as error:  # noqa: BLE001 - a broken effect must not look like a healthy run
                    self.ledger.failed(fired, visit.exchange, error)
                else:
                    if done is not None:
                        self.ledger.applied(fired, visit.exchange, done)

    def _error(self, handler: Handler, flow: Any) -> None:
        visit: Visit | None = flow.metadata.get("chaosbot")
        if visit is None or visit.over:
            return
        if handler.gone or visit.script.stops:
            visit.by = "proxy"
        else:
            visit.by, visit.status = "proxy", 502
            message = plainly(str(flow.error))
            address = f"{flow.request.host}:{flow.request.port}"
            if (known := f"{address} {message}") not in self._noted and len(self._noted) < _MOST_NOTED:
                self._noted.add(known)
                self.note(
                    "upstream",
                    f"{address} gave no answer: {message}",
                    {"direction": str(visit.exchange.direction), "exchange": visit.exchange.key},
                )
        self.finish(visit)

    def _over(self, flow: Any) -> None:
        visit: Visit | None = flow.metadata.get("chaosbot")
        if visit is not None:
            for fired, _effect in visit.disturb:
                self.ledger.missed(fired, visit.exchange)

    def finish(self, visit: Visit) -> None:
        """The exchange is over, as far as its client will see."""
        if visit.over:
            return
        visit.over = True
        later = {id(fired) for fired, _effect in (*visit.disturb, *visit.armed)}
        for fired in visit.fired:
            if id(fired) not in later:
                self.ledger.missed(fired, visit.exchange)
        if visit.silenced and visit.handler in self.handlers:
            self.handlers[visit.handler].linger(visit.fired)
        else:
            self.end(visit.fired)
        exchange = visit.exchange
        now = self.now()
        if self._recorder is not None and self._tape is not None:
            self._recorder.add(taped(visit, now - visit.started))
            for line in self._recorder.drain():
                self._tape(line)
        self._note_reply(visit, now)
        self.emit(
            ExchangeSeen(
                now,
                exchange.key,
                exchange.direction,
                exchange.method,
                exchange.path,
                visit.status,
                visit.by,
                now - visit.started,
                visit.upstream_status,
                **about(exchange.update),
            )
        )
        self.deliveries.answered(visit)

    def end(self, fired: Iterable[Fired]) -> None:
        """These faults act no longer."""
        for each in fired:
            self.ledger.end(each)

    def _note_reply(self, visit: Visit, now: float) -> None:
        """A webhook's answer may call the Bot API by naming a method; it counts when the platform got to see it."""
        if visit.exchange.direction is not Direction.INBOUND or visit.status is None or not 200 <= visit.status < 300:
            return
        response = visit.flow.response
        if visit.by == "target" and response is not None and response.raw_content:
            kind = response.headers.get("content-type", "application/json")
            reply = reply_in_response(response.raw_content, content_type=kind, t=now, exchange=visit.exchange.key)
            if reply is not None:
                self.emit(reply)

    # ── what effects need ────────────────────────────────────────────────────────────────────────────────────────────

    async def pause(self, seconds: float, handler: Handler) -> None:
        """Waits, unless the client leaves or everything is released."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not waiting.done():
                waiting.set_result(None)

        timer = loop.call_later(seconds, wake)
        self._wakers.add(wake)
        handler.on_gone.add(wake)
        if handler.gone:
            wake()
        try:
            await waiting
        finally:
            timer.cancel()
            self._wakers.discard(wake)
            handler.on_gone.discard(wake)


def _status_of(raw: bytes | None) -> int | None:
    """The status in bytes that stand in an answer's place; None when they are no answer."""
    code = (raw or b"")[9:12]
    return int(code) if raw is not None and raw.startswith(b"HTTP/1.1 ") and code.isdigit() else None
