"""What other tools wrote down becomes requests: HAR, Postman collections, OpenAPI documents."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.platform import PLATFORMS, Endpoint, platform_of
from chaosbot.load.sources import Corpus
from chaosbot.transport.recordings import requests_in, samples_in

HAR = {
    "log": {
        "entries": [
            {
                "request": {
                    "method": "POST",
                    "url": "https://shop.example/orders?draft=1",
                    "headers": [
                        {"name": ":authority", "value": "shop.example"},
                        {"name": "Host", "value": "shop.example"},
                        {"name": "Content-Length", "value": "999"},
                        {"name": "Content-Type", "value": "application/json"},
                    ],
                    "postData": {"mimeType": "application/json", "text": '{"item": "чай"}'},
                }
            },
            {"request": {"method": "GET", "url": "https://shop.example/orders/7", "headers": []}},
            {"request": {"method": "GET", "url": "https://shop.example/orders/7", "headers": []}},
        ]
    }
}
POSTMAN = {
    "info": {"schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json", "name": "shop"},
    "variable": [{"key": "base", "value": "https://shop.example/api"}, {"key": "id", "value": "7"}],
    "item": [
        {
            "name": "orders",
            "item": [
                {
                    "name": "create",
                    "request": {
                        "method": "POST",
                        "url": {"raw": "{{base}}/orders"},
                        "header": [
                            {"key": "X-Id", "value": "{{id}}"},
                            {"key": "X-Off", "value": "1", "disabled": True},
                        ],
                        "body": {
                            "mode": "raw",
                            "raw": '{"id": {{id}}}',
                            "options": {"raw": {"language": "json"}},
                        },
                    },
                },
                {"name": "read", "request": "{{unknown}}/orders/7?full=yes"},
            ],
        },
        {
            "name": "form",
            "request": {
                "method": "POST",
                "url": "shop.example/form",
                "body": {"mode": "urlencoded", "urlencoded": [{"key": "a", "value": "b c"}]},
            },
        },
    ],
}
OPENAPI = {
    "openapi": "3.0.3",
    "servers": [{"url": "https://shop.example/v1"}],
    "paths": {
        "/orders/{id}": {
            "parameters": [
                {
                    "name": "id",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "integer", "minimum": 5, "maximum": 5},
                }
            ],
            "get": {"parameters": [{"name": "lang", "in": "query", "required": True, "example": "de"}]},
            "put": {
                "operationId": "changeOrder",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}},
            },
        }
    },
    "components": {
        "schemas": {"Order": {"type": "object", "required": ["item"], "properties": {"item": {"const": "tea"}}}}
    },
}


def written(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps(document))
    return path


def test_a_har_file_is_its_requests_to_our_host(tmp_path: Path) -> None:
    found = requests_in(written(tmp_path, HAR), "127.0.0.1:8000")
    assert list(found) == ["POST /orders", "GET /orders/7", "GET /orders/7 #2"]
    head, _, body = found["POST /orders"].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /orders?draft=1 HTTP/1.1",
        b"Host: 127.0.0.1:8000",
        b"Content-Type: application/json",
        f"Content-Length: {len(body)}".encode(),
    ]
    assert json.loads(body) == {"item": "чай"}


def test_a_postman_collection_is_its_requests_with_its_variables(tmp_path: Path) -> None:
    found = requests_in(written(tmp_path, POSTMAN), "h")
    assert list(found) == ["orders/create", "orders/read", "form"]
    create = found["orders/create"].decode()
    assert create.startswith("POST /api/orders HTTP/1.1\r\nHost: h\r\nX-Id: 7\r\nContent-Type: application/json\r\n")
    assert create.endswith('\r\n\r\n{"id": 7}')
    assert found["orders/read"].startswith(b"GET /orders/7?full=yes HTTP/1.1\r\n")
    assert found["form"].endswith(b"application/x-www-form-urlencoded\r\nContent-Length: 5\r\n\r\na=b+c")


def test_an_openapi_document_is_a_valid_request_of_each_operation(tmp_path: Path) -> None:
    found = requests_in(written(tmp_path, OPENAPI), "h")
    assert list(found) == ["GET /orders/{id}", "changeOrder"]
    assert found["GET /orders/{id}"].startswith(b"GET /v1/orders/5?lang=de HTTP/1.1\r\n")
    assert json.loads(found["changeOrder"].partition(b"\r\n\r\n")[2]) == {"item": "tea"}


@pytest.mark.parametrize("document", [HAR, POSTMAN, OPENAPI])
def test_each_of_them_is_a_source_of_load(tmp_path: Path, document: Any) -> None:
    corpus = Corpus(written(tmp_path, document), PLATFORMS.build("market"), Endpoint("127.0.0.1:1", "/", ""))
    (spec,) = corpus.journeys()
    assert [task.name for task in spec.tasks] == list(requests_in(tmp_path / "recorded.json", "h"))


def test_sample_bodies_come_from_the_requests_that_have_one(tmp_path: Path) -> None:
    assert samples_in(written(tmp_path, HAR)) == [{"item": "чай"}]
    assert samples_in(written(tmp_path, POSTMAN)) == [{"id": 7}]
    assert samples_in(written(tmp_path, {"item": "tea"})) == []  # a body itself
    with pytest.raises(ConfigError, match="describes bodies and is none; give it as schema=@"):
        samples_in(written(tmp_path, OPENAPI))
    with pytest.raises(ConfigError, match="holds no request with a JSON body"):
        samples_in(written(tmp_path, {"log": {"entries": []}}))


@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_recorded_body_that_is_too_deep_is_no_sample(tmp_path: Path, depth: int) -> None:
    post = {"method": "POST", "url": "http://h/a", "postData": {"text": "[" * depth + "]" * depth}}
    with pytest.raises(ConfigError, match="holds no request with a JSON body"):
        samples_in(written(tmp_path, {"log": {"entries": [{"request": post}]}}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no JSON"),
        ("[1]", "is neither a HAR file"),
        ('{"log": {"entries": [{}]}}', "is not as such a file should be"),
        ('{"log": {"entries": []}}', "holds no request"),
        (
            '{"log": {"entries": [{"request": {"method": "GET", "url": "/", "headers": [{"name": "a", "value": "b\\r\\nc"}]}}]}}',
            "line break",
        ),
    ],
)
def test_what_is_no_recording_is_told_with_its_path(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.har"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        requests_in(path, "h")


def test_each_kind_of_body_of_a_recording_is_a_valid_update(tmp_path: Path) -> None:
    from chaosbot.cli._options import choose_platform  # noqa: PLC0415 - the option that reads them

    bodies = [{"id": n, "type": kind} for n, kind in enumerate(("created", "paid", "paid", "created"))]
    bodies.append({"id": 9, "lines": [1]})
    sent = [{"request": {"method": "POST", "url": "/", "postData": {"text": json.dumps(body)}}} for body in bodies]
    path = written(tmp_path, {"log": {"entries": sent}})
    for name in ("json_webhook", "standard_webhooks"):
        goldens = platform_of(choose_platform(name, [f"sample=@{path}"])).golden(Dice(1))
        assert list(goldens) == ["sample", "paid", "sample-3"]
        assert goldens["sample-3"]["lines"] == [1]


def test_an_openapi_document_may_be_yaml(tmp_path: Path) -> None:
    path = tmp_path / "openapi.yaml"
    path.write_text("openapi: 3.0.3\npaths:\n  /orders:\n    get: {summary: since 2024-01-01}\n")
    assert list(requests_in(path, "h")) == ["GET /orders"]
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="is no YAML"):
        requests_in(path, "h")


def test_yaml_and_har_are_taken_where_a_body_or_a_schema_is_wanted(tmp_path: Path) -> None:
    from chaosbot.cli._options import choose_platform  # noqa: PLC0415 - the option that reads them

    (tmp_path / "api.yaml").write_text(
        "openapi: 3.0.3\npaths:\n  /o:\n    post:\n      requestBody:\n        content:\n          application/json:\n"
        "            schema: {type: object, properties: {n: {const: 3}}, required: [n]}\n"
    )
    choose_platform("json_webhook", [f"schema=@{tmp_path / 'api.yaml'}"])
    assert "чай" in choose_platform("json_webhook", [f"sample=@{written(tmp_path, HAR)}"])


def test_a_recording_of_many_equal_requests_is_read_in_linear_time(tmp_path: Path) -> None:
    entry = {"request": {"method": "POST", "url": "http://a/b", "headers": [], "postData": {"text": "{}"}}}
    path = tmp_path / "long.har"
    path.write_text(json.dumps({"log": {"entries": [entry] * 20_000}}))
    began = time.process_time()
    found = requests_in(path, "localhost")
    assert time.process_time() - began < 15
    assert (len(found), [*found][:2], [*found][-1]) == (20_000, ["POST /b", "POST /b #2"], "POST /b #20000")
