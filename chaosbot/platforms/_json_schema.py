"""Reads a JSON Schema, or the request body of an OpenAPI operation, as a shape.

Understood: type (lists of types too), properties, required, items, enum, const, oneOf, anyOf, allOf, local $ref, nullable, limits of
numbers, texts and lists, the usual formats, examples and defaults. A `pattern` is met by the schema's own examples or default, and
otherwise by texts drawn from it; one that cannot be drawn from needs an example, because a text that only sometimes fits would make
valid bodies invalid. Other words that make bodies invalid (`not`, `if`, `uniqueItems` …) are left alone; with them what is made may be
refused (`understood`).
"""

from __future__ import annotations

import re
import string
from re import _constants as op  # type: ignore[attr-defined]  # the standard library's parser has no public name
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final, TypeVar

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, shown
from chaosbot.core.shape import Array, Const, Flag, Integer, Number, Object, OneOf, Shape, Text

T = TypeVar("T")

MOST_DEPTH: Final = 64
MOST_ITEMS: Final = 10_000
MOST_LENGTH: Final = 1 << 20
_DEEPEST: Final = 8
_DRAWN: Final = 8
_UNREAD: Final = frozenset(
    {"not", "if", "dependentRequired", "dependentSchemas", "uniqueItems", "multipleOf", "contains", "minContains"}
    | {"minProperties", "maxProperties", "propertyNames", "prefixItems", "contentEncoding", "contentMediaType"}
)
"""Words that forbid some of what `shape_of` reads."""
_METHODS: Final = ("post", "put", "patch")
_FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "date-time": ("2026-01-01T00:00:00Z", "2026-12-31T23:59:59+07:00"),
    "date": ("2026-01-01", "2028-02-29"),
    "time": ("00:00:00Z", "23:59:59Z"),
    "email": ("ada@example.com", "a.b+c@example.org"),
    "uri": ("https://example.com/", "https://example.com/a?b=c#d"),
    "url": ("https://example.com/",),
    "ipv4": ("192.0.2.1",),
    "ipv6": ("2001:db8::1",),
    "hostname": ("example.com",),
    "byte": ("Y2hhb3M=",),
    "binary": ("chaos",),
    "uuid": ("3fa85f64-5717-4562-b3fc-2c963f66afa6", "6fa459ea-ee8a-4ca4-894e-db77e160355e"),
}


def understood(document: Any) -> bool:
    """Whether a document has no word that forbids bodies which `shape_of` takes for valid."""
    if isinstance(document, dict):
        known = not (_UNREAD & document.keys()) and str(document.get("format", "uuid")) in _FORMATS
        return known and all(understood(value) for value in document.values())
    return not isinstance(document, list) or all(understood(value) for value in document)


def shape_of(document: Any, operation: str = "") -> Shape:
    """The shape of valid bodies.

    Args:
        document: A JSON Schema or an OpenAPI document.
        operation: Which operation of the latter: its operationId, or ``POST /path``; by default the first with a JSON body.

    Raises:
        ConfigError: What cannot be understood, with its place in the document.
    """
    if not isinstance(document, (dict, bool)):
        raise ConfigError("schema", "is no JSON Schema; it must be an object")
    schema = document
    if isinstance(document, dict) and "paths" in document:
        schema = _request_body(document, operation)
    return _Reader(document).read(schema, "schema", 0)


def _request_body(document: dict[str, Any], operation: str) -> Any:
    seen = []
    for path, item in _given(document, "paths", dict, {}, "schema").items():
        for method in _METHODS:
            details = item.get(method) if isinstance(item, dict) else None
            if not isinstance(details, dict):
                continue
            body = _Reader(document).resolve(details.get("requestBody", {}), "requestBody")
            content = _given(body, "content", dict, {}, "requestBody")
            media = [media for kind, media in content.items() if "json" in str(kind) and isinstance(media, dict)]
            schema = media[0].get("schema") if media else None
            names = (str(details.get("operationId", "")), f"{method.upper()} {path}")
            seen += [name for name in names if name]
            if schema is not None and (not operation or operation in names):
                return schema
    known = ", ".join(seen) or "none"
    raise ConfigError("operation", f"no operation {operation!r} with a JSON request body; Available: {known}")


def _given(schema: dict[str, Any], word: str, kind: type[T], default: T, where: str) -> T:
    """The value of a word of JSON Schema, which must be of a kind.

    Raises:
        ConfigError: It is of another, or an empty list where nothing could fit.
    """
    value = schema.get(word, default)
    if not isinstance(value, kind) or (kind is list and word in ("enum", "oneOf", "anyOf", "allOf") and not value):
        wanted = "a table" if isinstance(default, dict) else "a list with values"
        raise ConfigError(
            f"{where}.{word}", f"is {shown(value) if value != [] else 'empty'}; JSON Schema has {wanted} there"
        )
    return value


def _size(schema: dict[str, Any], word: str, default: int, most: int, where: str) -> int:
    """A length or count of JSON Schema, within what a request can hold.

    Raises:
        ConfigError: It is none, or larger than that.
    """
    value = schema.get(word, default)
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 <= value <= (most if word.startswith("min") else 2**63)
    ):
        raise ConfigError(
            f"{where}.{word}", f"{shown(value)} is no whole number from 0 to {most}, the most that is made"
        )
    return int(value)


class _Reader:
    """One document."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def resolve(self, schema: Any, where: str) -> dict[str, Any]:
        """Follows local references, and merges what allOf lists."""
        hops = 0
        while isinstance(schema, dict) and "$ref" in schema:
            reference = schema["$ref"]
            hops += 1
            if not isinstance(reference, str) or not reference.startswith("#") or hops > 50:
                raise ConfigError(
                    where, f"$ref {reference!r} leaves the document or goes in circles; use local references"
                )
            target = self._document
            for part in reference[1:].split("/")[1:]:
                name = part.replace("~1", "/").replace("~0", "~")
                if not isinstance(target, dict) or name not in target:
                    raise ConfigError(where, f"$ref {shown(reference)} points nowhere")
                target = target[name]
            if not isinstance(target, dict):
                raise ConfigError(where, f"$ref {shown(reference)} points at no schema")
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        if schema is True or schema is None:
            return {}
        if not isinstance(schema, dict):
            raise ConfigError(where, f"{schema!r} is no schema that anything fits")
        if "allOf" not in schema:
            return schema
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for number, part in enumerate(_given(schema, "allOf", list, [], where)):
            other = self.resolve(part, f"{where}.allOf[{number}]")
            properties = {
                **_given(merged, "properties", dict, {}, where),
                **_given(other, "properties", dict, {}, where),
            }
            required = [*_given(merged, "required", list, [], where), *_given(other, "required", list, [], where)]
            merged = {**other, **merged}
            merged |= {"properties": properties} if properties else {}
            merged |= {"required": required} if required else {}
        return merged

    def read(self, schema: Any, where: str, depth: int) -> Shape:
        """The shape of one schema."""
        if depth > MOST_DEPTH:
            raise ConfigError(where, "goes on without end; no finite body fits")
        schema = self.resolve(schema, where)
        if "const" in schema:
            return Const(schema["const"])
        if "enum" in schema:
            return OneOf(tuple(Const(value) for value in _given(schema, "enum", list, [], where)))
        for word in ("oneOf", "anyOf"):
            if word in schema:
                rest = {key: value for key, value in schema.items() if key != word}
                options = [
                    {"allOf": [rest, option]} if rest else option for option in _given(schema, word, list, [], where)
                ]
                shapes = [self.read(option, f"{where}.{word}[{n}]", depth + 1) for n, option in enumerate(options)]
                return OneOf(tuple(shapes))
        kind = schema.get("type") or ("object" if "properties" in schema else "array" if "items" in schema else None)
        if isinstance(kind, list) and kind:
            return OneOf(tuple(self.read({**schema, "type": one}, where, depth) for one in kind))
        shape = self._typed(kind, schema, where, depth)
        return OneOf((shape, Const(None))) if schema.get("nullable") else shape

    def _typed(self, kind: Any, schema: dict[str, Any], where: str, depth: int) -> Shape:
        match kind:
            case "object":
                return self._object(schema, where, depth)
            case "array":
                return self._array(schema, where, depth)
            case "string":
                return _text(schema, where)
            case "integer":
                low, high = _bounds(schema, 1, where)
                return Integer(int(low), int(high), tuple(v for v in _examples(schema) if type(v) is int))
            case "number":
                low, high = _bounds(schema, 1e-9, where)
                return Number(float(low), float(high))
            case "boolean":
                return Flag()
            case "null":
                return Const(None)
            case None:
                return OneOf((Const({}), Text(0, 32), Integer(0, 100), Const(None)))
            case _:
                raise ConfigError(where, f"type {shown(kind)} is none of JSON Schema's")

    def _array(self, schema: dict[str, Any], where: str, depth: int) -> Shape:
        low = _size(schema, "minItems", 0, MOST_ITEMS, where)
        high = min(_size(schema, "maxItems", low + 3, MOST_ITEMS, where), low + 10)
        if depth >= _DEEPEST and low == 0:
            return Const([])
        return Array(self.read(schema.get("items", True), f"{where}.items", depth + 1), low, max(low, high))

    def _object(self, schema: dict[str, Any], where: str, depth: int) -> Shape:
        if depth > 4 * _DEEPEST:
            raise ConfigError(where, "requires itself without end; no finite body fits")
        properties = _given(schema, "properties", dict, {}, where)
        names = {str(name) for name in _given(schema, "required", list, [], where)}
        required: dict[str, Shape] = {}
        optional: dict[str, Shape] = {}
        for name, inner in properties.items():
            # Beyond the bound only what must be there is written out, so recursion through optional members ends.
            if name in names:
                required[name] = self.read(inner, f"{where}.{name}", depth + 1)
            elif depth < _DEEPEST:
                optional[name] = self.read(inner, f"{where}.{name}", depth + 1)
        required |= {name: Text(1, 16) for name in sorted(names - properties.keys())}
        return Object(required, optional)


def _examples(schema: dict[str, Any]) -> tuple[Any, ...]:
    """Values that the schema itself calls valid."""
    found = [*schema.get("examples", ())] if isinstance(schema.get("examples"), list) else []
    return tuple(found + [schema[key] for key in ("example", "default") if key in schema])


def _text(schema: dict[str, Any], where: str) -> Shape:
    examples = tuple(value for value in _examples(schema) if isinstance(value, str))
    fixed = examples or _FORMATS.get(str(schema.get("format")), ())
    low = _size(schema, "minLength", 0, MOST_LENGTH, where)
    high = _size(schema, "maxLength", max(low, 256), MOST_LENGTH, where)
    if "pattern" in schema and not examples:
        fixed = matching(str(schema["pattern"]), Dice(0).at(where), _DRAWN, low, high)
    if "pattern" in schema and not fixed:
        raise ConfigError(
            f"{where}.pattern", "is too intricate to draw from; add an example, so that valid bodies can be made"
        )
    if "pattern" in schema or fixed:
        return OneOf(tuple(Const(value) for value in fixed))
    return Text(low, min(high, max(low, 4096)), hostile=True)


def _bounds(schema: dict[str, Any], step: float, where: str) -> tuple[float, float]:
    """The ends of a number; exclusive ones are numbers in newer drafts and flags in older ones."""
    low, high = schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1)
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not abs(bound) < 1e300:
            raise ConfigError(where, f"{shown(bound)} is no bound of a number")
    for key, side in (("exclusiveMinimum", 0), ("exclusiveMaximum", 1)):
        value = schema.get(key)
        if value is True:
            low, high = (low + step, high) if side == 0 else (low, high - step)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300:
            low, high = (value + step, high) if side == 0 else (low, value - step)
    return (low, max(low, high))


# ── texts that match a pattern ────────────────────────────────────────────────────────────────────────────────────────

# Only what every text of the pattern has in common with a drawn one is promised: it matches. Look-around and back
# references are not drawn; what comes out is tried against the pattern, so a pattern that is too clever gives nothing
# instead of something wrong.

_MOST: Final = 3
"""How much more often than it must an open-ended part comes."""
_ALPHABET: Final = string.ascii_letters + string.digits + "-_.:/@ "
_CLASSES: Final = {
    op.CATEGORY_DIGIT: string.digits,
    op.CATEGORY_WORD: string.ascii_letters + string.digits + "_",
    op.CATEGORY_SPACE: " ",
}
_NEGATED: Final = {
    op.CATEGORY_NOT_DIGIT: string.digits,
    op.CATEGORY_NOT_WORD: string.ascii_letters + string.digits + "_",
    op.CATEGORY_NOT_SPACE: string.whitespace,
}


def matching(pattern: str, dice: Dice, count: int, low: int = 0, high: int = 4096) -> tuple[str, ...]:
    """Up to `count` different texts of `low` to `high` characters that match; none where the pattern cannot be drawn from."""
    try:
        compiled = re.compile(pattern)
        tree = _parser.parse(pattern)
    except (re.error, RecursionError):
        return ()
    found: dict[str, None] = {}
    for attempt in range(20 * count):
        text = _sequence(tree, dice.at(attempt))
        if text is not None and low <= len(text) <= high and compiled.search(text):
            found[text] = None
        if len(found) == count:
            break
    return tuple(found)


def _sequence(items: Any, dice: Dice) -> str | None:
    parts = [_part(kind, value, dice.at(number)) for number, (kind, value) in enumerate(items)]
    return None if None in parts else "".join(part for part in parts if part)


def _part(kind: Any, value: Any, dice: Dice) -> str | None:
    if kind is op.AT:
        return ""
    if kind is op.LITERAL:
        return chr(value)
    if kind in (op.ANY, op.NOT_LITERAL, op.IN):
        allowed = _letters(kind, value)
        return dice.choice(allowed) if allowed else None
    if kind is op.BRANCH:
        return _sequence(dice.choice(value[1]), dice.at("branch"))
    if kind is op.SUBPATTERN:
        return _sequence(value[-1], dice)
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        low, high, inner = value
        times = dice.at("times").integer(low, min(int(high), low + _MOST))
        parts = [_sequence(inner, dice.at("repeat", number)) for number in range(times)]
        return None if None in parts else "".join(part for part in parts if part)
    return None


def _letters(kind: Any, value: Any) -> str:
    """The letters that one place may hold."""
    if kind is op.ANY:
        return _ALPHABET
    if kind is op.NOT_LITERAL:
        return _ALPHABET.replace(chr(value), "")
    negated = bool(value) and value[0][0] is op.NEGATE
    allowed = "".join(_class(*entry) for entry in (value[1:] if negated else value))
    return "".join(letter for letter in _ALPHABET if letter not in allowed) if negated else allowed


def _class(kind: Any, value: Any) -> str:
    if kind is op.LITERAL:
        return chr(value)
    if kind is op.RANGE:
        return "".join(map(chr, range(value[0], min(value[1], value[0] + 255) + 1)))
    if kind is op.CATEGORY:
        return _CLASSES.get(value) or "".join(letter for letter in _ALPHABET if letter not in _NEGATED.get(value, ""))
    return ""
