"""Requests that other tools wrote down: HAR files (browsers, mitmproxy, `chaosbot proxy --record`), Postman collections (v2), OpenAPI documents.

`requests_in` gives each request a name and the bytes that leave; whose host it was recorded at does not matter, all go to one target.
Headers that belong to a connection (`Host`, `Content-Length`, `Connection` …) are made anew.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.jsontext import read_json
from chaosbot.files import read_bytes, yaml_as_json

MOST_BYTES: Final = 1 << 28
_SAMPLES: Final = 24
_KINDS: Final = frozenset({"type", "event", "event_type", "kind", "action", "topic", "object"})
METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")
_MADE_ANEW: Final = frozenset(
    {
        "host",
        "content-length",
        "connection",
        "transfer-encoding",
        "keep-alive",
        "upgrade",
        "te",
        "proxy-connection",
        "expect",
    }
)
_VARIABLE: Final = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")

Headers = list[tuple[str, str]]


def requests_in(path: Path, host: str) -> dict[str, bytes]:
    """The requests of a file by their names; several of one name are numbered.

    Args:
        path: A HAR file, a Postman collection, or an OpenAPI document (JSON or YAML).
        host: What the `Host` header says.

    Raises:
        ConfigError: It cannot be read, or is none of the three.
    """
    document = _document(path)
    found: dict[str, bytes] = {}
    numbers: Counter[str] = Counter()
    for name, method, target, headers, body in _requests(document, str(path)):
        numbers[name] += 1
        unique = name if numbers[name] == 1 else f"{name} #{numbers[name]}"
        while unique in found:  # so another one is called
            numbers[name] += 1
            unique = f"{name} #{numbers[name]}"
        found[unique] = _encoded(method, target, headers, body, host)
    if not found:
        raise ConfigError(str(path), "holds no request; record some, or name another file")
    return found


def samples_in(path: Path) -> list[Any]:
    """The JSON bodies that a recording sends, one of each form and kind, in its order; none when the file is no recording.

    Raises:
        ConfigError: It is one, without a JSON body; or it describes bodies rather than holding any.
    """
    try:
        document = _document(path)
    except ConfigError:
        return []
    if isinstance(document, dict) and "paths" in document and ("openapi" in document or "swagger" in document):
        raise ConfigError(str(path), f"describes bodies and is none; give it as schema=@{path}")
    if not isinstance(document, dict) or not ("log" in document or ("item" in document and "info" in document)):
        return []
    found: dict[str, Any] = {}
    for _, _, _, _, body in _requests(document, str(path)):
        try:
            value = read_json(body)
            form = repr(_form(value))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, (dict, list)):
            found.setdefault(form, value)
    if not found:
        raise ConfigError(str(path), "holds no request with a JSON body; record one, or give a body as sample=@FILE")
    return list(found.values())[:_SAMPLES]


def _form(value: Any, name: str = "") -> Any:
    """What is the same in bodies of one kind: their members and types, and the values by which kinds are told apart."""
    if isinstance(value, dict):
        return {key: _form(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_form(one) for one in value[:1]]
    return value if name in _KINDS else type(value).__name__


def _document(path: Path) -> Any:
    try:
        text = read_bytes(path, most=MOST_BYTES, remedy="name a recording").decode("utf-8-sig")
        return read_json(yaml_as_json(text) if path.suffix in (".yaml", ".yml") else text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            str(path),
            f"is no {'YAML' if path.suffix in ('.yaml', '.yml') else 'JSON'} ({error}); save it again, or name another file",
        ) from None


def _requests(document: Any, where: str) -> Iterator[tuple[str, str, str, Headers, bytes]]:
    try:
        if isinstance(document, dict) and "log" in document:
            found = _har(document)
        elif isinstance(document, dict) and "item" in document:
            values = {str(one["key"]): str(one.get("value", "")) for one in document.get("variable", ())}
            found = _postman(document, values, "")
        elif isinstance(document, dict) and "paths" in document:
            found = _openapi(document)
        else:
            raise ConfigError(
                where,
                "is neither a HAR file, nor a Postman collection (v2), nor an OpenAPI document; export one of them",
            )
        for name, method, target, headers, body in found:
            "".join((name, method, target, *chain.from_iterable(headers))).encode()  # all of it is text
            yield name, method, target, headers, body
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ConfigError(where, f"is not as such a file should be ({type(error).__name__}: {error})") from None


def _har(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Headers, bytes]]:
    for entry in document["log"]["entries"]:
        request = entry["request"]
        headers = [(one["name"], one["value"]) for one in request.get("headers", ())]
        post = request.get("postData") or {}
        text = post.get("text")
        if text is None:
            text = urlencode([(one["name"], one.get("value", "")) for one in post.get("params", ())])
        target = _target(request["url"])
        yield f"{request['method']} {target.partition('?')[0]}", request["method"], target, headers, text.encode()


def _postman(
    folder: Mapping[str, Any], values: Mapping[str, str], above: str
) -> Iterator[tuple[str, str, str, Headers, bytes]]:
    def filled(text: str) -> str:
        return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), text)

    for item in folder["item"]:
        name = f"{above}{item.get('name', 'request')}"
        if "item" in item:
            yield from _postman(item, values, f"{name}/")
            continue
        request = item["request"]
        if isinstance(request, str):
            request = {"url": request}
        url = request["url"]
        raw = url if isinstance(url, str) else url.get("raw", "/")
        said = request.get("header") or []
        headers = [(one["key"], filled(str(one.get("value", "")))) for one in said if not one.get("disabled")]
        body = request.get("body") or {}
        content = filled(body.get("raw") or "")
        if body.get("mode") == "urlencoded":
            pairs = [
                (one["key"], filled(str(one.get("value", "")))) for one in body["urlencoded"] if not one.get("disabled")
            ]
            content = urlencode(pairs)
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        elif body.get("options", {}).get("raw", {}).get("language") == "json":
            headers.append(("Content-Type", "application/json"))
        yield name, request.get("method", "GET"), _target(filled(raw)), headers, content.encode()


def _openapi(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Headers, bytes]]:
    servers = document.get("servers") or [{}]
    base = urlsplit(str(servers[0].get("url", ""))).path.rstrip("/")
    for path, item in document["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            operation = item[method]
            target, query, headers = base + path, [], []
            for parameter in [*item.get("parameters", ()), *operation.get("parameters", ())]:
                if parameter.get("in") == "path":
                    target = target.replace(f"{{{parameter['name']}}}", quote(_value(document, parameter), safe=""))
                elif parameter.get("required") and parameter.get("in") == "query":
                    query.append((parameter["name"], _value(document, parameter)))
                elif parameter.get("required") and parameter.get("in") == "header":
                    headers.append((parameter["name"], _value(document, parameter)))
            body = b""
            if any("json" in kind for kind in operation.get("requestBody", {}).get("content", {})):
                made = _sample(document, f"{method.upper()} {path}", at=(method, path))
                body = json.dumps(made).encode()
                headers.append(("Content-Type", "application/json"))
            name = operation.get("operationId") or f"{method.upper()} {path}"
            yield name, method.upper(), target + (f"?{urlencode(query)}" if query else ""), headers, body


def _value(document: Mapping[str, Any], parameter: Mapping[str, Any]) -> str:
    """A value that a parameter takes."""
    if "example" in parameter:
        return str(parameter["example"])
    schema = {**parameter.get("schema", {"type": "integer"}), "components": document.get("components", {})}
    made = _sample(schema, at=(parameter["name"],))
    return str(made).lower() if isinstance(made, bool) else str(made)


def _sample(schema: Mapping[str, Any], *place: str, at: tuple[str, ...]) -> Any:
    """A value that a schema, or what is at a place of an OpenAPI document, takes."""
    from chaosbot.core.shape import sample  # noqa: PLC0415 - only a description needs these
    from chaosbot.platforms._json_schema import read_schema  # noqa: PLC0415

    return sample(read_schema(schema, *place)[0], Dice(0).at("openapi", *at), 1.0)


def _target(url: str) -> str:
    """What stands in the request line for a URL; a variable or a host without a scheme in front of the path is left out."""
    rest = url.partition("}}")[2] if url.startswith("{{") else url
    parts = urlsplit(rest if "://" in rest or rest.startswith("/") else f"//{rest}")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return path + (f"?{quote(parts.query, safe='/%:@!$&()*+,;=?~-._')}" if parts.query else "")


def _encoded(method: str, target: str, headers: Headers, body: bytes, host: str) -> bytes:
    kept: dict[str, tuple[str, str]] = {}
    lines = [f"{method.upper()} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in headers:
        if name.lower() not in _MADE_ANEW and not name.startswith(":") and name.lower() not in kept:
            kept[name.lower()] = (name, value)
    lines += [f"{name}: {value}" for name, value in kept.values()]
    if body or method.upper() in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ConfigError(method, "a recorded header holds a line break")
    return "\r\n".join([*lines, "", ""]).encode("utf-8") + body
