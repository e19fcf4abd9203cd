"""The growth stage on a bot in a process of its own: what it keeps of each update of one kind is seen in its memory."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaosbot.core.event import ProbeSeen
from tests.support.campaigns import campaign_on

BOT = """
import json, queue, sys, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

api, keeps, kept, waiting = sys.argv[1], sys.argv[2], [], queue.Queue()


def work():
    while True:
        chat, _ = waiting.get()
        time.sleep(0.15)
        Webhook.call(None, "sendMessage", chat_id=chat, text="Pardon?")


if keeps == "queue":
    threading.Thread(target=work, daemon=True).start()


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        update = json.loads(self.rfile.read(int(self.headers["content-length"])))
        query, message = update.get("inline_query"), update.get("message") or {}
        if query:
            self.call("answerInlineQuery", inline_query_id=query["id"], results=[])
        elif message.get("text") == "/start":
            self.call("sendMessage", chat_id=message["chat"]["id"], text="Hello")
        elif keeps == "queue" and message.get("text"):
            waiting.put((message["chat"]["id"], bytearray(24_000)))
        if keeps in update:
            kept.append(bytearray(24_000))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def call(self, method, **parameters):
        head = {"content-type": "application/json"}
        request = urllib.request.Request(f"{api}/bot1:token/{method}", json.dumps(parameters).encode(), head)
        urllib.request.urlopen(request, timeout=5).read()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Webhook)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def started(api: str, keeps: str) -> Iterator[str]:
    """The bot, which keeps 24 KB of each update that has this member, or of each message until it is answered (``queue``)."""
    command = [sys.executable, "-c", BOT, api, keeps]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/hook"
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keeps", "places"),
    [("", set()), ("queue", set()), ("inline_query", {"kept-memory/inline_query"}), ("message", {"kept-memory"})],
)
def test_what_is_kept_of_each_update_of_one_kind_is_found(tmp_path: Path, keeps: str, places: set[str]) -> None:
    result, events = campaign_on(tmp_path, lambda api: started(api, keeps), "growth")
    assert {finding.cause.place for finding in result.findings} >= places
    assert bool(places) == bool(result.findings)
    looked = {event.probe for event in events if isinstance(event, ProbeSeen)}
    assert looked >= ({"kept-memory/inline_query"} if keeps == "queue" else {"kept-memory", "kept-memory/inline_query"})
