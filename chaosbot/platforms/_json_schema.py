"""Reads a JSON Schema, or the request body of an OpenAPI operation, as a shape.

Understood: type (lists of types too), properties, required, items, enum, const, oneOf, anyOf, allOf, local $ref, nullable, limits of
numbers, texts and lists, the usual formats, examples and defaults. Whatever is drawn keeps all limits that stand beside each other; what
the schema itself lists (enum, examples, default) is taken only where it keeps them too. A `pattern` is met by the schema's own examples or default, and
otherwise by texts drawn from it; one that cannot be drawn from needs an example, because a text that only sometimes fits would make
valid bodies invalid. Other words that make bodies invalid (`not`, `if`, `uniqueItems` …) are left alone; with them what is made may be
refused (`understood`).
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable
from itertools import combinations
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
    | {"patternProperties", "unevaluatedProperties", "unevaluatedItems", "additionalItems"}
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


def understood(document: Any, operation: str = "") -> bool:
    """Whether `shape_of` takes no body for valid that a document forbids."""
    return _known(document) and _reading(document, operation)[1]


def _known(document: Any) -> bool:
    """Whether a document has none of the words that are not read."""
    if isinstance(document, dict):
        known = not (_UNREAD & document.keys()) and str(document.get("format", "uuid")) in _FORMATS
        return known and all(map(_known, document.values()))
    return not isinstance(document, list) or all(map(_known, document))


def shape_of(document: Any, operation: str = "") -> Shape:
    """The shape of valid bodies.

    Args:
        document: A JSON Schema or an OpenAPI document.
        operation: Which operation of the latter: its operationId, or ``POST /path``; by default the first with a JSON body.

    Raises:
        ConfigError: What cannot be understood, with its place in the document.
    """
    return _reading(document, operation)[0]


def _reading(document: Any, operation: str) -> tuple[Shape, bool]:
    """The shape, and whether all of it is sure to be valid."""
    if not isinstance(document, (dict, bool)):
        raise ConfigError("schema", "is no JSON Schema; it must be an object")
    schema = document
    if isinstance(document, dict) and "paths" in document:
        schema = _request_body(document, operation)
    reader = _Reader(document)
    shape = reader.read(schema, "schema", 0)
    return shape, reader.sure


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
        self.sure = True
        """Whether what was read so far allows nothing that the document forbids."""

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
            for name in other.get("properties", {}).keys() & merged.get("properties", {}).keys():
                properties[name] = {"allOf": [merged["properties"][name], other["properties"][name]]}
            merged = self._narrowed(merged, other)
            merged |= {"properties": properties} if properties else {}
            merged |= {"required": required} if required else {}
        return merged

    def _narrowed(self, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        """The words of both: of two limits the narrower one, of two lists of values those in both."""
        both = {**other, **one}
        for word in one.keys() & other.keys() - {"properties", "required"} - _WORDLESS:
            first, second = one[word], other[word]
            if word in _LIMITS and all(
                isinstance(limit, (int, float)) and limit is not True for limit in (first, second)
            ):
                both[word] = max(first, second) if word in _LEAST else min(first, second)
            elif word == "enum" and isinstance(first, list) and isinstance(second, list):
                both[word] = [value for value in first if value in second]
            elif word == "type" and {str(first), str(second)} == {"integer", "number"}:
                both[word] = "integer"
            elif first != second:
                self.sure = False
        return both

    def read(self, schema: Any, where: str, depth: int) -> Shape:
        """The shape of one schema."""
        if depth > MOST_DEPTH:
            raise ConfigError(where, "goes on without end; no finite body fits")
        schema = self.resolve(schema, where)
        if "const" in schema:
            schema = {**schema, "enum": [schema["const"]]}
        if "enum" in schema:
            listed = [value for value in _given(schema, "enum", list, [], where) if _keeps(schema, value)]
            if not listed:
                raise ConfigError(f"{where}.enum", "none of its values keeps what the schema says besides")
            # Limits inside of objects and lists are looked at by nobody here.
            self.sure &= not (_NESTED & schema.keys())
            return Const(listed[0]) if len(listed) == 1 else OneOf(tuple(map(Const, listed)))
        for word in ("oneOf", "anyOf"):
            if word in schema:
                rest = {key: value for key, value in schema.items() if key != word}
                options = [
                    {"allOf": [rest, option]} if rest else option for option in _given(schema, word, list, [], where)
                ]
                self.sure &= word == "anyOf" or self._apart(options, where)
                shapes = [self.read(option, f"{where}.{word}[{n}]", depth + 1) for n, option in enumerate(options)]
                return OneOf(tuple(shapes))
        kind = schema.get("type") or next((kind for kind, words in _SAYS.items() if words & schema.keys()), None)
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
                usual = _FORMATS.get(str(schema.get("format")), ())
                self.sure &= not usual or any(_keeps(schema, value) for value in (*usual, *_examples(schema)))
                return _text(schema, where)
            case "integer":
                low, high = _bounds(schema, where, whole=True)
                return Integer(int(low), int(high), tuple(v for v in _examples(schema) if type(v) is int))
            case "number":
                low, high = _bounds(schema, where)
                return Number(float(low), float(high))
            case "boolean":
                return Flag()
            case "null":
                return Const(None)
            case None:
                return OneOf((Const({}), Text(0, 32), Integer(0, 100), Const(None)))
            case _:
                raise ConfigError(where, f"type {shown(kind)} is none of JSON Schema's")

    def _apart(self, options: list[Any], where: str) -> bool:
        """Whether nothing can fit two of these options, so that what fits one fits exactly one."""
        read = [self.resolve(option, where) for option in options]
        return all(
            _differ(one, other) or _lacks(one, other) or self._told_apart(one, other, where)
            for one, other in combinations(read, 2)
        )

    def _told_apart(self, one: dict[str, Any], other: dict[str, Any], where: str) -> bool:
        """Whether both require a member whose values (``"kind": "paid"``) tell objects of one from those of the other."""
        for name in {*one.get("required", ())} & {*other.get("required", ())}:
            members = [self.resolve(each.get("properties", {}).get(name), where) for each in (one, other)]
            if _differ(*members):
                return True
        return False

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
        more = schema.get("additionalProperties", True)
        for name in sorted(names - properties.keys()):
            self.sure &= more is not False
            required[name] = Text(1, 16) if isinstance(more, bool) else self.read(more, f"{where}.{name}", depth + 1)
        return Object(required, optional)


def _examples(schema: dict[str, Any]) -> tuple[Any, ...]:
    """Values that the schema itself gives, where they keep its limits."""
    found = [*schema.get("examples", ())] if isinstance(schema.get("examples"), list) else []
    found += [schema[key] for key in ("example", "default") if key in schema]
    return tuple(value for value in found if _keeps(schema, value))


_KINDS: Final[dict[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int or (isinstance(value, float) and value.is_integer()),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_LEAST: Final = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems"})
_LIMITS: Final = _LEAST | {"maximum", "exclusiveMaximum", "maxLength", "maxItems"}
_NESTED: Final = frozenset(
    {"properties", "required", "items", "additionalProperties", "minItems", "maxItems", "oneOf", "anyOf"}
)
_WORDLESS: Final = frozenset(
    {"title", "description", "example", "examples", "default", "$comment", "deprecated", "$schema", "$id"}
)
"""Words that forbid nothing."""
_SAYS: Final = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"pattern", "format", "minLength", "maxLength"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
}
"""Where a schema names no type: the one that its other words are about."""


def _types(schema: dict[str, Any]) -> list[str]:
    """The names of the types that a schema allows; empty where it names none."""
    kinds = schema.get("type")
    return [str(kind) for kind in (kinds if isinstance(kinds, list) else [kinds] if kinds else [])]


def _keeps(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value keeps what a schema says of its type, its size and its form."""
    types = _types(schema)
    if value is None and schema.get("nullable"):
        return True
    if types and not any(_KINDS[kind](value) for kind in types if kind in _KINDS):
        return False
    if isinstance(value, str):
        low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if not low <= len(value) <= high:
            return False
        return "pattern" not in schema or _found(str(schema["pattern"]), value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = _bounds(schema, "")
        return (
            not {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"} & schema.keys() or low <= value <= high
        )
    return True


def _found(pattern: str, text: str) -> bool:
    """Whether a text has a piece that matches; true where the pattern is another dialect's, so that its own example decides."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def _lacks(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether what is drawn of each, which has the members that it names alone, lacks something that the other one requires."""
    needs = [{*each.get("required", ())} for each in (one, other)]
    names = [need | each.get("properties", {}).keys() for need, each in zip(needs, (one, other), strict=True)]
    return bool(needs[0] - names[1] and needs[1] - names[0])


def _differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether no value can fit both, by type or by the values that they list."""
    types = [{*_types(each)} for each in (one, other)]
    if all(types) and not types[0] & types[1] and not all(kinds & {"integer", "number"} for kinds in types):
        return True
    listed = [each["enum"] if "enum" in each else [each["const"]] if "const" in each else None for each in (one, other)]
    if listed[0] is None or listed[1] is None:
        return False
    return not any(value in listed[1] for value in listed[0])


def _text(schema: dict[str, Any], where: str) -> Shape:
    examples = tuple(value for value in _examples(schema) if isinstance(value, str))
    usual = _FORMATS.get(str(schema.get("format")), ())
    fixed = examples or tuple(value for value in usual if _keeps(schema, value))
    low = _size(schema, "minLength", 0, MOST_LENGTH, where)
    high = _size(schema, "maxLength", max(low, 256), MOST_LENGTH, where)
    if low > high:
        raise ConfigError(f"{where}.minLength", f"{low} is more than maxLength, {high}; no text fits")
    if "pattern" in schema and not fixed:
        fixed = matching(str(schema["pattern"]), Dice(0).at(where), _DRAWN, low, high)
    if "pattern" in schema and not fixed:
        raise ConfigError(
            f"{where}.pattern", "is too intricate to draw from; add an example, so that valid bodies can be made"
        )
    if "pattern" in schema or fixed:
        return OneOf(tuple(Const(value) for value in fixed))
    return Text(low, min(high, max(low, 4096)), hostile=True)


def _bounds(schema: dict[str, Any], where: str, *, whole: bool = False) -> tuple[float, float]:
    """The ends of a number, the narrower one of two; exclusive ones are numbers in newer drafts and flags in older ones.

    Raises:
        ConfigError: One is no number, or no number lies between them.
    """
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, (int, float)) or 1e300 <= abs(bound) < math.inf:
            raise ConfigError(where, f"{shown(bound)} is no bound of a number")
    for key, side in (("exclusiveMinimum", 0), ("exclusiveMaximum", 1)):
        value = schema.get(key)
        if value is True:
            value = low if side == 0 else high
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
            continue
        if side == 0:
            low = max(low, _next(value, math.inf, whole=whole))
        else:
            high = min(high, _next(value, -math.inf, whole=whole))
    if low == -math.inf:
        low = min(-(2**31), high - 2**31) if high < math.inf else -(2**31)
    if high == math.inf:
        high = max(2**31 - 1, low + 2**31)
    if whole:
        low, high = math.ceil(low), math.floor(high)
    if low > high:
        raise ConfigError(where, f"no {'whole ' * whole}number lies from {shown(low)} to {shown(high)}")
    return low, high


def _next(bound: float, towards: float, *, whole: bool) -> float:
    """The number after a bound that does not itself count."""
    if not whole:
        return math.nextafter(bound, towards)
    return math.floor(bound) + 1 if towards > 0 else math.ceil(bound) - 1


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
