"""Mistakes that people make with a platform, by every verb that speaks to a webhook: one line that names the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

PLATFORMS = {
    "slack": ("message", "Signing Secret"),
    "github": ("issue_comment", "Secret of the webhook"),
    "stripe": ("charge.succeeded", "begins with whsec_"),
    "discord": ("command", "--public-key"),
    "whatsapp": ("messages", "app secret"),
    "messenger": ("message", "app secret"),
    "twilio": ("message", "Auth Token"),
    "standard_webhooks": ("contact.created", "signing secret"),
}
TOKENS = (
    ("xoxb-123456789012-abcdef", "a Slack token"),
    ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "a GitHub token"),
    ("sk_test_abcdefghijklmnopqrst", "a Stripe API key"),
    ("EAAGm0PX4ZCpsBAKZCxyzabcdefghijklmnop", "a Meta access token"),
    ("5551234567:AAHabcdefghijklmnopqrstuvwxyz012345", "a Telegram bot's token"),
    ("AC0123456789abcdef0123456789abcdef", "a Twilio SID"),
    ("-----BEGIN PRIVATE KEY-----", "a key in PEM"),
    ("whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", "a public key"),
)
VERBS = {
    "send": lambda event, url: ("send", "{name}", event, url),
    "fuzz": lambda _event, url: ("fuzz", url, "--platform", "{name}", "--duration", "5s"),
    "load": lambda _event, url: ("load", url, "--platform", "{name}", "--duration", "1s", "--rate", "1/s"),
    "run": lambda _event, url: ("run", "resilience", url, "--platform", "{name}"),
    "doctor": lambda _event, url: ("doctor", url, "--platform", "{name}"),
}


@pytest.fixture
def refusing() -> Iterator[str]:
    """A target that refuses everything."""

    class Refusing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
        thread.join()


def line(verb: str, name: str, url: str) -> list[str]:
    return [word.replace("{name}", name) for word in VERBS[verb](PLATFORMS[name][0], url)]


@pytest.mark.parametrize("name", PLATFORMS)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.quick(12)
def test_a_token_instead_of_the_secret_is_said_before_anything_is_sent(
    chaosbot: Callable, refusing: str, verb: str, name: str
) -> None:
    token, what = TOKENS[list(PLATFORMS).index(name) % len(TOKENS)]
    done = chaosbot(*line(verb, name, refusing), "--secret-env", "HOOK", HOOK=token)
    assert done.code == 2, done
    said = " ".join((done.out if verb == "doctor" else done.err).split())
    assert f"--secret-env HOOK: holds {what}; {name} signs with" in said
    assert PLATFORMS[name][1] in said


@pytest.mark.parametrize("name", [name for name in PLATFORMS if name not in ("stripe", "standard_webhooks")])
def test_a_secret_of_another_platform_is_said_to_be_one(chaosbot: Callable, name: str) -> None:
    done = chaosbot(*line("send", name, "http://127.0.0.1:9/"), "--secret-env", "HOOK", HOOK="whsec_" + "a1B2" * 8)
    assert "holds a secret of Stripe's or of Standard Webhooks" in done.err


@pytest.mark.parametrize("name", PLATFORMS)
def test_ordinary_secrets_are_none_of_these(chaosbot: Callable, name: str) -> None:
    right = {"stripe": "whsec_" + "a1B2" * 8, "standard_webhooks": "whsec_Y2hhb3Nib3Qtc2VjcmV0LTI0LWJ5dGVz"}
    for secret in (right.get(name, "8f742231b10e8888abcd99ccc4e85a5f"), "It is a secret, Watson!"):
        done = chaosbot(*line("send", name, "http://127.0.0.1:9/"), "--secret-env", "HOOK", HOOK=secret)
        assert "holds" not in done.err


@pytest.mark.parametrize("verb", VERBS)
def test_a_signed_url_that_the_target_knows_by_another_name_is_told_with_the_option(
    chaosbot: Callable, refusing: str, verb: str
) -> None:
    done = chaosbot(*line(verb, "twilio", refusing), "--secret-env", "HOOK", HOOK="8f742231b10e8888abcd99ccc4e85a5f")
    assert done.code != 0
    assert "--platform-option url=https://" in " ".join((done.out + done.err).split())


@pytest.mark.parametrize("name", PLATFORMS)
def test_an_unknown_event_is_told_with_those_that_there_are(chaosbot: Callable, name: str) -> None:
    done = chaosbot("send", name, "nonesuch", "http://127.0.0.1:9/", "--secret-env", "HOOK", HOOK="a secret of mine")
    assert done.code == 2
    assert "unknown event 'nonesuch'; Available: " in done.err
    assert PLATFORMS[name][0] in done.err


@pytest.mark.parametrize("verb", [*VERBS, "proxy"])
def test_kinds_and_platforms_that_there_are_none_of_are_told_with_those_that_there_are(
    chaosbot: Callable, verb: str
) -> None:
    url = "http://127.0.0.1:9/"
    words = ["proxy", url, "--platform", "slack"] if verb == "proxy" else line(verb, "slack", url)
    done = chaosbot(*words, "--platform-option", "only=nonesuch")
    assert done.code == 2
    assert "only: unknown kind 'nonesuch'; Available: app_home_opened" in done.err
    done = chaosbot(*(word.replace("slack", "slakc") for word in words))
    assert "unknown platform 'slakc'; did you mean 'slack'?" in done.err


@pytest.mark.parametrize("verb", [*VERBS, "proxy"])
def test_options_behind_the_name_that_are_no_json_are_a_mistake_and_no_crash(chaosbot: Callable, verb: str) -> None:
    words = (
        ["proxy", "http://127.0.0.1:9/", "--platform", "slack"] if verb == "proxy" else line(verb, "slack", "http://h/")
    )
    done = chaosbot(*(word.replace("slack", "slack:xx") for word in words))
    assert done.code == 2
    assert "'xx' is no JSON object of options" in done.err
