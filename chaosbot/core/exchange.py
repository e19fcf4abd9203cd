"""What is known of an exchange when a fault must be decided: who speaks to whom, and about what.

An *exchange* is one request with its fate. The *inbound* direction runs from the sender (the platform, chaosbot's own drivers) to
the webhook; the *outbound* direction from the bot to the APIs that it calls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qsl

from chaosbot.core.jsontext import read_json

EXCHANGE_HEADER: Final = "x-chaosbot-exchange"
"""Carries the exchange id from a driver to the proxy, which strips it; it joins driver, proxy and mock.

An open workload appends ``@SECONDS``: when the request was due on the run's clock. Fault windows are judged by that moment
and not by the arrival, so that the scheduler's jitter cannot move a request from one window into another.
"""


class Direction(StrEnum):
    """Which way an exchange runs."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Depth(StrEnum):
    """At which depth a fault acts."""

    BYTES = "bytes"
    EXCHANGE = "exchange"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class UpdateFacts:
    """What a platform reads from an update, for targeting and for coverage.

    Args:
        update_id: The platform's delivery id; None when there is none.
        kind: ``message``, ``callback_query`` …; the platform's own words.
        chat: Whom the answer belongs to.
        user: Who caused it.
        tier: The user's tier in the platform (``guest`` … ``admin``).
        command: The command's name without slash, when it is one.
        marker: chaosbot's own marker when the text carries one.
        message: The id of the message that a reply would quote; of a pressed button, the one below which it stands.
        callback: The id by which a pressed button is answered.
        tenant: Whose account it happens in: a team, an installation, a merchant.
        names: What its sender and its chat are called, which an answer may repeat; read by `Codec.read` only.
    """

    update_id: int | str | None = None
    kind: str | None = None
    chat: int | str | None = None
    user: int | str | None = None
    tier: str | None = None
    command: str | None = None
    marker: str | None = None
    message: int | str | None = None
    callback: str | None = None
    tenant: int | str | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange as its request shows it.

    Args:
        key: Identifies the exchange reproducibly: the driver's id, or a digest of the request with its repetition number.
        direction: Which way it runs.
        connection: Ordinal of the client connection that carries it.
        method: The request method.
        path: The path without the query.
        query: The query without its question mark.
        headers: Names in lower case.
        body: The request's body, bounded; targeting reads JSON paths from it.
        update: What the platform read from it.
        due_s: When it was due by its driver's plan, on the run's clock; None when nobody said.
        upstream: The name of the API that an outbound exchange is for.
    """

    key: str
    direction: Direction = Direction.INBOUND
    connection: int = 0
    method: str = "POST"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    update: UpdateFacts | None = None
    due_s: float | None = None
    upstream: str = ""


def connection_key(label: str, number: int) -> str:
    """The key of a connection as a whole, by its direction (or its pipe's label) and its ordinal; its own faults are recorded under it."""
    return f"{label}-connection-{number}"


def split_exchange(value: str) -> tuple[str, float | None]:
    """The id and the due time in an exchange header's value."""
    key, _, due = value.partition("@")
    try:
        return key, float(due) if due else None
    except ValueError:
        return value, None


# Linear: each repeated part ends at a line break that the part itself cannot hold.
_PART: Final = re.compile(rb'\bname="?([^";\r\n]{1,200})"?[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)')


def values_of(exchange: Exchange) -> Any:
    """The request's values by name: of a JSON body, a form or a multipart form, and of the query; None where there are none."""
    query = dict(parse_qsl(exchange.query, keep_blank_values=True)) if exchange.query else {}
    kind = next((value for name, value in exchange.headers if name == "content-type"), "").lower()
    if kind.startswith("application/x-www-form-urlencoded"):
        return query | dict(parse_qsl(exchange.body.decode("utf-8", "replace"), keep_blank_values=True))
    if kind.startswith("multipart/form-data"):
        fields = _PART.findall(exchange.body)
        return query | {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in fields}
    try:
        document = read_json(exchange.body)
    except ValueError:
        return query or None
    return query | document if isinstance(document, dict) else document
