"""A bot with limits by tier, in no framework: it answers each text by the Bot API unless the sender has asked too often.

``LIMITS`` chooses how it keeps them: ``sliding`` and ``fixed`` are right, and so is ``wordy``, which tells of the limit with each message;
``none`` has forgotten them, ``by_message`` counts by the message's id, ``guest_only`` limits guests and nobody else, and ``resets`` forgets
a user whenever another one writes.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
import urllib.request
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API = os.environ["BOT_API"]
HOW = os.environ["LIMITS"]
MOST = {"1": 5, "2": 20, "3": 50}
"""Messages a minute by the first digit of an id of seven."""
asked: defaultdict[Any, deque[float]] = defaultdict(deque)
windows: defaultdict[Any, int] = defaultdict(int)
work: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()


def allowed(user: int, message: int) -> bool:
    tier = str(user)[0] if len(str(user)) == 7 else ""
    most, now = MOST.get(tier, 1000), time.time()
    if HOW == "none" or (HOW == "guest_only" and tier != "1"):
        return True
    if HOW == "fixed":
        windows[user, int(now // 60)] += 1
        return windows[user, int(now // 60)] <= most
    if HOW == "resets":
        for other in [other for other in asked if other != user]:
            del asked[other]
    times = asked[message if HOW == "by_message" else user]
    while times and times[0] < now - 60:
        times.popleft()
    if len(times) >= most:
        return False
    times.append(now)
    return True


def say(chat: int, text: str) -> None:
    body = json.dumps({"chat_id": chat, "text": text}).encode()
    request = urllib.request.Request(f"{API}/bot123456:limited/sendMessage", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def serve() -> None:
    told: set[tuple[int, int]] = set()
    while True:
        message = work.get()
        user, chat = message["from"]["id"], message["chat"]["id"]
        minute = int(time.time() // 60)
        if allowed(user, message["message_id"]):
            say(chat, f"You said: {message.get('text', 'nothing')}")
        elif HOW == "wordy":
            say(chat, f"Too many messages. Try again in {60 - int(time.time() % 60)} s.")
        elif (user, minute) not in told:
            told.add((user, minute))
            say(chat, "Too many messages. Try again in a minute.")


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        update = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "message" in update:
            work.put(update["message"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    threading.Thread(target=serve, daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Webhook)
    server.serve_forever()
