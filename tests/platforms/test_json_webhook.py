"""Any JSON webhook, from a sample or a schema."""

import json
import re
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.marker import MARKER
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.core.shape import problems, sample
from chaosbot.platforms._json_schema import read_schema
from chaosbot.platforms._patterns import found, matching
from chaosbot.platforms.json_webhook import JsonWebhook

MOST_S = 5.0
"""Without a bound the schemas below take minutes, or all memory."""
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
    shape = read_schema(ORDER)[0]
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
    deep = sample(read_schema(ORDER)[0], Dice(1), 1.0)
    assert "friend" in deep["customer"]
    json.dumps(deep)


@pytest.mark.parametrize(
    ("operation", "member"), [("", "title"), ("createOrder", "title"), ("POST /orders", "title"), ("PUT /ping", "ping")]
)
def test_an_openapi_operation_is_found_by_id_or_path(operation, member) -> None:
    assert member in sample(read_schema(OPENAPI, operation)[0], Dice(1), 1.0)


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
        read_schema(schema)


def test_a_pattern_is_met_by_the_schema_s_own_examples() -> None:
    schema = {"type": "string", "pattern": "^a+$", "examples": ["a", "aa"]}
    assert {sample(read_schema(schema)[0], Dice(n)) for n in range(20)} == {"a", "aa"}


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
    assert list(problems(read_schema(ORDER)[0], golden["minimal"])) == []


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
    assert 4 <= len(sample(read_schema(schema)[0], Dice(1))) <= 12


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
    assert read_schema(schema)[1]
    shape = read_schema(schema)[0]
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
        read_schema(schema)


TEN_OF_ITSELF = {"type": "object", "properties": {f"p{number}": {"$ref": "#"} for number in range(10)}}
TEN_REQUIRED = {
    "$ref": "#/d/0",
    "d": {
        str(level): {
            "type": "object",
            "required": [f"p{number}" for number in range(10)],
            "properties": {f"p{number}": {"$ref": f"#/d/{level + 1}"} for number in range(10)},
        }
        for level in range(8)
    }
    | {"8": {"type": "string"}},
}
LISTS = {"type": "array", "minItems": 10_000, "items": {"type": "array", "minItems": 10_000, "items": {}}}
NEST: dict[str, Any] = {"type": "string"}
for _ in range(6):
    NEST = {"anyOf": [NEST, NEST, {"allOf": [NEST, NEST]}]}
ALL_OF: dict[str, Any] = {"type": "string"}
for _ in range(200):
    ALL_OF = {"allOf": [ALL_OF]}


@pytest.mark.parametrize(
    "schema",
    [
        TEN_OF_ITSELF,
        Draft7Validator.META_SCHEMA,
        NEST,
        ALL_OF,
        {"type": "string", "minLength": 1 << 20},
        {"type": ["object", "array"] * 200, "properties": {f"p{n}": {"items": {"$ref": "#"}} for n in range(9)}},
        {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(50_000)}},
        {"oneOf": [{"type": "string"}] * 5000},
        {"type": "string", "pattern": "^(a+)+$", "examples": ["a" * 40 + "!"]},
        {"type": "string", "pattern": "^(a|a)*b{200}(a+)+c$"},
        {"type": "string", "pattern": "^((a{1,50}){1,50}){1,50}$", "minLength": 3},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_a_schema_without_end_is_read_as_far_as_a_body_goes(schema: dict[str, Any]) -> None:
    began = time.process_time()
    bodies = JsonWebhook(schema=schema).golden(Dice(1))
    assert time.process_time() - began < MOST_S
    assert len(json.dumps(bodies)) < 16 << 20


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (TEN_REQUIRED, "describes more than can be made of it"),
        (LISTS, "asks for bodies of more than 2 MB"),
        ({"$ref": "#"}, "goes in circles"),
        ({"allOf": [{"$ref": "#"}]}, "contains itself"),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "describes more|goes on without end"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "use local references"),
        ({"$ref": "file:///etc/passwd"}, "use local references"),
        (Draft202012Validator.META_SCHEMA, "use local references"),
        ({"enum": []}, "enum: is empty"),
        ({"type": "array", "minItems": 10**9}, "the most that is made"),
        ({"type": "string", "minLength": 10**9}, "the most that is made"),
        ({"type": "string", "minLength": 5, "maxLength": 1}, "no text fits"),
        ({"type": "integer", "minimum": 5, "maximum": 1}, "no whole number lies"),
        ({"type": "string", "pattern": "(((a{100}){100}){100}){100}"}, "too intricate"),
        ({"type": "string", "pattern": "a{4294967294}"}, "too intricate"),
        ({"type": "string", "pattern": "a{99999999999999999999}"}, "too intricate"),
        ({"type": "string", "pattern": "^(?=(a+)+$)a{30}$"}, "too intricate"),
        ({"type": "string", "pattern": "^(a+)+$", "enum": ["a" * 40 + "!"]}, "none of its values"),
    ],
)
def test_a_schema_that_no_body_fits_is_refused_at_once(schema: dict[str, Any], says: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError, match=says):
        JsonWebhook(schema=schema)
    assert time.process_time() - began < MOST_S


PARTS = st.sampled_from(
    [
        *("a", "b", "[ab]", ".", "a*", "b+?", "(a|b)*", "(ab)?", "(a+b)+", "^", "$", r"\b", "(?=a)", "(?!b)", "(?<=a)"),
        *("(?<!ab)", "a{2,3}", "(a|bb){1,2}", "[^a]", r"\w", "(a*)*", "(?:a|ab)(?:c|bcd)?", "(?i:A)"),
    ]
)


@given(st.lists(PARTS, max_size=5).map("".join), st.text("abcd ", max_size=7))
def test_a_pattern_is_found_where_python_finds_it(pattern: str, text: str) -> None:
    assert found(pattern, text) in (None, re.search(pattern, text) is not None)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a+a+)+b", "(.*)*(.*)*c{3}$", "^(a|aa)+$", "(a{0,60}){60}b", "(a"])
def test_a_pattern_is_looked_for_in_bounded_time(pattern: str) -> None:
    began = time.process_time()
    assert not found(pattern, "a" * 3000 + "!")
    assert time.process_time() - began < MOST_S
