"""Any JSON webhook, from a sample or a schema."""

import json
import re

import jsonschema
import pytest

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.marker import MARKER
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.core.shape import problems, sample
from chaosbot.platforms._json_schema import matching, shape_of, understood
from chaosbot.platforms.json_webhook import JsonWebhook

ORDER = {
    "type": "object",
    "required": ["id", "customer", "lines"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "customer": {"$ref": "#/$defs/Customer"},
        "lines": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"$ref": "#/$defs/Line"}},
        "note": {"type": ["string", "null"], "maxLength": 20},
        "status": {"enum": ["open", "paid"]},
        "total": {"type": "number", "minimum": 0, "exclusiveMaximum": 100},
    },
    "$defs": {
        "Customer": {
            "allOf": [
                {
                    "type": "object",
                    "required": ["email"],
                    "properties": {"email": {"type": "string", "format": "email"}},
                },
                {"properties": {"friend": {"$ref": "#/$defs/Customer"}}},
            ]
        },
        "Line": {
            "oneOf": [
                {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string", "minLength": 3}}},
                {"type": "object", "required": ["count"], "properties": {"count": {"type": "integer", "minimum": 1}}},
            ]
        },
    },
}

OPENAPI = {
    "openapi": "3.1.0",
    "paths": {
        "/health": {"get": {"operationId": "health"}},
        "/orders": {
            "post": {
                "operationId": "createOrder",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}},
            }
        },
        "/ping": {
            "put": {
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"type": "object", "properties": {"ping": {"const": 1}}}}
                    }
                }
            }
        },
    },
    "components": {
        "schemas": {"Order": {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}}}
    },
}


def test_bodies_drawn_from_a_schema_fit_it() -> None:
    shape = shape_of(ORDER)
    for number in range(200):
        body = sample(shape, Dice(number), 0.5)
        assert list(problems(shape, body)) == []
        assert "@" in body["customer"]["email"]
        assert 1 <= len(body["lines"]) <= 3
        assert all(("sku" in line and len(line["sku"]) >= 3) or line["count"] >= 1 for line in body["lines"])
        assert body.get("status") in (None, "open", "paid")
        assert 0 <= body.get("total", 0) < 100
        assert body.get("note") is None or len(body["note"]) <= 20


def test_recursion_through_optional_members_ends() -> None:
    deep = sample(shape_of(ORDER), Dice(1), 1.0)
    assert "friend" in deep["customer"]
    json.dumps(deep)


@pytest.mark.parametrize(
    ("operation", "member"), [("", "title"), ("createOrder", "title"), ("POST /orders", "title"), ("PUT /ping", "ping")]
)
def test_an_openapi_operation_is_found_by_id_or_path(operation, member) -> None:
    assert member in sample(shape_of(OPENAPI, operation), Dice(1), 1.0)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("no object", "no JSON Schema"),
        ({"$ref": "#/nowhere"}, "points nowhere"),
        ({"$ref": "http://example.com/x"}, "leaves the document"),
        ({"$ref": "#"}, "circles"),
        ({"type": "string", "pattern": "^(?=.*a)b$"}, "add an example"),
        ({"type": "chaos"}, "none of JSON Schema's"),
        (False, "no schema"),
        ({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}, "without end"),
        ({"paths": {}}, "no operation"),
    ],
)
def test_what_cannot_be_understood_is_named_with_its_place(schema, words) -> None:
    with pytest.raises(ConfigError, match=words):
        shape_of(schema)


def test_a_pattern_is_met_by_the_schema_s_own_examples() -> None:
    schema = {"type": "string", "pattern": "^a+$", "examples": ["a", "aa"]}
    assert {sample(shape_of(schema), Dice(n)) for n in range(20)} == {"a", "aa"}


def test_a_sample_may_be_text_as_the_command_line_gives_it() -> None:
    platform = PLATFORMS.build("json-webhook", {"sample": '{"id": 7, "text": "hi"}', "header": "X-Key"})
    endpoint = Endpoint("h", "/hook", "topsecret")
    data = platform.encode(endpoint, platform.golden(Dice(1))["sample"])
    assert b"X-Key: topsecret\r\n" in data
    body = json.loads(data.partition(b"\r\n\r\n")[2])
    assert body["id"] != 7
    assert MARKER.search(body["text"])


def test_a_sample_that_is_no_json_is_refused() -> None:
    with pytest.raises(ConfigError, match="sample"):
        PLATFORMS.build("json_webhook", {"sample": "{broken"})


def test_each_delivery_has_an_id_and_marker_of_its_own() -> None:
    platform = JsonWebhook(sample={"event_id": "evt_00112233445566778899", "data": {"message": "hi"}, "n": [1, 2]})
    one, two = (platform.fresh(platform.golden(Dice(1))["sample"], Dice(1).at(word)) for word in "ab")
    assert one["event_id"].startswith("evt_")
    assert one["event_id"] != two["event_id"]
    assert one["n"] == [1, 2]
    facts = [platform.facts("POST", "/", (), json.dumps(body).encode()) for body in (one, two)]
    assert [f.update_id for f in facts] == [one["event_id"], two["event_id"]]
    assert facts[0].marker != facts[1].marker


def test_a_body_without_places_for_id_and_text_stays_as_it_is() -> None:
    platform = JsonWebhook(sample=[1, 2, 3])
    assert platform.golden(Dice(1))["sample"] == [1, 2, 3]
    assert platform.say("x", Dice(1)) is None


def test_a_schema_gives_a_minimal_and_a_full_body() -> None:
    golden = JsonWebhook(schema=ORDER).golden(Dice(1))
    assert golden["minimal"].keys() == {"id", "customer", "lines"}
    assert golden["full"].keys() == set(ORDER["properties"])
    assert list(problems(shape_of(ORDER), golden["minimal"])) == []


def test_generated_bodies_are_like_the_sample() -> None:
    platform = JsonWebhook(sample={"id": 1, "a": {"b": [True], "c": 1.5, "d": None}})
    body = sample(platform.shape(), Dice(3))
    assert body.keys() == {"id", "a"}
    assert body["a"].keys() == {"b", "c", "d"}
    assert body["a"]["d"] is None


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{3}-\d{4}$",
        r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
        r"^(foo|bar)+\.?$",
        r"^#([0-9a-fA-F]{3}){1,2}$",
        r"\W\S.[^a]",
    ],
)
def test_texts_are_drawn_from_a_pattern(pattern) -> None:
    texts = matching(pattern, Dice(3), 6)
    assert len(set(texts)) > 1
    assert all(re.search(pattern, text) for text in texts)
    assert texts == matching(pattern, Dice(3), 6)
    schema = {"type": "string", "pattern": pattern, "minLength": 4, "maxLength": 12}
    assert 4 <= len(sample(shape_of(schema), Dice(1))) <= 12


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?!a)b"])
def test_a_pattern_that_is_too_clever_gives_nothing(pattern) -> None:
    assert matching(pattern, Dice(3), 6) == ()


def test_only_a_schema_that_is_understood_says_what_is_valid() -> None:
    assert JsonWebhook(schema=ORDER).described
    assert not JsonWebhook(sample={"text": "hi"}).described
    assert not JsonWebhook(schema={"type": "object", "not": {"required": ["a"]}}).described
    assert not JsonWebhook(schema={"type": "string", "format": "iban"}).described


LIMITED = [
    {"type": "integer", "minimum": 1.5, "maximum": 3.5},
    {"type": "integer", "exclusiveMinimum": 1.5, "exclusiveMaximum": 3.5},
    {"type": "integer", "minimum": 0, "exclusiveMinimum": 5, "maximum": 9},
    {"type": "integer", "minimum": 2**40},
    {"type": "integer", "maximum": -(2**40)},
    {"type": "integer", "examples": [500, 7], "default": 0, "minimum": 1, "maximum": 100},
    {"type": "number", "exclusiveMinimum": 1e10, "maximum": 1.1e10},
    {"allOf": [{"type": "integer", "minimum": 5, "maximum": 90}, {"minimum": 10, "maximum": 12}]},
    {"allOf": [{"type": "string", "maxLength": 5}, {"maxLength": 3}]},
    {"allOf": [{"properties": {"a": {"type": "integer", "minimum": 5}}}, {"required": ["a"], "properties": {"a": {"maximum": 9}}}]},
    {"enum": ["a", 1, None], "type": "string"},
    {"type": "string", "format": "email", "maxLength": 15},
    {"type": "string", "default": "", "minLength": 1, "maxLength": 4},
    {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3, "examples": ["abcdef", "abc"]},
    {"minimum": 3, "maximum": 5},
    {"minLength": 3, "maxLength": 9},
    {"type": "object", "required": ["b"], "additionalProperties": {"type": "integer"}},
    {"oneOf": [{"properties": {"k": {"const": "a"}, "n": {"type": "integer"}}, "required": ["k"]},
               {"properties": {"k": {"const": "b"}, "n": {"type": "string"}}, "required": ["k"]}]},
]  # fmt: skip


@pytest.mark.parametrize("schema", LIMITED, ids=str)
def test_what_is_called_valid_is_valid_for_another_reader_of_schemas(schema) -> None:
    judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    assert understood(schema)
    shape = shape_of(schema)
    assert [body for number in range(100) if not judge.is_valid(body := sample(shape, Dice(number), 0.5))] == []


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 3}]},
        {"type": "object", "required": ["ab"], "patternProperties": {"^a": {"type": "integer"}}},
        {"type": "string", "format": "email", "maxLength": 5},
        {"allOf": [{"type": "string", "pattern": "a"}, {"pattern": "b"}]},
    ],
    ids=str,
)
def test_what_may_be_drawn_wrong_is_only_a_guess(schema) -> None:
    webhook = JsonWebhook(schema=schema)
    assert not webhook.described
    assert webhook.expected("full").statuses == {2, 4}


@pytest.mark.parametrize(
    "schema", [{"type": "integer", "minimum": 5, "maximum": 3}, {"type": "string", "minLength": 5, "maxLength": 3}]
)
def test_limits_that_nothing_keeps_are_refused(schema) -> None:
    with pytest.raises(ConfigError, match=r"no (whole number|text)|fits"):
        shape_of(schema)
