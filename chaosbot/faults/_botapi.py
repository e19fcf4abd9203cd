"""The Bot API's calls and its way to refuse them, shared by the faults of its name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from chaosbot.core.effect import Answer, Effect, Point
from chaosbot.core.exchange import Direction, Exchange, values_of

_PATH: Final = re.compile(r"/bot[^/]+/(?:test/)?([A-Za-z]+)/?")
_FIRST_SUPERGROUP: Final = -1_000_000_000_000
_WRITES: Final = ("send", "forward", "copy", "edit")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a Bot API method.

    Args:
        method: The method in lower case; the Bot API does not look at the case.
        chat: The chat that it names, when by number.
    """

    method: str
    chat: int | None = None

    @property
    def writes(self) -> bool:
        """Whether it sends or changes a message."""
        return self.method.startswith(_WRITES)

    @property
    def to_person(self) -> bool:
        """Whether its chat is a private one: the id of a user."""
        return self.chat is not None and self.chat > 0

    @property
    def to_basic_group(self) -> bool:
        """Whether its chat is a basic group; supergroups and channels have ids from -1 000 000 000 001 downwards."""
        return self.chat is not None and _FIRST_SUPERGROUP < self.chat < 0


def call_of(exchange: Exchange) -> Call | None:
    """The call that an exchange is; None on the inbound direction, and for downloads and other requests."""
    if exchange.direction is not Direction.OUTBOUND:
        return None
    found = _PATH.search(exchange.path)
    if found is None or found.end() != len(exchange.path):
        return None
    said = values_of(exchange)
    chat = said.get("chat_id") if isinstance(said, dict) else None
    return Call(found[1].lower(), _number(chat))


def _number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if (
        isinstance(value, str)
        and len(value) < 20
        and value.removeprefix("-").isascii()
        and value.removeprefix("-").isdecimal()
    ):
        return int(value)
    return None


def refusal(status: int, description: str, parameters: Mapping[str, int] | None = None) -> tuple[Effect, ...]:
    """The Bot API's error object as an answer."""
    document: dict[str, object] = {"ok": False, "error_code": status, "description": description}
    headers = [("content-type", "application/json")]
    if parameters:
        document["parameters"] = dict(parameters)
        if "retry_after" in parameters:
            headers.append(("retry-after", str(parameters["retry_after"])))
    return (Answer(Point.BEFORE, status, tuple(headers), json.dumps(document).encode()),)


def page(status: int) -> tuple[Effect, ...]:
    """A gateway's HTML page as an answer."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Server Error"
    title = f"{status} {phrase}"
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
    return (Answer(Point.BEFORE, status, (("content-type", "text/html"),), body.encode()),)
