"""Reads a JSON Schema, or the request body of an OpenAPI operation, as a shape.

Understood: type (lists of types too), properties, required, items, enum, const, oneOf, anyOf, allOf, local $ref, nullable, limits of
numbers, texts and lists, the usual formats, examples and defaults. A `pattern` is met by the schema's own examples or default, and
otherwise by texts drawn from it; one that cannot be drawn from needs an example, because a text that only sometimes fits would make
valid bodies invalid. Other words that make bodies invalid (`not`, `if`, `uniqueItems` …) are left alone; with them what is made may be
refused (`understood`).
"""

from __future__ import annotations

from typing import Any, Final

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.pattern import matching
from chaosbot.core.shape import Array, Const, Flag, Integer, Number, Object, OneOf, Shape, Text

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
    for path, item in document["paths"].items():
        for method in _METHODS:
            details = item.get(method) if isinstance(item, dict) else None
            if not isinstance(details, dict):
                continue
            body = _Reader(document).resolve(details.get("requestBody", {}), "requestBody")
            content = body.get("content", {})
            schema = next((media.get("schema") for kind, media in content.items() if "json" in kind), None)
            names = (details.get("operationId", ""), f"{method.upper()} {path}")
            seen += [name for name in names if name]
            if schema is not None and (not operation or operation in names):
                return schema
    known = ", ".join(seen) or "none"
    raise ConfigError("operation", f"no operation {operation!r} with a JSON request body; Available: {known}")


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
                    raise ConfigError(where, f"$ref {reference!r} points nowhere")
                target = target[name]
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        if schema is True or schema is None:
            return {}
        if not isinstance(schema, dict):
            raise ConfigError(where, f"{schema!r} is no schema that anything fits")
        if "allOf" not in schema:
            return schema
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for number, part in enumerate(schema["allOf"]):
            other = self.resolve(part, f"{where}.allOf[{number}]")
            properties = {**merged.get("properties", {}), **other.get("properties", {})}
            required = [*merged.get("required", []), *other.get("required", [])]
            merged = {**other, **merged}
            merged |= {"properties": properties} if properties else {}
            merged |= {"required": required} if required else {}
        return merged

    def read(self, schema: Any, where: str, depth: int) -> Shape:
        """The shape of one schema."""
        schema = self.resolve(schema, where)
        if "const" in schema:
            return Const(schema["const"])
        if "enum" in schema:
            return OneOf(tuple(Const(value) for value in schema["enum"]))
        for word in ("oneOf", "anyOf"):
            if word in schema:
                rest = {key: value for key, value in schema.items() if key != word}
                options = [{"allOf": [rest, option]} if rest else option for option in schema[word]]
                shapes = [self.read(option, f"{where}.{word}[{n}]", depth + 1) for n, option in enumerate(options)]
                return OneOf(tuple(shapes))
        kind = schema.get("type") or ("object" if "properties" in schema else "array" if "items" in schema else None)
        if isinstance(kind, list):
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
                low, high = _bounds(schema, 1)
                return Integer(int(low), int(high), tuple(v for v in _examples(schema) if type(v) is int))
            case "number":
                low, high = _bounds(schema, 1e-9)
                return Number(float(low), float(high))
            case "boolean":
                return Flag()
            case "null":
                return Const(None)
            case None:
                return OneOf((Const({}), Text(0, 32), Integer(0, 100), Const(None)))
            case _:
                raise ConfigError(where, f"type {kind!r} is none of JSON Schema's")

    def _array(self, schema: dict[str, Any], where: str, depth: int) -> Shape:
        low = int(schema.get("minItems", 0))
        high = min(int(schema.get("maxItems", low + 3)), low + 10)
        if depth >= _DEEPEST and low == 0:
            return Const([])
        return Array(self.read(schema.get("items", True), f"{where}.items", depth + 1), low, max(low, high))

    def _object(self, schema: dict[str, Any], where: str, depth: int) -> Shape:
        if depth > 4 * _DEEPEST:
            raise ConfigError(where, "requires itself without end; no finite body fits")
        properties = schema.get("properties", {})
        names = set(schema.get("required", []))
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
    low = int(schema.get("minLength", 0))
    high = int(schema.get("maxLength", max(low, 256)))
    if "pattern" in schema and not examples:
        fixed = matching(str(schema["pattern"]), Dice(0).at(where), _DRAWN, low, high)
    if "pattern" in schema and not fixed:
        raise ConfigError(
            f"{where}.pattern", "is too intricate to draw from; add an example, so that valid bodies can be made"
        )
    if "pattern" in schema or fixed:
        return OneOf(tuple(Const(value) for value in fixed))
    return Text(low, min(high, max(low, 4096)), hostile=True)


def _bounds(schema: dict[str, Any], step: float) -> tuple[float, float]:
    """The ends of a number; exclusive ones are numbers in newer drafts and flags in older ones."""
    low, high = schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1)
    for key, side in (("exclusiveMinimum", 0), ("exclusiveMaximum", 1)):
        value = schema.get(key)
        if value is True:
            low, high = (low + step, high) if side == 0 else (low, high - step)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            low, high = (value + step, high) if side == 0 else (low, value - step)
    return (low, max(low, high))
