"""The exchange engine of one proxy: each exchange meets the plan, is disturbed, and becomes an event.

Rules:

- An event is written before the bytes that it speaks of are sent: a client never sees an answer that the journal lacks.
- Nothing here waits without an end: the client's leaving and `clear` cut every pause short.
- What happens to sockets is the carrier's and the layers' part, what a rule decides the core's; here they meet.
- An answer whose length is unknown, or large, passes as it comes, unless a fault needs the whole of it (`effects.needs_answer`).
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, Final

from chaosbot.addons._mitm import EXCHANGE, LONG, MOST_ANSWER, MOST_MESSAGE, MOST_REQUEST, SCRIPT, Carrier, Later
from chaosbot.addons.answers import answer, plainly
from chaosbot.addons.client_connection import ClientConnection
from chaosbot.addons.deliveries import Deliveries
from chaosbot.addons.effects import Performer, needs_answer, needs_request
from chaosbot.addons.exchange_context import ExchangeContext, about
from chaosbot.addons.record import HarRecorder, taped
from chaosbot.addons.spec import ListenerSpec, ProxySpec
from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, Point, spoils_answer
from chaosbot.core.event import ApiCalled, Event, ExchangeSeen, Noted, Trouble
from chaosbot.core.exchange import EXCHANGE_HEADER, Depth, Direction, Exchange, split_exchange
from chaosbot.core.mock import (
    SHORTEST,
    Mock,
    MockApi,
    MockRequest,
    MockServices,
    is_mock,
    mock_of,
    of_upstream,
    told_of,
)
from chaosbot.core.plan import FaultPlan, Scope
from chaosbot.core.platform import platform_of
from chaosbot.core.units import whole
from chaosbot.injection.engine import ArmedFault, RuleEngine, WindowTimer

CONTROL_HEADER: Final = "x-chaosbot-fault"
"""Names the rules that are to meet this request (``none`` for none); read and stripped when header control is on."""

MARK: Final = ":zap:"
"""The marker of flows that met a fault, a name that mitmproxy's console shows as a symbol."""

MOST_BODY: Final = 1 << 20
"""Targeting reads at most so much of a body."""

STREAM_RESPONSE: Final = 256 << 10
_KNOWN_REQUESTS: Final = 1 << 16
_MOST_NOTED: Final = 1000
_MOST_STATUS: Final = 999
_SWITCHING: Final = 101
_MOST_CONFIDENTIAL: Final = 64
_EXCHANGES: Final = frozenset({Scope.EXCHANGE, Scope.UPDATE})


class ExchangeEngine:
    """Decides and performs what happens to the exchanges of one proxy.

    Args:
        spec: What the proxy is to be.
        emit: Takes the events.
        index: The worker's number; connections and mock ids of workers interleave by it.
        tape: Takes the recording, line by line, when there is to be one.
        streams: Whether long bodies pass as they come; a foreign mitmproxy has an option of its own for that.
    """

    def __init__(
        self,
        spec: ProxySpec,
        emit: Callable[[Event], None],
        index: int = 0,
        tape: Callable[[dict[str, Any]], None] | None = None,
        *,
        streams: bool = True,
    ) -> None:
        self.spec = spec
        self.emit = emit
        self._cleared = -math.inf
        self.rules = RuleEngine(FaultPlan(), Dice(spec.seed), emit, self.now, announces=index == 0)
        self._platform = platform_of(spec.platform)
        self._ids = itertools.count(index + 1, max(1, spec.workers))
        own = self._platform.api_mock
        # What knows the API behind a listener; and the platform's own API, which hears how deliveries are answered.
        self._apis = {item: self._api(item.mock(own), item.name) for item in spec.listeners}
        self._reads = {item for item in spec.listeners if not item.own and _reads_answers(item, own)}
        self._confidential: dict[str, str] = {}
        self._own_api = self._api(mock_of(own), own) if own else None
        self._index = index
        self._tape = tape
        self._streams = streams
        self._recorder = HarRecorder(spec.record) if spec.record is not None and tape is not None else None
        self._opened = 0
        self._ordinals = dict.fromkeys(Direction, 0)
        self._known: OrderedDict[bytes, int] = OrderedDict()
        self._wakers: set[Callable[[], None]] = set()
        self.deliveries = Deliveries(self)
        self._performer = Performer(self, self.deliveries)
        self.connections: dict[str, ClientConnection] = {}
        self._leaving: set[ExchangeContext] = set()
        self._noted: set[str] = set()
        self._remembers = False
        self._windows = WindowTimer(self.rules, self.refresh)
        self.set_plan(spec.plan)

    def _api(self, mock: Mock | None, name: str) -> MockApi | None:
        if mock is None:
            return None
        name = name or mock.name
        dice = Dice(self.spec.seed).at("mock", name)
        return mock.api(
            MockServices(
                self.now,
                of_upstream(name, self._emit_call),
                self._ids,
                dice,
                admin=self._platform.administrator,
                alone=self.spec.workers <= 1,
            )
        )

    def _emit_call(self, event: Event) -> None:
        """Takes an event of an API; a call by which the target speaks may tell what it must keep to itself."""
        if self._confidential and isinstance(event, ApiCalled) and not event.tells:
            what = told_of(event.text, self._confidential)
            event = event.telling(what) if what else event
        self.emit(event)

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
        self.rules.set_plan(plan)
        self._remembers = any(rule.fault.depth is Depth.UPDATE for rule in plan.rules)
        self.refresh()

    def set_phase(self, phase: str) -> None:
        """The run's phase changed."""
        self.rules.phase = phase
        self.refresh()

    def refresh(self) -> None:
        """Looks at the windows; connections in use get the byte faults of now."""
        self.rules.look_at_windows()
        self._windows.restart()
        for connection in tuple(self.connections.values()):
            connection.rearm()

    def clear(self) -> None:
        """All faults are gone, everything held goes on."""
        self.set_plan(FaultPlan())
        self._cleared = self.now()
        for wake in tuple(self._wakers):
            wake()
        for connection in tuple(self.connections.values()):
            connection.carrier.release()
        self.deliveries.cancel()

    def follow_windows(self) -> None:
        """From now on rules switch when their windows open or close, by time alone; needs a running loop."""
        self._windows.start()

    def close(self) -> None:
        """The run is over: everything held goes on, and each rule's tally is emitted."""
        self._windows.stop()
        self.clear()
        for context in tuple(self._leaving):
            self._seen(context, out=False)
        for tally in self.rules.tallies():
            self.emit(tally)

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────

    def open(self, client: str, carrier: Carrier) -> Later | None:
        """A client has connected.

        Args:
            client: mitmproxy's id of the client connection.
            carrier: mitmproxy's side of the connection.
        """
        self._opened += 1
        number = (self._opened - 1) * max(1, self.spec.workers) + self._index + 1
        connection = self.connections[client] = ClientConnection(self, carrier, number)
        return connection.welcome()

    def leave(self, client: str) -> None:
        """A client connection is over."""
        connection = self.connections.pop(client, None)
        if connection is not None:
            connection.leave()

    def may_connect(self, client: str, host: str, port: int) -> bool:
        """Whether the allow-list lets a client's connection through."""
        return self.connections[client].may_connect(host, port)

    # ── exchanges ────────────────────────────────────────────────────────────────────────────────────────────────────

    def request_head(self, flow: Any) -> Later | None:
        """A request's head has come; one that is too long to be held is decided by it, and its body passes as it comes.

        One that does not say its length comes here again when it has become too long, with the beginning of its body.
        """
        length = flow.request.headers.get("content-length", "")
        if self._streams and length.isdecimal() and whole(length, MOST_REQUEST) is None:
            flow.request.stream = True
        if not flow.request.stream:
            return None
        later = self.request(flow)
        return None if later is None else self._stream_unless_answered(flow, later)

    @staticmethod
    async def _stream_unless_answered(flow: Any, later: Later) -> None:
        await later
        if flow.response is not None:
            flow.request.stream = False

    def request(self, flow: Any) -> Later | None:
        """A request is complete (or the head of one that is streamed): the rules decide."""
        connection = self.connections.get(flow.client_conn.id)
        if EXCHANGE in vars(flow) or connection is None:
            return None
        context = self._meet(connection, flow)
        setattr(flow, EXCHANGE, context)
        connection.begin(context)
        forced = flow.request.headers.pop(CONTROL_HEADER, None) if self.spec.header_control else None
        if forced is not None:
            self._heed(forced)
        context.faults = self.rules.decide(context.exchange, _EXCHANGES, forced=forced)
        if context.faults and flow.request.stream:
            self._leave_out(context, needs_request, "request", MOST_REQUEST)
        if context.faults:
            setattr(flow, SCRIPT, context.script)
            return self._before(context, connection)
        if is_mock(connection.listener.upstream):
            later = self._answer_as_mock(context, connection)
            flow.request.stream = False
            return later
        return None

    def _leave_out(self, context: ExchangeContext, needs: Callable[[Effect], bool], what: str, most: int) -> None:
        """Faults that need the whole of what is too long to be held miss it."""
        why = f"it needs the whole {what}, which is longer than the {most >> 20} MiB that are held"
        rest = [armed for armed in context.faults if not any(map(needs, armed.decision.effects))]
        left_out = [armed for armed in context.faults if armed not in rest]
        for armed in left_out:
            self.rules.missed(armed, why)
        self.end(left_out)
        context.faults = rest

    def _heed(self, forced: str) -> None:
        """A client that asks for a rule which is not there would take its silence for health."""
        names = {rule.name for rule in self.rules.plan.rules} | {"none"}
        for wish in {name.strip() for name in forced.split(",")} - names - self._noted:
            text = f"a client asked for rule '{wish[:80]}', which the plan does not have; it has {', '.join(sorted(names))}"
            self.note_once("header_control", text, {}, known=wish)

    def _meet(self, connection: ClientConnection, flow: Any) -> ExchangeContext:
        request = flow.request
        direction = connection.listener.direction
        path, _, query = request.path.partition("?")
        body = (request.raw_content or b"")[:MOST_BODY]
        key, due_s = "", None
        if EXCHANGE_HEADER in request.headers:
            said = request.headers.pop(EXCHANGE_HEADER)
            key, due_s = split_exchange(said.encode("utf-8", "backslashreplace").decode())
        key = key or self._repetition(request.method, request.path, body)
        headers = tuple((name.lower(), value) for name, value in request.headers.items(multi=True))
        if request.headers.get("host", "") in connection.carrier.own:
            request.headers["host"] = connection.upstream_host
        if request.path.startswith("/"):
            request.path = connection.listener.base + request.path
        if connection.listener.own:
            request.headers[EXCHANGE_HEADER] = key
        facts = self._platform.facts(request.method, path, headers, body) if direction is Direction.INBOUND else None
        exchange = Exchange(
            key,
            direction,
            connection.number,
            request.method,
            path,
            query,
            headers,
            body,
            facts,
            due_s,
            connection.listener.name,
        )
        self._ordinals[direction] += 1
        api = self._apis.get(connection.listener)
        if api is not None and direction is Direction.OUTBOUND:
            for text, what in api.confidential(MockRequest(request.method, request.path, headers, body)):
                if len(text) >= SHORTEST[what] and len(self._confidential) < _MOST_CONFIDENTIAL:
                    self._confidential[text] = what
        carrier = connection.carrier
        context = ExchangeContext(
            exchange,
            self.now(),
            self._ordinals[direction],
            flow,
            carrier,
            connection.listener.address,
            0.0 if carrier.bytes is None else carrier.bytes.waited(),
        )
        if self._remembers and direction is Direction.INBOUND and len(body) < MOST_BODY and not request.stream:
            self.deliveries.remember(context)
        return context

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

    async def _before(self, context: ExchangeContext, connection: ClientConnection) -> None:
        context.by = "proxy"  # if it ends here, the upstream was never asked
        await self._perform_all(context, Point.BEFORE)
        context.by = "target" if context.flow.response is None else "proxy"
        connection.arm(context)
        if context.flow.response is None and is_mock(connection.listener.upstream):
            later = self._answer_as_mock(context, connection)
            if later is not None:
                await later
        elif context.flow.response is not None and context.exchange.direction is Direction.OUTBOUND:
            self._note_call(context, connection)

    def _note_call(self, context: ExchangeContext, connection: ClientConnection) -> None:
        """A fault answered the bot's call in the API's place; the call was made all the same."""
        api = self._apis.get(connection.listener)
        if api is None:
            return
        response = context.flow.response
        status = None if context.script.stops else response.status_code
        wait = response.headers.get("retry-after", "")
        body = response.raw_content or b"" if status is not None else b""
        api.note(_call(context), status=status, retry_after_s=float(wait) if wait.isdecimal() else None, body=body)

    def error_of(self, context: ExchangeContext, status: int) -> bytes | None:
        """As the mock behind the listener writes it."""
        api = self._apis.get(context.carrier.listener)
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
        return api.refusal(status, phrase).body if api is not None else None

    def _note_passed(self, context: ExchangeContext) -> None:
        """The real API answered the bot's call; what it said and cost is read from its answer."""
        listener = context.carrier.listener
        api = self._apis.get(listener)
        if listener not in self._reads or api is None or not context.asked_upstream:
            return
        response = context.flow.response
        body = bytes(context.tap) or (response.raw_content if response is not None else b"") or b""
        api.note(_call(context), status=context.upstream_status, body=body)

    def _answer_as_mock(self, context: ExchangeContext, connection: ClientConnection) -> Later | None:
        api = self._apis[connection.listener]
        assert api is not None  # noqa: S101 - the listener's upstream is a mock
        made = api.answer(_call(context))
        context.by = "mock"
        context.flow.response = answer(made.status, made.headers, made.body, "")
        return self.pause(made.total_s, context.carrier) if made.total_s else None

    def response_head(self, flow: Any) -> Later | None:
        """The head of an upstream's answer has come: here it is decided whether its body passes as it comes."""
        context: ExchangeContext | None = vars(flow).get(EXCHANGE)
        response = flow.response
        if context is None or response.raw_content is not None or response.status_code == _SWITCHING:
            return None
        if self._streams and response.stream:  # it was held, and has become too long
            self._leave_out(context, needs_answer, "answer", MOST_ANSWER)
        elif self._streams:
            length = response.headers.get("content-length", "")
            response.stream = whole(length, STREAM_RESPONSE) is None
            if response.stream and context.carrier.listener in self._reads:
                response.stream = context.taste
        if not response.stream:
            return None
        if not context.faults:
            context.began = self.now()
            return None
        holding = next((each for each in context.faults if any(map(needs_answer, each.decision.effects))), None)
        if holding is not None:
            response.stream = False
            rule = holding.rule
            self.note_once(
                "held",
                f"rule {rule.name} ({rule.fault.name}) needs the whole answer: an answer of unknown length to "
                f"{context.exchange.method} {context.exchange.path} is held until it has ended, or has {MOST_ANSWER >> 20} MiB",
                {"rule": rule.name, "exchange": context.exchange.key},
                known=f"held by {rule.name}",
            )
            return None
        context.upstream_status = self._status(flow)
        return self._after(context)

    def response(self, flow: Any) -> Later | None:
        """An answer is complete; one that was streamed has been sent."""
        context: ExchangeContext | None = vars(flow).get(EXCHANGE)
        if context is None:
            return None
        if context.asked_upstream:
            context.upstream_status = self._status(flow)
        if context.faults and not context.answered:
            return self._after(context)
        if not context.faults:
            context.status = self._status(flow)
        if not context.script.for_answer:
            self.finish(context)
        return None

    async def _after(self, context: ExchangeContext) -> None:
        """Performs what happens after the upstream has acted; for a streamed answer that is at its head."""
        context.answered = True
        await self._perform_all(context, Point.AFTER)
        if context.flow.response.stream:
            context.began = self.now()
        script = context.script
        context.status = self._status(context.flow)
        if script.for_answer:
            if not script.status_arrives:
                context.status = _status_of(script.raw)
            script.ended = partial(self.finish, context)
        elif not context.flow.response.stream:
            self.finish(context)

    def _status(self, flow: Any) -> int:
        """The answer's status, as three digits: an upstream may send any number."""
        status: int = flow.response.status_code
        if 0 <= status <= _MOST_STATUS:
            return status
        where = f"{flow.request.host}:{flow.request.port}"
        self.note_once("upstream", f"{where} answered with the status {str(status)[:40]}, which is no HTTP status", {})
        return _MOST_STATUS

    def note_once(self, area: str, text: str, data: dict[str, Any], known: str = "") -> None:
        """Records something that may happen in every exchange, the first time."""
        known = known or text
        if known not in self._noted and len(self._noted) < _MOST_NOTED:
            self._noted.add(known)
            self.note(area, text, data)

    async def _perform_all(self, context: ExchangeContext, now: Point) -> None:
        for armed in context.faults:
            for effect in armed.decision.effects:
                if armed.failed:
                    break
                try:
                    done = await self._performer.perform(context, armed, effect, now)
                except Exception as error:  # noqa: BLE001 - a broken effect must not look like a healthy run
                    self.rules.failed(armed, error)
                    _mark(context.flow, armed, f"failed: {error}")
                else:
                    if done is not None:
                        self.applied(armed, context, done)

    def applied(self, armed: ArmedFault, context: ExchangeContext, detail: str) -> None:
        """A fault physically happened to an exchange."""
        if not armed.applied:
            _mark(context.flow, armed, detail)
        self.rules.applied(armed, detail)

    def error(self, flow: Any) -> None:
        """An exchange broke off: its client has left, or the upstream gave no answer."""
        context: ExchangeContext | None = vars(flow).get(EXCHANGE)
        if context is None or context.over:
            return
        context.by = "proxy"
        if not context.carrier.gone and not context.script.stops:
            context.status = 502
            message = plainly(str(flow.error))
            address = f"{flow.request.host}:{flow.request.port}"
            data = {"direction": str(context.exchange.direction), "exchange": context.exchange.key}
            self.note_once("upstream", f"{address} gave no answer: {message}", data)
        self.finish(context)

    def websocket_over(self, flow: Any) -> None:
        """A WebSocket has ended."""
        context: ExchangeContext | None = vars(flow).get(EXCHANGE)
        if context is not None:
            for armed, _effect in context.disturb:
                self.rules.missed(armed)

    def message(self, flow: Any) -> Later | None:
        """A WebSocket message passes."""
        message, long = flow.websocket.messages[-1], vars(flow).get(LONG, ())
        if message.from_client in long and not message.injected:
            long.discard(message.from_client)
            context: ExchangeContext | None = vars(flow).get(EXCHANGE)
            if context is not None and context.disturb:
                text = f"a message of more than {MOST_MESSAGE >> 20} MiB passed as it came: no fault met it"
                self.note_once("websocket", text, {"exchange": context.exchange.key}, known=text)
            return None
        connection = self.connections.get(flow.client_conn.id)
        return None if connection is None else connection.message(flow)

    def finish(self, context: ExchangeContext) -> None:
        """The exchange is over, as far as its client will see."""
        if context.over:
            return
        context.over = True
        later = {id(armed) for armed, _effect in (*context.disturb, *context.byte_faults)}
        for armed in context.faults:
            if id(armed) not in later:
                self.rules.missed(armed)
        connection = self.connections.get(context.flow.client_conn.id)
        if context.silenced and connection is not None:
            connection.linger(context.faults)
        else:
            self.end(context.faults)
        self._note_reply(context)
        self._note_passed(context)
        sockets = context.carrier.bytes
        if sockets is None or context.carrier.gone or not sockets.holds_back:
            self._seen(context, out=not context.carrier.gone)
        else:  # its answer is handed over when this has returned, and leaves when the faults on bytes let it
            self._leaving.add(context)
            asyncio.get_running_loop().call_soon(sockets.when_out, partial(self._left, context))
        self.deliveries.answered(context)

    def _left(self, context: ExchangeContext, out: bool) -> None:
        """The last byte of an answer leaves, or what is left of it never will."""
        if context in self._leaving:
            self._seen(context, out=out and not context.carrier.gone)

    def _seen(self, context: ExchangeContext, *, out: bool) -> None:
        """Records an exchange, as its client saw it."""
        self._leaving.discard(context)
        exchange = context.exchange
        now = self.now()
        seconds = now - context.started + context.waited
        if self._recorder is not None and self._tape is not None:
            self._recorder.add(taped(context, seconds))
            for line in self._recorder.drain():
                self._tape(line)
        self.emit(
            ExchangeSeen(
                now,
                exchange.key,
                exchange.direction,
                exchange.method,
                exchange.path,
                context.status,
                context.by,
                seconds,
                context.upstream_status,
                whole=out and not any(one.applied and any(map(spoils_answer, one.effects)) for one in context.faults),
                upstream=exchange.upstream,
                began_s=None if context.began is None else context.began - context.started + context.waited,
                connection=exchange.connection,
                **about(exchange.update),
            )
        )

    def end(self, armed: Iterable[ArmedFault]) -> None:
        """These faults act no longer."""
        self.rules.end(armed)

    def _note_reply(self, context: ExchangeContext) -> None:
        """A webhook's answer may call the platform's API by naming a method; it counts when the platform got to see it."""
        if (
            self._own_api is None
            or context.exchange.direction is not Direction.INBOUND
            or context.status is None
            or not 200 <= context.status < 300
        ):
            return
        response = context.flow.response
        if context.by == "target" and response is not None and response.raw_content:
            kind = response.headers.get("content-type", "application/json")
            self._own_api.heard(response.raw_content, kind, context.exchange.key)

    # ── what effects need ────────────────────────────────────────────────────────────────────────────────────────────

    async def pause(self, seconds: float, carrier: Carrier, begun: float = math.inf) -> None:
        """Waits, unless the client leaves or everything is released, also between an exchange's beginning and its wait."""
        if begun < self._cleared:
            return
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not waiting.done():
                waiting.set_result(None)

        timer = loop.call_later(seconds, wake)
        self._wakers.add(wake)
        carrier.on_gone.add(wake)
        if carrier.gone:
            wake()
        try:
            await waiting
        finally:
            timer.cancel()
            self._wakers.discard(wake)
            carrier.on_gone.discard(wake)


def _reads_answers(listener: ListenerSpec, default: str) -> bool:
    """Whether the API behind a listener is the real one, whose answers are read."""
    mock = None if is_mock(listener.upstream) else listener.mock(default)
    return mock is not None and mock.reads_answers


def _call(context: ExchangeContext) -> MockRequest:
    request, exchange = context.flow.request, context.exchange
    return MockRequest(request.method, request.path, exchange.headers, request.raw_content or b"", exchange.key)


def _mark(flow: Any, armed: ArmedFault, what: str) -> None:
    """Lets mitmproxy's console and web page show which flows met a fault, and which."""
    flow.marked = flow.marked or MARK
    line = f"chaosbot: {armed.rule.name}: {what}"
    flow.comment = f"{flow.comment}\n{line}" if flow.comment else line


def _status_of(raw: bytes | None) -> int | None:
    """The status in bytes that stand in an answer's place; None when they are no answer."""
    code = (raw or b"")[9:12]
    return int(code) if raw is not None and raw.startswith(b"HTTP/1.1 ") and code.isdigit() else None
