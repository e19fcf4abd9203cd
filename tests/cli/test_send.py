"""`chaosbot send` sends one genuine delivery and says what is wrong with the answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

SECRET = "send-secret-01"


class Handler(BaseHTTPRequestHandler):
    """Verifies as GitHub's documentation says, and answers what the server is told to."""

    server: Any

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((dict(self.headers), body))
        wanted = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        given = self.headers.get("X-Hub-Signature-256")
        self.send_response(200 if self.server.open or given in (None, wanted) else 401)
        self.end_headers()
        self.wfile.write(self.server.says)


@pytest.fixture
def server() -> Iterator[Any]:
    made: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.seen, made.says, made.open = [], b"thanks", False
    made.url = f"http://127.0.0.1:{made.server_address[1]}/hook"
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_a_signed_event_with_changed_members_is_sent(chaosbot: Callable, server: Any) -> None:
    options = ("--secret-env", "HOOK", "--set", "comment.body=/deploy", "--set", "comment.id=5", "--unset", "action")
    done = chaosbot("send", "github", "issue_comment", server.url, *options, HOOK=SECRET)
    assert done.code == 0, done
    assert "issue_comment → 200" in done.out
    headers, body = server.seen[0]
    sent = json.loads(body)
    assert headers["X-GitHub-Event"] == "issue_comment"
    assert (sent["comment"]["body"], sent["comment"]["id"], "action" in sent) == ("/deploy", 5, False)


def test_a_forged_delivery_is_refused_and_that_is_said(chaosbot: Callable, server: Any) -> None:
    done = chaosbot("send", "github", "ping", server.url, "--forged")
    assert done.code == 0
    assert "ping → 401" in done.out
    server.open = True
    believed = chaosbot("send", "github", "ping", server.url, "--forged")
    assert believed.code == 1
    assert "a forged delivery is accepted with 200" in believed.out
    server.open = False
    wrong = chaosbot("send", "github", "ping", server.url, "--secret-env", "HOOK", HOOK="another")
    assert "the secret in HOOK is not the target's, or it verifies another body" in wrong.out


@pytest.mark.parametrize(
    ("platform", "event", "remedy"),
    [("whatsapp", "handshake", "verify_token=…, or WHATSAPP_VERIFY_TOKEN"), ("discord", "event", "events=true")],
)
def test_an_event_that_needs_an_option_says_which(
    chaosbot: Callable, server: Any, platform: str, event: str, remedy: str
) -> None:
    done = chaosbot("send", platform, event, server.url, "--secret-env", "HOOK", HOOK=SECRET)
    assert (done.code, remedy in done.err) == (2, True), done


def test_a_challenge_that_does_not_come_back_is_said(chaosbot: Callable, server: Any) -> None:
    options = ("send", "slack", "url_verification", server.url, "--secret-env", "HOOK", "--json")
    done = chaosbot(*options, HOOK=SECRET)
    assert done.code == 1
    told = json.loads(done.out)
    assert (told["status"], told["body"]) == (200, "thanks")
    assert "does not hold" in told["wrong"]


def test_a_platform_that_signs_nothing_is_sent_too(chaosbot: Callable, server: Any) -> None:
    done = chaosbot("send", "telegram", "message/text", server.url, "--set", "message.text=/start")
    assert done.code == 0, done
    assert json.loads(server.seen[0][1])["message"]["text"] == "/start"


def test_a_request_is_printed_instead_and_nothing_is_sent(chaosbot: Callable, server: Any) -> None:
    arguments = ("send", "slack", "command", server.url, "--secret-env", "HOOK", "--set", "text=hi")
    curl = chaosbot(*arguments, "--print", "curl", HOOK=SECRET)
    assert curl.out.startswith("curl ")
    assert "command=%2Fweather&text=hi" in curl.out
    raw = chaosbot(*arguments, "--print", "raw", HOOK=SECRET)
    assert raw.out.startswith("POST /hook HTTP/1.1")
    assert server.seen == []


def test_events_and_platforms_are_listed(chaosbot: Callable) -> None:
    names = chaosbot("send", "github", "--list").out.split()
    assert {"ping", "issue_comment", "issues/closed", "workflow_run"} <= set(names)
    assert len({name.partition("/")[0] for name in names}) == 66
    assert json.loads(chaosbot("send", "slack", "--list", "--json").out)[0] == "message"
    page = chaosbot("platforms", "slack").out
    assert "X-Slack-Signature" in page
    assert "after 0s, 1m, 5m" in page


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("github", "nope", "http://127.0.0.1:1/"), "unknown event 'nope'"),
        (("nope",), "unknown platform 'nope'"),
        (("github",), "URL: is missing; write for example: chaosbot send github issue_comment http://"),
        (("github", "ping", "http://127.0.0.1:1/", "--set", "zen"), "write PATH=VALUE"),
        (("github", "ping", "http://127.0.0.1:1/", "--set", "zen.x=1"), "zen.x is no place in ping"),
        (("github", "ping", "http://127.0.0.1:1/", "--unset", "nope.x"), "--unset: nope.x is no place in ping"),
        (("github", "ping", "http://127.0.0.1:1/", "--timeout", "5"), "--timeout: "),
        (("github", "ping", "http://127.0.0.1:1/"), "start it, or check host and port"),
        (("github", "ping", "http://127.0.0.1:1/", "--print", "wget"), "neither curl nor raw"),
        (("market", "ping", "http://127.0.0.1:1/"), "unknown event 'ping'"),
        (("github", "ping", "http://example.com/"), "--allow-host"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(chaosbot: Callable, arguments: tuple[str, ...], rule: str) -> None:
    done = chaosbot("send", *arguments, "--secret-env", "HOOK", HOOK=SECRET)
    assert done.code == 2
    assert rule in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_missing_secret_is_said_before_anything_is_sent(chaosbot: Callable, server: Any) -> None:
    done = chaosbot("send", "github", "ping", server.url)
    assert done.code == 2
    assert "--secret-env" in done.err
    assert server.seen == []


def test_what_a_target_answers_moves_no_cursor(chaosbot: Callable, server: Any) -> None:
    server.says = "\x1b[2Jgone \x9b1A\u202eevil".encode()
    for option in ((), ("--json",)):
        done = chaosbot("send", "github", "ping", server.url, *option, "--secret-env", "HOOK", HOOK=SECRET)
        assert not {"\x1b", "\x9b", "\u202e"} & set(done.out + done.err), done.out
        assert "gone" in done.out
