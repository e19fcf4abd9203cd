"""A service to which another status than 2xx is right says so once, in the same words for each verb that judges its answers."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import pytest

from tests.support.campaigns import served

LOAD = ("load", "--rate", "20/s", "--duration", "2s")
RUN = ("run", "--mode", "load", "--outbound", "off", "--profile", "steady", "--rate", "20/s", "--duration", "2s")
FUZZ = ("fuzz", "--case", "control/*", "--stages", "catalogue", "--duration", "2s", "--check", "valid_accepted")
MISSING = 404
SECRET = "s3cret-of-this-test"


class Elsewhere(BaseHTTPRequestHandler):
    """Takes all that it is told, and answers as a service whose thing is gone."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(MISSING)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def elsewhere() -> Iterator[str]:
    with served(Elsewhere) as url:
        yield url


def findings(report: Any) -> list[str]:
    return [one["title"] for one in report.get("findings", ())]


@pytest.mark.parametrize("verb", [LOAD, pytest.param(RUN, marks=pytest.mark.slow), FUZZ], ids=lambda verb: verb[0])
@pytest.mark.quick(1)
def test_a_declared_status_is_neither_a_failure_nor_a_finding(
    chaosbot: Callable, elsewhere: str, verb: tuple[str, ...]
) -> None:
    done = chaosbot(*verb, elsewhere, "--accept-status", "4xx", "--json", "--quiet")
    assert done.code == 0, done
    report = json.loads(done.out)
    assert not findings(report)


@pytest.mark.parametrize("verb", [LOAD, RUN, FUZZ], ids=lambda verb: verb[0])
def test_what_is_no_status_is_refused_before_anything_is_sent(chaosbot: Callable, verb: tuple[str, ...]) -> None:
    done = chaosbot(*verb, "http://127.0.0.1:9/", "--accept-status", "teapot")
    assert done.code == 2
    assert "--accept-status: 'teapot' is no HTTP status" in done.err


def test_a_campaign_needs_a_target_that_takes_valid_updates(chaosbot: Callable, elsewhere: str) -> None:
    done = chaosbot(*FUZZ, elsewhere)
    assert done.code == 2
    assert f"gets status {MISSING}" in done.err


class Moved(BaseHTTPRequestHandler):
    """Takes whoever comes, or only who knows the secret, with a redirect."""

    protocol_version = "HTTP/1.1"
    looks: ClassVar = False

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        knows = self.headers.get("X-Telegram-Bot-Api-Secret-Token") == SECRET
        self.send_response(302 if knows or not self.looks else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Guarded(Moved):
    """Takes only who knows the secret."""

    looks = True


@pytest.mark.parametrize(
    ("handler", "declared", "code"),
    [
        pytest.param(Moved, "302", 1, id="whoever comes is taken as the rightful are"),
        pytest.param(Guarded, "302", 0, id="a stranger is refused", marks=pytest.mark.slow),
        pytest.param(Elsewhere, "404", 3, id="a refusal looks as an acknowledgement does", marks=pytest.mark.slow),
    ],
)
def test_what_takes_valid_updates_takes_forged_ones_as_well(
    chaosbot: Callable, handler: type[Moved], declared: str, code: int
) -> None:
    names = ("--case", "auth/missing", "--stages", "catalogue", "--check", "forged_refused")
    with served(handler) as url:
        done = chaosbot("fuzz", url, *names, "--accept-status", declared, "--secret-env", "TOLD", TOLD=SECRET)
    assert done.code == code, done
