"""Changes to a JSON body, shared by the faults that make them. Pure; a body that is no JSON object is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import jsonpatch

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, SetBody, Side
from chaosbot.core.jsontext import read_json
from chaosbot.core.units import whole

Change = Callable[[Any, Any], None]
"""What is done to ``holder[key]``; raises LookupError when it cannot be done."""

TYPES: Final = ("string", "number", "boolean", "null", "list", "object")


def remove(holder: Any, key: Any) -> None:
    """Removes a field or an item."""
    del holder[key]


def put(holder: Any, key: Any, value: Any) -> None:
    """Sets a field or an item."""
    holder[key] = value


def retype(holder: Any, key: Any, to: str, dice: Dice) -> None:
    """Gives a value another JSON type: the one named, or for ``any`` a drawn one that differs."""
    old = holder[key]
    now = _type_of(old)
    kind = dice.at("type").choice([name for name in TYPES if name not in (now, "null")]) if to == "any" else to
    values: dict[str, Any] = {
        "string": old if isinstance(old, str) else json.dumps(old),
        "number": 42 if isinstance(old, (str, list, dict)) or old is None else float(old),
        "boolean": True,
        "null": None,
        "list": [old],
        "object": {"value": old},
    }
    holder[key] = values[kind]


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), ((int, float), "number"), (list, "list")):
        if isinstance(value, kind):
            return name
    return "object"


def _fields(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Every place of a document, outermost first."""
    keys: list[Any] = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    for key in keys:
        yield value, key
    if depth < 16:
        for key in keys:
            yield from _fields(value[key], depth + 1)


def _find(document: Any, steps: list[str]) -> tuple[Any, Any]:
    """The holder and key that a path leads to; LookupError when there is no such place."""
    holder: Any = None
    key: Any = None
    here = document
    for step in steps:
        if isinstance(here, dict) and step in here:
            holder, key = here, step
        elif isinstance(here, list) and (place := whole(step, len(here) - 1)) is not None:
            holder, key = here, place
        else:
            raise LookupError(step)
        here = holder[key]
    if holder is None:
        raise LookupError
    return holder, key


def _document(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError:
        return None


def _body(document: Any) -> tuple[Effect, ...]:
    return (
        SetBody(
            Side.REQUEST,
            json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"),
        ),
    )


def edited(body: bytes, path: str, dice: Dice, change: Change) -> tuple[Effect, ...]:
    """The body with one place changed: the one at `path`, or a drawn one; nothing when there is none."""
    document = _document(body)
    if not isinstance(document, (dict, list)):
        return ()
    try:
        if path:
            holder, key = _find(document, path.removeprefix("$.").split("."))
        else:
            holder, key = dice.at("field").choice(list(_fields(document)))
        change(holder, key)
    except (LookupError, TypeError, ValueError):
        return ()
    return _body(document)


# ── JSON Patch (RFC 6902) ────────────────────────────────────────────────────────────────────────────────────────────


def json_patch(patch: object) -> jsonpatch.JsonPatch:
    """A patch, checked.

    Raises:
        ValueError: It is none; says what is wrong.
    """
    if isinstance(patch, str):
        try:
            patch = read_json(patch)
        except ValueError as error:
            raise ValueError(f"patch is no JSON: {error}") from None
    if not isinstance(patch, list) or not patch:
        raise ValueError("patch must be a list of operations such as {op = 'remove', path = '/message/text'}")
    try:
        return jsonpatch.JsonPatch(patch)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        raise ValueError(f"patch: {error}") from None


def patched(body: bytes, patch: jsonpatch.JsonPatch) -> tuple[Effect, ...]:
    """The body after a JSON Patch; nothing when an operation does not fit it."""
    document = _document(body)
    if not isinstance(document, (dict, list)):
        return ()
    try:
        return _body(patch.apply(document))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        return ()
