"""The Bot API's way to refuse a call, shared by the faults of its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from chaosbot.core.effect import Answer, Effect, Point
from chaosbot.core.exchange import Direction, Exchange


def refusal(
    exchange: Exchange, status: int, description: str, parameters: Mapping[str, int] | None = None
) -> tuple[Effect, ...]:
    """The Bot API's error object as an answer; nothing on the inbound direction, where no API is called."""
    if exchange.direction is not Direction.OUTBOUND:
        return ()
    document: dict[str, object] = {"ok": False, "error_code": status, "description": description}
    headers = [("content-type", "application/json")]
    if parameters:
        document["parameters"] = dict(parameters)
        if "retry_after" in parameters:
            headers.append(("retry-after", str(parameters["retry_after"])))
    return (Answer(Point.BEFORE, status, tuple(headers), json.dumps(document).encode()),)


def page(exchange: Exchange, status: int) -> tuple[Effect, ...]:
    """A gateway's HTML page as an answer; nothing on the inbound direction."""
    if exchange.direction is not Direction.OUTBOUND:
        return ()
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Server Error"
    title = f"{status} {phrase}"
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    return (Answer(Point.BEFORE, status, (("content-type", "text/html"),), body.encode()),)
