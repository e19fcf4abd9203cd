"""Reads a JSON Schema, or the request body of an OpenAPI operation, as a shape.

Understood: type (lists of types too), properties, required, items, enum, const, oneOf, anyOf, allOf, local $ref, nullable, limits of
numbers, texts and lists, the usual formats, examples and defaults. Whatever is drawn keeps all limits that stand beside each other; what
the schema itself lists (enum, examples, default) is taken only where it keeps them too. A `pattern` is met by the schema's own examples or default, and
otherwise by texts drawn from it; one that cannot be drawn from needs an example, because a text that only sometimes fits would make
valid bodies invalid. Other words that make bodies invalid (`not`, `if`, `uniqueItems` …) are left alone; with them what is made may be
refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import combinations
from typing import Any, Final, TypeVar

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, shown
from chaosbot.core.shape import Array, Const, Flag, Integer, Number, Object, OneOf, Shape, Text
from chaosbot.platforms._patterns import found, matching

T = TypeVar("T")

MOST_DEPTH: Final = 64
MOST_ITEMS: Final = 10_000
MOST_LENGTH: Final = 1 << 20
MOST_VALUES: Final = 50_000
"""So many values a body with everything in it has at most, where that depends on what is left out."""
MOST_SIZE: Final = 2 << 20
"""So many characters and values what a body must hold has at most."""
_DEEPEST: Final = 8
_LESS_DEEP: Final = (_DEEPEST, 5, 3, 2, 1, 0)
_STEPS: Final = 40_000
_A_SHAPE: Final = 8
_MOST_APART: Final = 64
_DRAWN: Final = 8
_UNREAD: Final = frozenset(
    {"not", "if", "dependentRequired", "dependentSchemas", "uniqueItems", "multipleOf", "contains", "minContains"}
    | {"minProperties", "maxProperties", "propertyNames", "prefixItems", "contentEncoding", "contentMediaType"}
    | {"patternProperties", "unevaluatedProperties", "unevaluatedItems", "additionalItems"}
)
"""Words that forbid some of what `read_schema` reads."""
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


def _known(document: Any) -> bool:
    """Whether a document has none of the words that are not read."""
    if isinstance(document, dict):
        known = not (_UNREAD & document.keys()) and str(document.get("format", "uuid")) in _FORMATS
        return known and all(map(_known, document.values()))
    return not isinstance(document, list) or all(map(_known, document))


def read_schema(document: Any, operation: str = "") -> tuple[Shape, bool]:
    """The shape of valid bodies, and whether it takes no body for valid that the document forbids.

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
    for deepest in _LESS_DEEP:
        reader = _Reader(document, deepest)
        try:
            shape = reader.read(schema, "schema", 0)
            sure = reader.sure and _known(document)
        except _Grows:
            continue
        except RecursionError:
            raise ConfigError("schema", "contains itself, or is nested too deeply; no finite body fits") from None
        if _size_of(shape, 0) > MOST_SIZE:
            raise ConfigError(
                "schema", f"asks for bodies of more than {MOST_SIZE >> 20} MB; lower its minItems and minLength"
            )
        if deepest == 0 or _size_of(shape, 1) <= MOST_VALUES:
            return shape, sure
    raise ConfigError("schema", "describes more than can be made of it; give the schema of one event, or a sample")


class _Grows(Exception):
    """A schema describes more than is read of it."""


def _size_of(shape: Shape, share: int) -> int:
    """How much a body holds: with a share of 0 characters and values that it must have, with 1 the values of one that has everything."""
    match shape:
        case Text(low):
            return 1 if share else low + 1
        case Array(item, low, high):
            times = (low + high + 1) // 2 if share else low
            return 1 + times * _size_of(item, share) if times else 1
        case Object(required, optional):
            inner = (*required.values(), *(optional.values() if share else ()))
            return 1 + sum(_size_of(each, share) for each in inner)
        case OneOf(options):
            return (max if share else min)(_size_of(each, share) for each in options)
        case _:
            return 1


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

    def __init__(self, document: Any, deepest: int = _DEEPEST) -> None:
        self._document = document
        self._deepest = deepest
        self._left = _STEPS
        self.sure = True
        """Whether what was read so far allows nothing that the document forbids."""

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise _Grows

    def _one_of(self, options: Sequence[Any], read: Callable[[int, Any], Shape], depth: int) -> Shape:
        """One of these; beyond the depth up to which all is read the first that can be read."""
        if depth <= self._deepest and self._deepest:
            return OneOf(tuple(read(number, option) for number, option in enumerate(options)))
        for number, option in enumerate(options[:-1]):
            with suppress(ConfigError):
                return read(number, option)
        return read(len(options) - 1, options[-1])

    def resolve(self, schema: Any, where: str) -> dict[str, Any]:
        """Follows local references, and merges what allOf lists."""
        self._spend(1)
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
        self._spend(_A_SHAPE)
        if depth > MOST_DEPTH:
            raise ConfigError(where, "goes on without end; no finite body fits")
        schema = self.resolve(schema, where)
        if "const" in schema:
            schema = {**schema, "enum": [schema["const"]]}
        if "enum" in schema:
            self._spend(len(_given(schema, "enum", list, [], where)) // 2)
            listed = [value for value in schema["enum"] if _keeps(schema, value)]
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
                return self._one_of(
                    options,
                    lambda n, option, word=word: self.read(option, f"{where}.{word}[{n}]", depth + 1),  # type: ignore[misc]
                    depth,
                )
        kind = schema.get("type") or next((kind for kind, words in _SAYS.items() if words & schema.keys()), None)
        if isinstance(kind, list) and kind:
            kinds = list(dict.fromkeys(map(str, kind)))
            return self._one_of(kinds, lambda _, one: self.read({**schema, "type": one}, where, depth), depth)
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
        if len(options) > _MOST_APART:
            return False
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
        if depth >= self._deepest and low == 0:
            return Const([])
        return Array(self.read(schema.get("items", True), f"{where}.items", depth + 1), low, max(low, high))

    def _object(self, schema: dict[str, Any], where: str, depth: int) -> Shape:
        if depth > 4 * _DEEPEST:
            raise ConfigError(where, "requires itself without end; no finite body fits")
        properties = _given(schema, "properties", dict, {}, where)
        names = {str(name) for name in _given(schema, "required", list, [], where)}
        self._spend(len(properties) // 2)
        required: dict[str, Shape] = {}
        optional: dict[str, Shape] = {}
        for name, inner in properties.items():
            # Beyond the bound only what must be there is written out, so recursion through optional members ends.
            if name in names:
                required[name] = self.read(inner, f"{where}.{name}", depth + 1)
            elif depth < self._deepest:
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
        # Where the pattern is another dialect's, or too intricate, its own example decides.
        return "pattern" not in schema or found(str(schema["pattern"]), value) is not False
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = _bounds(schema, "")
        return (
            not {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"} & schema.keys() or low <= value <= high
        )
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
