"""A shop platform's Stripe endpoint as a plain WSGI application: each merchant has an account and a secret of their own."""

import hashlib
import hmac
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

BUG = os.environ.get("BUG", "")
API = os.environ["BOT_API"]
SECRETS = {"acct_1ParkBakery0001": os.environ["SECRET"], "acct_1ParkFlorist002": "whsec_" + "Zz9y" * 8}
OLD = {"acct_1ParkBakery0001": "whsec_" + "Old0" * 8}
PAID = {"charge.succeeded", "invoice.paid", "checkout.session.completed"}
ENDED = {"customer.subscription.deleted", "charge.refunded"}
MOST_BODY = 256 * 1024
seen: OrderedDict[str, None] = OrderedDict()
lock = threading.Lock()


def change(account: str, customer: str, plan: str) -> None:
    """Writes a customer's plan at Stripe, in the merchant's account; tried six times, later each time."""
    body = f"metadata[plan]={plan}&description=the+plan+is+{plan}".encode()
    request = urllib.request.Request(f"{API}/v1/customers/{customer}", body, {"Stripe-Account": account})
    for attempt in range(6):
        wait = ""
        try:
            urllib.request.urlopen(request, timeout=5).read()
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                break
            wait = error.headers.get("Retry-After") or ""
        except (OSError, ValueError):
            pass
        time.sleep(int(wait) + 0.1 if wait.isdecimal() else 0.2 * 2**attempt)
    print("not changed")


def right(body: bytes, header: str, secret: str) -> bool:
    """Whether one signature of the header is this secret's, and of the last five minutes."""
    parts = [part.partition("=")[::2] for part in header.split(",")]
    stamps = [value for name, value in parts if name == "t"]
    if len(stamps) != 1 or not re.fullmatch(r"[0-9]{1,11}", stamps[0]):
        return False
    if BUG != "no-tolerance" and abs(time.time() - int(stamps[0])) > 300:
        return False
    made = hmac.new(secret.encode(), stamps[0].encode() + b"." + body, hashlib.sha256).hexdigest()
    given = [value for name, value in parts if name == "v1"]
    return any(hmac.compare_digest(made.encode(), one.encode("utf-8", "replace")) for one in given)


def merchant(body: bytes, header: str, account: object) -> str:
    """Whose event this is; empty where nobody signed it."""
    if BUG == "any-secret":
        genuine = any(right(body, header, secret) for secret in SECRETS.values())
        return str(account) if genuine and account in SECRETS else ""
    if account not in SECRETS:
        return ""
    secrets = [SECRETS[account], *([OLD[account]] if BUG == "old-secret" and account in OLD else [])]
    return account if any(right(body, header, secret) for secret in secrets) else ""


def application(environ: dict, start) -> list[bytes]:
    def end(status: str, text: str = "") -> list[bytes]:
        start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(text.encode())))])
        return [text.encode()]

    if environ["PATH_INFO"] != os.environ["WEBHOOK_PATH"] or environ["REQUEST_METHOD"] != "POST":
        return end("404 Not Found")
    length = environ.get("CONTENT_LENGTH") or ""
    if not re.fullmatch(r"[0-9]{1,9}", length):
        return end("411 Length Required")
    if int(length) > MOST_BODY:
        return end("413 Content Too Large")
    body = environ["wsgi.input"].read(int(length))
    header = environ.get("HTTP_STRIPE_SIGNATURE", "")
    unsigned = BUG == "header-optional" and not header
    if (
        BUG != "parse-first"
        and not unsigned
        and not any(right(body, header, one) for one in (*SECRETS.values(), *OLD.values()))
    ):
        return end("400 Bad Request")
    try:
        event = json.loads(body)
        account = event["account"] if BUG == "account-assumed" else event.get("account", "acct_1ParkBakery0001")
        whose = merchant(body, header, account)
    except (ValueError, RecursionError, AttributeError, TypeError):
        if BUG == "parse-first":
            raise
        return end("400 Bad Request")
    if not whose and not unsigned:
        return end("400 Bad Request")
    kind = event.get("type") if isinstance(event.get("type"), str) else ""
    thing = event.get("data") if isinstance(event.get("data"), dict) else {}
    if BUG == "unknown-refused" and kind not in PAID | ENDED:
        return end("400 Bad Request")
    thing = thing.get("object") if isinstance(thing.get("object"), dict) else {}
    with lock:
        name = event.get("id")
        again = isinstance(name, str) and name in seen and BUG != "runs-twice"
        if isinstance(name, str):
            seen[name] = None
        while len(seen) > 20_000:
            seen.popitem(last=False)
    customer = thing["customer"] if BUG == "customer-assumed" else thing.get("customer")
    if BUG == "customer-assumed":
        customer = customer.strip()
    if isinstance(customer, str) and re.fullmatch(r"\w+", customer) and not again and kind in PAID | ENDED:
        wanted = (whose or "acct_1ParkBakery0001", customer, "full" if kind in PAID else "none")
        threading.Thread(target=change, args=wanted, daemon=True).start()
    return end("200 OK")


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


class Handler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, *_: object) -> None:
        pass


make_server("127.0.0.1", int(os.environ["PORT"]), application, Server, Handler).serve_forever()
