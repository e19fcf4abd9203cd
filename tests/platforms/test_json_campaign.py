"""Campaigns over a JSON webhook that was written without chaosbot in mind: strict where it validates, and with one bug when asked to."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from chaosbot.cli import app

SAMPLE = {
    "id": "ord_1",
    "type": "order.created",
    "email": "ada@example.com",
    "items": [{"sku": "ABC-1234", "quantity": 2}],
    "note": "please hurry",
}
TEXT = {"type": "string", "maxLength": 200}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "type", "email", "items"],
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 64},
        "type": {"enum": ["order.created", "order.cancelled"]},
        "email": {"type": "string", "pattern": r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$", "maxLength": 100},
        "items": {
            "type": "array",
            "minItems": 0,
            "maxItems": 5,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["sku", "quantity"],
                "properties": {
                    "sku": {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"},
                    "quantity": {"type": "integer", "minimum": 1, "maximum": 100},
                },
            },
        },
        "note": TEXT,
    },
}


def fits(order) -> bool:
    """What the schema says, written out by hand."""

    def text(value, most: int, pattern: str = "") -> bool:
        return isinstance(value, str) and len(value) <= most and re.search(pattern, value) is not None

    def item(value) -> bool:
        return (
            isinstance(value, dict)
            and value.keys() == {"sku", "quantity"}
            and text(value["sku"], 8, r"^[A-Z]{3}-\d{4}$")
            and type(value["quantity"]) is int
            and 1 <= value["quantity"] <= 100
        )

    if (
        not isinstance(order, dict)
        or not {"id", "type", "email", "items"} <= order.keys() <= SCHEMA["properties"].keys()
    ):
        return False
    return (
        text(order["id"], 64, ".|\n")
        and order["type"] in ("order.created", "order.cancelled")
        and text(order["email"], 100, r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$")
        and isinstance(order["items"], list)
        and len(order["items"]) <= 5
        and all(item(one) for one in order["items"])
        and ("note" not in order or text(order["note"], 200))
    )


class Orders(ThreadingHTTPServer):
    """Takes orders; `careless` looks at the first item of an order that has none."""

    daemon_threads = True
    request_queue_size = 64
    careless = False

    def handle_error(self, request, client_address) -> None:
        """Cases that hang up are part of the test."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def log_message(self, *_) -> None:
        pass

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.headers.get("X-Webhook-Secret", "") != "hook-secret-1":
            return self.answer(401)
        if not (length.isascii() and length.isdigit()) or len(length) > 6:
            return self.answer(413 if length.isdigit() else 411)
        try:
            order = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            return self.answer(400)
        if not fits(order):
            return self.answer(422)
        return self.answer(500 if self.server.careless and not order["items"] else 202)

    def answer(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def orders() -> Iterator[Orders]:
    server = Orders(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def fuzzed(orders, tmp_path, monkeypatch):
    monkeypatch.setenv("HOOK", "hook-secret-1")

    def fuzz(option: str, content: object) -> tuple[int, list[dict]]:
        (tmp_path / "given.json").write_text(json.dumps(content))
        out = tmp_path / "run"
        arguments = ["fuzz", f"http://127.0.0.1:{orders.server_address[1]}/hook", "--platform", "json_webhook"]
        arguments += [
            "--platform-option",
            f"{option}=@{tmp_path / 'given.json'}",
            "--secret-env",
            "HOOK",
            "--seed",
            "2",
        ]
        arguments += ["--duration", "60s", "--max-examples", "150", "--case", "json/*", "--case", "auth/*"]
        result = CliRunner().invoke(app, [*arguments, "--out", str(out), "--corpus", str(tmp_path / "corpus")])
        return result.exit_code, json.loads((out / "report.json").read_text())["findings"]

    return fuzz


@pytest.mark.parametrize(
    ("option", "content"), [("sample", SAMPLE), pytest.param("schema", SCHEMA, marks=pytest.mark.slow)]
)
def test_a_strict_webhook_that_does_what_it_says_has_no_finding(fuzzed, option, content) -> None:
    assert fuzzed(option, content) == (0, [])


@pytest.mark.parametrize(
    ("option", "content"), [pytest.param("sample", SAMPLE, marks=pytest.mark.slow), ("schema", SCHEMA)]
)
@pytest.mark.slow
def test_a_bug_behind_the_validation_is_found(orders, fuzzed, option, content) -> None:
    orders.careless = True
    code, findings = fuzzed(option, content)
    # At most twice: by the member that does it, and by the smallest valid update, which holds that member too.
    assert code == 1
    assert [finding["check"] for finding in findings] in (["no_server_error"], ["no_server_error"] * 2), findings
