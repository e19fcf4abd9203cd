"""Performs the effects that faults return: the one place that interprets the whole alphabet.

Rules:

- Each effect is offered twice: before the upstream sees the request, and after it has answered. It acts where it belongs and
  says whether it did; what never acted is recorded as missed.
- The first answer stands: a second rule that would answer too, or end the connection, comes too late.
"""

from __future__ import annotations

from functools import partial
from typing import Any, assert_never

from chaosbot.addons.answers import answer, set_header
from chaosbot.addons.deliveries import Deliveries
from chaosbot.addons.exchange_context import ExchangeContext
from chaosbot.addons.services import Services
from chaosbot.core.effect import (
    Answer,
    CloseIdle,
    CorruptBytes,
    CutAfter,
    CutBody,
    CutEvents,
    DisturbMessages,
    Dribble,
    EditEvents,
    Effect,
    EventsEffect,
    Farewell,
    HangUp,
    HoldBytes,
    HoldClose,
    HoldForNext,
    InsertEvents,
    PaceBytes,
    PaceEvents,
    Point,
    RefuseConnection,
    ResetConnection,
    SendAgain,
    SendEarlier,
    SendH2Frame,
    SendRaw,
    SetBody,
    SetHeader,
    Side,
    Silence,
    SliceBytes,
    SplitEvents,
    StallEvents,
    StreamBody,
    Throttle,
    Wait,
)
from chaosbot.core.units import format_duration
from chaosbot.injection.engine import ArmedFault
from chaosbot.injection.eventstream import EventStream
from chaosbot.injection.throttle import Quotas


def needs_answer(effect: Effect) -> bool:
    """Whether an effect needs the upstream's whole answer, so that one of unknown length must be held until it has ended."""
    match effect:
        case CutBody() | SetBody():
            return effect.side is Side.RESPONSE
        case Answer():
            return effect.point is Point.AFTER
        case StreamBody():
            return True
        case _:
            return False


def needs_request(effect: Effect) -> bool:
    """Whether an effect needs the client's whole request, so that it misses one that is too long to be held."""
    match effect:
        case CutBody() | SetBody():
            return effect.side is Side.REQUEST
        case SendAgain():
            return True
        case _:
            return False


def _is_event_stream(response: Any) -> bool:
    """Whether an answer is a stream of server-sent events that can be read."""
    if response is None or response.headers.get("content-encoding", "identity") != "identity":
        return False
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "text/event-stream"


class Performer:
    """Performs effects for one engine."""

    def __init__(self, services: Services, deliveries: Deliveries) -> None:
        self._services = services
        self._deliveries = deliveries
        self._quotas = Quotas()

    async def perform(  # noqa: PLR0915 - the whole alphabet stands here, once
        self, context: ExchangeContext, armed: ArmedFault, effect: Effect, now: Point
    ) -> str | None:
        """Performs an effect if this is its time.

        Returns:
            What was done, for the ledger; None when it was not its time or there was nothing to do it to.
        """
        before = now is Point.BEFORE
        script, flow = context.script, context.flow
        done: str | None = None
        match effect:
            case Wait():
                if effect.point is now and not (before and flow.response is not None):
                    if not before and not context.asked_upstream:
                        return None
                    await self._services.pause(effect.seconds, context.carrier, context.started)
                    done = f"waited {format_duration(effect.seconds)}"
            case Answer():
                if self._may_end(context, effect.point, now):
                    known = self._services.error_of(context, effect.status) if effect.own else None
                    self._answer(context, armed, effect.status, effect.headers, effect.body if known is None else known)
                    done = f"answered {effect.status}"
            case Throttle():
                if before and flow.response is None:
                    refused = self._quotas.ask(
                        armed.rule.name, effect, context.exchange, context.started, self._services.note
                    )
                    if refused is not None:
                        self._answer(context, armed, effect.status, refused.headers, refused.body)
                        done = refused.detail
            case HangUp():
                if self._may_end(context, effect.point, now):
                    self._stop(context, effect.farewell, before=before)
                    script.most_bytes = effect.after_bytes
                    done = f"{effect.farewell} after {effect.after_bytes} bytes"
            case SendRaw():
                if self._may_end(context, effect.point, now):
                    self._stop(context, effect.farewell, before=before)
                    script.raw, script.raw_count = effect.data, effect.count
                    done = f"sent {len(effect.data) if effect.count is None else effect.count} raw bytes"
            case CutBody():
                if before and effect.side is Side.REQUEST and flow.response is None:
                    body = flow.request.raw_content or b""
                    flow.request.raw_content = body[: int(len(body) * effect.keep_share)]
                    script.cut_request = effect.farewell
                    done = f"{len(flow.request.raw_content)} of {len(body)} bytes, then {effect.farewell}"
                elif not before and effect.side is Side.RESPONSE and not script.stops:
                    whole = len(flow.response.raw_content or b"")
                    script.most_body = int(whole * effect.keep_share)
                    script.farewell, context.by = effect.farewell, "proxy"
                    done = f"{script.most_body} of {whole} bytes, then {effect.farewell}"
            case StreamBody():
                if not before and not script.stops:
                    head = {"content-type": effect.content_type, "content-length": str(effect.count)}
                    self._answer(context, armed, effect.status, tuple(head.items()), b"")
                    flow.response.headers["content-length"] = str(effect.count)
                    script.stream = effect
                    done = f"a body of {effect.count} bytes"
            case SetHeader():
                if before is (effect.side is Side.REQUEST):
                    set_header(flow.request if before else flow.response, effect)
                    done = f"{effect.side} header {effect.name}"
            case SetBody():
                if before is (effect.side is Side.REQUEST):
                    message = flow.request if before else flow.response
                    message.raw_content = effect.body
                    if not effect.keep_length and "transfer-encoding" not in message.headers:
                        message.headers["content-length"] = str(len(effect.body))
                    done = f"{effect.side} body of {len(effect.body)} bytes"
            case Dribble():
                if before and effect.side is Side.REQUEST and flow.response is None:
                    script.dribble_up = effect
                    done = "the request trickles"
                elif not before and effect.side is Side.RESPONSE:
                    script.dribble = effect
                    done = "the answer trickles"
            case CloseIdle():
                if not before:
                    script.close_idle = effect
                    done = f"{effect.farewell} {format_duration(effect.after_s)} after the answer"
            case SendAgain():
                if before and flow.response is None:
                    self._deliveries.repeat(context, effect)
                    done = f"{len(effect.pauses_s)} more deliveries"
            case HoldForNext():
                if before and flow.response is None:
                    overtaken = await self._deliveries.hold(context, effect.count, effect.at_most_s)
                    done = f"overtaken by {overtaken}" if overtaken else None
            case SendEarlier():
                if before and self._deliveries.replay(context, effect.back, effect.age_s):
                    done = "an older update again"
            case DisturbMessages():
                if not before and flow.websocket is not None:
                    context.disturb.append((armed, effect))
            case SendH2Frame():
                if not before and flow.request.is_http2:
                    script.frame, context.by = effect, "proxy"
                    done = f"{effect.frame} {effect.error_code}"
            case (
                HoldBytes()
                | PaceBytes()
                | SliceBytes()
                | HoldClose()
                | Silence()
                | ResetConnection()
                | CutAfter()
                | CorruptBytes()
            ):
                if before:
                    context.byte_faults.append((armed, effect))
            case CutEvents() | StallEvents() | PaceEvents() | EditEvents() | SplitEvents() | InsertEvents():
                if before and flow.response is None:
                    flow.request.headers["accept-encoding"] = "identity"  # events are seen in plain bytes only
                elif not before and not script.stops and _is_event_stream(flow.response):
                    self._edit_events(context, armed, effect)
            case RefuseConnection():
                if before and flow.response is None:
                    self._stop(context, effect.farewell, before=True)
                    script.most_bytes = 0
                    done = "refused"
            case _:
                assert_never(effect)
        return done

    def _edit_events(self, context: ExchangeContext, armed: ArmedFault, effect: EventsEffect) -> None:
        """Lets an effect act on the answer's events; what it did is recorded when it does it."""
        script, response = context.script, context.flow.response
        script.events = script.events or EventStream()
        script.events.add(effect, partial(self._services.applied, armed, context))
        if not context.flow.request.is_http2:
            response.headers.pop("content-length", None)
            response.headers["transfer-encoding"] = "chunked"
            if script.events.unframed:
                del response.headers["transfer-encoding"]

    @staticmethod
    def _may_end(context: ExchangeContext, point: Point, now: Point) -> bool:
        """Whether an answer or an end may take place now: nobody was faster, and what should have happened has."""
        if point is not now:
            return False
        if point is Point.BEFORE:
            return context.flow.response is None
        return context.asked_upstream and not context.script.stops

    def _answer(
        self,
        context: ExchangeContext,
        armed: ArmedFault,
        status: int,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
    ) -> None:
        if context.flow.response is None:
            context.asked_upstream = False
        context.by = "proxy"
        context.flow.response = answer(status, headers, body, armed.rule.name)

    @staticmethod
    def _stop(context: ExchangeContext, farewell: Farewell, *, before: bool) -> None:
        context.script.farewell = farewell
        context.by = "proxy"
        if before:
            context.asked_upstream = False
            context.flow.response = answer(502, (), b"", "")  # never sent; it only keeps the upstream from being asked
