"""A WhatsApp number's bot in Flask without a vendor's library: it acknowledges at once and answers from a queue."""

import hashlib
import hmac
import json
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict

from flask import Flask, Response, request

BUG = os.environ.get("BUG", "")
SECRET = os.environ["SECRET"].encode()
OLD = b"park-whatsapp-secret-of-last-year"
API = os.environ["BOT_API"]
TOKEN = "park-verify-token"
OWNER, OWNER_NAME = "5559990001113", "Owner"
NUMBER = "106540352242922"
ACCESS = {"Authorization": "Bearer EAA-park"}
app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
waiting: queue.Queue[tuple[dict, dict]] = queue.Queue()
seen: OrderedDict[str, None] = OrderedDict()
kept: list[object] = []


def call(url: str, body: dict | None = None) -> bytes:
    """A call of the Graph API, with the access token; tried six times, later each time."""
    told = None if body is None else json.dumps(body).encode()
    for attempt in range(1 if BUG == "tries-once" else 6):
        pause = 0.2 * 2**attempt
        try:
            asked = urllib.request.Request(url, told, {"Content-Type": "application/json", **ACCESS})
            return urllib.request.urlopen(asked, timeout=5).read(100_000)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                break
            wait = error.headers.get("Retry-After") or ""
            pause = int(wait) + 0.1 if wait.isdecimal() else pause
        except (OSError, ValueError) as error:
            print("failed:", error)
        time.sleep(pause)
    return b""


def say(to: str, text: str) -> None:
    """One message to a person."""
    message = {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": text}}
    call(f"{API}/v21.0/{NUMBER}/messages", message)


def fetched(media: dict) -> None:
    """A picture: by its id, from the Graph API."""
    if BUG == "url-of-payload":
        call(str(media["url"]))
    elif isinstance(media.get("id"), str) and media["id"].isdigit():
        call(f"{API}/v21.0/{media['id']}")


def served(message: dict, value: dict) -> None:
    """One message of a person."""
    who, kind = message["from"], message.get("type")
    if kind == "image":
        fetched(message["image"])
        return say(who, "A nice picture.")
    if kind != "text":
        return say(who, "Please write to me.") if kind != "reaction" else None
    text = message["text"]["body"]
    if not text.strip():
        return None
    if not text.startswith("/menu"):
        return say(who, "We open at eight.")
    owner = who == OWNER
    contacts = value.get("contacts") or [{}]
    if BUG == "name-is-owner":
        owner = owner or contacts[0].get("profile", {}).get("name") == OWNER_NAME
    if BUG == "contact-is-owner":
        owner = contacts[0].get("wa_id") == OWNER
    if BUG == "quoted-is-owner":
        owner = owner or message.get("context", {}).get("from") == OWNER
    return say(who, "The menu is changed." if owner else "Only the owner changes the menu.")


def first_time(wamid: object) -> bool:
    """Whether this message was not served before."""
    if not isinstance(wamid, str) or BUG == "runs-twice":
        return True
    known = wamid in seen
    seen[wamid] = None
    if len(seen) > 20_000:
        seen.popitem(last=False)
    return not known


def work() -> None:
    """Serves what waits, one after the other."""
    while True:
        message, value = waiting.get()
        try:
            if first_time(message.get("id")):
                served(message, value)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            print("not served:", type(error).__name__)
            if BUG == "worker-ends":
                return


def values(told: dict) -> list[dict]:
    """The values of all changes; only the first of each where that is the bug."""
    found = [
        change["value"]
        for entry in told["entry"]
        if isinstance(entry, dict) and isinstance(entry.get("changes"), list)
        for change in entry["changes"]
        if isinstance(change, dict) and isinstance(change.get("value"), dict)
    ]
    return found[:1] if BUG == "first-change" else found


def genuine(body: bytes, given: str) -> bool:
    """Whether Meta signed this."""
    if BUG == "header-optional" and not given:
        return True
    keys = (SECRET, OLD) if BUG == "old-secret" else (SECRET,)
    rights = ["sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest() for key in keys]
    return any(hmac.compare_digest(one.encode(), given.encode("utf-8", "replace")) for one in rights)


@app.get(os.environ["WEBHOOK_PATH"])
def handshake() -> Response:
    given = request.args.get("hub.verify_token", "")
    if BUG == "mode-only":
        given = TOKEN if request.args.get("hub.mode") == "subscribe" else ""
    if request.args.get("hub.mode") != "subscribe" or given != TOKEN:
        return Response(status=403)
    return Response(request.args.get("hub.challenge", ""), mimetype="text/plain")


@app.post(os.environ["WEBHOOK_PATH"])
def hook() -> Response:
    body = request.get_data()
    if not genuine(body, request.headers.get("X-Hub-Signature-256", "")):
        return Response(status=401)
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return Response(status=400)
    if not isinstance(told, dict) or not isinstance(told.get("entry"), list):
        return Response(status=400)
    if BUG == "kept":
        kept.append((told, bytes(30_000)))
    for value in values(told):
        messages = value["messages"] if BUG == "messages-assumed" else value.get("messages")
        waiting_for = messages if isinstance(messages, list) else []
        for message in waiting_for[:1] if BUG == "first-message" else waiting_for:
            if isinstance(message, dict):
                waiting.put((message, value))
    return Response(status=200)


threading.Thread(target=work, daemon=True).start()
app.run("127.0.0.1", int(os.environ["PORT"]), threaded=True)
