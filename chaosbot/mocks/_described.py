"""Mocks that are a table: routes of an API, what each call is named, whom it speaks to and what it says, and the smallest answer.

A route that is in no table is answered as the API's usual answer, and recorded under its method and path: a target that calls more than
its mock knows keeps going.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

import orjson

from chaosbot.core.event import ApiCalled
from chaosbot.core.kit import buttons_in, there
from chaosbot.core.marker import markers_in
from chaosbot.core.mock import Mock, MockAnswer, MockApi, MockRequest, MockServices

_JSON: Final = (("content-type", "application/json"),)
_MOST_TEXT: Final = 256


@dataclass(frozen=True, slots=True)
class Route:
    """Calls of one kind.

    Args:
        pattern: Method and path without query, as a regular expression; its named groups are values as well.
        name: What the call is named; ``{group}`` stands for a group.
        chat: Where the conversation stands: dotted places of the body's values, or a group.
        text: Where the words stand.
        status: The answer's status.
        answer: The answer's body; the texts ``{id}``, ``{chat}`` and those of groups in it are filled in.
        callback: Where the id stands of what the call answers: a press, an interaction.
    """

    pattern: str
    name: str
    chat: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    status: int = 200
    answer: Any = field(default_factory=dict)
    callback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """An API.

    Args:
        routes: The first that matches counts.
        other: The answer to all other calls.
        error: A refusal's body, of a status and a reason.
        button: What makes an object in a message a button, as dotted places of what is known of a press: the first holds a text.
    """

    routes: tuple[Route, ...]
    other: Any
    error: Callable[[int, str], Any]
    button: tuple[str, ...] = ()


class DescribedApi(MockApi):
    """The API that a description tells.

    Args:
        description: The table.
        services: Clock, events and ids.
    """

    def __init__(self, description: Description, services: MockServices) -> None:
        self._description = description
        self._services = services
        self._routes = [(re.compile(route.pattern), route) for route in description.routes]

    def answer(self, request: MockRequest) -> MockAnswer:
        """The route's answer; the call is recorded before."""
        found, route, values = self._read(request)
        number = next(self._services.ids)
        self._emit(request, found, route, values, route.status if route is not None else 200, number)
        if route is None:
            return MockAnswer.of(200, _JSON, orjson.dumps(self._description.other))
        known = found | {"id": str(number), "chat": str(_first(values | found, route.chat) or "")}
        body = orjson.dumps(_filled(route.answer, known)) if route.answer is not None else b""
        return MockAnswer.of(route.status, _JSON if body else (), body)

    def refusal(self, status: int, reason: str) -> MockAnswer:
        """An error as the API writes it."""
        return MockAnswer.of(status, _JSON, orjson.dumps(self._description.error(status, reason)))

    def note(
        self, request: MockRequest, *, status: int | None, retry_after_s: float | None = None, body: bytes = b""
    ) -> None:
        """Records a call that was answered elsewhere."""
        del body
        found, route, values = self._read(request)
        self._emit(request, found, route, values, status, None, retry_after_s)

    def _read(self, request: MockRequest) -> tuple[dict[str, str], Route | None, dict[str, Any]]:
        path, _, query = request.path.partition("?")
        values = {**dict(parse_qsl(query, keep_blank_values=True)), **_values(request)}
        for pattern, route in self._routes:
            match = pattern.fullmatch(f"{request.method} {path}")
            if match is not None:
                return {name: value or "" for name, value in match.groupdict().items()}, route, values
        return {}, None, values

    def _emit(
        self,
        request: MockRequest,
        found: Mapping[str, str],
        route: Route | None,
        values: Mapping[str, Any],
        status: int | None,
        number: int | None,
        retry_after_s: float | None = None,
    ) -> None:
        # Ids in a path would make a method of each of them.
        named = (
            route.name
            if route is not None
            else re.sub(r"[^/]*\d[^/]*", "*", f"{request.method} {request.path.partition('?')[0]}")
        )
        at = {**values, **found}
        text = str(_first(at, route.text) or "") if route is not None else ""
        self._services.emit(
            ApiCalled(
                self._services.now(),
                named.format_map(found) if route is not None else named,
                _first(at, route.chat) if route is not None else None,
                text[:_MOST_TEXT],
                markers_in(text),
                status=status,
                exchange=request.exchange,
                retry_after_s=retry_after_s,
                message=number,
                callback=str(_first(at, route.callback) or "") if route is not None else "",
                buttons=buttons_in(_told(values), self._description.button),
            )
        )


class DescribedMock(Mock):
    """A mock of an API that a description tells."""

    description: ClassVar[Description]

    def api(self, services: MockServices) -> MockApi:
        """The API of one worker."""
        return DescribedApi(self.description, services)


def _values(request: MockRequest) -> dict[str, Any]:
    """The members of a JSON body, or the fields of a form."""
    try:
        told = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        told = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    return told if isinstance(told, dict) else {}


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with what a form says as JSON read."""

    def read(value: Any) -> Any:
        try:
            return orjson.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
        except orjson.JSONDecodeError:
            return value

    return {name: read(value) for name, value in values.items()}


def _first(values: Mapping[str, Any], places: tuple[str, ...]) -> int | str | None:
    found = (there(values, place) for place in places)
    return next((one for one in found if type(one) is int or (isinstance(one, str) and one)), None)


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    """An answer with its placeholders filled in; one that is nothing but ``{id}`` becomes a number."""
    if isinstance(value, str):
        if value == "{id}":
            return int(known["id"])
        return re.sub(r"\{(\w+)\}", lambda match: known.get(match[1], ""), value)
    if isinstance(value, list):
        return [_filled(one, known) for one in value]
    return {name: _filled(one, known) for name, one in value.items()} if isinstance(value, dict) else value
