"""What platforms of generic JSON share: finding ids and texts in a body that nobody described, and posting it."""

from __future__ import annotations

import string
from typing import Any, Final

import orjson

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.kit import Path, leaves, look, put
from chaosbot.core.marker import MARKER, marker
from chaosbot.core.platform import Endpoint
from chaosbot.core.shape import Array, Const, Flag, Integer, Number, Object, OneOf, Shape, Text
from chaosbot.platforms._transport import dumps

_IDS: Final = ("deliveryid", "eventid", "updateid", "messageid", "webhookid", "requestid", "uuid", "id")
_TEXTS: Final = ("text", "message", "body", "content", "comment", "description", "title", "summary", "name", "subject")
_DEEPEST: Final = 40
SHORTEST_ID: Final = 4
"""Shorter ids may stand elsewhere in a payload for something else; they are kept."""


def parsed(name: str, value: Any) -> Any:
    """An option's JSON, where it comes as text.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(value, (str, bytes)):
        return value
    text = value.removeprefix("\ufeff") if isinstance(value, str) else value.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(name, f"is no JSON ({error}); give a JSON document") from None


def bodies_of(first: Any, more: Any, kind: str = "type") -> dict[str, Any]:
    """Valid bodies by name: ``sample``, and further ones by the kind that they say they are of.

    Raises:
        ConfigError: The further ones are no list.
    """
    if not isinstance(more, (list, tuple)):
        raise ConfigError("more", "is no list of bodies; give a JSON list")
    found = {"sample": first}
    for number, body in enumerate(more, 2):
        said = body.get(kind) if isinstance(body, dict) else None
        found[said if isinstance(said, str) and said and said not in found else f"sample-{number}"] = body
    return found


def post(
    endpoint: Endpoint, update: Any, headers: tuple[tuple[str, str], ...], content_type: str = "application/json"
) -> bytes:
    """A POST of a body with these headers."""
    body = dumps(update)
    lines = [
        f"POST {endpoint.path} HTTP/1.1",
        f"Host: {endpoint.host}",
        *(f"{name}: {value}" for name, value in (*headers, *endpoint.headers)),
        "Connection: keep-alive",
        "Accept-Encoding: gzip, deflate",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body


def delivery_id(root: Any) -> int | str | None:
    """The delivery's id: the first member at the top that is named like one."""
    if not isinstance(root, dict):
        return None
    named = {_plain(name): value for name, value in reversed(root.items())}
    values = (named.get(name) for name in _IDS)
    return next((value for value in values if type(value) is int or (isinstance(value, str) and value)), None)


def _plain(name: str | int) -> str:
    """A member's name in one spelling: ``MessageId`` and ``message_id`` are alike."""
    return str(name).replace("_", "").replace("-", "").lower()


def marker_place(root: Any) -> Path | None:
    """Where people's words stand: the member that is named most like a text; otherwise none."""
    texts = [(path, value) for path, value in leaves(root) if isinstance(value, str) and len(path) < _DEEPEST]
    for name in _TEXTS:
        for path, _ in texts:
            if _plain(path[-1]) == name:
                return path
    return None


def renew(root: Any, dice: Dice, words: dict[Path, str] | None = None) -> Any:
    """The same body as a delivery of its own: another id and marker, where it has places for them."""
    if not isinstance(root, dict):
        return root
    made = root
    for where, text in (words or {}).items():
        made = put(made, where, text)
    spelled = {_plain(name): name for name in reversed(made)}
    for name in (spelled[one] for one in _IDS if one in spelled):
        value = made[name]
        if type(value) is int:
            made = made | {name: dice.at("id").integer(1, 2**31 - 1)}
            break
        if isinstance(value, str) and value:
            made = made | {name: _like(value, dice.at("id"))}
            break
    path = marker_place(made)
    if path is None:
        return made
    said = look(made, path)
    mine = marker(dice)
    return put(made, path, MARKER.sub(mine, said) if MARKER.search(said) else f"{said} {mine}".strip())


def _like(value: str, dice: Dice) -> str:
    """An identifier that looks like another: the same prefix, length and kind of digits."""
    prefix, sign, rest = value.rpartition("_")
    hexadecimal = all(letter in "0123456789abcdef-" for letter in rest) and len(rest) >= 16
    fill = iter(dice.token(max(16, len(rest))))
    if hexadecimal:
        return prefix + sign + "".join(letter if letter == "-" else next(fill) for letter in rest)
    return prefix + sign + dice.token(max(16, len(rest)))


def inferred(value: Any, depth: int = 0) -> Shape:
    """The shape of bodies like this one: the same members and types, any values within bounds."""
    if isinstance(value, bool):
        return Flag()
    if isinstance(value, int):
        return Integer(min(-(2**31), value) if value < 0 else 0, max(2**31 - 1, value), (value,))
    if isinstance(value, float):
        return Number(min(0.0, value * 10), max(1e6, value * 10))
    if isinstance(value, str):
        return Text(0, max(256, len(value)), (value,), hostile=True)
    if isinstance(value, list) and depth < _DEEPEST:
        items = tuple(inferred(item, depth + 1) for item in value[:3])
        return Array(OneOf(items), 0, max(3, len(value))) if items else Const([])
    if isinstance(value, dict) and depth < _DEEPEST:
        return Object({name: inferred(item, depth + 1) for name, item in value.items()})
    return Const(value)


def alike(value: int | str, dice: Dice) -> int | str:
    """Another id of the same form: as long, the same prefix, digits for digits and letters for letters."""
    if isinstance(value, int):
        low = 10 ** (len(str(abs(value))) - 1)
        return dice.integer(low, 10 * low - 1)
    head = max(value.rfind(sign) for sign in "_.:") + 1
    head = head if len(value) - head >= SHORTEST_ID else 0
    head += len(value) - head > SHORTEST_ID and not set(value[head:].lower()) <= set("0123456789abcdef-")
    rest = value[head:]
    letters = "abcdef" if set(rest.lower()) <= set("0123456789abcdef-") else string.ascii_lowercase
    fill = iter(dice.data(len(rest)))

    def other(letter: str) -> str:
        number = next(fill)
        if letter.isdigit():
            return str(number % 10)
        chosen = letters[number % len(letters)]
        return chosen.upper() if letter.isupper() else chosen if letter.isascii() and letter.isalpha() else letter

    made = "".join(map(other, rest))
    if rest.isdigit() and made[0] == "0":
        made = "1" + made[1:]
    return value[:head] + made


def check_origin(where: str, url: str) -> None:
    """Refuses what is no scheme and host; empty is none of either.

    Args:
        where: The option, for the message.
        url: What it says.

    Raises:
        ConfigError: It lacks one of them, or goes on with a path.
    """
    scheme, separator, host = url.partition("://")
    if url and (scheme not in ("http", "https") or not separator or not host or "/" in host):
        raise ConfigError(where, f"'{url}' is no scheme and host; write for example https://bot.example.com")
