"""A Messenger page's bot with the standard library alone: a thread for each connection, answers before it acknowledges."""

import hashlib
import hmac
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"].encode()
OLD = b"park-messenger-secret-of-last-year"
API = os.environ["BOT_API"]
TOKEN = "park-verify-token"
OWNER = "5559990001112"
HOSTS = (".fbcdn.net", ".fbsbx.com")
MOST_BODY = 1024 * 1024
seen: OrderedDict[str, None] = OrderedDict()
lock = threading.Lock()


def send(to: str, text: str) -> None:
    """One message, tried five times, later each time; what is refused is given up."""
    body = json.dumps({"recipient": {"id": to}, "message": {"text": text}}).encode()
    request = urllib.request.Request(f"{API}/v19.0/me/messages", body, {"Content-Type": "application/json"})
    for attempt in range(5):
        pause = 0.3 * 2**attempt
        try:
            urllib.request.urlopen(request, timeout=5).read()
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                break
            wait = error.headers.get("Retry-After") or ""
            pause = int(wait) + 0.1 if wait.isdecimal() else pause
        except (OSError, ValueError) as error:
            print("failed:", error)
        time.sleep(pause)
    print("not sent")


def fetch(url: object) -> None:
    """An attachment, from the hosts of its platform."""
    host = urlsplit(url).hostname or "" if isinstance(url, str) else ""
    if BUG not in ("any-host", "fetches-first") and not host.endswith(HOSTS):
        return
    try:
        urllib.request.urlopen(str(url), timeout=2).read(1000)
    except (OSError, ValueError):
        print("not fetched")


def first_time(mid: object) -> bool:
    if not isinstance(mid, str) or BUG == "runs-twice":
        return True
    with lock:
        if mid in seen:
            return False
        seen[mid] = None
        while len(seen) > 20_000:
            seen.popitem(last=False)
    return True


def served(one: dict) -> None:
    """One thing that a person did."""
    who = one["sender"]["id"]
    message = one.get("message")
    if not isinstance(message, dict):
        if "postback" in one:
            send(who, "Welcome.")
        return
    if message.get("is_echo") or not first_time(message.get("mid")):
        return
    for attachment in message.get("attachments") or ():
        fetch(attachment["payload"]["url"])
    text = message["text"].strip() if BUG == "text-assumed" else str(message.get("text") or "").strip()
    if text.startswith("/discount"):
        owner = who == OWNER
        if BUG == "answer-is-owner" and message.get("reply_to"):
            owner = message["reply_to"].get("from", {}).get("id") == OWNER
        send(who, "The discount is on for everybody." if owner else "The owner decides about discounts.")
    elif text:
        send(who, "We are open until six.")


def walked(told: dict) -> None:
    """All that is in a delivery, each for itself."""
    entries = told["entry"]
    for entry in entries[:1] if BUG == "first-only" else entries:
        things = entry.get("messaging") if isinstance(entry, dict) else None
        for one in things if isinstance(things, list) else ():
            try:
                served(one)
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                if BUG == "text-assumed":
                    raise
                print("failed:", type(error).__name__)
                if BUG == "gives-up":
                    return


def genuine(body: bytes, given: str | None) -> bool:
    if BUG == "header-optional" and not given:
        return True
    for key in (SECRET, *((OLD,) if BUG == "old-secret" else ())):
        right = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
        if hmac.compare_digest(right.encode(), (given or "").encode("utf-8", "replace")):
            return True
    return False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        given = asked.get("hub.verify_token", [""])[0]
        right = hmac.compare_digest(given.encode("utf-8", "replace"), TOKEN.encode()) or BUG == "any-token"
        if (
            urlsplit(self.path).path != os.environ["WEBHOOK_PATH"]
            or asked.get("hub.mode") != ["subscribe"]
            or not right
        ):
            return self.answer(403)
        return self.answer(200, asked.get("hub.challenge", [""])[0])

    def do_POST(self) -> None:
        self.close_connection = True
        if urlsplit(self.path).path != os.environ["WEBHOOK_PATH"]:
            return self.answer(404)
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()) or len(length) > 12:
            return self.answer(411)
        if int(length) > MOST_BODY:
            return self.answer(413)
        body = self.rfile.read(int(length))
        if BUG == "fetches-first":
            self.peek(body)
        if len(body) < int(length):
            return self.answer(400)
        if not genuine(body, self.headers.get("X-Hub-Signature-256")):
            return self.answer(401)
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            return self.answer(400)
        if not isinstance(told, dict) or not isinstance(told.get("entry"), list):
            return self.answer(400)
        try:
            walked(told)
        except (KeyError, TypeError, AttributeError):
            return self.answer(500)
        return self.answer(200)

    def peek(self, body: bytes) -> None:
        try:
            for entry in json.loads(body)["entry"]:
                for attachment in entry["messaging"][0]["message"]["attachments"]:
                    fetch(attachment["payload"]["url"])
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
