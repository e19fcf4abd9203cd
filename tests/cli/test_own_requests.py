"""Requests of one's own go where they say: no webhook is looked for, and that all are refused is no pass."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.support.campaigns import served

SHORT = ("--duration", "2s", "--json", "--quiet")
JOURNEY = """
from chaosbot.core.journey import JourneySpec, StreamAction, StreamSpec, Task
from chaosbot.core.platform import Request

def journeys():
    return (JourneySpec("reader", 1.0, (0.05, 0.1), (Task("read"),), range(10)),)

def build(task, user, ordinal, dice, endpoint):
    return Request(f"GET /here HTTP/1.1\\r\\nHost: {endpoint.host}\\r\\n\\r\\n".encode())
"""


class Rest(BaseHTTPRequestHandler):
    """A service of one page, which knows no POST."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/here" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def rest() -> Iterator[str]:
    with served(Rest) as url:
        yield url


def test_a_journey_of_rest_requests_needs_no_webhook(chaosbot: Callable, rest: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(JOURNEY)
    done = chaosbot("load", rest, "--journey", "own.py", "--users", "5", *SHORT)
    assert done.code == 0, done
    load = json.loads(done.out)["load"]
    assert (set(load["by_task"]), load["failed"]) == ({"read"}, 0)


def test_a_journey_of_streams_alone_leaves_the_webhook_to_the_platforms_requests(
    chaosbot: Callable, rest: str, tmp_path: Path
) -> None:
    scenario = 'StreamSpec("ticks", StreamAction.SUBSCRIBE, "/ws")'
    (tmp_path / "own.py").write_text(JOURNEY.partition("def journeys")[0] + f"def streams():\n    return ({scenario},)")
    done = chaosbot("load", rest, "--journey", "own.py", "--users", "5", *SHORT)
    assert done.code == 2
    assert "there is no webhook" in done.err
    done = chaosbot("load", rest, "--journey", "own.py", "--users", "5", "--class", "ticks=1", *SHORT)
    assert done.code == 1
    assert set(json.loads(done.out)["load"]["errors"]) == {"status_404"}


@pytest.mark.parametrize(
    ("path", "more", "code"), [("here", (), 0), ("nowhere", (), 3), ("nowhere", ("--accept-status", "404"), 0)]
)
def test_recorded_requests_that_are_all_refused_are_no_pass(
    chaosbot: Callable, rest: str, tmp_path: Path, path: str, more: tuple[str, ...], code: int
) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "one.http").write_bytes(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    done = chaosbot("load", rest, "--corpus", "corpus", "--rate", "20/s", *more, *SHORT)
    assert done.code == code, done
    refused = any(why.startswith("every request was refused (404)") for why in json.loads(done.out)["reasons"])
    assert refused is (code == 3)
